/* SPDX-License-Identifier: ISC */
/* Events and the exact lines they become; and whatever an event holds, lines stay lines. */
#include "../check_main.h"

#include "base/id.h"
#include "logd/maillog.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ID 0x123456789abcdULL
#define QID "000D3HB9FL911"

static struct buf got;
static struct maillog lines;

static void
on_line(void *arg, const struct mailline *line)
{
	static const struct mailline_head head = { "host", "postfix", false };
	struct buf b = { 0 };

	(void)arg;
	mailline_put(&b, &head, line);
	buf_slice(&got, slice_from(slice_buf(&b), sizeof "Nov 21 14:05:09 " - 1));
	buf_fini(&b);
}

static void
setup(void)
{
	setenv("TZ", "UTC", 1);
	tzset();
	log_open(SERVICE_SMTPD);
	buf_reset(&got);
	lines = (struct maillog){ .out = on_line };
}

static void
teardown(void)
{
	uint64_t lost;

	maillog_fini(&lines);
	log_sent(log_pending(&lost).n, 0);
}

static void
addr(enum log_key key, const char *v4, uint16_t port)
{
	uint8_t a[16] = { [10] = 0xff, [11] = 0xff };

	memcpy(a + 12, v4, 4);
	log_addr(key, a, port);
}

static void
client(void)
{
	addr(LOGK_CLIENT, "\xc0\x00\x02\x07", 40000);
}

/* What was said becomes lines; the pid, which is ours, becomes 7. */
static const char *
become(enum service from)
{
	struct log_record r;
	struct slice in;
	uint64_t lost;

	buf_reset(&got);
	in = log_pending(&lost);
	while (log_record_next(&in, &r)) {
		ck_assert(log_record_valid(&r));
		r.pid = 7;
		maillog_event(&lines, from, &r);
	}
	log_sent(log_pending(&lost).n, lost);
	buf_putc(&got, '\0');
	return got.p;
}

START_TEST(sessions)
{
	log_begin(LOG_CONNECT);
	client();
	log_end();
	ck_assert_str_eq(
	    become(SERVICE_SMTPD), "host postfix/smtpd[7]: connect from unknown[192.0.2.7]\n");
	log_begin(LOG_CONNECT);
	log_u64(LOGK_UID, 0);
	log_end();
	ck_assert_str_eq(become(SERVICE_SMTPD), ""); /* a user of this host */
	log_begin(LOG_DISCONNECT);
	client();
	log_z(LOGK_DETAIL, "ehlo=1 quit=1 commands=2");
	log_end();
	ck_assert_str_eq(become(SERVICE_SMTPD),
	    "host postfix/smtpd[7]: disconnect from unknown[192.0.2.7] ehlo=1 quit=1 commands=2\n");
	log_begin(LOG_DISCONNECT);
	client();
	log_z(LOGK_REASON, "lost connection");
	log_z(LOGK_VERB, "RCPT");
	log_z(LOGK_DETAIL, "rcpt=0/2 commands=0/2");
	log_end();
	ck_assert_str_eq(become(SERVICE_SMTPD),
	    "host postfix/smtpd[7]: lost connection after RCPT from unknown[192.0.2.7]\n"
	    "host postfix/smtpd[7]: disconnect from unknown[192.0.2.7] rcpt=0/2 commands=0/2\n");
}
END_TEST

static void
reject(const char *verb, const char *text, uint64_t code)
{
	log_begin(LOG_REJECT);
	client();
	log_z(LOGK_HELO, "c.example");
	log_z(LOGK_PROTO, "ESMTP");
	log_z(LOGK_FROM, "a@x");
	log_z(LOGK_TO, "b@y");
	log_z(LOGK_VERB, verb);
	if (code != 0)
		log_u64(LOGK_CODE, code);
	log_z(LOGK_TEXT, text);
	log_end();
}

