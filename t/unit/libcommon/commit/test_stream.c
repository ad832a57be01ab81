/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "base/log.h"
#include "commit/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Streams over a real file, each system call under the test's thumb; a job is run when the test says so. */
static struct {
	struct streams *st;
	FILE *file;
	unsigned wanted, drops, closed, readies;
	uint32_t dropped;
	struct job *job;
	bool link_down;
	int write_errno, sync_errno, room_errno;
	size_t write_short;
	uint64_t free_bytes;
	unsigned writes, syncs;
	size_t written;
} t;

static ssize_t
t_writev(int fd, const struct iovec *iov, int n)
{
	ssize_t done;

	t.writes++;
	if (t.write_errno != 0) {
		errno = t.write_errno;
		return -1;
	}
	if (t.write_short > 0)
		return (ssize_t)t.write_short;
	done = writev(fd, iov, n);
	t.written += (size_t)done;
	return done;
}

static int
t_sync(int fd)
{
	(void)fd;
	t.syncs++;
	errno = t.sync_errno;
	return t.sync_errno != 0 ? -1 : 0;
}

static int
t_free_bytes(int fd, uint64_t *bytes)
{
	(void)fd;
	*bytes = t.free_bytes;
	errno = t.room_errno;
	return t.room_errno != 0 ? -1 : 0;
}

