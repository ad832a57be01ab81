/* SPDX-License-Identifier: ISC */
#ifndef QMGR_RCPT_H
#define QMGR_RCPT_H

#include "qmgr/qmgr.h"

/*
 * A recipient's life in memory: the queue it counts in, the list it stands in, its end. What is said of
 * it in the journal is state.h, which alone ends recipients; nothing here journals.
 */

/* Out of whatever list the recipient is in; into another. */
void rcpt_leave(struct qmgr *q, struct message *m, unsigned rcpt);
void rcpt_enter(struct qmgr *q, struct message *m, unsigned rcpt, enum rcpt_phase phase);
/* To the queue that its number says, or to router when there is none (or it is out of date). */
void rcpt_enter_queue(struct qmgr *q, struct message *m, unsigned rcpt);

/* The timer goes off at `tick` at the latest. */
void message_wake_by(struct qmgr *q, struct message *m, uint32_t tick);
/* tick */
uint32_t message_expiry(struct qmgr *q, const struct message *m, const struct recipient *r);

/* Counts in this queue from now on; no more. */
void rcpt_join(struct qmgr *q, struct recipient *r, uint32_t queue);
void rcpt_part(struct qmgr *q, struct recipient *r);

/* NULL: there is none. *m: its message, where that is there. */
struct recipient *rcpt_find(struct qmgr *q, uint64_t id, uint32_t rcpt, struct message **m);
bool rcpt_is_queued(const struct recipient *r);

/*
 * Ends as `state`; what is owed is settled by rule at due_ms (0: now and failed_keep). The message may
 * be gone afterwards.
 */
void rcpt_finish(
    struct qmgr *q, struct message *m, unsigned rcpt, uint8_t state, uint8_t owed, uint64_t due_ms);
/* Nothing is owed any more. Likewise. */
void rcpt_close(struct qmgr *q, struct message *m, struct recipient *r);
/* Out of memory, out of its segment's count. */
void message_unlink(struct qmgr *q, struct message *m);

#endif
