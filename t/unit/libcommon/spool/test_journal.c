/* SPDX-License-Identifier: ISC */
#include "spool/journal.h"

#include "t/unit/libcommon/spool/spool_test.h"

static const uint8_t spool_id[SPOOL_ID] = "0123456789abcde";
enum { SEED = 99 };

/* A record of every kind, its fields filled from `text` and `n`; then read and compared. */
static struct journal_id16
id16_of(uint64_t n)
{
	struct journal_id16 id = { { 0 } };

	memcpy(id.b, &n, sizeof n);
	return id;
}

#define OF_u8 (uint8_t)(n + 1)
#define OF_u16 (uint16_t)(n * 3)
#define OF_u32 (uint32_t)(n * 5)
#define OF_u64 (n * 7)
#define OF_text text
#define OF_id16 id16_of(n)
#define F(type, name, what) r.name = OF_##type;
#define K(NAME, name, number, critical)                                      \
	static void put_##name(struct buf *b, struct slice text, uint64_t n) \
	{                                                                    \
		struct journal_##name r;                                     \
                                                                             \
		(void)text, (void)n;                                         \
		JOURNAL_##NAME(F) journal_put_##name(b, &r);                 \
	}
JOURNAL_KINDS(K)
#undef K
#undef F

typedef void put_fn(struct buf *b, struct slice text, uint64_t n);
static const struct {
	put_fn *put;
	enum journal_kind kind;
	const char *word;
	bool critical;
} kinds[] = {
#define K(NAME, name, number, critical) { put_##name, JOURNAL_KIND_##NAME, #name, critical },
	JOURNAL_KINDS(K)
#undef K
};

/* Fields as text, for comparing what was put with what was read. */
static void
on_field(void *ctx, const char *name, const char *type, uint64_t number, struct slice bytes)
{
	buf_printf(ctx, "%s %s %llu ", name, type, (unsigned long long)number);
	buf_slice(ctx, bytes);
	buf_puts(ctx, ";");
}

START_TEST(any_bytes_in_any_kind)
{
	char text[3000];

	for (int i = 0; i < 50; i++) {
		struct slice s = test_bytes(text, test_random() % sizeof text), rest;
		struct buf one = { 0 }, two = { 0 }, read = { 0 }, again = { 0 };
		struct journal_rec r;
		uint64_t n = test_random(), seq = 5;
		const char *why;
		char *exact;

		kinds[_i].put(&one, s, n);
		ck_assert_uint_eq(journal_seal(one.p, one.n, one.n, SEED, &seq), one.n);
		ck_assert_uint_eq(seq, 6);
		exact = test_copy(one.p, one.n);
		rest = slice_of(exact, one.n);
		ck_assert_int_eq(journal_next(&rest, SEED, 5, &r, &why), JOURNAL_OK);
		ck_assert_uint_eq(rest.n, 0);
		ck_assert_int_eq(r.kind, kinds[_i].kind);
		ck_assert_uint_eq(r.seq, 5);
		ck_assert_uint_eq(r.size, one.n);
		ck_assert_str_eq(journal_kind_word((uint16_t)r.kind), kinds[_i].word);
		/* What was read, put again, is the same; and another value is another text. */
		journal_each(&r, on_field, &read);
		switch (r.kind) {
#define K(NAME, name, number, critical)            \
	case JOURNAL_KIND_##NAME:                  \
		journal_put_##name(&two, &r.name); \
		break;
			JOURNAL_KINDS(K)
#undef K
		}
		seq = 5;
		journal_seal(two.p, two.n, two.n, SEED, &seq);
		ck_assert(slice_eq(slice_buf(&one), slice_buf(&two)));
		two.n = 0;
		kinds[_i].put(&two, s, n ^ 0x0101010101010101);
		seq = 5;
		journal_seal(two.p, two.n, two.n, SEED, &seq);
		rest = slice_buf(&two);
		ck_assert_int_eq(journal_next(&rest, SEED, 5, &r, &why), JOURNAL_OK);
		journal_each(&r, on_field, &again);
		ck_assert(!slice_eq(slice_buf(&read), slice_buf(&again)));
		free(exact);
		buf_fini(&one), buf_fini(&two), buf_fini(&read), buf_fini(&again);
	}
}
END_TEST

