/* SPDX-License-Identifier: ISC */
#ifndef QMGR_QUEUE_POLICY_H
#define QMGR_QUEUE_POLICY_H

#include "qmgr/qmgr.h"

/* What the configuration and operators say about a queue, and how one comes to be. */
const struct scope_values *queue_limits(struct qmgr *q, struct queue *queue);
bool queue_is_blocked(struct qmgr *q, const struct queue *queue); /* a marker suspends its domain */
/* The marker that suspends a domain ("*": all); with `make` it is made and journalled. NULL: none. */
struct queue *queue_marker(struct qmgr *q, struct slice domain, bool make);
/* Where its connections come from: 16 bytes, as long as the configuration lives; or empty. */
struct slice queue_source(struct qmgr *q, const struct queue *queue);
const char *queue_wait_word(enum queue_wait w); /* "host", "rest", "dns", "dnscache" */
bool queue_is_marker(const struct queue *queue);
/* Interned and journalled. NULL: not a route, or too many queues. */
struct queue *queue_intern(struct qmgr *q, uint8_t class, struct slice route);

#endif
