/* SPDX-License-Identifier: ISC */
#include "smtpd/session.h"

#include "base/clock.h"
#include "base/id.h"
#include "commit/stream.h"
#include "smtpd/letter.h"
#include "smtpd/line.h"

#include <assert.h>
#include <bsd/stdlib.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Ids of sessions for the log: a random start for each process, then counted. */
static uint64_t
next_session_id(void)
{
	static uint64_t last;

	while (last == 0)
		arc4random_buf(&last, sizeof last);
	return ++last != 0 ? last : ++last;
}

static void
room_again(void *arg)
{
	struct session *s = arg;

	s->ops->pause(s->io, false);
	session_run(s);
}

void
session_init(struct session *s, struct session_world *world, const struct session_io *ops, void *io,
    const struct conf *conf)
{
	*s = (struct session){ .world = world,
		.ops = ops,
		.io = io,
		.conf = conf,
		.id = next_session_id(),
		.began_ms = clock_mono_ms(),
		.wait = { .go = room_again, .arg = s } };
	s->tx.refusal = REPLY_COUNT;
	world->sessions++;
}

void
session_fini(struct session *s)
{
	session_reset(s);
	intake_unwait(s->world->intake, &s->wait);
	free(s->helo);
	conf_unref(s->conf);
	s->world->sessions--;
}

/*
 * Deadlines: a command has command_timeout from the reply before it, however slowly its bytes
 * trickle in; message data has data_timeout from block to block. Neither goes beyond the session's
 * life.
 */
static void
set_deadline(struct session *s, uint64_t ms)
{
	uint64_t age = clock_mono_ms() - s->began_ms, left = 1;

	if (age < s->conf->session_time_ms)
		left = s->conf->session_time_ms - age;
	s->ops->deadline(s->io, ms < left ? ms : left);
}

/*
 * Replies
 */

static struct slice
host(const struct session *s)
{
	return slice_z(s->conf->hostname);
}

/* What stands for %s where the caller did not say. */
static struct slice
argument_of(const struct session *s, enum reply reply)
{
	static char limit[24];

	if (reply == REPLY_TOO_BIG) {
		snprintf(
		    limit, sizeof limit, "%llu", (unsigned long long)s->conf->message_size_limit);
		return slice_z(limit);
	}
	if (reply == REPLY_SHUTDOWN || reply == REPLY_TIMEOUT || reply == REPLY_TOO_MANY_ERRORS ||
	    reply == REPLY_TOO_MANY_SESSIONS || reply == REPLY_TOO_MANY_FROM_CLIENT ||
	    reply == REPLY_TOO_OFTEN || reply == REPLY_TROUBLE || reply == REPLY_NO_SERVICE ||
	    reply == REPLY_GREETING || reply == REPLY_HELO_OK)
		return host(s);
	return SLICE_NONE;
}

/* Behind replies that still wait for router this one waits too. */
static struct buf *
reply_begin(struct session *s)
{
	static struct buf held;

	if (s->nheld == 0)
		return s->ops->out(s->io);
	buf_reset(&held);
	return &held;
}

static void
held_put(struct session *s, struct rcpt *r, struct slice text)
{
	struct held_reply *h = arena_alloc(&s->tx.arena, sizeof *h);

	*h = (struct held_reply){ .rcpt = r, .text = text };
	if (s->nheld++ == 0) {
		s->held_end = &s->held;
		s->ops->hold(s->io, true);
	}
	*s->held_end = h;
	s->held_end = &h->next;
}

static void
reply_end(struct session *s, struct buf *b)
{
	if (s->nheld > 0)
		held_put(s, NULL, arena_slice(&s->tx.arena, slice_buf(b)));
}

void
session_hold(struct session *s, struct rcpt *r)
{
	held_put(s, r, SLICE_NONE);
}

void
session_put_reply(const struct session *s, struct buf *out, enum reply reply)
{
	struct slice arg = argument_of(s, reply);

	if (arg.p == NULL)
		buf_slice(out, reply_line(reply));
	else
		reply_format(out, reply, arg);
}

