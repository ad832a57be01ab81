/* SPDX-License-Identifier: ISC */
#include "ctl/submit_message.h"

#include "ctl/sendmail_options.h"
#include "ctl/submit_text.h"
#include "t/unit/check_main.h"

#include <stdio.h>

#define DATE "Date: Thu, 13 Feb 2020 10:11:12 +0100\r\n"
#define ID "Message-ID: <*@o.example>\r\n"
#define FROM "From: Alice Doe <alice@o.example>\r\n"
#define ALICE "alice@o.example"

/*
 * Rows: a command line as programs are known to write it, what they pipe in, and what comes of it.
 * "*" in `message` stands for the unique part of the id. The caller is alice, "Alice Doe", at
 * o.example.
 */
static const struct {
	const char *argv[12]; /* behind the program's name */
	const char *in;
	const char *sender, *rcpt, *bad; /* lists parted by blanks */
	const char *message;
} rows[] = {
	/* cron */
	{ { "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root" },
	    "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@h> x\n\nout\n", ALICE,
	    "root@o.example", "",
	    "From: root@o.example (Cron Daemon)\r\nTo: root@o.example\r\n"
	    "Subject: Cron <root@h> x\r\n" DATE ID "\r\nout\r\n" },
	/* anacron */
	{ { "-FAnacron", "-odi", "root" }, "Subject: a\n\nb\n", ALICE, "root@o.example", "",
	    "Subject: a\r\n" DATE "From: Anacron <alice@o.example>\r\n" ID "\r\nb\r\n" },
	/* mdadm, sudo: the dot is not protected */
	{ { "-t" }, "From: mdadm\nTo: root\nSubject: s\n\nbody\n.\nlost\n", ALICE, "root@o.example",
	    "",
	    "From: mdadm@o.example\r\nTo: root@o.example\r\nSubject: s\r\n" DATE ID
	    "\r\nbody\r\n" },
	/* logwatch, unattended-upgrades; mailx with a sender */
	{ { "-oi", "-t" }, "To: a@x.org\nFrom: b@x.org\n\n.\n", ALICE, "a@x.org", "",
	    "To: a@x.org\r\nFrom: b@x.org\r\n" DATE ID "\r\n.\r\n" },
	{ { "-i", "-t", "-f", "root" }, "To: a@x.org\nFrom: b@x.org\n\n", "root@o.example",
	    "a@x.org", "", "To: a@x.org\r\nFrom: b@x.org\r\n" DATE ID "\r\n" },
	/* s-nail: no From */
	{ { "-i", "-f", "q@x.org", "--", "bob" }, "Subject: s\n\nx\n", "q@x.org", "bob@o.example",
	    "", "Subject: s\r\n" DATE "From: Alice Doe <q@x.org>\r\n" ID "\r\nx\r\n" },
	/* mutt */
	{ { "-oem", "-oi", "-f", "q@x.org", "-N", "failure,delay", "-R", "hdrs", "--", "a@x", "b@x",
	      "c@x" },
	    "From: q@x.org\nDate: d\nMessage-ID: <i@x>\n\n", "q@x.org", "a@x b@x c@x", "",
	    "From: q@x.org\r\nDate: d\r\nMessage-ID: <i@x>\r\n\r\n" },
	/* php: CR LF in the header, LF in the body, a blind copy */
	{ { "-t", "-i", "-fq@x.org" },
	    "To: a@x.org\r\nSubject: s\r\nFrom: w@x.org\r\nBcc: b@x.org,\r\n c@x.org\r\n\r\nl1\nl2",
	    "q@x.org", "a@x.org b@x.org c@x.org", "",
	    "To: a@x.org\r\nSubject: s\r\nFrom: w@x.org\r\n" DATE ID "\r\nl1\r\nl2\r\n" },
	/* git send-email */
	{ { "-f", "q@x.org", "-i", "a@x.org", "b@x.org" },
	    "From: Q <q@x.org>\nTo: a@x.org\nDate: d\nMessage-Id: <1>\n\n..z\n", "q@x.org",
	    "a@x.org b@x.org", "",
	    "From: Q <q@x.org>\r\nTo: a@x.org\r\nDate: d\r\nMessage-Id: <1>\r\n\r\n..z\r\n" },
	/* maildrop, RT: the null sender */
	{ { "-oi", "-f", "", "b@x.org" }, "Subject: s\n\n", "", "b@x.org", "",
	    "Subject: s\r\n" DATE "From: Mail Delivery System <MAILER-DAEMON@o.example>\r\n" ID
	    "\r\n" },
	{ { "-oi", "-t", "-f", "<>" }, "To: b@x.org\nFrom: c@x.org\n\n", "", "b@x.org", "",
	    "To: b@x.org\r\nFrom: c@x.org\r\n" DATE ID "\r\n" },
	/* vacation: no empty line; procmail: an mbox line in front */
	{ { "-f", "alice", "--", "b@x.org" }, "Subject: away\nI am away.\n", ALICE, "b@x.org", "",
	    "Subject: away\r\n" DATE FROM ID "\r\nI am away.\r\n" },
	{ { "-oi", "b@x.org" }, "From u@x Thu Feb 13\nFrom: u@x.org\n\n", ALICE, "b@x.org", "",
	    "From: u@x.org\r\n" DATE ID "\r\n" },
	/* sympa, rmail's own call */
	{ { "-oi", "-odi", "-oem", "-N", "success", "-Vid", "-f", "l@x.org", "--", "b@x.org" },
	    "From: u@x.org\nDate: d\nMessage-ID: <1@x>\n\n", "l@x.org", "b@x.org", "",
	    "From: u@x.org\r\nDate: d\r\nMessage-ID: <1@x>\r\n\r\n" },
	{ { "-G", "-oee", "-odi", "-pUUCP:h", "-fh!u", "b@x.org" }, "To: bob\nBcc: x\n\nt\n",
	    "h!u@o.example", "b@x.org", "", "To: bob\r\n\r\nt\r\n" },
	/* no header at all; a header that ends in a line that is none */
	{ { "-i", "bob" }, "hello world\nx\n", ALICE, "bob@o.example", "",
	    DATE FROM ID "\r\nhello world\r\nx\r\n" },
	{ { "-i", "bob" }, "\nhello\n", ALICE, "bob@o.example", "", DATE FROM ID "\r\nhello\r\n" },
	{ { "-i", "bob" }, "", ALICE, "bob@o.example", "", DATE FROM ID "\r\n" },
	/* blind copies go without -t too; so do fields that the final delivery writes */
	{ { "-i", "a@x.org" },
	    "From: f@x.org\nBcc: secret@x.org\nResent-Bcc: s2@x.org\nReturn-Path: <r@x>\n"
	    "Content-Length: 5\nDate: d\nMessage-ID: <1>\n\n",
	    ALICE, "a@x.org", "",
	    "Resent-" DATE "Resent-" FROM "Resent-" ID
	    "From: f@x.org\r\nDate: d\r\nMessage-ID: <1>\r\n\r\n" },
	/* command line and header are added, each once */
	{ { "-t", "-i", "bob", "ALICE@O.Example", "alice@O.EXAMPLE" },
	    "From: x@y\nDate: d\nMessage-ID: <1>\nTo: alice\nCc: bob@o.example\n\n", ALICE,
	    "alice@o.example bob@o.example ALICE@O.Example", "",
	    "From: x@y\r\nDate: d\r\nMessage-ID: <1>\r\nTo: alice@o.example\r\n"
	    "Cc: bob@o.example\r\n\r\n" },
	/* only the resent fields count where there are such */
	{ { "-t", "-i" }, "To: x\nFrom: a@b\nDate: d\nMessage-ID: <1>\nResent-To: alice\n\n", ALICE,
	    ALICE, "",
	    "Resent-" DATE "Resent-" FROM "Resent-" ID
	    "To: x@o.example\r\nFrom: a@b\r\nDate: d\r\nMessage-ID: <1>\r\n"
	    "Resent-To: alice@o.example\r\n\r\n" },
	/* groups, comments, quotes, folding, bad ones among good ones */
	{ { "-t", "-i" },
	    "From: a@b\nDate: d\nMessage-ID: <1>\nTo: undisclosed-recipients:;\n"
	    "Cc: team: bob (the, builder), \"Doe, J\" <j@x.org>;,\n\t<carol>\n\n",
	    ALICE, "bob@o.example j@x.org carol@o.example", "",
	    "From: a@b\r\nDate: d\r\nMessage-ID: <1>\r\nTo: undisclosed-recipients:;\r\n"
	    "Cc: team: bob@o.example (the, builder), \"Doe, J\" <j@x.org>;,\r\n"
	    "\t<carol@o.example>\r\n\r\n" },
	{ { "-t", "-i" }, "From: a@b\nDate: d\nMessage-ID: <1>\nTo: x@@y, bob@x.org\n\n", ALICE,
	    "bob@x.org", "x@@y",
	    "From: a@b\r\nDate: d\r\nMessage-ID: <1>\r\nTo: x@@y, bob@x.org\r\n\r\n" },
	/* each word is a list */
	{ { "-i", "a@x, b@x", "Name <c@x>", "d@x" }, "From: a@b\nDate: d\nMessage-ID: <1>\n\n",
	    ALICE, "a@x b@x c@x d@x", "", "From: a@b\r\nDate: d\r\nMessage-ID: <1>\r\n\r\n" },
};

