/* SPDX-License-Identifier: ISC */
#include "t/unit/qmgr/world.h"

/* When the journal is synced (rule 20): the clock is the test's, what is durable has been called. */
enum { HOLD = 100 };

static struct world w;
static struct journal *j;
static struct loop *loop;
static unsigned ndurable;

static void
setup(void)
{
	world_new(&w, "journal_hold = 100ms\n");
	world_settle(&w);
	loop = loop_new();
	j = &w.q.journal;
	j->loop = loop;
	j->timer = timer_new(loop, NULL, NULL); /* it never rings here */
	ck_assert_uint_eq(j->hold_ms, HOLD);
	ck_assert_uint_eq(j->want_ms, UINT64_MAX);
	ndurable = 0;
}

static void
teardown(void)
{
	timer_free(j->timer);
	j->timer = NULL;
	j->loop = NULL;
	loop_free(loop);
	world_end(&w);
}

static void
durable(void *arg)
{
	(void)arg;
	ndurable++;
}

static struct journal_wait *
put(enum journal_haste haste)
{
	static struct journal_wait wait[8];
	static unsigned n;
	struct journal_wait *one = &wait[n++ % 8];

	*one = (struct journal_wait){ .durable = durable };
	JOURNAL_SAY(j, segment_freed, .segment = 4711);
	journal_after(j, one, haste);
	journal_commit(j);
	return one;
}

START_TEST(rule_20_a_group_waits_the_hold_at_most)
{
	uint64_t first = now_ms;

	put(JOURNAL_GROUP);
	ck_assert_uint_eq(j->rings_ms, first + HOLD);
	ck_assert(timer_is_set(j->timer));
	now_ms += 10;
	put(JOURNAL_GROUP);
	ck_assert_uint_eq(j->want_ms, first + HOLD);
	ck_assert_uint_eq(j->rings_ms, first + HOLD);
	ck_assert_uint_eq(ndurable, 0);
}
END_TEST

/* Whoever is awake shortly before syncs then: nobody has to wake for it. */
START_TEST(rule_20_what_is_due_soon_is_synced_by_who_is_awake)
{
	put(JOURNAL_GROUP);
	now_ms += HOLD * 6 / 10 - 1;
	journal_commit(j);
	ck_assert_uint_eq(ndurable, 0);
	now_ms += 1;
	journal_commit(j);
	ck_assert_uint_eq(ndurable, 1);
	ck_assert_uint_eq(j->want_ms, UINT64_MAX);
}
END_TEST

START_TEST(rule_20_haste_takes_all_with_it)
{
	put(JOURNAL_LAZY);
	put(JOURNAL_GROUP);
	ck_assert_uint_eq(ndurable, 0);
	put(JOURNAL_NOW);
	ck_assert_uint_eq(ndurable, 3);
}
END_TEST

START_TEST(rule_20_who_is_lazy_holds_up_no_group)
{
	uint64_t first = now_ms;

	put(JOURNAL_LAZY);
	ck_assert_uint_eq(j->rings_ms, first + 2 * HOLD);
	now_ms += 20;
	put(JOURNAL_GROUP);
	ck_assert_uint_eq(j->rings_ms, first + 20 + HOLD);
	put(JOURNAL_LAZY);
	ck_assert_uint_eq(j->rings_ms, first + 20 + HOLD);
}
END_TEST

/* While the disk fails nobody syncs early: the pause is kept. */
START_TEST(rule_20_a_pause_after_a_failure_is_kept)
{
	put(JOURNAL_GROUP);
	j->failing = true;
	now_ms += HOLD - 1;
	journal_commit(j);
	ck_assert_uint_eq(ndurable, 0);
	now_ms += 1;
	journal_commit(j);
	ck_assert_uint_eq(ndurable, 1);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, rule_20_a_group_waits_the_hold_at_most);
	tcase_add_test(tc, rule_20_what_is_due_soon_is_synced_by_who_is_awake);
	tcase_add_test(tc, rule_20_haste_takes_all_with_it);
	tcase_add_test(tc, rule_20_who_is_lazy_holds_up_no_group);
	tcase_add_test(tc, rule_20_a_pause_after_a_failure_is_kept);
}
CHECK_MAIN("qmgr journal", cases)