enum step
session_reply(struct session *s, enum reply reply, struct slice arg)
{
	struct buf *b = reply_begin(s);

	if (arg.p == NULL)
		session_put_reply(s, b, reply);
	else
		reply_format(b, reply, arg);
	reply_end(s, b);
	return STEP_AGAIN;
}

/*
 * True: it was one too many. Users of this host are not counted: of the thousands of recipients
 * that one message of theirs may have, each has its own reply.
 */
static bool
one_more_error(struct session *s, enum verb verb, unsigned code)
{
	s->refused++;
	tell_failed(&s->tell, verb);
	return code >= 500 && s->world->class != CLASS_LOCAL && ++s->errors >= s->conf->errors_max;
}

enum step
session_refuse(struct session *s, enum reply reply, struct slice arg)
{
	if (one_more_error(s, s->tell.verb, reply_code(reply)))
		return session_hang_up(s, REPLY_TOO_MANY_ERRORS);
	return session_reply(s, reply, arg);
}

enum step
session_refuse_text(struct session *s, unsigned code, const uint8_t enh[3], struct slice text)
{
	struct buf *b;

	if (one_more_error(s, s->tell.verb, code))
		return session_hang_up(s, REPLY_TOO_MANY_ERRORS);
	b = reply_begin(s);
	reply_put_text(b, code, enh, text);
	reply_end(s, b);
	return STEP_AGAIN;
}

/* Why a session ended, in words that readers of logs know. */
static const char *
reason_of(enum reply last)
{
	if (last == REPLY_TIMEOUT)
		return "timeout";
	if (last == REPLY_TOO_MANY_ERRORS)
		return "too many errors";
	return last == REPLY_PIPELINED ? "improper command pipelining" : NULL;
}

/* What waits for router is not waited for: the session's last word comes at once. */
enum step
session_hang_up(struct session *s, enum reply reply)
{
	if (reply != REPLY_SHUTDOWN)
		tell_reject(s, reply, SLICE_NONE);
	s->tell.end = reason_of(reply);
	session_reset(s);
	session_reply(s, reply, SLICE_NONE);
	return STEP_CLOSE;
}

/*
 * The transaction's end
 */

void
session_reset(struct session *s)
{
	for (struct held_reply *h = s->nheld > 0 ? s->held : NULL; h != NULL; h = h->next)
		if (h->rcpt != NULL && h->rcpt->asked) {
			s->world->forget(s->world->arg, h->rcpt);
			h->rcpt->asked = false;
		}
	if (s->nheld > 0)
		s->ops->hold(s->io, false);
	s->nheld = 0;
	s->held = NULL;
	s->held_end = NULL;
	if (s->phase == SESSION_COMMIT && s->tx.letter != NULL) {
		/* The letter is the writer's now: it goes to the disk, and nobody is told. */
		s->tx.letter->done = NULL;
		s->tx.letter = NULL;
	}
	intake_unwait(s->world->intake, &s->wait);
	s->flow_waits = false;
	tx_reset(&s->tx);
}

/*
 * Phases
 */

/* Takes the rest of a line that was too long; what is thrown away is counted. False: more comes. */
static bool
skip_rest(struct session *s)
{
	struct slice in = s->ops->in(s->io);
	size_t len;
	bool ended = line_skip(in, &s->skipped_cr, &len);

	s->skipped_bytes += len;
	s->ops->take(s->io, len);
	s->skip_line = !ended;
	return ended;
}

static enum step
line_too_long(struct session *s)
{
	s->skip_line = true;
	s->skipped_cr = false;
	tell_said(&s->tell, VERB_UNKNOWN);
	return session_refuse(s, REPLY_LINE_TOO_LONG, SLICE_NONE);
}

