/* SPDX-License-Identifier: ISC */
#include "t/unit/libcommon/spool/spool_test.h"

/* An envelope with every field of the tables in it, filled from `text`. */
static void
put_all(struct buf *b, struct slice text, uint64_t n)
{
	struct envelope_addr addr = { .ip = { 0xfe, 0x80 }, .port = (uint16_t)n };
	struct envelope_route route = { .generation = n, .seal = "0123456789abcde", .bytes = text };
	uint32_t row[] = { 1, 2, (uint32_t)n };

#define PUT_text(F) envelope_put_text(b, F, text)
#define PUT_flag(F) envelope_put_flag(b, F)
#define PUT_u8(F) envelope_put_u8(b, F, 1)
#define PUT_i8(F) envelope_put_u8(b, F, (uint8_t)-9)
#define PUT_u32(F) envelope_put_u32(b, F, (uint32_t)n)
#define PUT_u64(F) envelope_put_u64(b, F, n)
#define PUT_addr(F) envelope_put_addr(b, F, &addr)
#define PUT_pair_row(F) \
	envelope_put_pair(b, F, text, text), envelope_put_pair(b, F, text, SLICE_NONE)
#define PUT_edit_row(F) \
	envelope_put_edit(b, EDIT_INSERT, 1, text), envelope_put_edit(b, EDIT_DELETE, 7, SLICE_NONE)
#define PUT_u32_row(F) envelope_put_u32s(b, F, row, COUNT(row))
#define PUT_route(F) envelope_put_route(b, &route)
#define F(NAME, name, number, type, critical, what) PUT_##type(ENVELOPE_##NAME);
	ENVELOPE_MESSAGE_FIELDS(F)
	ENVELOPE_RCPT_FIELDS(F)
#undef F
}

/* One line for each row of the table. */
static void /* NOLINTNEXTLINE(readability-function-size) */
check_all(struct slice env, struct slice text, uint64_t n)
{
	struct envelope_iter it;
	struct envelope_rcpt r;
	struct envelope e;

	ck_assert_int_eq(envelope_message(env, &e), 0);
#define IS_text(v) ck_assert(slice_eq(v, text))
#define IS_flag(v) ck_assert(v)
#define IS_u8(v) ck_assert_uint_eq(v, 1)
#define IS_i8(v) ck_assert_int_eq(v, -9)
#define IS_u32(v) ck_assert_uint_eq(v, (uint32_t)n)
#define IS_u64(v) ck_assert_uint_eq(v, n)
#define IS_addr(v) ck_assert((v).ip[0] == 0xfe && (v).ip[15] == 0 && (v).port == (uint16_t)n)
#define IS_pair_row(v) ck_assert_uint_eq(v, 2)
#define IS_edit_row(v) ck_assert_uint_eq(v, 2)
#define IS_u32_row(v) ck_assert((v).n == 12 && envelope_u32(v, 2) == (uint32_t)n)
#define IS_route(v)                                                   \
	ck_assert((v).generation == n && slice_eq((v).bytes, text) && \
		  memcmp((v).seal, "0123456789abcde", 16) == 0)
#define F(NAME, name, number, type, critical, what) \
	IS_##type(e.name);                          \
	ck_assert(envelope_has(&e, number));
	ENVELOPE_MESSAGE_FIELDS(F)
#undef F
	envelope_rcpts(&e, &it);
	ck_assert_int_eq(envelope_rcpt_next(&it, &r), 1);
#define F(NAME, name, number, type, critical, what) IS_##type(r.name);
	ENVELOPE_RCPT_FIELDS(F)
#undef F
	ck_assert_int_eq(envelope_rcpt_next(&it, &r), 0);
}

