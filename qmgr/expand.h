/* SPDX-License-Identifier: ISC */
#ifndef QMGR_EXPAND_H
#define QMGR_EXPAND_H

#include "qmgr/qmgr.h"

/*
 * Recipients that router expands into others (QUEUE.md rule 14). Its list comes in parts; when all
 * are there, one EXPANDED record makes the new recipients and ends the old one; when that is
 * durable, they enter their queues in slices. They are never expanded again: what they are is what
 * router's tables came to.
 *
 * Which addresses a message has already is told by hashes of 128 bits under a random seed, for the
 * message last worked at.
 */
enum {
	EXPAND_UNDER_WAY_MAX = 512,
	EXPAND_BYTES_MAX = 3 << 19, /* addresses of one message's expansions */
	/* a new recipient waits so long at most for its record to be durable */
	EXPAND_WAIT_MS = 60000,
};

struct expand;
struct expand *expand_new(void);
void expand_free(struct qmgr *q);

/*
 * A part of the list for a recipient that was asked about. EXPAND_MORE: the next part is wanted,
 * from *from on. EXPAND_DONE: it is no more, the message may be gone. Else why not, for the
 * recipient's result (constant).
 */
enum expand_step { EXPAND_MORE, EXPAND_DONE, EXPAND_FAILED };
enum expand_step expand_answered(struct qmgr *q, struct message *m, unsigned rcpt,
    const struct msg_route *r, uint32_t *from, const char **why);
/* New recipients whose record is durable enter their queues, in slices. */
void expand_run(struct qmgr *q);
/* Once a second: what was begun for recipients that are gone is let go. */
void expand_slow(struct qmgr *q);

#endif
