/* SPDX-License-Identifier: ISC */
#ifndef QMGR_FROM_ROUTER_H
#define QMGR_FROM_ROUTER_H

#include "qmgr/qmgr.h"

/*
 * The questions to router: those in queue 0 (filed without a route that can be relied on, or whose
 * route is of an older generation). At most ASKING_MAX are open; when router goes, they wait.
 */
enum { ASKING_MAX = 512 };

extern const struct peer_ops from_router_ops; /* arg: the struct qmgr */

struct asking *asking_new(void);
void asking_free(struct asking *a);

/* Asks for those that wait, in slices. */
void routes_run(struct qmgr *q);
/* One answer; false: it makes no sense. The answer's token says which question; see ipc/messages.h. */
bool routes_answered(struct qmgr *q, const struct msg_route *m);
/* router is gone: what was asked is asked again later. */
void routes_unanswered(struct qmgr *q);
bool routes_key(struct qmgr *q, struct slice key);
/* A generation of router was seen; routes that are older are asked for anew. */
void routes_renewed(struct qmgr *q, uint32_t generation);
/* Asks router once for its generation, when ours is newer than any of its answers. */
void routes_slow(struct qmgr *q);

#endif