START_TEST(rule_5_any_bytes_in_any_field)
{
	char text[500];

	for (int i = 0; i < 500; i++) {
		struct slice s = test_bytes(text, test_random() % sizeof text);
		struct buf b = { 0 };
		uint64_t n = test_random();
		char *exact;

		put_all(&b, s, n);
		exact = test_copy(b.p, b.n);
		check_all(slice_of(exact, b.n), s, n);
		free(exact);
		buf_fini(&b);
	}
}
END_TEST

/* The numbers are on disk: a table that is changed must not change them. */
static const struct {
	uint16_t number;
	const char *name;
} numbers[] = {
	{ 1, "sender" },
	{ 2, "ret" },
	{ 3, "envid" },
	{ 4, "body" },
	{ 5, "smtputf8" },
	{ 6, "requiretls" },
	{ 7, "priority" },
	{ 8, "hold_until_ms" },
	{ 9, "deliver_by_ms" },
	{ 10, "deliver_mode" },
	{ 11, "login" },
	{ 12, "client" },
	{ 13, "client_name" },
	{ 14, "client_rdns" },
	{ 15, "helo" },
	{ 16, "protocol" },
	{ 17, "listener" },
	{ 18, "tenant" },
	{ 19, "class" },
	{ 20, "context" },
	{ 21, "edit" },
	{ 22, "notice_of" },
	{ 23, "notice_kind" },
	{ 24, "notice_rcpts" },
	{ 25, "tls" },
	{ 26, "uid" },
	{ 27, "session" },
	{ 28, "auth" },
	{ 29, "hold" },
	{ 30, "generation" },
	{ 64, "recipient" },
	{ 65, "notify" },
	{ 66, "orcpt" },
	{ 67, "original" },
	{ 68, "route" },
	{ 69, "rcpt_context" },
};

START_TEST(rule_5_numbers_stay)
{
	ck_assert_str_eq(envelope_field_name(numbers[_i].number), numbers[_i].name);
	ck_assert_ptr_null(envelope_field_name(0));
	ck_assert_ptr_null(envelope_field_name(63));
	ck_assert_ptr_null(envelope_field_name(128));
	ck_assert_ptr_null(envelope_field_name(0xffff));
}
END_TEST

START_TEST(rows_in_order)
{
	struct slice rest, key, value;
	struct envelope_edit edit;
	struct buf b = { 0 };
	struct envelope e;

	envelope_put_pair(&b, ENVELOPE_CONTEXT, SLICE_LIT("a"), SLICE_LIT("1"));
	envelope_put_text(&b, ENVELOPE_SENDER, SLICE_LIT(""));
	envelope_put_edit(&b, EDIT_INSERT, 1, SLICE_LIT("Received: x\r\n"));
	envelope_put_pair(&b, ENVELOPE_CONTEXT, SLICE_LIT("b"), SLICE_NONE);
	envelope_put_edit(&b, EDIT_DELETE, 4000000000, SLICE_NONE);
	ck_assert_int_eq(envelope_message(slice_buf(&b), &e), 0);
	ck_assert_uint_eq(e.sender.n, 0);
	ck_assert_uint_eq(e.context, 2);
	rest = e.fields;
	ck_assert(envelope_pair_next(&rest, ENVELOPE_CONTEXT, &key, &value));
	ck_assert(slice_is(key, "a") && slice_is(value, "1"));
	ck_assert(envelope_pair_next(&rest, ENVELOPE_CONTEXT, &key, &value));
	ck_assert(slice_is(key, "b") && value.n == 0);
	ck_assert(!envelope_pair_next(&rest, ENVELOPE_CONTEXT, &key, &value));
	rest = e.fields;
	ck_assert(envelope_edit_next(&rest, &edit) && edit.op == EDIT_INSERT && edit.n == 1);
	ck_assert(slice_is(edit.bytes, "Received: x\r\n"));
	ck_assert(
	    envelope_edit_next(&rest, &edit) && edit.op == EDIT_DELETE && edit.n == 4000000000);
	ck_assert(!envelope_edit_next(&rest, &edit));
	buf_fini(&b);
}
END_TEST

