/* SPDX-License-Identifier: ISC */
#include "ctl/sendmail.h"

#include "base/clock.h"
#include "base/die.h"
#include "ctl/sendmail_caller.h"
#include "ctl/submit_drop.h"
#include "ctl/submit_message.h"
#include "ctl/submit_phrase.h"
#include "ctl/submit_report.h"
#include "ctl/submit_rest.h"
#include "ctl/submit_text.h"
#include "smtp/body.h"
#include "smtp/xtext.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

/*
 * A message from stdin to stable storage. All of it is read before anybody is spoken to: a cron job
 * may write for hours. Two rules hold on every path: 0 is never returned for mail that is not on
 * stable storage, and 75 never for mail that is known to be.
 */
enum {
	ASK_LIMIT_BYTES = 16 << 20,
	GUARD_BYTES = 1 << 30,
	HELD_BYTES = 2 << 20, /* of a message, in memory; its header section must end there */
};

struct job {
	const struct sendmail_options *o;
	const struct sendmail_places *at;
	struct sendmail_caller caller;
	struct submit_text text;
	struct buf lines; /* of the message, the first of them */
	struct submit_rest rest;
	bool rest_eight_bit;
	struct buf uucp_sender;
	struct submit_server server;
	struct submit_link link;
	int link_error; /* 0: the link is open, else why not */
	struct buf origin;
	struct slice *words;
	struct submit_rules rules;
	struct submit_message message;
	struct buf envid;
	struct buf refusals; /* of struct submit_refusal: all that the sender is to hear of */
};

static bool
quiet(const struct job *j)
{
	return j->o->errors == SENDMAIL_ERRORS_QUIET;
}

static void
complain_of(struct slice text, const char *what)
{
	struct buf shown = { 0 };

	submit_phrase_show(&shown, text);
	complain("%.*s: %s", SLICE_ARG(slice_buf(&shown)), what);
	buf_fini(&shown);
}

/* What smtpd would take; asked only when the message is a large one already. */
static uint64_t
ask_limit(struct job *j)
{
	struct submit_server server;
	struct submit_link link;
	uint64_t limit = GUARD_BYTES;

	if (submit_smtp_open(&link, &server, j->at->submit) == 0) {
		if (server.size_bytes > 0 && server.size_bytes < limit)
			limit = server.size_bytes;
		submit_smtp_quit(&link);
	}
	submit_server_fini(&server);
	return limit;
}

/* What follows the dot belongs to nobody; a program that still writes it must not die of SIGPIPE.
 */
static void
drain_stdin(void)
{
	char waste[16384];

	if (isatty(STDIN_FILENO))
		return;
	while (read(STDIN_FILENO, waste, sizeof waste) > 0)
		;
}

static uint64_t
bytes_read(const struct job *j)
{
	return j->lines.n + j->rest.bytes + j->text.part.n;
}

/* What is beyond the part that is held goes to a file. 0, or the exit code. */
static int
put_rest(struct job *j)
{
	struct slice over;
	int err;

	if (j->lines.n <= HELD_BYTES)
		return 0;
	over = slice_from(slice_buf(&j->lines), HELD_BYTES);
	j->rest_eight_bit = j->rest_eight_bit || (body_look(over) & BODY_EIGHT_BIT) != 0;
	err = submit_rest_put(&j->rest, j->at->drop, over);
	j->lines.n = HELD_BYTES;
	if (err == 0)
		return 0;
	complain("cannot keep the message: %s", strerror(-err));
	return EXIT_TEMP;
}

