/* SPDX-License-Identifier: ISC */
#ifndef BOUNCED_JOBS_H
#define BOUNCED_JOBS_H

#include "bounced/classify.h"
#include "bounce/notice.h"
#include "commit/writer.h"
#include "conf/conf.h"
#include "ipc/peer.h"

/*
 * What qmgr asks for: notices, written as letters into a segment of our own, and replies to be
 * classed. Nothing is remembered: what was not written when we end is asked for again.
 */
struct jobs {
	struct loop *loop;
	struct offload *threads; /* one: it syncs the segment */
	struct intake intake;
	struct writer *writer;
	struct peer *qmgr;
	struct timer *tick, *lease_retry;
	struct classifier rules;
	const struct conf *conf; /* borrowed from the daemon */
	uint64_t notices, later, replies, refused;
};

/* After the sandbox is entered. dirfd: folder of the rules, or -1. */
void jobs_start(
    struct jobs *j, struct loop *loop, const struct conf *conf, int dirfd, uid_t qmgr_uid);
void jobs_stop(struct jobs *j);
/* Takes the configuration and reads the rules anew; says in the log what came of it. */
void jobs_reload(struct jobs *j, const struct conf *conf);

/*
 * The sealed file of a notice as bytes; 0 or -errno: -EPERM where a seal is missing, -EMSGSIZE
 * where its size is not `size` or beyond the limit.
 */
int jobs_read_sealed(int fd, uint32_t size, struct buf *out);

#endif
