/* SPDX-License-Identifier: ISC */
#include "base/clock.h"
#include "base/die.h"
#include "deliver/content.h"
#include "deliver/session_impl.h"
#include "smtp/body.h"
#include "smtp/ext.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RCPTS_DEFAULT = 100 };

static void
put_mail(struct session *s)
{
	const struct delivery *d = s->d;
	const struct envelope *e = &d->envelope;
	struct buf *b = conn_out(s->conn);

	buf_puts(b, "MAIL FROM:<");
	buf_slice(b, e->sender);
	buf_putc(b, '>');
	if (s->ext & EXT_SIZE)
		buf_printf(b, " SIZE=%llu", (unsigned long long)d->content.bytes);
	if ((s->ext & EXT_8BITMIME) &&
	    (e->body == BODY_8BITMIME || (d->content.flags & RECORD_EIGHT_BIT)))
		buf_puts(b, " BODY=8BITMIME");
	if ((s->ext & EXT_SMTPUTF8) && e->smtputf8)
		buf_puts(b, " SMTPUTF8");
	if ((s->ext & EXT_MT_PRIORITY) && e->priority != 0)
		buf_printf(b, " MT-PRIORITY=%d", e->priority);
	if (s->ext & EXT_DSN) {
		if (e->ret != 0)
			buf_puts(b, e->ret == RET_FULL ? " RET=FULL" : " RET=HDRS");
		if (e->envid.n > 0) {
			buf_puts(b, " ENVID=");
			buf_slice(b, e->envid);
		}
	}
	buf_puts(b, "\r\n");
}

static void
put_notify(struct buf *b, uint8_t notify)
{
	static const char *const words[] = { "NEVER", "SUCCESS", "FAILURE", "DELAY" };
	const char *sep = " NOTIFY=";

	for (unsigned i = 0; i < 4; i++)
		if (notify & 1U << i) {
			buf_puts(b, sep);
			buf_puts(b, words[i]);
			sep = ",";
		}
}

static void
put_rcpt(struct session *s, uint32_t i)
{
	struct job_rcpt *r = &s->d->rcpts[s->asked[i]];
	struct buf *b = conn_out(s->conn);

	r->dsn = (s->ext & EXT_DSN) != 0 && !s->lmtp;
	buf_puts(b, "RCPT TO:<");
	buf_slice(b, r->address);
	buf_putc(b, '>');
	if (s->ext & EXT_DSN) {
		put_notify(b, r->notify);
		if (r->orcpt.n > 0) {
			buf_puts(b, " ORCPT=");
			buf_slice(b, r->orcpt);
		}
	}
	buf_puts(b, "\r\n");
}

static void
choose_rcpts(struct session *s)
{
	struct delivery *d = s->d;
	uint32_t most = d->limits.rcpts != 0 ? d->limits.rcpts : RCPTS_DEFAULT;

	if (s->room < d->nrcpts) {
		s->asked = xrealloc(s->asked, d->nrcpts * sizeof *s->asked);
		s->room = d->nrcpts;
	}
	s->nasked = 0;
	for (uint32_t i = 0; i < d->nrcpts && s->nasked < most; i++)
		if (d->rcpts[i].state == RCPT_OPEN) {
			d->rcpts[i].state = RCPT_ASKED;
			s->asked[s->nasked++] = i;
		}
}

