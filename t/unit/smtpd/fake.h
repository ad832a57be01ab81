/* SPDX-License-Identifier: ISC */
#ifndef UNIT_SMTPD_FAKE_H
#define UNIT_SMTPD_FAKE_H

#include "base/clock.h"
#include "base/die.h"
#include "base/id.h"
#include "base/log.h"
#include "smtpd/session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * A world for sessions without a loop: input and output are buffers, router answers by the domain
 * of the recipient, the disk is a list. What waits is answered by fake_turn(), in which order may
 * be chosen.
 *
 *	nobody@..., ...@refused.example   refused 550 5.1.1
 *	...@temp.example                  451
 *	...@silent.example                never, until fake_silence_ends()
 *	...@hold.example                  taken, no route
 *	any other                         to the next hops
 */
struct commit_token {
	int fake;
};

enum { FAKE_ASKED_MAX = 256, FAKE_KEPT_MAX = 4096 };

struct fake {
	struct session_world world;
	struct intake intake;
	struct session *session; /* NULL: it hung up */
	struct session memory;
	struct buf in, out;
	size_t in_taken;
	const struct conf *conf;
	struct rcpt *asked[FAKE_ASKED_MAX];
	unsigned nasked, asked_ever, open_most;
	bool answer_last_first;
	struct letter *letters, **letters_end;
	enum letter_fate fate;
	enum writer_room room;
	bool no_id;
	uint64_t next_id, deadline_ms;
	bool paused;
	bool held; /* replies are not sent yet */
	unsigned committed;
	/* Of the last letter that was committed: */
	struct buf content, envelope;
	uint32_t nrcpt, flags;
	size_t head_bytes;
};

static struct slice
fake_io_in(void *io)
{
	struct fake *f = io;

	return slice_from(slice_buf(&f->in), f->in_taken);
}

static void
fake_io_take(void *io, size_t n)
{
	struct fake *f = io;

	assert(f->in_taken + n <= f->in.n);
	f->in_taken += n;
}

static struct buf *
fake_io_out(void *io)
{
	return &((struct fake *)io)->out;
}

static size_t
fake_io_pending(void *io)
{
	return ((struct fake *)io)->out.n;
}

static void
fake_io_deadline(void *io, uint64_t ms)
{
	((struct fake *)io)->deadline_ms = ms;
}

static void
fake_io_pause(void *io, bool pause)
{
	((struct fake *)io)->paused = pause;
}

static void
fake_io_hold(void *io, bool hold)
{
	((struct fake *)io)->held = hold;
}

static void
fake_io_hang_up(void *io)
{
	struct fake *f = io;

	session_fini(f->session);
	f->session = NULL;
}

static const struct session_io fake_io = { fake_io_in, fake_io_take, fake_io_out, fake_io_pending,
	fake_io_deadline, fake_io_pause, fake_io_hold, fake_io_hang_up };

static bool
fake_ask(void *arg, struct session *s, struct rcpt *r)
{
	struct fake *f = arg;

	assert(r->session == s);
	if (f->nasked == FAKE_ASKED_MAX)
		return false;
	f->asked[f->nasked++] = r;
	f->asked_ever++;
	if (f->nasked > f->open_most)
		f->open_most = f->nasked;
	return true;
}

static void
fake_forget(void *arg, struct rcpt *r)
{
	struct fake *f = arg;

	for (unsigned i = 0; i < f->nasked; i++)
		if (f->asked[i] == r) {
			memmove(
			    f->asked + i, f->asked + i + 1, (f->nasked - i - 1) * sizeof *f->asked);
			f->nasked--;
			return;
		}
	abort(); /* it is not open */
}

static enum writer_room
fake_room(void *arg, uint64_t bytes, uint64_t floor_bytes)
{
	(void)bytes;
	(void)floor_bytes;
	return ((struct fake *)arg)->room;
}

static uint64_t
fake_next_id(void *arg)
{
	struct fake *f = arg;

	return f->no_id ? 0 : f->next_id++;
}

static void
fake_submit(void *arg, struct letter *l)
{
	struct fake *f = arg;

	l->next = NULL;
	*f->letters_end = l;
	f->letters_end = &l->next;
}

static inline void
fake_begin(struct fake *f)
{
	assert(f->session == NULL);
	buf_reset(&f->in);
	buf_reset(&f->out);
	f->in_taken = 0;
	session_init(&f->memory, &f->world, &fake_io, f, conf_ref(f->conf));
	f->session = &f->memory;
	f->memory.client.host[10] = f->memory.client.host[11] = 0xff;
	memcpy(f->memory.client.host + 12, "\xc0\x00\x02\x01", 4);
	if (f->world.class == CLASS_LOCAL) {
		f->memory.client = (struct addr){ 0 };
		f->memory.by_user = true;
		f->memory.uid = 1000;
	}
	session_greet(f->session);
}

/* Lines behind the defaults of the tests. */
static inline const struct conf *
fake_conf(const char *lines)
{
	struct buf text = { 0 }, err = { 0 };
	struct conf *c;

	buf_printf(&text, "hostname = \"mx.test.example\"\nmyorigin = \"test.example\"\n%s", lines);
	if (conf_parse(slice_buf(&text), "fake", &c, &err) != 0)
		die(EXIT_CONFIG, "%.*s", SLICE_ARG(slice_buf(&err)));
	buf_fini(&text);
	return c;
}

