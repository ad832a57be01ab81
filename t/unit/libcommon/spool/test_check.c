/* SPDX-License-Identifier: ISC */
#include "spool/check.h"
#include "spool/journal_file.h"

#include "t/unit/libcommon/spool/spool_test.h"

static struct spool_identity identity;
static struct segment seg;
static struct buf journal;
static char path[64];
static int spool, writer;
static uint64_t at[32];
static unsigned nrec;
static uint64_t seq, journal_at;

static void
segment_begin(uint32_t number)
{
	struct lease l;

	seg = test_segment(number);
	memcpy(seg.spool_id, identity.id, SPOOL_ID);
	ck_assert_int_eq(lease_make(spool, &seg, &l), 0);
	close(l.reader);
	if (writer >= 0)
		close(writer);
	writer = l.writer;
	at[nrec] = SEGMENT_HEADER;
	journal_put_lease(&journal, &(struct journal_lease){ .segment = number, .seed = seg.seed });
}

static void
flush(void)
{
	char name[SPOOL_NAME];
	int fd;

	spool_journal_name(1, name);
	fd = openat(spool, name, O_RDWR | O_CREAT, 0600);
	journal_seal(journal.p, journal.n, SIZE_MAX, journal_seed(identity.id, 1), &seq);
	ck_assert_int_eq(pwrite(fd, journal.p, journal.n, (off_t)journal_at), journal.n);
	journal_at += journal.n;
	journal.n = 0;
	close(fd);
}

static void
setup(void)
{
	struct journal_file_start s = { .version = SPOOL_VERSION, .file = 1, .oldest = 1 };

	spool = test_folder(path);
	ck_assert_int_eq(spool_make(spool, &identity), 0);
	memcpy(s.spool_id.b, identity.id, SPOOL_ID);
	writer = -1;
	nrec = 0;
	seq = 1;
	journal_at = 0;
	journal_put_file_start(&journal, &s);
	segment_begin(1);
}

static void
teardown(void)
{
	close(writer);
	close(spool);
	buf_fini(&journal);
	test_folder_remove(path);
}

/* Adds a record with id nrec + 1 and two recipients. */
static void
add(const char *body)
{
	struct buf b = { 0 };

	test_record(&b, &seg, at[nrec], nrec + 1, 2, slice_z(body));
	ck_assert_int_eq(write(writer, b.p, b.n), b.n);
	at[nrec + 1] = at[nrec] + b.n;
	nrec++;
	buf_fini(&b);
}

static void
file_it(unsigned i)
{
	struct journal_filed f = { .id = i,
		.segment = seg.number,
		.offset = at[i - 1],
		.total = at[i] - at[i - 1],
		.nrcpt = 2 };
	struct buf rcpts = { 0 };

	for (int k = 0; k < 2; k++)
		journal_rcpt_put(&rcpts, &(struct journal_rcpt){ .queue = 1 });
	f.rcpts = slice_buf(&rcpts);
	journal_put_filed(&journal, &f);
	buf_fini(&rcpts);
}

static void
result(unsigned id, uint32_t rcpt, uint8_t what, uint8_t owed)
{
	journal_put_result(
	    &journal, &(struct journal_result){
			  .id = id, .rcpt = rcpt, .attempt = 1, .result = what, .owed = owed });
}

static void
spoil(uint32_t number, uint64_t offset)
{
	char name[SPOOL_NAME], c;
	int fd;

	spool_segment_name(number, name);
	fd = openat(spool, name, O_RDWR);
	ck_assert_int_eq(pread(fd, &c, 1, (off_t)offset), 1);
	c ^= 4;
	ck_assert_int_eq(pwrite(fd, &c, 1, (off_t)offset), 1);
	close(fd);
}

static struct spool_report report;
static char findings[4096];

static void
on_finding(void *ctx, const struct spool_finding *f)
{
	size_t n = strlen(findings);

	(void)ctx;
	snprintf(findings + n, sizeof findings - n, "%s %s %u+%u %u: %s\n",
	    f->level == SPOOL_ERROR ? "error" : "note", f->file, (unsigned)f->offset,
	    (unsigned)f->length, (unsigned)f->id, f->what);
}

static void
check(void)
{
	flush();
	findings[0] = '\0';
	ck_assert_int_eq(spool_check(spool, &report, on_finding, NULL), 0);
}

START_TEST(no_spool)
{
	char other[64];
	int fd = test_folder(other);
	struct spool_found found;

	ck_assert_int_eq(spool_check(fd, &report, on_finding, NULL), -ENOENT);
	ck_assert_int_eq(spool_find(fd, 1, &found), -ENOENT);
	close(fd);
	test_folder_remove(other);
}
END_TEST

