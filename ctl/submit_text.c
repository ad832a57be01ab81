/* SPDX-License-Identifier: ISC */
#include "ctl/submit_text.h"

/* "From x", ">From x", ">>From x"; but "From : x" is a field in the old spelling. */
static bool
is_from_line(struct slice line)
{
	size_t at = 0;

	while (at < line.n && line.p[at] == '>')
		at++;
	line = slice_from(line, at);
	if (line.n < 5 || memcmp(line.p, "From ", 5) != 0)
		return false;
	line = slice_trim(slice_from(line, 5));
	return line.n == 0 || line.p[0] != ':';
}

static void
put_without_cr(struct buf *out, struct slice line)
{
	ptrdiff_t at;

	while ((at = slice_find(line, '\r')) >= 0) {
		buf_put(out, line.p, (size_t)at);
		buf_putc(out, ' ');
		line = slice_from(line, (size_t)at + 1);
	}
	buf_slice(out, line);
	buf_put(out, "\r\n", 2);
}

/* One line without its LF. */
static void
take_line(struct submit_text *t, struct slice line, struct buf *out)
{
	while (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (!t->started && is_from_line(line)) {
		if (t->from_lines.n + line.n < SUBMIT_TEXT_HELD) {
			buf_slice(&t->from_lines, line);
			buf_putc(&t->from_lines, '\n');
		}
		return;
	}
	t->started = true;
	if (!t->dots_literal && slice_is(line, "."))
		t->done = true;
	else
		put_without_cr(out, line);
}

static void
put_crs(struct submit_text *t, struct buf *out)
{
	for (; t->crs > 0; t->crs--)
		buf_putc(out, ' ');
}

/* More of a long line: CRs are held back, since those at its end go. */
static void
put_within(struct submit_text *t, struct slice s, struct buf *out)
{
	for (;;) {
		ptrdiff_t cr = slice_find(s, '\r');
		struct slice text = cr < 0 ? s : slice_head(s, (size_t)cr);

		if (text.n > 0) {
			put_crs(t, out);
			buf_slice(out, text);
		}
		if (cr < 0)
			break;
		if (++t->crs > SUBMIT_TEXT_HELD)
			put_crs(t, out);
		s = slice_from(s, (size_t)cr + 1);
	}
}

static void
end_within(struct submit_text *t, struct buf *out)
{
	buf_put(out, "\r\n", 2);
	t->within = false;
	t->crs = 0;
}

/* A line, or the rest of one. */
static void
end_line(struct submit_text *t, struct slice line, struct buf *out)
{
	if (t->within) {
		put_within(t, line, out);
		end_within(t, out);
	} else if (t->part.n > 0) {
		buf_slice(&t->part, line);
		take_line(t, slice_buf(&t->part), out);
		buf_reset(&t->part);
	} else
		take_line(t, line, out);
}

static void
hold(struct submit_text *t, struct slice s, struct buf *out)
{
	if (t->within) {
		put_within(t, s, out);
		return;
	}
	buf_slice(&t->part, s);
	if (t->part.n <= SUBMIT_TEXT_HELD)
		return;
	t->within = t->started = true;
	put_within(t, slice_buf(&t->part), out);
	buf_reset(&t->part);
}

void
submit_text_feed(struct submit_text *t, struct slice chunk, struct buf *out)
{
	ptrdiff_t lf;

	while (!t->done && (lf = slice_find(chunk, '\n')) >= 0) {
		end_line(t, slice_head(chunk, (size_t)lf), out);
		chunk = slice_from(chunk, (size_t)lf + 1);
	}
	if (!t->done)
		hold(t, chunk, out);
}

void
submit_text_end(struct submit_text *t, struct buf *out)
{
	if (t->within)
		end_within(t, out);
	else if (!t->done && t->part.n > 0)
		take_line(t, slice_buf(&t->part), out);
	t->done = true;
}

void
submit_text_fini(struct submit_text *t)
{
	buf_fini(&t->part);
	buf_fini(&t->from_lines);
}

/* The word behind "From ", and the one behind "remote from " if it stands there. */
static bool
read_from_line(struct slice line, struct slice *user, struct slice *host)
{
	static const char remote[] = " remote from ";
	ptrdiff_t blank = slice_find(line, ' ');
	const char *at;

	*host = SLICE_NONE;
	*user = slice_trim(slice_from(line, blank < 0 ? line.n : (size_t)blank + 1));
	at = user->n > 0 ? memmem(user->p, user->n, remote, sizeof remote - 1) : NULL;
	if (at != NULL)
		*host = slice_trim(slice_from(*user, (size_t)(at - user->p) + sizeof remote - 1));
	blank = slice_find(*user, ' ');
	if (blank >= 0)
		*user = slice_head(*user, (size_t)blank);
	return user->n > 0;
}

bool
submit_text_uucp_sender(struct slice from_lines, struct buf *out)
{
	struct slice line, user, host, last_user = SLICE_NONE, last_host = SLICE_NONE;

	while (slice_next(&from_lines, '\n', &line)) {
		if (!read_from_line(line, &user, &host))
			continue;
		last_user = user;
		if (host.n > 0)
			last_host = host;
	}
	if (last_user.n == 0)
		return false;
	if (last_host.n > 0) {
		buf_slice(out, last_host);
		buf_putc(out, '!');
	}
	buf_slice(out, last_user);
	return true;
}
