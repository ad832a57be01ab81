/* SPDX-License-Identifier: ISC */
#include "logd/mailline.h"

#include <time.h>

static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
	"Oct", "Nov", "Dec" };

/* Broken down once a second. A time of no year that has four digits is shown as the last that has. */
static const struct tm *
local_time(uint64_t us)
{
	static const time_t end_of_9999 = 253402300799 - 86400;
	static time_t last = -1;
	static struct tm tm;
	time_t s = (time_t)(us / 1000000);

	s = s < 0 || s > end_of_9999 ? end_of_9999 : s;
	if (s != last)
		localtime_r(&s, &tm);
	last = s;
	return &tm;
}

/* "Nov  7 09:05:01 ", made once a second. */
static void
put_stamp(struct buf *out, uint64_t us)
{
	static time_t last = -1;
	static struct buf text;
	const struct tm *tm = local_time(us);

	if ((time_t)(us / 1000000) != last) {
		last = (time_t)(us / 1000000);
		buf_reset(&text);
		buf_printf(&text, "%s %2d %02d:%02d:%02d ", months[tm->tm_mon], tm->tm_mday,
		    tm->tm_hour, tm->tm_min, tm->tm_sec);
	}
	buf_slice(out, slice_buf(&text));
}

static void
put_rfc3339(struct buf *out, uint64_t us)
{
	const struct tm *tm = local_time(us);
	long east = tm->tm_gmtoff / 60, away = east < 0 ? -east : east;

	buf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%06u%c%02ld:%02ld ", tm->tm_year + 1900,
	    tm->tm_mon + 1, tm->tm_mday, tm->tm_hour, tm->tm_min, tm->tm_sec,
	    (unsigned)(us % 1000000), east < 0 ? '-' : '+', away / 60, away % 60);
}

static void
put_tag(struct buf *out, const struct mailline_head *h, const struct mailline *line)
{
	buf_puts(out, h->name);
	buf_putc(out, '/');
	buf_puts(out, line->program);
	buf_putc(out, '[');
	buf_u64(out, line->pid);
	buf_puts(out, "]: ");
	buf_slice(out, line->text);
}

void
mailline_put(struct buf *out, const struct mailline_head *h, const struct mailline *line)
{
	if (h->rfc3339)
		put_rfc3339(out, line->wall_us);
	else
		put_stamp(out, line->wall_us);
	buf_puts(out, h->host);
	buf_putc(out, ' ');
	put_tag(out, h, line);
	buf_putc(out, '\n');
}

void
mailline_put_syslog(struct buf *out, const struct mailline_head *h, const struct mailline *line)
{
	static const unsigned severity[] = { 7, 6, 5, 4, 3 };
	enum { FACILITY_MAIL = 2 };
	/* Postfix says of refusals and failures "info", which is what its readers expect of them. */
	enum log_level level = line->level == LEVEL_NOTICE ? LEVEL_INFO : line->level;

	buf_printf(out, "<%u>", FACILITY_MAIL << 3 | severity[level]);
	put_stamp(out, line->wall_us);
	put_tag(out, h, line);
}