/* "*" matches what a Message-ID's left side may be. */
static bool
matches(const char *pattern, struct slice s)
{
	size_t at = 0;

	for (; *pattern != '\0'; pattern++) {
		if (*pattern == '*') {
			size_t start = at;

			while (at < s.n &&
			       (ascii_alpha(s.p[at]) || ascii_digit(s.p[at]) || s.p[at] == '.'))
				at++;
			if (at == start)
				return false;
			continue;
		}
		if (at == s.n || s.p[at++] != *pattern)
			return false;
	}
	return at == s.n;
}

static void
join(struct buf *out, const struct slice *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_putc(out, ' ');
		buf_slice(out, list[i]);
	}
}

struct run {
	struct buf lines, message, rcpt, bad;
	struct submit_message m;
	enum submit_verdict verdict;
};

static void
run_row(const char *const *argv, const char *in, bool sure, struct run *r)
{
	struct slice words[16];
	struct sendmail_options o;
	struct submit_rules rules = { .complete = true,
		.origin_sure = sure,
		.origin = SLICE_LIT("o.example"),
		.login = SLICE_LIT("alice"),
		.name = SLICE_LIT("Alice Doe"),
		.words = words,
		.wall_us = 1581585072000000,
		.zone_min = 60,
		.unique = 42 };
	struct submit_text t = { 0 };
	char *args[16] = { (char[]){ "sendmail" } };
	char why[200];
	int argc = 1;

	*r = (struct run){ 0 };
	for (; argv[argc - 1] != NULL && argc < 13; argc++)
		args[argc] = slice_dup(slice_z(argv[argc - 1]));
	ck_assert_msg(sendmail_options_parse(argc, args, &o, why, sizeof why) == 0, "%s", why);
	t.dots_literal = o.dots_literal;
	submit_text_feed(&t, slice_z(in), &r->lines);
	submit_text_end(&t, &r->lines);
	submit_text_fini(&t);
	rules.extract = o.extract;
	rules.complete = !o.gateway;
	rules.sender_given = o.sender_given;
	rules.sender = slice_z(o.sender);
	if (o.name != NULL)
		rules.name = slice_z(o.name);
	for (int i = 0; i < o.n_words; i++)
		words[rules.n_words++] = slice_z(o.words[i]);
	r->verdict = submit_message_build(slice_buf(&r->lines), &rules, &r->m);
	buf_slice(&r->message, slice_buf(&r->m.header));
	buf_slice(&r->message, r->m.body);
	join(&r->rcpt, r->m.rcpt, r->m.n_rcpt);
	join(&r->bad, r->m.bad, r->m.n_bad);
	for (int i = 1; i < argc; i++)
		free(args[i]);
}

