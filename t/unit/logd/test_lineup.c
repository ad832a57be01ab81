/* SPDX-License-Identifier: ISC */
/* Lines put in the order of their times. */
#include "../check_main.h"

#include "base/buf.h"
#include "logd/lineup.h"

#include <stdio.h>

static struct lineup lineup;
static struct buf said;

static void
out(void *arg, const struct mailline *line)
{
	(void)arg;
	buf_slice(&said, line->text);
}

static void
setup(void)
{
	lineup.out = out;
}

static void
teardown(void)
{
	lineup_take_all(&lineup);
	buf_fini(&said);
}

static void
put(const char *word, uint64_t wall_us, uint64_t now_us)
{
	lineup_put(&lineup, now_us,
	    &(const struct mailline){ .program = "x", .wall_us = wall_us, .text = slice_z(word) });
}

static void
ck_said(const char *words)
{
	ck_assert_str_eq((buf_putc(&said, '\0'), said.p), words);
	buf_reset(&said);
}

enum { T = 10 * 1000 * 1000, MS = 1000 };

START_TEST(by_time)
{
	put("delivered ", T + 3 * MS, T + 3 * MS);
	put("removed ", T + 3 * MS, T + 3 * MS);
	put("received ", T, T + 4 * MS);
	put("queued ", T, T + 4 * MS);
	ck_assert_uint_eq(lineup_take(&lineup, T + LINEUP_US - 50 * MS), 50 * MS);
	ck_said("");
	ck_assert_uint_eq(lineup_take(&lineup, T + LINEUP_US), 3 * MS);
	ck_said("received queued ");
	ck_assert_uint_eq(lineup_take(&lineup, T + LINEUP_US + 3 * MS), 0);
	ck_said("delivered removed ");
}
END_TEST

/* Behind by more than lines are held for: those of one link are there before those of the other. */
START_TEST(late_ourselves)
{
	uint64_t late = T + 2 * LINEUP_US;

	put("delivered ", T + 3 * MS, late);
	ck_assert_uint_eq(lineup_take(&lineup, late), ARRIVED_US);
	put("received ", T, late + 50 * MS);
	ck_assert_uint_eq(lineup_take(&lineup, late + 50 * MS), ARRIVED_US);
	ck_said("");
	ck_assert_uint_eq(lineup_take(&lineup, late + 50 * MS + ARRIVED_US), 0);
	ck_said("received delivered ");
}
END_TEST

/* Of another time than ours: neither held for long nor in the way of others. */
START_TEST(strange_times)
{
	put("future ", UINT64_MAX, T);
	put("past ", 0, T);
	put("now ", T, T);
	ck_assert_uint_eq(lineup_take(&lineup, T), ARRIVED_US);
	ck_assert_uint_eq(lineup_take(&lineup, T + ARRIVED_US), LINEUP_US - ARRIVED_US);
	ck_said("past ");
	ck_assert_uint_eq(lineup_take(&lineup, T + LINEUP_US), 0);
	ck_said("future now ");
}
END_TEST

START_TEST(clock_set_back)
{
	put("a ", T, T);
	put("b ", T + MS, T + MS);
	ck_assert_uint_eq(lineup_take(&lineup, T - 1000 * MS), 0);
	ck_said("a b ");
}
END_TEST

START_TEST(too_many)
{
	char word[16];
	unsigned n = LINEUP_MAX + 1;

	for (unsigned i = 0; i < n; i++) {
		snprintf(word, sizeof word, "%u\n", n - i);
		put(word, T - i, T);
	}
	ck_assert_uint_eq(lineup.n, LINEUP_MAX - LINEUP_MAX / 4 + 1);
	lineup_take_all(&lineup);
	ck_assert_uint_eq(lineup.n, 0);
	/* The first quarter in order, then the rest in order, none lost. */
	for (unsigned i = 0, at = 0; i < n; i++) {
		unsigned want = i < LINEUP_MAX / 4 ? i + 2 : i == LINEUP_MAX / 4 ? 1 : i + 1, got;
		int used;

		buf_putc(&said, '\0');
		said.n--;
		ck_assert_int_eq(sscanf(said.p + at, "%u\n%n", &got, &used), 1);
		ck_assert_uint_eq(got, want);
		at += (unsigned)used;
	}
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, by_time);
	tcase_add_test(tc, late_ourselves);
	tcase_add_test(tc, strange_times);
	tcase_add_test(tc, clock_set_back);
	tcase_add_test(tc, too_many);
}
CHECK_MAIN("lineup", cases)
