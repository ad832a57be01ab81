/* SPDX-License-Identifier: ISC */
#ifndef IPC_LOGLINK_H
#define IPC_LOGLINK_H

#include "ipc/peer.h"

/*
 * Sends what base/log.h gathered to logd, once a turn. logd away or slow (1 MiB waits): warnings go
 * to stderr, the rest is dropped and counted; mail never waits for a log. logd calls nothing of
 * this: its own events are handed to itself.
 *
 * What base/metrics.h counts goes the same way: all of it when the link comes up, then once a
 * second what has changed, as long as the process does anything.
 */
void loglink_dial(struct loop *l, uid_t logd_uid); /* services: connect ourselves */
/* workers: give the result to nest_link() */
struct peer *loglink_supplied(struct loop *l, uid_t logd_uid);

#endif