static void
run_fini(struct run *r)
{
	submit_message_fini(&r->m);
	buf_fini(&r->lines);
	buf_fini(&r->message);
	buf_fini(&r->rcpt);
	buf_fini(&r->bad);
}

START_TEST(callers)
{
	struct run r;

	run_row(rows[_i].argv, rows[_i].in, true, &r);
	ck_assert_int_eq(r.verdict, SUBMIT_OK);
	ck_assert_msg(
	    slice_is(r.m.sender, rows[_i].sender), "row %d: %.*s", _i, SLICE_ARG(r.m.sender));
	ck_assert_msg(slice_is(slice_buf(&r.rcpt), rows[_i].rcpt), "row %d: %.*s", _i,
	    SLICE_ARG(slice_buf(&r.rcpt)));
	ck_assert_msg(slice_is(slice_buf(&r.bad), rows[_i].bad), "row %d: %.*s", _i,
	    SLICE_ARG(slice_buf(&r.bad)));
	ck_assert_msg(matches(rows[_i].message, slice_buf(&r.message)), "row %d: %.*s", _i,
	    SLICE_ARG(slice_buf(&r.message)));
	ck_assert(!r.m.eight_bit && !r.m.utf8);
	run_fini(&r);
}
END_TEST

static const struct {
	const char *argv[4], *in;
	enum submit_verdict verdict;
} verdicts[] = {
	{ { "-t" }, "", SUBMIT_NO_RECIPIENT },
	{ { "-t" }, "To: undisclosed-recipients:;\n\n", SUBMIT_NO_RECIPIENT },
	{ { "-t" }, "Subject: x\n\nTo: bob\n", SUBMIT_NO_RECIPIENT },
	{ { "-t" }, "To: x\nResent-Bcc: group:;\n\n", SUBMIT_NO_RECIPIENT },
	{ { "-t" }, "To: a b c@@\n\n", SUBMIT_ALL_BAD },
	{ { "<>" }, "", SUBMIT_ALL_BAD },
	{ { "a\nb@x" }, "", SUBMIT_ALL_BAD },
	{ { "-f", "a@@b", "c" }, "", SUBMIT_BAD_SENDER },
	{ { "-f", "a@b, c@d", "c" }, "", SUBMIT_BAD_SENDER },
	{ { "-f", "a@b> SIZE=1\r\nRCPT TO:<x@y", "c" }, "", SUBMIT_BAD_SENDER },
	{ { "-f", "  <> ", "c" }, "", SUBMIT_OK },
};

