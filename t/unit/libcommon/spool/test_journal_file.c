/* SPDX-License-Identifier: ISC */
#include "spool/journal_file.h"

#include "t/unit/libcommon/spool/spool_test.h"

#include <bsd/string.h>

static struct spool_identity identity;
static char path[64];
static int spool;
static uint64_t seq;

static void
setup(void)
{
	spool = test_folder(path);
	ck_assert_int_eq(spool_make(spool, &identity), 0);
	seq = 1;
}

static void
teardown(void)
{
	close(spool);
	test_folder_remove(path);
}

/* Small files will do: only those of journal_file_make() have their full size. */
static int
open_small(uint32_t file)
{
	char name[SPOOL_NAME];
	int fd;

	spool_journal_name(file, name);
	fd = openat(spool, name, O_RDWR | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static uint64_t
append(int fd, uint32_t file, uint64_t at, struct buf *b)
{
	ck_assert_uint_eq(
	    journal_seal(b->p, b->n, SIZE_MAX, journal_seed(identity.id, file), &seq), b->n);
	ck_assert_int_eq(pwrite(fd, b->p, b->n, (off_t)at), b->n);
	at += b->n;
	buf_fini(b);
	return at;
}

static uint64_t
start(int fd, uint32_t file, uint32_t oldest)
{
	struct journal_file_start s = { .version = SPOOL_VERSION, .file = file, .oldest = oldest };
	struct buf b = { 0 };

	memcpy(s.spool_id.b, identity.id, SPOOL_ID);
	journal_put_file_start(&b, &s);
	return append(fd, file, 0, &b);
}

static uint64_t
clocks(int fd, uint32_t file, uint64_t at, uint64_t from, int n)
{
	struct buf b = { 0 };

	for (int i = 0; i < n; i++)
		journal_put_clock(&b, &(struct journal_clock){ .clock_ms = from + (uint64_t)i });
	return append(fd, file, at, &b);
}

/* What a replay hands out, as text: clock values, gaps, the end. */
static char text[4096];

static int
on_each(void *ctx, uint32_t file, const struct journal_rec *r)
{
	(void)ctx, (void)file;
	if (r->kind == JOURNAL_KIND_CLOCK)
		sprintf(text + strlen(text), "%u ", (unsigned)r->clock.clock_ms);
	return 0;
}

static int
on_gap(void *ctx, uint32_t file, uint64_t expected, uint64_t found)
{
	(void)ctx, (void)file;
	sprintf(text + strlen(text), "[%u-%u] ", (unsigned)expected, (unsigned)found);
	return 0;
}

/* In place of libc's: notes itself among what was handed out. */
static int sync_errno;

int
fdatasync(int fd)
{
	(void)fd;
	strlcat(text, "sync ", sizeof text);
	errno = sync_errno;
	return sync_errno == 0 ? 0 : -1;
}

static struct journal_replay last;

static const char *
replay(bool gaps)
{
	int got;

	last = (struct journal_replay){ .each = on_each, .gap = gaps ? on_gap : NULL };
	memcpy(last.spool_id, identity.id, SPOOL_ID);
	text[0] = '\0';
	got = journal_file_replay(spool, &last);
	sprintf(text + strlen(text), "%d", got);
	ck_assert((got == 0) == (last.why == NULL) || got == -ENODATA);
	return text;
}

START_TEST(rule_20_made_ahead_and_taken_over)
{
	struct stat st;
	char c = 'x';
	int fd = journal_file_make(spool, 3), again;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, JOURNAL_FILE_BYTES);
	ck_assert_int_ge(st.st_blocks * 512, JOURNAL_FILE_BYTES);
	ck_assert_int_eq(pread(fd, &c, 1, JOURNAL_FILE_BYTES - 1), 1);
	ck_assert_int_eq(c, 0);
	ck_assert_int_eq(journal_file_make(spool, 3), -EEXIST);
	clocks(fd, 3, start(fd, 3, 3), 10, 5);
	close(fd);
	ck_assert_str_eq(replay(false), "10 11 12 13 14 0");
	fd = journal_file_recycle(spool, 3, 7);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(journal_file_recycle(spool, 3, 8), -ENOENT);
	ck_assert_str_eq(replay(false), "-61"); /* its old bytes are none: ENODATA */
	clocks(fd, 7, start(fd, 7, 7), 20, 1);
	ck_assert_str_eq(replay(false), "20 0"); /* nor are those behind the new ones */
	ck_assert_uint_eq(last.newest, 7);
	ck_assert_uint_eq(last.next_seq, seq);
	again = journal_file_make(spool, 8);
	close(again);
	ck_assert_int_eq(journal_file_recycle(spool, 7, 8), -EEXIST);
	close(fd);
}
END_TEST

START_TEST(files_are_listed_in_order)
{
	static const uint32_t numbers[] = { 12, 3, 1000000000, 4 };
	uint32_t *got;
	size_t n;

	ck_assert_int_eq(spool_folder_list(spool, SPOOL_STATE, spool_journal_number, &got, &n), 0);
	ck_assert_uint_eq(n, 0);
	free(got);
	for (size_t i = 0; i < COUNT(numbers); i++)
		close(open_small(numbers[i]));
	ck_assert_int_eq(spool_folder_list(spool, SPOOL_STATE, spool_journal_number, &got, &n), 0);
	ck_assert_uint_eq(n, 4);
	ck_assert(got[0] == 3 && got[1] == 4 && got[2] == 12 && got[3] == 1000000000);
	free(got);
}
END_TEST

START_TEST(replay_follows_files_from_the_oldest)
{
	int a = open_small(1), b = open_small(2), c = open_small(3);

	ck_assert_str_eq(replay(false), "-61");
	clocks(a, 1, start(a, 1, 1), 10, 2);
	clocks(b, 2, start(b, 2, 1), 20, 2);
	ck_assert_str_eq(replay(false), "10 11 20 21 0"); /* 3 is there, not begun */
	ck_assert_uint_eq(last.newest, 3);
	clocks(c, 3, start(c, 3, 2), 30, 1);
	ck_assert_str_eq(replay(false), "20 21 30 0");
	ck_assert_uint_eq(last.oldest, 2);
	ck_assert_uint_eq(last.next_seq, seq);
	unlinkat(spool, "state/journal.0000000001", 0);
	ck_assert_str_eq(replay(false), "20 21 30 0");
	unlinkat(spool, "state/journal.0000000002", 0);
	ck_assert_str_eq(replay(false), "-2");
	ck_assert_uint_eq(last.at, 2);
	close(a), close(b), close(c);
}
END_TEST

START_TEST(oldest_may_rise_within_a_file)
{
	int a = open_small(1), b = open_small(2);
	struct buf oldest = { 0 };
	uint64_t at;

	clocks(a, 1, start(a, 1, 1), 10, 2);
	at = clocks(b, 2, start(b, 2, 1), 20, 2);
	journal_put_oldest(&oldest, &(struct journal_oldest){ 2 });
	append(b, 2, at, &oldest);
	unlinkat(spool, "state/journal.0000000001", 0);
	ck_assert_str_eq(replay(false), "20 21 0");
	close(a), close(b);
}
END_TEST

START_TEST(after_a_failed_sync_later_sequences_are_void)
{
	int a = open_small(1), b = open_small(2), c = open_small(3);

	clocks(a, 1, start(a, 1, 1), 10, 4); /* sequences 1, 2-5; 4 and 5 not synced */
	seq = 6;
	clocks(b, 2, start(b, 2, 1), 20, 1); /* begun, not synced either */
	seq = 4;
	clocks(c, 3, start(c, 3, 1), 30, 1); /* what counts: 4 is FILE_START, 5 the clock */
	ck_assert_str_eq(replay(false), "10 11 30 0");
	ck_assert_uint_eq(last.next_seq, 6);
	close(a), close(b), close(c);
}
END_TEST

START_TEST(a_torn_end_of_the_newest_is_no_damage)
{
	int a = open_small(1);
	uint64_t at = clocks(a, 1, start(a, 1, 1), 10, 3);

	clocks(a, 1, at, 13, 1);
	ck_assert_str_eq(replay(true), "10 11 12 13 0");
	ck_assert_int_eq(pwrite(a, "\xff", 1, (off_t)at + 30), 1);
	ck_assert_str_eq(replay(true), "10 11 12 0");
	ck_assert_str_eq(replay(false), "10 11 12 0");
	close(a);
}
END_TEST

/* What a killed writer left in memory is on the disk before any of it counts: also the word on the oldest. */
START_TEST(rule_20_each_file_is_synced_before_it_is_read)
{
	static const struct {
		int error;
		const char *want;
	} cases[] = { { 0, "sync sync 1 2 3 0" }, { EIO, "sync -5" } };
	int fd = open_small(1);

	clocks(fd, 1, start(fd, 1, 1), 1, 2);
	close(fd);
	fd = open_small(2);
	clocks(fd, 2, start(fd, 2, 1), 3, 1);
	close(fd);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct journal_replay r = { .each = on_each, .resume = true };
		int got;

		memcpy(r.spool_id, identity.id, SPOOL_ID);
		text[0] = '\0';
		sync_errno = cases[i].error;
		got = journal_file_replay(spool, &r);
		sync_errno = 0;
		sprintf(text + strlen(text), "%d", got);
		ck_assert_str_eq(text, cases[i].want);
		ck_assert_uint_eq(r.files.n, cases[i].error == 0 ? 8 : 0);
		buf_fini(&r.files);
		buf_fini(&r.stale);
	}
}
END_TEST