START_TEST(values_arrive)
{
	struct journal_result in = { .id = 1ULL << 60,
		.rcpt = 49999,
		.attempt = 7,
		.result = 3,
		.owed = 1,
		.suspicion = 2,
		.due_ms = 5,
		.code = 550,
		.enh0 = 5,
		.enh1 = 1,
		.enh2 = 1,
		.host = SLICE_LIT("mx.example"),
		.reply = SLICE_LIT("no such user"),
		.rule = SLICE_LIT("r"),
		.wall_ms = 6 };
	struct journal_rec r;
	struct buf b = { 0 };
	struct slice rest;
	const char *why;
	uint64_t seq = 1;

	ck_assert_uint_eq(journal_put_result(&b, &in), 0);
	ck_assert_uint_gt(journal_put_result(&b, &in), 0);
	journal_seal(b.p, b.n, b.n, SEED, &seq);
	rest = slice_buf(&b);
	ck_assert_int_eq(journal_next(&rest, SEED, 1, &r, &why), JOURNAL_OK);
	ck_assert_uint_eq(r.result.id, in.id);
	ck_assert_uint_eq(r.result.rcpt, 49999);
	ck_assert_uint_eq(r.result.attempt, 7);
	ck_assert_uint_eq(r.result.result, 3);
	ck_assert_uint_eq(r.result.owed, 1);
	ck_assert_uint_eq(r.result.suspicion, 2);
	ck_assert_uint_eq(r.result.due_ms, 5);
	ck_assert_uint_eq(r.result.code, 550);
	ck_assert(r.result.enh0 == 5 && r.result.enh1 == 1 && r.result.enh2 == 1);
	ck_assert(slice_is(r.result.host, "mx.example"));
	ck_assert(slice_is(r.result.reply, "no such user"));
	ck_assert(slice_is(r.result.rule, "r"));
	ck_assert_uint_eq(r.result.wall_ms, 6);
	buf_fini(&b);
}
END_TEST

/* Kind numbers are on disk. */
static const struct {
	uint16_t number;
	const char *word;
} numbers[] = { { 1, "file_start" }, { 2, "oldest" }, { 3, "clock" }, { 4, "lease" },
	{ 5, "segment" }, { 6, "seal" }, { 7, "segment_end" }, { 8, "segment_freed" },
	{ 9, "large" }, { 10, "queue" }, { 11, "queue_freed" }, { 12, "suspend" }, { 13, "resume" },
	{ 20, "filed" }, { 21, "message" }, { 22, "expanded" }, { 23, "started" }, { 24, "result" },
	{ 25, "routed" }, { 26, "due" }, { 27, "hold" }, { 28, "release" }, { 29, "operator" },
	{ 30, "notice" }, { 31, "settled" }, { 32, "moved" }, { 33, "more" }, { 40, "totals" },
	{ 41, "damaged" } };

START_TEST(kind_numbers_stay)
{
	ck_assert_uint_eq(COUNT(numbers), COUNT(kinds));
	ck_assert_str_eq(journal_kind_word(numbers[_i].number), numbers[_i].word);
	ck_assert_ptr_null(journal_kind_word(0));
	ck_assert_ptr_null(journal_kind_word(0x8001));
}
END_TEST

