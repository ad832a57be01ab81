/* SPDX-License-Identifier: ISC */
/* Rule 19: a file of large/ is there as long as a record refers to it or may, and no longer. */
#include "world.h"

#include "qmgr/large.h"
#include "spool/large.h"

static struct world w;
static struct {
	uint32_t number;
	int fd;
} made;

static void
setup(void)
{
	world_new(&w, "retry_first = 10m\nretry_max = 1h\nlife = 5d\n");
}

static void
teardown(void)
{
	world_end(&w);
}

static void
on_made(struct qmgr *q, uint64_t instance, uint32_t number, int fd)
{
	(void)q;
	ck_assert_uint_ne(instance, 0);
	made.number = number;
	made.fd = fd;
}

static uint32_t
lease_large(uint64_t instance)
{
	made.fd = -1;
	ck_assert(larges_lease(&w.q, instance, on_made));
	world_settle(&w);
	ck_assert_int_ge(made.fd, 0);
	return made.number;
}

static const char body[] = "\r\na body that is large only by decree\r\n";

/* Written, and said nothing about; the descriptor stays open. */
static struct record_large
fill(void)
{
	struct record_large large = { .number = made.number, .bytes = sizeof body - 1 };
	struct large_hash *h = large_hash_new(made.number);

	ck_assert_int_eq(write(made.fd, body, sizeof body - 1), sizeof body - 1);
	large_hash_feed(h, body, sizeof body - 1);
	large.hash = large_hash_now(h);
	large_hash_free(h);
	return large;
}

static uint64_t
refer(struct pen *p, const struct record_large *large)
{
	const struct letter l = { .from = "a@x.example",
		.to = { "b@one.example" },
		.hop = "192.0.2.1",
		.large = *large };

	return pen_write(&w, p, &l);
}

static bool
is_there(const char *folder, const char *prefix, uint32_t number)
{
	char name[64];

	snprintf(name, sizeof name, "%s/%s%010u", folder, prefix, number);
	return faccessat(w.dirfd, name, F_OK, 0) == 0;
}

static bool
in_large(uint32_t number)
{
	return is_there(SPOOL_LARGE, "", number);
}

static void
some_time(void)
{
	for (int i = 0; i < 4; i++)
		world_pass(&w, 1000);
}

static void
crash_and_open(void)
{
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	world_settle(&w);
	some_time();
}

/* _i: qmgr falls so many times on the way. */
START_TEST(referred_to_until_the_message_is_done)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	uint32_t number = lease_large(11);
	struct record_large large = fill();
	uint64_t id;

	close(made.fd);
	id = refer(&p, &large);
	pen_ring(&w, &p);
	for (int i = 0; i < _i; i++)
		crash_and_open();
	ck_assert_ptr_nonnull(message_find(&w.q.messages, id));
	ck_assert_uint_eq(large_of(&w.q, message_find(&w.q.messages, id)), number);
	ck_assert(in_large(number));
	noted_large = 0;
	world_worker(&w, 1, 100);
	world_settle(&w);
	ck_assert_uint_eq(noted_large, number);
	ck_assert_uint_eq(ntold, 1);
	ck_assert(in_large(number));
	job_finish(&w, &told[0], OUTCOME_OK, 250);
	some_time();
	ck_assert(!in_large(number));
	ck_assert_ptr_null(message_find(&w.q.messages, id));
	crash_and_open();
	ck_assert_uint_gt(lease_large(11), number); /* never again */
	close(made.fd);
	close(p.fd);
}
END_TEST

START_TEST(cleaning_keeps_what_is_known)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	uint32_t filed = lease_large(11), spare;
	struct record_large large = fill();
	uint64_t id;
	uint32_t from = w.q.journal.oldest;
	int fd;

	close(made.fd);
	id = refer(&p, &large);
	pen_ring(&w, &p);
	spare = lease_large(11);
	fd = made.fd;
	for (int i = 0; i < 4; i++) {
		crash_and_open(); /* each start begins a new file */
		clean_consider(&w.q, true);
		world_settle(&w);
	}
	ck_assert_uint_gt(w.q.journal.oldest, from + 2);
	crash_and_open();
	ck_assert_uint_eq(large_of(&w.q, message_find(&w.q.messages, id)), filed);
	ck_assert(in_large(filed) && in_large(spare));
	ck_assert(large_dropped(&w.q, 11, spare)); /* it is known whose it is */
	ck_assert_uint_gt(lease_large(11), spare);
	close(made.fd);
	close(fd);
	close(p.fd);
}
END_TEST

START_TEST(given_up_by_its_writer)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	uint32_t number = lease_large(11);

	fill();
	ck_assert(!large_dropped(&w.q, 12, number)); /* another's */
	ck_assert(!large_dropped(&w.q, 11, number + 1));
	ck_assert(large_dropped(&w.q, 11, number));
	some_time();
	ck_assert(in_large(number)); /* still held */
	close(made.fd);
	some_time();
	ck_assert(!in_large(number));
	ck_assert(large_dropped(&w.q, 11, number)); /* said again */
	close(p.fd);
}
END_TEST

START_TEST(empty_and_held_by_nobody)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	uint32_t number = lease_large(11);

	some_time();
	ck_assert(in_large(number)); /* on its way, for all we know */
	close(made.fd);
	some_time();
	ck_assert(!in_large(number));
	close(p.fd);
}
END_TEST

