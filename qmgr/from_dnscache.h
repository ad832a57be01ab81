/* SPDX-License-Identifier: ISC */
#ifndef QMGR_FROM_DNSCACHE_H
#define QMGR_FROM_DNSCACHE_H

#include "qmgr/qmgr.h"

#include <sys/types.h>

/* The link to dnscache: sets q->dns. */
void from_dnscache_start(struct qmgr *q, uid_t uid);
/* Before the sandbox: remembers this machine's addresses, by which mail to ourselves is told. */
void from_dnscache_local(void);

#endif
