/* SPDX-License-Identifier: ISC */
#include "qmgr/hosts.h"

#include "../check_main.h"

#include <string.h>

static struct hosts all;
static const uint8_t one[16] = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 };
static const uint8_t two[16] = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 2 };

START_TEST(rests_double_up_to_the_longest)
{
	static const uint64_t rest[] = { 100, 200, 400, 800, 1000, 1000 };
	uint64_t now = 5000;

	for (unsigned i = 0; i < sizeof rest / sizeof *rest; i++) {
		hosts_failed(&all, one, 25, now, 100, 1000);
		ck_assert_uint_eq(hosts_until_ms(&all, one, 25, now), now + rest[i]);
		hosts_failed(&all, one, 25, now + 1, 100, 1000); /* one more that was under way */
		ck_assert_uint_eq(hosts_until_ms(&all, one, 25, now + 1), now + rest[i]);
		ck_assert_uint_ne(hosts_until_ms(&all, one, 25, now + rest[i] - 1), 0);
		now += rest[i];
		ck_assert_uint_eq(hosts_until_ms(&all, one, 25, now), 0);
	}
	hosts_answered(&all, one, 25);
	hosts_failed(&all, one, 25, now, 100, 1000);
	ck_assert_uint_eq(hosts_until_ms(&all, one, 25, now), now + 100);
	hosts_fini(&all);
}
END_TEST

START_TEST(each_address_and_port_for_itself)
{
	hosts_failed(&all, one, 25, 1000, 100, 1000);
	ck_assert_uint_eq(hosts_until_ms(&all, one, 26, 1000), 0);
	ck_assert_uint_eq(hosts_until_ms(&all, two, 25, 1000), 0);
	hosts_answered(&all, two, 25);
	ck_assert_uint_ne(hosts_until_ms(&all, one, 25, 1000), 0);
	hosts_wake(&all);
	ck_assert_uint_eq(hosts_until_ms(&all, one, 25, 1000), 0);
	hosts_wake_one(&all, two, 25);
	hosts_failed(&all, one, 25, 1000, 100, 1000); /* woken, not forgotten */
	ck_assert_uint_eq(hosts_until_ms(&all, one, 25, 1000), 1200);
	hosts_failed(&all, two, 25, 1000, 100, 1000);
	hosts_wake_one(&all, one, 25);
	ck_assert_uint_eq(hosts_until_ms(&all, one, 25, 1000), 0);
	ck_assert_uint_eq(hosts_until_ms(&all, two, 25, 1000), 1100);
	hosts_fini(&all);
}
END_TEST

START_TEST(no_rest_is_no_rest)
{
	hosts_failed(&all, one, 25, 1000, 0, 1000);
	ck_assert_uint_eq(all.count, 0);
	hosts_failed(&all, one, 25, 1000, 500, 100); /* the first is longer than the longest */
	ck_assert_uint_eq(hosts_until_ms(&all, one, 25, 1000), 1500);
	hosts_fini(&all);
}
END_TEST

START_TEST(it_is_bounded)
{
	uint8_t ip[16] = { 0x20, 1 };

	for (uint32_t i = 0; i < HOSTS_MAX + 100U; i++) {
		memcpy(ip + 12, &i, sizeof i);
		hosts_failed(&all, ip, 25, 1000, 100, 1000);
	}
	ck_assert_uint_eq(all.count, HOSTS_MAX);
	ck_assert_uint_eq(hosts_until_ms(&all, ip, 25, 1000), 0); /* no room: not remembered */
	hosts_failed(&all, ip, 25, 2000, 100, 1000);		  /* the others have rested */
	ck_assert_uint_eq(all.count, 1);
	ck_assert_uint_eq(hosts_until_ms(&all, ip, 25, 2000), 2100);
	hosts_sweep(&all, 2150, 100);
	ck_assert_uint_eq(all.count, 1);
	hosts_sweep(&all, 2200, 100);
	ck_assert_uint_eq(all.count, 0);
	hosts_fini(&all);
}
END_TEST

static void
note(void *arg, const struct host_rest *h)
{
	struct host_rest *last = arg;

	last->count++;
	last->name = h->name;
	last->why = h->why;
}

START_TEST(it_is_told_why)
{
	struct host_rest seen = { 0 };
	size_t bucket = 0;

	ck_assert(!hosts_each(&all, &bucket, note, &seen));
	hosts_say(&all, one, 25, SLICE_LIT("a.example"), SLICE_LIT("nothing rests"));
	hosts_failed(&all, one, 25, 1000, 100, 1000);
	ck_assert_ptr_null(hosts_resting(&all, one, 25, 1000)->why);
	hosts_say(&all, one, 25, SLICE_LIT("a.example"), SLICE_LIT("refused"));
	hosts_say(&all, one, 25, SLICE_LIT(""), SLICE_LIT("timed out"));
	hosts_say(&all, two, 25, SLICE_LIT("b.example"), SLICE_LIT("no word of it"));
	ck_assert_str_eq(hosts_resting(&all, one, 25, 1000)->name, "a.example");
	ck_assert_ptr_null(hosts_resting(&all, one, 25, 1100));
	while (hosts_each(&all, &bucket, note, &seen))
		;
	ck_assert_uint_eq(seen.count, 1); /* also when its rest is over, until it answers */
	ck_assert_str_eq(seen.name, "a.example");
	ck_assert_str_eq(seen.why, "timed out");
	hosts_fini(&all);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, rests_double_up_to_the_longest);
	tcase_add_test(tc, each_address_and_port_for_itself);
	tcase_add_test(tc, no_rest_is_no_rest);
	tcase_add_test(tc, it_is_bounded);
	tcase_add_test(tc, it_is_told_why);
}
CHECK_MAIN("hosts", cases)