START_TEST(counts)
{
	for (int i = 0; i < 5; i++)
		add("\r\nhello\r\n");
	for (unsigned i = 1; i <= 4; i++)
		file_it(i);
	result(1, 0, SPOOL_RESULT_DELIVERED, 0); /* 1: done */
	result(1, 1, SPOOL_RESULT_FAILED, 0);
	result(2, 0, SPOOL_RESULT_DELIVERED, 0); /* 2: one open */
	result(2, 1, SPOOL_RESULT_DEFERRED, 0);
	result(3, 0, SPOOL_RESULT_DELIVERED, 0); /* 3: a notice is owed */
	result(3, 1, SPOOL_RESULT_FAILED, SPOOL_NOTICE_FAILED);
	check();
	ck_assert_str_eq(findings, "");
	ck_assert_uint_eq(report.segments, 1);
	ck_assert_uint_eq(report.journals, 1);
	ck_assert_uint_eq(report.records, 5);
	ck_assert_uint_eq(report.live, 3);
	ck_assert_uint_eq(report.done, 1);
	ck_assert_uint_eq(report.unfiled, 1);
	ck_assert_uint_eq(report.open_rcpts, 1 + 1 + 2);
	ck_assert_uint_eq(report.bytes, at[5] - at[0]);
	ck_assert_uint_eq(report.live_bytes, at[4] - at[1]);
	ck_assert_uint_eq(report.errors, 0);
}
END_TEST

START_TEST(every_way_to_an_end)
{
	struct journal_filed notice = { .id = 900,
		.segment = 1,
		.origin = 3,
		.notice = SPOOL_NOTICE_FAILED,
		.settled = SLICE_LIT("\1\0\0\0") };
	struct journal_expanded ex = { .id = 4, .rcpt = 1, .first = 2, .nrcpt = 1 };
	struct journal_rcpt entry = { .queue = 1, .address = SLICE_LIT("new@example.org") };
	struct buf rcpts = { 0 };

	for (int i = 0; i < 5; i++)
		add("\r\nhello\r\n");
	for (unsigned i = 1; i <= 5; i++)
		file_it(i);
	journal_put_operator(
	    &journal, &(struct journal_operator){
			  .id = 1, .rcpt = JOURNAL_ALL, .result = SPOOL_RESULT_DROPPED });
	result(2, 0, SPOOL_RESULT_EXPIRED, SPOOL_NOTICE_FAILED);
	result(2, 1, SPOOL_RESULT_DAMAGED, 0);
	journal_put_settled(
	    &journal, &(struct journal_settled){
			  .id = 2, .notice = SPOOL_NOTICE_FAILED, .rcpts = SLICE_LIT("\0\0\0\0") });
	result(3, 0, SPOOL_RESULT_DROPPED, 0);
	result(3, 1, SPOOL_RESULT_FAILED, SPOOL_NOTICE_FAILED);
	journal_put_filed(&journal, &notice); /* settles it in the same record */
	result(4, 0, SPOOL_RESULT_DELIVERED, 0);
	journal_rcpt_put(&rcpts, &entry);
	ex.rcpts = slice_buf(&rcpts);
	journal_put_expanded(&journal, &ex);
	buf_fini(&rcpts);
	check();
	ck_assert_str_eq(findings, "");
	ck_assert_uint_eq(report.done, 3);
	ck_assert_uint_eq(report.live, 2); /* 4, by its new recipient, and 5 */
	ck_assert_uint_eq(report.open_rcpts, 3);
	result(4, 2, SPOOL_RESULT_DELIVERED, 0);
	check();
	ck_assert_uint_eq(report.done, 4);
	ck_assert_uint_eq(report.live, 1);
}
END_TEST

START_TEST(a_snapshot_supersedes)
{
	struct journal_message m = { .id = 1, .segment = 1, .offset = SEGMENT_HEADER, .nrcpt = 1 };
	struct journal_rcpt entry = { .queue = 1, .state = SPOOL_DELIVERED };
	struct buf rcpts = { 0 };

	add("\r\nhello\r\n");
	result(1, 7, SPOOL_RESULT_DELIVERED, 0); /* of a life before: skipped */
	file_it(1);
	journal_rcpt_put(&rcpts, &entry);
	m.rcpts = slice_buf(&rcpts);
	journal_put_message(&journal, &m);
	check();
	ck_assert_str_eq(findings, "");
	ck_assert_uint_eq(report.done, 1);
	ck_assert_uint_eq(report.live, 0);
	m.nrcpt = 0; /* fewer than there are entries */
	journal_put_message(&journal, &m);
	result(1, 0, 99, 0);
	result(1, 1, SPOOL_RESULT_DELIVERED, 0);
	check();
	ck_assert_uint_eq(report.errors, 3);
	buf_fini(&rcpts);
}
END_TEST