static enum step
read_command(struct session *s)
{
	struct slice line;
	size_t len;
	enum step step;

	if (s->skip_line && !skip_rest(s))
		return s->skipped_bytes > SESSION_SKIP_MAX
			   ? session_hang_up(s, REPLY_TOO_MANY_ERRORS)
			   : STEP_WAIT;
	if (s->ops->pending(s->io) > SESSION_OUT_MAX)
		return STEP_WAIT; /* a client that does not listen is not served */
	switch (line_next(s->ops->in(s->io), s->conf->command_line_max, &line, &len)) {
	case LINE_PART:
		return STEP_WAIT;
	case LINE_LONG:
		return s->nheld > 0 ? STEP_WAIT : line_too_long(s);
	case LINE_BROKEN:
		return s->nheld > 0 ? STEP_WAIT : session_hang_up(s, REPLY_BARE_LF);
	case LINE_WHOLE:
		break;
	}
	/* While router is asked, only more recipients are read. */
	if (s->nheld > 0 && (s->nheld >= SESSION_AHEAD || !verbs_is_rcpt(line)))
		return STEP_WAIT;
	step = verbs_run(s, line, s->ops->in(s->io).n > len);
	s->ops->take(s->io, len);
	if (step != STEP_CLOSE)
		set_deadline(s, s->phase == SESSION_COMMAND ? s->conf->command_timeout_ms
							    : s->conf->data_timeout_ms);
	return step;
}

/* A message that is refused is read to its end without being kept, and not for ever. */
static enum step
swallow(struct session *s, enum reply why)
{
	if (s->tx.refusal == REPLY_COUNT)
		s->tx.refusal = why;
	intake_discard(s->tx.letter);
	return s->tx.body.bytes / 2 > s->conf->message_size_limit
		   ? session_hang_up(s, s->tx.refusal)
		   : STEP_AGAIN;
}

static void letter_done(struct letter *l, enum letter_fate fate, const struct commit_token *proof);
static void close_session(struct session *s);

static enum step
commit(struct session *s)
{
	struct tx *tx = &s->tx;
	struct letter *l = tx->letter;
	struct letter_origin from = { .class = s->world->class,
		.proto = s->esmtp ? "ESMTP" : "SMTP",
		.helo = slice_z(s->helo),
		.client = s->client,
		.uid = s->uid,
		.session = s->id,
		.host = host(s),
		.generation = s->conf->generation };
	uint64_t id = s->world->next_id(s->world->arg);
	enum reply bad = REPLY_COUNT;

	if (s->by_user)
		from.proto = NULL;
	if (id == 0)
		bad = REPLY_DATA_TROUBLE;
	else if (!letter_seal(l, tx, &from, id, tx->body.seen))
		bad = REPLY_DATA_NO_MEMORY;
	if (bad != REPLY_COUNT) {
		tell_reject(s, bad, SLICE_NONE);
		session_reset(s);
		return session_refuse(s, bad, SLICE_NONE);
	}
	l->done = letter_done;
	l->arg = s;
	s->phase = SESSION_COMMIT;
	s->ops->deadline(s->io, 0);
	s->world->submit(s->world->arg, l);
	return STEP_WAIT;
}

static enum step
refuse_letter(struct session *s, enum reply why)
{
	tell_reject(s, why, SLICE_NONE);
	session_reset(s);
	return session_refuse(s, why, SLICE_NONE);
}

static enum reply
flow_trouble(int error)
{
	return error == -ENOSPC || error == -EDQUOT ? REPLY_NO_SPACE : REPLY_DATA_TROUBLE;
}

/* A piece of a large body is on the disk, or none will be: from the loop. */
static void
flow_ready(void *arg)
{
	struct session *s = arg;
	const struct stream *flow = s->tx.letter->stream;
	enum step step = STEP_AGAIN;

	if (s->phase == SESSION_SYNC) {
		if (!stream_is_finished(flow))
			return;
		s->phase = SESSION_COMMAND;
		set_deadline(s, s->conf->command_timeout_ms);
		step = stream_error(flow) == 0 ? commit(s)
					       : refuse_letter(s, flow_trouble(stream_error(flow)));
	} else if (!s->flow_waits || stream_is_full(flow))
		return;
	if (s->flow_waits) {
		s->flow_waits = false;
		s->ops->pause(s->io, false);
	}
	if (step == STEP_CLOSE)
		close_session(s);
	else
		session_run(s);
}

