/* SPDX-License-Identifier: ISC */
#include "smtp/param.h"

#include "t/unit/check_main.h"

#include <stdio.h>

enum {
	ALL = EXT_SIZE | EXT_8BITMIME | EXT_DSN | EXT_AUTH | EXT_SMTPUTF8 | EXT_BINARYMIME |
	      EXT_REQUIRETLS,
	ASCII = ALL & ~EXT_SMTPUTF8,
};

static const struct {
	const char *in;
	unsigned offered;
	enum param_result result;
} mails[] = {
	{ "", 0, PARAM_OK },
	{ " SIZE=500000", ALL, PARAM_OK },
	{ "  size=0   body=8bitmime", ALL, PARAM_OK },
	{ "SIZE=1", ALL, PARAM_SYNTAX },
	{ ">>>>", ALL, PARAM_SYNTAX },
	{ " ", ALL, PARAM_SYNTAX },
	{ " SIZE=", ALL, PARAM_SYNTAX },
	{ " SIZE", ALL, PARAM_SYNTAX },
	{ " SIZE=ABC", ALL, PARAM_SYNTAX },
	{ " SIZE=-1", ALL, PARAM_SYNTAX },
	{ " SIZE=1=2", ALL, PARAM_SYNTAX },
	{ " SIZE=123456789012345678901", ALL, PARAM_SYNTAX },
	{ " SIZE=1", ALL & ~EXT_SIZE, PARAM_UNKNOWN },
	{ " SIZE=1 SIZE=2", ALL, PARAM_DUPLICATE },
	{ " SIZE=1 SIZE=x", ALL, PARAM_SYNTAX },
	{ " FOO=1 SIZE=x", ALL, PARAM_SYNTAX },
	{ " FOO=1 SIZE=1", ALL, PARAM_UNKNOWN },
	{ " BODY=7BIT", EXT_8BITMIME, PARAM_OK },
	{ " BODY=8BIT", ALL, PARAM_SYNTAX },
	{ " BODY", ALL, PARAM_SYNTAX },
	{ " BODY=BINARYMIME", ALL, PARAM_OK },
	{ " BODY=BINARYMIME", EXT_8BITMIME, PARAM_UNKNOWN },
	{ " BODY=7BIT", EXT_SIZE, PARAM_UNKNOWN },
	{ " RET=HDRS", ALL, PARAM_OK },
	{ " RET=NONE", ALL, PARAM_SYNTAX },
	{ " RET=HDRS RET=FULL", ALL, PARAM_DUPLICATE },
	{ " ENVID=QQ314159", ALL, PARAM_OK },
	{ " ENVID=a+20b", ALL, PARAM_OK },
	{ " ENVID=a+0D+0Ab", ALL, PARAM_SYNTAX },
	{ " ENVID=a+0db", ALL, PARAM_SYNTAX },
	{ " ENVID=a+4", ALL, PARAM_SYNTAX },
	{ " ENVID=a+2", ALL, PARAM_SYNTAX },
	{ " ENVID=a+", ALL, PARAM_SYNTAX },
	{ " ENVID=+E9", ASCII, PARAM_SYNTAX },
	{ " AUTH=<>", ALL, PARAM_OK },
	{ " AUTH=e+3Dmc2@example.com", ALL, PARAM_OK },
	{ " AUTH=nobody", ALL, PARAM_SYNTAX },
	{ " AUTH=", ALL, PARAM_SYNTAX },
	{ " AUTH=<>", EXT_SIZE, PARAM_UNKNOWN },
	{ " SMTPUTF8", ALL, PARAM_OK },
	{ " SMTPUTF8=1", ALL, PARAM_SYNTAX },
	{ " SMTPUTF8", ASCII, PARAM_UNKNOWN },
	{ " REQUIRETLS", ALL, PARAM_OK },
	{ " NOTIFY=NEVER", ALL, PARAM_UNKNOWN },
	{ " !!!garbage", ALL, PARAM_SYNTAX },
	{ " -X=1", ALL, PARAM_SYNTAX },
	{ " =1", ALL, PARAM_SYNTAX },
	{ " X=\xc3\xa9", ASCII, PARAM_SYNTAX },
	{ " X=\xc3\xa9", ALL, PARAM_UNKNOWN },
	{ " X=\x01", ALL, PARAM_SYNTAX },
	{ " MT-PRIORITY=-6", ALL, PARAM_UNKNOWN },
	{ " MT-PRIORITY=-6", EXT_MT_PRIORITY, PARAM_OK },
	{ " mt-priority=9", EXT_MT_PRIORITY, PARAM_OK },
	{ " MT-PRIORITY=0", EXT_MT_PRIORITY, PARAM_OK },
	{ " MT-PRIORITY", EXT_MT_PRIORITY, PARAM_SYNTAX },
	{ " MT-PRIORITY=", EXT_MT_PRIORITY, PARAM_SYNTAX },
	{ " MT-PRIORITY=-", EXT_MT_PRIORITY, PARAM_SYNTAX },
	{ " MT-PRIORITY=-0", EXT_MT_PRIORITY, PARAM_SYNTAX },
	{ " MT-PRIORITY=+3", EXT_MT_PRIORITY, PARAM_SYNTAX },
	{ " MT-PRIORITY=03", EXT_MT_PRIORITY, PARAM_SYNTAX },
	{ " MT-PRIORITY=10", EXT_MT_PRIORITY, PARAM_SYNTAX },
	{ " MT-PRIORITY=-10", EXT_MT_PRIORITY, PARAM_SYNTAX },
	{ " MT-PRIORITY=x", EXT_MT_PRIORITY, PARAM_SYNTAX },
	{ " MT-PRIORITY=1 MT-PRIORITY=1", EXT_MT_PRIORITY, PARAM_DUPLICATE },
	{ " BY=120;R", 0, PARAM_UNKNOWN },
};