static int
t_close(int fd)
{
	t.closed++;
	return close(fd);
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
t_drop(void *arg, uint32_t large)
{
	(void)arg;
	t.drops++;
	t.dropped = large;
	return !t.link_down;
}

static void
t_submit(void *arg, struct job *j)
{
	(void)arg;
	ck_assert_ptr_null(t.job);
	t.job = j;
}

static const struct streams_ops ops = { .want = t_want, .drop = t_drop, .submit = t_submit };

static void
ready(void *arg)
{
	(void)arg;
	t.readies++;
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
run_all(void)
{
	while (t.job != NULL)
		run_job();
}

static bool
give(uint32_t number)
{
	char path[32];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(t.file));
	return streams_given(t.st, &(struct msg_large){ .large = number, .floor_bytes = 1000 },
	    open(path, O_WRONLY | O_APPEND));
}

static void
setup(void)
{
	memset(&t, 0, sizeof t);
	log_open(SERVICE_SMTPD);
	t.free_bytes = UINT64_C(1) << 40;
	t.file = tmpfile();
	t.st = streams_new(&io, &ops, NULL);
	streams_up(t.st);
	ck_assert_uint_eq(t.wanted, 1);
	ck_assert(give(5));
}

static void
teardown(void)
{
	streams_free(t.st);
	fclose(t.file);
}

static char block[STREAM_PIECE_BYTES / 2 + 1000];

/* As long as the thread keeps up, nothing waits; what is finished is synced and hashed. */
START_TEST(written_in_pieces_then_synced)
{
	struct stream *s = stream_open(t.st, 0, ready, NULL);
	struct large_hash *h = large_hash_new(5);
	struct record_large large;
	char back[sizeof block];

	ck_assert_uint_eq(t.wanted, 2); /* the next spare one */
	for (int i = 0; i < 40; i++) {
		memset(block, 'a' + i % 26, sizeof block);
		stream_put(s, slice_of(block, sizeof block));
		large_hash_feed(h, block, sizeof block);
		if (stream_is_full(s))
			run_job();
		ck_assert(!stream_is_full(s));
	}
	ck_assert_uint_gt(t.writes, 10);
	stream_finish(s);
	ck_assert(!stream_is_finished(s));
	run_all();
	ck_assert(stream_is_finished(s));
	ck_assert_int_eq(stream_error(s), 0);
	ck_assert_uint_eq(t.syncs, 1);
	large = stream_large(s);
	ck_assert_uint_eq(large.number, 5);
	ck_assert_uint_eq(large.bytes, 40 * sizeof block);
	ck_assert_uint_eq(large.hash, large_hash_now(h));
	ck_assert_uint_eq(t.written, large.bytes);
	ck_assert_int_eq(pread(fileno(t.file), back, sizeof back, 39 * sizeof block), sizeof back);
	ck_assert_mem_eq(back, block, sizeof block);
	stream_settle(s);
	ck_assert_uint_eq(t.drops, 0);
	ck_assert_uint_eq(t.closed, 1);
	large_hash_free(h);
}
END_TEST

/* A slow disk holds the client back: two pieces are held, not all that comes. */
START_TEST(full_while_the_disk_is_slow)
{
	struct stream *s = stream_open(t.st, 0, ready, NULL);

	stream_put(s, slice_of(block, sizeof block));
	stream_put(s, slice_of(block, sizeof block));
	ck_assert_ptr_nonnull(t.job);
	ck_assert(!stream_is_full(s));
	stream_put(s, slice_of(block, sizeof block));
	stream_put(s, slice_of(block, sizeof block));
	ck_assert(stream_is_full(s));
	ck_assert_uint_eq(t.readies, 0);
	run_job();
	ck_assert_uint_eq(t.readies, 1);
	ck_assert(!stream_is_full(s));
	stream_free(s); /* while the next piece is written */
	run_all();
	ck_assert_uint_eq(t.readies, 1); /* nobody listens any more */
	ck_assert_uint_eq(t.drops, 1);
	ck_assert_uint_eq(t.dropped, 5);
}
END_TEST

/* _i: what fails, and what it is then. */
static const struct {
	int write_errno, sync_errno, room_errno;
	size_t write_short;
	uint64_t free_bytes;
	int error;
} failures[] = {
	{ .write_errno = EIO, .free_bytes = 1 << 30, .error = -EIO },
	{ .write_errno = ENOSPC, .free_bytes = 1 << 30, .error = -ENOSPC },
	{ .write_errno = EDQUOT, .free_bytes = 1 << 30, .error = -EDQUOT },
	{ .write_short = 10, .free_bytes = 1 << 30, .error = -ENOSPC },
	{ .sync_errno = EIO, .free_bytes = 1 << 30, .error = -EIO },
	{ .room_errno = EIO, .free_bytes = 1 << 30, .error = -EIO },
	{ .free_bytes = 1000, .error = -ENOSPC },		     /* the floor */
	{ .free_bytes = 1000 + sizeof block - 1, .error = -ENOSPC }, /* would be below it */
};

START_TEST(a_failure_is_its_end)
{
	struct stream *s = stream_open(t.st, 0, ready, NULL);

	t.write_errno = failures[_i].write_errno;
	t.sync_errno = failures[_i].sync_errno;
	t.room_errno = failures[_i].room_errno;
	t.write_short = failures[_i].write_short;
	t.free_bytes = failures[_i].free_bytes;
	stream_put(s, slice_of(block, sizeof block));
	stream_finish(s);
	run_all();
	ck_assert(stream_is_finished(s));
	ck_assert_int_eq(stream_error(s), failures[_i].error);
	stream_free(s);
	ck_assert_uint_eq(t.dropped, 5);
	ck_assert_ptr_null(stream_open(t.st, 0, ready, NULL)); /* never that file again */
}
END_TEST

START_TEST(nothing_is_written_after_a_failure)
{
	struct stream *s = stream_open(t.st, 0, ready, NULL);

	t.write_errno = EIO;
	stream_put(s, slice_of(block, sizeof block));
	stream_put(s, slice_of(block, sizeof block));
	run_all();
	ck_assert_int_eq(stream_error(s), -EIO);
	t.write_errno = 0;
	stream_put(s, slice_of(block, sizeof block));
	stream_put(s, slice_of(block, sizeof block));
	stream_finish(s);
	ck_assert_ptr_null(t.job);
	ck_assert_uint_eq(t.writes, 1);
	ck_assert_uint_eq(t.syncs, 0);
	stream_free(s);
}
END_TEST

/* The configured floor counts where it is the greater one. */
START_TEST(our_own_floor)
{
	struct stream *s = stream_open(t.st, 5000000, ready, NULL);

	t.free_bytes = 5000000;
	stream_put(s, slice_of(block, sizeof block));
	stream_finish(s);
	run_all();
	ck_assert_int_eq(stream_error(s), -ENOSPC);
	stream_free(s);
}
END_TEST

START_TEST(what_was_given_up_is_repeated_until_it_is_heard)
{
	struct stream *s = stream_open(t.st, 0, ready, NULL);
	struct streams_state state;

	streams_down(t.st);
	stream_free(s);
	ck_assert_uint_eq(t.drops, 0);
	streams_up(t.st);
	ck_assert_uint_eq(t.drops, 1);
	streams_tick(t.st);
	ck_assert_uint_eq(t.drops, 2);
	ck_assert(streams_dropped(t.st, &(struct msg_large_dropped){ .large = 5 }));
	ck_assert(streams_dropped(t.st, &(struct msg_large_dropped){ .large = 5 }));
	streams_tick(t.st);
	ck_assert_uint_eq(t.drops, 2);
	streams_look(t.st, &state);
	ck_assert(state.open == 0 && state.drops == 0);
}
END_TEST

START_TEST(only_what_was_asked_for)
{
	struct stream *s;
	char path[32];
	int fd;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(t.file));
	fd = open(path, O_WRONLY | O_APPEND);
	ck_assert(!streams_given(t.st, &(struct msg_large){ .large = 6 }, fd)); /* not asked for */
	s = stream_open(t.st, 0, ready, NULL);
	ck_assert_ptr_nonnull(s);
	ck_assert(!streams_given(t.st, &(struct msg_large){ .large = 0 }, fd));
	ck_assert(!streams_given(t.st, &(struct msg_large){ .large = 6 }, -1));
	streams_refused(t.st);
	ck_assert(!streams_given(t.st, &(struct msg_large){ .large = 6 }, fd));
	streams_tick(t.st);
	ck_assert(streams_given(t.st, &(struct msg_large){ .large = 6 }, fd));
	stream_free(s);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, written_in_pieces_then_synced);
	tcase_add_test(tc, full_while_the_disk_is_slow);
	tcase_add_loop_test(tc, a_failure_is_its_end, 0, sizeof failures / sizeof *failures);
	tcase_add_test(tc, nothing_is_written_after_a_failure);
	tcase_add_test(tc, our_own_floor);
	tcase_add_test(tc, what_was_given_up_is_repeated_until_it_is_heard);
	tcase_add_test(tc, only_what_was_asked_for);
}
CHECK_MAIN("stream", cases)
