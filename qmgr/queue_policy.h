/* SPDX-License-Identifier: ISC */
#ifndef QMGR_QUEUE_POLICY_H
#define QMGR_QUEUE_POLICY_H

#include "qmgr/qmgr.h"

/* What the configuration and operators say about a queue, and how one comes to be. */
const struct scope_values *queue_limits(struct qmgr *q, struct queue *queue);
/*
 * Where its next connection comes from: 16 bytes, as long as the configuration lives; or empty. Of a
 * group the next member in turn that is not suspended.
 */
struct slice queue_source(struct qmgr *q, struct queue *queue);
unsigned queue_nsources(struct qmgr *q, const struct queue *queue); /* among which it chooses */
/* Has any source an address of this family, or none at all? */
bool queue_has_family(struct qmgr *q, const struct queue *queue, bool v4);
const char *queue_wait_word(enum queue_wait w); /* "host", "rest", "dns", "dnscache" */
/* Interned and journalled. NULL: not a route, or too many queues. */
struct queue *queue_intern(struct qmgr *q, uint8_t class, struct slice route);

#endif
