/* SPDX-License-Identifier: ISC */
#include "t/unit/libcommon/spool/spool_test.h"

enum { SEGMENT = 3, OFFSET = 1024, SEED = 12345 };

static void
build(struct buf *b, struct slice env, struct slice head, struct slice body)
{
	struct record_parts p = { .envelope = env,
		.head = head,
		.body = body,
		.flags = RECORD_HAS_DOT,
		.nrcpt = 2,
		.id = 77,
		.arrival_ms = 88 };

	ck_assert_int_eq(record_build(b, &p, SEED), 0);
	record_seal(b->p, SEGMENT, OFFSET, SEED);
}

static bool
passes(const char *p, size_t n, uint32_t segment, uint64_t offset, uint64_t seed)
{
	struct record r;

	return record_parse(slice_of(p, n), segment, offset, seed, &r) == RECORD_OK &&
	       record_body_verify(&r, slice_of(p, n), seed);
}

START_TEST(rule_4_what_was_built_is_read)
{
	char env[300], head[300], body[700];

	for (int i = 0; i < 2000; i++) {
		size_t n_env = test_random() % sizeof env,
		       n_head = test_random() % (sizeof head - 2);
		struct slice e = test_bytes(env, n_env), h = test_bytes(head, n_head),
			     b = test_bytes(body, test_random() % sizeof body);
		struct buf out = { 0 };
		struct record r;

		if (h.n > 0) {
			memcpy(head + n_head, "\r\n", 2);
			h.n += 2;
		}
		build(&out, e, h, b);
		ck_assert_uint_eq(out.n % SPOOL_ALIGN, 0);
		ck_assert(record_parse(slice_buf(&out), SEGMENT, OFFSET, SEED, &r) == RECORD_OK);
		ck_assert(slice_eq(r.envelope, e) && slice_eq(r.head, h) && slice_eq(r.body, b));
		ck_assert_uint_eq(r.total, out.n);
		ck_assert_uint_eq(r.id, 77);
		ck_assert_uint_eq(r.arrival_ms, 88);
		ck_assert_uint_eq(r.nrcpt, 2);
		ck_assert_uint_eq(r.flags, RECORD_HAS_DOT);
		ck_assert(record_body_verify(&r, slice_buf(&out), SEED));
		buf_fini(&out);
	}
}
END_TEST

START_TEST(rule_4_any_bit_flipped_is_seen)
{
	struct buf b = { 0 };

	build(&b, SLICE_LIT("envelope"), SLICE_LIT("Subject: a\r\n"), SLICE_LIT("\r\nhello\r\n"));
	ck_assert(passes(b.p, b.n, SEGMENT, OFFSET, SEED));
	for (size_t bit = 0; bit < b.n * 8; bit++) {
		b.p[bit / 8] ^= (char)(1 << bit % 8);
		ck_assert_msg(!passes(b.p, b.n, SEGMENT, OFFSET, SEED), "bit %zu", bit);
		b.p[bit / 8] ^= (char)(1 << bit % 8);
	}
	buf_fini(&b);
}
END_TEST

START_TEST(rule_4_bound_to_its_place_and_seed)
{
	struct buf b = { 0 };

	build(&b, SLICE_LIT("envelope"), SLICE_NONE, SLICE_LIT("\r\nhello\r\n"));
	ck_assert(passes(b.p, b.n, SEGMENT, OFFSET, SEED));
	ck_assert(!passes(b.p, b.n, SEGMENT + 1, OFFSET, SEED));
	ck_assert(!passes(b.p, b.n, SEGMENT, OFFSET + SPOOL_ALIGN, SEED));
	ck_assert(!passes(b.p, b.n, SEGMENT, OFFSET, SEED + 1));
	record_seal(b.p, SEGMENT + 1, 2 * OFFSET, SEED); /* sealed again for another place */
	ck_assert(passes(b.p, b.n, SEGMENT + 1, 2 * OFFSET, SEED));
	record_seal(
	    b.p, SEGMENT, OFFSET, SEED + 1); /* another lease: sealing alone is not enough */
	ck_assert(!passes(b.p, b.n, SEGMENT, OFFSET, SEED + 1));
	record_reseed(b.p, b.n, SEED + 1);
	record_seal(b.p, SEGMENT, OFFSET, SEED + 1);
	ck_assert(passes(b.p, b.n, SEGMENT, OFFSET, SEED + 1));
	buf_fini(&b);
}
END_TEST

