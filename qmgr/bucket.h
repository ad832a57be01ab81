/* SPDX-License-Identifier: ISC */
#ifndef QMGR_BUCKET_H
#define QMGR_BUCKET_H

#include "base/gcra.h"
#include "base/slice.h"
#include "conf/conf.h"

#include <stdbool.h>

/*
 * Buckets: limits that several queues share. Those that the configuration names ("bucket NAME")
 * hold whatever queues their scopes speak for, together; a site with rates has one of its own,
 * without a name. A queue may hand out a job when all its buckets let it.
 *
 * One that may not waits at the first bucket that says no: in that bucket's heap, by how long it has
 * waited for anything (its ticket, kept until it gets a job). A place that comes free, or the time
 * at which a rate lets the next one pass, calls the first of the heap; one that is called and has
 * no use for it is skipped for the next. Nothing is polled, and nothing here walks over queues or
 * messages but a change of the configuration and the death of a worker.
 *
 * Connections are those with a job and those that deliver keeps open behind one (bucket_idle.c).
 */
struct qmgr;
struct queue;
struct qjob;
struct worker;
struct msg_job_done;

enum bucket_limit { BUCKET_CONNECTIONS, BUCKET_CONNECTION_RATE, BUCKET_MESSAGE_RATE };
const char *bucket_limit_word(enum bucket_limit l); /* as its key: "connections", ... */

/* What keeps a queue that has something ready from handing it out. */
struct bucket_hold {
	const char *bucket; /* its name; "": the destination's own limit */
	enum bucket_limit limit;
	uint64_t wait_ms; /* until it may go, if none is before it; 0: until a connection is free */
	uint32_t before;  /* queues that have waited there for longer, as far as is known */
};
/* False: no bucket and no site holds it. Looks only; the strings live until the next turn. */
bool bucket_holds(struct qmgr *q, struct queue *queue, struct bucket_hold *out);

struct bucket_rates {
	uint32_t connections; /* 0: any number */
	struct gcra_rate connection, message;
};

struct bucket {
	char *name; /* NULL: a site's own */
	struct bucket_rates rates;
	bool gone;	     /* the configuration names it no more; queues have yet to hear that */
	uint32_t refs;	     /* queues */
	uint32_t jobs, idle; /* connections: with a job, without */
	uint64_t connection_due, message_due; /* gcra.h */
	uint64_t messages, waits;	      /* let through; times that a queue had to wait */
	uint32_t idle_queue;		      /* the queue that kept a connection last */

	struct queue **line; /* a heap by tickets */
	uint32_t nline, line_room;
	unsigned ncalled;  /* of them called, and not yet gone or skipped */
	uint64_t until_ms; /* a rate says no until then, mono */
	uint32_t timer_at; /* index + 1 in the heap of those that wait for a time; 0: not there */
};

struct bucket_share {
	struct bucket *b;
	struct bucket_rates rates; /* of a site's own: as this queue's scopes have them */
};

/* Connections that a worker keeps open behind a queue's jobs. */
struct bucket_idle {
	uint16_t worker;
	uint32_t count;
	uint32_t closing; /* of them about to close */
	uint32_t owed;	  /* heard to be gone when a job was counting on them already */
};

/* Of a queue. */
struct bucket_member {
	struct bucket_share *share;
	uint32_t nshare, nidle;
	struct bucket_idle *idle; /* one a worker that keeps some */
	uint32_t jobs;		  /* counted in the buckets */
	uint32_t line_at;	  /* index in the line of waits_at */
	uint64_t ticket;	  /* 0: it has not waited since its last job */
	struct bucket *waits_at, *called_by;
};

struct buckets {
	struct bucket **at; /* named ones, by name */
	size_t n;
	struct bucket **timer;
	uint32_t ntimer, timer_room;
	uint64_t ticket;
	unsigned depth;
};

struct buckets *buckets_new(void);
void buckets_free(struct buckets *all); /* after the queues */
/* The configuration is q->conf from now on: limits change, what was used of them stays. */
void buckets_set_conf(struct qmgr *q);

/* What holds the queue, by its limits, which are fresh. */
void bucket_join(struct qmgr *q, struct queue *queue);
/* Nothing does, until it joins again. */
void bucket_part(struct buckets *all, struct queue *queue);

/* A site's own, where a queue's rates want one. */
struct bucket *bucket_new(const char *name);
void bucket_free(struct bucket *b); /* nobody shares it */

/* May it hand out a job now? If not it waits in a line, unless it does so already. */
bool bucket_lets(struct qmgr *q, struct queue *queue);
/* It was called and goes not: the next one may. */
void bucket_skip(struct qmgr *q, struct queue *queue);
/* A job of it counts; jobs of a qmgr before us too. */
void bucket_enter(struct queue *queue);
/* It was handed out by us: rates count it. */
void bucket_spend(struct qmgr *q, struct queue *queue, struct qjob *j);
/* Its worker is through with it; said of its connection, before bucket_leave(): bucket_told(). */
void bucket_leave(struct qmgr *q, struct queue *queue);
void bucket_told(
    struct qmgr *q, struct queue *queue, const struct qjob *j, const struct msg_job_done *m);

/* Rates that let somebody pass by now. */
void buckets_run(struct qmgr *q);
uint64_t buckets_next_ms(const struct qmgr *q); /* UINT64_MAX: none */
/* Rates of its own are not at rest, or deliver keeps connections: with it they would be forgotten. */
bool bucket_is_warm(const struct queue *queue);

/* ---- bucket_idle.c ---- */

/* The worker with a connection that the queue's next job can have; NULL: none that has room. */
struct worker *bucket_idle_worker(struct qmgr *q, const struct queue *queue);
/* The job j counts on one of its worker's. */
void bucket_idle_borrow(struct queue *queue, struct qjob *j);
/* A connection of the queue's with that worker is no more. */
void bucket_idle_gone(struct qmgr *q, struct worker *w, uint32_t queue);
/* The worker is gone, and all that it kept. */
void bucket_idle_forget(struct qmgr *q, const struct worker *w);
/* Somebody else waits for a connection of the bucket: the queue gives one back. */
void bucket_idle_close(struct qmgr *q, struct queue *queue);
/* What a job that is through says of its connection. */
void bucket_idle_told(
    struct qmgr *q, struct queue *queue, const struct qjob *j, const struct msg_job_done *m);
/* All its idle connections count with the sign given, where its buckets change. */
void bucket_idle_count(struct queue *queue, int sign);
/* More or less, in all its buckets; calls who waits where it is less. */
void bucket_idle_change(struct qmgr *q, struct queue *queue, int by);

#endif
