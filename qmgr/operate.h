/* SPDX-License-Identifier: ISC */
#ifndef QMGR_OPERATE_H
#define QMGR_OPERATE_H

#include "qmgr/suspend.h"

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

/* Mail waits until it is resumed (suspend.h). False: it is so already, or there are too many. */
bool operate_suspend(
    struct qmgr *q, const struct suspend *what, struct slice holder, struct slice reason);
bool operate_resume(struct qmgr *q, const struct suspend *what, struct slice holder);

#endif
