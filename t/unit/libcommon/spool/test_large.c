/* SPDX-License-Identifier: ISC */
#include "spool/large.h"
#include "spool/check.h"

#include "t/unit/libcommon/spool/spool_test.h"

static char path[64];
static int spool_fd;

static void
setup(void)
{
	struct spool_identity id;

	spool_fd = test_folder(path);
	ck_assert_int_eq(spool_make(spool_fd, &id), 0);
}

static void
teardown(void)
{
	close(spool_fd);
	test_folder_remove(path);
}

static const struct {
	const char *name;
	bool ok;
	uint32_t number;
} names[] = {
	{ "0000000001", true, 1 },
	{ "4294967295", true, UINT32_MAX },
	{ "4294967296", false, 0 },
	{ "000000001", false, 0 },
	{ "00000000001", false, 0 },
	{ "000000000a", false, 0 },
	{ "0000000001.seg", false, 0 },
	{ "", false, 0 },
};

START_TEST(names_are_numbers)
{
	uint32_t number = 0;
	char name[SPOOL_NAME];

	ck_assert_int_eq(spool_large_number(names[_i].name, &number), names[_i].ok);
	if (!names[_i].ok)
		return;
	ck_assert_uint_eq(number, names[_i].number);
	spool_large_name(number, name);
	ck_assert_str_eq(name + sizeof SPOOL_LARGE, names[_i].name);
}
END_TEST

/* Writes n bytes, and tells what a record would say. */
static struct record_large
fill(uint32_t number, size_t n)
{
	struct record_large large = { .number = number, .bytes = n };
	struct large_hash *h = large_hash_new(number);
	char piece[4096];
	int fd;

	ck_assert_int_eq(large_make(spool_fd, number, &fd), 0);
	for (size_t done = 0; done < n;) {
		size_t some = n - done < sizeof piece ? n - done : sizeof piece;

		test_bytes(piece, some);
		ck_assert_int_eq(write(fd, piece, some), (ssize_t)some);
		large_hash_feed(h, piece, some);
		done += some;
	}
	close(fd);
	large.hash = large_hash_now(h);
	large_hash_free(h);
	return large;
}

