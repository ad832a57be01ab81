/* SPDX-License-Identifier: ISC */
/*
 * A session against a scripted server over a socket pair: one case for each row of
 * deliver/verdict.c, with PIPELINING and without. What must come out is written here once more, by
 * hand.
 */
#include "../check_main.h"

#include "deliver/content.h"
#include "deliver/session.h"
#include "io/listen.h"
#include "spool/segment.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RCPTS = 3, SEED = 77, SEGMENT = 5 };
static const uint64_t ID = 0x123456789abcULL;

/* What the server does when the phase comes. NULL: the usual. */
struct server {
	struct conn *conn;
	const char *say[PHASE_COUNT]; /* reply lines; "" silence; "!" hang up */
	bool pipelining, in_data;
	unsigned rcpts;	  /* RCPTs heard in this transaction */
	unsigned rcpt_at; /* which RCPT gets say[PHASE_RCPT]; 0: all */
	unsigned transactions, resets;
	struct buf body, heard;
};

struct world {
	struct loop *loop;
	struct loader *loader;
	struct segments segments;
	struct delivery *d;
	struct server server;
	bool left, closed, idle_ended;
	bool quits; /* the owner has idle connections enough */
	enum session_left how;
	enum outcome_kind kind; /* of the failure */
	uint16_t code;
	struct session *s;
};

static const char *const usual[PHASE_COUNT] = {
	[PHASE_BANNER] = "220 ready\r\n",
	[PHASE_EHLO] = "250-server\r\n250-8BITMIME\r\n250-DSN\r\n250 SIZE 100000\r\n",
	[PHASE_MAIL] = "250 2.1.0 ok\r\n",
	[PHASE_RCPT] = "250 2.1.5 ok\r\n",
	[PHASE_DATA] = "354 go\r\n",
	[PHASE_DOT] = "250 2.0.0 taken\r\n",
	[PHASE_RSET] = "250 2.0.0 ok\r\n",
};

static void
say(struct server *v, enum delivery_phase phase)
{
	const char *text = v->say[phase];

	if (phase == PHASE_RCPT && v->rcpt_at != 0 && v->rcpt_at != v->rcpts)
		text = NULL;
	if (text == NULL)
		text = usual[phase];
	if (strcmp(text, "!") == 0) {
		conn_flush(v->conn); /* what was said before is heard */
		conn_free(v->conn);
		v->conn = NULL;
	} else {
		if (phase == PHASE_EHLO && v->pipelining && v->say[phase] == NULL)
			conn_put(v->conn, "250-PIPELINING\r\n", 16);
		conn_put(v->conn, text, strlen(text));
	}
}

static void
body_line(struct server *v, struct slice line)
{
	if (slice_is(line, ".")) {
		v->in_data = false;
		say(v, PHASE_DOT);
		return;
	}
	buf_slice(&v->body, line);
	buf_putc(&v->body, '\n');
}

static void
command(struct server *v, struct slice line)
{
	buf_slice(&v->heard, line);
	buf_putc(&v->heard, '\n');
	if (slice_istarts(line, "EHLO") || slice_istarts(line, "HELO"))
		say(v, PHASE_EHLO);
	else if (slice_istarts(line, "MAIL")) {
		v->transactions++;
		v->rcpts = 0;
		say(v, PHASE_MAIL);
	} else if (slice_istarts(line, "RCPT")) {
		v->rcpts++;
		say(v, PHASE_RCPT);
	} else if (slice_istarts(line, "DATA")) {
		const char *text = v->say[PHASE_DATA];

		v->in_data = text == NULL || text[0] == '3';
		say(v, PHASE_DATA);
		if (v->conn != NULL && v->in_data && v->say[PHASE_BODY] != NULL)
			say(v, PHASE_BODY);
	} else if (slice_istarts(line, "RSET")) {
		v->resets++;
		say(v, PHASE_RSET);
	}
}

static void
server_input(struct conn *c, void *arg)
{
	struct server *v = arg;
	struct slice line;

	while (v->conn != NULL && conn_line(c, 100000, &line) == LINE_OK) {
		if (v->in_data)
			body_line(v, line);
		else
			command(v, line);
	}
}

