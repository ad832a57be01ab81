/* SPDX-License-Identifier: ISC */
/* Domains behind the same next hop share its limit of connections, and each gets its turn. */
#include "world.h"

enum { DOMAINS = 10, EACH = 3, LIMIT = 4 };

static unsigned
running(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ntold; i++)
		n += !told[i].done;
	return n;
}

START_TEST(many_domains_one_next_hop)
{
	struct world w;
	struct pen p;
	char to[64];

	world_new(&w, "concurrency = 4\n");
	p = world_lease(&w, CLASS_MX, 5);
	world_worker(&w, 9, 1000);
	for (int d = 0; d < DOMAINS; d++)
		for (int i = 0; i < EACH; i++) {
			snprintf(to, sizeof to, "u%d@d%d.example", i, d);
			world_send(&w, &p, "a@b.example", to);
		}
	/* The limit holds over all of them while work is finished one by one, to the last. */
	for (unsigned i = 0; i < DOMAINS * EACH; i++) {
		unsigned left = DOMAINS * EACH - i;

		ck_assert_uint_eq(running(), left < LIMIT ? left : LIMIT);
		job_finish(&w, &told[i], OUTCOME_OK, 250);
	}
	ck_assert_uint_eq(ntold, DOMAINS * EACH);
	ck_assert_uint_eq(running(), 0);
	world_end(&w);
}
END_TEST

START_TEST(another_next_hop_has_its_own)
{
	struct world w;
	struct pen p;
	struct letter l = { .from = "a@b.example", .hop = "192.0.2.2" };

	world_new(&w, "concurrency = 4\n");
	p = world_lease(&w, CLASS_MX, 5);
	world_worker(&w, 9, 1000);
	for (int i = 0; i < 6; i++)
		world_send(&w, &p, "a@b.example", "u@one.example");
	for (int i = 0; i < 6; i++) {
		l.to[0] = "u@two.example";
		pen_write(&w, &p, &l);
		pen_ring(&w, &p);
	}
	ck_assert_uint_eq(running(), 2 * LIMIT);
	world_end(&w);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, many_domains_one_next_hop);
	tcase_add_test(tc, another_next_hop_has_its_own);
}
CHECK_MAIN("site", cases)
