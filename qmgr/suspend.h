/* SPDX-License-Identifier: ISC */
#ifndef QMGR_SUSPEND_H
#define QMGR_SUSPEND_H

#include "qmgr/qmgr.h"

/*
 * What operators have stopped: one queue, all mail to a domain, all by a pool, all from a binding,
 * or all there is. Nothing more is given out then; what is in delivery ends as it would have.
 *
 * In the journal each is a SUSPEND of a queue number: that of the queue itself, or that of a marker,
 * which is a queue of no class that never has mail, and whose key says what is stopped. So a start
 * finds it again, and a version that knows less of them passes over those that it does not know.
 */
enum suspend_kind {
	SUSPEND_ALL,
	SUSPEND_QUEUE,
	SUSPEND_DOMAIN,
	SUSPEND_POOL,
	SUSPEND_BINDING,
	SUSPEND_KINDS,
};

struct suspend {
	enum suspend_kind kind;
	struct slice name;   /* of SUSPEND_ALL: "*" */
	struct queue *queue; /* of SUSPEND_QUEUE */
};

const char *suspend_word(enum suspend_kind kind); /* "all", "queue", "domain", "pool", "binding" */

/*
 * What an operator wrote: KIND=NAME, a domain alone, or "*". The name borrows from `word`. NULL, or
 * why it means nothing; where it does, *out is set. A queue is named by its number or its key
 * (suspend_key_put). With `now` it must be something that the configuration knows.
 */
const char *suspend_parse(struct qmgr *q, struct slice word, bool now, struct suspend *out);

/* The queue whose SUSPEND stands for it; with `make` a marker is made and journalled. NULL: none. */
struct queue *suspend_holder(struct qmgr *q, const struct suspend *what, bool make);

/* Whose SUSPEND holds this queue's mail back, itself or a marker; NULL: nothing does. */
const struct queue *suspend_of(struct qmgr *q, struct queue *queue);
/* What a queue that is suspended stands for: itself, or what the marker names. */
enum suspend_kind suspend_kind_of(const struct queue *by);
bool suspend_is_marker(const struct queue *queue);
/* No connection may begin from this binding. */
bool suspend_has_binding(struct qmgr *q, const char *binding);

/* Any of this has changed, or the configuration, which says what bindings a group has. */
void suspend_changed(struct qmgr *q);

/* TRANSPORT/POOL/TENANT/CLASS/DOMAIN; of queues that differ in their next hops alone it is the same. */
void suspend_key_put(const struct queue *queue, struct buf *out);

#endif