static void
server_closed(struct conn *c, int err, void *arg)
{
	struct server *v = arg;

	(void)err;
	conn_free(c);
	v->conn = NULL;
}

static const struct conn_ops server_ops = { .input = server_input, .closed = server_closed };

static void
left(struct session *s, struct delivery *d, enum session_left how, const struct failure *f,
    bool closed, void *arg)
{
	struct world *w = arg;

	(void)d;
	w->left = true;
	w->how = how;
	w->closed = closed;
	w->s = closed || w->quits ? NULL : s;
	if (!closed && w->quits)
		session_quit(s);
	if (f != NULL) {
		w->kind = f->kind;
		w->code = f->code;
	}
}

static void
idle_ended(struct session *s, void *arg)
{
	struct world *w = arg;

	(void)s;
	w->idle_ended = true;
	w->s = NULL;
}

static void
idle_expired(struct session *s, void *arg)
{
	idle_ended(s, arg);
	session_quit(s);
}

static const struct session_owner owner = {
	.left = left, .idle_ended = idle_ended, .idle_expired = idle_expired
};

static const char *sender = "from@a.example";

/* A record of one message with three recipients in a memory file, announced as a segment. */
static uint64_t
make_segment(struct world *w, const char *body)
{
	struct buf env = { 0 }, rec = { 0 };
	char zeros[SEGMENT_HEADER] = { 0 };
	struct record_parts p = { .head = SLICE_LIT("Subject: test\r\n"),
		.body = slice_z(body),
		.nrcpt = RCPTS,
		.id = ID,
		.arrival_ms = 1 };
	int fd = memfd_create("segment", MFD_CLOEXEC);

	envelope_put_text(&env, ENVELOPE_SENDER, slice_z(sender));
	envelope_put_u8(&env, ENVELOPE_RET, RET_HDRS);
	envelope_put_u8(&env, ENVELOPE_PRIORITY, (uint8_t)-5);
	envelope_put_edit(&env, EDIT_INSERT, 1, SLICE_LIT("Received: by us\r\n"));
	for (int i = 0; i < RCPTS; i++) {
		char to[32];

		snprintf(to, sizeof to, "to%d@b.example", i);
		envelope_put_text(&env, ENVELOPE_RECIPIENT, slice_z(to));
		envelope_put_u8(&env, ENVELOPE_NOTIFY, NOTIFY_FAILURE | NOTIFY_DELAY);
	}
	p.envelope = slice_buf(&env);
	p.flags = record_flags_of(p.head, p.body);
	ck_assert_int_eq(record_build(&rec, &p, SEED), 0);
	record_seal(rec.p, SEGMENT, SEGMENT_HEADER, SEED);
	ck_assert(write(fd, zeros, sizeof zeros) == sizeof zeros &&
		  write(fd, rec.p, rec.n) == (ssize_t)rec.n);
	segments_add(&w->segments, SEGMENT, fd, SEED);
	buf_fini(&env);
	w->server.rcpts = 0;
	uint64_t n = rec.n;
	buf_fini(&rec);
	return n;
}

static void
world_open(struct world *w, const char *body, uint16_t port)
{
	struct buf route = { 0 }, rcpts = { 0 }, limits = { 0 };
	struct route r = { .transport = SLICE_LIT("smtp"),
		.domain = SLICE_LIT("b.example"),
		.nhops = 1,
		.hops = { { .host = SLICE_LIT("127.0.0.1"), .port = port } } };
	struct job_limits l = { .connect_ms = 60,
		.banner_ms = 60,
		.helo_ms = 60,
		.mail_ms = 60,
		.rcpt_ms = 60,
		.data_ms = 60,
		.body_ms = 60,
		.dot_ms = 60 };
	struct msg_job m = { .job = 1, .id = ID, .segment = SEGMENT, .offset = SEGMENT_HEADER };

	*w = (struct world){ .loop = loop_new() };
	w->loader = loader_new(w->loop);
	m.length = make_segment(w, body);
	route_put(&route, &r);
	job_limits_put(&limits, &l);
	for (uint32_t i = 0; i < RCPTS; i++) {
		uint32_t pair[2] = { i, 1 };

		buf_put(&rcpts, pair, sizeof pair);
	}
	m.route = slice_buf(&route);
	m.limits = slice_buf(&limits);
	m.rcpts = slice_buf(&rcpts);
	w->d = delivery_new(&m, &w->segments);
	ck_assert_ptr_nonnull(w->d);
	buf_fini(&route);
	buf_fini(&limits);
	buf_fini(&rcpts);
}

