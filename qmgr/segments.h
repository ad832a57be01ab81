/* SPDX-License-Identifier: ISC */
#ifndef QMGR_SEGMENTS_H
#define QMGR_SEGMENTS_H

#include "qmgr/qmgr.h"
#include "spool/lease.h"

/*
 * Segments come (rule 2), their writers go (rules 6, 7), they are freed (rule 19). What blocks runs
 * in a thread: qmgr_offload().
 */

/*
 * A lease: numbered, journalled, durable, then the file is made, then `made` is called from the
 * loop: fd is the writer's descriptor, to be handed over and closed by the callee; -1: none can be
 * had now (the disk's floor, or an error). False: not even begun.
 */
bool segments_lease(struct qmgr *q, uint8_t class, uint16_t worker, uint64_t instance,
    void (*made)(struct qmgr *q, struct seg *s, uint64_t instance, int fd));
/* The same for ourselves, for compaction; the descriptor is O_WRONLY|O_APPEND. */
bool segments_lease_own(struct qmgr *q, uint8_t class,
    void (*made)(struct qmgr *q, struct seg *s, uint64_t instance, int fd));

/* Is the writer gone? Then the segment's end begins. For those whose writer is not linked, or has a newer one. */
void segments_look(struct qmgr *q, struct seg *s);
/* Filed to its end: SEGMENT_END. */
void segments_ended(struct qmgr *q, struct seg *s);
/* After each group of journal records: frees what is empty. */
void segments_sweep(struct qmgr *q);
void segments_slow(struct qmgr *q);

/* In a thread where there are any, else now. done() is called either way. */
void qmgr_offload(struct qmgr *q, struct job *j);

#endif
