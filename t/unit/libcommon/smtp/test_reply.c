/* SPDX-License-Identifier: ISC */
#include "smtp/ehlo.h"

#include "t/unit/check_main.h"

static const struct {
	const char *in;
	enum reply_step step;
	unsigned code, lines;
	uint8_t enh[3];
	const char *text, *rest;
} replies[] = {
	{ "250 2.1.0 Ok\r\n", REPLY_DONE, 250, 1, { 2, 1, 0 }, "Ok", "" },
	{ "250 Ok\r\n354 go\r\n", REPLY_DONE, 250, 1, { 0, 0, 0 }, "Ok", "354 go\r\n" },
	{ "250\r\n", REPLY_DONE, 250, 1, { 0, 0, 0 }, "", "" },
	{ "250 \r\n", REPLY_DONE, 250, 1, { 0, 0, 0 }, "", "" },
	{ "250-a\r\n250-b\r\n250 c\r\n", REPLY_DONE, 250, 3, { 0, 0, 0 }, "a\nb\nc", "" },
	{ "550-5.1.1 no\r\n550 5.1.1 such user\r\n", REPLY_DONE, 550, 2, { 5, 1, 1 },
	    "no\nsuch user", "" },
	{ "550-no\r\n550 5.1.1 user\r\n", REPLY_DONE, 550, 2, { 5, 1, 1 }, "no\nuser", "" },
	{ "250 ok\n", REPLY_DONE, 250, 1, { 0, 0, 0 }, "ok", "" },
	{ "250-a\n250\n", REPLY_DONE, 250, 2, { 0, 0, 0 }, "a\n", "" },
	{ "550 5.7.509 DMARC\r\n", REPLY_DONE, 550, 1, { 5, 7, 0 }, "5.7.509 DMARC", "" },
	{ "550 4.1.1 other class\r\n", REPLY_DONE, 550, 1, { 0, 0, 0 }, "4.1.1 other class", "" },
	{ "550 5.1.1\r\n", REPLY_DONE, 550, 1, { 5, 1, 1 }, "", "" },
	{ "550 5.1.1x\r\n", REPLY_DONE, 550, 1, { 0, 0, 0 }, "5.1.1x", "" },
	{ "550 5..1 x\r\n", REPLY_DONE, 550, 1, { 0, 0, 0 }, "5..1 x", "" },
	{ "550 5.1.1234 x\r\n", REPLY_DONE, 550, 1, { 0, 0, 0 }, "5.1.1234 x", "" },
	{ "250 5.1\r\n", REPLY_DONE, 250, 1, { 0, 0, 0 }, "5.1", "" },
	{ "250 a\tb\001c\rd\r\n", REPLY_DONE, 250, 1, { 0, 0, 0 }, "a b?c?d", "" },
	{ "250 \xc3\xa9\r\n", REPLY_DONE, 250, 1, { 0, 0, 0 }, "\xc3\xa9", "" },
	{ "354 go\r\n", REPLY_DONE, 354, 1, { 0, 0, 0 }, "go", "" },
	{ "250", REPLY_MORE, 0, 0, { 0, 0, 0 }, NULL, "" },
	{ "250 Ok\r", REPLY_MORE, 0, 0, { 0, 0, 0 }, NULL, "" },
	{ "250-a\r\n", REPLY_MORE, 0, 0, { 0, 0, 0 }, NULL, "" },
	{ "", REPLY_MORE, 0, 0, { 0, 0, 0 }, NULL, "" },
	{ "250-a\r\n251 b\r\n", REPLY_BAD, 0, 0, { 0, 0, 0 }, NULL, "" },
	{ "\r\n", REPLY_BAD, 0, 0, { 0, 0, 0 }, NULL, "" },
	{ "25\r\n", REPLY_BAD, 0, 0, { 0, 0, 0 }, NULL, "" },
	{ "150 x\r\n", REPLY_BAD, 0, 0, { 0, 0, 0 }, NULL, "" },
	{ "650 x\r\n", REPLY_BAD, 0, 0, { 0, 0, 0 }, NULL, "" },
	{ "250x\r\n", REPLY_BAD, 0, 0, { 0, 0, 0 }, NULL, "" },
	{ "2505 x\r\n", REPLY_BAD, 0, 0, { 0, 0, 0 }, NULL, "" },
	{ "SSH-2.0-OpenSSH\r\n", REPLY_BAD, 0, 0, { 0, 0, 0 }, NULL, "" },
};

static void
expect(int row, enum reply_step step, const struct reply_in *got)
{
	ck_assert_msg(step == replies[row].step, "%s", replies[row].in);
	if (step != REPLY_DONE)
		return;
	ck_assert_uint_eq(got->code, replies[row].code);
	ck_assert_uint_eq(got->lines, replies[row].lines);
	ck_assert_mem_eq(got->enh, replies[row].enh, 3);
	ck_assert_msg(slice_is(got->text, replies[row].text), "%s", replies[row].in);
}

START_TEST(replies_are_read_whole_and_at_every_split)
{
	struct slice in = slice_z(replies[_i].in);

	for (size_t cut = 0; cut <= in.n; cut++) {
		struct reply_parser p = { 0 };
		struct reply_in got;
		size_t used, more = 0;
		enum reply_step step = reply_feed(&p, slice_head(in, cut), &used, &got);

		if (step == REPLY_MORE) {
			ck_assert_uint_eq(used, cut);
			step = reply_feed(&p, slice_from(in, cut), &more, &got);
		}
		expect(_i, step, &got);
		if (step == REPLY_DONE)
			ck_assert(slice_is(slice_from(in, used + more), replies[_i].rest));
		reply_parser_fini(&p);
	}
}
END_TEST

