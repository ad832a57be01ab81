/* SPDX-License-Identifier: ISC */
#include "mail/header.h"

#include "t/unit/check_main.h"

static const struct {
	const char *message;
	unsigned fields, received, has;
	size_t bytes, body;
	bool ended;
	const char *message_id;
} messages[] = {
	{ "Subject: x\r\n\r\nbody\r\n", 1, 0, HEADER_SUBJECT, 12, 14, true, "" },
	{ "Subject: x\n\nbody\n", 1, 0, HEADER_SUBJECT, 11, 12, true, "" },
	{ "Received: a\r\n\tb\r\nreceived : c\r\n\r\n", 2, 2, HEADER_RECEIVED, 31, 33, true, "" },
	{ "\r\nbody\r\n", 0, 0, 0, 0, 2, true, "" },
	{ "", 0, 0, 0, 0, 0, false, "" },
	{ "Subject: x\r\n", 1, 0, HEADER_SUBJECT, 12, 12, false, "" },
	{ "Subject: x", 1, 0, HEADER_SUBJECT, 10, 10, false, "" },
	{ "Subject: x\r\nno field\r\n", 1, 0, HEADER_SUBJECT, 12, 12, false, "" },
	{ " folded: x\r\n\r\n", 0, 0, 0, 0, 0, false, "" },
	{ ": x\r\n\r\n", 0, 0, 0, 0, 0, false, "" },
	{ "S\xc3\xa9: x\r\n\r\n", 0, 0, 0, 0, 0, false, "" },
	{ "Message-Id:\r\n <a@b>\r\nMESSAGE-ID: <c@d>\r\n\r\n", 2, 0, HEADER_MESSAGE_ID, 40, 42,
	    true, "<a@b>" },
	{ "message-id: <a@b> \r\nX:\r\n\r\n", 2, 0, HEADER_MESSAGE_ID, 24, 26, true, "<a@b>" },
	{ "X: a\r\n \r\n\r\nbody", 1, 0, 0, 9, 11, true,
	    "" }, /* a line of blanks goes on with the field */
	{ "X: a\r\n\r", 1, 0, 0, 6, 6, false, "" },
};

START_TEST(messages_are_scanned)
{
	struct slice in = slice_z(messages[_i].message);
	struct header_summary got;

	header_scan(in, 0, &got);
	ck_assert_uint_eq(got.fields, messages[_i].fields);
	ck_assert_uint_eq(got.received, messages[_i].received);
	ck_assert_uint_eq(got.has, messages[_i].has);
	ck_assert_uint_eq(got.bytes, messages[_i].bytes);
	ck_assert_uint_eq(got.body, messages[_i].body);
	ck_assert(got.ended == messages[_i].ended);
	ck_assert(slice_is(got.message_id, messages[_i].message_id));
}
END_TEST

START_TEST(scan_stops_at_the_limit)
{
	struct slice in = SLICE_LIT("A: 1\r\nB: 2\r\nC: 3\r\n\r\nbody");
	struct header_summary got;

	header_scan(in, 14, &got);
	ck_assert(!got.ended && got.bytes <= 14);
	header_scan(in, 20, &got);
	ck_assert(got.ended && got.fields == 3 && got.body == 20);
}
END_TEST

START_TEST(fields_are_walked)
{
	struct slice in = SLICE_LIT("A: 1\r\nB \t:2\r\n\t3\r\n 4\r\nC:\n\r\nbody");
	struct header_field f;

	ck_assert(header_next(&in, &f));
	ck_assert(
	    slice_is(f.name, "A") && slice_is(f.value, " 1") && slice_is(f.whole, "A: 1\r\n"));
	ck_assert(header_next(&in, &f));
	ck_assert(slice_is(f.name, "B") && slice_is(f.value, "2\r\n\t3\r\n 4"));
	ck_assert(header_next(&in, &f));
	ck_assert(slice_is(f.name, "C") && slice_is(f.value, "") && slice_is(f.whole, "C:\n"));
	ck_assert(!header_next(&in, &f));
	ck_assert(slice_is(in, "\r\nbody"));
}
END_TEST

static const struct {
	const char *in, *out;
} folded[] = {
	{ " a", "a" },
	{ " a\r\n b\r\n\tc ", "a b\tc" },
	{ "\r\n <a@b>", "<a@b>" },
	{ " a\n b\n", "a b" },
	{ "", "" },
	{ " \r\n ", "" },
};

START_TEST(values_are_unfolded)
{
	struct buf out = { 0 };

	header_unfold(&out, slice_z(folded[_i].in));
	ck_assert(slice_is(slice_buf(&out), folded[_i].out));
	buf_fini(&out);
}
END_TEST

START_TEST(names_are_known)
{
	ck_assert_uint_eq(header_of(SLICE_LIT("resent-BCC")), HEADER_RESENT_BCC);
	ck_assert_uint_eq(header_of(SLICE_LIT("Content-Length")), HEADER_CONTENT_LENGTH);
	ck_assert_uint_eq(header_of(SLICE_LIT("X-To")), 0);
	ck_assert_uint_eq(header_of(SLICE_NONE), 0);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, messages_are_scanned, 0, sizeof messages / sizeof *messages);
	tcase_add_test(tc, scan_stops_at_the_limit);
	tcase_add_test(tc, fields_are_walked);
	tcase_add_loop_test(tc, values_are_unfolded, 0, sizeof folded / sizeof *folded);
	tcase_add_test(tc, names_are_known);
}
CHECK_MAIN("header", cases)