START_TEST(damage_before_a_later_file_is_reported)
{
	int a = open_small(1), b = open_small(2);
	uint64_t first = start(a, 1, 1), size = clocks(a, 1, first, 10, 6) - first;

	size /= 6;
	clocks(b, 2, start(b, 2, 1), 20, 1);
	ck_assert_int_eq(pwrite(a, "\xff", 1, (off_t)(first + size + 30)), 1); /* the record 11 */
	ck_assert_str_eq(replay(false), "10 -74");
	ck_assert_str_eq(replay(true), "10 [3-4] 12 13 14 15 20 0");
	ck_assert_int_eq(
	    pwrite(a, "\xff", 1, (off_t)(first + 5 * size + 30)), 1); /* and the last */
	ck_assert_str_eq(replay(true), "10 [3-4] 12 13 14 [7-8] 20 0");
	ck_assert_int_eq(pwrite(a, "\xff", 1, 30), 1); /* and the start */
	ck_assert_str_eq(replay(true), "-2");
	close(a), close(b);
}
END_TEST

START_TEST(cut_at_every_byte_is_a_prefix)
{
	int a = open_small(1);
	uint64_t first = start(a, 1, 1), end = clocks(a, 1, first, 10, 4), size = (end - first) / 4;

	for (uint64_t n = end; n-- > 0;) {
		static const char *const want[] = { "0", "10 0", "10 11 0", "10 11 12 0" };

		ck_assert_int_eq(ftruncate(a, (off_t)n), 0);
		ck_assert_str_eq(replay(true), n < first ? "-61" : want[(n - first) / size]);
	}
	close(a);
}
END_TEST