START_TEST(any_bit_flipped_is_seen)
{
	struct buf b = { 0 };
	struct journal_rec r;
	uint64_t seq = 1;
	const char *why;

	journal_put_seal(&b, &(struct journal_seal){ 3, 4096 });
	journal_seal(b.p, b.n, b.n, SEED, &seq);
	for (size_t bit = 0; bit < b.n * 8; bit++) {
		struct slice rest = slice_buf(&b);
		enum journal_status got;

		b.p[bit / 8] ^= (char)(1 << bit % 8);
		got = journal_next(&rest, SEED, 1, &r, &why);
		ck_assert_msg(got == JOURNAL_END || got == JOURNAL_SHORT, "bit %zu: %d", bit, got);
		b.p[bit / 8] ^= (char)(1 << bit % 8);
	}
	buf_fini(&b);
}
END_TEST

START_TEST(stale_bytes_never_verify)
{
	struct buf b = { 0 };
	struct journal_rec r;
	struct slice rest;
	uint8_t other[SPOOL_ID] = "0123456789abcdE";
	uint64_t seq = 10;
	const char *why;

	journal_put_clock(&b, &(struct journal_clock){ 1, 2 });
	journal_seal(b.p, b.n, b.n, journal_seed(spool_id, 3), &seq);
	rest = slice_buf(&b);
	ck_assert_int_eq(journal_next(&rest, journal_seed(spool_id, 4), 10, &r, &why), JOURNAL_END);
	ck_assert_int_eq(journal_next(&rest, journal_seed(other, 3), 10, &r, &why), JOURNAL_END);
	ck_assert_int_eq(journal_next(&rest, journal_seed(spool_id, 3), 9, &r, &why), JOURNAL_END);
	ck_assert_int_eq(journal_next(&rest, journal_seed(spool_id, 3), 11, &r, &why), JOURNAL_END);
	ck_assert_int_eq(journal_next(&rest, journal_seed(spool_id, 3), 10, &r, &why), JOURNAL_OK);
	buf_fini(&b);
}
END_TEST

START_TEST(cut_at_every_byte_is_a_prefix)
{
	size_t ends[COUNT(kinds) + 1] = { 0 };
	struct buf b = { 0 };
	uint64_t seq = 1;

	for (size_t i = 0; i < COUNT(kinds); i++) {
		kinds[i].put(&b, SLICE_LIT("some text"), i);
		ends[i + 1] = b.n;
	}
	ck_assert_uint_eq(journal_seal(b.p, b.n, b.n, SEED, &seq), b.n);
	for (size_t cut = 0; cut <= b.n; cut++) {
		char *exact = test_copy(b.p, cut);
		struct slice rest = slice_of(exact, cut);
		enum journal_status got;
		struct journal_rec r;
		const char *why;
		size_t n = 0;

		while ((got = journal_next(&rest, SEED, n + 1, &r, &why)) == JOURNAL_OK)
			n++;
		ck_assert_int_eq(got, JOURNAL_SHORT);
		ck_assert(ends[n] <= cut && (n == COUNT(kinds) || cut < ends[n + 1]));
		ck_assert_uint_gt(r.size, cut - ends[n]);
		free(exact);
	}
	buf_fini(&b);
}
END_TEST

START_TEST(zeros_end_it)
{
	static const char zeros[4096];
	struct slice rest = slice_of(zeros, sizeof zeros);
	struct journal_rec r;
	const char *why;

	ck_assert_int_eq(journal_next(&rest, SEED, 1, &r, &why), JOURNAL_END);
	ck_assert_int_eq(journal_next(&rest, SEED, 0, &r, &why), JOURNAL_END);
}
END_TEST

START_TEST(sealing_stops_where_the_file_is_full)
{
	struct buf b = { 0 };
	uint64_t seq = 1, one;

	for (int i = 0; i < 10; i++)
		journal_put_clock(&b, &(struct journal_clock){ 1, 2 });
	one = b.n / 10;
	for (uint64_t room = 0; room <= b.n + 8; room++) {
		seq = 1;
		ck_assert_uint_eq(journal_seal(b.p, b.n, room, SEED, &seq),
		    room / one > 10 ? b.n : room / one * one);
		ck_assert_uint_eq(seq, 1 + (room / one > 10 ? 10 : room / one));
	}
	buf_fini(&b);
}
END_TEST