/* What we know ourselves, without asking the server. True: it is the end of this job. */
static bool
refused_here(struct session *s)
{
	struct delivery *d = s->d;
	static const uint8_t damaged[3] = { 5, 6, 0 }, too_large[3] = { 5, 3, 4 },
			     no_utf8[3] = { 5, 6, 7 };

	if (d->damage != NULL) {
		for (uint32_t i = 0; i < d->nrcpts; i++)
			d->rcpts[i].damaged = d->rcpts[i].state != RCPT_ENDED;
		delivery_end_open(d, OUTCOME_PERM, PHASE_LOCAL, 0, damaged, slice_z(d->damage));
	} else if ((s->ext & EXT_SIZE) && s->size_limit != 0 && d->content.bytes > s->size_limit)
		delivery_end_open(d, OUTCOME_PERM, PHASE_LOCAL, 552, too_large,
		    SLICE_LIT("the message is larger than the server's SIZE limit"));
	else if (d->envelope.smtputf8 && !(s->ext & EXT_SMTPUTF8))
		delivery_end_open(d, OUTCOME_PERM, PHASE_LOCAL, 553, no_utf8,
		    SLICE_LIT("the server does not offer SMTPUTF8"));
	else
		return false;
	session_done(s);
	return true;
}

static void
content_ready(struct delivery *d)
{
	struct session *s = d->session;

	if (s != NULL && s->waits_content) {
		s->waits_content = false;
		transaction_begin(s);
	} else if (d->ends_when_loaded)
		d->ended_fn(d);
}

void
transaction_begin(struct session *s)
{
	s->heard = false;
	s->phase = PHASE_MAIL;
	if (!s->d->loaded) {
		s->waits_content = true;
		conn_deadline(s->conn, 0);
		loader_load(s->p.loader, s->d, content_ready);
		return;
	}
	if (refused_here(s))
		return;
	s->uses++;
	if (s->d->mail_ms == 0)
		s->d->mail_ms = clock_mono_ms();
	s->at = s->naccepted = s->dot_at = 0;
	s->void_ = false;
	choose_rcpts(s);
	put_mail(s);
	s->pipelined = (s->ext & EXT_PIPELINING) != 0;
	if (s->pipelined) {
		for (uint32_t i = 0; i < s->nasked; i++)
			put_rcpt(s, i);
		conn_put(s->conn, "DATA\r\n", 6);
	}
	session_wait(s, PHASE_MAIL);
}

static bool
needs_encoding(const struct content *c)
{
	return (c->flags & (RECORD_HAS_DOT | RECORD_LONG_LINE | RECORD_NUL | RECORD_BARE |
			       RECORD_NO_END)) != 0 ||
	       c->bytes == 0;
}

/* The end of a body that went out in pieces. */
static void
end_body(struct session *s)
{
	feed_free(s->feed);
	s->feed = NULL;
	if (s->encodes) {
		body_encode_end(&s->encoder, conn_out(s->conn));
		conn_flush(s->conn);
	} else
		conn_put(s->conn, ".\r\n", 3);
	s->body_left = conn_pending(s->conn);
	session_wait(s, PHASE_BODY);
}

/* Without its end the server takes nothing of it. */
static void
body_unreadable(struct session *s, int error)
{
	session_fail(s, verdict(PHASE_BODY, CONN_LOST), 0, (uint8_t[3]){ 4, 3, 0 },
	    slice_z(strerrordesc_np(-error)));
}

/* A piece was read: it goes out, and transaction_body_sent() asks for the next one. */
static void
piece_ready(void *arg)
{
	struct session *s = arg;
	int error;
	struct slice piece = feed_piece(s->feed, &error);

	if (error != 0) {
		body_unreadable(s, error);
		return;
	}
	if (s->encodes)
		body_encode(&s->encoder, piece, conn_out(s->conn));
	else
		conn_put(s->conn, piece.p, piece.n);
	conn_flush(s->conn);
	s->body_left = conn_pending(s->conn);
	session_wait(s, PHASE_BODY);
}

/* The header section from memory, the body from the disk. */
static void
send_apart(struct session *s)
{
	const struct content *c = &s->d->content;

	s->encodes = needs_encoding(c);
	s->encoder = (struct body_encoder){ 0 };
	s->feed = feed_new(s->p.loader, s->d, piece_ready, s);
	if (s->feed == NULL) {
		body_unreadable(s, -EMFILE);
		return;
	}
	for (size_t i = 0; i < c->niov; i++)
		if (s->encodes)
			body_encode(&s->encoder, slice_of(c->iov[i].iov_base, c->iov[i].iov_len),
			    conn_out(s->conn));
		else
			conn_put(s->conn, c->iov[i].iov_base, c->iov[i].iov_len);
	session_wait(s, PHASE_BODY);
	s->body_left = conn_pending(s->conn);
	if (feed_at_end(s->feed))
		end_body(s);
	else
		feed_next(s->feed);
}

