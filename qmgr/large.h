/* SPDX-License-Identifier: ISC */
#ifndef QMGR_LARGE_H
#define QMGR_LARGE_H

#include "qmgr/qmgr.h"

/*
 * The files of large/ (spool/large.h): given to writers ahead, one each; then a filed record refers
 * to one, or its writer gives it up, or its writer ends. When it is unlinked (QUEUE.md rule 19):
 *
 *	referred to	its message is done, and that is durable
 *	else		no writer holds it (rule 6), and none of these can refer to it any more: its
 *			writer said so; or it is empty; or all segments of its writer are filed to
 *			their ends
 *
 * Its number is durable in the journal before the file is made, so a crash leaves no file that
 * nobody knows. What may belong to a damaged record goes to damaged/ instead.
 */
struct larges *larges_new(void);
void larges_free(struct larges *l);

/*
 * A file for the writer of this instance: `made` is called later, from the loop: fd is the writer's
 * descriptor, to be handed over and closed by the callee; -1: none can be had now. False: it has
 * too many already.
 */
typedef void large_made_fn(struct qmgr *q, uint64_t instance, uint32_t number, int fd);
bool larges_lease(struct qmgr *q, uint64_t instance, large_made_fn *made);
/* The writer gives it up. False: it is not this writer's, or a record refers to it. */
bool large_dropped(struct qmgr *q, uint64_t instance, uint32_t number);
/* A link of this writer is gone: what was on its way to it may have been lost. */
void larges_unlinked(struct qmgr *q, uint64_t instance);

/* May a record of this segment refer to that body? NULL: yes; else why not. */
const char *large_claim(struct qmgr *q, const struct seg *s, const struct record_large *large);
/* Of a message with MESSAGE_LARGE; 0: it has none. */
uint32_t large_of(const struct qmgr *q, const struct message *m);
/* Its body is damaged: the file is kept in damaged/ when the message is done. */
void large_keep(struct qmgr *q, uint64_t id);

/* For state.c: a record refers to it; its message is done; damage in a segment of this writer. */
void large_filed(struct qmgr *q, uint32_t number, uint64_t id);
void large_done(struct qmgr *q, uint64_t id);
void larges_damaged(struct qmgr *q, uint64_t instance);

/* After recovery's replay: what is there, against what the journal knows. 0 or -errno. */
int larges_open(struct qmgr *q);
/* The journal had a gap: what is not known may be wanted, and is kept in damaged/. */
void larges_keep_unknown(struct qmgr *q);
/* Cleaning: what is leased since journal file `file` or before is written again, and the highest number. */
void larges_again(struct qmgr *q, uint32_t file);
/* After each group of journal records, and once a second. */
void larges_sweep(struct qmgr *q);
void larges_slow(struct qmgr *q);

#endif
