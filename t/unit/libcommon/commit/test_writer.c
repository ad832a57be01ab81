/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "base/clock.h"
#include "base/log.h"
#include "commit/writer.h"
#include "spool/envelope.h"
#include "spool/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * The writer over real files, with each system call under the test's thumb. A thread is not needed:
 * a job is run when the test says so.
 */
enum { SEED = 0x5eed, FILES = 8 };

static struct {
	struct writer *w;
	struct intake intake;
	FILE *file[FILES];
	int fd[FILES]; /* append-only; by segment number */
	unsigned wanted, nseals, nrings, closed;
	uint32_t seal_segment, ring_segment;
	uint64_t seal_end, ring_durable;
	struct job *job;
	/* What fails: */
	int write_errno, sync_errno, room_errno;
	size_t write_short;
	uint64_t free_bytes;
	unsigned writes, syncs, asks;
	int synced_fd;
	/* What the letters heard, by their number. */
	enum letter_fate fate[64];
	unsigned heard, proofs;
	char order[64];
} t;

static ssize_t
t_writev(int fd, const struct iovec *iov, int n)
{
	ck_assert_int_le(n, IOV_MAX);
	t.writes++;
	if (t.write_errno != 0) {
		errno = t.write_errno;
		return -1;
	}
	if (t.write_short > 0) {
		struct iovec cut = { iov[0].iov_base, t.write_short };

		return writev(fd, &cut, 1);
	}
	return writev(fd, iov, n);
}

static int
t_sync(int fd)
{
	t.syncs++;
	t.synced_fd = fd;
	if (t.sync_errno != 0) {
		errno = t.sync_errno;
		return -1;
	}
	return 0;
}

static int
t_free_bytes(int fd, uint64_t *bytes)
{
	(void)fd;
	t.asks++;
	if (t.room_errno != 0) {
		errno = t.room_errno;
		return -1;
	}
	*bytes = t.free_bytes;
	return 0;
}

static int
t_close(int fd)
{
	(void)fd;
	t.closed++;
	return 0;
}

static const struct writer_io io = { t_writev, t_sync, t_free_bytes, t_close };

static bool
t_want(void *arg, unsigned count)
{
	(void)arg;
	t.wanted += count;
	return true;
}

static bool
t_ring(void *arg, uint32_t segment, uint64_t durable)
{
	(void)arg;
	t.nrings++;
	t.ring_segment = segment;
	t.ring_durable = durable;
	return true;
}

static bool
t_seal(void *arg, uint32_t segment, uint64_t end)
{
	(void)arg;
	t.nseals++;
	t.seal_segment = segment;
	t.seal_end = end;
	return true;
}

static void
t_submit(void *arg, struct job *j)
{
	(void)arg;
	ck_assert_ptr_null(t.job); /* one batch at a time */
	t.job = j;
}

static const struct writer_ops ops = {
	.want = t_want, .ring = t_ring, .seal = t_seal, .submit = t_submit
};

static uint64_t now_ms = 100000;

static uint64_t
t_now(void)
{
	return now_ms;
}

static bool
grant(uint32_t segment, uint64_t soft)
{
	struct msg_lease m = { .segment = segment,
		.start = SEGMENT_HEADER,
		.seed = SEED + segment,
		.floor_ms = 5,
		.class = CLASS_MX,
		.version = SPOOL_VERSION,
		.soft_bytes = soft,
		.floor_bytes = 1000 };
	char path[32];
	char header[SEGMENT_HEADER] = { 0 };

	t.file[segment] = tmpfile();
	ck_assert_ptr_nonnull(t.file[segment]);
	ck_assert_int_eq(write(fileno(t.file[segment]), header, sizeof header), sizeof header);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(t.file[segment]));
	t.fd[segment] = open(path, O_WRONLY | O_APPEND);
	ck_assert_int_ge(t.fd[segment], 0);
	return writer_lease(t.w, &m, t.fd[segment], CLASS_MX);
}

static void
begin(unsigned leases, uint64_t soft)
{
	static const struct clock_source source = { t_now, t_now, t_now };

	log_open(SERVICE_SMTPD);
	clock_set_source(&source);
	memset(&t, 0, sizeof t);
	t.free_bytes = UINT64_C(1) << 40;
	intake_init(&t.intake, 1 << 30, NULL, NULL);
	t.w = writer_new(&io, &ops, NULL);
	writer_up(t.w);
	for (unsigned i = 1; i <= leases; i++)
		ck_assert(grant(i, soft));
}

static void
end(void)
{
	writer_free(t.w);
	intake_fini(&t.intake);
}