/* What came of a large body goes on to its file. */
static void
flow(struct session *s)
{
	struct letter *l = s->tx.letter;
	const struct letter_flow_to to = { .streams = s->world->streams,
		.floor_bytes = s->conf->disk_floor,
		.ready = flow_ready,
		.arg = s };

	l->class = s->world->class;
	switch (letter_flow(l, s->tx.body.seen, &to)) {
	case LETTER_STAYS:
		break;
	case LETTER_NO_FILE:
		(void)swallow(s, REPLY_NO_SPACE);
		break;
	case LETTER_ENDLESS_HEAD:
		(void)swallow(s, REPLY_DATA_BAD_HEADER);
		break;
	case LETTER_FLOWS:
		if (stream_error(l->stream) != 0)
			(void)swallow(s, flow_trouble(stream_error(l->stream)));
		break;
	}
}

/* The disk is slower than the client, which is not read meanwhile. */
static bool
flow_is_full(const struct session *s)
{
	const struct letter *l = s->tx.letter;

	return l->stream != NULL && stream_is_full(l->stream);
}

/* Data came to its end. */
static enum step
body_end(struct session *s)
{
	enum reply why = s->tx.refusal;

	s->tell.dot = true;
	s->phase = SESSION_COMMAND;
	set_deadline(s, s->conf->command_timeout_ms);
	s->tx.letter->class = s->world->class;
	if (why == REPLY_COUNT)
		why = letter_check(s->tx.letter, s->tx.body.seen, s->conf->received_max);
	if (why != REPLY_OK)
		return refuse_letter(s, why);
	if (s->tx.letter->stream == NULL)
		return commit(s);
	s->phase = SESSION_SYNC; /* flow_ready() goes on */
	s->ops->deadline(s->io, 0);
	stream_finish(s->tx.letter->stream);
	return STEP_WAIT;
}

/* No room in memory: the client is not read until there is, or until it has waited long enough. */
static enum step
wait_for_room(struct session *s)
{
	s->ops->pause(s->io, true);
	s->ops->deadline(s->io, SESSION_ROOM_WAIT_MS);
	intake_wait(s->world->intake, &s->wait);
	return STEP_WAIT;
}

/* A chunk came to its end: the message too, or it is refused, or more is to come. */
static enum step
chunk_end(struct session *s)
{
	char so_far[24];

	if (s->tx.last_chunk || s->tx.refusal != REPLY_COUNT)
		return body_end(s);
	s->phase = SESSION_COMMAND;
	set_deadline(s, s->conf->command_timeout_ms);
	snprintf(so_far, sizeof so_far, "%llu", (unsigned long long)s->tx.body.bytes);
	return session_reply(s, REPLY_CHUNK_OK, slice_z(so_far));
}

/* True: the message ends in `in`, or its chunk. */
static bool
decode(struct tx *tx, struct slice in, size_t *used, struct buf *out)
{
	if (tx->state != TX_CHUNK)
		return body_decode(&tx->body, in, used, out);
	in = slice_head(in, in.n < tx->chunk_left ? in.n : (size_t)tx->chunk_left);
	body_take(&tx->body, in, out);
	tx->chunk_left -= in.n;
	*used = in.n;
	if (tx->chunk_left == 0 && tx->last_chunk)
		body_take_end(&tx->body, out);
	return tx->chunk_left == 0;
}

static enum step
read_body(struct session *s)
{
	struct tx *tx = &s->tx;
	struct slice in = s->ops->in(s->io);
	bool keep = tx->refusal == REPLY_COUNT,
	     empty = tx->state == TX_CHUNK && tx->chunk_left == 0;
	bool end;
	size_t used;

	if ((in.n == 0 && !empty) || s->wait.prev != NULL || s->flow_waits)
		return STEP_WAIT;
	if (keep && !intake_charge(tx->letter, tx->letter->content.n + in.n + 2))
		return wait_for_room(s);
	end = decode(tx, in, &used, keep ? &tx->letter->content : NULL);
	s->ops->take(s->io, used);
	if (tx->body.bytes > s->conf->message_size_limit) {
		enum step step = swallow(s, REPLY_TOO_BIG);

		if (step == STEP_CLOSE)
			return step;
	} else if (keep && (tx->body.seen & (BODY_BARE_CR | BODY_BARE_LF)))
		(void)swallow(s, REPLY_DATA_BARE_CR_LF);
	else if (keep)
		flow(s);
	if (end)
		return tx->state == TX_CHUNK ? chunk_end(s) : body_end(s);
	set_deadline(s, s->conf->data_timeout_ms);
	if (flow_is_full(s)) {
		s->flow_waits = true;
		s->ops->pause(s->io, true);
	}
	return STEP_WAIT;
}