START_TEST(refusals)
{
	reject("RCPT", "554 5.7.1 Relay access denied", 0);
	ck_assert_str_eq(become(SERVICE_SMTPD),
	    "host postfix/smtpd[7]: NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 554 5.7.1 "
	    "<b@y>: "
	    "Relay access denied; from=<a@x> to=<b@y> proto=ESMTP helo=<c.example>\n");
	reject("RCPT", "450 Not now", 0);
	ck_assert_str_eq(become(SERVICE_SMTPD),
	    "host postfix/smtpd[7]: NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 450 <b@y>: "
	    "Not now; from=<a@x> to=<b@y> proto=ESMTP helo=<c.example>\n");
	reject("RCPT", "421 4.7.0 host has seen too many errors", 421);
	ck_assert_str_eq(become(SERVICE_SMTPD), ""); /* told when it ends */
	log_begin(LOG_REJECT);
	client();
	log_z(LOGK_VERB, "CONNECT");
	log_u64(LOGK_CODE, 421);
	log_z(LOGK_TEXT, "421 4.7.0 too many");
	log_end();
	ck_assert_str_eq(become(SERVICE_SMTPD),
	    "host postfix/smtpd[7]: NOQUEUE: reject: CONNECT from unknown[192.0.2.7]: "
	    "421 4.7.0 too many; proto=SMTP\n");
}
END_TEST

static void
received(bool by_user)
{
	log_begin(LOG_RECEIVED);
	log_id(ID);
	if (by_user)
		log_u64(LOGK_UID, 1000);
	else
		client();
	log_z(LOGK_FROM, "a@x");
	log_u64(LOGK_NRCPT, 2);
	log_u64(LOGK_SIZE, 345);
	if (!by_user)
		log_z(LOGK_MSGID, "<m@x>");
	log_end();
}

START_TEST(messages)
{
	received(false);
	ck_assert_str_eq(become(SERVICE_SMTPD),
	    "host postfix/smtpd[7]: " QID ": client=unknown[192.0.2.7]\n"
	    "host postfix/cleanup[7]: " QID ": message-id=<m@x>\n"
	    "host postfix/qmgr[7]: " QID ": from=<a@x>, size=345, nrcpt=2 (queue active)\n");
	lines.qmgr_pid = 9;
	received(true);
	ck_assert_str_eq(become(SERVICE_SMTPD),
	    "host postfix/pickup[7]: " QID ": uid=1000 from=<a@x>\n"
	    "host postfix/cleanup[7]: " QID ": message-id=<>\n"
	    "host postfix/qmgr[9]: " QID ": from=<a@x>, size=345, nrcpt=2 (queue active)\n");
	log_begin(LOG_NOTICE);
	log_id(ID);
	log_u64(LOGK_OF, 1);
	log_z(LOGK_KIND, "delayed");
	log_z(LOGK_MSGID, "<n@x>");
	log_u64(LOGK_SIZE, 9);
	log_u64(LOGK_NRCPT, 3); /* it speaks of three, to one */
	log_end();
	ck_assert_str_eq(become(SERVICE_BOUNCED),
	    "host postfix/cleanup[7]: " QID ": message-id=<n@x>\n"
	    "host postfix/qmgr[9]: " QID ": from=<>, size=9, nrcpt=1 (queue active)\n"
	    "host postfix/bounce[7]: 0000000000001: sender delay notification: " QID "\n");
	log_begin(LOG_DONE);
	log_id(ID);
	log_end();
	log_begin(LOG_HELD);
	log_id(ID);
	log_z(LOGK_REASON, "look");
	log_end();
	ck_assert_str_eq(become(SERVICE_QMGR),
	    "host postfix/qmgr[7]: " QID ": removed\n"
	    "host postfix/postsuper[7]: " QID ": placed on hold\n");
}
END_TEST

struct delivery {
	const char *status, *transport, *relay, *text, *phase;
	uint64_t code;
	uint8_t enh[3];
	bool orig;
	const char *line; /* behind its id */
};

