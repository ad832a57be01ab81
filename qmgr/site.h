/* SPDX-License-Identifier: ISC */
#ifndef QMGR_SITE_H
#define QMGR_SITE_H

#include "base/buf.h"
#include "ipc/route.h"

/*
 * A site: the hosts that several queues share, as all domains behind one relay host or one set of
 * mail exchangers do. The receiver counts connections there, so the limit of connections holds
 * there too. Interned by transport, pool, tenant and the hops; once these are looked up
 * (resolve.h), by the names and ports of the hosts instead.
 */
struct bucket;
struct queue;
struct site {
	struct site *next;
	struct buf key;
	uint32_t refs;	      /* queues */
	uint32_t njobs;	      /* running, of all of them */
	uint32_t last_worker; /* slot + 1 of the one that got the last job; 0: none yet */
	struct bucket *own;   /* where a queue's scopes set rates; NULL: none did */
	/* have something ready and wait for a place, in order */
	struct queue *wait_first, *wait_last;
};

struct sites {
	struct site **bucket;
	uint32_t nbucket, count;
};

void sites_fini(struct sites *all); /* after the last site_drop() */
/* A reference. */
struct site *site_take(struct sites *all, const struct route *r);
struct site *site_take_key(struct sites *all, struct slice key);
void site_drop(struct sites *all, struct site *s);

/* The line for a place. A queue stands in it once (queue->in_line). */
void site_wait(struct site *s, struct queue *q);
struct queue *site_next(struct site *s); /* takes the first; NULL: nobody waits */
void site_leave(struct site *s, struct queue *q);

#endif
