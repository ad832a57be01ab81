/* SPDX-License-Identifier: ISC */
#include "spool/scan.h"

#include "t/unit/libcommon/spool/spool_test.h"
#include <sys/mman.h>

/* A segment in memory and in a file; records end at at[0..n]. */
static struct segment seg;
static struct buf file;
static uint64_t at[64];
static size_t nrec;
static int fd;

static void
setup(void)
{
	seg = test_segment(9);
	file.n = 0;
	segment_encode(&seg, buf_room(&file, SEGMENT_HEADER));
	file.n = SEGMENT_HEADER;
	nrec = 0;
	at[0] = SEGMENT_HEADER;
	fd = memfd_create("segment", MFD_CLOEXEC);
	ck_assert_int_ge(fd, 0);
}

static void
teardown(void)
{
	close(fd);
	buf_fini(&file);
}

static void
add(struct slice body)
{
	test_record(&file, &seg, file.n, ++nrec, 1, body);
	at[nrec] = file.n;
}

static void
save(void)
{
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(pwrite(fd, file.p, file.n, 0), file.n);
}

/* The walk as text: "1 2 D64 4 T100 E". */
static const char *
walk(uint64_t durable, uint64_t limit, bool bodies)
{
	static char text[4096];
	struct scan_item item;
	enum scan_got got;
	struct scan s;
	size_t n = 0;

	save();
	scan_init(&s, fd, &seg, 0, durable, limit);
	s.verify_bodies = bodies;
	do {
		got = scan_next(&s, &item);
		switch (got) {
		case SCAN_RECORD:
			ck_assert_uint_eq(item.offset, item.record.offset);
			ck_assert_uint_eq(item.length, item.record.total);
			n += (size_t)sprintf(text + n, "%u ", (unsigned)item.record.id);
			break;
		case SCAN_DAMAGE:
			ck_assert_ptr_nonnull(item.why);
			n += (size_t)sprintf(
			    text + n, "D%u+%u ", (unsigned)item.offset, (unsigned)item.length);
			break;
		case SCAN_TAIL:
			ck_assert_ptr_nonnull(item.why);
			n += (size_t)sprintf(text + n, "T%u", (unsigned)item.length);
			break;
		case SCAN_END:
			n += (size_t)sprintf(text + n, "E");
			break;
		case SCAN_ERROR:
			n += (size_t)sprintf(text + n, "X%d", item.error);
			break;
		}
	} while (got == SCAN_RECORD || got == SCAN_DAMAGE);
	scan_fini(&s);
	return text;
}

#define expect(durable, limit, bodies, ...)                           \
	do {                                                          \
		char want[256];                                       \
		snprintf(want, sizeof want, __VA_ARGS__);             \
		ck_assert_str_eq(walk(durable, limit, bodies), want); \
	} while (0)

START_TEST(walks_to_the_durable_offset_and_no_further)
{
	for (int i = 0; i < 5; i++)
		add(SLICE_LIT("\r\nhello\r\n"));
	expect(at[5], at[5], false, "1 2 3 4 5 E");
	expect(at[3], at[3], false, "1 2 3 E");
	expect(at[0], at[0], false, "E");
	expect(0, at[5], false, "1 2 3 4 5 E");
}
END_TEST

START_TEST(rule_6_durable_may_rise_between_calls)
{
	struct scan_item item;
	struct scan s;

	add(SLICE_LIT("one"));
	save();
	scan_init(&s, fd, &seg, 0, at[1], at[1]);
	ck_assert_int_eq(scan_next(&s, &item), SCAN_RECORD);
	ck_assert_int_eq(scan_next(&s, &item), SCAN_END);
	add(SLICE_LIT("two"));
	save();
	s.durable = s.limit = at[2];
	ck_assert_int_eq(scan_next(&s, &item), SCAN_RECORD);
	ck_assert_uint_eq(item.record.id, 2);
	ck_assert_int_eq(scan_next(&s, &item), SCAN_END);
	scan_fini(&s);
}
END_TEST

START_TEST(rule_22_damage_is_reported_and_passed_over)
{
	for (int i = 0; i < 5; i++)
		add(SLICE_LIT("\r\nhello\r\n"));
	file.p[at[2] + 50] ^= 1; /* the header of 3 */
	expect(at[5], at[5], false, "1 2 D%u+%u 4 5 E", (unsigned)at[2], (unsigned)(at[3] - at[2]));
	file.p[at[3] + RECORD_HEADER] ^= 1; /* the envelope of 4 */
	expect(at[5], at[5], false, "1 2 D%u+%u 5 E", (unsigned)at[2], (unsigned)(at[4] - at[2]));
	file.p[at[4]] ^= 1; /* the last */
	expect(at[5], at[5], false, "1 2 D%u+%u E", (unsigned)at[2], (unsigned)(at[5] - at[2]));
	file.p[at[0]] ^= 1; /* the first */
	expect(at[5], at[5], false, "D%u+%u 2 D%u+%u E", (unsigned)at[0], (unsigned)(at[1] - at[0]),
	    (unsigned)at[2], (unsigned)(at[5] - at[2]));
}
END_TEST

