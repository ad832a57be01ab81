/* SPDX-License-Identifier: ISC */
#include "smtp/reply.h"

#include "smtp/chars.h"

/* One to three digits; a number beyond 255 is 0 and *small false. */
static bool
take_number(struct slice *text, uint8_t *out, bool *small)
{
	unsigned v = 0;
	size_t n = 0;

	while (n < 3 && n < text->n && ascii_digit(text->p[n]))
		v = v * 10 + (unsigned)(text->p[n++] - '0');
	*small &= v <= 255;
	*out = v <= 255 ? (uint8_t)v : 0;
	*text = slice_from(*text, n);
	return n > 0;
}

static bool
take_dot(struct slice *text)
{
	if (text->n == 0 || text->p[0] != '.')
		return false;
	*text = slice_from(*text, 1);
	return true;
}

/* RFC 3463: class "." subject "." detail, then a blank or the end. */
bool
reply_take_enh(struct slice *text, unsigned class, uint8_t enh[3])
{
	struct slice rest = *text;
	uint8_t got[3];
	bool small = true;

	if (rest.n < 5 || rest.p[1] != '.' || rest.p[0] != (char)('0' + class) ||
	    (class != 2 && class != 4 && class != 5))
		return false;
	if (!take_number(&rest, &got[0], &small) || !take_dot(&rest) ||
	    !take_number(&rest, &got[1], &small) || !take_dot(&rest) ||
	    !take_number(&rest, &got[2], &small) || (rest.n > 0 && rest.p[0] != ' '))
		return false;
	memcpy(enh, got, 3);
	if (small)
		*text = slice_from(rest, 1);
	return true;
}

static void
put_clean(struct buf *out, struct slice text)
{
	char *to = buf_room(out, text.n);

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i] == '\t' ? ' ' : text.p[i];

		to[i] = (unsigned char)c < ' ' || c == 0x7f ? '?' : c;
	}
	out->n += text.n;
}

/* One line without its end. REPLY_DONE: the last of the reply. */
static enum reply_step
take_line(struct reply_parser *p, struct slice line)
{
	uint8_t enh[3];
	unsigned code;
	bool last;

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (line.n < 3 || line.p[0] < '2' || line.p[0] > '5' || !ascii_digit(line.p[1]) ||
	    !ascii_digit(line.p[2]))
		return REPLY_BAD;
	if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
		return REPLY_BAD;
	code = (unsigned)(line.p[0] - '0') * 100 + (unsigned)(line.p[1] - '0') * 10 +
	       (unsigned)(line.p[2] - '0');
	if (p->lines > 0 && code != p->code)
		return REPLY_BAD;
	if (++p->lines > REPLY_LINES_MAX)
		return REPLY_BAD;
	p->code = (uint16_t)code;
	last = line.n == 3 || line.p[3] == ' ';
	line = slice_from(line, 4);
	if (reply_take_enh(&line, code / 100, enh) && p->enh[0] == 0)
		memcpy(p->enh, enh, 3);
	if (p->lines > 1)
		buf_putc(&p->text, '\n');
	put_clean(&p->text, line);
	return last ? REPLY_DONE : REPLY_MORE;
}

enum reply_step
reply_feed(struct reply_parser *p, struct slice in, size_t *used, struct reply_in *out)
{
	enum reply_step step = REPLY_MORE;
	const char *lf;
	size_t n;

	if (p->done)
		reply_parser_reset(p);
	*used = 0;
	while (step == REPLY_MORE && *used < in.n) {
		struct slice rest = slice_from(in, *used);

		lf = memchr(rest.p, '\n', rest.n);
		n = lf == NULL ? rest.n : (size_t)(lf - rest.p) + 1;
		*used += n;
		p->bytes += n;
		if (p->bytes > REPLY_BYTES_MAX)
			return REPLY_BAD;
		if (lf != NULL && p->part.n == 0) {
			step = take_line(p, slice_head(rest, n - 1));
			continue;
		}
		buf_put(&p->part, rest.p, lf == NULL ? n : n - 1);
		if (lf != NULL) {
			step = take_line(p, slice_buf(&p->part));
			buf_reset(&p->part);
		}
	}
	if (step == REPLY_DONE) {
		p->done = true;
		*out = (struct reply_in){
			.code = p->code, .text = slice_buf(&p->text), .lines = p->lines
		};
		memcpy(out->enh, p->enh, 3);
	}
	return step;
}

void
reply_parser_reset(struct reply_parser *p)
{
	buf_reset(&p->text);
	buf_reset(&p->part);
	*p = (struct reply_parser){ .text = p->text, .part = p->part };
}

void
reply_parser_fini(struct reply_parser *p)
{
	buf_fini(&p->text);
	buf_fini(&p->part);
	*p = (struct reply_parser){ 0 };
}