/* Too many entries for one record: they follow in MORE, and count when all are there. */
START_TEST(more_of_a_message)
{
	struct journal_message m = { .id = 1, .segment = 1, .offset = SEGMENT_HEADER, .nrcpt = 5 };
	struct journal_expanded ex = { .id = 1, .rcpt = 4, .first = 5, .nrcpt = 2 };
	struct journal_rcpt entry = { .queue = 1, .state = SPOOL_QUEUED };
	struct buf two = { 0 }, one = { 0 };

	journal_rcpt_put(&one, &entry);
	journal_rcpt_put(&two, &entry);
	journal_rcpt_put(&two, &entry);
	m.rcpts = ex.rcpts = slice_buf(&two);
	add("\r\nhello\r\n");
	file_it(1);
	journal_put_message(&journal, &m);
	journal_put_more(&journal, &(struct journal_more){ 1, 2, slice_buf(&two) });
	check();
	ck_assert_uint_eq(report.open_rcpts, 2); /* what FILED said: MESSAGE is not whole */
	journal_put_more(&journal, &(struct journal_more){ 1, 4, slice_buf(&one) });
	check();
	ck_assert_uint_eq(report.open_rcpts, 5);
	ex.rcpts = slice_buf(&one);
	journal_put_expanded(&journal, &ex);
	journal_put_clock(&journal, &(struct journal_clock){ 1, 1 }); /* cut short: void */
	journal_put_more(&journal, &(struct journal_more){ 1, 1, slice_buf(&one) });
	check();
	ck_assert_uint_eq(report.open_rcpts, 5);
	journal_put_expanded(&journal, &ex);
	journal_put_more(&journal, &(struct journal_more){ 1, 1, slice_buf(&one) });
	check();
	ck_assert_uint_eq(report.open_rcpts, 4 + 2);
	ck_assert_str_eq(findings, "");
	journal_put_message(&journal, &m);
	journal_put_more(&journal, &(struct journal_more){ 1, 3, slice_buf(&one) }); /* not on */
	ex.id = 0;								     /* nobody's */
	journal_put_expanded(&journal, &ex);
	journal_put_expanded(&journal, &ex);
	check();
	ck_assert_uint_eq(report.errors, 3);
	ck_assert_uint_eq(report.open_rcpts, 4 + 2);
	buf_fini(&one);
	buf_fini(&two);
}
END_TEST

START_TEST(damage_in_a_body_is_found)
{
	char want[96];

	for (int i = 0; i < 3; i++)
		add("\r\nhello\r\n");
	for (unsigned i = 1; i <= 3; i++)
		file_it(i);
	spoil(1, at[2] - 50); /* within the body */
	check();
	ck_assert_uint_eq(report.damaged, 1);
	ck_assert_uint_eq(report.damaged_bytes, at[2] - at[1]);
	ck_assert_uint_eq(report.records, 2);
	ck_assert_uint_eq(report.missing, 1);
	ck_assert_uint_eq(report.errors, 2);
	snprintf(want, sizeof want, "error data/0000000001.seg %u+%u 0: body fails its checksum",
	    (unsigned)at[1], (unsigned)(at[2] - at[1]));
	ck_assert_ptr_nonnull(strstr(findings, want));
}
END_TEST

START_TEST(a_torn_tail_is_a_note)
{
	add("\r\nhello\r\n");
	file_it(1);
	ck_assert_int_eq(write(writer, "torn", 4), 4);
	check();
	ck_assert_uint_eq(report.errors, 0);
	ck_assert_uint_eq(report.tail_bytes, 4);
	ck_assert_ptr_nonnull(strstr(findings, "note data/0000000001.seg"));
}
END_TEST

START_TEST(rule_8_nothing_past_a_seal_counts)
{
	add("\r\nhello\r\n");
	add("\r\nhello\r\n");
	file_it(1);
	journal_put_seal(&journal, &(struct journal_seal){ 1, at[1] });
	check();
	ck_assert_uint_eq(report.records, 1);
	ck_assert_uint_eq(report.unfiled, 0);
	ck_assert_uint_eq(report.errors, 0);
}
END_TEST

START_TEST(a_live_message_without_its_record)
{
	char name[SPOOL_NAME];

	add("\r\nhello\r\n");
	file_it(1);
	spool_segment_name(1, name);
	unlinkat(spool, name, 0);
	check();
	ck_assert_uint_eq(report.missing, 1);
	ck_assert_uint_eq(report.errors, 1);
	ck_assert_uint_eq(report.open_rcpts, 2);
}
END_TEST