START_TEST(recipients_keep_what_is_theirs)
{
	struct envelope_iter it;
	struct envelope_rcpt r;
	struct buf b = { 0 };
	struct envelope e;
	uint32_t n;
	const char *why;

	envelope_put_text(&b, ENVELOPE_SENDER, SLICE_LIT("s@x"));
	envelope_put_text(&b, ENVELOPE_RECIPIENT, SLICE_LIT("a@x"));
	envelope_put_u8(&b, ENVELOPE_NOTIFY, NOTIFY_NEVER);
	envelope_put_text(&b, ENVELOPE_RECIPIENT, SLICE_LIT("b@x"));
	envelope_put_text(&b, ENVELOPE_RECIPIENT, SLICE_LIT(""));
	envelope_put_text(&b, ENVELOPE_ORCPT, SLICE_LIT("rfc822;c@x"));
	ck_assert_int_eq(envelope_message(slice_buf(&b), &e), 0);
	envelope_rcpts(&e, &it);
	ck_assert_int_eq(envelope_rcpt_next(&it, &r), 1);
	ck_assert(slice_is(r.recipient, "a@x") && r.notify == NOTIFY_NEVER && r.number == 0);
	ck_assert_int_eq(envelope_rcpt_next(&it, &r), 1);
	ck_assert(
	    slice_is(r.recipient, "b@x") && r.notify == 0 && r.orcpt.p == NULL && r.number == 1);
	ck_assert(r.route.bytes.p == NULL);
	ck_assert_int_eq(envelope_rcpt_next(&it, &r), 1);
	ck_assert(r.recipient.n == 0 && slice_is(r.orcpt, "rfc822;c@x") && r.number == 2);
	ck_assert_int_eq(envelope_rcpt_next(&it, &r), 0);
	ck_assert_int_eq(envelope_check(slice_buf(&b), &n, &why), 0);
	ck_assert_uint_eq(n, 3);
	buf_fini(&b);
}
END_TEST

START_TEST(every_truncation_is_seen_or_a_shorter_envelope)
{
	struct buf b = { 0 };
	const char *why;
	size_t whole = 0;
	uint32_t n;

	put_all(&b, SLICE_LIT("some text"), 5);
	for (size_t cut = 0; cut < b.n; cut++) {
		char *exact = test_copy(b.p, cut);

		whole += envelope_check(slice_of(exact, cut), &n, &why) == 0;
		free(exact);
	}
	/* Whole are only those that end with a field of the recipient: six, without the last cut.
	 */
	ck_assert_uint_eq(whole, 6);
	buf_fini(&b);
}
END_TEST

static void
raw(struct buf *b, uint16_t number, uint32_t len, struct slice bytes)
{
	buf_put(b, &number, sizeof number);
	buf_put(b, &len, sizeof len);
	buf_slice(b, bytes);
}