START_TEST(mail_parameters)
{
	struct mail_params got;

	ck_assert_msg(
	    param_parse_mail(slice_z(mails[_i].in), mails[_i].offered, &got) == mails[_i].result,
	    "%s", mails[_i].in);
}
END_TEST

START_TEST(mail_values)
{
	struct mail_params got;

	ck_assert_int_eq(param_parse_mail(SLICE_LIT(" SIZE=42 BODY=8bitmime RET=full ENVID=x+20y "
						    "AUTH=a@b SMTPUTF8 REQUIRETLS"),
			     ALL, &got),
	    PARAM_OK);
	ck_assert_uint_eq(got.size_bytes, 42);
	ck_assert_int_eq(got.body, PARAM_BODY_8BIT);
	ck_assert_int_eq(got.ret, PARAM_RET_FULL);
	ck_assert(slice_is(got.envid, "x+20y"));
	ck_assert(slice_is(got.auth, "a@b"));
	ck_assert(got.smtputf8 && got.requiretls);

	ck_assert_int_eq(
	    param_parse_mail(SLICE_LIT(" SIZE=99999999999999999999"), ALL, &got), PARAM_OK);
	ck_assert_uint_eq(got.size_bytes, UINT64_MAX);
	ck_assert_int_eq(got.body, PARAM_BODY_7BIT);
	ck_assert_int_eq(got.ret, PARAM_RET_NONE);
	ck_assert(got.envid.p == NULL && got.auth.p == NULL && !got.smtputf8 && !got.requiretls);

	ck_assert_int_eq(
	    param_parse_mail(SLICE_LIT(" BODY=BINARYMIME RET=HDRS"), ALL, &got), PARAM_OK);
	ck_assert_int_eq(got.body, PARAM_BODY_BINARY);
	ck_assert_int_eq(got.ret, PARAM_RET_HDRS);
}
END_TEST

