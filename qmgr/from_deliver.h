/* SPDX-License-Identifier: ISC */
#ifndef QMGR_FROM_DELIVER_H
#define QMGR_FROM_DELIVER_H

#include "qmgr/qmgr.h"

/* deliver's parent and workers (and local, later). `arg` of the listener: the struct qmgr. */
extern const struct peer_ops from_deliver_ops;
/* The bus of dispatch.h over their links. */
extern const struct bus from_deliver_bus;

#endif