static void
on_done(struct letter *l, enum letter_fate fate, const struct commit_token *proof)
{
	unsigned number = (unsigned)(uintptr_t)l->arg;

	t.fate[number] = fate;
	t.order[t.heard++] = (char)('a' + number);
	t.proofs += proof != NULL;
	ck_assert((proof != NULL) == (fate == LETTER_DURABLE));
}

static struct letter *
submit(unsigned number, size_t bytes)
{
	struct letter *l = letter_new(&t.intake);

	envelope_put_text(&l->envelope, ENVELOPE_SENDER, SLICE_LIT("a@b"));
	envelope_put_text(&l->envelope, ENVELOPE_RECIPIENT, SLICE_LIT("c@d"));
	buf_puts(&l->content, "Subject: x\r\n");
	l->head_bytes = l->content.n;
	memset(buf_room(&l->content, bytes), 'x', bytes);
	l->content.n += bytes;
	l->nrcpt = 1;
	l->id = writer_next_id(t.w, now_ms);
	l->arrival_ms = now_ms;
	l->done = on_done;
	l->arg = (void *)(uintptr_t)number;
	writer_submit(t.w, l);
	return l;
}

static void
run_job(void)
{
	struct job *j = t.job;

	ck_assert_ptr_nonnull(j);
	t.job = NULL;
	j->run(j);
	j->done(j);
}

static void
turn(void)
{
	writer_turn(t.w);
	while (t.job != NULL) {
		run_job();
		writer_turn(t.w);
	}
}

static struct writer_state
look(void)
{
	struct writer_state s;

	writer_look(t.w, &s);
	return s;
}

/* How many whole records stand in the segment up to `end`, by the reader of the spool. */
static unsigned
records(uint32_t segment, uint64_t upto)
{
	struct segment seg = { .number = segment,
		.version = SPOOL_VERSION,
		.class = CLASS_MX,
		.seed = SEED + segment };
	struct scan scan;
	struct scan_item item;
	unsigned n = 0;

	scan_init(&scan, fileno(t.file[segment]), &seg, SEGMENT_HEADER, upto, upto);
	scan.verify_bodies = true;
	while (scan_next(&scan, &item) == SCAN_RECORD)
		n++;
	scan_fini(&scan);
	return n;
}

START_TEST(rule_2_two_leases_are_wanted)
{
	begin(0, UINT64_MAX);
	ck_assert_uint_eq(t.wanted, 2);
	ck_assert(grant(1, UINT64_MAX));
	ck_assert(grant(2, UINT64_MAX));
	ck_assert_uint_eq(t.wanted, 2);
	/* One that was not asked for, of another class, or with a start where none can be. */
	ck_assert(!writer_lease(t.w,
	    &(struct msg_lease){ .segment = 9,
		.start = SEGMENT_HEADER,
		.class = CLASS_MX,
		.version = SPOOL_VERSION },
	    0, CLASS_MX));
	end();
}
END_TEST

static const struct msg_lease bad_leases[] = {
	{ .start = SEGMENT_HEADER, .class = CLASS_LOCAL, .version = SPOOL_VERSION },
	{ .start = SEGMENT_HEADER, .class = CLASS_MX, .version = SPOOL_VERSION + 1 },
	{ .start = SEGMENT_HEADER + 1, .class = CLASS_MX, .version = SPOOL_VERSION },
	{ .start = 0, .class = CLASS_MX, .version = SPOOL_VERSION },
	{ .start = SEGMENT_MAX_BYTES, .class = CLASS_MX, .version = SPOOL_VERSION },
};

START_TEST(bad_lease_is_refused)
{
	begin(0, 0);
	ck_assert(!writer_lease(t.w, &bad_leases[_i], 0, CLASS_MX));
	ck_assert_uint_eq(look().leases, 0);
	end();
}
END_TEST

START_TEST(rule_10_one_write_and_one_sync_for_all_that_wait)
{
	begin(2, UINT64_MAX);
	for (unsigned i = 0; i < 10; i++)
		submit(i, 100 * i);
	ck_assert_uint_eq(t.heard, 0);
	turn();
	ck_assert_uint_eq(t.writes, 1);
	ck_assert_uint_eq(t.syncs, 1);
	ck_assert_uint_eq(t.proofs, 10);
	ck_assert_uint_eq(t.nrings, 1);
	ck_assert_uint_eq(t.ring_durable, look().end);
	ck_assert_uint_eq(records(1, look().end), 10);
	end();
}
END_TEST