static const struct {
	const char *in;
	unsigned offered;
	enum param_result result;
	uint8_t notify;
	const char *orcpt;
} rcpts[] = {
	{ "", 0, PARAM_OK, 0, NULL },
	{ " NOTIFY=NEVER", ALL, PARAM_OK, PARAM_NOTIFY_NEVER, NULL },
	{ " NOTIFY=success,Delay", ALL, PARAM_OK, PARAM_NOTIFY_SUCCESS | PARAM_NOTIFY_DELAY, NULL },
	{ " NOTIFY=FAILURE ORCPT=rfc822;a+2Bb@c", ALL, PARAM_OK, PARAM_NOTIFY_FAILURE,
	    "rfc822;a+2Bb@c" },
	{ " ORCPT=utf-8;\xc3\xa9@c", ALL, PARAM_OK, 0, "utf-8;\xc3\xa9@c" },
	{ " ORCPT=utf-8;\xc3\xa9@c", ASCII, PARAM_SYNTAX, 0, NULL },
	{ " ORCPT=utf-8;\\x{E9}@c", ASCII, PARAM_OK, 0, "utf-8;\\x{E9}@c" },
	{ " NOTIFY=NEVER,DELAY", ALL, PARAM_SYNTAX, 0, NULL },
	{ " NOTIFY=", ALL, PARAM_SYNTAX, 0, NULL },
	{ " NOTIFY", ALL, PARAM_SYNTAX, 0, NULL },
	{ " NOTIFY=SUCCESS,", ALL, PARAM_SYNTAX, 0, NULL },
	{ " NOTIFY=ALWAYS", ALL, PARAM_SYNTAX, 0, NULL },
	{ " NOTIFY=NEVER NOTIFY=DELAY", ALL, PARAM_DUPLICATE, 0, NULL },
	{ " NOTIFY=NEVER", ALL & ~EXT_DSN, PARAM_UNKNOWN, 0, NULL },
	{ " ORCPT=a@b", ALL, PARAM_SYNTAX, 0, NULL },
	{ " ORCPT=;a@b", ALL, PARAM_SYNTAX, 0, NULL },
	{ " ORCPT=rfc822;", ALL, PARAM_SYNTAX, 0, NULL },
	{ " ORCPT=rfc822;a+00b", ALL, PARAM_SYNTAX, 0, NULL },
	{ " ORCPT=rf(822;a", ALL, PARAM_SYNTAX, 0, NULL },
	{ " SIZE=1", ALL, PARAM_UNKNOWN, 0, NULL },
	{ " RRVS=", ALL, PARAM_SYNTAX, 0, NULL },
	{ " RRVS=2022-01-02T00:00:00Z", ALL, PARAM_UNKNOWN, 0, NULL },
};

START_TEST(rcpt_parameters)
{
	struct rcpt_params got;

	ck_assert_msg(
	    param_parse_rcpt(slice_z(rcpts[_i].in), rcpts[_i].offered, &got) == rcpts[_i].result,
	    "%s", rcpts[_i].in);
	if (rcpts[_i].result != PARAM_OK)
		return;
	ck_assert_uint_eq(got.notify, rcpts[_i].notify);
	ck_assert((got.orcpt.p == NULL) == (rcpts[_i].orcpt == NULL));
	ck_assert(rcpts[_i].orcpt == NULL || slice_is(got.orcpt, rcpts[_i].orcpt));
}
END_TEST

START_TEST(lengths_are_bounded)
{
	char text[700] = "rfc822;";

	memset(text + 7, 'a', 600);
	ck_assert(param_orcpt_valid(slice_of(text, PARAM_ORCPT_MAX), false));
	ck_assert(!param_orcpt_valid(slice_of(text, PARAM_ORCPT_MAX + 1), false));
	ck_assert(param_envid_valid(slice_of(text + 7, PARAM_ENVID_MAX)));
	ck_assert(!param_envid_valid(slice_of(text + 7, PARAM_ENVID_MAX + 1)));
	ck_assert(!param_envid_valid(SLICE_NONE));
}
END_TEST

START_TEST(notify_prints_what_it_parses)
{
	uint8_t got;
	unsigned possible = 0;

	for (uint8_t set = 0; set < 16; set++) {
		struct slice word = slice_z(param_notify_word(set));

		if (word.n == 0)
			continue;
		possible++;
		ck_assert(param_notify_parse(word, &got));
		ck_assert_uint_eq(got, set);
	}
	ck_assert_uint_eq(possible, 8);
	ck_assert_str_eq(param_notify_word(200), "");
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, mail_parameters, 0, sizeof mails / sizeof *mails);
	tcase_add_test(tc, mail_values);
	tcase_add_loop_test(tc, rcpt_parameters, 0, sizeof rcpts / sizeof *rcpts);
	tcase_add_test(tc, lengths_are_bounded);
	tcase_add_test(tc, notify_prints_what_it_parses);
}
CHECK_MAIN("param", cases)
