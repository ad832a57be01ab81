/* SPDX-License-Identifier: ISC */
#ifndef QMGR_EXPANDED_H
#define QMGR_EXPANDED_H

#include "qmgr/qmgr.h"

/*
 * Recipients that an expansion made (expand.h). They do not stand in their message's envelope:
 * their addresses are in the journal, and in memory there is only where: a place for each record
 * that has some of them, EXPANDED and MORE at first, MESSAGE and MORE once cleaning wrote the
 * message anew.
 */
enum { EXPANDED_JOB_BYTES = 40 * 1024 };

struct expanded_all;
struct expanded_all *expanded_new(void);
void expanded_free(struct expanded_all *x);

/* The entries of recipients from `first` on stand in the record at this place. */
void expanded_note(struct qmgr *q, struct message *m, uint32_t first, struct journal_place at);
/* The same where the record begins with others: `rcpt` is the first that is not in the envelope. */
void expanded_note_in(
    struct qmgr *q, struct message *m, uint32_t rcpt, uint32_t first, struct journal_place at);
/* All places are said anew (cleaning wrote the message again): first this. */
void expanded_renote(struct qmgr *q, const struct message *m);
void expanded_forget(struct qmgr *q, struct message *m);

/* Is it such a recipient? */
bool expanded_has(struct qmgr *q, const struct message *m, uint32_t rcpt);
/* 0: address, original, orcpt, parent of *out, until the next call; -EAGAIN: not written yet; -errno. */
int expanded_read(struct qmgr *q, const struct message *m, uint32_t rcpt, struct journal_rcpt *out);
/* Can all of them be read? 0, -EAGAIN, -errno. */
int expanded_readable(struct qmgr *q, const struct message *m);
/* What could not be read, for a recipient that is in no list: it waits, and the log tells. */
void expanded_pause(struct qmgr *q, struct message *m, uint32_t rcpt, int error);

/*
 * For a job, its recipients in rising order: puts the addresses that JOB.addresses is to have.
 * Those that do not fit or cannot be read go back to their queue, or wait. Returns how many are
 * left.
 */
unsigned expanded_for_job(
    struct qmgr *q, struct message *m, uint32_t *rcpt, unsigned n, struct buf *addresses);

#endif
