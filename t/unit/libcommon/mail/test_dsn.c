/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "mail/dsn.h"
#include "mail/header.h"

static struct dsn_rcpt rcpts[1000];

static struct dsn_facts
facts(size_t nrcpt)
{
	for (size_t i = 0; i < nrcpt; i++)
		rcpts[i] = (struct dsn_rcpt){ .final_type = SLICE_LIT("rfc822"),
			.final = SLICE_LIT("a@b.example"),
			.original_type = SLICE_LIT("rfc822"),
			.original = SLICE_LIT("o@b.example"),
			.action = SLICE_LIT("failed"),
			.status = SLICE_LIT("5.1.1"),
			.remote_mta = SLICE_LIT("mx.b.example"),
			.diagnostic = SLICE_LIT("550 5.1.1 no such user"),
			.attempt_ms = UINT64_C(1700000000000) };
	return (struct dsn_facts){ .kind = DSN_FAILED,
		.to = SLICE_LIT("s@x.example"),
		.host = SLICE_LIT("mx.example"),
		.envid = SLICE_LIT("QQ 1"),
		.sender = SLICE_LIT("s@x.example"),
		.id = SLICE_LIT("9KC04ZMXK6PHH"),
		.message_id = SLICE_LIT("<1.2@mx.example>"),
		.boundary = SLICE_LIT("BB"),
		.date = SLICE_LIT("Thu, 1 Jan 1970"),
		.arrival_ms = UINT64_C(1700000000000),
		.rcpts = rcpts,
		.nrcpt = nrcpt,
		.head = SLICE_LIT("Subject: x\r\nTo: y\r\n"),
		.body = SLICE_LIT("\r\nHello.\r\n") };
}

/* Lines in CRLF, none above 998 bytes, no control bytes but tabs. */
static void
check_lines(struct slice s)
{
	size_t line = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '\r') {
			ck_assert(i + 1 < s.n && s.p[i + 1] == '\n');
			ck_assert_uint_le(line, 998);
			line = 0;
			i++;
			continue;
		}
		ck_assert_msg((c >= ' ' && c != 0x7f) || c == '\t', "byte %u at %zu", c, i);
		line++;
	}
	ck_assert_uint_eq(line, 0);
}

static void
round_trip(const struct dsn_facts *f, struct buf *out, struct arena *a, struct dsn *d,
    struct dsn_made *made)
{
	dsn_print(out, f, made);
	check_lines(slice_buf(out));
	ck_assert(dsn_read(slice_buf(out), a, d));
	ck_assert_uint_eq(d->nrcpt, f->nrcpt);
}

START_TEST(what_is_written_is_read)
{
	struct dsn_facts f = facts(2);
	struct header_summary head;
	struct buf out = { 0 };
	struct arena a = { 0 };
	struct dsn_made made;
	struct dsn d;

	round_trip(&f, &out, &a, &d, &made);
	header_scan(slice_buf(&out), 0, &head);
	ck_assert_uint_eq(head.bytes, made.head_bytes);
	ck_assert(head.ended && !made.eight_bit);
	ck_assert(slice_is(d.reporting_mta, "mx.example") && slice_is(d.envid, "QQ 1"));
	ck_assert(slice_is(d.rcpts[1].final, "a@b.example") &&
		  slice_is(d.rcpts[1].original, "o@b.example"));
	ck_assert(slice_is(d.rcpts[1].action, "failed") && slice_is(d.rcpts[1].status, "5.1.1"));
	ck_assert(slice_is(d.rcpts[1].remote_mta, "mx.b.example"));
	ck_assert(slice_is(d.rcpts[1].diagnostic, "550 5.1.1 no such user"));
	ck_assert(slice_istarts(d.returned, "Subject: x\r\nTo: y\r\n\r\nHello."));
	buf_fini(&out);
	arena_fini(&a);
}
END_TEST

