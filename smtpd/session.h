/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_SESSION_H
#define SMTPD_SESSION_H

#include "conf/conf.h"
#include "ipc/msg.h"
#include "smtp/command.h"
#include "smtpd/rates.h"
#include "smtpd/tell.h"
#include "smtpd/tx.h"
#include "commit/writer.h"

/*
 * An SMTP session as a machine: bytes in, bytes out, questions to the world around it. It knows no
 * descriptor, no loop and no peer; tests and the fuzzer give it a world of their own.
 *
 * Three small enums tell where it is: the phase of the byte stream, the state of the transaction
 * (tx.h), and what a step wants next.
 */
struct session;

/* The connection. hang_up ends it when all that was put is out; the session is freed in it or
 * later. */
struct session_io {
	struct slice (*in)(void *io); /* what has come and was not taken */
	void (*take)(void *io, size_t n);
	struct buf *(*out)(void *io); /* replies go here */
	size_t (*pending)(void *io);  /* bytes of them that the client has not taken yet */
	void (*deadline)(void *io, uint64_t ms); /* then session_expired(); 0: none */
	void (*pause)(void *io, bool pause);	 /* no more input for now */
	/* replies wait for one that must come first: sent one by one, each would wake the client */
	void (*hold)(void *io, bool hold);
	void (*hang_up)(void *io);
};

/* What all sessions of a worker share. */
struct session_world {
	uint8_t class; /* enum origin_class */
	struct intake *intake;
	struct streams *streams; /* for large bodies; NULL: none */
	/* Asks router about r; session_answered() comes later from the loop. False: it cannot be
	 * asked. */
	bool (*ask)(void *arg, struct session *s, struct rcpt *r);
	void (*forget)(void *arg, struct rcpt *r); /* its answer is not wanted any more */
	enum writer_room (*room)(void *arg, uint64_t bytes, uint64_t floor_bytes);
	/* May the client do one more of these now? Counted, if so. NULL: always. */
	bool (*rate)(void *arg, const struct session *s, enum rate_kind kind);
	uint64_t (*next_id)(void *arg);		     /* 0: none */
	void (*submit)(void *arg, struct letter *l); /* l->done comes later from the loop */
	void *arg;
	/* Counted here, told by `angctl status`. */
	uint64_t sessions, refused;
};

/*
 * SESSION_DISCARD: a chunk that is not wanted is read all the same; SESSION_SYNC: a large body goes to the
 * disk; SESSION_COMMIT: its record, or a whole message.
 */
enum phase {
	SESSION_COMMAND,
	SESSION_BODY,
	SESSION_DISCARD,
	SESSION_SYNC,
	SESSION_COMMIT,
	SESSION_CLOSED
};
enum step { STEP_AGAIN, STEP_WAIT, STEP_CLOSE };

/* A reply that must wait for those before it: RCPTs of a pipelined group are asked about together.
 */
struct held_reply {
	struct held_reply *next;
	struct rcpt *rcpt; /* NULL: text is the answer */
	struct slice text;
};

struct session {
	struct session_world *world;
	const struct session_io *ops;
	void *io;
	const struct conf *conf; /* the one it began with */
	enum phase phase;
	struct tx tx;
	char *helo; /* NULL: not said */
	bool esmtp;
	bool finishing;	 /* ends with 421 as soon as no message is under way */
	bool flow_waits; /* large body: not read until a piece is written */
	bool skip_line;	 /* in the rest of a line that was too long */
	bool skipped_cr; /* and the last byte seen of it was a CR */
	bool ours;	 /* we relay for it: may say priorities; known since its EHLO */
	int8_t priority; /* of mail that brings none: its listener's */
	uint16_t nheld;
	struct held_reply *held, **held_end; /* in the transaction's arena */
	struct intake_wait wait;	     /* for room for message data */
	uint32_t errors, junk;
	uint32_t messages, refused;
	struct tell tell;
	uint64_t skipped_bytes;
	uint64_t discard_left; /* bytes of a chunk out of order, and what is said then */
	enum reply discard_reply;
	uint64_t id, began_ms;
	struct addr client; /* zero where a user came by the local socket */
	bool by_user;	    /* then uid is who */
	uint32_t uid;
};

enum {
	SESSION_AHEAD = 100, /* RCPTs asked about at a time */
	SESSION_JUNK = 100,  /* NOOP, RSET, VRFY, HELP that cost nothing, between messages */
	SESSION_OUT_MAX =
	    64 * 1024, /* replies the client does not read: no command is taken meanwhile */
	SESSION_SKIP_MAX = 1 << 20,   /* bytes of overlong lines: then it is no client */
	SESSION_ROOM_WAIT_MS = 10000, /* for room in memory; then 452 */
};

/* Greets. conf: a reference of the session's own, given back by session_fini(). */
void session_init(struct session *s, struct session_world *world, const struct session_io *ops,
    void *io, const struct conf *conf);
void session_greet(struct session *s);
/* Refuses the client with a greeting of 421 or 554 and hangs up. */
void session_turn_away(struct session *s, enum reply reply);
/* A letter under way to the disk stays there. Forgets all questions. */
void session_fini(struct session *s);

/* Goes on until it lacks input or an answer. May hang up: the session can be gone after any of
 * these. */
void session_run(struct session *s);
bool session_is_asking(const struct session *s); /* it waits for others than the client */
void session_expired(struct session *s);	 /* the deadline passed */
void session_finish(struct session *s);		 /* the worker ends */
/* m NULL: no answer in time. */
void session_answered(struct session *s, struct rcpt *r, const struct msg_route *m);

/* Said in its EHLO reply, beyond which no parameter is known. */
unsigned session_offers(const struct session *s);

/*
 * For verbs.c: replies. arg stands for the text's %s; SLICE_NONE is right too where that is our
 * host name or the size limit. refuse counts 5xx as errors, hang_up ends the session with this
 * reply.
 */
enum step session_reply(struct session *s, enum reply reply, struct slice arg);
enum step session_refuse(struct session *s, enum reply reply, struct slice arg);
enum step session_hang_up(struct session *s, enum reply reply);
enum step session_refuse_text(
    struct session *s, unsigned code, const uint8_t enh[3], struct slice text);
/* The reply's line alone, as session_reply() says it without an argument. */
void session_put_reply(const struct session *s, struct buf *out, enum reply reply);
/* Ends the transaction, forgetting what was asked about it. */
void session_reset(struct session *s);
/* Waits its turn among the replies; session_answered() fills it in. */
void session_hold(struct session *s, struct rcpt *r);

/* verbs.c: one command line without its CRLF; more: there is input behind it. */
enum step verbs_run(struct session *s, struct slice line, bool more);
bool verbs_is_rcpt(struct slice line);

#endif