START_TEST(every_truncation_asks_for_more)
{
	struct buf b = { 0 };
	struct record r;

	build(&b, SLICE_LIT("envelope"), SLICE_LIT("Subject: a\r\n"), SLICE_LIT("\r\nhello\r\n"));
	for (size_t n = 0; n < b.n; n++) {
		char *cut = test_copy(b.p, n);
		enum record_status got = record_parse(slice_of(cut, n), SEGMENT, OFFSET, SEED, &r);
		size_t front = RECORD_HEADER + 8 + 12;

		ck_assert_int_eq(got, n < front ? RECORD_SHORT : RECORD_OK);
		if (n < front)
			ck_assert_uint_eq(r.need, n < RECORD_HEADER ? RECORD_HEADER : front);
		else
			ck_assert(
			    r.body.p == NULL && !record_body_verify(&r, slice_of(cut, n), SEED));
		free(cut);
	}
	buf_fini(&b);
}
END_TEST

/* A header with its check made anew after one number in it was changed: the lengths must stand
 * alone. */
static const struct {
	size_t at, size;
	uint64_t v;
} lies[] = {
	{ 8, 2, 0 }, { 8, 2, SPOOL_VERSION + 1 },     /* version */
	{ 12, 4, RECORD_LARGE }, { 12, 4, 1U << 31 }, /* critical flags */
	{ 16, 4, UINT32_MAX }, { 16, 4, RECORD_ENV_MAX + 1 }, { 16, 4, 9 + 64 }, /* envelope */
	{ 20, 4, UINT32_MAX }, { 20, 4, RECORD_HEAD_MAX + 1 },			/* header section */
	{ 24, 8, UINT64_MAX }, { 24, 8, UINT64_MAX - 200 }, { 24, 8, 1 << 20 }, /* body */
	{ 32, 8, 0 }, { 32, 8, UINT64_MAX }, { 32, 8, 64 },			/* total */
	{ 44, 4, 0 }, { 44, 4, RECORD_RCPT_MAX + 1 },				/* recipients */
	{ 48, 8, 0 },								/* id */
	{ 72, 8, 1 }, { 96, 8, 1 }, { 112, 8, 1 }, { 10, 2, 1 },		/* zeros */
};

START_TEST(impossible_header_is_refused)
{
	struct buf b = { 0 };
	struct record r;

	build(&b, SLICE_LIT("envelope"), SLICE_LIT("Subject: a\r\n"), SLICE_LIT("\r\nhello\r\n"));
	memcpy(b.p + lies[_i].at, &lies[_i].v, lies[_i].size);
	record_seal(b.p, SEGMENT, OFFSET, SEED);
	ck_assert_int_eq(record_parse(slice_buf(&b), SEGMENT, OFFSET, SEED, &r), RECORD_BAD);
	ck_assert_ptr_nonnull(r.why);
	buf_fini(&b);
}
END_TEST

/* Lengths that agree with each other and are above their limits all the same. */
START_TEST(lengths_above_their_limits_are_refused)
{
	static const struct {
		size_t at, size;
		uint64_t v;
		enum record_status got;
	} over[] = {
		{ 16, 4, RECORD_ENV_MAX, RECORD_SHORT },
		{ 16, 4, RECORD_ENV_MAX + 1, RECORD_BAD },
		{ 20, 4, RECORD_HEAD_MAX, RECORD_SHORT },
		{ 20, 4, RECORD_HEAD_MAX + 1, RECORD_BAD },
		{ 24, 8, RECORD_MAX_BYTES - 4096, RECORD_OK },
		{ 24, 8, RECORD_MAX_BYTES, RECORD_BAD },
	};

	for (size_t i = 0; i < COUNT(over); i++) {
		struct buf b = { 0 };
		struct record r;
		uint64_t total, old = 0;

		build(&b, SLICE_LIT("envelope"), SLICE_LIT("A: b\r\n"), SLICE_LIT("\r\nx\r\n"));
		memcpy(&old, b.p + over[i].at, over[i].size);
		memcpy(b.p + over[i].at, &over[i].v, over[i].size);
		total = (RECORD_HEADER + 8 + 6 + 5 + RECORD_END - old + over[i].v + 63) / 64 * 64;
		memcpy(b.p + 32, &total, sizeof total);
		record_seal(b.p, SEGMENT, OFFSET, SEED);
		ck_assert_int_eq(
		    record_parse(slice_buf(&b), SEGMENT, OFFSET, SEED, &r), over[i].got);
		buf_fini(&b);
	}
}
END_TEST