static const struct {
	uint16_t number;
	struct slice bytes;
	bool after_rcpt; /* stands behind a recipient, else before */
	int got;
} rows[] = {
	{ 40, SLICE_LIT("x"), false, 0 },  /* unknown, of the message */
	{ 100, SLICE_LIT("x"), true, 0 },  /* unknown, of a recipient */
	{ 200, SLICE_LIT("x"), false, 0 }, /* unknown, of either */
	{ 200, SLICE_LIT("x"), true, 0 },
	{ 0x8000 | 40, SLICE_LIT("x"), false, -ENOTSUP },
	{ 0x8000 | 100, SLICE_LIT("x"), true, -ENOTSUP },
	{ 0x8000 | 200, SLICE_LIT("x"), true, -ENOTSUP },
	{ 40, SLICE_LIT("x"), true, -EBADMSG }, /* at the wrong place */
	{ 65, SLICE_LIT("\1"), false, -EBADMSG },
	{ 11, SLICE_LIT("login"), true, -EBADMSG },
	{ 1, SLICE_LIT("again"), false, -EBADMSG },
	{ 0x8000 | 2, SLICE_LIT("\1"), false, 0 }, /* known and critical */
	{ 2, SLICE_LIT(""), false, -EBADMSG },	   /* length of its type */
	{ 2, SLICE_LIT("\1\1"), false, -EBADMSG },
	{ 2, SLICE_LIT("\0"), false, -EBADMSG }, /* range of its type */
	{ 2, SLICE_LIT("\3"), false, -EBADMSG },
	{ 4, SLICE_LIT("\4"), false, -EBADMSG },
	{ 5, SLICE_LIT("x"), false, -EBADMSG },
	{ 7, SLICE_LIT("\x0a"), false, -EBADMSG },
	{ 7, SLICE_LIT("\xf6"), false, -EBADMSG },
	{ 7, SLICE_LIT("\xf7"), false, 0 },
	{ 10, SLICE_LIT("\3"), false, -EBADMSG },
	{ 8, SLICE_LIT("1234567"), false, -EBADMSG },
	{ 12, SLICE_LIT("12345678901234567"), false, -EBADMSG },
	{ 19, SLICE_LIT("\5"), false, -EBADMSG },
	{ 20, SLICE_LIT("x"), false, -EBADMSG },
	{ 20, SLICE_LIT("\2\0x"), false, -EBADMSG },
	{ 20, SLICE_LIT("\1\0x"), false, 0 },
	{ 21, SLICE_LIT("\1\1\0\0"), false, -EBADMSG },
	{ 21, SLICE_LIT("\0\1\0\0\0"), false, -EBADMSG },
	{ 21, SLICE_LIT("\4\1\0\0\0"), false, -EBADMSG },
	{ 21, SLICE_LIT("\1\0\0\0\0"), false, -EBADMSG },
	{ 21, SLICE_LIT("\3\1\0\0\0"), false, 0 },
	{ 23, SLICE_LIT("\3"), false, -EBADMSG },
	{ 24, SLICE_LIT("12345"), false, -EBADMSG },
	{ 26, SLICE_LIT("123"), false, -EBADMSG },
	{ 65, SLICE_LIT("\3"), true, -EBADMSG }, /* NEVER and SUCCESS */
	{ 65, SLICE_LIT("\x10"), true, -EBADMSG },
	{ 68, SLICE_LIT("12345678901234567890123"), true, -EBADMSG },
};

START_TEST(rule_27_strange_fields)
{
	struct buf b = { 0 };
	const char *why;
	uint32_t n;

	envelope_put_text(&b, ENVELOPE_SENDER, SLICE_LIT("s@x"));
	if (rows[_i].after_rcpt)
		envelope_put_text(&b, ENVELOPE_RECIPIENT, SLICE_LIT("a@x"));
	raw(&b, rows[_i].number, (uint32_t)rows[_i].bytes.n, rows[_i].bytes);
	if (!rows[_i].after_rcpt)
		envelope_put_text(&b, ENVELOPE_RECIPIENT, SLICE_LIT("a@x"));
	ck_assert_msg(envelope_check(slice_buf(&b), &n, &why) == rows[_i].got, "row %d: %s", _i,
	    why != NULL ? why : "good");
	ck_assert((why == NULL) == (rows[_i].got == 0));
	buf_fini(&b);
}
END_TEST

START_TEST(rule_27_unknown_critical_field_is_named)
{
	struct buf b = { 0 };
	struct envelope e;

	envelope_put_text(&b, ENVELOPE_SENDER, SLICE_LIT("s@x"));
	raw(&b, 0x8000 | 300, 1, SLICE_LIT("x"));
	ck_assert_int_eq(envelope_message(slice_buf(&b), &e), -ENOTSUP);
	ck_assert_uint_eq(e.unknown, 300);
	ck_assert_ptr_nonnull(e.why);
	buf_fini(&b);
}
END_TEST

