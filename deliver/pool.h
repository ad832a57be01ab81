/* SPDX-License-Identifier: ISC */
#ifndef DELIVER_POOL_H
#define DELIVER_POOL_H

#include "deliver/session.h"

/*
 * Which connection a job gets: an idle one to the first of its hosts, of the same transport, pool
 * and tenant (the domain may differ: behind one mail exchanger many share it), else a new one, host
 * after host. Idle ones to the hosts behind the first are left alone: they are less preferred. A
 * third of the descriptors may be idle ones: thousands of destinations with a message a second each
 * are served without connecting anew. Beyond it the one used longest ago says QUIT.
 */
struct pool;
/* ended: every recipient has its conclusion; the delivery is the caller's again. helo: copied. */
struct pool *pool_new(struct loop *l, struct loader *loader, const char *helo,
    void (*ended)(struct delivery *, void *), void *arg);
/* gone: an idle connection that qmgr counts for the queue is none any more. */
void pool_tell(struct pool *p, void (*gone)(uint32_t queue, void *arg));
void pool_set_helo(struct pool *p, const char *helo);
void pool_start(struct pool *p, struct delivery *d);
/* Ends one that was kept for the queue, if there still is one. */
void pool_close(struct pool *p, uint32_t queue);
/* Ends all idle connections with QUIT. */
void pool_quit_idle(struct pool *p);

struct pool_stats {
	uint64_t opened, reused, jobs;
	uint32_t idle, busy;
};
const struct pool_stats *pool_stats(const struct pool *p);

#endif
