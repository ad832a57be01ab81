/* SPDX-License-Identifier: ISC */
#include "smtp/chars.h"

#include "t/unit/check_main.h"

/* The sets once more, as the RFCs spell them. */
static bool
is_atext(int c)
{
	return c != 0 && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				"!#$%&'*+-/=?^_`{|}~",
			     c) != NULL;
}

static bool
is_let_dig(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

START_TEST(sets_are_those_of_the_rfcs)
{
	for (int c = 0; c < 256; c++) {
		char b = (char)c;

		ck_assert_msg(chars_is(b, CHARS_ATEXT) == is_atext(c), "atext %d", c);
		ck_assert_msg(chars_is(b, CHARS_LETDIG) == is_let_dig(c), "let-dig %d", c);
		ck_assert_msg(chars_is(b, CHARS_LDH) == (is_let_dig(c) || c == '-'), "ldh %d", c);
		ck_assert_msg(
		    chars_is(b, CHARS_QTEXT) ==
			(c == 32 || c == 33 || (c >= 35 && c <= 91) || (c >= 93 && c <= 126)),
		    "qtext %d", c);
		ck_assert_msg(
		    chars_is(b, CHARS_DTEXT) == ((c >= 33 && c <= 90) || (c >= 94 && c <= 126)),
		    "dtext %d", c);
		ck_assert_msg(
		    chars_is(b, CHARS_XCHAR) == (c >= 33 && c <= 126 && c != '+' && c != '='),
		    "xchar %d", c);
		ck_assert_msg(
		    chars_is(b, CHARS_VALUE) == ((c >= 33 && c <= 60) || (c >= 62 && c <= 126)),
		    "esmtp-value %d", c);
		ck_assert_msg(chars_is(b, CHARS_VISIBLE) == (c >= 32 && c <= 126), "visible %d", c);
	}
}
END_TEST

static const struct {
	const char *in;
	size_t len;
	uint32_t code;
} utf8s[] = {
	{ "a", 0, 0 },
	{ "\xc3\xa9", 2, 0xe9 },
	{ "\xe2\x82\xac", 3, 0x20ac },
	{ "\xf0\x9f\x98\x86", 4, 0x1f606 },
	{ "\xf4\x8f\xbf\xbf", 4, 0x10ffff },
	{ "\xf4\x90\x80\x80", 0, 0 }, /* beyond Unicode */
	{ "\xc0\xaf", 0, 0 },	      /* longer than needed */
	{ "\xe0\x80\xaf", 0, 0 },
	{ "\xf0\x80\x80\xaf", 0, 0 },
	{ "\xed\xa0\x80", 0, 0 }, /* a surrogate */
	{ "\x80", 0, 0 },
	{ "\xe2\x82", 0, 0 }, /* cut */
	{ "\xe2\x28\xa1", 0, 0 },
	{ "\xff", 0, 0 },
};

START_TEST(utf8_is_read)
{
	struct slice in = slice_z(utf8s[_i].in);
	uint32_t code = 0;

	ck_assert_uint_eq(chars_utf8(in.p, in.n, &code), utf8s[_i].len);
	ck_assert_uint_eq(code, utf8s[_i].code);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, sets_are_those_of_the_rfcs);
	tcase_add_loop_test(tc, utf8_is_read, 0, sizeof utf8s / sizeof *utf8s);
}
CHECK_MAIN("chars", cases)
