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

/*
 * Events of every day then wait up to 50 ms for others, so that logd is not woken for each message.
 * For a service whose events come last in a message's story: logd puts lines in their order, but
 * does not wait long for the first. Warnings and worse take all before them along at once.
 */
void loglink_gather(void);
/* All that was said goes at this turn's end. */
void loglink_hurry(void);

#endif
