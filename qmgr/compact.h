/* SPDX-License-Identifier: ISC */
#ifndef QMGR_COMPACT_H
#define QMGR_COMPACT_H

#include "qmgr/qmgr.h"

/*
 * Compaction (rule 21): ended segments of which little lives are copied together into one of our
 * own: a thread copies and syncs, then each message's new place is journalled, then the old files
 * are freed as any empty segment is. Nothing is ever punched, cut or overwritten; ids stay.
 *
 * What is kept to: ended segments take at most twice the bytes that live in them, and one segment.
 */
struct compact *compact_new(void);
void compact_free(struct compact *c);

/*
 * Begins where an ended segment of at least min_bytes lives by less than a quarter, or where all
 * ended ones together take more than 1.6 times what lives in them and (min_bytes not 0) a segment.
 */
void compact_consider(struct qmgr *q, uint64_t min_bytes);
void compact_run(struct qmgr *q);
bool compact_busy(const struct qmgr *q);

enum { COMPACT_MIN_BYTES = 4 << 20 };

#endif
