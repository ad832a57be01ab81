/* SPDX-License-Identifier: ISC */
#include "smtp/body.h"

#include <assert.h>

/*
 * The decoder's states: what stands before the next byte and has not been decided yet. Only
 * LINE_START lets a dot be more than a dot, and only CR LF leads there.
 */
enum {
	LINE_START, /* CR LF, or nothing at all */
	IN_LINE,
	CR_SEEN,     /* a CR within content, held back */
	DOT_SEEN,    /* LINE_START and a dot, held back */
	DOT_CR_SEEN, /* LINE_START, dot, CR, both held back */
};

/* Is there a byte of 128 and above? */
static bool
has_eight_bit(const char *p, size_t n)
{
	uint64_t word, all = 0;

	while (n >= sizeof word) {
		memcpy(&word, p, sizeof word);
		all |= word;
		p += sizeof word;
		n -= sizeof word;
	}
	while (n-- > 0)
		all |= (unsigned char)*p++;
	return (all & 0x8080808080808080U) != 0;
}

static void
put(struct body_decoder *d, const char *p, size_t n, struct buf *out)
{
	if (n == 0)
		return;
	d->bytes += n;
	if (!(d->seen & BODY_EIGHT_BIT) && has_eight_bit(p, n))
		d->seen |= BODY_EIGHT_BIT;
	if (!(d->seen & BODY_NUL) && memchr(p, '\0', n) != NULL)
		d->seen |= BODY_NUL;
	if (out != NULL)
		buf_put(out, p, n);
}

/* What a stretch without CR tells of its line. */
static void
look_line(struct body_decoder *d, const char *p, size_t n)
{
	d->line += n;
	if (d->line > BODY_LINE_MAX)
		d->seen |= BODY_LONG_LINE;
	if (!(d->seen & BODY_BARE_LF) && memchr(p, '\n', n) != NULL)
		d->seen |= BODY_BARE_LF;
}

/*
 * Takes whole lines in one piece, up to a line that begins with a dot, a CR at the end of what is
 * there, or that end. p < end, and what stands at p is content.
 */
static const char *
take_lines(struct body_decoder *d, const char *p, const char *end, struct buf *out)
{
	const char *from = p, *cr, *stop;

	for (;;) {
		cr = memchr(p, '\r', (size_t)(end - p));
		stop = cr == NULL ? end : cr;
		look_line(d, p, (size_t)(stop - p));
		if (cr == NULL || cr + 1 == end) {
			put(d, from, (size_t)(stop - from), out);
			d->state = cr == NULL ? IN_LINE : CR_SEEN;
			return end;
		}
		p = cr + 1;
		if (*p != '\n') {
			d->seen |= BODY_BARE_CR;
			d->line++;
			continue;
		}
		p++;
		d->line = 0;
		if (p == end || *p == '.') {
			put(d, from, (size_t)(p - from), out);
			d->state = LINE_START;
			return p;
		}
	}
}

/* A CR was held back and no LF follows: it is content, in the middle of its line. */
static void
bare_cr(struct body_decoder *d, struct buf *out)
{
	put(d, "\r", 1, out);
	d->seen |= BODY_BARE_CR;
	d->line++;
	d->state = IN_LINE;
}

/* What follows it tells what it is: an LF belongs to it and is taken, 1. */
static size_t
held_cr(struct body_decoder *d, char next, struct buf *out)
{
	if (next != '\n') {
		bare_cr(d, out);
		return 0;
	}
	put(d, "\r\n", 2, out);
	d->line = 0;
	d->state = LINE_START;
	return 1;
}

bool
body_decode(struct body_decoder *d, struct slice in, size_t *used, struct buf *out)
{
	const char *p = in.p, *end = in.p + in.n;

	assert(!d->done);
	while (p < end && !d->done) {
		switch (d->state) {
		case LINE_START:
			if (*p == '.') {
				d->state = DOT_SEEN;
				p++;
				break;
			}
			p = take_lines(d, p, end, out);
			break;
		case IN_LINE:
			p = take_lines(d, p, end, out);
			break;
		case CR_SEEN:
			p += held_cr(d, *p, out);
			break;
		case DOT_SEEN:
			if (*p == '\r') {
				d->state = DOT_CR_SEEN;
				p++;
				break;
			}
			if (*p == '.')
				d->seen |= BODY_HAS_DOT;
			p = take_lines(d, p, end, out);
			break;
		case DOT_CR_SEEN:
			if (*p == '\n') {
				d->done = true;
				p++;
			} else {
				bare_cr(d, out);
			}
			break;
		}
	}
	*used = (size_t)(p - in.p);
	return d->done;
}

void
body_take(struct body_decoder *d, struct slice in, struct buf *out)
{
	const char *p = in.p, *end = in.p + in.n;

	while (p < end) {
		if (d->state == CR_SEEN) {
			p += held_cr(d, *p, out);
			continue;
		}
		if (d->state == LINE_START && *p == '.')
			d->seen |= BODY_HAS_DOT;
		p = take_lines(d, p, end, out);
	}
}

void
body_take_end(struct body_decoder *d, struct buf *out)
{
	if (d->state == CR_SEEN)
		bare_cr(d, out);
	if (d->state != LINE_START)
		put(d, "\r\n", 2, out);
	d->state = LINE_START;
	d->done = true;
}

unsigned
body_look(struct slice content)
{
	struct body_decoder d = { .state = LINE_START };

	body_take(&d, content, NULL);
	if (d.state == CR_SEEN)
		d.seen |= BODY_BARE_CR;
	return d.seen;
}

static void
end_line(struct body_encoder *e, struct buf *out)
{
	buf_put(out, "\r\n", 2);
	e->line = 0;
	e->cr = false;
}

static void
fold(struct body_encoder *e, struct buf *out)
{
	buf_put(out, "\r\n ", 3);
	e->line = 1;
}

/* Bytes of the character that `c` begins; 1 for all that begins none. */
static size_t
char_len(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 0xf0 ? 4 : u >= 0xe0 ? 3 : u >= 0xc0 ? 2 : 1;
}

/*
 * Takes a stretch of a line, at least one byte, which is neither CR, LF nor NUL. Near the limit it
 * goes byte by byte, so that a character is folded before its first byte or not at all.
 */
static const char *
encode_stretch(struct body_encoder *e, const char *p, const char *end, struct buf *out)
{
	const char *from = p, *most;

	if (e->line == 0 && *p == '.')
		buf_putc(out, '.');
	if (e->line + char_len(*p) > BODY_LINE_MAX)
		fold(e, out);
	if (e->line + 4 > BODY_LINE_MAX) {
		p++;
	} else {
		most = p + (BODY_LINE_MAX - 3 - e->line);
		if (most > end)
			most = end;
		while (p < most && *p != '\r' && *p != '\n' && *p != '\0')
			p++;
	}
	buf_put(out, from, (size_t)(p - from));
	e->line += (size_t)(p - from);
	return p;
}

void
body_encode(struct body_encoder *e, struct slice content, struct buf *out)
{
	const char *p = content.p, *end = content.p + content.n;

	while (p < end) {
		if (*p == '\0') {
			p++;
		} else if (*p == '\n') {
			end_line(e, out);
			p++;
		} else if (e->cr) {
			end_line(e, out); /* bare, and *p begins the next line */
		} else if (*p == '\r') {
			e->cr = true;
			p++;
		} else {
			p = encode_stretch(e, p, end, out);
		}
	}
}

void
body_encode_end(struct body_encoder *e, struct buf *out)
{
	if (e->cr || e->line > 0)
		end_line(e, out);
	buf_put(out, ".\r\n", 3);
}