static const struct delivery deliveries[] = {
	{ "sent", "smtp", "mx.y", "2.0.0 Ok", "dot", 250, { 2, 0, 0 }, true,
	    "to=<b@y>, orig_to=<o@y>, relay=mx.y[192.0.2.9]:25, conn_use=2, delay=0.97, "
	    "delays=0/0.5/0.27/0.2, dsn=2.0.0, status=sent (250 2.0.0 Ok)" },
	{ "deferred", "smtp", "mx.y", "4.2.2 Full", "rcpt", 452, { 4, 2, 2 }, false,
	    "to=<b@y>, relay=mx.y[192.0.2.9]:25, conn_use=2, delay=0.97, delays=0/0.5/0.27/0.2, "
	    "dsn=4.2.2, status=deferred (host mx.y[192.0.2.9] said: 452 4.2.2 Full "
	    "(in reply to RCPT TO command))" },
	{ "bounced", "smtp", "mx.y", "5.0.0 No", "banner", 554, { 5, 0, 0 }, false,
	    "to=<b@y>, relay=mx.y[192.0.2.9]:25, conn_use=2, delay=0.97, delays=0/0.5/0.27/0.2, "
	    "dsn=5.0.0, status=bounced (host mx.y[192.0.2.9] refused to talk to me: 554 5.0.0 "
	    "No)" },
	{ "deferred", "smtp", NULL, "no such host", "connect", 0, { 4, 4, 3 }, false,
	    "to=<b@y>, relay=none, delay=0.97, delays=0/0.5/0.27/0.2, dsn=4.4.3, "
	    "status=deferred (no such host)" },
	{ "sent", "local", NULL, "delivered to maildir", "local", 0, { 0, 0, 0 }, false,
	    "to=<b@y>, relay=local, delay=0.97, delays=0/0.5/0.27/0.2, dsn=2.0.0, "
	    "status=sent (delivered to maildir)" },
	{ "dropped", "", NULL, "by rule", "none", 0, { 0, 0, 0 }, false,
	    "to=<b@y>, relay=none, delay=0.97, delays=0/0.5/0.27/0.2, dsn=2.0.0, "
	    "status=sent (by rule)" },
};

static void
common(const struct delivery *d, enum log_event event)
{
	log_begin(event);
	log_id(ID);
	log_z(LOGK_TO, "b@y");
	log_z(LOGK_FROM, "a@x");
	if (d->orig)
		log_z(LOGK_ORIG_TO, "o@y");
	if (d->relay != NULL) {
		log_z(LOGK_RELAY, d->relay);
		addr(LOGK_ADDR, "\xc0\x00\x02\x09", 25);
		log_u64(LOGK_CONN_USE, 2);
	}
	if (d->code != 0)
		log_u64(LOGK_CODE, d->code);
	if (d->enh[0] != 0)
		log_enh(d->enh);
	log_z(LOGK_TEXT, d->text);
	log_u64(LOGK_DELAY, 973);
	log_z(LOGK_DELAYS, "0/0.5/0.27/0.2");
}

START_TEST(attempts)
{
	static const char *const agents[] = { "smtp", "smtp", "smtp", "smtp", "local", "discard" };
	const struct delivery *d = &deliveries[_i];
	struct buf want = { 0 };

	common(d, LOG_ATTEMPT);
	log_z(LOGK_STATUS, d->status);
	log_z(LOGK_PHASE, d->phase);
	log_z(LOGK_TRANSPORT, d->transport);
	log_end();
	buf_printf(&want, "host postfix/%s[7]: " QID ": %s\n%c", agents[_i], d->line, '\0');
	ck_assert_str_eq(become(SERVICE_QMGR), want.p);
	buf_fini(&want);
	/* That a recipient failed stands in its attempt. */
	common(d, LOG_FAILED);
	log_end();
	ck_assert_str_eq(become(SERVICE_QMGR), "");
}
END_TEST

