/* SPDX-License-Identifier: ISC */
#ifndef QMGR_DAMAGE_H
#define QMGR_DAMAGE_H

#include "qmgr/qmgr.h"

/*
 * Damage (rule 22): bytes of a segment that are no record, or one that claims what it may not, are
 * copied to damaged/ with a note why; when the copy is durable, DAMAGED is journalled and reading
 * goes on behind. The segment is busy meanwhile, and must be out of the intake's list.
 */
void damage_set_aside(
    struct qmgr *q, struct seg *s, uint64_t offset, uint64_t length, uint64_t id, const char *why);

/* A deliver worker says that this message's record is damaged: we look ourselves, and only then is it so. */
void damage_look(struct qmgr *q, const struct message *m);

#endif