/* 0, or the exit code. */
static int
read_stdin(struct job *j)
{
	static char chunk[65536];
	uint64_t limit = ASK_LIMIT_BYTES;
	bool asked = false;
	int code;

	while (!j->text.done) {
		ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			complain("cannot read the message: %s", strerror(errno));
			return EXIT_TEMP;
		}
		if (n == 0)
			break;
		/* Room at once, and for as many CRs as most texts need: growing by doubling touches
		 * as much memory again. */
		buf_room(&j->lines, (size_t)n + (size_t)n / 16 + 64);
		submit_text_feed(&j->text, slice_of(chunk, (size_t)n), &j->lines);
		if ((code = put_rest(j)) != 0)
			return code;
		if (bytes_read(j) <= limit)
			continue;
		if (!asked)
			limit = ask_limit(j);
		asked = true;
		if (bytes_read(j) > limit) {
			complain("message is larger than %" PRIu64 " bytes", limit);
			return EXIT_UNAVAILABLE;
		}
	}
	if (j->text.done)
		drain_stdin();
	submit_text_end(&j->text, &j->lines);
	return put_rest(j);
}

static void
set_rules(struct job *j)
{
	const struct sendmail_options *o = j->o;
	struct submit_rules *r = &j->rules;

	r->extract = o->extract;
	r->complete = !o->gateway;
	r->origin_sure = j->link_error == 0 && j->server.origin.n > 0;
	if (r->origin_sure) {
		buf_reset(&j->origin);
		buf_slice(&j->origin, slice_buf(&j->server.origin));
	} else
		sendmail_caller_origin(&j->origin);
	r->origin = slice_buf(&j->origin);
	r->sender_given = o->sender_given;
	r->sender = slice_z(o->sender);
	if (!o->sender_given && o->rmail &&
	    submit_text_uucp_sender(slice_buf(&j->text.from_lines), &j->uucp_sender)) {
		r->sender_given = true;
		r->sender = slice_buf(&j->uucp_sender);
	}
	if (submit_message_names_caller(slice_buf(&j->lines), r)) {
		sendmail_caller_look(&j->caller, o->name);
		r->login = slice_buf(&j->caller.login);
		r->name = slice_buf(&j->caller.name);
	}
	j->words = xcalloc((size_t)o->n_words, sizeof *j->words);
	for (int i = 0; i < o->n_words; i++)
		j->words[i] = slice_z(o->words[i]);
	r->words = j->words;
	r->n_words = (size_t)o->n_words;
	r->wall_us = clock_wall_us();
	r->zone_min = sendmail_caller_zone_min(r->wall_us);
	r->unique = sendmail_caller_random();
}

static void
set_request(const struct job *j, struct submit_request *r)
{
	const struct submit_message *m = &j->message;

	*r = (struct submit_request){ .sender = m->sender,
		.rcpt = m->rcpt,
		.n_rcpt = m->n_rcpt,
		.header = slice_buf(&m->header),
		.body = m->body,
		.rest = &j->rest,
		.utf8 = m->utf8,
		.eight_bit = m->eight_bit || j->rest_eight_bit || j->o->eight_bit,
		.seven_bit = j->o->seven_bit,
		.ret = slice_z(j->o->ret),
		.notify = slice_z(j->o->notify),
		.envid = slice_buf(&j->envid) };
}

/* The drop folder, where the socket could not take it. */
static void
drop(const struct job *j, const struct submit_request *r, struct submit_answer *a)
{
	char name[SUBMIT_DROP_NAME];
	int err = submit_drop_write(j->at->drop, getuid(), r, name);

	if (err == 0) {
		a->result = SUBMIT_ACCEPTED;
		a->text = arena_slice(&a->arena, slice_z(name));
		return;
	}
	complain("mail system is down (%.*s), and cannot write to %s: %s; message not sent",
	    SLICE_ARG(a->text), j->at->drop, strerror(-err));
	a->result = SUBMIT_TEMPORARY;
	a->text = SLICE_NONE;
}

/* By the link, which is closed then, or by the drop folder. */
static void
hand_over(struct job *j, const struct submit_request *r, struct submit_answer *a)
{
	if (j->link_error == 0) {
		submit_smtp_send(&j->link, &j->server, r, a);
		submit_link_close(&j->link);
		j->link_error = ENOTCONN;
	} else {
		*a = (struct submit_answer){ .result = SUBMIT_UNREACHED,
			.text = slice_z(strerror(j->link_error)) };
	}
	if (a->result == SUBMIT_UNREACHED)
		drop(j, r, a);
}

