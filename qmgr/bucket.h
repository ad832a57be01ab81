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
 * at which a rate lets the next one pass, calls the first of the heap; one that is called and
 * has no use for it passes on to the next. Nothing is polled, and nothing here walks over queues or
 * messages but a change of the configuration.
 */
struct qmgr;
struct queue;

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

#endif
