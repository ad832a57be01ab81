/* SPDX-License-Identifier: ISC */
#include "mail/msgid.h"

#include "smtp/chars.h"

static void
put_number(struct buf *out, uint64_t v)
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	char text[13];
	size_t at = sizeof text;

	do
		text[--at] = digits[v & 31];
	while ((v >>= 5) != 0);
	buf_put(out, text + at, sizeof text - at);
}

void
msgid_print(struct buf *out, uint64_t wall_us, uint64_t unique, struct slice domain)
{
	buf_putc(out, '<');
	put_number(out, wall_us);
	buf_putc(out, '.');
	put_number(out, unique);
	buf_putc(out, '@');
	buf_slice(out, domain);
	buf_putc(out, '>');
}

/* 1*atext *("." 1*atext) */
static bool
is_dot_atom(struct slice s)
{
	struct slice part;

	if (s.n == 0)
		return false;
	while (slice_next(&s, '.', &part))
		if (part.n == 0 || !chars_all(part, CHARS_ATEXT))
			return false;
	return true;
}

/* "[" *dtext "]" */
static bool
is_literal(struct slice s)
{
	return s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']' &&
	       chars_all(slice_of(s.p + 1, s.n - 2), CHARS_DTEXT);
}

bool
msgid_valid(struct slice value)
{
	struct slice inside, right;
	ptrdiff_t at;

	if (value.n < 5 || value.p[0] != '<' || value.p[value.n - 1] != '>')
		return false;
	inside = slice_of(value.p + 1, value.n - 2);
	at = slice_find(inside, '@');
	if (at < 0)
		return false;
	right = slice_from(inside, (size_t)at + 1);
	return is_dot_atom(slice_head(inside, (size_t)at)) &&
	       (is_dot_atom(right) || is_literal(right));
}

bool
msgid_next(struct slice *value, struct slice *id)
{
	ptrdiff_t from = slice_find(*value, '<'), n;

	if (from < 0)
		return false;
	*id = slice_from(*value, (size_t)from + 1);
	n = slice_find(*id, '>');
	if (n < 0)
		return false;
	*value = slice_from(*id, (size_t)n + 1);
	*id = slice_head(*id, (size_t)n);
	return true;
}
