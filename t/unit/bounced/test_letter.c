/* SPDX-License-Identifier: ISC */
/* From what qmgr hands over to the letter that goes out. */
#include "../check_main.h"

#include "base/log.h"
#include "bounced/jobs.h"
#include "bounced/letter.h"
#include "mail/dsn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct classifier rules;
static struct intake intake;
static struct letter *letter;
static struct arena arena;
static struct dsn dsn;
static struct verdict first;
static char *kept; /* the notice; slices point into it */

static void
nobody(void *arg)
{
	(void)arg;
}

static void
setup(void)
{
	struct buf err = { 0 };

	log_open(SERVICE_BOUNCED);
	intake_init(&intake, 1 << 20, nobody, NULL);
	classifier_init(&rules, -1, "none");
	rules_free(rules.rules);
	ck_assert_int_eq(
	    rules_parse(
		SLICE_LIT("10 /user unknown/\n22 status=?.2.2\n51 status=5.7.606\n20 code=4??\n"),
		"test", &rules.rules, &err),
	    0);
}

static void
teardown(void)
{
	letter_free(letter);
	letter = NULL;
	free(kept);
	kept = NULL;
	arena_fini(&arena);
	classifier_fini(&rules);
	intake_fini(&intake);
	log_sent(log_pending(&(uint64_t){ 0 }).n, 0);
}

static void
make(struct notice n, const struct notice_rcpt *r)
{
	const struct letter_now now = {
		.id = UINT64_C(0x70f1a2b3c4d5e6), .wall_ms = UINT64_C(1700000000000), .unique = 7
	};
	struct buf b = { 0 };
	const char *why;

	n.nrcpt = 1;
	notice_put(&b, &n);
	notice_rcpt_put(&b, r);
	notice_length_put(&b, (uint32_t)n.head.n);
	buf_slice(&b, n.head);
	notice_length_put(&b, (uint32_t)n.body.n);
	buf_slice(&b, n.body);
	kept = slice_dup(slice_buf(&b));
	ck_assert_msg(notice_get(slice_of(kept, b.n), &n, &why), "%s", why);
	buf_fini(&b);
	letter = letter_new(&intake);
	ck_assert(letter_make(letter, &n, &rules, &now, &first));
	ck_assert(dsn_read(slice_buf(&letter->content), &arena, &dsn));
	ck_assert_uint_eq(dsn.nrcpt, 1);
}

static struct notice
facts(void)
{
	return (struct notice){ .id = 77,
		.kind = 1,
		.to = SLICE_LIT("s@x.example"),
		.sender = SLICE_LIT("s@x.example"),
		.hostname = SLICE_LIT("mx.example"),
		.head = SLICE_LIT("Subject: x\r\n") };
}

