/* SPDX-License-Identifier: ISC */
#ifndef QMGR_RECOVER_H
#define QMGR_RECOVER_H

#include "qmgr/qmgr.h"

/*
 * The queue as the disk has it (rule 20): the journal is read, the segments are opened; messages
 * are armed later, in slices, while new mail is served. Nothing that is filed is read again. May be
 * cut at any point and begun anew: what it writes (SEGMENT_FREED of files never made) says nothing
 * new.
 *
 * 0, or -errno with a line for the operator in *why.
 */
int recover_open(struct qmgr *q, const char **why);
/* A slice of arming; false: all are. */
bool recover_arm(struct qmgr *q, unsigned budget);

#endif
