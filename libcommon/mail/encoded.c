/* SPDX-License-Identifier: ISC */
#include "mail/encoded.h"

#include "smtp/chars.h"

/* encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?=" */
struct word {
	struct slice charset, text;
	bool base64;
	size_t len; /* of the whole */
};

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (ascii_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The text begins with "=?". The charset ends at the first "?", the text at the first "?=". Sets
 * *none where no "?=" is left, so that nobody looks for it again. */
static bool
word_parse(struct slice s, struct word *w, bool *none)
{
	struct slice rest = slice_from(s, 2);
	ptrdiff_t end = slice_find(rest, '?'), star;

	if (end <= 0 || rest.n < (size_t)end + 3 || rest.p[end + 2] != '?')
		return false;
	w->charset = slice_head(rest, (size_t)end);
	star = slice_find(w->charset, '*');
	if (star >= 0)
		w->charset.n = (size_t)star;
	if (!chars_all(w->charset, CHARS_ATEXT))
		return false;
	w->base64 = ascii_lower(rest.p[end + 1]) == 'b';
	if (!w->base64 && ascii_lower(rest.p[end + 1]) != 'q')
		return false;
	w->text = rest = slice_from(rest, (size_t)end + 3);
	for (w->text.n = 0; w->text.n + 1 < rest.n; w->text.n++)
		if (rest.p[w->text.n] == '?' && rest.p[w->text.n + 1] == '=') {
			w->len = (size_t)(rest.p + w->text.n + 2 - s.p);
			return true;
		}
	*none = true;
	return false;
}

static bool
put_base64(struct buf *out, struct slice in)
{
	uint32_t bits = 0;
	unsigned have = 0;

	for (size_t i = 0; i < in.n; i++) {
		int v = base64_value(in.p[i]);

		if (in.p[i] == '=' || strchr(" \t\r\n", in.p[i]) != NULL)
			continue;
		if (v < 0)
			return false;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			buf_putc(out, (char)(bits >> have));
		}
	}
	return true;
}

static bool
put_q(struct buf *out, struct slice in)
{
	for (size_t i = 0; i < in.n; i++) {
		int high, low;

		if (in.p[i] != '=') {
			buf_putc(out, in.p[i] == '_' ? ' ' : in.p[i]);
			continue;
		}
		high = i + 2 < in.n ? ascii_hex(in.p[i + 1]) : -1;
		low = high < 0 ? -1 : ascii_hex(in.p[i + 2]);
		if (low < 0)
			return false;
		buf_putc(out, (char)(high << 4 | low));
		i += 2;
	}
	return true;
}

/* Text only: whoever shows it shall not find a line end or worse. */
static bool
put_text(struct buf *out, struct slice bytes, bool latin1)
{
	uint32_t code;

	for (size_t i = 0, n = 1; i < bytes.n; i += n) {
		unsigned char c = (unsigned char)bytes.p[i];

		n = 1;
		if (c < ' ' || c == 0x7f)
			return false;
		if (c < 0x80) {
			buf_putc(out, (char)c);
		} else if (latin1) {
			buf_putc(out, (char)(0xc0 | c >> 6));
			buf_putc(out, (char)(0x80 | (c & 0x3f)));
		} else {
			n = chars_utf8(bytes.p + i, bytes.n - i, &code);
			if (n == 0)
				return false;
			buf_put(out, bytes.p + i, n);
		}
	}
	return true;
}

bool
encoded_text(struct buf *out, struct slice charset, struct slice bytes)
{
	bool latin1 = slice_iis(charset, "iso-8859-1");
	size_t before = out->n;

	if (!latin1 && !slice_iis(charset, "utf-8") && !slice_iis(charset, "us-ascii"))
		return false;
	if (put_text(out, bytes, latin1))
		return true;
	out->n = before;
	return false;
}

/* Appends what the word says; false: nothing was appended. */
static bool
put_word(struct buf *out, const struct word *w)
{
	struct buf bytes = { 0 };
	bool ok = (w->base64 ? put_base64(&bytes, w->text) : put_q(&bytes, w->text)) &&
		  encoded_text(out, w->charset, slice_buf(&bytes));

	buf_fini(&bytes);
	return ok;
}

void
encoded_decode(struct buf *out, struct slice text)
{
	struct slice gap = SLICE_NONE; /* blanks behind a word, not yet put */
	bool after_word = false, none = false;
	struct word w;

	while (text.n > 0) {
		size_t n = 1;

		if (after_word && strchr(" \t\r\n", text.p[0]) != NULL) {
			gap = gap.n == 0 ? slice_head(text, 1) : slice_of(gap.p, gap.n + 1);
			text = slice_from(text, 1);
			continue;
		}
		after_word = !none && text.n > 2 && text.p[0] == '=' && text.p[1] == '?' &&
			     word_parse(text, &w, &none);
		if (after_word)
			n = w.len;
		after_word = after_word && put_word(out, &w);
		if (!after_word) {
			buf_slice(out, gap);
			buf_put(out, text.p, n);
		}
		gap = SLICE_NONE;
		text = slice_from(text, n);
	}
	buf_slice(out, gap);
}
