/* SPDX-License-Identifier: ISC */
#include "ctl/submit_phrase.h"

/* Bytes of the UTF-8 character at the front; 0: it is none (RFC 3629 section 4). */
static size_t
utf8_length(struct slice s)
{
	unsigned char c = (unsigned char)s.p[0], second;
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (n == 0 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if (((unsigned char)s.p[i] & 0xc0) != 0x80)
			return 0;
	if (n == 1)
		return 1;
	second = (unsigned char)s.p[1];
	/* Overlong forms, surrogates, beyond U+10FFFF. */
	if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) ||
	    (c == 0xf0 && second < 0x90) || (c == 0xf4 && second > 0x8f))
		return 0;
	return n;
}

static bool
is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

/* Words of atext only need no quotes. */
static bool
is_atoms(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) &&
		    strchr(" !#$%&'*+-/=?^_`{|}~", s.p[i]) == NULL)
			return false;
	return true;
}

static void
put_quoted(struct buf *out, struct slice s)
{
	buf_putc(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_putc(out, '\\');
		buf_putc(out, s.p[i]);
	}
	buf_putc(out, '"');
}

static void
put_q_byte(struct buf *out, char c)
{
	if (ascii_alpha(c) || ascii_digit(c))
		buf_putc(out, c);
	else if (c == ' ')
		buf_putc(out, '_');
	else
		buf_printf(out, "=%02X", (unsigned char)c);
}

/* An encoded word holds 75 bytes at most and no character in halves. */
static bool
put_encoded(struct buf *out, struct slice s)
{
	size_t start = out->n, word = out->n;

	buf_puts(out, "=?utf-8?q?");
	while (s.n > 0) {
		size_t n = utf8_length(s);

		if (n == 0) {
			out->n = start;
			return false;
		}
		if (out->n - word + n * 3 + 2 > 75) {
			buf_puts(out, "?=\r\n ");
			word = out->n;
			buf_puts(out, "=?utf-8?q?");
		}
		for (size_t i = 0; i < n; i++)
			put_q_byte(out, s.p[i]);
		s = slice_from(s, n);
	}
	buf_puts(out, "?=");
	return true;
}

/* At most so many bytes, no character in halves. */
static struct slice
cut(struct slice s, size_t max)
{
	if (s.n <= max)
		return s;
	while (max > 0 && ((unsigned char)s.p[max] & 0xc0) == 0x80)
		max--;
	return slice_head(s, max);
}

bool
submit_phrase_print(struct buf *out, struct slice name)
{
	struct buf clean = { 0 };
	struct slice s;
	bool ok = true;

	for (size_t i = 0; i < name.n; i++)
		buf_putc(
		    &clean, (unsigned char)name.p[i] < ' ' || name.p[i] == 0x7f ? ' ' : name.p[i]);
	s = cut(slice_trim(slice_buf(&clean)), 500);
	if (s.n == 0)
		ok = false;
	else if (!is_ascii(s))
		ok = put_encoded(out, s);
	else if (is_atoms(s))
		buf_slice(out, s);
	else
		put_quoted(out, s);
	buf_fini(&clean);
	return ok;
}

void
submit_phrase_gecos(struct buf *out, struct slice gecos, struct slice login)
{
	ptrdiff_t comma = slice_find(gecos, ',');

	if (comma >= 0)
		gecos = slice_head(gecos, (size_t)comma);
	for (size_t i = 0; i < gecos.n; i++) {
		if (gecos.p[i] != '&') {
			buf_putc(out, gecos.p[i]);
			continue;
		}
		if (login.n > 0 && login.p[0] >= 'a' && login.p[0] <= 'z')
			buf_putc(out, (char)(login.p[0] - 32));
		else
			buf_slice(out, slice_head(login, 1));
		buf_slice(out, slice_from(login, 1));
	}
}

void
submit_phrase_show(struct buf *out, struct slice text)
{
	text = cut(text, 200);
	for (size_t i = 0; i < text.n; i++)
		buf_putc(
		    out, (unsigned char)text.p[i] < ' ' || text.p[i] == 0x7f ? '?' : text.p[i]);
}