/* A cut between the body's sync and its record. The record may be on the disk, not rung: then it counts. */
START_TEST(complete_but_its_writer_is_gone)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	uint32_t number = lease_large(11);
	struct record_large large = fill();
	uint64_t id = _i == 0 ? 0 : refer(&p, &large);

	close(made.fd);
	some_time();
	ck_assert(in_large(number)); /* its writer lives: the record may come */
	crash_and_open();
	ck_assert(in_large(number));
	close(p.fd);
	if (_i == 1)
		crash_and_open();
	some_time();
	ck_assert_int_eq(in_large(number), _i != 0);
	ck_assert_int_eq(message_find(&w.q.messages, id) != NULL, _i != 0);
}
END_TEST

START_TEST(what_the_journal_does_not_know)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	uint32_t number = lease_large(11);
	int fd;

	close(made.fd);
	some_time();
	ck_assert(!in_large(number));
	/* A power cut took back its end; the other is not ours. */
	ck_assert_int_eq(large_make(w.dirfd, number, &fd), 0);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
	ck_assert_int_eq(large_make(w.dirfd, number + 7, &fd), 0);
	close(fd);
	close(p.fd);
	for (int i = 0; i < 3 * _i; i++) {
		crash_and_open(); /* each start begins a new file, whose cleaning forgets */
		clean_consider(&w.q, true);
		world_settle(&w);
	}
	crash_and_open();
	ck_assert(!in_large(number));
	ck_assert(!in_large(number + 7));
	ck_assert(is_there(SPOOL_DAMAGED, "large.", number + 7));
	ck_assert(!is_there(SPOOL_DAMAGED, "large.", number));
	ck_assert_uint_gt(lease_large(11), number + 7);
	close(made.fd);
}
END_TEST

/* What a writer may not refer to is set aside, and hands nobody another's mail. */
START_TEST(claims_are_checked)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	struct record_large large;
	uint64_t id, damaged = w.q.damaged_ranges;
	uint32_t number = lease_large(_i == 0 ? 12 : 11);

	large = fill();
	switch (_i) {
	case 1:
		large.number += 5;
		break;
	case 2:
		large.bytes++;
		break;
	case 3:
		ck_assert(large_dropped(&w.q, 11, number));
		break;
	case 4: /* twice the same */
		refer(&p, &large);
		pen_ring(&w, &p);
		break;
	}
	id = refer(&p, &large);
	pen_ring(&w, &p);
	ck_assert_ptr_null(message_find(&w.q.messages, id));
	ck_assert_uint_eq(w.q.damaged_ranges, damaged + 1);
	close(made.fd);
	close(p.fd);
}
END_TEST

/* _i 0: a byte changed; 1: cut short; 2: gone, which is found when it is to be handed over. */
START_TEST(rule_22_a_damaged_body)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	uint32_t number = lease_large(11);
	struct record_large large = fill();
	char name[SPOOL_NAME];
	uint64_t id;
	int fd;

	close(made.fd);
	id = refer(&p, &large);
	pen_ring(&w, &p);
	spool_large_name(number, name);
	fd = openat(w.dirfd, name, O_WRONLY);
	ck_assert_int_ge(fd, 0);
	if (_i == 0)
		ck_assert_int_eq(pwrite(fd, "X", 1, 5), 1);
	else if (_i == 1)
		ck_assert_int_eq(ftruncate(fd, 7), 0);
	else
		ck_assert_int_eq(unlinkat(w.dirfd, name, 0), 0);
	close(fd);
	world_worker(&w, 1, 100);
	world_settle(&w);
	if (_i < 2) {
		ck_assert_uint_eq(ntold, 1);
		job_finish(&w, &told[0], 3, 0);
	}
	some_time();
	ck_assert_ptr_null(message_find(&w.q.messages, id));
	ck_assert_uint_eq(w.q.ledger.damaged, 1);
	ck_assert(!in_large(number));
	ck_assert_int_eq(is_there(SPOOL_DAMAGED, "large.", number), _i < 2);
	close(p.fd);
}
END_TEST

START_TEST(so_many_and_no_more)
{
	int fd[300];
	unsigned n = 0;

	while (n < 300 && larges_lease(&w.q, 11, on_made)) {
		world_settle(&w);
		fd[n++] = made.fd;
	}
	ck_assert_uint_eq(n, 256);
	ck_assert(larges_lease(&w.q, 12, on_made)); /* of each writer */
	world_settle(&w);
	close(made.fd);
	while (n > 0)
		close(fd[--n]);
	some_time();
	for (uint32_t i = 1; i <= 257; i++)
		ck_assert(!in_large(i));
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, referred_to_until_the_message_is_done, 0, 3);
	tcase_add_test(tc, cleaning_keeps_what_is_known);
	tcase_add_test(tc, given_up_by_its_writer);
	tcase_add_test(tc, empty_and_held_by_nobody);
	tcase_add_loop_test(tc, complete_but_its_writer_is_gone, 0, 3);
	tcase_add_loop_test(tc, what_the_journal_does_not_know, 0, 2);
	tcase_add_loop_test(tc, claims_are_checked, 0, 5);
	tcase_add_loop_test(tc, rule_22_a_damaged_body, 0, 3);
	tcase_add_test(tc, so_many_and_no_more);
}
CHECK_MAIN("qmgr large", cases)