/* Takes the reference. The session has been greeted. */
static inline void
fake_init_conf(struct fake *f, uint8_t class, const struct conf *conf)
{
	*f = (struct fake){ .next_id = 1, .conf = conf };
	log_open(SERVICE_SMTPD);
	intake_init(&f->intake, f->conf->in_flight_bytes, NULL, NULL);
	f->letters_end = &f->letters;
	f->world = (struct session_world){ .class = class,
		.intake = &f->intake,
		.ask = fake_ask,
		.forget = fake_forget,
		.room = fake_room,
		.next_id = fake_next_id,
		.submit = fake_submit,
		.arg = f };
	fake_begin(f);
}

static inline void
fake_init(struct fake *f, uint8_t class, const char *conf)
{
	fake_init_conf(f, class, fake_conf(conf));
}

static inline struct rcpt *
fake_next_question(struct fake *f, bool silent_too)
{
	for (unsigned i = 0; i < f->nasked; i++) {
		unsigned at = f->answer_last_first ? f->nasked - 1 - i : i;
		struct rcpt *r = f->asked[at];

		if (silent_too || !slice_iends(r->address, SLICE_LIT("@silent.example"))) {
			fake_forget(f, r);
			return r;
		}
	}
	return NULL;
}

static inline void
fake_answer(struct rcpt *r)
{
	struct msg_route m = { .action = ROUTE_DELIVER,
		.generation = 7,
		.route = SLICE_LIT("route"),
		.seal = SLICE_LIT("0123456789abcdef") };

	if (slice_istarts(r->address, "nobody@") ||
	    slice_iends(r->address, SLICE_LIT("@refused.example")))
		m = (struct msg_route){ .action = ROUTE_REFUSE,
			.code = 550,
			.enh_class = 5,
			.enh_subject = 1,
			.enh_detail = 1,
			.text = SLICE_LIT("No such user") };
	else if (slice_iends(r->address, SLICE_LIT("@temp.example")))
		m = (struct msg_route){ .action = ROUTE_TEMP };
	else if (slice_iends(r->address, SLICE_LIT("@hold.example")))
		m = (struct msg_route){ .action = ROUTE_HOLD, .text = SLICE_LIT("look at it") };
	session_answered(r->session, r, &m);
}

static inline void
fake_commit(struct fake *f)
{
	struct letter *l = f->letters;
	struct commit_token token = { 1 };

	f->letters = l->next;
	if (f->letters == NULL)
		f->letters_end = &f->letters;
	if (f->fate == LETTER_DURABLE) {
		f->committed++;
		buf_reset(&f->content);
		buf_slice(&f->content, slice_buf(&l->content));
		buf_reset(&f->envelope);
		buf_slice(&f->envelope, slice_buf(&l->envelope));
		f->nrcpt = l->nrcpt;
		f->flags = l->flags;
		f->head_bytes = l->head_bytes;
	}
	if (l->done != NULL)
		l->done(l, f->fate, f->fate == LETTER_DURABLE ? &token : NULL);
	letter_free(l);
}

/* Runs until nothing can be answered any more. */
static inline void
fake_turn(struct fake *f)
{
	struct rcpt *r;

	if (f->session != NULL && !f->paused)
		session_run(f->session);
	for (;;) {
		if ((r = fake_next_question(f, false)) != NULL)
			fake_answer(r);
		else if (f->letters != NULL)
			fake_commit(f);
		else
			break;
	}
	log_sent(log_pending(&(uint64_t){ 0 }).n, 0);
}

/* The client sends; false: the session has ended. */
static inline bool
fake_send(struct fake *f, struct slice bytes)
{
	if (f->session == NULL)
		return false;
	buf_drop(&f->in, f->in_taken);
	f->in_taken = 0;
	buf_slice(&f->in, bytes);
	fake_turn(f);
	return true;
}

static inline bool
fake_say(struct fake *f, const char *bytes)
{
	return fake_send(f, slice_z(bytes));
}

/* All that was replied since the last call; valid until the next one. */
static inline const char *
fake_heard(struct fake *f)
{
	static struct buf heard;

	buf_reset(&heard);
	buf_slice(&heard, slice_buf(&f->out));
	buf_putc(&heard, '\0');
	buf_reset(&f->out);
	return heard.p;
}

/* "250 354": the codes of all replies since the last call. */
static inline const char *
fake_codes(struct fake *f)
{
	static char codes[4096];
	struct slice out = slice_buf(&f->out), line;
	size_t n = 0;

	codes[0] = '\0';
	while (slice_next(&out, '\n', &line) && line.n > 3 && n + 5 < sizeof codes)
		if (line.p[3] == ' ')
			n += (size_t)snprintf(
			    codes + n, sizeof codes - n, "%s%.3s", n > 0 ? " " : "", line.p);
	buf_reset(&f->out);
	return codes;
}

static inline void
fake_fini(struct fake *f)
{
	if (f->session != NULL) {
		session_fini(f->session);
		f->session = NULL;
	}
	while (f->letters != NULL)
		fake_commit(f);
	assert(f->nasked == 0);
	assert(f->intake.used_bytes == 0);
	intake_fini(&f->intake);
	conf_unref(f->conf);
	buf_fini(&f->in);
	buf_fini(&f->out);
	buf_fini(&f->content);
	buf_fini(&f->envelope);
}

#endif