START_TEST(a_file_cut_below_what_was_filed)
{
	char name[SPOOL_NAME];
	int fd;

	add("\r\nhello\r\n");
	add("\r\nhello\r\n");
	file_it(1);
	file_it(2);
	spool_segment_name(1, name);
	fd = openat(spool, name, O_WRONLY);
	ck_assert_int_eq(ftruncate(fd, (off_t)at[1] + 70), 0);
	close(fd);
	check();
	ck_assert_uint_eq(report.damaged, 1);
	ck_assert_uint_eq(report.missing, 1);
	ck_assert_ptr_nonnull(strstr(findings, "ends before"));
}
END_TEST

START_TEST(strange_segments)
{
	int fd = openat(spool, "data/0000000099.seg", O_WRONLY | O_CREAT, 0600);

	ck_assert_int_eq(write(fd, "short", 5), 5);
	close(fd);
	ck_assert_int_eq(mkdirat(spool, "data/0000000098.seg", 0700), 0);
	ck_assert_int_eq(linkat(spool, "data/0000000001.seg", spool, "data/0000000097.seg", 0), 0);
	check();
	ck_assert_uint_eq(report.errors, 3);
	ck_assert_uint_eq(report.segments, 4);
}
END_TEST

/* What a power cut leaves of a segment that was being made, or of a first start. */
START_TEST(unborn_segments)
{
	char zeros[SEGMENT_HEADER] = { 0 };
	int fd = openat(spool, "data/0000000099.seg", O_WRONLY | O_CREAT, 0600);

	close(fd);
	fd = openat(spool, "data/0000000098.seg", O_WRONLY | O_CREAT, 0600);
	ck_assert_int_eq(write(fd, zeros, sizeof zeros), sizeof zeros);
	check();
	ck_assert_uint_eq(report.errors, 0);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
	check();
	ck_assert_uint_eq(report.errors, 1);
}
END_TEST

START_TEST(damage_in_the_journal_is_found)
{
	char name[SPOOL_NAME];
	int fd;

	add("\r\nhello\r\n");
	file_it(1);
	flush();
	spool_journal_name(1, name);
	fd = openat(spool, name, O_RDWR);
	ck_assert_int_eq(pwrite(fd, "\xff", 1, 30), 1);
	close(fd);
	check();
	ck_assert_uint_eq(report.errors, 1);
	ck_assert_uint_eq(report.unfiled, 1);
}
END_TEST

START_TEST(a_record_is_found_by_its_id)
{
	struct spool_found found;

	for (int i = 0; i < 3; i++)
		add("\r\nhello\r\n");
	ck_assert_int_eq(spool_find(spool, 3, &found), 0);
	ck_assert_uint_eq(found.record.id, 3);
	ck_assert(found.body_ok && slice_is(found.record.body, "\r\nhello\r\n"));
	ck_assert_uint_eq(found.segment.number, 1);
	spool_found_fini(&found);
	ck_assert_int_eq(spool_find(spool, 4, &found), -ENOENT);
	spoil(1, at[0]); /* 1 is gone, and hides none */
	spoil(1, at[3] - 50);
	ck_assert_int_eq(spool_find(spool, 1, &found), -ENOENT);
	ck_assert_int_eq(spool_find(spool, 2, &found), 0);
	spool_found_fini(&found);
	ck_assert_int_eq(spool_find(spool, 3, &found), 0); /* its body is damaged, and said to be */
	ck_assert(!found.body_ok);
	ck_assert_uint_eq(found.record.head.n, 12);
	spool_found_fini(&found);
}
END_TEST

START_TEST(of_two_copies_the_later)
{
	struct spool_found found;
	struct buf b = { 0 };

	add("\r\nold\r\n");
	segment_begin(2);
	test_record(&b, &seg, SEGMENT_HEADER, 1, 2, SLICE_LIT("\r\nnew\r\n"));
	ck_assert_int_eq(write(writer, b.p, b.n), b.n);
	buf_fini(&b);
	ck_assert_int_eq(spool_find(spool, 1, &found), 0);
	ck_assert_uint_eq(found.segment.number, 2);
	spool_found_fini(&found);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, no_spool);
	tcase_add_test(tc, counts);
	tcase_add_test(tc, every_way_to_an_end);
	tcase_add_test(tc, a_snapshot_supersedes);
	tcase_add_test(tc, more_of_a_message);
	tcase_add_test(tc, damage_in_a_body_is_found);
	tcase_add_test(tc, a_torn_tail_is_a_note);
	tcase_add_test(tc, rule_8_nothing_past_a_seal_counts);
	tcase_add_test(tc, a_live_message_without_its_record);
	tcase_add_test(tc, a_file_cut_below_what_was_filed);
	tcase_add_test(tc, strange_segments);
	tcase_add_test(tc, unborn_segments);
	tcase_add_test(tc, damage_in_the_journal_is_found);
	tcase_add_test(tc, a_record_is_found_by_its_id);
	tcase_add_test(tc, of_two_copies_the_later);
}
CHECK_MAIN("check", cases)
