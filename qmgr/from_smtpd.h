/* SPDX-License-Identifier: ISC */
#ifndef QMGR_FROM_SMTPD_H
#define QMGR_FROM_SMTPD_H

#include "qmgr/qmgr.h"

/* Writers: smtpd's workers, bounced. `arg` of the listener: the struct qmgr. */
extern const struct peer_ops from_smtpd_ops;

void from_smtpd_init(struct qmgr *q);
/* A link of that writer stands. */
bool from_smtpd_linked(struct qmgr *q, uint64_t instance);

#endif
