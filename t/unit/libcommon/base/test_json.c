/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "base/json.h"

#include <stdio.h>

static const struct {
	struct slice in;
	const char *out;
} texts[] = {
	{ { NULL, 0 }, "\"\"" },
	{ SLICE_LIT("plain"), "\"plain\"" },
	{ SLICE_LIT("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"" },
	{ SLICE_LIT("\r\n\t\b\f"), "\"\\r\\n\\t\\u0008\\u000c\"" },
	{ SLICE_LIT("a\0b\x1f\x7f"), "\"a\\u0000b\\u001f\\u007f\"" },
	{ SLICE_LIT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xa8"),
	    "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xa8\"" },
	{ SLICE_LIT("\xc3"), "\"\xef\xbf\xbd\"" },
	{ SLICE_LIT("\xc3x"), "\"\xef\xbf\xbdx\"" },
	{ SLICE_LIT("\xc3\""), "\"\xef\xbf\xbd\\\"\"" },
	{ SLICE_LIT("\x80\xbf"), "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ SLICE_LIT("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\"" }, /* overlong */
	{ SLICE_LIT("\xe0\x80\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ SLICE_LIT("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" }, /* a surrogate */
	{ SLICE_LIT("\xf4\x90\x80\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ SLICE_LIT("\xf5\x80\x80\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ SLICE_LIT("\xf0\x9f\x93"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
};

START_TEST(quoted)
{
	struct buf b = { 0 };

	json_quote(&b, texts[_i].in);
	ck_assert_msg(slice_is(slice_buf(&b), texts[_i].out), "%.*s", SLICE_ARG(slice_buf(&b)));
	buf_fini(&b);
}
END_TEST

/* By decoding, where json.c looks at ranges: shortest form, no surrogate, at most U+10FFFF. */
static bool
is_utf8(struct slice s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s.p;

	for (size_t i = 0, n; i < s.n; i += n) {
		uint32_t c = p[i];

		n = c < 0x80		 ? 1
		    : (c & 0xe0) == 0xc0 ? 2
		    : (c & 0xf0) == 0xe0 ? 3
		    : (c & 0xf8) == 0xf0 ? 4
					 : 0;
		if (n == 0 || i + n > s.n)
			return false;
		c &= n == 1 ? 0x7f : 0xffU >> (n + 1);
		for (size_t k = 1; k < n; k++) {
			if ((p[i + k] & 0xc0) != 0x80)
				return false;
			c = c << 6 | (p[i + k] & 0x3f);
		}
		if (c < least[n] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
			return false;
	}
	return true;
}

/* Valid whatever comes: UTF-8, no control character, quotes only escaped; and what was valid is
 * kept. */
static bool
good(struct buf *b, const char *p, size_t n)
{
	struct slice in = slice_of(p, n), body;
	bool ascii = false;

	buf_reset(b);
	json_quote(b, in);
	body = slice_of(b->p + 1, b->n - 2);
	if (b->p[0] != '"' || b->p[b->n - 1] != '"' || !is_utf8(body))
		return false;
	for (size_t i = 0; i < body.n; i++) {
		if ((unsigned char)body.p[i] < 0x20 || body.p[i] == '"')
			return false;
		if (body.p[i] == '\\')
			i++;
	}
	for (size_t i = 0; i < n; i++)
		ascii |= (unsigned char)p[i] < 0x80; /* may be escaped */
	return ascii || is_utf8(in) == slice_eq(in, body);
}

START_TEST(always_valid)
{
	static const unsigned char edges[] = { 0, '"', '\\', 'a', 0x7f, 0x80, 0x8f, 0x90, 0x9f,
		0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5,
		0xff };
	struct buf b = { 0 };
	char s[4];
	bool all = true;

	for (unsigned x = 0; x < 256; x++)
		for (unsigned y = 0; y < 256; y++) {
			s[0] = (char)x;
			s[1] = (char)y;
			all &= good(&b, s, 2);
		}
	for (unsigned x = 0; x < sizeof edges; x++)
		for (unsigned y = 0; y < sizeof edges; y++)
			for (unsigned z = 0; z < sizeof edges; z++)
				for (unsigned w = 0; w <= sizeof edges; w++) {
					s[0] = (char)edges[x];
					s[1] = (char)edges[y];
					s[2] = (char)edges[z];
					s[3] = w < sizeof edges ? (char)edges[w] : 0;
					all &= good(&b, s, w < sizeof edges ? 4 : 3);
				}
	ck_assert(all);
	buf_fini(&b);
}
END_TEST

/* Commas stand where they must. */
START_TEST(structure)
{
	struct buf b = { 0 };

	json_open(&b, '{');
	json_kz(&b, "a", "x");
	json_ku64(&b, "b", UINT64_MAX);
	json_key(&b, "c");
	json_open(&b, '[');
	json_u64(&b, 0);
	json_i64(&b, INT64_MIN);
	json_i64(&b, 5);
	json_str(&b, SLICE_LIT("}"));
	json_open(&b, '{');
	json_close(&b, '}');
	json_open(&b, '{');
	json_kbool(&b, "d", true);
	json_close(&b, '}');
	json_bool(&b, false);
	json_close(&b, ']');
	json_kstr(&b, "e", SLICE_LIT("[,:"));
	json_kz(&b, "f", "");
	json_close(&b, '}');
	buf_putc(&b, '\n');
	json_open(&b, '[');
	json_close(&b, ']');
	buf_putc(&b, '\0');
	ck_assert_str_eq(b.p, "{\"a\":\"x\",\"b\":18446744073709551615,\"c\":[0,-"
			      "9223372036854775808,5,\"}\",{},{\"d\":true},false],"
			      "\"e\":\"[,:\",\"f\":\"\"}\n[]");
	buf_fini(&b);
}
END_TEST

START_TEST(numbers)
{
	uint64_t v = 1;
	char want[32];

	for (int i = 0; i < 64; i++, v = v * 2 + (uint64_t)(i & 1)) {
		struct buf b = { 0 };

		json_u64(&b, v);
		buf_putc(&b, '\0');
		snprintf(want, sizeof want, "%llu", (unsigned long long)v);
		ck_assert_str_eq(b.p, want);
		buf_fini(&b);
	}
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, quoted, 0, sizeof texts / sizeof *texts);
	tcase_add_test(tc, always_valid);
	tcase_add_test(tc, structure);
	tcase_add_test(tc, numbers);
}
CHECK_MAIN("json", cases)
