/* SPDX-License-Identifier: ISC */
#include "ctl/queue_print.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* Widths of Postfix's form for long ids: our ids have 13 characters. */
#define HEADING "-Queue ID-        --Size-- ---Arrival Time---- -Sender/Recipient-------\n"
enum { RECIPIENT_COLUMN = 47, REASON_END = 76 };

/* The next field with its escapes undone; a control byte, which a terminal might obey, shows as
 * "?". */
static bool
next_field(struct slice *rest, struct buf *out)
{
	struct slice raw;

	buf_reset(out);
	if (!slice_next(rest, '\t', &raw))
		return false;
	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];

		if (c == '\\' && i + 1 < raw.n) {
			c = raw.p[++i];
			c = c == 't' ? ' ' : c == 'n' ? ' ' : c;
		}
		buf_putc(out, (unsigned char)c < ' ' || c == 0x7f ? '?' : c);
	}
	return true;
}

static char
mark_of(struct slice state)
{
	if (slice_is(state, "active"))
		return '*';
	if (slice_is(state, "hold"))
		return '!';
	return slice_is(state, "expired") ? '#' : ' ';
}

/* "Sat Nov  1 10:16:39" */
static void
put_time(struct buf *out, uint64_t wall_ms)
{
	time_t t = (time_t)(wall_ms / 1000);
	char text[32];
	struct tm tm;

	if (localtime_r(&t, &tm) == NULL ||
	    strftime(text, sizeof text, "%a %b %e %H:%M:%S", &tm) == 0)
		snprintf(text, sizeof text, "%" PRIu64, wall_ms / 1000);
	buf_printf(out, "%19.19s ", text);
}

static void
take_message(struct queue_print *q, struct slice rest, struct buf *out)
{
	struct buf id = { 0 }, state = { 0 }, f = { 0 };
	uint64_t size = 0, arrival = 0;
	bool ok;

	ok = next_field(&rest, &id) && next_field(&rest, &state) && next_field(&rest, &f) &&
	     slice_u64(slice_buf(&f), &size) && next_field(&rest, &f) &&
	     slice_u64(slice_buf(&f), &arrival) && next_field(&rest, &f);
	if (!ok) {
		q->malformed++;
	} else {
		buf_puts(out, q->messages == 0 ? HEADING : "\n");
		buf_putc(&id, mark_of(slice_buf(&state)));
		buf_printf(out, "%-17.*s %8" PRIu64 " ", SLICE_ARG(slice_buf(&id)), size);
		put_time(out, arrival);
		buf_slice(out, f.n > 0 ? slice_buf(&f) : SLICE_LIT("MAILER-DAEMON"));
		buf_putc(out, '\n');
		q->messages++;
		q->bytes += size;
		buf_reset(&q->reason);
	}
	buf_fini(&id);
	buf_fini(&state);
	buf_fini(&f);
}

static void
take_recipient(struct queue_print *q, struct slice rest, struct buf *out)
{
	struct buf address = { 0 }, state = { 0 }, reason = { 0 }, last;

	if (q->messages == 0 || !next_field(&rest, &address) || !next_field(&rest, &state)) {
		q->malformed++;
	} else {
		next_field(&rest, &reason);
		if (!slice_eq(slice_buf(&reason), slice_buf(&q->reason))) {
			if (reason.n > 0)
				buf_printf(out, "%*s(%.*s)\n",
				    reason.n < REASON_END ? REASON_END - (int)reason.n : 0, "",
				    SLICE_ARG(slice_buf(&reason)));
			last = q->reason;
			q->reason = reason;
			reason = last;
		}
		buf_printf(out, "%*s%.*s\n", RECIPIENT_COLUMN, "", SLICE_ARG(slice_buf(&address)));
	}
	buf_fini(&address);
	buf_fini(&state);
	buf_fini(&reason);
}

static void
take_line(struct queue_print *q, struct slice line, struct buf *out)
{
	struct slice letter;

	if (!slice_next(&line, '\t', &letter))
		return;
	if (slice_is(letter, "M"))
		take_message(q, line, out);
	else if (slice_is(letter, "R"))
		take_recipient(q, line, out);
}

void
queue_print_feed(struct queue_print *q, struct slice piece, struct buf *out)
{
	ptrdiff_t lf;

	while ((lf = slice_find(piece, '\n')) >= 0) {
		buf_put(&q->part, piece.p, (size_t)lf);
		take_line(q, slice_buf(&q->part), out);
		buf_reset(&q->part);
		piece = slice_from(piece, (size_t)lf + 1);
	}
	buf_slice(&q->part, piece);
}

void
queue_print_end(struct queue_print *q, struct buf *out)
{
	if (q->part.n > 0)
		q->malformed++;
	if (q->messages == 0)
		buf_puts(out, "Mail queue is empty\n");
	else
		buf_printf(out, "\n-- %" PRIu64 " Kbytes in %" PRIu64 " Request%s.\n",
		    q->bytes / 1024, q->messages, q->messages == 1 ? "" : "s");
}

void
queue_print_fini(struct queue_print *q)
{
	buf_fini(&q->part);
	buf_fini(&q->reason);
}

void
queue_print_field(struct buf *line, struct slice value)
{
	buf_putc(line, '\t');
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (c == '\t' || c == '\n' || c == '\\') {
			buf_putc(line, '\\');
			c = c == '\t' ? 't' : c == '\n' ? 'n' : c;
		}
		buf_putc(line, c);
	}
}
