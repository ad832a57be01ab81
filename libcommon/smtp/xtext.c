/* SPDX-License-Identifier: ISC */
#include "smtp/xtext.h"

#include "smtp/chars.h"

/* xtext = *( xchar / hexchar ), hexchar = "+" and two of 0-9 A-F. -1: no such digit. */
static int
hex_digit(char c)
{
	if (ascii_digit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes what stands at *at and moves it on; -1: not xtext. */
static int
next_byte(struct slice s, size_t *at, bool utf8)
{
	char c = s.p[*at];
	uint32_t code;
	size_t len;

	if (chars_is(c, CHARS_XCHAR)) {
		(*at)++;
		return (unsigned char)c;
	}
	if (c == '+') {
		int high = *at + 2 < s.n ? hex_digit(s.p[*at + 1]) : -1;
		int low = *at + 2 < s.n ? hex_digit(s.p[*at + 2]) : -1;

		*at += 3;
		return high < 0 || low < 0 ? -1 : high << 4 | low;
	}
	len = utf8 ? chars_utf8(s.p + *at, s.n - *at, &code) : 0;
	*at += len;
	return len > 0 ? (unsigned char)c : -1;
}

bool
xtext_valid(struct slice s, bool utf8)
{
	size_t at = 0;

	while (at < s.n)
		if (next_byte(s, &at, utf8) < 0)
			return false;
	return true;
}

bool
xtext_printable(struct slice s, bool utf8)
{
	size_t at = 0;

	while (at < s.n) {
		int byte = next_byte(s, &at, utf8);

		if (byte < ' ' || byte == 0x7f || (byte > 0x7f && !utf8))
			return false;
	}
	return true;
}

void
xtext_encode(struct buf *out, struct slice plain)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < plain.n; i++) {
		unsigned char c = (unsigned char)plain.p[i];

		if (chars_is(plain.p[i], CHARS_XCHAR)) {
			buf_putc(out, plain.p[i]);
		} else {
			buf_putc(out, '+');
			buf_putc(out, hex[c >> 4]);
			buf_putc(out, hex[c & 15]);
		}
	}
}

bool
xtext_decode(struct buf *out, struct slice s)
{
	size_t at = 0;

	if (!xtext_valid(s, true))
		return false;
	while (at < s.n) {
		size_t from = at;
		int byte = next_byte(s, &at, true);

		if (s.p[from] == '+')
			buf_putc(out, (char)byte);
		else
			buf_put(out, s.p + from, at - from);
	}
	return true;
}
