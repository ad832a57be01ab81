/* SPDX-License-Identifier: ISC */
#include "../check_main.h"

#include "smtpd/line.h"

static const struct {
	struct slice in;
	enum line_result result;
	size_t line, len; /* of LINE_WHOLE */
} lines[] = {
	{ SLICE_LIT(""), LINE_PART, 0, 0 },
	{ SLICE_LIT("a"), LINE_PART, 0, 0 },
	{ SLICE_LIT("a\r"), LINE_PART, 0, 0 },
	{ SLICE_LIT("\r\n"), LINE_WHOLE, 0, 2 },
	{ SLICE_LIT("a\r\nb\n"), LINE_WHOLE, 1, 3 },
	{ SLICE_LIT("1234567\r\n"), LINE_LONG, 0, 0 },
	{ SLICE_LIT("123456\r\n"), LINE_WHOLE, 6, 8 },
	{ SLICE_LIT("12345678"), LINE_LONG, 0, 0 },
	{ SLICE_LIT("1234567\r"), LINE_LONG, 0, 0 },
	{ SLICE_LIT("\n"), LINE_BROKEN, 0, 0 },
	{ SLICE_LIT("a\n"), LINE_BROKEN, 0, 0 },
	{ SLICE_LIT("a\rb"), LINE_BROKEN, 0, 0 },
	{ SLICE_LIT("a\r\r\n"), LINE_BROKEN, 0, 0 },
	{ SLICE_LIT("\ra\r\n"), LINE_BROKEN, 0, 0 },
	{ SLICE_LIT("1\r345678"), LINE_BROKEN, 0, 0 },
};

START_TEST(line)
{
	struct slice got = SLICE_NONE;
	size_t len = 0;

	ck_assert_int_eq(line_next(lines[_i].in, 8, &got, &len), lines[_i].result);
	if (lines[_i].result == LINE_WHOLE) {
		ck_assert_uint_eq(got.n, lines[_i].line);
		ck_assert_uint_eq(len, lines[_i].len);
	}
}
END_TEST

static const struct {
	struct slice in;
	bool cr, ended;
	size_t len;
	bool cr_after;
} rests[] = {
	{ SLICE_LIT("abc"), false, false, 3, false },
	{ SLICE_LIT("ab\r"), false, false, 3, true },
	{ SLICE_LIT("\nx"), true, true, 1, true },
	{ SLICE_LIT("\nx"), false, false, 2, false },
	{ SLICE_LIT("a\nb\r\nc"), false, true, 5, true },
	{ SLICE_LIT("\r\r\n"), false, true, 3, true },
	{ SLICE_LIT("a\n"), true, false, 2, false },
};

START_TEST(rest)
{
	bool cr = rests[_i].cr;
	size_t len = 99;

	ck_assert(line_skip(rests[_i].in, &cr, &len) == rests[_i].ended);
	ck_assert_uint_eq(len, rests[_i].len);
	ck_assert(cr == rests[_i].cr_after);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, line, 0, (int)(sizeof lines / sizeof *lines));
	tcase_add_loop_test(tc, rest, 0, (int)(sizeof rests / sizeof *rests));
}

CHECK_MAIN("line", cases)
