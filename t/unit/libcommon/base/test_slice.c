/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "base/slice.h"

static const struct {
	struct slice in;
	bool ok;
	uint64_t out;
} numbers[] = {
	{ SLICE_LIT("0"), true, 0 },
	{ SLICE_LIT("007"), true, 7 },
	{ SLICE_LIT("18446744073709551615"), true, UINT64_MAX },
	{ SLICE_LIT("18446744073709551616"), false, 0 },
	{ SLICE_LIT("18446744073709551620"), false, 0 },
	{ SLICE_LIT("99999999999999999999999"), false, 0 },
	{ SLICE_LIT(""), false, 0 },
	{ { NULL, 0 }, false, 0 },
	{ SLICE_LIT("+1"), false, 0 },
	{ SLICE_LIT("-1"), false, 0 },
	{ SLICE_LIT(" 1"), false, 0 },
	{ SLICE_LIT("1 "), false, 0 },
	{ SLICE_LIT("1\0"), false, 0 },
	{ SLICE_LIT("0x1"), false, 0 },
};

START_TEST(numbers_or_nothing)
{
	uint64_t v = 42;

	ck_assert(slice_u64(numbers[_i].in, &v) == numbers[_i].ok);
	ck_assert_uint_eq(v, numbers[_i].ok ? numbers[_i].out : 42);
}
END_TEST

static const struct {
	const char *a, *b;
	bool ieq, starts, ends;
} pairs[] = {
	{ "", "", true, true, true }, { "Example.ORG", "example.org", true, true, true },
	{ "example.org", "EXAMPLE", false, true, false },
	{ "a.example.org", ".Example.Org", false, false, true },
	{ "org", "example.org", false, false, false },
	{ "a[", "A{", false, false, false }, /* apart by 32, but no letters */
	{ "a@", "a`", false, false, false },
	{ "\xc3\xa4", "\xc3\x84", false, false, false }, /* letters of ASCII only */
};

START_TEST(case_is_that_of_ascii)
{
	struct slice a = slice_z(pairs[_i].a), b = slice_z(pairs[_i].b);

	ck_assert(slice_ieq(a, b) == pairs[_i].ieq);
	ck_assert(slice_iis(a, pairs[_i].b) == pairs[_i].ieq);
	ck_assert(slice_istarts(a, pairs[_i].b) == pairs[_i].starts);
	ck_assert(slice_iends(a, b) == pairs[_i].ends);
	if (pairs[_i].ieq)
		ck_assert_uint_eq(slice_ihash(a), slice_ihash(b));
}
END_TEST

START_TEST(parts)
{
	static const struct {
		struct slice in;
		unsigned n;
		const char *parts[4];
	} rows[] = {
		{ { NULL, 0 }, 0, { 0 } },
		{ SLICE_LIT(""), 1, { "" } },
		{ SLICE_LIT("a"), 1, { "a" } },
		{ SLICE_LIT("a,b"), 2, { "a", "b" } },
		{ SLICE_LIT(",a,,"), 4, { "", "a", "", "" } },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct slice rest = rows[i].in, part;
		unsigned n = 0;

		while (slice_next(&rest, ',', &part))
			ck_assert(n < 4 && slice_is(part, rows[i].parts[n++]));
		ck_assert_uint_eq(n, rows[i].n);
	}
}
END_TEST

START_TEST(trimmed)
{
	static const struct {
		const char *in, *out;
	} rows[] = { { "", "" }, { " \t ", "" }, { "a", "a" }, { "\t a b \t", "a b" },
		{ "\na\r", "\na\r" } };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		ck_assert(slice_is(slice_trim(slice_z(rows[i].in)), rows[i].out));
}
END_TEST

/* Never beyond the room, always ended. */
START_TEST(copies)
{
	char out[8];

	for (size_t size = 1; size <= sizeof out; size++)
		for (size_t n = 0; n < 10; n++) {
			size_t want = n < size ? n : size - 1;

			memset(out, 'x', sizeof out);
			ck_assert(slice_copy(slice_of("abcdefghij", n), out, size) == (n < size));
			ck_assert(memcmp(out, "abcdefghij", want) == 0 && out[want] == '\0');
			for (size_t i = want + 1; i < sizeof out; i++)
				ck_assert_int_eq(out[i], 'x');
		}
	ck_assert(slice_copy(SLICE_NONE, out, 1));
}
END_TEST

START_TEST(cuts)
{
	struct slice s = SLICE_LIT("abc");

	ck_assert(slice_is(slice_from(s, 1), "bc"));
	ck_assert(slice_is(slice_from(s, 3), "") && slice_from(s, 3).p == s.p + 3);
	ck_assert(slice_is(slice_from(s, 99), ""));
	ck_assert(slice_is(slice_head(s, 2), "ab"));
	ck_assert(slice_is(slice_head(s, 99), "abc"));
	ck_assert(slice_from(SLICE_NONE, 0).n == 0 && slice_from(SLICE_NONE, 5).n == 0);
	ck_assert_int_eq(slice_find(s, 'c'), 2);
	ck_assert_int_eq(slice_find(s, 'x'), -1);
	ck_assert_int_eq(slice_find(SLICE_NONE, 'x'), -1);
	ck_assert(slice_eq(SLICE_NONE, SLICE_LIT("")));
	ck_assert(!slice_eq(s, SLICE_LIT("abd")));
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, numbers_or_nothing, 0, sizeof numbers / sizeof *numbers);
	tcase_add_loop_test(tc, case_is_that_of_ascii, 0, sizeof pairs / sizeof *pairs);
	tcase_add_test(tc, parts);
	tcase_add_test(tc, trimmed);
	tcase_add_test(tc, copies);
	tcase_add_test(tc, cuts);
}
CHECK_MAIN("slice", cases)
