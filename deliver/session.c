/* SPDX-License-Identifier: ISC */
#include "deliver/session.h"

#include "base/die.h"
#include "base/metrics.h"
#include "deliver/content.h"
#include "deliver/session_impl.h"
#include "smtp/ehlo.h"

#include <errno.h>
#include <stdlib.h>

enum { IDLE_MS = 5000, QUIT_MS = 2000, MESSAGES_DEFAULT = 1000 };

static const struct conn_ops conn_ops;
static void broke(struct session *s, enum happened what);

/* RFC 5321 4.5.3.2, where the job says nothing. */
static uint32_t
limit_ms(const struct session *s, enum delivery_phase phase)
{
	static const uint32_t minute = 60 * 1000;
	const struct job_limits *l = &s->d->limits;

	switch (phase) {
	case PHASE_CONNECT:
		return l->connect_ms != 0 ? l->connect_ms : minute / 2;
	case PHASE_BANNER:
		return l->banner_ms != 0 ? l->banner_ms : 5 * minute;
	case PHASE_EHLO:
		return l->helo_ms != 0 ? l->helo_ms : 5 * minute;
	case PHASE_MAIL:
		return l->mail_ms != 0 ? l->mail_ms : 5 * minute;
	case PHASE_RCPT:
		return l->rcpt_ms != 0 ? l->rcpt_ms : 5 * minute;
	case PHASE_DATA:
		return l->data_ms != 0 ? l->data_ms : 2 * minute;
	case PHASE_BODY:
		return l->body_ms != 0 ? l->body_ms : 3 * minute;
	case PHASE_DOT:
		return l->dot_ms != 0 ? l->dot_ms : 10 * minute;
	case PHASE_RSET:
	case PHASE_NONE:
	case PHASE_LOCAL:
	case PHASE_COUNT:
		break;
	}
	return minute;
}

void
session_wait(struct session *s, enum delivery_phase phase)
{
	s->phase = phase;
	conn_deadline(s->conn, limit_ms(s, phase));
}

static void
destroy(void *arg)
{
	struct session *s = arg;

	reply_parser_fini(&s->replies);
	free(s->asked);
	free(s);
}

/* The connection goes at once; the rest at the turn's end, since callers up the stack still look at
 * it. */
static void
session_free(struct session *s)
{
	if (s->freed)
		return;
	s->freed = true;
	conn_free(s->conn);
	s->conn = NULL;
	s->end = (struct deferred){ .fn = destroy, .arg = s };
	loop_defer(s->p.loop, &s->end);
}

/* Lets go of the job; frees the session where it is closed. */
static void
leave(struct session *s, enum session_left how, const struct failure *f)
{
	struct delivery *d = s->d;

	d->conn_use = s->uses;
	d->session = NULL;
	s->waits_content = false;
	transaction_leave(s);
	s->d = NULL;
	s->phase = PHASE_NONE;
	s->p.owner->left(s, d, how, f, s->closed, s->p.arg);
	if (s->closed)
		session_free(s);
}

const uint8_t *
session_enh(const struct verdict *v, const uint8_t enh[3])
{
	return enh[0] == 0 || (v->kind == OUTCOME_PERM) != (enh[0] == 5) ? v->enh : enh;
}

static bool
asked(const struct job_rcpt *r)
{
	return r->state == RCPT_ASKED || r->state == RCPT_ACCEPTED;
}

void
session_end_asked(struct session *s, enum outcome_kind kind, uint16_t code, const uint8_t enh[3],
    struct slice text)
{
	for (uint32_t i = 0; i < s->nasked; i++)
		if (asked(&s->d->rcpts[s->asked[i]]))
			delivery_end_rcpt(
			    s->d, &s->d->rcpts[s->asked[i]], kind, s->phase, code, enh, text);
}

/* Those without a conclusion begin anew elsewhere. */
static void
unask(struct session *s)
{
	for (uint32_t i = 0; i < s->nasked; i++)
		if (asked(&s->d->rcpts[s->asked[i]]))
			s->d->rcpts[s->asked[i]].state = RCPT_OPEN;
	s->nasked = 0;
}

void
session_fail(struct session *s, const struct verdict *v, uint16_t code, const uint8_t enh[3],
    struct slice text)
{
	struct failure f = { .kind = v->kind,
		.phase = s->phase,
		.code = code,
		.text = text.n > 0 ? text : slice_z(v->text) };
	enum session_left how;