static const struct {
	struct notice_rcpt in;
	const char *action, *status, *diagnostic, *type, *class;
} rows[] = {
	{ { .action = NOTICE_FAILED,
	      .code = 550,
	      .enh_class = 5,
	      .enh_subject = 1,
	      .enh_detail = 1,
	      .reply = SLICE_LIT("User unknown"),
	      .host = SLICE_LIT("h") },
	    "failed", "5.1.1", "550 5.1.1 User unknown", "smtp", "10 invalid-recipient" },
	{ { .action = NOTICE_FAILED,
	      .code = 550,
	      .reply = SLICE_LIT("go away"),
	      .host = SLICE_LIT("h") },
	    "failed", "5.0.0", "550 go away", "smtp", "1 undetermined" },
	/* A class that contradicts the action. */
	{ { .action = NOTICE_FAILED,
	      .code = 550,
	      .enh_class = 4,
	      .enh_subject = 2,
	      .enh_detail = 2,
	      .reply = SLICE_LIT("full"),
	      .host = SLICE_LIT("h") },
	    "failed", "5.2.2", "550 4.2.2 full", "smtp", "22 mailbox-full" },
	/* A number above 255 stands in the text. */
	{ { .action = NOTICE_FAILED,
	      .code = 550,
	      .enh_class = 5,
	      .enh_subject = 7,
	      .reply = SLICE_LIT("5.7.606 banned"),
	      .host = SLICE_LIT("h") },
	    "failed", "5.7.606", "550 5.7.606 banned", "smtp", "51 spam-block" },
	/* Our own words. */
	{ { .action = NOTICE_EXPIRED,
	      .enh_class = 4,
	      .enh_subject = 4,
	      .enh_detail = 7,
	      .reply = SLICE_LIT("too old") },
	    "failed", "4.4.7", "too old", "x-angarium", "1 undetermined" },
	{ { .action = NOTICE_DELAYED,
	      .code = 450,
	      .enh_class = 5,
	      .enh_subject = 2,
	      .enh_detail = 1,
	      .reply = SLICE_LIT("later"),
	      .host = SLICE_LIT("h") },
	    "delayed", "4.2.1", "450 5.2.1 later", "smtp", "20 soft-bounce" },
	{ { .action = NOTICE_DELAYED }, "delayed", "4.0.0", "", "", "1 undetermined" },
	{ { .action = NOTICE_RELAYED,
	      .code = 250,
	      .enh_class = 2,
	      .enh_subject = 1,
	      .enh_detail = 5,
	      .reply = SLICE_LIT("ok"),
	      .host = SLICE_LIT("h") },
	    "relayed", "2.1.5", "250 2.1.5 ok", "smtp", "" },
	{ { .action = NOTICE_DELIVERED, .enh_class = 5 }, "delivered", "2.0.0", "", "", "" },
	{ { .action = NOTICE_EXPANDED }, "expanded", "2.0.0", "", "", "" },
};

START_TEST(what_was_said_becomes_fields)
{
	struct notice_rcpt r = rows[_i].in;
	const struct dsn_rcpt *got;

	r.address = SLICE_LIT("a@y.example");
	make(facts(), &r);
	got = &dsn.rcpts[0];
	ck_assert_msg(slice_is(got->action, rows[_i].action), "%.*s", SLICE_ARG(got->action));
	ck_assert_msg(slice_is(got->status, rows[_i].status), "%.*s", SLICE_ARG(got->status));
	ck_assert_msg(
	    slice_is(got->diagnostic, rows[_i].diagnostic), "%.*s", SLICE_ARG(got->diagnostic));
	ck_assert_msg(
	    slice_is(got->diagnostic_type, rows[_i].type), "%.*s", SLICE_ARG(got->diagnostic_type));
	ck_assert_msg(slice_is(got->class, rows[_i].class), "%.*s", SLICE_ARG(got->class));
	ck_assert_uint_eq(got->remote_mta.n > 0, rows[_i].in.host.n > 0);
	ck_assert_uint_eq(first.number, strtoul(rows[_i].class, NULL, 10));
}
END_TEST

static const struct {
	const char *orcpt, *given, *type, *original;
} originals[] = {
	{ "rfc822;a+2Bb@c", "", "rfc822", "a+b@c" },
	{ "x400;+2Fg", "z@c", "x400", "/g" },
	{ "rfc822;a+2", "z@c", "rfc822", "z@c" }, /* not xtext: as the client gave it */
	{ ";a@b", "", "", "" },
	{ "", "z@c", "rfc822", "z@c" },
	{ "", "", "", "" },
};

START_TEST(the_original_recipient)
{
	const struct notice_rcpt r = { .action = NOTICE_FAILED,
		.address = SLICE_LIT("a@y.example"),
		.orcpt = slice_z(originals[_i].orcpt),
		.original = slice_z(originals[_i].given) };

	make(facts(), &r);
	ck_assert(slice_is(dsn.rcpts[0].original, originals[_i].original));
	ck_assert(slice_is(dsn.rcpts[0].original_type, originals[_i].type));
}
END_TEST

