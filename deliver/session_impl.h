/* SPDX-License-Identifier: ISC */
#ifndef DELIVER_SESSION_IMPL_H
#define DELIVER_SESSION_IMPL_H

#include "deliver/feed.h"
#include "deliver/session.h"
#include "smtp/body.h"

/* Shared by session.c (connection, greeting, ends) and transaction.c (MAIL to the reply to the
 * dot). */
struct session {
	struct session_params p;
	struct session_hang hang;
	struct conn *conn;
	struct reply_parser replies;
	enum delivery_phase phase; /* whose reply is awaited; PHASE_NONE: idle */
	struct delivery *d;	   /* NULL: idle */
	unsigned ext;		   /* enum ext, as offered */
	uint64_t size_limit;
	uint32_t uses;	    /* transactions begun over this connection */
	bool lmtp;	    /* RFC 2033: LHLO, and a reply for each recipient after the dot */
	bool said_helo;	    /* HELO instead of EHLO */
	bool heard;	    /* a reply came in this transaction */
	bool reused;	    /* it was idle before this job */
	bool closed;	    /* said to the owner: no further job */
	bool parting;	    /* QUIT is said, and the server is waited for */
	bool waits_content; /* MAIL will be said when the loader is ready */
	bool freed;	    /* nobody's; destroyed at the turn's end */
	struct deferred end;
	struct addr host_of; /* whom it is connected to */
	/* The transaction under way. */
	uint32_t *asked; /* indices into d->rcpts */
	uint32_t nasked, at, naccepted, room;
	uint32_t dot_at;  /* LMTP: whose reply after the dot comes next */
	bool pipelined;	  /* the whole group has been sent */
	bool void_;	  /* concluded already: remaining replies are only read */
	size_t body_left; /* at the last look of the deadline */
	/* a body that is read as it goes out; NULL: none, or all of it is read */
	struct feed *feed;
	struct body_encoder encoder;
	bool encodes;
};

void session_wait(struct session *s, enum delivery_phase phase);
/* A conclusion about all that is open, and the connection's fate. */
void session_fail(struct session *s, const struct verdict *v, uint16_t code, const uint8_t enh[3],
    struct slice text);
/* The enhanced code to report: the server's, unless it gave none or one that contradicts the
 * conclusion. */
const uint8_t *session_enh(const struct verdict *v, const uint8_t enh[3]);
/* Concludes those of the transaction under way that are open. */
void session_end_asked(struct session *s, enum outcome_kind kind, uint16_t code,
    const uint8_t enh[3], struct slice text);
/* The job is done: idle, or closed where the connection has served enough. */
void session_done(struct session *s);

void transaction_begin(struct session *s);
void transaction_reply(struct session *s, const struct reply_in *r);
/* All content is with the kernel. */
void transaction_body_sent(struct session *s);
/* The job leaves the session: what is still read for it is nobody's. */
void transaction_leave(struct session *s);

#endif