	memcpy(f.enh, session_enh(v, enh), 3);
	s->closed = true;
	/* What a server dropped while it was idle says nothing about this message. */
	if (s->phase == PHASE_MAIL && !s->heard && s->reused && (code == 0 || code == 421))
		how = LEFT_STALE;
	else if (v->then == THEN_NEXT_HOP)
		how = s->d->nopen > 0 ? LEFT_NEXT_HOP : LEFT_DONE;
	else {
		if (v->about != ABOUT_NOBODY)
			session_end_asked(s, f.kind, f.code, f.enh, f.text);
		/* Recipients of a transaction to come have nothing to do with this one's fate. */
		how = s->d->nopen > 0 ? LEFT_STALE : LEFT_DONE;
	}
	unask(s);
	leave(s, how, &f);
}

void
session_done(struct session *s)
{
	uint32_t most = s->d->limits.messages != 0 ? s->d->limits.messages : MESSAGES_DEFAULT;

	if (s->uses < most)
		conn_deadline(s->conn, IDLE_MS);
	else if (s->d->limits.tell != 0)
		session_part(s);
	else {
		s->closed = true;
		conn_put(s->conn, "QUIT\r\n", 6);
		conn_finish(s->conn);
		s->conn = NULL;
	}
	leave(s, LEFT_DONE, NULL);
}

static void
broke(struct session *s, enum happened what)
{
	static const uint8_t none[3];

	if (s->d == NULL) {
		s->p.owner->idle_ended(s, s->p.arg);
		session_free(s);
		return;
	}
	/* A transaction whose conclusion stands already loses only its connection. */
	if (s->d->nopen == 0 || s->phase == PHASE_RSET) {
		s->closed = true;
		leave(s, s->d->nopen == 0 ? LEFT_DONE : LEFT_STALE, NULL);
		return;
	}
	session_fail(s, verdict(s->phase, what), 0, none, SLICE_NONE);
}

static void
say_ehlo(struct session *s, const char *verb)
{
	buf_printf(conn_out(s->conn), "%s %s\r\n", verb, s->p.helo);
	session_wait(s, PHASE_EHLO);
}

static void
greeted(struct session *s, const struct reply_in *r)
{
	enum happened what = happened_of(r->code);
	const struct verdict *v = verdict(s->phase, what);
	struct ehlo e;

	if (v->then == THEN_HELO && s->said_helo)
		v = verdict(PHASE_NONE, SAID_5XX);
	if (v->then == THEN_HELO && s->lmtp) /* no LMTP server: the configuration is wrong */
		v = verdict(s->phase, SAID_4XX);
	if (v->then == THEN_HELO) {
		s->said_helo = true;
		say_ehlo(s, "HELO");
		return;
	}
	if (v->then != THEN_GO_ON) {
		session_fail(s, v, r->code, r->enh, r->text);
		return;
	}
	if (s->phase == PHASE_BANNER) {
		say_ehlo(s, s->lmtp ? "LHLO" : "EHLO");
		return;
	}
	if (!s->said_helo) {
		ehlo_parse(r, &e);
		s->ext = e.ext;
		s->size_limit = e.size_bytes;
	}
	transaction_begin(s);
}

static void
reply(struct session *s, const struct reply_in *r)
{
	switch (s->phase) {
	case PHASE_BANNER:
	case PHASE_EHLO:
		greeted(s, r);
		break;
	case PHASE_MAIL:
	case PHASE_RCPT:
	case PHASE_DATA:
	case PHASE_BODY:
	case PHASE_DOT:
	case PHASE_RSET:
		transaction_reply(s, r);
		break;
	case PHASE_NONE: /* idle: whatever it says (421 mostly), the connection is worth nothing
			    more */
	case PHASE_CONNECT:
	case PHASE_LOCAL:
	case PHASE_COUNT:
		broke(s, CONN_LOST);
		break;
	}
}

static void
on_input(struct conn *c, void *arg)
{
	struct session *s = arg;
	struct reply_in r;
	size_t used;

	/* A reply may end the session. */
	while (s->conn != NULL && conn_in(c).n > 0) {
		enum reply_step step = reply_feed(&s->replies, conn_in(c), &used, &r);

		conn_take(c, used);
		if (step == REPLY_MORE)
			break;
		if (step == REPLY_BAD) {
			broke(s, SAID_GARBAGE);
			break;
		}
		/* What was not asked for has nothing to do with our commands. */
		if (s->waits_content) {
			broke(s, CONN_LOST);
			break;
		}
		if (r.code != 421)
			s->heard = true;
		reply(s, &r);
	}
}