static void
send_body(struct session *s)
{
	static const char dot[] = ".\r\n";
	const struct content *c = &s->d->content;
	struct body_encoder e = { 0 };
	struct iovec v[16];

	if (s->d->body.fd >= 0) {
		send_apart(s);
		return;
	}
	if (!needs_encoding(c) && c->niov < 16) {
		memcpy(v, c->iov, c->niov * sizeof *v);
		v[c->niov] = (struct iovec){ .iov_base = (void *)(uintptr_t)dot, .iov_len = 3 };
		conn_putv(s->conn, v, (int)c->niov + 1);
	} else {
		for (size_t i = 0; i < c->niov; i++)
			body_encode(
			    &e, slice_of(c->iov[i].iov_base, c->iov[i].iov_len), conn_out(s->conn));
		body_encode_end(&e, conn_out(s->conn));
		conn_flush(s->conn);
	}
	s->body_left = conn_pending(s->conn);
	session_wait(s, s->body_left == 0 ? PHASE_DOT : PHASE_BODY);
}

void
transaction_body_sent(struct session *s)
{
	if (s->feed == NULL)
		session_wait(s, PHASE_DOT);
	else if (feed_is_reading(s->feed))
		return;
	else if (feed_at_end(s->feed))
		end_body(s);
	else
		feed_next(s->feed);
}

void
transaction_leave(struct session *s)
{
	feed_free(s->feed);
	s->feed = NULL;
}

/* The conclusion for those of this transaction that have none. */
static void
end_transaction_rcpts(struct session *s, const struct verdict *v, const struct reply_in *r)
{
	session_end_asked(s, v->kind, r->code, session_enh(v, r->enh),
	    r->text.n > 0 ? r->text : slice_z(v->text));
}

/*
 * "Too many recipients" after some were taken means the rest of this list, not of the message (RFC
 * 5321 4.5.3.1.10): they go again in the next transaction.
 */
static bool
too_many(const struct session *s, const struct reply_in *r)
{
	return s->naccepted > 0 &&
	       (r->code == 552 ||
		   (r->code == 452 && (r->enh[0] == 0 || (r->enh[1] == 5 && r->enh[2] == 3))));
}

static void
rcpt_answered(struct session *s, const struct verdict *v, const struct reply_in *r)
{
	struct job_rcpt *rcpt = &s->d->rcpts[s->asked[s->at]];

	if (v->about == ABOUT_NOBODY) {
		rcpt->state = RCPT_ACCEPTED;
		s->naccepted++;
	} else if (too_many(s, r))
		rcpt->state = RCPT_OPEN;
	else
		delivery_end_rcpt(s->d, rcpt, v->kind, PHASE_RCPT, r->code, session_enh(v, r->enh),
		    r->text.n > 0 ? r->text : slice_z(v->text));
	s->at++;
}

/* The transaction is over and nothing of it stands open at the server. */
static void
transaction_over(struct session *s)
{
	if (s->d->nopen > 0)
		transaction_begin(s);
	else
		session_done(s);
}

static void
reset(struct session *s)
{
	conn_put(s->conn, "RSET\r\n", 6);
	session_wait(s, PHASE_RSET);
}

/* The next command of a dialogue without PIPELINING, or the next reply of one with it. */
static void
go_on(struct session *s)
{
	if (s->phase == PHASE_MAIL || s->at < s->nasked) {
		if (!s->pipelined)
			put_rcpt(s, s->at);
		session_wait(s, PHASE_RCPT);
	} else if (s->phase == PHASE_RCPT) {
		if (!s->pipelined && (s->void_ || s->naccepted == 0)) {
			reset(s);
			return;
		}
		if (!s->pipelined)
			conn_put(s->conn, "DATA\r\n", 6);
		session_wait(s, PHASE_DATA);
	} else
		transaction_over(s);
}