START_TEST(one_after_the_other)
{
	struct slice in = SLICE_LIT("250-a\r\n250 2.0.0 b\r\n550 5.1.1 no\r\n354 go\r\n");
	struct reply_parser p = { 0 };
	struct reply_in got;
	size_t used;

	ck_assert_int_eq(reply_feed(&p, in, &used, &got), REPLY_DONE);
	ck_assert(got.code == 250 && slice_is(got.text, "a\nb"));
	in = slice_from(in, used);
	ck_assert_int_eq(reply_feed(&p, in, &used, &got), REPLY_DONE);
	ck_assert(got.code == 550 && got.enh[0] == 5 && got.lines == 1 && slice_is(got.text, "no"));
	in = slice_from(in, used);
	ck_assert_int_eq(reply_feed(&p, in, &used, &got), REPLY_DONE);
	ck_assert(got.code == 354 && got.enh[0] == 0 && slice_is(got.text, "go"));
	ck_assert_uint_eq(used, in.n);
	reply_parser_fini(&p);
}
END_TEST

START_TEST(lines_and_bytes_are_bounded)
{
	struct reply_parser p = { 0 };
	struct reply_in got;
	size_t used;
	char kilo[1024];

	for (int i = 0; i < REPLY_LINES_MAX; i++)
		ck_assert_int_eq(reply_feed(&p, SLICE_LIT("250-x\r\n"), &used, &got), REPLY_MORE);
	ck_assert_int_eq(reply_feed(&p, SLICE_LIT("250 x\r\n"), &used, &got), REPLY_BAD);
	reply_parser_reset(&p);
	memset(kilo, '2', sizeof kilo);
	for (int i = 0; i < REPLY_BYTES_MAX / 1024; i++)
		ck_assert_int_eq(reply_feed(&p, slice_of(kilo, 1024), &used, &got), REPLY_MORE);
	ck_assert_int_eq(reply_feed(&p, slice_of(kilo, 1), &used, &got), REPLY_BAD);
	reply_parser_fini(&p);
}
END_TEST

static void
hear(struct reply_parser *p, const char *text, struct reply_in *out)
{
	size_t used;

	ck_assert_int_eq(reply_feed(p, slice_z(text), &used, out), REPLY_DONE);
}

START_TEST(ehlo_tells_what_a_server_can)
{
	struct reply_parser p = { 0 };
	struct reply_in reply;
	struct ehlo got;

	hear(&p,
	    "250-mx.example at your service\r\n250-pipelining\r\n250-SIZE 1000\r\n250-8BITMIME\r\n"
	    "250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-STARTTLS\r\n"
	    "250-AUTH PLAIN LOGIN\r\n250-AUTH=PLAIN\r\n250-XFOO bar\r\n250 XANGARIUM "
	    "origin=a.example\r\n",
	    &reply);
	ehlo_parse(&reply, &got);
	ck_assert(slice_is(got.domain, "mx.example"));
	ck_assert_uint_eq(got.ext, EXT_PIPELINING | EXT_SIZE | EXT_8BITMIME | EXT_DSN |
				       EXT_ENHANCED | EXT_SMTPUTF8 | EXT_CHUNKING | EXT_STARTTLS |
				       EXT_AUTH | EXT_XANGARIUM);
	ck_assert_uint_eq(got.size_bytes, 1000);
	ck_assert(slice_is(got.auth, "PLAIN LOGIN"));
	ck_assert(slice_is(got.origin, "a.example"));

	hear(&p, "250 mx.example\r\n", &reply);
	ehlo_parse(&reply, &got);
	ck_assert(slice_is(got.domain, "mx.example") && got.ext == 0 && got.origin.n == 0);

	hear(&p, "250-\r\n250-SIZE\r\n250-SIZE x\r\n250-AUTH=LOGIN\r\n250-\r\n250 \r\n", &reply);
	ehlo_parse(&reply, &got);
	ck_assert(got.domain.n == 0 && got.ext == (EXT_SIZE | EXT_AUTH) && got.size_bytes == 0);
	ck_assert(slice_is(got.auth, "LOGIN"));
	reply_parser_fini(&p);
}
END_TEST

START_TEST(every_extension_has_a_word)
{
	ck_assert_uint_eq(ext_of(SLICE_LIT("PipeLining")), EXT_PIPELINING);
	ck_assert_uint_eq(ext_of(SLICE_LIT("NO")), 0);
	ck_assert_uint_eq(ext_of(SLICE_NONE), 0);
#define E(name, word, bit) ck_assert_str_eq(ext_word(EXT_##name), word);
	EXT_TABLE(E)
#undef E
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(
	    tc, replies_are_read_whole_and_at_every_split, 0, sizeof replies / sizeof *replies);
	tcase_add_test(tc, one_after_the_other);
	tcase_add_test(tc, lines_and_bytes_are_bounded);
	tcase_add_test(tc, ehlo_tells_what_a_server_can);
	tcase_add_test(tc, every_extension_has_a_word);
}
CHECK_MAIN("reply", cases)
