/* SPDX-License-Identifier: ISC */
#include "deliver/local/letter.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <unistd.h>

enum { CHUNK = 65536 };

/* What a line begins with before it is known whether it is to be quoted. */
static const char from_[] = "From ";

struct out {
	int fd, err;
	uint64_t until_mono_ms;
	bool quote;
	/* Where the content stands: */
	bool in_line; /* something of the line has been put out */
	size_t angles, matched;
	bool cr, any;
	struct buf buf;
};

static void
flush(struct out *o)
{
	size_t done = 0;

	while (done < o->buf.n && o->err == 0) {
		ssize_t n = write(o->fd, o->buf.p + done, o->buf.n - done);

		if (n < 0 && errno != EINTR)
			o->err = -errno;
		else if (n == 0)
			o->err = -EIO;
		else if (n > 0)
			done += (size_t)n;
	}
	buf_reset(&o->buf);
	if (o->err == 0 && o->until_mono_ms != 0 && clock_mono_ms() > o->until_mono_ms)
		o->err = -ETIMEDOUT;
}

static void
put(struct out *o, struct slice s)
{
	buf_slice(&o->buf, s);
	if (o->buf.n >= CHUNK)
		flush(o);
}

/* The beginning of the line is known: out with what was held back. */
static void
settle(struct out *o, bool quoted)
{
	if (o->in_line)
		return;
	for (size_t i = o->angles + quoted; i > 0; i--)
		put(o, SLICE_LIT(">"));
	put(o, slice_of(from_, o->matched));
	o->angles = o->matched = 0;
	o->in_line = true;
}

/* At the beginning of a line of an mbox: takes what is still undecided. */
static size_t
begin_line(struct out *o, struct slice s)
{
	size_t i = 0;

	for (; i < s.n && !o->in_line; i++)
		if (s.p[i] == '>' && o->matched == 0)
			o->angles++;
		else if (s.p[i] == from_[o->matched]) {
			if (from_[++o->matched] == '\0')
				settle(o, true);
		} else {
			settle(o, false);
			break;
		}
	return i;
}

/* Without CR and LF at the end. */
static void
text(struct out *o, struct slice s)
{
	if (s.n == 0)
		return;
	if (o->cr) { /* one that stood alone */
		o->cr = false;
		text(o, SLICE_LIT("\r"));
	}
	if (!o->quote)
		o->in_line = true;
	if (!o->in_line)
		s = slice_from(s, begin_line(o, s));
	put(o, s);
}

static void
end_line(struct out *o)
{
	settle(o, false);
	put(o, SLICE_LIT("\n"));
	o->in_line = o->cr = false;
}

static void
content(struct out *o, struct slice s)
{
	o->any = o->any || s.n > 0;
	while (s.n > 0 && o->err == 0) {
		ptrdiff_t lf = slice_find(s, '\n');
		struct slice line = lf < 0 ? s : slice_head(s, (size_t)lf);
		bool cr = line.n > 0 && line.p[line.n - 1] == '\r';

		if (cr)
			line.n--;
		text(o, line);
		if (cr && o->cr) { /* two in a row: the first stands alone */
			o->cr = false;
			text(o, SLICE_LIT("\r"));
		}
		o->cr = o->cr || cr;
		if (lf < 0)
			break;
		end_line(o);
		s = slice_from(s, (size_t)lf + 1);
	}
}

static void
from_file(struct out *o, const struct letter *l)
{
	static char bytes[CHUNK];
	uint64_t done = 0;

	while (done < l->body_bytes && o->err == 0) {
		uint64_t left = l->body_bytes - done;
		ssize_t n = pread(
		    l->body_fd, bytes, left < CHUNK ? left : CHUNK, (off_t)(l->body_at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			o->err = n < 0 ? -errno : -ENODATA;
			return;
		}
		content(o, slice_of(bytes, (size_t)n));
		done += (uint64_t)n;
	}
}

/* No envelope may make a line of its own, whoever wrote it. */
static void
put_address(struct out *o, struct slice address, bool blanks)
{
	for (size_t i = 0; i < address.n; i++) {
		char c = address.p[i];

		if ((unsigned char)c < ' ' || c == 127)
			c = '?';
		buf_putc(&o->buf, c == ' ' && !blanks ? '-' : c);
	}
}

/* The From_ line has blanks between its parts, so none within the address. */
static void
put_from_line(struct out *o, struct slice sender, time_t now)
{
	char date[32];
	struct tm tm;

	buf_puts(&o->buf, from_);
	if (sender.n == 0)
		buf_puts(&o->buf, "MAILER-DAEMON");
	put_address(o, sender, false);
	if (localtime_r(&now, &tm) == NULL ||
	    strftime(date, sizeof date, "%a %b %e %H:%M:%S %Y", &tm) == 0)
		slice_copy(SLICE_LIT("Thu Jan  1 00:00:00 1970"), date, sizeof date);
	buf_printf(&o->buf, "  %s\n", date);
}

static void
put_fields(struct out *o, const struct letter *l)
{
	buf_puts(&o->buf, "Return-Path: <");
	put_address(o, l->sender, true);
	buf_puts(&o->buf, ">\n");
	if (l->original.n > 0 && !slice_eq(l->original, l->recipient)) {
		buf_puts(&o->buf, "X-Original-To: ");
		put_address(o, l->original, true);
		buf_puts(&o->buf, "\n");
	}
	buf_puts(&o->buf, "Delivered-To: ");
	put_address(o, l->recipient, true);
	buf_puts(&o->buf, "\n");
}

int
letter_write(const struct letter *l, int fd, enum letter_form form, time_t now)
{
	struct out o = {
		.fd = fd, .quote = form == LETTER_MBOX, .until_mono_ms = l->until_mono_ms
	};

	if (form == LETTER_MBOX)
		put_from_line(&o, l->sender, now);
	put_fields(&o, l);
	for (size_t i = 0; i < l->content->niov; i++)
		content(&o, slice_of(l->content->iov[i].iov_base, l->content->iov[i].iov_len));
	if (l->body_fd >= 0)
		from_file(&o, l);
	if (o.cr) {
		o.cr = false;
		text(&o, SLICE_LIT("\r"));
	}
	if (o.in_line || o.angles > 0 || o.matched > 0)
		end_line(&o);
	if (form == LETTER_MBOX)
		put(&o, SLICE_LIT("\n"));
	flush(&o);
	buf_fini(&o.buf);
	return o.err;
}

static bool
is_delivered_to(struct slice field, struct slice recipient)
{
	static const struct slice name = { "Delivered-To", 12 };
	ptrdiff_t colon = slice_find(field, ':');
	struct slice value;

	if (colon < 0 || !slice_ieq(slice_trim(slice_head(field, (size_t)colon)), name))
		return false;
	value = slice_from(field, (size_t)colon + 1);
	while (value.n > 0 && strchr(" \t\r\n", value.p[value.n - 1]) != NULL)
		value.n--;
	while (value.n > 0 && strchr(" \t\r\n", value.p[0]) != NULL)
		value = slice_from(value, 1);
	return slice_ieq(value, recipient);
}

bool
letter_loops(const struct letter *l)
{
	const struct content *c = l->content;

	/* A piece is made of whole fields. */
	for (size_t i = 0; i < c->nhead; i++) {
		struct slice head = slice_of(c->iov[i].iov_base, c->iov[i].iov_len), field;

		while (content_field_next(&head, &field))
			if (is_delivered_to(field, l->recipient))
				return true;
	}
	return false;
}