START_TEST(rule_27_unknown_flag_that_is_not_critical_passes)
{
	struct buf b = { 0 };
	uint32_t flags = 1 << 15;

	build(&b, SLICE_LIT("envelope"), SLICE_NONE, SLICE_NONE);
	memcpy(b.p + 12, &flags, sizeof flags);
	record_seal(b.p, SEGMENT, OFFSET, SEED);
	ck_assert(passes(b.p, b.n, SEGMENT, OFFSET, SEED));
	buf_fini(&b);
}
END_TEST

START_TEST(limits_hold_when_building)
{
	struct record_parts good = { .envelope = SLICE_LIT("e"), .nrcpt = 1, .id = 1 }, p;
	struct record_frame f;
	struct buf b = { 0 };

	ck_assert_int_eq(record_build(&b, &good, 1), 0);
	b.n = 0;
	p = good, p.envelope.n = RECORD_ENV_MAX + 1;
	ck_assert_int_eq(record_build(&b, &p, 1), -EMSGSIZE);
	p = good, p.head.n = RECORD_HEAD_MAX + 1;
	ck_assert_int_eq(record_frame_build(&f, &p, 1), -EMSGSIZE);
	p = good, p.body.n = RECORD_MAX_BYTES;
	ck_assert_int_eq(record_build(&b, &p, 1), -EMSGSIZE);
	p.body.n = SIZE_MAX;
	ck_assert_int_eq(record_build(&b, &p, 1), -EMSGSIZE);
	p = good, p.nrcpt = 0;
	ck_assert_int_eq(record_build(&b, &p, 1), -EINVAL);
	p = good, p.nrcpt = RECORD_RCPT_MAX + 1;
	ck_assert_int_eq(record_build(&b, &p, 1), -EINVAL);
	p = good, p.id = 0;
	ck_assert_int_eq(record_build(&b, &p, 1), -EINVAL);
	p = good, p.flags = RECORD_LARGE;
	ck_assert_int_eq(record_build(&b, &p, 1), -EINVAL);
	p = good, p.head = SLICE_LIT("Subject: no line end");
	ck_assert_int_eq(record_frame_build(&f, &p, 1), -EINVAL);
	ck_assert_uint_eq(b.n, 0);
	buf_fini(&b);
}
END_TEST

START_TEST(frame_and_buffer_give_the_same_bytes)
{
	char env[200], body[5000];

	for (int i = 0; i < 300; i++) {
		struct record_parts p = { .envelope = test_bytes(env, test_random() % sizeof env),
			.head = i % 3 == 0 ? SLICE_NONE : SLICE_LIT("A: b\r\n"),
			.body = test_bytes(body, test_random() % sizeof body),
			.nrcpt = 1,
			.id = 9 };
		struct iovec iov[RECORD_IOV];
		struct record_frame f;
		struct buf one = { 0 }, pieces = { 0 };

		ck_assert_int_eq(record_build(&one, &p, SEED), 0);
		record_seal(one.p, SEGMENT, OFFSET, SEED);
		ck_assert_int_eq(record_frame_build(&f, &p, SEED), 0);
		record_seal(f.header, SEGMENT, OFFSET, SEED);
		record_frame_iov(&f, &p, iov);
		for (size_t k = 0; k < RECORD_IOV; k++)
			buf_put(&pieces, iov[k].iov_base, iov[k].iov_len);
		ck_assert_uint_eq(f.total, pieces.n);
		ck_assert(slice_eq(slice_buf(&one), slice_buf(&pieces)));
		buf_fini(&one);
		buf_fini(&pieces);
	}
}
END_TEST