static int
stop_at(void *ctx, const struct journal_rec *r)
{
	int *n = ctx;

	(void)r;
	return --*n == 0 ? 77 : 0;
}

START_TEST(scan_of_one_file)
{
	int fd = open_small(1), n = 3;
	uint64_t first = start(fd, 1, 1), end = clocks(fd, 1, first, 10, 5);
	struct journal_scan s = { .file = 1, .each = stop_at, .ctx = &n };
	struct buf bytes = { 0 };
	struct journal_rec r;

	memcpy(s.spool_id, identity.id, SPOOL_ID);
	ck_assert_int_eq(journal_file_scan(fd, &s), 77);
	n = 1000;
	ck_assert_int_eq(journal_file_scan(fd, &s), 0);
	ck_assert_int_eq(n, 994);
	ck_assert_uint_eq(s.end, end);
	ck_assert_uint_eq(s.first_seq, 1);
	ck_assert_uint_eq(s.next_seq, 7);
	s.before_seq = 3;
	ck_assert_int_eq(journal_file_scan(fd, &s), 0);
	ck_assert_uint_eq(s.next_seq, 3);
	s.file = 2;
	ck_assert_int_eq(journal_file_scan(fd, &s), 0);
	ck_assert_uint_eq(s.first_seq, 0);
	ck_assert_int_eq(journal_file_read(fd, identity.id, 1, first, &bytes, &r), 0);
	ck_assert(r.kind == JOURNAL_KIND_CLOCK && r.clock.clock_ms == 10 && r.offset == first);
	ck_assert_int_eq(journal_file_read(fd, identity.id, 1, first + 8, &bytes, &r), -EBADMSG);
	ck_assert_int_eq(journal_file_read(fd, identity.id, 1, end, &bytes, &r), -EBADMSG);
	ck_assert_int_eq(journal_file_start(fd, identity.id, 1, &r), 0);
	ck_assert_uint_eq(r.file_start.file, 1);
	ck_assert_int_eq(journal_file_start(fd, identity.id, 2, &r), -ENODATA);
	buf_fini(&bytes);
	close(fd);
}
END_TEST

