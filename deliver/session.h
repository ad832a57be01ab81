/* SPDX-License-Identifier: ISC */
#ifndef DELIVER_SESSION_H
#define DELIVER_SESSION_H

#include "deliver/job.h"
#include "deliver/verdict.h"
#include "io/conn.h"
#include "smtp/reply.h"

/*
 * One connection to a server, and the client's machine upon it. The phases in their order:
 *
 *	CONNECT -> BANNER -> EHLO -> (idle)
 *	(idle) -> MAIL -> RCPT ... -> DATA -> BODY -> DOT -> (idle, or MAIL for what is left)
 *	... refused -> RSET -> (idle)
 *
 * What each reply means stands in verdict.c. Where PIPELINING is offered, MAIL, all RCPT and DATA
 * go out in one write; replies are taken in the same order either way.
 */
struct session;

/* How a session leaves a job. */
enum session_left {
	LEFT_DONE, /* every recipient has its conclusion; the session is idle (or closed: *closed)
		    */
	LEFT_NEXT_HOP, /* closed; open recipients may be tried at the next hop, else `failure` holds
			*/
	LEFT_STALE, /* closed; the server had dropped the idle connection before it took anything */
};

/* What holds for the open recipients if nobody does better. */
struct failure {
	enum outcome_kind kind;
	enum delivery_phase phase;
	uint16_t code;
	uint8_t enh[3];
	struct slice text; /* until the callback returns */
};

struct session_owner {
	/* Called from the loop. When `closed`, the session frees itself after this. */
	void (*left)(struct session *s, struct delivery *d, enum session_left how,
	    const struct failure *f, bool closed, void *arg);
	/* An idle or parting session ended; it frees itself after this. */
	void (*idle_ended)(struct session *s, void *arg);
	/* An idle one has been so for long enough: it is to quit or to part. */
	void (*idle_expired)(struct session *s, void *arg);
};

struct session_params {
	struct loop *loop;
	struct loader *loader;
	const char *helo; /* lives until the session has said it */
	const struct session_owner *owner;
	void *arg;
};

/* Connects to d's present hop and takes d. NULL with errno: no descriptor, or no such address. */
struct session *session_open(const struct session_params *p, struct delivery *d);
/* The same upon a connected descriptor: tests. */
struct session *session_open_fd(const struct session_params *p, int fd, struct delivery *d);
/* An idle session takes a further job. */
void session_take(struct session *s, struct delivery *d);
/* An idle one says QUIT and ends. */
void session_quit(struct session *s);
/*
 * It says QUIT and is a connection until the server has ended it too, or for two seconds:
 * idle_ended() follows. One that has served its messages parts by itself where limits.tell is set.
 */
void session_part(struct session *s);
bool session_is_parting(const struct session *s);
uint32_t session_uses(const struct session *s);

/* The pool's own: where the session hangs while it is idle. */
struct pool_site;
struct session_hang {
	struct session *next, *prev;   /* of the site, the latest used first */
	struct session *older, *newer; /* of all idle ones */
	struct pool_site *site;
	uint32_t queue; /* of its last job */
	bool tell;	/* that it ends: qmgr counts it */
};
struct session_hang *session_hang(struct session *s);

#endif