/* DATA was answered. A 354 without recipients is ended by an empty message (RFC 2920 3.1). */
static void
data_answered(struct session *s, const struct reply_in *r)
{
	if (!s->void_ && s->naccepted > 0) {
		send_body(s);
		return;
	}
	if (r->code / 100 != 3) {
		reset(s);
		return;
	}
	if (s->lmtp) { /* breaks RFC 2033 4.2, and would say nothing to the dot */
		session_fail(s, verdict(PHASE_DATA, SAID_GARBAGE), 0, r->enh, SLICE_NONE);
		return;
	}
	s->void_ = true;
	conn_put(s->conn, ".\r\n", 3);
	session_wait(s, PHASE_DOT);
}

/* A reply whose transaction is concluded: only its place in the order counts. */
static void
pass_over(struct session *s, const struct reply_in *r)
{
	if (s->phase == PHASE_RCPT) {
		s->at++;
		go_on(s);
	} else if (s->phase == PHASE_DATA)
		data_answered(s, r);
	else
		transaction_over(s); /* the reply to the empty message, whatever it is */
}

static void
next_after(struct session *s, enum then then)
{
	if (then == THEN_GO_ON) {
		go_on(s);
		return;
	}
	/* THEN_RESET */
	if (s->phase == PHASE_DOT) {
		transaction_over(s);
		return;
	}
	if (s->pipelined && s->phase == PHASE_MAIL) {
		s->void_ = true;
		go_on(s);
		return;
	}
	if (s->phase == PHASE_MAIL)
		transaction_over(s); /* MAIL was refused: no transaction stands open */
	else
		reset(s);
}

/* LMTP: the reply to the dot is one for each recipient that was taken, in their order. */
static void
dot_answered(struct session *s, const struct verdict *v, const struct reply_in *r)
{
	struct job_rcpt *to;

	while (s->d->rcpts[s->asked[s->dot_at]].state != RCPT_ACCEPTED)
		s->dot_at++; /* the accepted ones are counted: there is one */
	to = &s->d->rcpts[s->asked[s->dot_at++]];
	delivery_end_rcpt(s->d, to, v->kind, s->phase, r->code, session_enh(v, r->enh),
	    r->text.n > 0 ? r->text : slice_z(v->text));
	if (--s->naccepted > 0)
		session_wait(s, PHASE_DOT);
	else
		transaction_over(s);
}

void
transaction_reply(struct session *s, const struct reply_in *r)
{
	enum happened what = happened_of(r->code);
	const struct verdict *v = verdict(s->phase, what);

	if (s->phase == PHASE_RSET && v->then == THEN_GO_ON) {
		transaction_over(s);
		return;
	}
	if (s->void_ && what != SAID_421) {
		pass_over(s, r);
		return;
	}
	if (s->phase == PHASE_DATA && s->naccepted == 0 && what != SAID_421) {
		data_answered(s, r);
		return;
	}
	if (v->then == THEN_CLOSE || v->then == THEN_NEXT_HOP) {
		if (v->about == ABOUT_RCPT)
			rcpt_answered(s, v, r);
		session_fail(s, v, r->code, r->enh, r->text);
		return;
	}
	if (s->lmtp && s->phase == PHASE_DOT) {
		dot_answered(s, v, r);
		return;
	}
	if (s->phase == PHASE_RCPT)
		rcpt_answered(s, v, r);
	else if (v->about == ABOUT_OPEN)
		end_transaction_rcpts(s, v, r);
	if (s->phase == PHASE_DATA && v->then == THEN_GO_ON)
		data_answered(s, r);
	else
		next_after(s, v->then);
}
