/* SPDX-License-Identifier: ISC */
#ifndef DELIVER_WORKER_H
#define DELIVER_WORKER_H

#include "deliver/content.h"
#include "priv/daemon.h"

/*
 * A worker of deliver or local: jobs from qmgr, results back. Runs until it is told to finish. What
 * is between a job and its results is the carrier's.
 */
struct carrier_env {
	struct daemon *daemon;
	struct loop *loop;
	struct loader *loader;
	/* Every recipient has its conclusion; the delivery is the worker's again. */
	void (*ended)(struct delivery *d, void *arg);
	/* A connection that a job of the queue had kept is no more. */
	void (*gone)(uint32_t queue, void *arg);
	void *arg;
};

struct carrier_ops {
	enum service self;
	enum profile profile;
	unsigned room;			   /* jobs at a time */
	void (*prepare)(struct daemon *d); /* may be NULL: before the sandbox is entered */
	void *(*open)(const struct carrier_env *env); /* as the worker, in its sandbox */
	void (*start)(void *carrier, struct delivery *d);
	void (*config)(void *carrier, const struct conf *c); /* env->daemon has it too */
	void (*quit)(void *carrier);			     /* no new jobs will come */
	void (*close)(void *carrier, uint32_t queue);	 /* may be NULL: one that is kept for it */
	void (*status)(void *carrier, struct buf *json); /* members of an open object */
};

_Noreturn void worker_main(
    const struct carrier_ops *ops, struct daemon *d, unsigned number, int pair_fd);

#endif