static void
add_refusal(
    struct job *j, struct slice rcpt, uint16_t code, const uint8_t enh[3], struct slice text)
{
	struct submit_refusal f = { .rcpt = rcpt, .text = text, .code = code };

	memcpy(f.enh, enh, 3);
	buf_put(&j->refusals, &f, sizeof f);
}

/* What no address could be made of: said at once, and part of the report. */
static void
note_bad(struct job *j)
{
	static const uint8_t bad_syntax[3] = { 5, 1, 3 };

	for (size_t i = 0; i < j->message.n_bad; i++) {
		struct slice bad = j->message.bad[i];

		if (!quiet(j))
			complain_of(bad, "not an address");
		add_refusal(j, bad, 0, bad_syntax, SLICE_LIT("not an address"));
	}
}

static void
note_refused(struct job *j, const struct submit_answer *a)
{
	for (size_t i = 0; i < a->n_refused; i++) {
		const struct submit_refusal *f = &a->refused[i];

		add_refusal(j, f->rcpt, f->code, f->enh, f->text);
	}
}

static void
print_refusals(const struct job *j)
{
	const struct submit_refusal *f = (const void *)j->refusals.p;

	for (size_t i = 0; !quiet(j) && i < j->refusals.n / sizeof *f; i++)
		if (f[i].code != 0)
			complain(
			    "%.*s: %u %.*s", SLICE_ARG(f[i].rcpt), f[i].code, SLICE_ARG(f[i].text));
}

/* Mails the sender what is in the refusals. True: that is on stable storage. */
static bool
report(struct job *j)
{
	struct submit_report r = { .sender = j->message.sender,
		.origin = j->rules.origin,
		.items = (const void *)j->refusals.p,
		.n_items = j->refusals.n / sizeof(struct submit_refusal),
		.original = slice_buf(&j->message.header),
		.envid = slice_buf(&j->envid),
		.wall_us = j->rules.wall_us,
		.zone_min = j->rules.zone_min,
		.unique = sendmail_caller_random() };
	struct buf header = { 0 }, body = { 0 };
	struct submit_request request;
	struct submit_answer a;
	bool stored;

	/* No notice about a notice, and none that its reader ruled out. */
	if (r.sender.n == 0 ||
	    (j->o->notify != NULL && strcasestr(j->o->notify, "failure") == NULL))
		return r.sender.n > 0;
	submit_report_print(&r, &header, &body);
	request = (struct submit_request){ .rcpt = &r.sender,
		.n_rcpt = 1,
		.header = slice_buf(&header),
		.body = slice_buf(&body),
		.utf8 = j->message.utf8,
		.eight_bit = j->message.eight_bit };
	if (j->link_error != 0) {
		submit_server_fini(&j->server);
		j->link_error = -submit_smtp_open(&j->link, &j->server, j->at->submit);
	}
	hand_over(j, &request, &a);
	stored = a.result == SUBMIT_ACCEPTED;
	submit_answer_fini(&a);
	buf_fini(&header);
	buf_fini(&body);
	return stored;
}

/* An error for good, with its code; -oem and -oee want it mailed. */
static int
failed(struct job *j, int code)
{
	if (j->o->errors != SENDMAIL_ERRORS_MAIL && j->o->errors != SENDMAIL_ERRORS_EXIT0)
		return code;
	if (j->refusals.n == 0)
		return code;
	return report(j) && j->o->errors == SENDMAIL_ERRORS_EXIT0 ? 0 : code;
}

static int
code_of_refusal(const struct submit_answer *a)
{
	if (a->enh[0] == 5 && a->enh[1] == 7)
		return EXIT_NOPERM;
	if (a->enh[0] == 5 && (a->enh[1] == 6 || a->enh[1] == 1))
		return a->result == SUBMIT_NONE_TAKEN ? EXIT_NOUSER : EXIT_DATA;
	if (a->result == SUBMIT_NONE_TAKEN && a->code != 552)
		return EXIT_NOUSER;
	return EXIT_UNAVAILABLE;
}