START_TEST(verdicts_given)
{
	struct run r;

	run_row(verdicts[_i].argv, verdicts[_i].in, true, &r);
	ck_assert_int_eq(r.verdict, verdicts[_i].verdict);
	run_fini(&r);
}
END_TEST

/* While smtpd cannot be asked the envelope stays as it is; the header gets the best guess. */
START_TEST(unsure_origin)
{
	struct run r;

	run_row((const char *[]){ "-t", "bob", NULL }, "To: carol\n\n", false, &r);
	ck_assert_int_eq(r.verdict, SUBMIT_OK);
	ck_assert(slice_is(r.m.sender, "alice") && r.m.sender_bare);
	ck_assert(slice_is(slice_buf(&r.rcpt), "carol bob"));
	ck_assert(matches("To: carol@o.example\r\n" DATE FROM ID "\r\n", slice_buf(&r.message)));
	run_fini(&r);
}
END_TEST

START_TEST(beyond_ascii)
{
	struct run r;

	run_row((const char *[]){ "-i", "gr\xc3\xbc\xc3\x9f\x65@x.org", NULL },
	    "From: a@b\n\n\xe4\n", true, &r);
	ck_assert_int_eq(r.verdict, SUBMIT_OK);
	ck_assert(r.m.utf8 && r.m.eight_bit);
	run_fini(&r);
}
END_TEST

/* Linear in recipients, and no two alike; a long header and long lines pass whole. */
START_TEST(many_recipients)
{
	struct buf in = { 0 };
	struct run r;

	buf_puts(&in, "From: a@b\nTo: r0@x.org");
	for (int i = 1; i < 20000; i++)
		buf_printf(&in, ",\n r%d@x.org, r%d@X.ORG", i, i / 2);
	buf_puts(&in, "\nX-Long: ");
	memset(buf_room(&in, 200000), 'x', 200000);
	in.n += 200000;
	buf_puts(&in, "\n\n");
	buf_putc(&in, '\0');
	run_row((const char *[]){ "-t", "-i", NULL }, in.p, true, &r);
	ck_assert_int_eq(r.verdict, SUBMIT_OK);
	ck_assert_uint_eq(r.m.n_rcpt, 20000);
	ck_assert_uint_gt(r.message.n, 200000);
	run_fini(&r);
	buf_fini(&in);
}
END_TEST

/* Whoever is not named is not looked up. */
static const struct {
	const char *text;
	bool sender_given, complete, named;
} named[] = {
	{ "From: a@b.example\r\n\r\n", true, true, false },
	{ "from: a@b.example\r\n\r\n", true, true, false },
	{ "From: a@b.example\r\n\r\n", false, true, true },
	{ "To: a@b.example\r\n\r\nFrom: in the body\r\n", true, true, true },
	{ "To: a@b.example\r\n\r\n", true, false, false },
	{ "To: a@b.example\r\n\r\n", false, false, true },
	{ "From: a@b.example\r\nResent-To: c@d.example\r\n\r\n", true, true, true },
	{ "Resent-From: a@b.example\r\nFrom: a@b.example\r\n\r\n", true, true, false },
	{ "", true, true, true },
};

START_TEST(caller_is_named)
{
	struct submit_rules r = { .sender_given = named[_i].sender_given,
		.complete = named[_i].complete };

	ck_assert(submit_message_names_caller(slice_z(named[_i].text), &r) == named[_i].named);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, caller_is_named, 0, sizeof named / sizeof *named);
	tcase_add_loop_test(tc, callers, 0, sizeof rows / sizeof *rows);
	tcase_add_loop_test(tc, verdicts_given, 0, sizeof verdicts / sizeof *verdicts);
	tcase_add_test(tc, unsure_origin);
	tcase_add_test(tc, beyond_ascii);
	tcase_add_test(tc, many_recipients);
}
CHECK_MAIN("submit_message", cases)