/* As many lines as recipients, so that they add up; it was no attempt. */
START_TEST(failed_by_an_operator)
{
	static const char *const why[] = { "not here", "" };

	for (int i = 0; i < 2; i++) {
		log_begin(LOG_FAILED);
		log_id(ID);
		log_z(LOGK_TO, "b@y");
		log_z(LOGK_ORIG_TO, "o@y");
		log_u64(LOGK_DELAY, 973);
		log_z(LOGK_PEER, "uid 0");
		if (why[i][0] != '\0')
			log_z(LOGK_REASON, why[i]);
		log_end();
	}
	ck_assert_str_eq(become(SERVICE_QMGR),
	    "host postfix/error[7]: " QID ": to=<b@y>, orig_to=<o@y>, relay=none, delay=0.97, "
	    "delays=0/0.97/0/0, dsn=5.0.0, status=bounced (failed by uid 0: not here)\n"
	    "host postfix/error[7]: " QID ": to=<b@y>, orig_to=<o@y>, relay=none, delay=0.97, "
	    "delays=0/0.97/0/0, dsn=5.0.0, status=bounced (failed by uid 0)\n");
}
END_TEST

START_TEST(expiry_is_told_once_a_message)
{
	static const struct delivery d = { .text = "too old", .enh = { 4, 4, 7 } };

	for (int i = 0; i < 2; i++) {
		common(&d, LOG_EXPIRED);
		log_end();
	}
	ck_assert_str_eq(become(SERVICE_QMGR),
	    "host postfix/qmgr[7]: " QID ": from=<a@x>, status=expired, returned to sender\n"
	    "host postfix/error[7]: " QID ": to=<b@y>, relay=none, delay=0.97, "
	    "delays=0/0.5/0.27/0.2, dsn=4.4.7, status=expired (too old)\n"
	    "host postfix/error[7]: " QID ": to=<b@y>, relay=none, delay=0.97, "
	    "delays=0/0.5/0.27/0.2, dsn=4.4.7, status=expired (too old)\n");
}
END_TEST

START_TEST(trouble_is_told_by_name)
{
	log_trouble(5, "a \"disk\"\nfell");
	log_note("nothing to see");
	ck_assert_str_eq(become(SERVICE_ROUTER), "host postfix/router[7]: error: trouble text=\"a "
						 "\\\"disk\\\"\\nfell\" error=\"EIO\"\n");
}
END_TEST

START_TEST(nobody_forges_a_line)
{
	log_begin(LOG_REJECT);
	client();
	log_str(LOGK_HELO, SLICE_LIT("x\r\nNov 21 \x7f\xc2\x85\xff>\xc3\xa4"));
	log_str(LOGK_FROM, SLICE_LIT("a>, relay=evil, status=sent ("));
	log_str(LOGK_TO, SLICE_LIT("b\0c"));
	log_z(LOGK_VERB, "RCPT x");
	log_z(LOGK_TEXT, "550");
	log_end();
	ck_assert_str_eq(become(SERVICE_SMTPD),
	    "host postfix/smtpd[7]: NOQUEUE: reject: RCPT?x from unknown[192.0.2.7]: 550; "
	    "from=<a?, relay=evil, status=sent (> to=<b?c> proto=SMTP helo=<x??Nov 21 "
	    "????\xc3\xa4>\n");
}
END_TEST

/* Any event with any keys, of the kind they should have or of another, is whole lines of text. */
START_TEST(forged_events)
{
	static const char *const bytes[] = { "\n", "\r\n>", "\x1b[2J", "a", "\xff\xfe", "%s%n" };
	unsigned seed = 1;

	for (unsigned round = 0; round < 3000; round++) {
		unsigned event;

		do
			event = (unsigned)rand_r(&seed) % LOG_END;
		while (log_event_word((enum log_event)event) == NULL);
		log_begin((enum log_event)event);
		for (unsigned i = 0; i < 12; i++) {
			enum log_key key = (enum log_key)((unsigned)rand_r(&seed) % LOGK_END);
			unsigned kind = (unsigned)rand_r(&seed) % 4;

			if (log_key_word(key) == NULL)
				continue;
			if (kind == 0)
				log_u64(key, (uint64_t)rand_r(&seed) * 0x123456789ULL);
			else if (kind == 1)
				addr(key, "\n\r\n\r", (uint16_t)rand_r(&seed));
			else
				log_z(key, bytes[(unsigned)rand_r(&seed) % 6]);
		}
		log_end();
		become((enum service)((unsigned)rand_r(&seed) % SERVICE_COUNT));
		for (const char *p = got.p; *p != '\0'; p = strchr(p, '\n') + 1) {
			ck_assert_int_eq(strncmp(p, "host postfix/", 13), 0);
			ck_assert_ptr_nonnull(strchr(p, '\n'));
			for (const char *c = p; *c != '\n'; c++)
				ck_assert_msg((unsigned char)*c >= ' ', "a control character");
		}
	}
}
END_TEST