/* Folding keeps the words apart. */
START_TEST(long_texts_are_folded)
{
	static const char text[] =
	    "550 5.7.1 one two three four five six seven eight nine ten eleven twelve thirteen "
	    "fourteen fifteen sixteen seventeen eighteen nineteen twenty twenty-one twenty-two";
	struct dsn_facts f = facts(1);
	struct buf out = { 0 };
	struct arena a = { 0 };
	struct dsn_made made;
	struct dsn d;
	struct slice s;
	size_t at = 0;

	rcpts[0].diagnostic = slice_z(text);
	round_trip(&f, &out, &a, &d, &made);
	s = d.rcpts[0].diagnostic;
	for (size_t i = 0; i < s.n; i++) /* a fold's blanks stand for one */
		if (i == 0 || s.p[i] != ' ' || s.p[i - 1] != ' ')
			ck_assert_int_eq(s.p[i], text[at++]);
	ck_assert_uint_eq(at, strlen(text));
	buf_fini(&out);
	arena_fini(&a);
}
END_TEST

START_TEST(many_recipients)
{
	struct dsn_facts f = facts(1000);
	struct buf out = { 0 };
	struct arena a = { 0 };
	struct dsn_made made;
	struct dsn d;

	round_trip(&f, &out, &a, &d, &made);
	ck_assert(slice_is(d.rcpts[999].final, "a@b.example"));
	buf_fini(&out);
	arena_fini(&a);
}
END_TEST

/* Texts of strangers: long words, controls, bytes that are no UTF-8, line ends, a boundary. */
START_TEST(hostile_texts)
{
	static char word[5000], line[3000];
	static const char odd[] = "550 \xfc\xdf\x01\x7f\r\nX-Evil: 1\r\n\r\n--BB--\t\0.";
	struct dsn_facts f = facts(3);
	struct buf out = { 0 }, head = { 0 };
	struct arena a = { 0 };
	struct dsn_made made;
	struct dsn d;

	memset(word, 'w', sizeof word);
	memset(line, 'h', sizeof line);
	rcpts[0].diagnostic = slice_of(odd, sizeof odd - 1);
	rcpts[1].diagnostic = slice_of(word, sizeof word);
	rcpts[2].remote_mta = slice_of(odd, sizeof odd - 1);
	rcpts[2].final = slice_of(word, 300);
	f.envid = f.received_from = slice_of(odd, sizeof odd - 1);
	buf_puts(&head, "Subject: \xfc\xdf\x01\r\nX-Long: ");
	buf_put(&head, line, sizeof line);
	buf_puts(&head, "\r\n");
	f.head = slice_buf(&head);
	f.body = slice_of(line, sizeof line); /* without an end, and too long: left out */
	round_trip(&f, &out, &a, &d, &made);
	ck_assert(made.eight_bit);
	ck_assert(memmem(out.p, out.n, "text/rfc822-headers", 19) != NULL);
	ck_assert(memmem(out.p, out.n, "Content-Transfer-Encoding: 8bit", 31) != NULL);
	ck_assert_uint_eq(d.rcpts[2].final.n, 300);
	ck_assert(memmem(out.p, out.n, "\r\nX-Evil", 8) == NULL);
	buf_fini(&head);
	buf_fini(&out);
	arena_fini(&a);
}
END_TEST

/* RFC 6533: as it is where the reader takes UTF-8, else in \x{...}. */
START_TEST(addresses_that_are_not_ascii)
{
	struct dsn_facts f = facts(1);
	struct buf out = { 0 };
	struct arena a = { 0 };
	struct dsn_made made;
	struct dsn d;

	rcpts[0].final = SLICE_LIT("j\xc3\xbcrgen@b.example");
	round_trip(&f, &out, &a, &d, &made);
	ck_assert(slice_is(d.rcpts[0].final, "j\\x{FC}rgen@b.example") &&
		  slice_is(d.rcpts[0].final_type, "utf-8"));
	buf_reset(&out);
	f.utf8 = true;
	round_trip(&f, &out, &a, &d, &made);
	ck_assert(slice_is(d.rcpts[0].final, "j\xc3\xbcrgen@b.example"));
	ck_assert(memmem(out.p, out.n, "message/global-delivery-status", 30) != NULL);
	buf_fini(&out);
	arena_fini(&a);
}
END_TEST