/* Records of other versions: fields missing, fields more, kinds unknown. Built by hand. */
static void
by_hand(struct buf *b, uint16_t kind, const void *payload, uint32_t len)
{
	uint64_t seq = 1;

	b->n = 0;
	memset(buf_room(b, 4096), 0, 4096);
	memcpy(b->p + 8, &len, sizeof len);
	memcpy(b->p + 12, &kind, sizeof kind);
	memcpy(b->p + 24, payload, len);
	b->n = (24 + (size_t)len + 7) / 8 * 8;
	ck_assert_uint_eq(journal_seal(b->p, b->n, b->n, SEED, &seq), b->n);
}

static enum journal_status
next_of(const struct buf *b, struct journal_rec *r)
{
	struct slice rest = slice_buf(b);
	const char *why;
	enum journal_status got = journal_next(&rest, SEED, 1, r, &why);

	ck_assert((why != NULL) == (got == JOURNAL_BAD || got == JOURNAL_SKIP));
	ck_assert(rest.n == (got == JOURNAL_OK || got == JOURNAL_SKIP ? 0 : b->n));
	return got;
}

START_TEST(rule_27_other_versions)
{
	struct journal_rec r;
	struct buf b = { 0 };

	by_hand(&b, 6, "\3\0\0\0", 4); /* SEAL without its offset */
	ck_assert_int_eq(next_of(&b, &r), JOURNAL_OK);
	ck_assert(r.seal.segment == 3 && r.seal.offset == 0);
	by_hand(&b, 6, "\3\0\0\0\5\0\0\0\0\0\0\0more", 16);
	ck_assert_int_eq(next_of(&b, &r), JOURNAL_OK);
	ck_assert(r.seal.segment == 3 && r.seal.offset == 5);
	by_hand(&b, 6, "\3\0\0\0\5", 5); /* within a field */
	ck_assert_int_eq(next_of(&b, &r), JOURNAL_BAD);
	by_hand(&b, 28, "12345678\4\0\0\0abc", 15); /* RELEASE: a text longer than the record */
	ck_assert_int_eq(next_of(&b, &r), JOURNAL_BAD);
	by_hand(&b, 28, "12345678\xff\xff\xff\xff", 12);
	ck_assert_int_eq(next_of(&b, &r), JOURNAL_BAD);
	by_hand(&b, 28, "12345678\3\0\0\0abc", 15);
	ck_assert_int_eq(next_of(&b, &r), JOURNAL_OK);
	ck_assert(slice_is(r.release.holder, "abc") && r.release.wall_ms == 0);
	by_hand(&b, 999, "x", 1);
	ck_assert_int_eq(next_of(&b, &r), JOURNAL_SKIP);
	by_hand(&b, JOURNAL_CRITICAL | 999, "x", 1);
	ck_assert_int_eq(next_of(&b, &r), JOURNAL_BAD);
	by_hand(&b, 6, "", 0);
	ck_assert_int_eq(next_of(&b, &r), JOURNAL_OK);
	ck_assert_uint_eq(r.seal.segment, 0);
	buf_fini(&b);
}
END_TEST

