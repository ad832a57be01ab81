/* SPDX-License-Identifier: ISC */
#ifndef QMGR_OPERATE_H
#define QMGR_OPERATE_H

#include "qmgr/qmgr.h"

/* What an operator does to a message (rule 26): journalled with his name before anything is freed. */
enum operation {
	OPERATE_HOLD,
	OPERATE_RELEASE,
	OPERATE_DELETE,
	OPERATE_FAIL,
	OPERATE_RETRY,
	OPERATE_FLUSH
};

/* False: there was nothing to do to it. The message may be gone afterwards. Flush is retry without a record. */
bool operate(struct qmgr *q, enum operation what, struct message *m, struct slice holder,
    struct slice reason);

/* Mail for a domain ("*": all) waits until it is resumed. False: no such domain can be, or it is so already. */
bool operate_suspend(struct qmgr *q, struct slice domain, struct slice holder, struct slice reason);
bool operate_resume(struct qmgr *q, struct slice domain, struct slice holder);

#endif