START_TEST(verifier_in_pieces_agrees)
{
	struct record_verifier *v = record_verifier_new();
	struct buf b = { 0 };
	struct record r;
	char body[3000];

	build(&b, SLICE_LIT("envelope"), SLICE_NONE, test_bytes(body, sizeof body));
	ck_assert(record_parse(slice_buf(&b), SEGMENT, OFFSET, SEED, &r) == RECORD_OK);
	for (int i = 0; i < 500; i++) {
		size_t at = r.body_at, broken = i % 2 ? at + test_random() % (b.n - at) : 0;

		b.p[broken] ^= broken != 0;
		record_verifier_start(v, &r, SEED);
		while (at < b.n) {
			size_t n = test_random() % 700;

			n = n > b.n - at ? b.n - at : n;
			record_verifier_feed(v, b.p + at, n);
			at += n;
		}
		ck_assert(record_verifier_end(v) == (broken == 0));
		b.p[broken] ^= broken != 0;
	}
	record_verifier_start(v, &r, SEED); /* too little, too much */
	record_verifier_feed(v, b.p + r.body_at, b.n - r.body_at - 1);
	ck_assert(!record_verifier_end(v));
	record_verifier_feed(v, b.p + b.n - 1, 1);
	ck_assert(record_verifier_end(v));
	record_verifier_feed(v, "", 1);
	ck_assert(!record_verifier_end(v));
	record_verifier_free(v);
	record_verifier_free(NULL);
	buf_fini(&b);
}
END_TEST

static const struct {
	const char *head, *body;
	uint32_t flags;
} contents[] = {
	{ "", "", 0 },
	{ "A: b\r\n", "\r\nx\r\n", 0 },
	{ "A: b\r\n", "\r\n.\r\n", RECORD_HAS_DOT },
	{ ".A: b\r\n", "", RECORD_HAS_DOT },
	{ "A: .b\r\n", "\r\nx.\r\n", 0 },
	{ "A: \xc3\xa4\r\n", "", RECORD_EIGHT_BIT | RECORD_EIGHT_BIT_HEAD },
	{ "A: b\r\n", "\r\n12345678\xff\r\n", RECORD_EIGHT_BIT },
	{ "", "a\nb\r\n", RECORD_BARE },
	{ "", "\nb\r\n", RECORD_BARE },
	{ "", "a\rb\r\n", RECORD_BARE },
	{ "", "a\r\r\n", RECORD_BARE },
	{ "", "a\r\n\r", RECORD_BARE | RECORD_NO_END },
	{ "", "a\r\nb", RECORD_NO_END },
};

START_TEST(flags_of_content)
{
	ck_assert_uint_eq(record_flags_of(slice_z(contents[_i].head), slice_z(contents[_i].body)),
	    contents[_i].flags);
}
END_TEST

START_TEST(flags_of_long_lines_and_nul)
{
	char line[1001];

	memset(line, 'x', sizeof line);
	memcpy(line + 998, "\r\n", 2);
	ck_assert_uint_eq(record_flags_of(SLICE_NONE, slice_of(line, 1000)), 0);
	line[998] = 'x';
	memcpy(line + 999, "\r\n", 2);
	ck_assert_uint_eq(record_flags_of(SLICE_NONE, slice_of(line, 1001)), RECORD_LONG_LINE);
	ck_assert_uint_eq(record_flags_of(SLICE_NONE, SLICE_LIT("a\0b\r\n")), RECORD_NUL);
}
END_TEST

START_TEST(digest_is_of_the_envelope_alone)
{
	ck_assert_uint_eq(record_digest(SLICE_LIT("abc")), record_digest(SLICE_LIT("abc")));
	ck_assert_uint_ne(record_digest(SLICE_LIT("abc")), record_digest(SLICE_LIT("abd")));
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, rule_4_what_was_built_is_read);
	tcase_add_test(tc, rule_4_any_bit_flipped_is_seen);
	tcase_add_test(tc, rule_4_bound_to_its_place_and_seed);
	tcase_add_test(tc, every_truncation_asks_for_more);
	tcase_add_loop_test(tc, impossible_header_is_refused, 0, COUNT(lies));
	tcase_add_test(tc, lengths_above_their_limits_are_refused);
	tcase_add_test(tc, rule_27_unknown_flag_that_is_not_critical_passes);
	tcase_add_test(tc, limits_hold_when_building);
	tcase_add_test(tc, frame_and_buffer_give_the_same_bytes);
	tcase_add_test(tc, verifier_in_pieces_agrees);
	tcase_add_loop_test(tc, flags_of_content, 0, COUNT(contents));
	tcase_add_test(tc, flags_of_long_lines_and_nul);
	tcase_add_test(tc, digest_is_of_the_envelope_alone);
}
CHECK_MAIN("record", cases)
