/* SPDX-License-Identifier: ISC */
/* Rows of events as a bad service may send them, as the lines that Postfix would write. */
#include "logd/lineup.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct lineup lineup;
static struct buf line;

static void
demand(bool ok)
{
	if (!ok)
		abort();
}

/* One line, of nothing that a terminal obeys; brackets stand in pairs, not one within another, where
 * addresses are. */
static void
demand_line(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const unsigned char c = (unsigned char)p[i];

		demand(c >= 0x20 && c != 0x7f);
		demand(c != 0xc2 || i + 1 == n || (unsigned char)p[i + 1] >= 0xa0);
	}
}

static void
on_line(void *arg, const struct mailline *l)
{
	static const struct mailline_head heads[] = { { "host", "postfix", false },
		{ "host", "postfix", true } };

	(void)arg;
	demand(l->text.n <= MAILLOG_TEXT_MAX && l->program[0] != '\0');
	for (int i = 0; i < 3; i++) {
		buf_reset(&line);
		if (i < 2)
			mailline_put(&line, &heads[i], l);
		else
			mailline_put_syslog(&line, heads, l);
		demand(line.n > l->text.n && (i == 2 || line.p[--line.n] == '\n'));
		demand_line(line.p, line.n);
	}
}

static void
hold(void *arg, const struct mailline *l)
{
	lineup_put(arg, 1000000000, l);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct maillog m = { .out = hold, .arg = &lineup };
	struct slice in = slice_of(data, size);
	struct log_record r;

	lineup.out = on_line;
	while (log_record_next(&in, &r))
		if (log_record_valid(&r))
			maillog_event(&m, (enum service)(r.pid % SERVICE_COUNT), &r);
	lineup_take(&lineup, 1000000000 + LINEUP_US);
	demand(lineup.n == 0);
	maillog_fini(&m);
	return 0;
}