/* Many texts at their longest: cut, and still a line. */
START_TEST(long_lines)
{
	static char text[LOG_TEXT_MAX];
	static const struct delivery d = { .text = "t" };

	memset(text, 'x', sizeof text);
	log_begin(LOG_ATTEMPT);
	log_id(ID);
	log_str(LOGK_TO, slice_of(text, sizeof text));
	log_str(LOGK_ORIG_TO, slice_of(text, sizeof text - 1));
	log_str(LOGK_RELAY, slice_of(text, sizeof text));
	log_z(LOGK_STATUS, "sent");
	log_end();
	ck_assert_uint_lt(strlen(become(SERVICE_QMGR)), MAILLOG_TEXT_MAX + 100);
	ck_assert_int_eq(got.p[got.n - 2], '\n');
	common(&d, LOG_DONE);
	log_end();
	ck_assert_str_eq(become(SERVICE_QMGR), "host postfix/qmgr[7]: " QID ": removed\n");
}
END_TEST

START_TEST(heads)
{
	static const struct {
		const char *zone;
		uint64_t us;
		bool rfc3339;
		const char *line;
	} rows[] = {
		{ "UTC", 1700000000000001, false, "Nov 14 22:13:20 host mail/qmgr[7]: x\n" },
		{ "UTC", 951782400000000, false, "Feb 29 00:00:00 host mail/qmgr[7]: x\n" },
		{ "UTC", 946684800000000, false, "Jan  1 00:00:00 host mail/qmgr[7]: x\n" },
		{ "XST-5:30", 1700000000000001, true,
		    "2023-11-15T03:43:20.000001+05:30 host mail/qmgr[7]: x\n" },
		{ "XST3", 1700000000999999, true,
		    "2023-11-14T19:13:20.999999-03:00 host mail/qmgr[7]: x\n" },
		{ "XST-14", UINT64_MAX, true,
		    "9999-12-31T13:59:59.551615+14:00 host mail/qmgr[7]: x\n" },
	};
	struct mailline line = { "qmgr", 7, LEVEL_NOTICE, rows[_i].us, SLICE_LIT("x") };
	struct mailline_head head = { "host", "mail", rows[_i].rfc3339 };
	struct buf b = { 0 };

	setenv("TZ", rows[_i].zone, 1);
	tzset();
	mailline_put(&b, &head, &line);
	buf_putc(&b, '\0');
	ck_assert_str_eq(b.p, rows[_i].line);
	if (!rows[_i].rfc3339) {
		buf_reset(&b);
		mailline_put_syslog(&b, &head, &line);
		ck_assert(slice_is(slice_head(slice_buf(&b), 4), "<22>"));
		ck_assert(slice_is(slice_from(slice_buf(&b), 20), "mail/qmgr[7]: x"));
		line.level = LEVEL_ERROR;
		buf_reset(&b);
		mailline_put_syslog(&b, &head, &line);
		ck_assert(slice_is(slice_head(slice_buf(&b), 4), "<19>"));
	}
	buf_fini(&b);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, sessions);
	tcase_add_test(tc, refusals);
	tcase_add_test(tc, messages);
	tcase_add_loop_test(tc, attempts, 0, sizeof deliveries / sizeof *deliveries);
	tcase_add_test(tc, failed_by_an_operator);
	tcase_add_test(tc, expiry_is_told_once_a_message);
	tcase_add_test(tc, trouble_is_told_by_name);
	tcase_add_test(tc, nobody_forges_a_line);
	tcase_add_test(tc, forged_events);
	tcase_add_test(tc, long_lines);
	tcase_add_loop_test(tc, heads, 0, 6);
}
CHECK_MAIN("maillog", cases)