START_TEST(rule_10_what_comes_meanwhile_is_the_next_batch)
{
	begin(2, UINT64_MAX);
	submit(0, 10);
	writer_turn(t.w);
	submit(1, 10);
	submit(2, 10);
	writer_turn(t.w);
	run_job();
	ck_assert_uint_eq(t.heard, 1);
	turn();
	ck_assert_uint_eq(t.syncs, 2);
	ck_assert_uint_eq(t.heard, 3);
	ck_assert_uint_eq(records(1, look().end), 3);
	end();
}
END_TEST

/* More pieces than one writev takes. */
START_TEST(rule_10_large_groups)
{
	begin(2, UINT64_MAX);
	for (unsigned i = 0; i < 600; i++)
		submit(0, 10)->done = NULL;
	turn();
	ck_assert_uint_eq(t.syncs, 1);
	ck_assert_uint_eq(t.writes, 3);
	ck_assert_uint_eq(records(1, look().end), 600);
	end();
}
END_TEST

/* No 250 without a sync that returned 0, in whichever way it fails; and never a second sync of that
 * segment. */
static const struct {
	int write_errno, sync_errno;
	size_t write_short;
	enum letter_fate fate;
} failures[] = {
	{ EIO, 0, 0, LETTER_TROUBLE },
	{ ENOSPC, 0, 0, LETTER_NO_SPACE },
	{ EDQUOT, 0, 0, LETTER_NO_SPACE },
	{ 0, EIO, 0, LETTER_TROUBLE },
	{ 0, ENOSPC, 0, LETTER_NO_SPACE },
	{ 0, 0, 70, LETTER_NO_SPACE },
};

START_TEST(rule_8_failure_ends_the_segment_at_its_last_good_offset)
{
	uint64_t good;
	unsigned syncs;

	begin(2, UINT64_MAX);
	submit(0, 10);
	turn();
	good = look().end;
	t.write_errno = failures[_i].write_errno;
	t.sync_errno = failures[_i].sync_errno;
	t.write_short = failures[_i].write_short;
	submit(1, 10);
	submit(2, 10);
	writer_turn(t.w);
	submit(
	    3, 10); /* comes while the batch is under way, with an id of the segment that fails */
	run_job();
	ck_assert_int_eq(t.fate[1], failures[_i].fate);
	ck_assert_int_eq(t.fate[2], failures[_i].fate);
	ck_assert_uint_eq(t.proofs, 1);
	ck_assert_uint_eq(t.nseals, 1);
	ck_assert_uint_eq(t.seal_segment, 1);
	ck_assert_uint_eq(t.seal_end, good);
	ck_assert_uint_eq(look().segment, 2);
	ck_assert_uint_eq(t.wanted, 3);
	ck_assert_uint_eq(t.closed, 1);
	t.write_errno = t.sync_errno = 0;
	t.write_short = 0;
	syncs = t.syncs;
	turn();
	ck_assert_int_eq(t.fate[3], LETTER_TROUBLE);
	ck_assert_uint_eq(t.syncs, syncs);
	submit(4, 10);
	turn();
	ck_assert_uint_eq(t.syncs, syncs + 1);
	ck_assert_int_eq(t.synced_fd, t.fd[2]);
	ck_assert_int_eq(t.fate[4], LETTER_DURABLE);
	ck_assert_uint_eq(
	    records(2, look().end), 1); /* whole under the other segment's seed and number */
	ck_assert_uint_eq(records(1, good), 1);
	end();
}
END_TEST

START_TEST(rule_8_seal_is_repeated_until_it_is_journalled)
{
	begin(2, UINT64_MAX);
	writer_down(t.w);
	t.sync_errno = EIO;
	submit(0, 10);
	turn();
	ck_assert_uint_eq(t.nseals, 0); /* qmgr is away */
	ck_assert_uint_eq(
	    t.closed, 0); /* and must not take the segment for one whose writer died */
	/* An acknowledgement of what was never said is a lie. */
	ck_assert(!writer_sealed(t.w, &(struct msg_sealed){ .segment = 1 }));
	writer_up(t.w);
	ck_assert_uint_eq(t.nseals, 1);
	ck_assert_uint_eq(t.closed, 1);
	writer_tick(t.w);
	ck_assert_uint_eq(t.nseals, 2);
	ck_assert(writer_sealed(t.w, &(struct msg_sealed){ .segment = 1 }));
	writer_tick(t.w);
	ck_assert_uint_eq(t.nseals, 2);
	ck_assert_uint_eq(look().seals_open, 0);
	end();
}
END_TEST