/* The bytes of a BDAT that was out of order must not be taken for commands (RFC 3030 section 2). */
static enum step
read_discard(struct session *s)
{
	size_t n = s->ops->in(s->io).n;

	if (n > s->discard_left)
		n = (size_t)s->discard_left;
	s->ops->take(s->io, n);
	s->discard_left -= n;
	s->skipped_bytes += n;
	if (s->skipped_bytes / 2 > s->conf->message_size_limit)
		return session_hang_up(s, s->discard_reply);
	if (s->discard_left > 0) {
		if (n > 0)
			set_deadline(s, s->conf->data_timeout_ms);
		return STEP_WAIT;
	}
	s->phase = SESSION_COMMAND;
	set_deadline(s, s->conf->command_timeout_ms);
	return session_refuse(s, s->discard_reply, SLICE_NONE);
}

static enum step
read_nothing(struct session *s)
{
	(void)s;
	return STEP_WAIT;
}

static enum step (*const read_phase[])(struct session *s) = {
	[SESSION_COMMAND] = read_command,
	[SESSION_BODY] = read_body,
	[SESSION_DISCARD] = read_discard,
	[SESSION_SYNC] = read_nothing,
	[SESSION_COMMIT] = read_nothing,
	[SESSION_CLOSED] = read_nothing,
};

static void
close_session(struct session *s)
{
	session_reset(s);
	s->phase = SESSION_CLOSED;
	s->ops->deadline(s->io, 0);
	s->ops->hang_up(s->io);
}

void
session_run(struct session *s)
{
	enum step step;

	do {
		if (s->finishing && s->phase == SESSION_COMMAND)
			step = session_hang_up(s, REPLY_SHUTDOWN);
		else
			step = read_phase[s->phase](s);
	} while (step == STEP_AGAIN);
	if (step == STEP_CLOSE)
		close_session(s);
}

/*
 * What runs after a wait
 */

/* The replies at the head that need to wait no longer go out. */
static void
held_flush(struct session *s)
{
	struct buf *out = s->ops->out(s->io);

	while (s->nheld > 0 && s->held->text.p != NULL) {
		buf_slice(out, s->held->text);
		s->held = s->held->next;
		s->nheld--;
	}
	if (s->nheld == 0)
		s->ops->hold(s->io, false);
}

/* Our own callers are told what ends here: sendmail -bv says it on. */
static bool
ends_here(const struct session *s, struct slice route)
{
	struct route r;

	return s->world->class == CLASS_LOCAL && route_get(route, &r) &&
	       slice_is(r.transport, "local");
}

/* What router said becomes the reply's text, in the arena until its turn comes. */
static bool
judge(struct session *s, struct rcpt *r, const struct msg_route *m, struct buf *text)
{
	uint8_t enh[3];

	if (m != NULL) {
		memcpy(
		    enh, (uint8_t[3]){ m->enh_class, m->enh_subject, m->enh_detail }, sizeof enh);
		switch ((enum route_action)m->action) {
		case ROUTE_DELIVER:
			if (m->route.n <= ROUTE_MAX && m->seal.n == ROUTE_SEAL) {
				r->route = arena_slice(&s->tx.arena, m->route);
				r->generation = m->generation;
				memcpy(r->seal, m->seal.p, ROUTE_SEAL);
			}
			buf_slice(text,
			    reply_line(ends_here(s, m->route) ? REPLY_RCPT_LOCAL : REPLY_RCPT_OK));
			return true;
		case ROUTE_EXPAND:
			/* Taken all the same: a notice is better than an exit code nobody reads. */
			if (s->world->class == CLASS_LOCAL && slice_is(m->rule, "unknown-user")) {
				buf_slice(text, reply_line(REPLY_RCPT_UNKNOWN));
				return true;
			}
			buf_slice(text, reply_line(REPLY_RCPT_OK));
			return true;
		case ROUTE_HOLD:
		case ROUTE_DROP:
			buf_slice(text, reply_line(REPLY_RCPT_OK));
			return true;
		case ROUTE_REFUSE:
			reply_put_text(
			    text, m->code >= 400 && m->code <= 599 ? m->code : 550, enh, m->text);
			return false;
		case ROUTE_TEMP:
			if (m->code < 400 || m->code > 499)
				break;
			reply_put_text(text, m->code, enh, m->text);
			return false;
		}
	}
	buf_slice(text, reply_line(REPLY_RCPT_TROUBLE));
	return false;
}

