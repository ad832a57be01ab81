/* SPDX-License-Identifier: ISC */
#include "mail/header.h"
#include "mail/msgid.h"
#include "mail/received.h"

#include "t/unit/check_main.h"

static const uint8_t v4[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1 };
static const uint8_t v6[16] = { 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 };

#define DATE "Thu, 13 Feb 2020 11:11:12 +0100"

START_TEST(fields_are_built)
{
	struct received r = { .helo = SLICE_LIT("client.example"),
		.addr = v4,
		.host = SLICE_LIT("mx.example"),
		.proto = "ESMTP",
		.id = SLICE_LIT("0123456789BCD"),
		.for_ = SLICE_LIT("a@b.example"),
		.date = SLICE_LIT(DATE) };
	struct buf out = { 0 };

	received_print(&out, &r);
	ck_assert(slice_is(slice_buf(&out), "Received: from client.example ([192.0.2.1])\r\n"
					    "\tby mx.example with ESMTP id 0123456789BCD\r\n"
					    "\tfor <a@b.example>; " DATE "\r\n"));
	buf_reset(&out);
	r = (struct received){ .addr = v6,
		.host = SLICE_LIT("mx.example"),
		.id = SLICE_LIT("X"),
		.date = SLICE_LIT(DATE) };
	received_print(&out, &r);
	ck_assert(
	    slice_is(slice_buf(&out), "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n"
				      "\tby mx.example id X; " DATE "\r\n"));
	buf_reset(&out);
	r.has_priority = true;
	r.priority = -4;
	received_print(&out, &r);
	ck_assert(
	    slice_is(slice_buf(&out), "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n"
				      "\tby mx.example id X\r\n\tPRIORITY -4; " DATE "\r\n"));
	buf_reset(&out);
	r.has_priority = false;
	r.addr = NULL;
	r.uid = 1000;
	received_print(&out, &r);
	ck_assert(
	    slice_is(slice_buf(&out), "Received: by mx.example (Angarium, from userid 1000)\r\n"
				      "\tid X; " DATE "\r\n"));
	buf_fini(&out);
}
END_TEST

/* Whatever a client calls itself, the field stays one field. */
START_TEST(nothing_breaks_out)
{
	struct buf out = { 0 };
	char helo[256], rcpt[256];
	struct received r = { .helo = slice_of(helo, 256),
		.addr = v4,
		.host = SLICE_LIT("h"),
		.id = SLICE_LIT("X"),
		.for_ = slice_of(rcpt, 256),
		.date = SLICE_LIT(DATE) };
	struct header_summary seen;
	unsigned angles = 0;

	for (int i = 0; i < 256; i++)
		helo[i] = rcpt[i] = (char)i;
	received_print(&out, &r);
	header_scan(slice_buf(&out), 0, &seen);
	ck_assert(seen.fields == 1 && seen.received == 1 && seen.bytes == out.n);
	for (size_t i = 0; i < out.n; i++)
		angles += out.p[i] == '<' || out.p[i] == '>' || out.p[i] == '(' || out.p[i] == ')';
	ck_assert_uint_eq(angles, 6); /* ours, and the two parentheses of the recipient */
	buf_fini(&out);
}
END_TEST

START_TEST(message_ids_differ_and_are_valid)
{
	static const uint64_t numbers[] = { 0, 1, 31, 32, 1581588672000000, UINT64_MAX };
	struct buf out = { 0 }, last = { 0 };

	msgid_print(&out, 32, 33, SLICE_LIT("a.example"));
	ck_assert(slice_is(slice_buf(&out), "<10.11@a.example>"));
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
			buf_reset(&last);
			buf_slice(&last, slice_buf(&out));
			buf_reset(&out);
			msgid_print(&out, numbers[i], numbers[k], SLICE_LIT("a.example"));
			ck_assert(msgid_valid(slice_buf(&out)));
			ck_assert(!slice_eq(slice_buf(&out), slice_buf(&last)));
		}
	buf_fini(&out);
	buf_fini(&last);
}
END_TEST

static const struct {
	const char *in;
	bool ok;
} ids[] = {
	{ "<a@b>", true },
	{ "<a.b@[1.2.3.4]>", true },
	{ "a@b", false },
	{ "<a>", false },
	{ "<a@b", false },
	{ "<@b>", false },
	{ "<a@>", false },
	{ "<a..b@c>", false },
	{ "<a@b.>", false },
	{ "<a@b@c>", false },
	{ "<a b@c>", false },
	{ "<a@[b]]>", false },
	{ "<a@b> ", false },
	{ "", false },
	{ "<>", false },
	{ "<a@[b>", false },
};

START_TEST(message_ids_are_checked)
{
	ck_assert_msg(msgid_valid(slice_z(ids[_i].in)) == ids[_i].ok, "%s", ids[_i].in);
}
END_TEST

START_TEST(message_ids_are_found)
{
	static const struct {
		const char *in, *out;
	} rows[] = { { "", "" }, { "a@b", "" }, { "<a@b>", " a@b" },
		{ " <a@b>\r\n <c@d> ", " a@b c@d" }, { "your mail of \"x\" <a@b> (c)", " a@b" },
		{ "<a@b><c", " a@b" }, { "<> >", " " } };
	struct buf out = { 0 };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct slice rest = slice_z(rows[i].in), id;

		buf_reset(&out);
		while (msgid_next(&rest, &id)) {
			buf_putc(&out, ' ');
			buf_slice(&out, id);
		}
		ck_assert_msg(slice_is(slice_buf(&out), rows[i].out), "%s", rows[i].in);
	}
	buf_fini(&out);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, fields_are_built);
	tcase_add_test(tc, nothing_breaks_out);
	tcase_add_test(tc, message_ids_differ_and_are_valid);
	tcase_add_test(tc, message_ids_are_found);
	tcase_add_loop_test(tc, message_ids_are_checked, 0, sizeof ids / sizeof *ids);
}
CHECK_MAIN("received", cases)
