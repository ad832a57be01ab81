/* SPDX-License-Identifier: ISC */
#ifndef QMGR_CLEAN_H
#define QMGR_CLEAN_H

#include "qmgr/qmgr.h"

/*
 * Cleaning of the journal (rule 20): when there is much more of it than what lives, the oldest file
 * is read by a thread, and whatever in it is still the base of something alive (a message, a queue,
 * a segment) is written anew, as it is now, in slices of about a millisecond. Then OLDEST moves on
 * and the file serves again.
 */
struct clean *clean_new(void);
void clean_free(struct clean *c);

/* Begins where it pays; `force`: where there is any file but the newest (tests, `angctl`). */
void clean_consider(struct qmgr *q, bool force);
/* A slice of what is under way. */
void clean_run(struct qmgr *q);
bool clean_busy(const struct qmgr *q);

/* Writes the message as it is now; its base is there from then on. */
void clean_message(struct qmgr *q, struct message *m);

#endif