void
session_answered(struct session *s, struct rcpt *r, const struct msg_route *m)
{
	static struct buf text;
	struct held_reply *h = s->held;
	bool ok;

	while (h->rcpt != r)
		h = h->next;
	r->asked = false;
	buf_reset(&text);
	ok = judge(s, r, m, &text);
	if (!ok) {
		tell_refused(s, r->address, slice_buf(&text), m != NULL ? m->rule : SLICE_NONE);
		if (one_more_error(s, VERB_RCPT, text.p[0] == '5' ? 550 : 450)) {
			session_hang_up(s, REPLY_TOO_MANY_ERRORS);
			close_session(s);
			return;
		}
	} else if (!tx_has(&s->tx, r->address))
		tx_accept(&s->tx, r);
	h->text = arena_slice(&s->tx.arena, slice_buf(&text));
	held_flush(s);
	if (s->nheld == 0)
		set_deadline(s, s->conf->command_timeout_ms);
	session_run(s);
}

/* The only place that says 250 to a message: it takes the proof that a sync made it durable. */
static void
say_queued(struct session *s, uint64_t id, const struct commit_token *proof)
{
	char text[ID_TEXT + 1];

	assert(proof != NULL);
	id_text(id, text);
	session_reply(s, REPLY_QUEUED, slice_z(text));
	s->messages++;
	s->junk = 0;
}

static void
letter_done(struct letter *l, enum letter_fate fate, const struct commit_token *proof)
{
	struct session *s = l->arg;
	uint64_t id = l->id;

	assert(s->phase == SESSION_COMMIT && s->tx.letter == l);
	s->phase = SESSION_COMMAND;
	s->tx.letter = NULL; /* the writer frees it */
	session_reset(s);
	set_deadline(s, s->conf->command_timeout_ms);
	switch (fate) {
	case LETTER_DURABLE:
		say_queued(s, id, proof);
		break;
	case LETTER_TROUBLE:
		tell_reject(s, REPLY_DATA_TROUBLE, SLICE_NONE);
		session_refuse(s, REPLY_DATA_TROUBLE, SLICE_NONE);
		break;
	case LETTER_NO_SPACE:
		tell_reject(s, REPLY_NO_SPACE, SLICE_NONE);
		session_refuse(s, REPLY_NO_SPACE, SLICE_NONE);
		break;
	}
	session_run(s);
}

/*
 * Beginning and end
 */

void
session_greet(struct session *s)
{
	session_reply(s, REPLY_GREETING, SLICE_NONE);
	set_deadline(s, s->conf->command_timeout_ms);
}

void
session_turn_away(struct session *s, enum reply reply)
{
	session_hang_up(s, reply);
	close_session(s);
}

bool
session_is_asking(const struct session *s)
{
	return s->nheld > 0 || s->phase == SESSION_SYNC || s->phase == SESSION_COMMIT;
}

void
session_expired(struct session *s)
{
	if (s->phase == SESSION_BODY && (s->wait.prev != NULL || s->flow_waits)) {
		/* It waited for room, or for the disk, long enough: what it holds helps the others.
		 */
		intake_unwait(s->world->intake, &s->wait);
		s->flow_waits = false;
		(void)swallow(s, REPLY_DATA_NO_MEMORY);
		set_deadline(s, s->conf->data_timeout_ms);
		s->ops->pause(s->io, false);
		session_run(s);
		return;
	}
	session_hang_up(s, REPLY_TIMEOUT);
	close_session(s);
}

void
session_finish(struct session *s)
{
	s->finishing = true;
	if (s->phase == SESSION_COMMAND)
		session_run(s);
}
