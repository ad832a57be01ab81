/* SPDX-License-Identifier: ISC */
#ifndef QMGR_STATE_H
#define QMGR_STATE_H

#include "qmgr/qmgr.h"

/*
 * What each journal record does. Live, a change is written and then applied; in recovery only applied: the
 * same functions, so that a restart cannot mean something else than the run before.
 *
 * Records of what is not there any more (done, freed) are passed over: files are cleaned from the
 * front, so the beginning of the journal speaks of such.
 */

/* commit(q, hold, .id = ..., ...): writes the record and applies it; gives its place. */
#define commit(q, name, ...)                                                                 \
	({                                                                                    \
		const struct journal_##name commit_r_ = { __VA_ARGS__ };                      \
		struct journal_place commit_at_ = JOURNAL_ADD(&(q)->journal, name, &commit_r_); \
		state_##name(q, &commit_r_, commit_at_);                                      \
		commit_at_;                                                                   \
	})

#define K(NAME, name, number, critical) \
	void state_##name(struct qmgr *q, const struct journal_##name *r, struct journal_place at);
JOURNAL_KINDS(K)
#undef K

void partial_drop(struct qmgr *q);

/* Any record. 0; -ENOTSUP: one that this version does not write nor understand. */
int state_apply(struct qmgr *q, const struct journal_rec *r, struct journal_place at);

/* Out of whatever list the recipient is in; into another. Neither journals. */
void rcpt_leave(struct qmgr *q, struct message *m, unsigned rcpt);
void rcpt_enter(struct qmgr *q, struct message *m, unsigned rcpt, enum rcpt_phase phase);
/* To the queue that its number says, or to router when there is none (or it is out of date). */
void rcpt_enter_queue(struct qmgr *q, struct message *m, unsigned rcpt);

/* The timer goes off at `tick` at the latest. */
void message_wake_by(struct qmgr *q, struct message *m, uint32_t tick);
uint32_t message_expiry(struct qmgr *q, const struct message *m, const struct recipient *r); /* tick */

struct hold *hold_of(const struct qmgr *q, const struct message *m); /* NULL: not held */
const struct scope_values *queue_limits(struct qmgr *q, struct queue *queue);
bool queue_is_blocked(struct qmgr *q, const struct queue *queue); /* a marker suspends its domain */
/* The marker that suspends a domain ("*": all); with `make` it is made and journalled. NULL: none. */
struct queue *queue_marker(struct qmgr *q, struct slice domain, bool make);
bool queue_is_marker(const struct queue *queue);
/* Interned and journalled. NULL: not a route, or too many queues. */
struct queue *queue_intern(struct qmgr *q, uint8_t class, struct slice route);

#endif
