/* SPDX-License-Identifier: ISC */
#ifndef QMGR_NOTICE_MAKE_H
#define QMGR_NOTICE_MAKE_H

#include "qmgr/qmgr.h"

/*
 * What bounced is handed for one kind of notice of a message: bounce/notice.h, of NOTICE_RCPTS_MAX
 * recipients at most. 0; -ENOENT: nothing of the kind is owed; -EBADMSG: the message's record
 * cannot be read.
 */
int notice_make(struct qmgr *q, struct message *m, uint8_t kind, struct buf *out);

/* As a memory file with all seals on it: its descriptor, or -errno. */
int notice_seal(const struct buf *bytes);

#endif
