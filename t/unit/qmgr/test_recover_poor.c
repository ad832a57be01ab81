/* SPDX-License-Identifier: ISC */
#include "t/unit/qmgr/world.h"

#include <sys/resource.h>

/*
 * A start without enough descriptors: it fails and is tried again, or it has the whole queue.
 * Nothing that cannot be opened just now is taken for gone.
 */
enum { DESCRIPTORS = 200, SEGMENTS = 5 };

static struct world w;
static int held[DESCRIPTORS];
static unsigned nheld;

static void
hold_all(void)
{
	struct rlimit few = { .rlim_max = RLIM_INFINITY };
	int fd;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &few), 0);
	few.rlim_cur = DESCRIPTORS;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		held[nheld++] = fd;
}

START_TEST(what_cannot_be_opened_is_not_gone)
{
	struct pen p[SEGMENTS];
	unsigned failed = 0;

	world_new(&w, "");
	for (unsigned i = 0; i < SEGMENTS; i++) {
		p[i] = world_lease(&w, CLASS_MX, 11 + i);
		world_send(&w, &p[i], "a@x.example", "b@y.example");
		if (i % 2 == 1) /* its end is read, too */
			close(p[i].fd);
	}
	world_pass(&w, 1100);
	ck_assert_uint_eq(w.q.messages.count, SEGMENTS);
	world_crash(&w);
	hold_all();
	while (world_open(&w) != 0) {
		failed++;
		if (w.open)
			world_crash(&w);
		ck_assert_uint_gt(nheld, 0);
		close(held[--nheld]);
	}
	ck_assert_uint_gt(failed, 0);
	while (nheld > 0)
		close(held[--nheld]);
	world_settle(&w);
	ck_assert_uint_eq(w.q.messages.count, SEGMENTS);
	ck_assert_uint_eq(w.q.ledger.damaged, 0);
	ck_assert(world_balanced(&w));
	for (unsigned i = 0; i < SEGMENTS; i += 2)
		close(p[i].fd);
	world_end(&w);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, what_cannot_be_opened_is_not_gone);
}
CHECK_MAIN("qmgr recover, poor", cases)