static void
on_connected(struct conn *c, void *arg)
{
	(void)c;
	session_wait(arg, PHASE_BANNER);
}

static void
on_closed(struct conn *c, int err, void *arg)
{
	struct session *s = arg;
	static const uint8_t none[3];

	(void)c;
	if (s->phase == PHASE_CONNECT && s->d != NULL &&
	    err != 0) /* refused, unreachable: worth a word */
		session_fail(s, verdict(PHASE_CONNECT, CONN_LOST), 0, none, slice_z(strerror(err)));
	else
		broke(s, CONN_LOST);
}

static void
on_expired(struct conn *c, void *arg)
{
	struct session *s = arg;

	if (s->d == NULL && s->parting)
		broke(s, CONN_TIMEOUT);
	else if (s->d == NULL)
		s->p.owner->idle_expired(s, s->p.arg);
	if (s->d == NULL)
		return;
	/* The limit is for each block that the receiver takes, not for the whole (RFC
	 * 5321 4.5.3.2.5). */
	if (s->phase == PHASE_BODY && conn_pending(c) < s->body_left) {
		s->body_left = conn_pending(c);
		session_wait(s, PHASE_BODY);
		return;
	}
	broke(s, CONN_TIMEOUT);
}

static void
on_drained(struct conn *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	if (s->phase == PHASE_BODY)
		transaction_body_sent(s);
}

static const struct conn_ops conn_ops = {
	.connected = on_connected,
	.input = on_input,
	.closed = on_closed,
	.expired = on_expired,
	.drained = on_drained,
};

static struct session *
session_new(const struct session_params *p, struct delivery *d)
{
	struct session *s = xcalloc(1, sizeof *s);

	s->p = *p;
	s->d = d;
	s->lmtp = slice_is(d->route.transport, "lmtp");
	d->session = s;
	d->state = JOB_ACTIVE;
	return s;
}

/* A hop of LMTP may be a socket: unix:/path. */
static struct slice
socket_path(struct slice host)
{
	return slice_istarts(host, "unix:") ? slice_from(host, 5) : host;
}

static bool
is_path(struct slice host)
{
	return slice_istarts(socket_path(host), "/");
}

struct session *
session_open(const struct session_params *p, struct delivery *d)
{
	static const uint8_t none[16];
	const struct job_host *host = &d->hosts[d->hop];
	bool path = is_path(host->name);
	struct session *s;

	slice_copy(host->name, d->host, sizeof d->host);
	d->addr = (struct addr){ .port = host->port };
	memcpy(d->addr.host, host->ip, sizeof d->addr.host);
	if (!path && memcmp(host->ip, none, sizeof none) == 0) {
		errno = EADDRNOTAVAIL;
		return NULL;
	}
	s = session_new(p, d);
	metric_add(METRIC_DELIVER_CONNECTS, 1);
	s->conn =
	    path ? conn_connect_path(p->loop, socket_path(host->name), &conn_ops, s)
		 : conn_connect(p->loop, &d->addr, d->has_source ? &d->source : NULL, &conn_ops, s);
	if (s->conn == NULL) {
		int err = errno;

		d->session = NULL;
		d->state = JOB_NEW;
		free(s);
		errno = err;
		return NULL;
	}
	s->host_of = d->addr;
	session_wait(s, PHASE_CONNECT);
	return s;
}

struct session *
session_open_fd(const struct session_params *p, int fd, struct delivery *d)
{
	struct session *s = session_new(p, d);

	s->conn = conn_new(p->loop, fd, &conn_ops, s);
	session_wait(s, PHASE_BANNER);
	return s;
}

void
session_take(struct session *s, struct delivery *d)
{
	s->d = d;
	s->reused = true;
	d->session = s;
	d->state = JOB_ACTIVE;
	slice_copy(d->hosts[d->hop].name, d->host, sizeof d->host);
	d->addr = s->host_of;
	transaction_begin(s);
}

void
session_quit(struct session *s)
{
	conn_put(s->conn, "QUIT\r\n", 6);
	conn_finish(s->conn);
	s->conn = NULL;
	session_free(s);
}

void
session_part(struct session *s)
{
	s->parting = true;
	conn_put(s->conn, "QUIT\r\n", 6);
	conn_deadline(s->conn, QUIT_MS);
}

bool
session_is_parting(const struct session *s)
{
	return s->parting;
}

uint32_t
session_uses(const struct session *s)
{
	return s->uses;
}

struct session_hang *
session_hang(struct session *s)
{
	return &s->hang;
}
