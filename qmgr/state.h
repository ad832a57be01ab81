/* SPDX-License-Identifier: ISC */
#ifndef QMGR_STATE_H
#define QMGR_STATE_H

#include "qmgr/hold.h"
#include "qmgr/qmgr.h"
#include "qmgr/queue_policy.h"
#include "qmgr/rcpt.h"

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

#endif