START_TEST(made_once_append_only)
{
	int fd, again, reader;
	char c;

	ck_assert_int_eq(large_make(spool_fd, 7, &fd), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
	ck_assert_int_eq(large_make(spool_fd, 7, &again), -EEXIST);
	ck_assert_int_eq(again, -1);
	reader = large_open(spool_fd, 7);
	ck_assert_int_ge(reader, 0);
	ck_assert_int_eq(fcntl(reader, F_GETFL) & O_ACCMODE, O_RDONLY);
	ck_assert_int_eq(read(reader, &c, 1), 0);
	ck_assert_int_eq(large_open(spool_fd, 8), -ENOENT);
	ck_assert_int_eq(large_remove(spool_fd, 7), 0);
	ck_assert_int_eq(large_remove(spool_fd, 7), 0);
	ck_assert_int_eq(large_open(spool_fd, 7), -ENOENT);
	close(fd);
	close(reader);
}
END_TEST

static const size_t sizes[] = { 0, 1, LARGE_PIECE_BYTES - 1, LARGE_PIECE_BYTES,
	LARGE_PIECE_BYTES + 1, 3 * LARGE_PIECE_BYTES + 17 };

START_TEST(verifies_as_written_and_not_otherwise)
{
	struct record_large large = fill(3, sizes[_i]), lie;
	int fd = large_open(spool_fd, 3);
	const char *why;
	char name[SPOOL_NAME];
	int writer;

	ck_assert_int_eq(large_verify(fd, &large, &why), 0);
	ck_assert_ptr_null(why);
	lie = large, lie.number++; /* another file's */
	ck_assert_int_eq(
	    large_verify(fd, &lie, &why), large.bytes == 0 && lie.hash == 0 ? 0 : -EBADMSG);
	lie = large, lie.bytes++;
	ck_assert_int_eq(large_verify(fd, &lie, &why), -EBADMSG);
	ck_assert_ptr_nonnull(why);
	lie = large, lie.hash ^= 1;
	ck_assert_int_eq(large_verify(fd, &lie, &why), -EBADMSG);
	spool_large_name(3, name);
	writer = openat(spool_fd, name, O_WRONLY | O_APPEND);
	ck_assert_int_eq(write(writer, "x", 1), 1); /* longer than it says */
	ck_assert_int_eq(large_verify(fd, &large, &why), -EBADMSG);
	close(writer);
	close(fd);
}
END_TEST

enum { SEGMENT = 4, OFFSET = 640, SEED = 99 };

static void
build(struct buf *b, const struct record_large *large)
{
	struct record_parts p = { .envelope = SLICE_LIT("envelope"),
		.head = SLICE_LIT("Subject: a\r\n"),
		.flags = RECORD_HAS_DOT,
		.nrcpt = 1,
		.id = 77,
		.large = *large };

	ck_assert_int_eq(record_build(b, &p, SEED), 0);
	record_seal(b->p, SEGMENT, OFFSET, SEED);
}

START_TEST(record_refers_and_has_no_body)
{
	struct record_large large = { .number = 12, .bytes = UINT64_C(3) << 30, .hash = 0xabcdef };
	struct record_parts bad = {
		.envelope = SLICE_LIT("e"), .nrcpt = 1, .id = 1, .large = large
	};
	struct record_verifier *v = record_verifier_new();
	struct buf b = { 0 };
	struct record r;

	build(&b, &large);
	ck_assert_int_eq(record_parse(slice_buf(&b), SEGMENT, OFFSET, SEED, &r), RECORD_OK);
	ck_assert_uint_eq(r.large.number, 12);
	ck_assert_uint_eq(r.large.bytes, large.bytes);
	ck_assert_uint_eq(r.large.hash, large.hash);
	ck_assert_uint_eq(r.body_len, 0);
	ck_assert_uint_eq(r.total, b.n);
	ck_assert_uint_eq(record_body_bytes(&r), large.bytes);
	ck_assert_uint_eq(r.flags, RECORD_HAS_DOT | RECORD_LARGE);
	ck_assert(record_body_verify(&r, slice_buf(&b), SEED));
	record_verifier_start(v, &r, SEED);
	record_verifier_feed(v, b.p + r.body_at, r.total - r.body_at);
	ck_assert(record_verifier_end(v));
	/* Copied elsewhere, with another seed: the reference stays what it was. */
	record_reseed(b.p, b.n, SEED + 1);
	record_seal(b.p, SEGMENT + 1, 0x1000, SEED + 1);
	ck_assert_int_eq(record_parse(slice_buf(&b), SEGMENT + 1, 0x1000, SEED + 1, &r), RECORD_OK);
	ck_assert_uint_eq(r.large.hash, large.hash);
	ck_assert(record_body_verify(&r, slice_buf(&b), SEED + 1));
	b.p[b.n - 1] ^= 1;
	ck_assert(!record_body_verify(&r, slice_buf(&b), SEED + 1));
	bad.body = SLICE_LIT("\r\nand here");
	ck_assert_int_eq(record_build(&b, &bad, SEED), -EINVAL);
	record_verifier_free(v);
	buf_fini(&b);
}
END_TEST

/* The reference in a header whose check is right. */
static const struct {
	size_t at, size;
	uint64_t v;
} lies[] = { { 72, 8, 0 }, { 72, 8, UINT64_C(1) << 32 }, { 24, 8, UINT64_MAX },
	{ 24, 8, RECORD_MAX_BYTES + 1 }, { 12, 4, 0 }, { 32, 8, 1 << 20 } };

START_TEST(impossible_reference_is_refused)
{
	struct record_large large = { .number = 12, .bytes = 1000, .hash = 1 };
	struct buf b = { 0 };
	struct record r;

	build(&b, &large);
	memcpy(b.p + lies[_i].at, &lies[_i].v, lies[_i].size);
	record_seal(b.p, SEGMENT, OFFSET, SEED);
	ck_assert_int_eq(record_parse(slice_buf(&b), SEGMENT, OFFSET, SEED, &r), RECORD_BAD);
	ck_assert_ptr_nonnull(r.why);
	buf_fini(&b);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, names_are_numbers, 0, COUNT(names));
	tcase_add_test(tc, made_once_append_only);
	tcase_add_loop_test(tc, verifies_as_written_and_not_otherwise, 0, COUNT(sizes));
	tcase_add_test(tc, record_refers_and_has_no_body);
	tcase_add_loop_test(tc, impossible_reference_is_refused, 0, COUNT(lies));
}
CHECK_MAIN("large", cases)