START_TEST(rule_8_both_segments_fail)
{
	begin(2, UINT64_MAX);
	t.sync_errno = EIO;
	submit(0, 10);
	turn();
	submit(1, 10);
	turn();
	ck_assert_uint_eq(look().leases, 0);
	ck_assert_int_eq(writer_room(t.w, 1, 0), WRITER_NO_LEASE);
	ck_assert_uint_eq(writer_next_id(t.w, now_ms), 0);
	ck_assert_int_eq(t.fate[1], LETTER_TROUBLE);
	ck_assert_uint_eq(t.proofs, 0);
	t.sync_errno = 0;
	ck_assert(grant(3, UINT64_MAX));
	submit(2, 10);
	turn();
	ck_assert_int_eq(t.fate[2], LETTER_DURABLE);
	end();
}
END_TEST

/* Letters built while there was a lease, committed when there is none any more. */
START_TEST(rule_8_no_segment_is_left_for_who_waits)
{
	begin(1, UINT64_MAX);
	submit(0, 10);
	writer_turn(t.w);
	submit(1, 10);
	t.sync_errno = EIO;
	run_job();
	turn();
	ck_assert_int_eq(t.fate[0], LETTER_TROUBLE);
	ck_assert_int_eq(t.fate[1], LETTER_TROUBLE);
	ck_assert_uint_eq(t.proofs, 0);
	end();
}
END_TEST

START_TEST(rule_9_soft_mark_without_a_new_lease)
{
	begin(2, 1024);
	ck_assert_uint_eq(t.wanted, 2);
	submit(0, 4000);
	turn();
	ck_assert_uint_eq(t.wanted, 3); /* past the mark a third is asked for */
	submit(1, 4000);
	turn();
	ck_assert_uint_eq(look().segment, 1); /* it does not come: on we go, the spare is kept */
	ck_assert_uint_eq(t.nseals, 0);
	ck_assert(grant(3, 1024));
	submit(2, 10);
	turn();
	ck_assert_uint_eq(look().segment, 2);
	ck_assert_uint_eq(look().leases, 2);
	ck_assert_uint_eq(t.nseals, 1);
	ck_assert_uint_eq(t.seal_segment, 1);
	ck_assert_uint_eq(records(1, t.seal_end), 2);
	ck_assert_uint_eq(records(2, look().end), 1);
	end();
}
END_TEST

START_TEST(rule_9_four_gigabytes_are_the_end)
{
	struct msg_lease m = { .segment = 5,
		.start = SEGMENT_MAX_BYTES - 4096,
		.seed = 1,
		.class = CLASS_MX,
		.version = SPOOL_VERSION,
		.soft_bytes = 1 };

	begin(0, 0);
	ck_assert(writer_lease(t.w, &m, open("/dev/null", O_WRONLY), CLASS_MX));
	ck_assert_int_eq(writer_room(t.w, 10000, 0), WRITER_NO_SPACE);
	ck_assert_int_eq(writer_room(t.w, 100, 0), WRITER_ROOM);
	submit(0, 10000);
	turn();
	ck_assert_uint_eq(t.writes, 0);
	ck_assert_uint_eq(t.proofs, 0);
	ck_assert_uint_eq(t.nseals, 0);
	/* With another segment at hand it begins that one. */
	ck_assert(grant(2, UINT64_MAX));
	submit(1, 10000);
	turn();
	ck_assert_int_eq(t.fate[1], LETTER_DURABLE);
	ck_assert_uint_eq(t.seal_segment, 5);
	ck_assert_uint_eq(t.seal_end, SEGMENT_MAX_BYTES - 4096);
	end();
}
END_TEST

START_TEST(rule_6_doorbell_is_repeated_until_filed)
{
	uint64_t durable;

	begin(2, UINT64_MAX);
	submit(0, 10);
	turn();
	ck_assert_uint_eq(t.nrings, 1);
	durable = t.ring_durable;
	writer_tick(t.w);
	ck_assert_uint_eq(t.nrings, 2);
	ck_assert_uint_eq(t.ring_durable, durable);
	ck_assert(!writer_filed(t.w, &(struct msg_filed){ .segment = 1, .filed = durable + 64 }));
	ck_assert(writer_filed(t.w, &(struct msg_filed){ .segment = 1, .filed = durable }));
	writer_tick(t.w);
	ck_assert_uint_eq(t.nrings, 2);
	/* While the link is down nothing is said; all is said again when it stands. */
	writer_down(t.w);
	submit(1, 10);
	turn();
	ck_assert_int_eq(t.fate[1], LETTER_DURABLE); /* qmgr is not needed for a 250 */
	ck_assert_uint_eq(t.nrings, 2);
	writer_up(t.w);
	ck_assert_uint_eq(t.nrings, 3);
	ck_assert_uint_eq(t.ring_durable, look().end);
	end();
}
END_TEST

