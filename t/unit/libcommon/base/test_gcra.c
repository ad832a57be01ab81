/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "base/gcra.h"

/* Each asks as often as it can: how many pass in a time, from rest. */
static const struct {
	struct gcra_rate rate;
	uint64_t ms, passed;
} runs[] = {
	{ { 100, 1, 60000 }, 60000, 100 },
	{ { 100, 10, 60000 }, 60000, 109 },
	{ { 3, 1, 1000 }, 1000, 3 }, /* 333.3 ms apart */
	{ { 7, 7, 1000 }, 10000, 76 },
	{ { 5000, 1, 3600000 }, 3600000, 5000 },
	{ { 1, 1, 86400000 }, 86400000, 1 },
	{ { 4999999, 1, 3600000 }, 1000, 1389 }, /* more than one a ms */
	/* A week of three a minute: 30,240, and not one more or less. */
	{ { 3, 1, 60000 }, 7 * 86400000ULL, 30240 },
	{ { 7, 1, 60000 }, 7 * 86400000ULL, 70560 },
};

START_TEST(a_rate_is_kept_to_the_event)
{
	const struct gcra_rate *r = &runs[_i].rate;
	const uint64_t begin = 1234567;
	uint64_t due = 0, n = 0, now = begin;

	while (now < begin + runs[_i].ms) {
		uint64_t wait = gcra_wait_ms(due, r, now);

		if (wait > 0) {
			ck_assert_uint_gt(gcra_wait_ms(due, r, now + wait - 1), 0);
			now += wait;
			continue;
		}
		due = gcra_take(due, r, now, 1);
		n++;
	}
	ck_assert_uint_eq(n, runs[_i].passed);
}
END_TEST

START_TEST(a_burst_comes_back_with_rest)
{
	const struct gcra_rate r = { 60, 5, 60000 }; /* one a second */
	uint64_t due = 0;

	ck_assert_uint_eq(gcra_left(due, &r, 5000), 5);
	for (uint32_t i = 5; i > 0; i--) {
		ck_assert_uint_eq(gcra_left(due, &r, 5000), i);
		ck_assert_uint_eq(gcra_wait_ms(due, &r, 5000), 0);
		due = gcra_take(due, &r, 5000, 1);
	}
	ck_assert_uint_eq(gcra_left(due, &r, 5000), 0);
	ck_assert_uint_eq(gcra_wait_ms(due, &r, 5000), 1000);
	ck_assert_uint_eq(gcra_wait_ms(due, &r, 5001), 999);
	ck_assert_uint_eq(gcra_left(due, &r, 8000), 3);
	ck_assert_uint_eq(gcra_left(due, &r, 1000000), 5); /* no more than the burst, ever */
	due = gcra_take(due, &r, 8000, 5);		   /* two more than there were */
	ck_assert_uint_eq(gcra_wait_ms(due, &r, 8000), 3000);
	due = gcra_give_back(due, &r);
	ck_assert_uint_eq(gcra_wait_ms(due, &r, 8000), 2000);
}
END_TEST

START_TEST(a_change_of_the_rate_keeps_what_was_used)
{
	const struct gcra_rate slow = { 10, 10, 60000 }, fast = { 6000, 10, 60000 },
			       narrow = { 10, 2, 60000 }, none = { 0 };
	uint64_t due = gcra_take(0, &slow, 1000, 10), fresh;

	ck_assert_uint_eq(gcra_wait_ms(due, &slow, 1000), 6000);
	fresh = gcra_change(due, &slow, &fast, 1000);
	ck_assert_uint_eq(gcra_left(fresh, &fast, 1000), 0);
	ck_assert_uint_eq(gcra_wait_ms(fresh, &fast, 1000), 10); /* not the minutes of before */
	fresh = gcra_change(due, &slow, &narrow, 1000);
	ck_assert_uint_eq(gcra_wait_ms(fresh, &narrow, 1000), 6000);
	ck_assert_uint_eq(gcra_change(due, &slow, &none, 1000), 0);
	ck_assert_uint_eq(gcra_wait_ms(gcra_change(0, &none, &slow, 1000), &slow, 1000), 0);
	/* At rest it stays so. */
	ck_assert_uint_eq(gcra_change(due, &slow, &fast, 1000000), 0);
}
END_TEST

START_TEST(the_largest_of_all_does_not_overflow)
{
	const struct gcra_rate r = { GCRA_COUNT_MAX, GCRA_COUNT_MAX, GCRA_PERIOD_MAX_MS };
	uint64_t now = GCRA_NOW_MAX_MS - 1, due = 0;

	due = gcra_take(due, &r, now, GCRA_COUNT_MAX);
	ck_assert_uint_eq(gcra_left(due, &r, now), 0);
	ck_assert_uint_eq(gcra_wait_ms(due, &r, now), 267);
	due = gcra_take(UINT64_MAX - 1, &r, now, GCRA_COUNT_MAX);
	ck_assert_uint_eq(due, UINT64_MAX);
}
END_TEST

START_TEST(no_rate_is_no_limit)
{
	const struct gcra_rate none = { 0 };

	ck_assert_uint_eq(gcra_wait_ms(UINT64_MAX, &none, UINT64_MAX), 0);
	ck_assert_uint_eq(gcra_take(7, &none, UINT64_MAX, 1), 0);
	ck_assert_uint_eq(gcra_give_back(7, &none), 0);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, a_rate_is_kept_to_the_event, 0, sizeof runs / sizeof *runs);
	tcase_add_test(tc, a_burst_comes_back_with_rest);
	tcase_add_test(tc, a_change_of_the_rate_keeps_what_was_used);
	tcase_add_test(tc, the_largest_of_all_does_not_overflow);
	tcase_add_test(tc, no_rate_is_no_limit);
}
CHECK_MAIN("gcra", cases)