static const struct {
	const char *envid, *got;
} envids[] = { { "QQ+2B314", "QQ+314" }, { "", "" }, { "bad+", "" }, { "+0D+0AX:+20y", "??X: y" } };

START_TEST(the_envelope_id)
{
	struct notice n = facts();

	n.envid = slice_z(envids[_i].envid);
	make(n, &(const struct notice_rcpt){
		    .action = NOTICE_FAILED, .address = SLICE_LIT("a@y.example") });
	ck_assert_msg(slice_is(dsn.envid, envids[_i].got), "%.*s", SLICE_ARG(dsn.envid));
}
END_TEST

static bool
has(const char *text)
{
	return memmem(letter->content.p, letter->content.n, text, strlen(text)) != NULL;
}

/* RFC 6533: the global kinds where the message was SMTPUTF8; its own flag only where the address needs it. */
START_TEST(messages_in_utf8)
{
	static const struct {
		const char *to, *head, *third;
		bool utf8, global;
	} t[] = {
		{ "s@x.example", "Subject: x\r\n", "Content-Type: text/rfc822-headers\r\n", false,
		    false },
		{ "s@x.example", "Subject: \xc3\xbc\r\n",
		    "Content-Type: message/global-headers\r\n", true, true },
		{ "s@x.example", "Subject: \xfc\r\n", "Content-Type: text/rfc822-headers\r\n", true,
		    true },
		{ "j\xc3\xbc@x.example", "Subject: x\r\n", "Content-Type: text/rfc822-headers\r\n",
		    false, true },
	};
	struct notice n = facts();
	struct envelope e;

	n.to = slice_z(t[_i].to);
	n.head = slice_z(t[_i].head);
	n.utf8 = t[_i].utf8;
	make(n, &(const struct notice_rcpt){
		    .action = NOTICE_FAILED, .address = SLICE_LIT("a@y.example") });
	ck_assert_int_eq(has("message/global-delivery-status"), t[_i].global);
	ck_assert(has(t[_i].third));
	ck_assert_int_eq(envelope_message(slice_buf(&letter->envelope), &e), 0);
	ck_assert_int_eq(e.smtputf8, t[_i].to[1] != '@');
	ck_assert(e.sender.n == 0 && e.notice_of == 77 && e.notice_kind == 1);
}
END_TEST

/* Only a file that nobody can change any more is read. */
START_TEST(sealed_or_refused)
{
	static const struct {
		int seals;
		uint32_t size;
		int error;
	} t[] = {
		{ F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, 5, 0 },
		{ F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, 4, -EMSGSIZE },
		{ F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, NOTICE_MAX_BYTES + 1,
		    -EMSGSIZE },
		{ F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW, 5, -EPERM },
		{ F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_WRITE, 5, -EPERM },
		{ F_SEAL_SEAL | F_SEAL_GROW | F_SEAL_WRITE, 5, -EPERM },
		{ F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, 5, -EPERM },
		{ 0, 5, -EPERM },
	};
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct buf out = { 0 };

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "hello", 5), 5);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, t[_i].seals), 0);
	ck_assert_int_eq(jobs_read_sealed(fd, t[_i].size, &out), t[_i].error);
	ck_assert(t[_i].error != 0 || slice_is(slice_buf(&out), "hello"));
	buf_fini(&out);
	close(fd);
	fd = open("/dev/null", O_RDONLY);
	ck_assert_int_eq(jobs_read_sealed(fd, 0, &out), -EPERM);
	close(fd);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, what_was_said_becomes_fields, 0, sizeof rows / sizeof *rows);
	tcase_add_loop_test(tc, the_original_recipient, 0, sizeof originals / sizeof *originals);
	tcase_add_loop_test(tc, the_envelope_id, 0, sizeof envids / sizeof *envids);
	tcase_add_loop_test(tc, messages_in_utf8, 0, 4);
	tcase_add_loop_test(tc, sealed_or_refused, 0, 8);
}
CHECK_MAIN("letter", cases)
