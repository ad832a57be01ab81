/* SPDX-License-Identifier: ISC */
#include "spool/segment.h"

#include "t/unit/libcommon/spool/spool_test.h"

START_TEST(header_round_trip)
{
	struct segment in = test_segment(42), out;
	char h[SEGMENT_HEADER];
	const char *why;

	in.class = 4;
	in.floor_ms = UINT64_MAX;
	segment_encode(&in, h);
	memset(&out, 0xff, sizeof out);
	ck_assert_int_eq(segment_decode(slice_of(h, sizeof h), &out, &why), 0);
	ck_assert_uint_eq(out.number, 42);
	ck_assert_uint_eq(out.version, SPOOL_VERSION);
	ck_assert_uint_eq(out.flags, 0);
	ck_assert_uint_eq(out.class, 4);
	ck_assert_uint_eq(out.instance, in.instance);
	ck_assert_uint_eq(out.floor_ms, in.floor_ms);
	ck_assert_uint_eq(out.seed, in.seed);
	ck_assert_uint_eq(out.made_ms, in.made_ms);
	ck_assert_mem_eq(out.spool_id, in.spool_id, SPOOL_ID);
}
END_TEST

START_TEST(header_any_bit_flipped_is_seen)
{
	struct segment in = test_segment(42), out;
	char h[SEGMENT_HEADER];
	const char *why;

	segment_encode(&in, h);
	for (size_t bit = 0; bit < sizeof h * 8; bit++) {
		h[bit / 8] ^= (char)(1 << bit % 8);
		ck_assert_int_eq(segment_decode(slice_of(h, sizeof h), &out, &why), -EBADMSG);
		h[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t n = 0; n < sizeof h; n++)
		ck_assert_int_eq(segment_decode(slice_of(h, n), &out, &why), -EBADMSG);
}
END_TEST

START_TEST(rule_27_unknown_critical_flag_is_refused_by_name)
{
	struct segment in = test_segment(42), out;
	char h[SEGMENT_HEADER];
	const char *why;

	in.flags = 1U << 7;
	segment_encode(&in, h);
	ck_assert_int_eq(segment_decode(slice_of(h, sizeof h), &out, &why), -ENOTSUP);
	ck_assert_uint_eq(out.flags, 1U << 7);
	ck_assert_uint_eq(out.number, 42);
	ck_assert_ptr_nonnull(strstr(why, "flag"));
	in.flags = 0;
	in.version = SPOOL_VERSION + 1;
	segment_encode(&in, h);
	ck_assert_int_eq(segment_decode(slice_of(h, sizeof h), &out, &why), -ENOTSUP);
	ck_assert_uint_eq(out.version, SPOOL_VERSION + 1);
	ck_assert_ptr_nonnull(strstr(why, "version"));
}
END_TEST

START_TEST(names_of_files)
{
	char name[SPOOL_NAME];
	uint32_t n;

	spool_segment_name(7, name);
	ck_assert_str_eq(name, "data/0000000007.seg");
	ck_assert(spool_segment_number(name + 5, &n) && n == 7);
	spool_journal_name(UINT32_MAX, name);
	ck_assert_str_eq(name, "state/journal.4294967295");
	ck_assert(spool_journal_number(name + 6, &n) && n == UINT32_MAX);
}
END_TEST

static const char *const strange[] = { "", ".", "1.seg", "0000000001.seg.", "0000000001xseg",
	"00000000 1.seg", "4294967296.seg", "-000000001.seg", "journal.1", "journal.00000000001",
	"journal.9999999999", "journal.000000000x" };

START_TEST(strange_names_are_none)
{
	uint32_t n;

	ck_assert(!spool_segment_number(strange[_i], &n));
	ck_assert(!spool_journal_number(strange[_i], &n));
}
END_TEST

START_TEST(rule_1_identity_is_made_once)
{
	struct spool_identity a, b;
	char path[64], id[SPOOL_ID] = { 0 };
	int dirfd = test_folder(path);
	struct stat st;

	ck_assert_int_eq(spool_identity_read(dirfd, &a), -ENOENT);
	ck_assert_int_eq(spool_make(dirfd, &a), 0);
	ck_assert_uint_eq(a.version, SPOOL_VERSION);
	ck_assert_mem_ne(a.id, id, SPOOL_ID);
	ck_assert_int_eq(spool_make(dirfd, &b), 0); /* again: the same spool */
	ck_assert_mem_eq(a.id, b.id, SPOOL_ID);
	ck_assert_int_eq(fstatat(dirfd, SPOOL_DATA, &st, 0), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(fstatat(dirfd, SPOOL_IDENTITY ".new", &st, 0), -1);
	close(dirfd);
	test_folder_remove(path);
}
END_TEST

static const struct {
	const char *text;
	int got;
} identities[] = {
	{ "angarium spool 1\nid 00112233445566778899aabbccddeeff\n", 0 },
	{ "angarium spool 2\nid 00112233445566778899aabbccddeeff\n", -ENOTSUP },
	{ "angarium spool 0\nid 00112233445566778899aabbccddeeff\n", -EBADMSG },
	{ "angarium spool x\nid 00112233445566778899aabbccddeeff\n", -EBADMSG },
	{ "angarium spool 1\nid 00112233445566778899aabbccddeefg\n", -EBADMSG },
	{ "angarium spool 1\nid 00112233445566778899aabbccddeef\n", -EBADMSG },
	{ "angarium spool 1\nid 00112233445566778899aabbccddeeff", -EBADMSG },
	{ "angarium spool 1\nid 00112233445566778899aabbccddeeff\nx", -EBADMSG },
	{ "angarium spool 1\n", -EBADMSG },
	{ "angarium", -EBADMSG },
	{ "", -EBADMSG },
};

START_TEST(identity_text)
{
	struct spool_identity got;
	char path[64];
	int dirfd = test_folder(path), fd;

	ck_assert_int_eq(mkdirat(dirfd, SPOOL_STATE, 0700), 0);
	fd = openat(dirfd, SPOOL_IDENTITY, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_eq(write(fd, identities[_i].text, strlen(identities[_i].text)),
	    strlen(identities[_i].text));
	close(fd);
	ck_assert_int_eq(spool_identity_read(dirfd, &got), identities[_i].got);
	if (identities[_i].got == 0)
		ck_assert(got.id[0] == 0 && got.id[1] == 0x11 && got.id[15] == 0xff);
	close(dirfd);
	test_folder_remove(path);
}
END_TEST

START_TEST(rule_1_one_lock)
{
	struct spool_identity id;
	char path[64];
	int dirfd = test_folder(path), a, b;

	ck_assert_int_eq(spool_make(dirfd, &id), 0);
	a = spool_lock(dirfd, false);
	ck_assert_int_ge(a, 0);
	ck_assert_int_eq(spool_lock(dirfd, false), -EWOULDBLOCK);
	close(a);
	b = spool_lock(dirfd, true);
	ck_assert_int_ge(b, 0);
	close(b);
	close(dirfd);
	test_folder_remove(path);
}
END_TEST

START_TEST(words_and_steps)
{
	ck_assert_str_eq(spool_state_word(SPOOL_QUEUED), "queued");
	ck_assert_str_eq(spool_state_word(SPOOL_LOST), "damaged");
	ck_assert_str_eq(spool_state_word(0), "?");
	ck_assert_str_eq(spool_state_word(9), "?");
	ck_assert_str_eq(spool_result_word(SPOOL_RESULT_INTERRUPTED), "interrupted");
	ck_assert_str_eq(spool_result_word(0), "?");
	ck_assert_str_eq(spool_result_word(255), "?");
	ck_assert_uint_eq(spool_state_after(SPOOL_RESULT_DEFERRED), SPOOL_QUEUED);
	ck_assert_uint_eq(spool_state_after(SPOOL_RESULT_FAILED), SPOOL_BOUNCED);
	ck_assert_uint_eq(spool_state_after(0), 0);
	ck_assert_uint_eq(spool_state_after(9), 0);
	ck_assert(spool_is_open(SPOOL_QUEUED, 0) && spool_is_open(SPOOL_STARTED, 0));
	ck_assert(spool_is_open(SPOOL_BOUNCED, SPOOL_NOTICE_FAILED));
	ck_assert(spool_is_open(SPOOL_EXPIRED, SPOOL_NOTICE_FAILED));
	ck_assert(!spool_is_open(SPOOL_BOUNCED, 0) && !spool_is_open(SPOOL_EXPIRED, 0));
	ck_assert(!spool_is_open(SPOOL_DELIVERED, SPOOL_NOTICE_DELIVERED));
	ck_assert(!spool_is_open(SPOOL_DROPPED, 0) && !spool_is_open(SPOOL_LOST, 0));
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, header_round_trip);
	tcase_add_test(tc, header_any_bit_flipped_is_seen);
	tcase_add_test(tc, rule_27_unknown_critical_flag_is_refused_by_name);
	tcase_add_test(tc, names_of_files);
	tcase_add_loop_test(tc, strange_names_are_none, 0, COUNT(strange));
	tcase_add_test(tc, rule_1_identity_is_made_once);
	tcase_add_loop_test(tc, identity_text, 0, COUNT(identities));
	tcase_add_test(tc, rule_1_one_lock);
	tcase_add_test(tc, words_and_steps);
}
CHECK_MAIN("segment", cases)
