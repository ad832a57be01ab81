/* SPDX-License-Identifier: ISC */
#ifndef QMGR_STATE_H
#define QMGR_STATE_H

#include "qmgr/hold.h"
#include "qmgr/qmgr.h"
#include "qmgr/queue_policy.h"

/*
 * What each journal record does. Live, a change is written and then applied; in recovery only
 * applied: the same functions, so that a restart cannot mean something else than the run before.
 *
 * Records of what is not there any more (done, freed) are passed over: files are cleaned from the
 * front, so the beginning of the journal speaks of such.
 */

/* commit(q, hold, .id = ..., ...): writes the record and applies it; gives its place. */
#define commit(q, name, ...)                                                                    \
	({                                                                                      \
		const struct journal_##name commit_r_ = { __VA_ARGS__ };                        \
		struct journal_place commit_at_ = JOURNAL_ADD(&(q)->journal, name, &commit_r_); \
		state_##name(q, &commit_r_, commit_at_);                                        \
		commit_at_;                                                                     \
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
/* tick */
uint32_t message_expiry(struct qmgr *q, const struct message *m, const struct recipient *r);

#endif