static void
until_left(struct world *w)
{
	w->left = false;
	for (int i = 0; i < 2000 && !w->left; i++)
		loop_turn(w->loop, true);
	ck_assert(w->left);
}

static void
play(struct world *w)
{
	struct session_params p = { .loop = w->loop,
		.loader = w->loader,
		.helo = "us.example",
		.owner = &owner,
		.arg = w };
	int pair[2];

	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	w->server.conn = conn_new(w->loop, pair[1], &server_ops, &w->server);
	say(&w->server, PHASE_BANNER);
	session_open_fd(&p, pair[0], w->d);
	until_left(w);
}

static void
world_close(struct world *w)
{
	if (w->s != NULL)
		session_quit(w->s);
	loader_unload(w->loader, w->d);
	delivery_free(w->d, &w->segments, NULL);
	segments_forget(&w->segments, SEGMENT);
	if (w->server.conn != NULL)
		conn_free(w->server.conn);
	loader_free(w->loader);
	loop_turn(w->loop, false);
	loop_free(w->loop);
	buf_fini(&w->server.body);
	buf_fini(&w->server.heard);
}

/* Letters for what each recipient came to: O ok, T temp, P perm, - open. */
static void
letters(const struct world *w, char out[RCPTS + 1])
{
	for (int i = 0; i < RCPTS; i++)
		out[i] = w->d->rcpts[i].state != RCPT_ENDED ? '-' : "OTP"[w->d->rcpts[i].kind];
	out[RCPTS] = '\0';
}

#define ALL_T "TTT"
#define ALL_P "PPP"
#define OPEN "---"

