/* SPDX-License-Identifier: ISC */
#ifndef QMGR_HOLD_H
#define QMGR_HOLD_H

#include "qmgr/qmgr.h"

/* Who holds a message and why: beside the messages, since few are held. state.c alone puts and drops. */
struct hold *hold_of(const struct qmgr *q, const struct message *m); /* NULL: not held */
void hold_put(struct qmgr *q, const struct message *m, struct slice holder, struct slice reason,
    uint64_t wall_ms);
void hold_drop(struct qmgr *q, struct message *m); /* clears MESSAGE_HELD */

#endif