START_TEST(recipient_entries)
{
	char text[200], other[100];
	struct buf b = { 0 };

	for (int i = 0; i < 3000; i++) {
		struct slice s = test_bytes(text, test_random() % sizeof text);
		struct slice o = test_bytes(other, test_random() % sizeof other);
		struct journal_rcpt in = { .queue = (uint32_t)test_random(),
			.notify = (uint8_t)test_random(),
			.state = SPOOL_QUEUED },
				    out;
		struct slice rest;

		if (i & 1) {
			in.state = (uint8_t)(test_random() % 8 + 1);
			in.owed = (uint8_t)(test_random() & 7);
			in.attempts = (uint32_t)test_random();
			in.due_ms = test_random();
		}
		if (i & 2) {
			in.code = (uint16_t)test_random();
			in.enh[1] = 7;
			in.host = s;
			in.reply = o;
		}
		if (i & 4) {
			in.address = o;
			in.original = s;
			in.orcpt = o;
			in.parent = 4;
		}
		b.n = 0;
		journal_rcpt_put(&b, &in);
		if ((i & 7) == 0)
			ck_assert_uint_eq(b.n, 6);
		for (size_t cut = 0; cut < b.n; cut++) {
			char *exact = test_copy(b.p, cut);

			rest = slice_of(exact, cut);
			ck_assert_int_eq(journal_rcpt_next(&rest, &out), cut == 0 ? 0 : -EBADMSG);
			free(exact);
		}
		journal_rcpt_put(&b, &in);
		rest = slice_buf(&b);
		ck_assert_int_eq(journal_rcpt_next(&rest, &out), 1);
		ck_assert_int_eq(journal_rcpt_next(&rest, &out), 1);
		ck_assert_int_eq(journal_rcpt_next(&rest, &out), 0);
		ck_assert(
		    out.queue == in.queue && out.notify == in.notify && out.state == in.state);
		ck_assert(
		    out.owed == in.owed && out.attempts == in.attempts && out.due_ms == in.due_ms);
		ck_assert(out.code == in.code && out.enh[1] == in.enh[1]);
		ck_assert(slice_eq(out.host, in.host) && slice_eq(out.reply, in.reply));
		ck_assert(slice_eq(out.address, in.address) && slice_eq(out.original, in.original));
		ck_assert(slice_eq(out.orcpt, in.orcpt) && out.parent == in.parent);
		ck_assert((out.address.p == NULL) == (in.address.p == NULL));
	}
	buf_fini(&b);
}
END_TEST

START_TEST(rule_23_fifty_thousand_recipients_in_one_record)
{
	struct journal_message m = { .id = 1, .nrcpt = 50000 };
	struct buf rcpts = { 0 }, b = { 0 };
	struct journal_rcpt entry = { .queue = 1,
		.state = SPOOL_QUEUED,
		.attempts = 3,
		.due_ms = 9,
		.code = 451,
		.host = SLICE_LIT("mx.some.example"),
		.reply =
		    SLICE_LIT("451 4.7.1 a reply of about the length that greylisters use, with a "
			      "link to a page that explains what it means") };
	struct journal_rec r;
	struct slice rest;
	uint64_t seq = 1;
	const char *why;
	uint32_t n = 0;

	for (int i = 0; i < 50000; i++)
		journal_rcpt_put(&rcpts, &entry);
	m.rcpts = slice_buf(&rcpts);
	journal_put_message(&b, &m);
	ck_assert_uint_eq(journal_seal(b.p, b.n, JOURNAL_FILE_BYTES, SEED, &seq), b.n);
	rest = slice_buf(&b);
	ck_assert_int_eq(journal_next(&rest, SEED, 1, &r, &why), JOURNAL_OK);
	rest = r.message.rcpts;
	while (journal_rcpt_next(&rest, &entry) == 1)
		n++;
	ck_assert_uint_eq(n, 50000);
	buf_fini(&rcpts);
	buf_fini(&b);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, any_bytes_in_any_kind, 0, COUNT(kinds));
	tcase_add_test(tc, values_arrive);
	tcase_add_loop_test(tc, kind_numbers_stay, 0, COUNT(numbers));
	tcase_add_test(tc, any_bit_flipped_is_seen);
	tcase_add_test(tc, stale_bytes_never_verify);
	tcase_add_test(tc, cut_at_every_byte_is_a_prefix);
	tcase_add_test(tc, zeros_end_it);
	tcase_add_test(tc, sealing_stops_where_the_file_is_full);
	tcase_add_test(tc, rule_27_other_versions);
	tcase_add_test(tc, recipient_entries);
	tcase_add_test(tc, rule_23_fifty_thousand_recipients_in_one_record);
}
CHECK_MAIN("journal", cases)
