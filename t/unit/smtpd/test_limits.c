/* SPDX-License-Identifier: ISC */
#include "../check_main.h"

#include "smtpd/limits.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(clients_have_keys)
{
	static const struct {
		const char *a, *b;
		bool same;
	} pairs[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "2001:db8::1", "2001:db8::ffff:1", true },
		{ "2001:db8::1", "2001:db8:0:1::1", false },
		{ "::1", "192.0.2.1", false },
		{ "::c000:201", "192.0.2.1", false },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		uint8_t a[16], b[16];

		ck_assert(addr_host_parse(slice_z(pairs[i].a), a) &&
			  addr_host_parse(slice_z(pairs[i].b), b));
		ck_assert_msg((limits_client(a) == limits_client(b)) == pairs[i].same, "%s %s",
		    pairs[i].a, pairs[i].b);
		ck_assert_uint_ne(limits_client(a), 0);
		ck_assert_uint_ne(limits_client(a), limits_uid(0));
	}
}
END_TEST

/* Counts of all workers are seen by each, though every one writes its own only. */
START_TEST(workers_see_each_other)
{
	struct limits *l = limits_new(3);
	struct limits_tally sum;
	struct limits_count now;
	unsigned a, b;

	if (fork() == 0) {
		for (int i = 0; i < 10; i++)
			limits_enter(l, 2, limits_uid(7), &now);
		limits_tell(l, 2, 100, 5);
		_exit(0);
	}
	wait(NULL);
	a = limits_enter(l, 1, limits_uid(7), &now);
	ck_assert_uint_eq(now.all, 11);
	ck_assert_uint_eq(now.of_client, 11);
	b = limits_enter(l, 1, limits_uid(8), &now);
	ck_assert_uint_eq(now.all, 12);
	ck_assert_uint_eq(now.of_client, 1);
	limits_leave(l, 1, a);
	limits_leave(l, 1, b);
	limits_enter(l, 3, limits_uid(7), &now);
	ck_assert_uint_eq(now.all, 11);
	/* The worker dies: its sessions are gone, what it counted is not. */
	limits_clear(l, 2);
	limits_enter(l, 3, limits_uid(7), &now);
	ck_assert_uint_eq(now.all, 2);
	ck_assert_uint_eq(now.of_client, 2);
	limits_tell(l, 2, 1, 1);
	limits_sum(l, &sum);
	ck_assert_uint_eq(sum.accepted, 101);
	ck_assert_uint_eq(sum.refused, 6);
	ck_assert_uint_eq(sum.sessions, 2);
	limits_free(l);
}
END_TEST

/* More clients than the table has places: all is given back, nothing is written beside it. */
START_TEST(many_clients)
{
	enum { MANY = 50000 };
	static unsigned place[MANY];
	struct limits *l = limits_new(1);
	struct limits_count now;

	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < MANY; i++)
			place[i] = limits_enter(l, 1, limits_uid(i), &now);
		ck_assert_uint_eq(now.all, MANY);
		for (uint32_t i = 0; i < MANY; i++)
			limits_leave(l, 1, place[i]);
	}
	limits_enter(l, 1, limits_uid(1), &now);
	ck_assert_uint_eq(now.all, 1);
	ck_assert_uint_eq(now.of_client, 1);
	limits_free(l);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, clients_have_keys);
	tcase_add_test(tc, workers_see_each_other);
	tcase_add_test(tc, many_clients);
}

CHECK_MAIN("limits", cases)