/* Acknowledged or not: who wrote 4 and 5 may have synced 3 before. */
START_TEST(rule_22_past_durable_it_goes_on_as_well_while_something_whole_follows)
{
	for (int i = 0; i < 5; i++)
		add(SLICE_LIT("\r\nhello\r\n"));
	file.p[at[2]] ^= 1;
	expect(at[2], at[5], false, "1 2 D%u+%u 4 5 E", (unsigned)at[2], (unsigned)(at[3] - at[2]));
	file.p[at[2]] ^= 1;
	file.p[at[3] - SPOOL_ALIGN] ^= 1; /* within 3, whether front or body */
	expect(at[2], at[5], false, "1 2 D%u+%u 4 5 E", (unsigned)at[2], (unsigned)(at[3] - at[2]));
	file.p[at[4]] ^= 1;
	expect(at[2], at[5], false, "1 2 D%u+%u 4 T%u", (unsigned)at[2], (unsigned)(at[3] - at[2]),
	    (unsigned)(at[5] - at[4]));
	file.p[at[3]] ^= 1;
	expect(at[2], at[5], false, "1 2 T%u", (unsigned)(at[5] - at[2]));
}
END_TEST

START_TEST(rule_7_a_torn_tail_is_no_damage)
{
	uint64_t end;

	for (int i = 0; i < 3; i++)
		add(SLICE_LIT("\r\nhello\r\n"));
	end = file.n;
	for (uint64_t n = at[2] + 1; n < end; n++) {
		file.n = n;
		expect(at[1], n, false, "1 2 T%u", (unsigned)(n - at[2]));
	}
}
END_TEST

START_TEST(rule_6_nothing_is_taken_that_reaches_past_the_limit)
{
	for (int i = 0; i < 3; i++)
		add(SLICE_LIT("\r\nhello\r\n"));
	expect(at[3] - SPOOL_ALIGN, at[3] - SPOOL_ALIGN, false, "1 2 D%u+%u E", (unsigned)at[2],
	    (unsigned)(at[3] - SPOOL_ALIGN - at[2]));
	expect(
	    at[2], at[3] - SPOOL_ALIGN, false, "1 2 T%u", (unsigned)(at[3] - SPOOL_ALIGN - at[2]));
}
END_TEST

START_TEST(a_file_shorter_than_its_durable_offset_is_damage)
{
	add(SLICE_LIT("one"));
	add(SLICE_LIT("two"));
	file.n = at[1] + 100;
	expect(at[2], at[2], false, "1 D%u+%u E", (unsigned)at[1], (unsigned)(at[2] - at[1]));
}
END_TEST

START_TEST(bodies_are_verified_on_demand)
{
	add(SLICE_LIT("\r\nhello\r\n"));
	add(SLICE_LIT("\r\nhello\r\n"));
	add(SLICE_LIT("\r\nhello\r\n"));
	file.p[at[2] - 40] ^= 1; /* the padding of 2 */
	expect(at[3], at[3], false, "1 2 3 E");
	expect(at[3], at[3], true, "1 D%u+%u 3 E", (unsigned)at[1], (unsigned)(at[2] - at[1]));
}
END_TEST

START_TEST(bodies_larger_than_the_window)
{
	static char body[700001];
	unsigned from, length;

	add(SLICE_LIT("first"));
	add(test_bytes(body, sizeof body));
	add(SLICE_LIT("last"));
	expect(at[3], at[3], true, "1 2 3 E");
	expect(at[1], at[3], false, "1 2 3 E");
	file.p[at[1] + 600000] ^= 1;
	from = (unsigned)at[1], length = (unsigned)(at[2] - at[1]);
	expect(at[3], at[3], false, "1 2 3 E");
	expect(at[3], at[3], true, "1 D%u+%u 3 E", from, length);
	expect(at[1], at[3], false, "1 D%u+%u 3 E", from, length);
}
END_TEST

/* What a hostile client can know: everything but the seed; and what it can get copied: a true
 * record. */
