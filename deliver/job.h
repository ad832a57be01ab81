/* SPDX-License-Identifier: ISC */
#ifndef DELIVER_JOB_H
#define DELIVER_JOB_H

#include "base/arena.h"
#include "base/outcome.h"
#include "deliver/segments.h"
#include "io/offload.h"
#include "ipc/msg.h"
#include "ipc/job.h"
#include "ipc/route.h"
#include "spool/content.h"
#include "spool/record.h"

/*
 * A job: one message, some of its recipients, one queue. It lives from JOB to RESULT_ACK: its
 * results are kept until qmgr says that they are durable, so that a qmgr that fell can ask for them
 * again.
 */
enum job_state {
	JOB_NEW,    /* waits for its content, or for a connection */
	JOB_ACTIVE, /* in a session's hands */
	JOB_ENDED,  /* results sent, not acknowledged */
};

enum rcpt_state {
	RCPT_OPEN,     /* not concluded, not asked about in this transaction */
	RCPT_ASKED,    /* RCPT sent */
	RCPT_ACCEPTED, /* by RCPT; the end of data decides */
	RCPT_ENDED,
};

struct job_rcpt {
	uint32_t number, attempt;
	enum rcpt_state state;
	struct slice address, orcpt; /* in the content's bytes, or in `addresses` */
	struct slice original;	     /* what the client or an alias had before; empty: the same */
	bool given;		     /* by JOB.addresses: it does not stand in the envelope */
	uint8_t notify;
	bool dsn; /* NOTIFY was passed on with it */
	/* RCPT_ENDED: */
	enum outcome_kind kind;
	bool damaged;
	uint16_t code;
	uint8_t enh[3];
	uint8_t phase;
	char *text;
};

enum {
	JOB_RCPTS_MAX = 7000,
	JOB_DAMAGED = 3
}; /* JOB_DAMAGED: as RESULT.kind, beside enum outcome_kind */

/* A body that is not held in memory: read it with content_body_read() (content.h). */
struct content_body {
	int fd;	       /* -1: it is in memory, in content.iov */
	uint64_t from; /* its first byte in the file */
	uint64_t bytes;
};

struct session;
struct delivery {
	struct delivery *next, *hash_next;
	uint64_t number, id;
	uint32_t queue; /* qmgr's number of it */
	struct held_segment *segment;
	uint64_t offset, length, arrival_ms;
	struct buf route_bytes, addresses, host_bytes;
	struct route route;
	struct job_limits limits;
	struct job_rcpt *rcpts;
	uint32_t nrcpts, nopen; /* nopen: not RCPT_ENDED */
	enum job_state state;
	struct job_host *hosts; /* where to, in the order of trial: JOB's, or the route's hops */
	unsigned nhosts;
	unsigned hop;	   /* of `hosts`, being tried */
	unsigned tries;	   /* hosts tried */
	bool host_down;	   /* no host could be connected to */
	struct buf failed; /* as in JOB_DONE */
	struct addr source;
	bool has_source;
	/* What a host before came to, if that was TEMP: a later one's PERM is no word for it. */
	struct doubt {
		bool set;
		uint8_t phase, enh[3];
		uint16_t code;
		char text[256];
	} doubt;
	/* The content, once loaded (content.h). */
	int large_fd; /* LARGE_BODY came before this job: the file; else -1 */
	struct content_body body;
	struct buf bytes; /* the record, without its body where body.fd >= 0 */
	struct record record;
	struct envelope envelope;
	struct content content;
	struct arena arena;
	bool loaded, loading;
	bool ends_when_loaded;	 /* concluded while a thread still reads */
	struct session *session; /* who has it */
	const char *damage;	 /* set when the record does not verify */
	struct job load;
	void (*loaded_fn)(struct delivery *);
	void (*ended_fn)(struct delivery *); /* the pool's: all recipients have their conclusion */
	void *owner;			     /* the pool */
	/* For JOB_DONE. */
	char host[256];
	struct addr addr;
	uint32_t conn_use;
	uint32_t opened;	    /* connections begun */
	bool took;		    /* one that was idle and its queue's */
	uint8_t kept;		    /* as in JOB_DONE */
	uint64_t began_ms, mail_ms; /* monotonic; of the first transaction, 0: there was none */
};

/* NULL: the message makes no sense (unknown segment, bad route, no recipients). */
struct delivery *delivery_new(const struct msg_job *m, struct segments *segments);
void delivery_free(struct delivery *d, struct segments *segments, uint32_t *forgotten);
/* Concludes a recipient. Text is cut to one line. */
void delivery_end_rcpt(struct delivery *d, struct job_rcpt *r, enum outcome_kind kind,
    enum delivery_phase phase, uint16_t code, const uint8_t enh[3], struct slice text);
/* The same for all that are open. */
void delivery_end_open(struct delivery *d, enum outcome_kind kind, enum delivery_phase phase,
    uint16_t code, const uint8_t enh[3], struct slice text);
/* RESULT for each recipient, then JOB_DONE. */
void delivery_put_results(const struct delivery *d, struct buf *out);
/* The `rcpts` field as in JOB, for RUNNING. */
void delivery_put_rcpts(const struct delivery *d, struct buf *out);

#endif