START_TEST(large_records_span_reads)
{
	struct journal_queue q = { .queue = 5 };
	int fd = open_small(1);
	uint64_t at = start(fd, 1, 1), where;
	struct buf b = { 0 }, bytes = { 0 };
	struct journal_rec r;
	static char route[3000000];

	q.route = test_bytes(route, sizeof route);
	journal_put_queue(&b, &q);
	where = at;
	at = append(fd, 1, at, &b);
	clocks(fd, 1, at, 10, 2);
	ck_assert_str_eq(replay(false), "10 11 0");
	ck_assert_int_eq(journal_file_read(fd, identity.id, 1, where, &bytes, &r), 0);
	ck_assert(slice_eq(r.queue.route, q.route));
	buf_fini(&bytes);
	close(fd);
}
END_TEST

START_TEST(strange_starts)
{
	struct journal_file_start s = { .version = SPOOL_VERSION + 1, .file = 1, .oldest = 1 };
	int fd = open_small(1);
	struct buf b = { 0 };

	memcpy(s.spool_id.b, identity.id, SPOOL_ID);
	journal_put_file_start(&b, &s);
	append(fd, 1, 0, &b);
	ck_assert_str_eq(replay(true), "-95"); /* a later version: ENOTSUP */
	ck_assert_ptr_nonnull(strstr(last.why, "version"));
	s.version = SPOOL_VERSION;
	s.file = 2;
	journal_put_file_start(&b, &s);
	append(fd, 1, 0, &b);
	ck_assert_str_eq(replay(true), "-74");
	clocks(fd, 1, 0, 1, 1);
	ck_assert_str_eq(replay(true), "-74");
	close(fd);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, rule_20_made_ahead_and_taken_over);
	tcase_add_test(tc, files_are_listed_in_order);
	tcase_add_test(tc, replay_follows_files_from_the_oldest);
	tcase_add_test(tc, oldest_may_rise_within_a_file);
	tcase_add_test(tc, after_a_failed_sync_later_sequences_are_void);
	tcase_add_test(tc, a_torn_end_of_the_newest_is_no_damage);
	tcase_add_test(tc, rule_20_each_file_is_synced_before_it_is_read);
	tcase_add_test(tc, damage_before_a_later_file_is_reported);
	tcase_add_test(tc, cut_at_every_byte_is_a_prefix);
	tcase_add_test(tc, scan_of_one_file);
	tcase_add_test(tc, large_records_span_reads);
	tcase_add_test(tc, strange_starts);
}
CHECK_MAIN("journal_file", cases)
