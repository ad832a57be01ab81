/* SPDX-License-Identifier: ISC */
#include "base/json.h"

static void
comma(struct buf *b)
{
	char last = b->n == 0 ? '\n' : b->p[b->n - 1];

	if (last != '{' && last != '[' && last != ':' && last != '\n' && last != ',')
		buf_putc(b, ',');
}

void
json_open(struct buf *b, char brace)
{
	comma(b);
	buf_putc(b, brace);
}

void
json_close(struct buf *b, char brace)
{
	buf_putc(b, brace);
}

/* Bytes of the well-formed UTF-8 character at p (RFC 3629, section 4), or 0. */
size_t
json_utf8_len(const unsigned char *p, size_t n)
{
	size_t len = p[0] < 0x80		   ? 1
		     : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		     : (p[0] & 0xf0) == 0xe0	   ? 3
		     : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						   : 0;

	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

static bool
plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void
escape(struct buf *b, unsigned char c)
{
	switch (c) {
	case '"':
	case '\\':
		buf_putc(b, '\\');
		buf_putc(b, (char)c);
		break;
	case '\n':
		buf_puts(b, "\\n");
		break;
	case '\r':
		buf_puts(b, "\\r");
		break;
	case '\t':
		buf_puts(b, "\\t");
		break;
	default:
		buf_printf(b, "\\u%04x", c);
	}
}

void
json_quote(struct buf *b, struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t i = 0;

	buf_putc(b, '"');
	while (i < s.n) {
		size_t run = i, len;

		while (run < s.n && plain(p[run]))
			run++;
		buf_put(b, s.p + i, run - i);
		i = run;
		if (i == s.n)
			break;
		if (p[i] < 0x80) {
			escape(b, p[i++]);
			continue;
		}
		len = json_utf8_len(p + i, s.n - i);
		if (len == 0)
			buf_puts(b, "\xef\xbf\xbd");
		else
			buf_put(b, s.p + i, len);
		i += len == 0 ? 1 : len;
	}
	buf_putc(b, '"');
}

void
json_str(struct buf *b, struct slice s)
{
	comma(b);
	json_quote(b, s);
}

void
json_key(struct buf *b, const char *key)
{
	json_str(b, slice_z(key));
	buf_putc(b, ':');
}

void
json_u64(struct buf *b, uint64_t v)
{
	comma(b);
	buf_u64(b, v);
}

void
json_i64(struct buf *b, int64_t v)
{
	if (v >= 0) {
		json_u64(b, (uint64_t)v);
		return;
	}
	comma(b);
	buf_printf(b, "%lld", (long long)v);
}

void
json_bool(struct buf *b, bool v)
{
	comma(b);
	buf_puts(b, v ? "true" : "false");
}

void
json_kstr(struct buf *b, const char *key, struct slice s)
{
	json_key(b, key);
	json_str(b, s);
}

void
json_kz(struct buf *b, const char *key, const char *z)
{
	json_kstr(b, key, slice_z(z));
}

void
json_ku64(struct buf *b, const char *key, uint64_t v)
{
	json_key(b, key);
	json_u64(b, v);
}

void
json_kbool(struct buf *b, const char *key, bool v)
{
	json_key(b, key);
	json_bool(b, v);
}