static const struct {
	const char *text, *final, *status; /* final NULL: no report */
} foreign[] = {
	{ "", NULL, NULL },
	{ "Subject: x\n\nbody\n", NULL, NULL },
	{ "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: "
	  "message/delivery-status\n\nReporting-MTA: dns; x\n\n"
	  "Final-Recipient: rfc822; <a@b>\nStatus: 5.1.1 (bad)\n\n--b--\n",
	    "a@b", "5.1.1" },
	{ "Content-Type: MULTIPART/Report;\n boundary=\"b c\"; "
	  "report-type=delivery-status\n\npre\n--b c\n\ntext\n--b c\n"
	  "content-type: Message/Delivery-Status\n\nfinal-recipient: RFC822;a@b\nstatus:4.0.0\n",
	    "a@b", "4.0.0" },
	{ "Content-Type: message/delivery-status\n\nReporting-MTA: dns;x\n\nno "
	  "field\nFinal-Recipient: a@b\nStatus: 5.0.0\n",
	    "a@b", "5.0.0" },
	{ "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/report; "
	  "boundary=i\n\n--i\n"
	  "Content-Type: message/delivery-status\n\nA: b\n\nFinal-Recipient: rfc822;a@b\nStatus: "
	  "5.7.1\n--i--\n--o--\n",
	    "a@b", "5.7.1" },
	{ "From x Mon Jan  1\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; "
	  "a@b\nStatus: 5.2.2\n"
	  "Final-Recipient: rfc822; c@d\nStatus: 5.1.1\n",
	    "a@b", "5.2.2" },
	{ "Content-Type: multipart/report; boundary=\n\n--\nContent-Type: "
	  "message/delivery-status\n\nFinal-Recipient: x;y\n",
	    NULL, NULL },
};

START_TEST(reports_of_others)
{
	struct arena a = { 0 };
	struct dsn d;
	bool got = dsn_read(slice_z(foreign[_i].text), &a, &d);

	ck_assert(got == (foreign[_i].final != NULL));
	if (got) {
		ck_assert_msg(slice_is(d.rcpts[0].final, foreign[_i].final), "%.*s",
		    SLICE_ARG(d.rcpts[0].final));
		ck_assert(slice_is(d.rcpts[0].status, foreign[_i].status));
	}
	arena_fini(&a);
}
END_TEST

/* Groups without a line between them; types, and words behind the code. */
START_TEST(all_of_a_report)
{
	static const char text[] =
	    "Content-Type: message/delivery-status\n\nOriginal-Recipient: rfc822;x+2By@b\n"
	    "Final-Recipient: rfc822; a@b\nStatus: 5.1.1 (bad)\nRemote-MTA: dns; "
	    "mx\nDiagnostic-Code: smtp; 550 no\n"
	    "Original-Recipient: rfc822;z@b\nFinal-Recipient: x400; c\nStatus: 4.0.0\n";
	struct arena a = { 0 };
	struct dsn d;

	ck_assert(dsn_read(slice_z(text), &a, &d));
	ck_assert_uint_eq(d.nrcpt, 2);
	ck_assert(slice_is(d.rcpts[0].original, "x+y@b") &&
		  slice_is(d.rcpts[0].status_text, "5.1.1 (bad)"));
	ck_assert(slice_is(d.rcpts[0].remote_type, "dns") &&
		  slice_is(d.rcpts[0].diagnostic_type, "smtp"));
	ck_assert(slice_is(d.rcpts[1].original, "z@b") && slice_is(d.rcpts[1].final_type, "x400"));
	arena_fini(&a);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, all_of_a_report);
	tcase_add_test(tc, what_is_written_is_read);
	tcase_add_test(tc, long_texts_are_folded);
	tcase_add_test(tc, many_recipients);
	tcase_add_test(tc, hostile_texts);
	tcase_add_test(tc, addresses_that_are_not_ascii);
	tcase_add_loop_test(tc, reports_of_others, 0, sizeof foreign / sizeof *foreign);
}
CHECK_MAIN("dsn", cases)