static const struct row {
	enum delivery_phase phase;
	const char *say;
	unsigned rcpt_at;
	const char *want; /* letters */
	enum session_left how;
	enum outcome_kind failure; /* where LEFT_NEXT_HOP */
	bool closed;
	uint16_t code;
} rows[] = {
	{ PHASE_BANNER, "320 what\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 320 },
	{ PHASE_BANNER, "450 later\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 450 },
	{ PHASE_BANNER, "421 closing\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 421 },
	{ PHASE_BANNER, "554 no service\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 554 },
	{ PHASE_BANNER, "552 no\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 552 },
	{ PHASE_BANNER, "521 no mail here\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_PERM, true, 521 },
	{ PHASE_BANNER, "hello there\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 0 },
	{ PHASE_BANNER, "!", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 0 },
	{ PHASE_BANNER, "", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 0 },

	{ PHASE_EHLO, "354 what\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 354 },
	{ PHASE_EHLO, "451 later\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 451 },
	{ PHASE_EHLO, "421 closing\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 421 },
	{ PHASE_EHLO, "550 not you\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_PERM, true,
	    550 }, /* to EHLO and to HELO */
	{ PHASE_EHLO, "552 no\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_PERM, true, 552 },
	{ PHASE_EHLO, "521 no\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_PERM, true, 521 },
	{ PHASE_EHLO, "25x\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 0 },
	{ PHASE_EHLO, "!", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 0 },
	{ PHASE_EHLO, "", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 0 },

	{ PHASE_MAIL, "354 what\r\n", 0, ALL_T, LEFT_DONE, OUTCOME_OK, true, 354 },
	{ PHASE_MAIL, "451 4.7.1 later\r\n", 0, ALL_T, LEFT_DONE, OUTCOME_OK, false, 451 },
	{ PHASE_MAIL, "421 closing\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 421 },
	{ PHASE_MAIL, "550 5.7.1 not from you\r\n", 0, ALL_P, LEFT_DONE, OUTCOME_OK, false, 550 },
	{ PHASE_MAIL, "552 5.3.4 too big\r\n", 0, ALL_P, LEFT_DONE, OUTCOME_OK, false, 552 },
	{ PHASE_MAIL, "521 no\r\n", 0, ALL_P, LEFT_DONE, OUTCOME_OK, false, 521 },
	{ PHASE_MAIL, "what\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 0 },
	{ PHASE_MAIL, "!", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 0 },
	{ PHASE_MAIL, "", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 0 },

	{ PHASE_RCPT, "354 what\r\n", 2, ALL_T, LEFT_DONE, OUTCOME_OK, true, 354 },
	{ PHASE_RCPT, "450 4.2.1 full\r\n", 2, "OTO", LEFT_DONE, OUTCOME_OK, false, 450 },
	{ PHASE_RCPT, "450 4.2.1 full\r\n", 0, ALL_T, LEFT_DONE, OUTCOME_OK, false, 450 },
	{ PHASE_RCPT, "421 closing\r\n", 2, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 421 },
	{ PHASE_RCPT, "550 5.1.1 who\r\n", 2, "OPO", LEFT_DONE, OUTCOME_OK, false, 550 },
	{ PHASE_RCPT, "550 5.1.1 who\r\n", 0, ALL_P, LEFT_DONE, OUTCOME_OK, false, 550 },
	{ PHASE_RCPT, "521 no\r\n", 2, "OPO", LEFT_DONE, OUTCOME_OK, false, 521 },
	{ PHASE_RCPT, "552 too many\r\n", 1, "TOO", LEFT_DONE, OUTCOME_OK, false, 552 },
	{ PHASE_RCPT, "x\r\n", 2, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 0 },
	{ PHASE_RCPT, "!", 2, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 0 },
	{ PHASE_RCPT, "", 3, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 0 },

	{ PHASE_DATA, "250 what\r\n", 0, ALL_T, LEFT_DONE, OUTCOME_OK, true, 250 },
	{ PHASE_DATA, "451 later\r\n", 0, ALL_T, LEFT_DONE, OUTCOME_OK, false, 451 },
	{ PHASE_DATA, "421 closing\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 421 },
	{ PHASE_DATA, "554 no\r\n", 0, ALL_P, LEFT_DONE, OUTCOME_OK, false, 554 },
	{ PHASE_DATA, "552 no\r\n", 0, ALL_P, LEFT_DONE, OUTCOME_OK, false, 552 },
	{ PHASE_DATA, "521 no\r\n", 0, ALL_P, LEFT_DONE, OUTCOME_OK, false, 521 },
	{ PHASE_DATA, "x\r\n", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 0 },
	{ PHASE_DATA, "!", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 0 },
	{ PHASE_DATA, "", 0, OPEN, LEFT_NEXT_HOP, OUTCOME_TEMP, true, 0 },

	{ PHASE_DOT, "354 what\r\n", 0, ALL_T, LEFT_DONE, OUTCOME_OK, true, 354 },
	{ PHASE_DOT, "451 later\r\n", 0, ALL_T, LEFT_DONE, OUTCOME_OK, false, 451 },
	{ PHASE_DOT, "421 closing\r\n", 0, ALL_T, LEFT_DONE, OUTCOME_OK, true, 421 },
	{ PHASE_DOT, "554 5.6.0 no\r\n", 0, ALL_P, LEFT_DONE, OUTCOME_OK, false, 554 },
	{ PHASE_DOT, "552 no\r\n", 0, ALL_P, LEFT_DONE, OUTCOME_OK, false, 552 },
	{ PHASE_DOT, "521 no\r\n", 0, ALL_P, LEFT_DONE, OUTCOME_OK, false, 521 },
	{ PHASE_DOT, "x\r\n", 0, ALL_T, LEFT_DONE, OUTCOME_OK, true, 0 },
	{ PHASE_DOT, "!", 0, ALL_T, LEFT_DONE, OUTCOME_OK, true, 0 },
	{ PHASE_DOT, "", 0, ALL_T, LEFT_DONE, OUTCOME_OK, true, 0 },
	{ PHASE_DOT, "250 2.0.0 taken\r\n", 0, "OOO", LEFT_DONE, OUTCOME_OK, false, 250 },
};

START_TEST(each_answer_has_its_conclusion)
{
	const struct row *row = &rows[_i / 2];
	struct world w;
	char got[RCPTS + 1];

	world_open(&w, "\r\nHello.\r\n", 25);
	w.server.pipelining = _i % 2 == 1;
	w.server.say[row->phase] = row->say;
	w.server.rcpt_at = row->rcpt_at;
	play(&w);
	letters(&w, got);
	ck_assert_msg(strcmp(got, row->want) == 0 && w.how == row->how && w.closed == row->closed,
	    "%s '%s'%s: got %s how %d closed %d", phase_word((uint8_t)row->phase), row->say,
	    w.server.pipelining ? " pipelined" : "", got, w.how, w.closed);
	if (row->how == LEFT_NEXT_HOP) {
		ck_assert_msg(w.kind == row->failure && w.code == row->code,
		    "%s '%s': kind %d code %u", phase_word((uint8_t)row->phase), row->say, w.kind,
		    w.code);
	} else {
		const struct job_rcpt *r =
		    &w.d->rcpts[row->phase == PHASE_RCPT && row->rcpt_at != 0 ? row->rcpt_at - 1
									      : 0];

		ck_assert_msg(r->code == row->code, "%s '%s': code %u",
		    phase_word((uint8_t)row->phase), row->say, r->code);
		ck_assert_uint_eq(r->enh[0], r->kind == OUTCOME_OK     ? 2
					     : r->kind == OUTCOME_TEMP ? 4
								       : 5);
		ck_assert_uint_eq(w.d->nopen, 0);
	}
	world_close(&w);
}
END_TEST

/* A reply while content is still going out: only a no counts. */
static const struct {
	const char *say;
	const char *want;
} early[] = { { "554 no\r\n", ALL_P }, { "552 no\r\n", ALL_P }, { "521 no\r\n", ALL_P },
	{ "451 no\r\n", ALL_T }, { "421 no\r\n", ALL_T }, { "250 yes\r\n", ALL_T },
	{ "354 yes\r\n", ALL_T }, { "x\r\n", ALL_T }, { "!", ALL_T } };

START_TEST(a_reply_during_the_body)
{
	size_t n = 3000000;
	char *body = malloc(n + 1), got[RCPTS + 1];
	struct world w;

	/* More than the sockets hold, so that the body is still under way when the server speaks.
	 */
	for (size_t i = 0; i < n; i++)
		body[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : 'x';
	memcpy(body, "\r\n", 2);
	memcpy(body + n - 2, "\r\n", 2);
	body[n] = '\0';
	world_open(&w, body, 25);
	w.server.pipelining = true;
	w.server.say[PHASE_EHLO] = "250-server\r\n250 PIPELINING\r\n";
	w.server.say[PHASE_BODY] = early[_i].say;
	play(&w);
	letters(&w, got);
	ck_assert_msg(strcmp(got, early[_i].want) == 0 && w.closed, "'%s': %s", early[_i].say, got);
	world_close(&w);
	free(body);
}
END_TEST

START_TEST(the_message_goes_out_as_it_must)
{
	struct world w;

	world_open(&w, "\r\n.dot\r\n..two\r\n", 25);
	play(&w);
	ck_assert(slice_is(
	    slice_buf(&w.server.body), "Received: by us\nSubject: test\n\n..dot\n...two\n"));
	buf_putc(&w.server.heard, '\0');
	ck_assert_str_eq(w.server.heard.p,
	    "EHLO us.example\nMAIL FROM:<from@a.example> SIZE=47 RET=HDRS\n"
	    "RCPT TO:<to0@b.example> NOTIFY=FAILURE,DELAY\nRCPT TO:<to1@b.example> "
	    "NOTIFY=FAILURE,DELAY\n"
	    "RCPT TO:<to2@b.example> NOTIFY=FAILURE,DELAY\nDATA\n");
	world_close(&w);
}
END_TEST

START_TEST(who_knows_priorities_hears_of_it)
{
	struct world w;

	world_open(&w, "\r\nx\r\n", 25);
	w.server.say[PHASE_EHLO] = "250-server\r\n250 MT-PRIORITY MIXER\r\n";
	play(&w);
	buf_putc(&w.server.heard, '\0');
	ck_assert_ptr_nonnull(
	    strstr(w.server.heard.p, "\nMAIL FROM:<from@a.example> MT-PRIORITY=-5\n"));
	world_close(&w);
}
END_TEST

/* 452 after some were taken: the rest goes in the next transaction, at once. */
START_TEST(too_many_recipients_go_again)
{
	struct world w;
	char got[RCPTS + 1];

	world_open(&w, "\r\nx\r\n", 25);
	w.server.pipelining = _i == 1;
	w.server.say[PHASE_RCPT] = "452 4.5.3 too many\r\n";
	w.server.rcpt_at = 2;
	play(&w);
	letters(&w, got);
	ck_assert_str_eq(got, "OOO");
	ck_assert_uint_eq(w.server.transactions, 2);
	world_close(&w);
}
END_TEST

START_TEST(ehlo_unknown_helo_serves)
{
	struct world w;
	char got[RCPTS + 1];

	world_open(&w, "\r\nx\r\n", 25);
	/* The first of two greetings is refused: the script is switched when EHLO was heard. */
	w.server.say[PHASE_EHLO] = "500 what\r\n";
	{
		struct session_params p = { .loop = w.loop,
			.loader = w.loader,
			.helo = "us.example",
			.owner = &owner,
			.arg = &w };
		int pair[2];

		ck_assert_int_eq(
		    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
		w.server.conn = conn_new(w.loop, pair[1], &server_ops, &w.server);
		say(&w.server, PHASE_BANNER);
		session_open_fd(&p, pair[0], w.d);
		while (w.server.heard.n == 0)
			loop_turn(w.loop, true);
		w.server.say[PHASE_EHLO] = "250 server\r\n";
		until_left(&w);
	}
	letters(&w, got);
	ck_assert_str_eq(got, "OOO");
	buf_putc(&w.server.heard, '\0');
	ck_assert_ptr_nonnull(strstr(w.server.heard.p,
	    "HELO us.example\nMAIL FROM:<from@a.example>\nRCPT TO:<to0@b.example>\n"));
	world_close(&w);
}
END_TEST

START_TEST(larger_than_the_server_says)
{
	struct world w;

	world_open(&w, "\r\nxxxxxxxxxxxxxxxxxxxxxxx\r\n", 25);
	w.server.say[PHASE_EHLO] = "250-server\r\n250 SIZE 20\r\n";
	play(&w);
	ck_assert_int_eq(w.d->rcpts[0].kind, OUTCOME_PERM);
	ck_assert_uint_eq(w.d->rcpts[0].enh[1], 3);
	ck_assert_uint_eq(w.server.transactions, 0);
	world_close(&w);
}
END_TEST

START_TEST(a_damaged_record_is_not_sent)
{
	struct world w;
	char x = '?';

	world_open(&w, "\r\nHello.\r\n", 25);
	ck_assert(pwrite(w.d->segment->fd, &x, 1, (off_t)(SEGMENT_HEADER + w.d->length - 70)) == 1);
	play(&w);
	ck_assert(w.d->rcpts[0].damaged);
	ck_assert_uint_eq(w.server.transactions, 0);
	world_close(&w);
}
END_TEST

/* Whatever wrote the record: no line of ours carries a second command. */
START_TEST(an_envelope_is_not_code)
{
	struct world w;

	sender = "a@b>\r\nRCPT TO:<evil@c.example>\r\nX:<";
	world_open(&w, "\r\nHello.\r\n", 25);
	sender = "from@a.example"; /* tests may share a process */
	play(&w);
	ck_assert(w.d->rcpts[0].damaged);
	ck_assert_uint_eq(w.server.transactions, 0);
	world_close(&w);
}
END_TEST

static void
open_again(struct delivery *d)
{
	for (int i = 0; i < RCPTS; i++) {
		d->rcpts[i].state = RCPT_OPEN;
		free(d->rcpts[i].text);
		d->rcpts[i].text = NULL;
	}
	d->nopen = RCPTS;
}

/* Refused here, with no callback of the connection under way: the owner may quit it from left(). */
START_TEST(quit_as_soon_as_left)
{
	struct world w;
	char x = '?';

	world_open(&w, "\r\nHello.\r\n", 25);
	play(&w);
	ck_assert(!w.closed && w.how == LEFT_DONE);
	open_again(w.d);
	loader_unload(w.loader, w.d);
	ck_assert(pwrite(w.d->segment->fd, &x, 1, (off_t)(SEGMENT_HEADER + w.d->length - 70)) == 1);
	w.quits = true;
	w.left = false;
	session_take(w.s, w.d);
	ck_assert(w.left && w.d->rcpts[0].damaged);
	ck_assert_uint_eq(w.server.transactions, 1);
	world_close(&w);
}
END_TEST

/* An idle connection that the server had closed costs nothing but a new one. */
START_TEST(a_stale_connection_is_no_failure)
{
	struct world w;

	world_open(&w, "\r\nHello.\r\n", 25);
	play(&w);
	ck_assert(!w.closed && w.how == LEFT_DONE);
	open_again(w.d);
	conn_free(w.server.conn);
	w.server.conn = NULL;
	session_take(w.s, w.d);
	until_left(&w);
	ck_assert_int_eq(w.how, LEFT_STALE);
	ck_assert_uint_eq(w.d->nopen, RCPTS);
	world_close(&w);
}
END_TEST

/* Real sockets: nobody listens; somebody listens who takes nobody in. */
START_TEST(no_connection)
{
	struct addr at = { .port = 0 };
	struct sockaddr_storage ss;
	socklen_t n;
	struct world w;
	int fd, extra[4];
	struct session_params p;

	ck_assert(addr_host_parse(SLICE_LIT("127.0.0.1"), at.host));
	fd = listen_tcp(&at, 0);
	ck_assert_int_ge(fd, 0);
	n = sizeof ss;
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
	ck_assert(addr_of(&ss, &at));
	if (_i == 0)
		close(fd);
	for (int i = 0; _i == 1 && i < 4; i++) {
		extra[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(extra[i], (struct sockaddr *)&ss, n);
	}
	world_open(&w, "\r\nx\r\n", at.port);
	p = (struct session_params){
		.loop = w.loop, .loader = w.loader, .helo = "us", .owner = &owner, .arg = &w
	};
	ck_assert_ptr_nonnull(session_open(&p, w.d));
	until_left(&w);
	ck_assert_int_eq(w.how, LEFT_NEXT_HOP);
	ck_assert_int_eq(w.kind, OUTCOME_TEMP);
	world_close(&w);
	for (int i = 0; _i == 1 && i < 4; i++)
		close(extra[i]);
	if (_i == 1)
		close(fd);
}
END_TEST

/* No hole in the table where the machine can get to. */
START_TEST(every_row_is_there)
{
	for (int p = PHASE_BANNER; p <= PHASE_RSET; p++)
		for (int h = 0; h < HAPPENED_COUNT; h++)
			ck_assert_ptr_nonnull(verdict((enum delivery_phase)p, (enum happened)h));
	/* PERM never comes of silence, loss or nonsense. */
	for (int p = PHASE_BANNER; p <= PHASE_RSET; p++)
		for (int h = SAID_GARBAGE; h < HAPPENED_COUNT; h++)
			ck_assert_int_ne(
			    verdict((enum delivery_phase)p, (enum happened)h)->kind, OUTCOME_PERM);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(
	    tc, each_answer_has_its_conclusion, 0, 2 * (int)(sizeof rows / sizeof *rows));
	tcase_add_loop_test(tc, a_reply_during_the_body, 0, sizeof early / sizeof *early);
	tcase_add_test(tc, the_message_goes_out_as_it_must);
	tcase_add_test(tc, who_knows_priorities_hears_of_it);
	tcase_add_loop_test(tc, too_many_recipients_go_again, 0, 2);
	tcase_add_test(tc, ehlo_unknown_helo_serves);
	tcase_add_test(tc, larger_than_the_server_says);
	tcase_add_test(tc, a_damaged_record_is_not_sent);
	tcase_add_test(tc, an_envelope_is_not_code);
	tcase_add_test(tc, quit_as_soon_as_left);
	tcase_add_test(tc, a_stale_connection_is_no_failure);
	tcase_add_loop_test(tc, no_connection, 0, 2);
	tcase_add_test(tc, every_row_is_there);
}
CHECK_MAIN("session", cases)