static int
accepted(struct job *j, const struct submit_answer *a)
{
	if (j->o->verbose)
		printf("%.*s\n", SLICE_ARG(a->text));
	if (j->refusals.n > 0 && !report(j))
		print_refusals(j);
	return 0;
}

/* All of the message was refused for a reason that is no recipient's. */
static int
refused(struct job *j, const struct submit_answer *a)
{
	if (!quiet(j))
		complain("%u %.*s; message not sent", a->code, SLICE_ARG(a->text));
	for (size_t i = 0; i < j->message.n_rcpt; i++)
		add_refusal(j, j->message.rcpt[i], a->code, a->enh, a->text);
	return failed(j, code_of_refusal(a));
}

static int
conclude(struct job *j, const struct submit_answer *a)
{
	note_refused(j, a);
	switch (a->result) {
	case SUBMIT_ACCEPTED:
		return accepted(j, a);
	case SUBMIT_NONE_TAKEN:
		/* As other mailers do for a user they do not know: taken, and then returned. */
		if (report(j))
			return 0;
		print_refusals(j);
		return code_of_refusal(a);
	case SUBMIT_REFUSED:
		return refused(j, a);
	case SUBMIT_TEMPORARY:
		if (a->text.n > 0)
			complain("%u %.*s; message not sent", a->code, SLICE_ARG(a->text));
		return EXIT_TEMP;
	case SUBMIT_DOUBT:
		complain("%.*s; the message may have been sent", SLICE_ARG(a->text));
		return EXIT_TEMP;
	case SUBMIT_UNREACHED: /* hand_over() made something else of it */
		break;
	}
	abort();
}

static int
send_built(struct job *j)
{
	struct submit_request request;
	struct submit_answer answer;
	int code;

	set_request(j, &request);
	hand_over(j, &request, &answer);
	code = conclude(j, &answer);
	submit_answer_fini(&answer);
	return code;
}

static int
build_and_send(struct job *j)
{
	enum submit_verdict verdict =
	    submit_message_build(slice_buf(&j->lines), &j->rules, &j->message);

	if (verdict == SUBMIT_BAD_SENDER) {
		complain_of(
		    j->rules.sender_given ? j->rules.sender : j->rules.login, "bad sender address");
		return EXIT_USAGE;
	}
	if (verdict != SUBMIT_NO_RECIPIENT && j->rest.bytes > 0 && j->message.body.n == 0) {
		complain("the header section is longer than %d bytes", HELD_BYTES);
		return EXIT_DATA;
	}
	note_bad(j);
	switch (verdict) {
	case SUBMIT_OK:
		return send_built(j);
	case SUBMIT_NO_RECIPIENT:
		complain("no recipient named, on the command line or in the header");
		return EXIT_USAGE;
	case SUBMIT_ALL_BAD:
		return failed(j, EXIT_DATA);
	case SUBMIT_BAD_SENDER:
		break;
	}
	abort();
}

static void
job_fini(struct job *j)
{
	if (j->link_error == 0)
		submit_smtp_quit(&j->link);
	submit_server_fini(&j->server);
	submit_message_fini(&j->message);
	submit_text_fini(&j->text);
	sendmail_caller_fini(&j->caller);
	buf_fini(&j->lines);
	submit_rest_fini(&j->rest);
	buf_fini(&j->uucp_sender);
	buf_fini(&j->origin);
	buf_fini(&j->envid);
	buf_fini(&j->refusals);
	free(j->words);
}

int
sendmail_submit(const struct sendmail_options *o, const struct sendmail_places *at)
{
	struct job j = { .o = o,
		.at = at,
		.text = { .dots_literal = o->dots_literal },
		.link = { .fd = -1 },
		.link_error = ENOTCONN };
	int code;

	if (!o->extract && o->n_words == 0) {
		complain("no recipient named");
		return EXIT_USAGE;
	}
	if (o->envid != NULL)
		xtext_encode(&j.envid, slice_z(o->envid));
	code = read_stdin(&j);
	if (code == 0) {
		j.link_error = -submit_smtp_open(&j.link, &j.server, at->submit);
		set_rules(&j);
		code = build_and_send(&j);
	}
	job_fini(&j);
	return code;
}