START_TEST(rule_4_no_body_passes_for_a_record)
{
	struct segment guess = seg;
	struct buf forged = { 0 };
	struct slice one;

	add(SLICE_LIT("\r\nhello\r\n"));
	one = slice_of(file.p + at[0], at[1] - at[0]);
	for (int i = 0; i < 8;
	     i++) { /* forged for every place it may land, and a true one copied */
		guess.seed = seg.seed ^ (i % 2 ? 1U << i : UINT64_MAX);
		for (uint64_t place = at[1]; place < at[1] + 4096; place += SPOOL_ALIGN)
			if (forged.n + SPOOL_ALIGN < 60000)
				test_record(&forged, &guess, place, 666, 1, SLICE_LIT("x"));
		buf_slice(&forged, one);
	}
	/* Aligned so that what is within the body stands at multiples of 64, with damage before it.
	 */
	for (size_t shift = 0; shift < SPOOL_ALIGN; shift++) {
		struct buf body = { 0 };

		file.n = at[1];
		nrec = 1;
		for (size_t i = 0; i < shift; i++)
			buf_putc(&body, 'x');
		buf_slice(&body, slice_buf(&forged));
		add(slice_buf(&body));
		add(SLICE_LIT("\r\nafter\r\n"));
		file.p[at[1] + 8] ^= 1;
		expect(at[3], at[3], false, "1 D%u+%u 3 E", (unsigned)at[1],
		    (unsigned)(at[2] - at[1]));
		buf_fini(&body);
	}
	buf_fini(&forged);
}
END_TEST

START_TEST(noise_never_crashes)
{
	for (int i = 0; i < 4; i++)
		add(SLICE_LIT("\r\nhello\r\n"));
	for (int round = 0; round < 400; round++) {
		size_t where = SEGMENT_HEADER + test_random() % (file.n - SEGMENT_HEADER);
		char old = file.p[where];

		file.p[where] = (char)test_random();
		walk(at[4], at[4], true);
		walk(at[1], at[4], false);
		walk(at[4] - 1, at[4], false);
		walk(where, at[4] + 1000, false);
		file.p[where] = old;
	}
}
END_TEST

START_TEST(record_at_a_known_place)
{
	static char body[100000];
	struct buf bytes = { 0 };
	struct record r;
	const char *why;

	add(SLICE_LIT("\r\nhello\r\n"));
	add(test_bytes(body, sizeof body));
	save();
	ck_assert_int_eq(scan_record(fd, 9, at[0], seg.seed, false, &bytes, &r, &why), 0);
	ck_assert_uint_eq(r.id, 1);
	ck_assert_int_eq(scan_record(fd, 9, at[1], seg.seed, true, &bytes, &r, &why), 0);
	ck_assert(slice_eq(r.body, slice_of(body, sizeof body)));
	ck_assert_int_eq(
	    scan_record(fd, 9, at[1] + 64, seg.seed, false, &bytes, &r, &why), -EBADMSG);
	ck_assert_int_eq(scan_record(fd, 9, at[2], seg.seed, false, &bytes, &r, &why), -EBADMSG);
	ck_assert_int_eq(scan_record(fd, 8, at[1], seg.seed, false, &bytes, &r, &why), -EBADMSG);
	file.p[at[1] + 50000] ^= 1;
	save();
	ck_assert_int_eq(scan_record(fd, 9, at[1], seg.seed, false, &bytes, &r, &why), 0);
	ck_assert_int_eq(scan_record(fd, 9, at[1], seg.seed, true, &bytes, &r, &why), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(why, "body"));
	file.n = at[1] + 60000;
	save();
	ck_assert_int_eq(scan_record(fd, 9, at[1], seg.seed, true, &bytes, &r, &why), -EBADMSG);
	ck_assert_int_eq(scan_record(-1, 9, at[1], seg.seed, true, &bytes, &r, &why), -EBADF);
	buf_fini(&bytes);
}
END_TEST

START_TEST(a_failed_read_may_be_tried_again)
{
	struct scan_item item;
	struct scan s;

	add(SLICE_LIT("one"));
	save();
	scan_init(&s, -1, &seg, 0, at[1], at[1]);
	ck_assert_int_eq(scan_next(&s, &item), SCAN_ERROR);
	ck_assert_int_eq(item.error, -EBADF);
	s.fd = fd;
	ck_assert_int_eq(scan_next(&s, &item), SCAN_RECORD);
	scan_fini(&s);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, walks_to_the_durable_offset_and_no_further);
	tcase_add_test(tc, rule_6_durable_may_rise_between_calls);
	tcase_add_test(tc, rule_22_damage_is_reported_and_passed_over);
	tcase_add_test(tc, rule_22_past_durable_it_goes_on_as_well_while_something_whole_follows);
	tcase_add_test(tc, rule_7_a_torn_tail_is_no_damage);
	tcase_add_test(tc, rule_6_nothing_is_taken_that_reaches_past_the_limit);
	tcase_add_test(tc, a_file_shorter_than_its_durable_offset_is_damage);
	tcase_add_test(tc, bodies_are_verified_on_demand);
	tcase_add_test(tc, bodies_larger_than_the_window);
	tcase_add_test(tc, rule_4_no_body_passes_for_a_record);
	tcase_add_test(tc, noise_never_crashes);
	tcase_add_test(tc, record_at_a_known_place);
	tcase_add_test(tc, a_failed_read_may_be_tried_again);
}
CHECK_MAIN("scan", cases)