START_TEST(length_beyond_the_end)
{
	static const uint32_t lengths[] = { 4, 100, INT32_MAX, UINT32_MAX - 6, UINT32_MAX };
	const char *why;
	uint32_t n;

	for (size_t i = 0; i < COUNT(lengths); i++) {
		struct buf b = { 0 };
		char *exact;

		raw(&b, ENVELOPE_SENDER, lengths[i], SLICE_LIT("s@x"));
		exact = test_copy(b.p, b.n);
		ck_assert_int_eq(envelope_check(slice_of(exact, b.n), &n, &why), -EBADMSG);
		free(exact);
		buf_fini(&b);
	}
}
END_TEST

START_TEST(no_sender_no_recipient)
{
	struct buf b = { 0 };
	const char *why;
	uint32_t n;

	ck_assert_int_eq(envelope_check(SLICE_NONE, &n, &why), -EBADMSG);
	envelope_put_text(&b, ENVELOPE_RECIPIENT, SLICE_LIT("a@x"));
	ck_assert_int_eq(envelope_check(slice_buf(&b), &n, &why), -EBADMSG);
	b.n = 0;
	envelope_put_text(&b, ENVELOPE_SENDER, SLICE_LIT("a@x"));
	ck_assert_int_eq(envelope_check(slice_buf(&b), &n, &why), -EBADMSG);
	buf_fini(&b);
}
END_TEST

START_TEST(rule_23_fifty_thousand_recipients_and_no_more)
{
	struct buf b = { 0 };
	const char *why;
	uint32_t n;

	test_envelope(&b, "s@x", RECORD_RCPT_MAX);
	ck_assert_uint_lt(b.n, RECORD_ENV_MAX);
	ck_assert_int_eq(envelope_check(slice_buf(&b), &n, &why), 0);
	ck_assert_uint_eq(n, RECORD_RCPT_MAX);
	envelope_put_text(&b, ENVELOPE_RECIPIENT, SLICE_LIT("one@too.many"));
	ck_assert_int_eq(envelope_check(slice_buf(&b), &n, &why), -EBADMSG);
	buf_fini(&b);
}
END_TEST

static void
on_field(void *ctx, uint16_t number, const char *name, struct slice bytes)
{
	struct buf *b = ctx;

	buf_printf(b, "%u %s %zu;", number, name != NULL ? name : "-", bytes.n);
}

START_TEST(each_field_for_people)
{
	struct buf b = { 0 }, text = { 0 };

	envelope_put_text(&b, ENVELOPE_SENDER, SLICE_LIT("s@x"));
	raw(&b, 300, 1, SLICE_LIT("x"));
	envelope_put_text(&b, ENVELOPE_RECIPIENT, SLICE_LIT("a@xy"));
	ck_assert_int_eq(envelope_each(slice_buf(&b), on_field, &text), 0);
	ck_assert(slice_is(slice_buf(&text), "1 sender 3;300 - 1;64 recipient 4;"));
	b.n--;
	ck_assert_int_eq(envelope_each(slice_buf(&b), on_field, &text), -EBADMSG);
	buf_fini(&b);
	buf_fini(&text);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, rule_5_any_bytes_in_any_field);
	tcase_add_loop_test(tc, rule_5_numbers_stay, 0, COUNT(numbers));
	tcase_add_test(tc, rows_in_order);
	tcase_add_test(tc, recipients_keep_what_is_theirs);
	tcase_add_test(tc, every_truncation_is_seen_or_a_shorter_envelope);
	tcase_add_loop_test(tc, rule_27_strange_fields, 0, COUNT(rows));
	tcase_add_test(tc, rule_27_unknown_critical_field_is_named);
	tcase_add_test(tc, length_beyond_the_end);
	tcase_add_test(tc, no_sender_no_recipient);
	tcase_add_test(tc, rule_23_fifty_thousand_recipients_and_no_more);
	tcase_add_test(tc, each_field_for_people);
}
CHECK_MAIN("envelope", cases)