START_TEST(rule_11_floors)
{
	begin(2, UINT64_MAX);
	t.free_bytes = 10000; /* the lease's floor is 1000 */
	ck_assert_int_eq(writer_room(t.w, 9000, 0), WRITER_ROOM);
	ck_assert_int_eq(writer_room(t.w, 9001, 0), WRITER_NO_SPACE);
	ck_assert_int_eq(writer_room(t.w, 9000, 1001), WRITER_NO_SPACE);
	ck_assert_int_eq(writer_room(t.w, UINT64_MAX, 0), WRITER_NO_SPACE);
	ck_assert_uint_eq(t.asks, 1);
	t.free_bytes = 100;
	now_ms += 999;
	ck_assert_int_eq(writer_room(t.w, 1, 0), WRITER_ROOM); /* kept for a second */
	now_ms += 1;
	ck_assert_int_eq(writer_room(t.w, 1, 0), WRITER_NO_SPACE);
	ck_assert_uint_eq(t.asks, 2);
	now_ms += 1000;
	t.room_errno = EIO;
	ck_assert_int_eq(writer_room(t.w, 1, 0), WRITER_NO_SPACE); /* doubt is TEMP */
	t.room_errno = 0;
	t.free_bytes = 10000;
	ck_assert_int_eq(writer_room(t.w, 1, 0), WRITER_ROOM);
	end();
}
END_TEST

/* Each record stands in the segment whose lease its id names, also where they change under load. */
START_TEST(rule_12_ids_stay_with_their_segment)
{
	uint64_t old;

	begin(2, 1024);
	submit(0, 4000);
	writer_turn(t.w);
	old = submit(1, 4000)->id; /* waits behind the batch that passes the mark */
	run_job();
	ck_assert(grant(3, 1024));
	ck_assert_uint_eq(submit(2, 10)->id >> 10 & 0xfff, 2);
	ck_assert_uint_eq(old >> 10 & 0xfff, 1);
	turn();
	ck_assert_uint_eq(t.proofs, 3);
	ck_assert_str_eq(t.order, "abc");
	ck_assert_uint_eq(records(1, t.seal_end), 2);
	ck_assert_uint_eq(records(2, look().end), 1);
	end();
}
END_TEST

START_TEST(rule_12_ids_of_the_lease)
{
	uint64_t a, b;

	begin(2, UINT64_MAX);
	a = writer_next_id(t.w, 1); /* the clock stands below the lease's floor */
	b = writer_next_id(t.w, 1);
	ck_assert_uint_ge(a >> 22, 5);
	ck_assert_uint_gt(b, a);
	ck_assert_uint_eq(a >> 10 & 0xfff, 1);
	end();
}
END_TEST

START_TEST(refused_leases_are_asked_for_again)
{
	begin(0, 0);
	writer_refused(t.w);
	ck_assert_uint_eq(t.wanted, 2);
	writer_up(t.w);
	ck_assert_uint_eq(t.wanted, 4);
	end();
}
END_TEST

#define N(a) (int)(sizeof(a) / sizeof *(a))

static void
cases(TCase *tc)
{
	tcase_add_test(tc, rule_2_two_leases_are_wanted);
	tcase_add_loop_test(tc, bad_lease_is_refused, 0, N(bad_leases));
	tcase_add_test(tc, rule_6_doorbell_is_repeated_until_filed);
	tcase_add_loop_test(
	    tc, rule_8_failure_ends_the_segment_at_its_last_good_offset, 0, N(failures));
	tcase_add_test(tc, rule_8_seal_is_repeated_until_it_is_journalled);
	tcase_add_test(tc, rule_8_both_segments_fail);
	tcase_add_test(tc, rule_8_no_segment_is_left_for_who_waits);
	tcase_add_test(tc, rule_9_soft_mark_without_a_new_lease);
	tcase_add_test(tc, rule_9_four_gigabytes_are_the_end);
	tcase_add_test(tc, rule_10_one_write_and_one_sync_for_all_that_wait);
	tcase_add_test(tc, rule_10_what_comes_meanwhile_is_the_next_batch);
	tcase_add_test(tc, rule_10_large_groups);
	tcase_add_test(tc, rule_11_floors);
	tcase_add_test(tc, rule_12_ids_stay_with_their_segment);
	tcase_add_test(tc, rule_12_ids_of_the_lease);
	tcase_add_test(tc, refused_leases_are_asked_for_again);
}

CHECK_MAIN("writer", cases)
