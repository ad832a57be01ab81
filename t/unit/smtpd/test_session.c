/* SPDX-License-Identifier: ISC */
#include "../check_main.h"
#include "fake.h"

#include "spool/envelope.h"

#define HELLO "EHLO client.example\r\n"
#define MAIL "MAIL FROM:<a@client.example>\r\n"
#define RCPT "RCPT TO:<b@test.example>\r\n"

/* What is sent, in separate packets where "|" stands, and the codes that come; + behind them: still
 * open. */
static const struct {
	const char *say, *codes;
	bool open;
} talks[] = {
	{ "QUIT\r\n", "220 221", false },
	{ "HELO x\r\n", "220 250", true },
	{ "helo\r\n", "220 501", true },
	{ "EHLO !!bad!!\r\n", "220 501", true },
	{ "MAIL FROM:<a@b>\r\n", "220 503", true },
	{ "RCPT TO:<a@b>\r\n", "220 503", true },
	{ "DATA\r\n", "220 503", true },
	{ "\r\n", "220 500", true },
	{ "WHAT\r\n", "220 500", true },
	/* What follows BDAT is no command, whatever the reply is; where that cannot be, the session ends. */
	{ "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "220 503 250", true },
	{ "BDAT\r\nQUIT\r\n", "220 501", false },
	{ "BDAT -1\r\nQUIT\r\n", "220 501", false },
	{ "BDAT 6 FIRST\r\nQUIT\r\n", "220 501", false },
	{ "BDAT 99999999999999999999999\r\n", "220 501", false },
	{ HELLO "|" MAIL "BDAT 6\r\nQUIT\r\nNOOP\r\n", "220 250 250 503 250", true },
	{ HELLO "|" MAIL "RCPT TO:<nobody@test.example>\r\nBDAT 6 LAST\r\nQUIT\r\n",
	    "220 250 250 550 554", true },
	{ HELLO "|" MAIL RCPT "BDAT 3\r\na\r\nBDAT 3 LAST\r\nb\r\nNOOP\r\n",
	    "220 250 250 250 250 250 250", true },
	{ HELLO "|" MAIL RCPT "BDAT 0 LAST\r\nQUIT\r\n", "220 250 250 250 250 221", false },
	{ HELLO "|" MAIL RCPT "bdat 3\r\na\r\nbdat 0 last\r\n", "220 250 250 250 250 250", true },
	{ HELLO "|" MAIL RCPT "BDAT 3\r\na\r\n" RCPT "DATA\r\n" MAIL "RSET\r\nBDAT 3\r\na\r\n",
	    "220 250 250 250 250 503 503 503 250 503", true },
	{ HELLO "|" MAIL RCPT "BDAT 3\r\na\nbBDAT 3\r\nc\r\nBDAT 3 LAST\r\nd\r\n" MAIL,
	    "220 250 250 250 550 503 503 250", true },
	{ "STARTTLS\r\n", "220 502", true },
	{ "NOOP x y\r\nRSET\r\nHELP me\r\nVRFY root\r\nVRFY\r\n", "220 250 250 214 252 501", true },
	{ "RSET x\r\nDATA x\r\n", "220 501 501", true },
	{ HELLO "|MAIL\r\nMAIL x\r\nMAIL FROM:\r\nMAIL FROM:<a b>\r\nMAIL FROM:<a@b\r\n",
	    "220 250 501 501 501 501 501", true },
	{ HELLO "|MAIL FROM:<>\r\nMAIL FROM:<>\r\n", "220 250 250 503", true },
	{ HELLO "|MAIL FROM:<a@b> SIZE=99999999999\r\n", "220 250 552", true },
	{ HELLO "|MAIL FROM:<a@b> SIZE=x\r\nMAIL FROM:<a@b> XX=1\r\n", "220 250 501 555", true },
	{ HELLO "|MAIL FROM:<\xc3\xa4@b>\r\n", "220 250 553", true },
	{ HELLO "|" MAIL "DATA\r\n", "220 250 250 503", true },
	{ HELLO "|" MAIL "RCPT TO:<nobody@test.example>\r\nDATA\r\n", "220 250 250 550 554", true },
	{ HELLO "|" MAIL "RCPT TO:<>\r\nRCPT\r\nRCPT TO:<c>\r\n", "220 250 250 501 501 501", true },
	{ HELLO "|" MAIL "RCPT TO:<x@temp.example>\r\n" RCPT, "220 250 250 451 250", true },
	{ HELLO "|" MAIL RCPT "DATA\r\n|Subject: x\r\n\r\ny\r\n.\r\n", "220 250 250 250 354 250",
	    true },
	{ HELLO "|" MAIL RCPT "DATA\r\n|.\r\nQUIT\r\n", "220 250 250 250 354 250 221", false },
	{ HELLO "|" MAIL RCPT "DATA\r\n|x\r\n.\r\n" MAIL RCPT "DATA\r\n|y\r\n.\r\n",
	    "220 250 250 250 354 250 250 250 354 250", true },
	{ HELLO "|" MAIL RCPT "RSET\r\nDATA\r\n", "220 250 250 250 250 503", true },
	{ HELLO "|" MAIL RCPT HELLO "|DATA\r\n", "220 250 250 250 250 503", true },
	{ HELLO "|MAIL FROM:a@b.example\r\nRCPT TO: b@test.example\r\n", "220 250 250 250", true },
	/* Bare CR and LF end no line; the session ends. */
	{ "NOOP\nNOOP\r\n", "220 521", false },
	{ "NOOP\rNOOP\r\n", "220 521", false },
	{ "NO\rOP", "220 521", false },
	{ "NOOP\r\r\n", "220 521", false },
	/* Nothing may stand behind these before their reply. */
	{ HELLO "NOOP\r\n", "220 521", false },
	{ "HELO x\r\nMAIL FROM:<>\r\n", "220 521", false },
	{ HELLO "|" MAIL RCPT "DATA\r\nSubject: x\r\n\r\ny\r\n.\r\n", "220 250 250 250 521",
	    false },
	{ "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "220 521", false },
};

static void
play(struct fake *f, const char *say)
{
	struct slice all = slice_z(say), part;

	while (slice_next(&all, '|', &part))
		fake_send(f, part);
}

START_TEST(replies_are_these)
{
	struct fake f;

	fake_init(&f, CLASS_MX, "");
	play(&f, talks[_i].say);
	ck_assert_str_eq(fake_codes(&f), talks[_i].codes);
	ck_assert_msg((f.session != NULL) == talks[_i].open, "%s", talks[_i].say);
	fake_fini(&f);
}
END_TEST

/* However the reads are cut, the replies are the same, but for groups that a cut ends. */
START_TEST(cuts_change_nothing)
{
	const char *data = "Subject: x\r\n\r\n..\r\n.x\r\ny\r\n.\r\nRSET\r\n" MAIL RCPT "QUIT\r\n";
	struct fake f;

	fake_init(&f, CLASS_MX, "");
	play(&f, HELLO "|" MAIL RCPT "DATA\r\n");
	fake_codes(&f);
	for (const char *p = data; *p != '\0'; p++)
		fake_send(&f, slice_of(p, 1));
	ck_assert_str_eq(fake_codes(&f), "250 250 250 250 221");
	ck_assert_uint_eq(f.committed, 1);
	ck_assert(slice_is(slice_buf(&f.content), "Subject: x\r\n\r\n.\r\nx\r\ny\r\n"));
	fake_fini(&f);
}
END_TEST

/* Dots are dots, a CRLF may be cut by a chunk's end, and a last line is completed. */
START_TEST(chunks_are_the_content)
{
	const char *data =
	    "BDAT 14\r\nSubject: x\r\n\r\nBDAT 6\r\n.\r\n..\rBDAT 5 LAST\r\n\n.\r\nx";
	struct fake f;

	fake_init(&f, CLASS_MX, "");
	play(&f, HELLO "|" MAIL RCPT);
	fake_codes(&f);
	for (const char *p = data; *p != '\0'; p++)
		fake_send(&f, slice_of(p, 1));
	ck_assert_str_eq(fake_codes(&f), "250 250 250");
	ck_assert_uint_eq(f.committed, 1);
	ck_assert(slice_is(slice_buf(&f.content), "Subject: x\r\n\r\n.\r\n..\r\n.\r\nx\r\n"));
	fake_fini(&f);
}
END_TEST

START_TEST(nul_in_command)
{
	struct fake f;

	fake_init(&f, CLASS_MX, "");
	fake_send(&f, SLICE_LIT(HELLO));
	fake_send(&f, SLICE_LIT("MAIL FROM:<a\0@b>\r\nNO\0OP\r\nNOOP\r\n"));
	ck_assert_str_eq(fake_codes(&f), "220 250 501 500 250");
	fake_fini(&f);
}
END_TEST

/* What smugglers send for the end of data. None of it ends the data, none of it is stored. */
static const struct slice ends[] = {
	SLICE_LIT("\n.\n"),
	SLICE_LIT("\r.\r"),
	SLICE_LIT("\n.\r"),
	SLICE_LIT("\r\n.\n"),
	SLICE_LIT("\r\n.\r"),
	SLICE_LIT("\n.\r\n"),
	SLICE_LIT("\r.\r\n"),
	SLICE_LIT("\r\r\n.\r\r\n"),
	SLICE_LIT("\n\n.\n\n"),
	SLICE_LIT("\r\n.\r\r\n"),
	SLICE_LIT("\r\n.\0\n"),
	SLICE_LIT("\r\n.\0\r\n"),
	SLICE_LIT("\r\n\0.\r\n"),
};

START_TEST(nothing_is_smuggled_in)
{
	struct fake f;

	fake_init(&f, CLASS_MX, "");
	play(&f, HELLO "|" MAIL RCPT "DATA\r\n");
	fake_codes(&f);
	fake_send(&f, SLICE_LIT("Subject: outer\r\n\r\nouter"));
	fake_send(&f, ends[_i]);
	fake_send(&f, SLICE_LIT(MAIL RCPT "DATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"));
	ck_assert_str_eq(fake_codes(&f), "550");
	ck_assert_uint_eq(f.committed, 0);
	fake_say(&f, "NOOP\r\n");
	ck_assert_str_eq(fake_codes(&f), "250");
	fake_fini(&f);
}
END_TEST

/* All texts of six of these letters between two lines: at most one message, and what is stored is
 * clean. */
START_TEST(all_short_streams_are_safe)
{
	static const char letters[] = "\r\n.x";
	struct fake f;

	fake_init(&f, CLASS_MX, "errors_max = 10000\n");
	fake_say(&f, HELLO);
	for (unsigned i = 0; i < 4096; i++) {
		char text[6];
		unsigned n = f.committed;
		const char *codes;

		for (int k = 0; k < 6; k++)
			text[k] = letters[i >> 2 * k & 3];
		if (f.session == NULL) {
			fake_begin(&f);
			fake_say(&f, HELLO);
		}
		fake_say(&f, MAIL RCPT "DATA\r\n");
		fake_codes(&f);
		fake_send(&f, SLICE_LIT("a"));
		fake_send(&f, slice_of(text, 6));
		fake_send(&f, SLICE_LIT("b\r\n.\r\n"));
		codes = fake_codes(&f);
		ck_assert_msg(f.committed - n <= 1, "%u", i);
		if (f.committed > n) {
			struct slice c = slice_buf(&f.content);

			ck_assert_int_eq(body_look(c) & BODY_MALFORMED, 0);
			ck_assert_msg(strncmp(codes, "250", 3) == 0, "%u: %s", i, codes);
		}
		/* The true end may have come early: then "b" is a command, and the dot another. */
		ck_assert(f.session == NULL || f.session->phase == SESSION_COMMAND);
	}
	fake_fini(&f);
}
END_TEST

/* Pipelined recipients are asked about together and answered in order, whatever order the answers
 * have. */
START_TEST(rcpts_are_asked_together)
{
	struct fake f;

	fake_init(&f, CLASS_MX, "");
	f.answer_last_first = _i == 1;
	fake_say(&f, HELLO);
	fake_codes(&f);
	fake_say(&f,
	    MAIL RCPT "RCPT TO:<nobody@test.example>\r\nRCPT TO:<>\r\nRCPT TO:<x@temp.example>\r\n"
		      "RCPT TO:<c@test.example>\r\nDATA\r\n");
	ck_assert_str_eq(fake_codes(&f), "250 250 550 501 451 250 354");
	ck_assert_uint_eq(f.open_most, 4);
	fake_say(&f, ".\r\n");
	ck_assert_uint_eq(f.nrcpt, 2);
	fake_fini(&f);
}
END_TEST

START_TEST(no_answer_is_451)
{
	struct fake f;
	struct rcpt *r;

	fake_init(&f, CLASS_MX, "");
	fake_say(&f, HELLO);
	fake_say(&f, MAIL "RCPT TO:<x@silent.example>\r\n" RCPT);
	ck_assert_str_eq(fake_codes(&f), "220 250 250"); /* the second one waits behind the first */
	ck_assert(
	    f.held); /* and MAIL's reply for theirs: a client that has sent all is woken once */
	r = fake_next_question(&f, true);
	session_answered(r->session, r, NULL);
	ck_assert(!f.held);
	ck_assert_str_eq(fake_codes(&f), "451 250");
	fake_fini(&f);
}
END_TEST

/* The client goes, a late answer meets nobody: fake_fini() sees that nothing is left open. */
START_TEST(questions_are_forgotten)
{
	struct fake f;

	fake_init(&f, CLASS_MX, "");
	fake_say(&f, HELLO);
	fake_say(&f, MAIL "RCPT TO:<x@silent.example>\r\n");
	ck_assert_uint_eq(f.nasked, 1);
	ck_assert(f.held);
	session_expired(f.session);
	ck_assert(!f.held);
	ck_assert_ptr_null(f.session);
	ck_assert_uint_eq(f.nasked, 0);
	ck_assert_str_eq(fake_codes(&f), "220 250 250 421");
	fake_fini(&f);
}
END_TEST

/* Limits. */
START_TEST(ten_thousand_recipients)
{
	struct fake f;
	struct buf all = { 0 };
	unsigned good = 0, later = 0;
	const char *p;

	fake_init(&f, CLASS_MX, "recipients_max = 1000\n");
	fake_say(&f, HELLO);
	fake_say(&f, MAIL);
	fake_codes(&f);
	for (int i = 0; i < 10000; i++) {
		char line[64];

		snprintf(line, sizeof line, "RCPT TO:<u%d@test.example>\r\n", i);
		fake_say(&f, line);
		buf_slice(&all, slice_buf(&f.out));
		buf_reset(&f.out);
	}
	buf_putc(&all, '\0');
	for (p = all.p; *p != '\0'; p = strchr(p, '\n') + 1) {
		good += strncmp(p, "250 2.1.5", 9) == 0;
		later += strncmp(p, "452 4.5.3", 9) == 0;
	}
	ck_assert_uint_eq(good, 1000);
	ck_assert_uint_eq(later, 9000);
	fake_say(&f, "DATA\r\n");
	fake_say(&f, ".\r\n");
	ck_assert_str_eq(fake_codes(&f), "354 250");
	ck_assert_uint_eq(f.nrcpt, 1000);
	buf_fini(&all);
	fake_fini(&f);
}
END_TEST

START_TEST(recipients_are_stored_once)
{
	struct fake f;

	fake_init(&f, CLASS_MX, "");
	fake_say(&f, HELLO);
	fake_say(&f, MAIL RCPT RCPT "RCPT TO:<b@TEST.example>\r\nRCPT TO:<B@test.example>\r\n");
	fake_say(&f, RCPT "DATA\r\n");
	fake_say(&f, ".\r\n");
	ck_assert_str_eq(fake_codes(&f), "220 250 250 250 250 250 250 250 354 250");
	ck_assert_uint_eq(f.nrcpt, 2); /* local parts are told apart by case */
	fake_fini(&f);
}
END_TEST

START_TEST(errors_end_the_session)
{
	struct fake f;

	fake_init(&f, CLASS_MX, "errors_max = 5\n");
	for (int i = 0; i < 4; i++)
		fake_say(&f, "WHAT\r\n");
	ck_assert_ptr_nonnull(f.session);
	fake_codes(&f);
	fake_say(&f, "WHAT\r\n");
	ck_assert_ptr_null(f.session);
	ck_assert_str_eq(fake_heard(&f), "421 4.7.0 mx.test.example has seen too many errors\r\n");
	fake_fini(&f);
}
END_TEST

START_TEST(refused_recipients_are_errors)
{
	struct fake f;

	fake_init(&f, CLASS_MX, "errors_max = 5\n");
	fake_say(&f, HELLO);
	fake_say(&f, MAIL);
	for (int i = 0; i < 5; i++)
		fake_say(&f, "RCPT TO:<nobody@test.example>\r\n");
	ck_assert_ptr_null(f.session);
	ck_assert_str_eq(fake_codes(&f), "220 250 250 550 550 550 550 421");
	fake_fini(&f);
}
END_TEST

/* A user's message with many bad recipients: each has its reply. */
START_TEST(users_errors_are_not_counted)
{
	struct fake f;

	fake_init(&f, CLASS_LOCAL, "errors_max = 2\n");
	fake_say(&f, HELLO);
	fake_say(&f, MAIL);
	fake_codes(&f);
	for (int i = 0; i < 4; i++)
		fake_say(&f, "RCPT TO:<nobody@test.example>\r\n");
	ck_assert_str_eq(fake_codes(&f), "550 550 550 550");
	fake_fini(&f);
}
END_TEST

START_TEST(junk_ends_the_session)
{
	struct fake f;
	int i;

	fake_init(&f, CLASS_MX, "errors_max = 10\n");
	for (i = 0; f.session != NULL && i < 1000; i++)
		fake_say(&f, "NOOP\r\n");
	ck_assert_int_eq(i, SESSION_JUNK + 10);
	fake_fini(&f);
}
END_TEST

START_TEST(long_lines_keep_in_step)
{
	struct fake f;
	char line[5000];

	fake_init(&f, CLASS_MX, "");
	fake_codes(&f);
	memset(line, 'x', sizeof line);
	memcpy(line, "NOOP ", 5);
	memcpy(line + sizeof line - 2, "\r\n", 2);
	fake_send(&f, slice_of(line, sizeof line));
	fake_say(&f, "NOOP\r\n");
	ck_assert_str_eq(fake_codes(&f), "500 250");
	/* The longest that is allowed. */
	memcpy(line + COMMAND_LINE_MAX - 2, "\r\n", 2);
	fake_send(&f, slice_of(line, COMMAND_LINE_MAX));
	ck_assert_str_eq(fake_codes(&f), "250");
	/* A bare LF in what is skipped ends nothing. */
	memset(line, 'x', sizeof line);
	line[4000] = '\n';
	memcpy(line + sizeof line - 2, "\r\n", 2);
	for (size_t i = 0; i < sizeof line; i += 100)
		fake_send(&f, slice_of(line + i, 100));
	ck_assert_str_eq(fake_codes(&f), "500");
	fake_fini(&f);
}
END_TEST

START_TEST(endless_line_is_cut)
{
	struct fake f;
	char piece[65536];
	int i;

	fake_init(&f, CLASS_MX, "");
	memset(piece, 'x', sizeof piece);
	for (i = 0; f.session != NULL && i < 100; i++)
		fake_send(&f, slice_of(piece, sizeof piece));
	ck_assert_int_le(i, SESSION_SKIP_MAX / (int)sizeof piece + 2);
	fake_fini(&f);
}
END_TEST

START_TEST(large_chunks_are_refused)
{
	struct fake f;
	char piece[1000];

	fake_init(&f, CLASS_MX, "message_size_limit = 64K\nerrors_max = 100\n");
	play(&f, HELLO "|" MAIL RCPT);
	fake_codes(&f);
	memset(piece, 'x', sizeof piece);
	memcpy(piece + sizeof piece - 2, "\r\n", 2);
	for (int i = 0; i < 100; i++) {
		fake_say(&f, i < 99 ? "BDAT 1000\r\n" : "BDAT 1000 LAST\r\n");
		fake_send(&f, slice_of(piece, sizeof piece));
		/* The first one that is too much is told so; those behind it belong to no message. */
		ck_assert_str_eq(fake_codes(&f), i < 65 ? "250" : i == 65 ? "552" : "503");
	}
	ck_assert_uint_eq(f.intake.used_bytes, 0);
	ck_assert_uint_eq(f.committed, 0);
	/* And nobody swallows for ever. */
	fake_say(&f, "BDAT 18446744073709551615\r\n");
	for (int i = 0; f.session != NULL && i < 1000; i++)
		fake_send(&f, slice_of(piece, sizeof piece));
	ck_assert_ptr_null(f.session);
	ck_assert_str_eq(fake_codes(&f), "503");
	fake_fini(&f);
}
END_TEST

START_TEST(large_message_is_refused)
{
	struct fake f;
	char piece[1000];

	fake_init(&f, CLASS_MX, "message_size_limit = 64K\n");
	play(&f, HELLO "|" MAIL RCPT "DATA\r\n");
	fake_codes(&f);
	memset(piece, 'x', sizeof piece);
	memcpy(piece + sizeof piece - 2, "\r\n", 2);
	for (int i = 0; i < 100; i++)
		fake_send(&f, slice_of(piece, sizeof piece));
	ck_assert_uint_eq(f.intake.used_bytes, 0); /* nothing of it is kept */
	fake_say(&f, ".\r\n" MAIL);
	ck_assert_str_eq(
	    fake_heard(&f), "552 5.3.4 Message exceeds 65536 bytes\r\n250 2.1.0 Sender ok\r\n");
	/* And nobody swallows for ever. */
	fake_say(&f, RCPT "DATA\r\n");
	for (int i = 0; f.session != NULL && i < 1000; i++)
		fake_send(&f, slice_of(piece, sizeof piece));
	ck_assert_ptr_null(f.session);
	ck_assert_str_eq(fake_codes(&f), "250 354 552");
	ck_assert_uint_eq(f.committed, 0);
	fake_fini(&f);
}
END_TEST

START_TEST(mail_loop_is_refused)
{
	struct fake f;

	fake_init(&f, CLASS_MX, "received_max = 10\n");
	for (int n = 10; n <= 11; n++) {
		fake_say(&f, n == 10 ? HELLO : "NOOP\r\n");
		fake_say(&f, MAIL RCPT "DATA\r\n");
		fake_codes(&f);
		for (int i = 0; i < n; i++)
			fake_say(&f, "Received: from x\r\n\tby y\r\n");
		fake_say(&f, "\r\nReceived: not one\r\n.\r\n");
		ck_assert_str_eq(fake_codes(&f), n == 10 ? "250" : "554");
	}
	fake_fini(&f);
}
END_TEST

START_TEST(no_room_at_mail)
{
	static const struct {
		enum writer_room room;
		const char *codes;
	} rooms[] = { { WRITER_NO_LEASE, "451" }, { WRITER_NO_SPACE, "452" },
		{ WRITER_ROOM, "250" } };
	struct fake f;

	fake_init(&f, CLASS_MX, "");
	fake_say(&f, HELLO);
	fake_codes(&f);
	for (int i = 0; i < 3; i++) {
		f.room = rooms[i].room;
		fake_say(&f, MAIL);
		ck_assert_str_eq(fake_codes(&f), rooms[i].codes);
	}
	fake_fini(&f);
}
END_TEST

START_TEST(failed_commit_is_not_250)
{
	static const struct {
		enum letter_fate fate;
		const char *codes;
	} fates[] = { { LETTER_TROUBLE, "451" }, { LETTER_NO_SPACE, "452" } };
	struct fake f;

	fake_init(&f, CLASS_MX, "");
	fake_say(&f, HELLO);
	for (int i = 0; i < 2; i++) {
		f.fate = fates[i].fate;
		fake_say(&f, MAIL RCPT "DATA\r\n");
		fake_codes(&f);
		fake_say(&f, "x\r\n.\r\n");
		ck_assert_str_eq(fake_codes(&f), fates[i].codes);
	}
	f.no_id = true;
	fake_say(&f, MAIL RCPT "DATA\r\n");
	fake_codes(&f);
	fake_say(&f, "x\r\n.\r\n");
	ck_assert_str_eq(fake_codes(&f), "451");
	ck_assert_uint_eq(f.committed, 0);
	fake_fini(&f);
}
END_TEST

/* Who goes before the answer: the letter reaches the disk, nobody is told. */
START_TEST(gone_before_the_commit)
{
	struct fake f;

	fake_init(&f, CLASS_MX, "");
	fake_say(&f, HELLO);
	fake_say(&f, MAIL RCPT "DATA\r\n");
	buf_reset(&f.in);
	f.in_taken = 0;
	buf_puts(&f.in, "x\r\n.\r\n");
	session_run(f.session);
	ck_assert_ptr_nonnull(f.letters);
	fake_io_hang_up(&f);
	ck_assert_ptr_null(f.letters->done);
	fake_turn(&f);
	ck_assert_uint_eq(f.committed, 1);
	fake_fini(&f);
}
END_TEST

/* Memory over all sessions is bounded: the client waits, and at last hears 452. */
START_TEST(bodies_in_flight_are_bounded)
{
	struct fake f;
	struct letter *other;
	char piece[1000];

	fake_init(&f, CLASS_MX, "in_flight_bytes = 1M\n");
	other = letter_new(&f.intake);
	ck_assert(intake_charge(other, (1 << 20) - 1500));
	fake_say(&f, HELLO);
	fake_say(&f, MAIL RCPT "DATA\r\n");
	fake_codes(&f);
	memset(piece, 'x', sizeof piece);
	memcpy(piece + sizeof piece - 2, "\r\n", 2);
	fake_send(&f, slice_of(piece, sizeof piece));
	ck_assert(!f.paused);
	fake_send(&f, slice_of(piece, sizeof piece));
	ck_assert(f.paused);
	ck_assert_uint_eq(f.deadline_ms, SESSION_ROOM_WAIT_MS);
	if (_i == 0) { /* room comes */
		letter_free(other);
		other = NULL;
		intake_wake(&f.intake);
		ck_assert(!f.paused);
		fake_say(&f, ".\r\n");
		ck_assert_str_eq(fake_codes(&f), "250");
		ck_assert_uint_eq(f.content.n, 2000);
	} else { /* it does not */
		session_expired(f.session);
		ck_assert(!f.paused);
		ck_assert_uint_eq(f.intake.used_bytes, (1 << 20) - 1500);
		fake_say(&f, ".\r\n");
		ck_assert_str_eq(fake_codes(&f), "452");
	}
	letter_free(other);
	fake_fini(&f);
}
END_TEST

/* A client that does not read its replies is not served further. */
START_TEST(replies_are_bounded)
{
	struct fake f;
	struct buf all = { 0 };

	fake_init(&f, CLASS_MX, "errors_max = 10000\n");
	for (int i = 0; i < 9000; i++)
		buf_puts(&all, "WHAT\r\n");
	fake_send(&f, slice_buf(&all));
	ck_assert_uint_lt(f.out.n, SESSION_OUT_MAX + 1000);
	ck_assert_uint_lt(f.in_taken, f.in.n);
	buf_reset(&f.out);
	fake_turn(&f);
	ck_assert_uint_gt(f.out.n, 1000);
	buf_fini(&all);
	fake_fini(&f);
}
END_TEST

/* One reset: after each end of a transaction it equals a fresh one (but for what is counted). */
static const char *const endings[] = {
	"RSET\r\n",
	HELLO,
	"HELO client.example\r\n",
	"|DATA\r\n|x\r\n.\r\n",
	"|DATA\r\n|x\n\r\n.\r\n",
	"RCPT TO:<x@hold.example>\r\nRSET\r\n",
};

START_TEST(one_reset)
{
	struct fake f, fresh;

	fake_init(&fresh, CLASS_MX, "");
	fake_say(&fresh, HELLO);
	fake_init(&f, CLASS_MX, "");
	fake_say(&f, HELLO);
	play(&f, "MAIL FROM:<a@client.example> RET=FULL ENVID=x BODY=8BITMIME SIZE=100\r\n" RCPT);
	ck_assert_int_eq(f.session->tx.state, TX_RCPT);
	play(&f, endings[_i]);
	ck_assert_int_eq(memcmp(&f.session->tx, &fresh.session->tx, sizeof f.session->tx), 0);
	ck_assert_int_eq(f.session->phase, SESSION_COMMAND);
	ck_assert_uint_eq(f.session->nheld, 0);
	ck_assert_uint_eq(f.intake.used_bytes, 0);
	/* And a failed commit is such an end too. */
	f.fate = LETTER_TROUBLE;
	play(&f, MAIL RCPT "DATA\r\n|x\r\n.\r\n");
	ck_assert_int_eq(memcmp(&f.session->tx, &fresh.session->tx, sizeof f.session->tx), 0);
	fake_fini(&f);
	fake_fini(&fresh);
}
END_TEST

START_TEST(envelope_holds_all)
{
	struct envelope e;
	struct envelope_iter it;
	struct envelope_rcpt r;
	struct envelope_edit edit;
	struct slice rest;
	struct fake f;

	fake_init(&f, CLASS_MX, "");
	fake_say(&f, HELLO);
	fake_say(&f, "MAIL FROM:<a@client.example> RET=HDRS ENVID=x+2By BODY=8BITMIME\r\n"
		     "RCPT TO:<b@test.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@x\r\nRCPT "
		     "TO:<\"c\"@hold.example>\r\nDATA\r\n");
	fake_say(&f, "Subject: \xc3\xa4\r\nMessage-ID: <1@x>\r\n\r\n..dot\r\n.\r\n");
	ck_assert_uint_eq(f.committed, 1);
	ck_assert_int_eq(envelope_message(slice_buf(&f.envelope), &e), 0);
	ck_assert(slice_is(e.sender, "a@client.example"));
	ck_assert_uint_eq(e.ret, RET_HDRS);
	ck_assert_uint_eq(e.body, BODY_8BITMIME);
	ck_assert(slice_is(e.envid, "x+2By"));
	ck_assert(slice_is(e.helo, "client.example"));
	ck_assert(slice_is(e.protocol, "ESMTP"));
	ck_assert_uint_eq(e.class, CLASS_MX);
	ck_assert(envelope_has(&e, ENVELOPE_CLIENT));
	ck_assert(!envelope_has(&e, ENVELOPE_UID));
	rest = e.fields;
	ck_assert(envelope_edit_next(&rest, &edit));
	ck_assert(edit.op == EDIT_INSERT && edit.n == 1);
	ck_assert(slice_istarts(edit.bytes, "Received: from client.example ([192.0.2.1])"));
	envelope_rcpts(&e, &it);
	ck_assert_int_eq(envelope_rcpt_next(&it, &r), 1);
	ck_assert(slice_is(r.recipient, "b@test.example"));
	ck_assert_uint_eq(r.notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
	ck_assert(slice_is(r.orcpt, "rfc822;b@x"));
	ck_assert(slice_is(r.route.bytes, "route"));
	ck_assert_uint_eq(r.route.generation, 7);
	ck_assert_int_eq(memcmp(r.route.seal, "0123456789abcdef", 16), 0);
	ck_assert_int_eq(envelope_rcpt_next(&it, &r), 1);
	ck_assert(slice_is(r.recipient, "c@hold.example"));
	ck_assert(slice_is(r.original, "\"c\"@hold.example"));
	ck_assert_ptr_null(
	    r.route.bytes.p); /* not to be delivered by what router said: qmgr asks */
	ck_assert_int_eq(envelope_rcpt_next(&it, &r), 0);
	ck_assert_uint_eq(f.flags, RECORD_HAS_DOT | RECORD_EIGHT_BIT | RECORD_EIGHT_BIT_HEAD);
	ck_assert_uint_eq(f.head_bytes, strlen("Subject: \xc3\xa4\r\nMessage-ID: <1@x>\r\n"));
	fake_fini(&f);
}
END_TEST

/* RFC 6710: known to those that we relay for; who says none has that of the listener. */
static const struct {
	uint8_t class;
	const char *conf;
	int listener;
	const char *param;
	const char *reply;
	int priority; /* in the envelope */
	bool trace;
} priorities[] = {
	{ CLASS_MX, "", 0, " MT-PRIORITY=3", "555 5.5.4", 0, false },
	{ CLASS_MX, "", 4, "", "250", 4, false },
	{ CLASS_MX, "relay_networks = 192.0.2.0/24\n", 0, " MT-PRIORITY=3", "250", 3, true },
	{ CLASS_MX, "relay_networks = 192.0.2.0/24\n", 4, " MT-PRIORITY=0", "250", 0, true },
	{ CLASS_MX, "relay_networks = 192.0.2.0/24\n", 4, "", "250", 4, false },
	{ CLASS_MX, "relay_networks = 192.0.2.0/24\n", 0, " MT-PRIORITY=12", "501 5.5.4", 0,
	    false },
	{ CLASS_SUBMISSION, "relay_networks = 192.0.2.0/24\n", 0, " MT-PRIORITY=3", "555 5.5.4", 0,
	    false },
	{ CLASS_SUBMISSION, "submission_networks = 192.0.2.0/24\n", 0, " MT-PRIORITY=-9", "250", -9,
	    true },
	{ CLASS_LOCAL, "", 0, " MT-PRIORITY=-1", "250", -1, true },
};

START_TEST(priorities_of_those_we_trust)
{
	bool refused = priorities[_i].reply[0] == '5';
	struct envelope_edit edit;
	struct envelope e;
	struct slice rest;
	struct fake f;
	char mail[128];

	fake_init(&f, priorities[_i].class, priorities[_i].conf);
	f.session->priority = (int8_t)priorities[_i].listener;
	fake_say(&f, HELLO);
	buf_putc(&f.out, '\0');
	ck_assert_int_eq(strstr(f.out.p, "MT-PRIORITY") != NULL,
	    priorities[_i].conf[0] != '\0' ? strncmp(priorities[_i].reply, "555", 3) != 0
					   : priorities[_i].class == CLASS_LOCAL);
	buf_reset(&f.out);
	snprintf(mail, sizeof mail, "MAIL FROM:<a@client.example>%s\r\n", priorities[_i].param);
	fake_say(&f, mail);
	ck_assert_msg(slice_istarts(slice_buf(&f.out), priorities[_i].reply), "%.*s",
	    SLICE_ARG(slice_buf(&f.out)));
	if (!refused) {
		fake_say(&f, RCPT "DATA\r\n");
		fake_say(&f, "x: y\r\n.\r\n");
		ck_assert_uint_eq(f.committed, 1);
		ck_assert_int_eq(envelope_message(slice_buf(&f.envelope), &e), 0);
		ck_assert_int_eq(e.priority, priorities[_i].priority);
		rest = e.fields;
		ck_assert(envelope_edit_next(&rest, &edit));
		ck_assert_int_eq(memmem(edit.bytes.p, edit.bytes.n, " PRIORITY ", 10) != NULL,
		    priorities[_i].trace);
	}
	fake_fini(&f);
}
END_TEST

START_TEST(local_class)
{
	struct envelope e;
	struct envelope_iter it;
	struct envelope_rcpt r;
	struct fake f;

	fake_init(&f, CLASS_LOCAL, "");
	fake_say(&f, "EHLO localhost\r\n");
	ck_assert(strstr(fake_heard(&f), "\r\n250-XANGARIUM origin=test.example\r\n") != NULL);
	fake_say(
	    &f, "MAIL FROM:<alice>\r\nRCPT TO:<bob>\r\nRCPT TO:<carol@else.example>\r\nDATA\r\n");
	fake_send(&f, SLICE_LIT("Subject: x\r\n\r\nNU\0L\r\n.\r\n"));
	ck_assert_str_eq(fake_codes(&f), "250 250 250 354 250");
	ck_assert(slice_is(slice_buf(&f.content), "Subject: x\r\n\r\nNUL\r\n"));
	ck_assert_int_eq(envelope_message(slice_buf(&f.envelope), &e), 0);
	ck_assert(slice_is(e.sender, "alice@test.example"));
	ck_assert_uint_eq(e.uid, 1000);
	ck_assert(!envelope_has(&e, ENVELOPE_CLIENT));
	envelope_rcpts(&e, &it);
	ck_assert_int_eq(envelope_rcpt_next(&it, &r), 1);
	ck_assert(slice_is(r.recipient, "bob@test.example"));
	ck_assert(slice_is(r.original, "bob"));
	fake_say(&f, "MAIL FROM:<>\r\n");
	ck_assert_uint_eq(f.session->tx.sender.n, 0);
	fake_fini(&f);
}
END_TEST

/* The end of the worker: who is idle hears 421 now, who is sending data when it is stored. */
START_TEST(finish)
{
	struct fake f;

	fake_init(&f, CLASS_MX, "");
	fake_say(&f, HELLO);
	if (_i == 1)
		fake_say(&f, MAIL RCPT "DATA\r\n");
	fake_codes(&f);
	session_finish(f.session);
	if (_i == 1) {
		ck_assert_ptr_nonnull(f.session);
		fake_say(&f, "x\r\n.\r\n" MAIL);
		ck_assert_uint_eq(f.committed, 1);
	}
	ck_assert_ptr_null(f.session);
	ck_assert_str_eq(fake_codes(&f), _i == 1 ? "250 421" : "421");
	fake_fini(&f);
}
END_TEST

static uint64_t now_ms = 1000;

static uint64_t
fake_now(void)
{
	return now_ms;
}

START_TEST(session_life)
{
	static const struct clock_source source = { fake_now, fake_now, fake_now };
	struct fake f;

	clock_set_source(&source);
	fake_init(&f, CLASS_MX, "session_time_max = 60s\ncommand_timeout = 40s\n");
	ck_assert_uint_eq(f.deadline_ms, 40000);
	fake_say(&f, HELLO);
	now_ms += 30000;
	fake_say(&f, "NOO"); /* half a command moves no deadline */
	ck_assert_uint_eq(f.deadline_ms, 40000);
	fake_say(&f, "P\r\n");
	ck_assert_uint_eq(f.deadline_ms, 30000);
	now_ms += 30000;
	fake_say(&f, MAIL);
	ck_assert_ptr_null(f.session);
	ck_assert_str_eq(fake_codes(&f), "220 250 250 421");
	fake_fini(&f);
}
END_TEST

#define N(a) (int)(sizeof(a) / sizeof *(a))

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, replies_are_these, 0, N(talks));
	tcase_add_test(tc, cuts_change_nothing);
	tcase_add_test(tc, chunks_are_the_content);
	tcase_add_test(tc, nul_in_command);
	tcase_add_test(tc, large_chunks_are_refused);
	tcase_add_loop_test(tc, nothing_is_smuggled_in, 0, N(ends));
	tcase_add_test(tc, all_short_streams_are_safe);
	tcase_add_loop_test(tc, rcpts_are_asked_together, 0, 2);
	tcase_add_test(tc, no_answer_is_451);
	tcase_add_test(tc, questions_are_forgotten);
	tcase_add_test(tc, ten_thousand_recipients);
	tcase_add_test(tc, recipients_are_stored_once);
	tcase_add_test(tc, errors_end_the_session);
	tcase_add_test(tc, refused_recipients_are_errors);
	tcase_add_test(tc, users_errors_are_not_counted);
	tcase_add_test(tc, junk_ends_the_session);
	tcase_add_test(tc, long_lines_keep_in_step);
	tcase_add_test(tc, endless_line_is_cut);
	tcase_add_test(tc, large_message_is_refused);
	tcase_add_test(tc, mail_loop_is_refused);
	tcase_add_test(tc, no_room_at_mail);
	tcase_add_test(tc, failed_commit_is_not_250);
	tcase_add_test(tc, gone_before_the_commit);
	tcase_add_loop_test(tc, bodies_in_flight_are_bounded, 0, 2);
	tcase_add_test(tc, replies_are_bounded);
	tcase_add_loop_test(tc, one_reset, 0, N(endings));
	tcase_add_test(tc, envelope_holds_all);
	tcase_add_loop_test(
	    tc, priorities_of_those_we_trust, 0, (int)(sizeof priorities / sizeof *priorities));
	tcase_add_test(tc, local_class);
	tcase_add_loop_test(tc, finish, 0, 2);
	tcase_add_test(tc, session_life);
}

CHECK_MAIN("session", cases)
