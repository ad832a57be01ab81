/* SPDX-License-Identifier: ISC */
/* What the log hears of a session: its commands counted, where it was, and its refusals whole. */
#include "../check_main.h"
#include "fake.h"

#define HELLO "EHLO client.example\r\n"
#define MAIL "MAIL FROM:<a@client.example>\r\n"
#define RCPT "RCPT TO:<b@test.example>\r\n"

static const struct {
	const char *say[8], *counts, *where;
} talks[] = {
	{ { NULL }, "commands=0", "CONNECT" },
	{ { HELLO, MAIL RCPT "DATA\r\n", "x\r\n.\r\n" }, "ehlo=1 mail=1 rcpt=1 data=1 commands=4",
	    "END-OF-MESSAGE" },
	{ { HELLO, MAIL RCPT "DATA\r\n", "x\r\n" }, "ehlo=1 mail=1 rcpt=1 data=1 commands=4",
	    "DATA" },
	{ { HELLO, MAIL RCPT "RCPT TO:<nobody@test.example>\r\nRCPT TO:<x@temp.example>\r\n" },
	    "ehlo=1 mail=1 rcpt=1/3 commands=3/5", "RCPT" },
	{ { "HELO x\r\n", "DATA\r\nRSET\r\nSTARTTLS\r\nBDAT 0\r\nAUTH PLAIN\r\n" },
	    "helo=1 starttls=0/1 auth=0/1 bdat=0/1 data=0/1 rset=1 commands=2/6", "AUTH" },
	{ { HELLO, "WHAT\r\nXCLIENT A=b\r\nVRFY a\r\nVRFY\r\nNOOP\r\nHELP\r\nETRN x\r\n" },
	    "ehlo=1 noop=1 vrfy=1/2 help=1 unknown=0/3 commands=4/8", "UNKNOWN" },
	/* The message is refused at its end: the DATA that brought it failed. */
	{ { HELLO, MAIL RCPT "DATA\r\n", "a\0b\r\n.\r\n" },
	    "ehlo=1 mail=1 rcpt=1 data=0/1 commands=3/4", "END-OF-MESSAGE" },
};

START_TEST(commands_are_counted)
{
	struct fake f;
	struct buf b = { 0 };

	fake_init(&f, CLASS_MX, "");
	for (unsigned i = 0; talks[_i].say[i] != NULL; i++)
		fake_send(&f, strncmp(talks[_i].say[i], "a", 1) == 0 ? slice_of("a\0b\r\n.\r\n", 8)
								     : slice_z(talks[_i].say[i]));
	ck_assert_ptr_nonnull(f.session);
	tell_counts(&f.session->tell, &b);
	buf_putc(&b, '\0');
	ck_assert_str_eq(b.p, talks[_i].counts);
	ck_assert_str_eq(tell_where(&f.session->tell), talks[_i].where);
	buf_fini(&b);
	fake_fini(&f);
}
END_TEST

START_TEST(counts_stay_at_their_highest)
{
	struct tell t = { 0 };

	for (unsigned i = 0; i < 70000; i++) {
		tell_said(&t, VERB_NOOP);
		tell_failed(&t, VERB_NOOP);
	}
	tell_failed(&t, VERB_RCPT); /* never said */
	ck_assert_uint_eq(t.said[VERB_NOOP], 65535);
	ck_assert_uint_eq(t.failed[VERB_NOOP], 65535);
	ck_assert_uint_eq(t.failed[VERB_RCPT], 0);
}
END_TEST

/* The event alone, as text. */
static void
told(const char *want)
{
	uint64_t lost;
	struct slice in = log_pending(&lost);
	struct log_record r;
	struct buf b = { 0 };

	ck_assert(log_record_next(&in, &r));
	log_format_text(&b, &r);
	buf_putc(&b, '\0');
	ck_assert_str_eq(b.p, want);
	buf_fini(&b);
	log_sent(log_pending(&lost).n, lost);
}

START_TEST(events_are_whole)
{
	struct fake f;
	struct session *s;

	fake_init(&f, CLASS_MX, "");
	s = f.session;
	s->id = 1;
	s->client = (struct addr){ .port = 25 };
	memcpy(s->client.host, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x07", 16);
	tell_connect(s);
	told("connect session=0000000000000001 client=192.0.2.7:25 class=\"mx\"");
	fake_say(&f, HELLO);
	fake_say(&f, MAIL);
	tell_reject(s, REPLY_TOO_BIG, SLICE_NONE);
	told("reject session=0000000000000001 client=192.0.2.7:25 helo=\"client.example\" "
	     "proto=\"ESMTP\" from=\"a@client.example\" verb=\"MAIL\" code=552 reason=\"5.3.4\" "
	     "text=\"552 5.3.4 Message exceeds 52428800 bytes\"");
	tell_refused(s, SLICE_LIT("x@y"), SLICE_LIT("550 5.7.1 No\r\n"), SLICE_LIT("deny"));
	told("reject session=0000000000000001 client=192.0.2.7:25 helo=\"client.example\" "
	     "proto=\"ESMTP\" from=\"a@client.example\" to=\"x@y\" verb=\"RCPT\" "
	     "text=\"550 5.7.1 No\" rule=\"deny\"");
	ck_assert_uint_eq(f.world.refused, 2);
	s->tell.end = "lost connection";
	tell_disconnect(s);
	told("disconnect session=0000000000000001 client=192.0.2.7:25 count=0 code=0 "
	     "reason=\"lost connection\" verb=\"MAIL\" detail=\"ehlo=1 mail=1 commands=2\"");
	fake_fini(&f);
}
END_TEST

static const struct {
	const char *say, *end;
} ends[] = {
	{ "QUIT\r\n", "-" },
	{ HELLO "NOOP\r\n", "improper command pipelining" },
	{ "WHAT\r\nWHAT\r\n", "too many errors" },
	{ "NOOP\nNOOP\r\n", "-" },
};

START_TEST(why_it_ended)
{
	struct fake f;

	fake_init(&f, CLASS_MX, "errors_max = 2\n");
	fake_say(&f, ends[_i].say);
	ck_assert_ptr_null(f.session); /* its memory is the test's */
	ck_assert_str_eq(f.memory.tell.end == NULL ? "-" : f.memory.tell.end, ends[_i].end);
	fake_fini(&f);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, commands_are_counted, 0, sizeof talks / sizeof *talks);
	tcase_add_test(tc, counts_stay_at_their_highest);
	tcase_add_test(tc, events_are_whole);
	tcase_add_loop_test(tc, why_it_ended, 0, sizeof ends / sizeof *ends);
}
CHECK_MAIN("tell", cases)
