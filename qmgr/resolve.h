/* SPDX-License-Identifier: ISC */
#ifndef QMGR_RESOLVE_H
#define QMGR_RESOLVE_H

#include "base/addr.h"
#include "dns/dnsq.h"
#include "ipc/job.h"
#include "qmgr/queue.h"

/*
 * From a route's next hops to addresses. When a queue has something due and what is known of its
 * hops is too old, they are looked up (dns/mx.h); meanwhile the queue does not run. What comes out:
 *
 *	hosts	a list, kept for its time to live within dns_keep_min and dns_keep_max; the queue
 *		joins the site of all queues with the same exchangers
 *	TEMP	the whole queue waits, and is tried again after a pause that grows; its first
 *		message has this as the result of an attempt, so that it is seen and counted.
 *		Where dnscache itself is away nothing is touched, and the pause ends when it is back
 *	PERM	what is due in the queue fails; the verdict holds as long as the answer lives
 *
 * Addresses that rest (hosts.h) are left out of a job's list; where all rest the queue waits for
 * the first.
 */
struct qmgr;
struct resolve;

/* Whom to ask: dnsq.h, or a test. */
struct resolve_dns {
	uint64_t (*ask)(
	    void *arg, struct slice name, enum dns_type type, dnsq_fn *fn, void *fn_arg);
	void (*cancel)(void *arg, uint64_t question);
	bool (*is_up)(void *arg);
	void *arg;
};

struct resolver;
struct resolver *resolver_new(void);
void resolver_free(struct resolver *r); /* after the last queue */
/* The addresses of this machine, for listeners on all of them; copied. */
void resolver_local(struct qmgr *q, const struct addr *at, size_t n);
/* dnscache is back: queues that wait for that go on. */
void resolver_up(struct qmgr *q);
void resolve_free(struct resolve *r); /* a queue's; open questions are cancelled */

enum resolve_says {
	RESOLVE_GO,    /* there are hosts to be tried */
	RESOLVE_LATER, /* the queue will be woken */
	RESOLVE_SLICE, /* its recipients fail, in slices: call again in the next turn */
};
enum resolve_says resolve_look(struct qmgr *q, struct queue *queue);
/*
 * After RESOLVE_GO: JOB's hosts, in the order of trial, with a source only those of its family.
 * partial: not all there are, or may be.
 */
void resolve_put(
    struct qmgr *q, struct queue *queue, struct slice source, struct buf *out, bool *partial);

/* What a job told of the queue's hosts; addresses that are not among them are passed over. */
void resolve_failed(struct qmgr *q, struct queue *queue, const struct job_failed *f);
void resolve_answered(
    struct qmgr *q, struct queue *queue, const uint8_t ip[static 16], uint16_t port);
/* An operator wants it tried now: its hosts rest no more. */
void resolve_wake(struct qmgr *q, const struct queue *queue);
/* Some of its hosts do not rest. */
bool resolve_has_awake(struct qmgr *q, const struct queue *queue);

#endif
