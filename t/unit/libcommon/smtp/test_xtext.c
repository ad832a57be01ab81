/* SPDX-License-Identifier: ISC */
#include "smtp/xtext.h"

#include "t/unit/check_main.h"

START_TEST(every_byte_comes_back)
{
	struct buf text = { 0 }, back = { 0 };
	char all[256];

	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	xtext_encode(&text, slice_of(all, 256));
	ck_assert(xtext_valid(slice_buf(&text), false));
	ck_assert(!xtext_printable(slice_buf(&text), true));
	ck_assert(xtext_decode(&back, slice_buf(&text)));
	ck_assert(slice_eq(slice_buf(&back), slice_of(all, 256)));
	buf_fini(&text);
	buf_fini(&back);
}
END_TEST

static const struct {
	const char *in;
	bool valid, utf8_valid, printable;
} texts[] = {
	{ "", true, true, true },
	{ "a@b", true, true, true },
	{ "a+2Bb+3D", true, true, true },
	{ "a+20b", true, true, true },
	{ "a+7F", true, true, false },
	{ "a+0A", true, true, false },
	{ "a=b", false, false, false },
	{ "a b", false, false, false },
	{ "a+", false, false, false },
	{ "a+2", false, false, false },
	{ "a+2b", false, false, false },
	{ "+GG", false, false, false },
	{ "\xc3\xa9", false, true, false },
	{ "\xc3", false, false, false },
	{ "+C3+A9", true, true, false },
};

START_TEST(grammar)
{
	struct slice in = slice_z(texts[_i].in);
	struct buf out = { 0 };

	ck_assert_msg(xtext_valid(in, false) == texts[_i].valid, "%s", texts[_i].in);
	ck_assert_msg(xtext_valid(in, true) == texts[_i].utf8_valid, "%s", texts[_i].in);
	ck_assert_msg(xtext_printable(in, false) == texts[_i].printable, "%s", texts[_i].in);
	ck_assert(xtext_decode(&out, in) == texts[_i].utf8_valid);
	ck_assert(texts[_i].utf8_valid || out.n == 0);
	buf_fini(&out);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, every_byte_comes_back);
	tcase_add_loop_test(tc, grammar, 0, sizeof texts / sizeof *texts);
}
CHECK_MAIN("xtext", cases)
