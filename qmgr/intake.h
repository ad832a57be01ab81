/* SPDX-License-Identifier: ISC */
#ifndef QMGR_INTAKE_H
#define QMGR_INTAKE_H

#include "qmgr/qmgr.h"

/* Reads records from segments and files them, in slices of 256 recipients a turn (rules 6, 14, 22, 23). */
void intake_wake(struct qmgr *q, struct seg *s);
void intake_run(struct qmgr *q);

/* False: the offset is not one of this segment (beyond its file, or beyond its seal). */
bool intake_rung(struct qmgr *q, struct seg *s, uint64_t durable);
/* The writer ends its segment there (rule 8); false: it had rung more. */
bool intake_sealed(struct qmgr *q, struct seg *s, uint64_t end);

#endif
