/* SPDX-License-Identifier: ISC */
#ifndef DELIVER_POOL_H
#define DELIVER_POOL_H

#include "deliver/session.h"

/*
 * Which connection a job gets: an idle one to the same next hops of the same transport, pool and
 * tenant (the domain may differ: behind a relay host many share one), else a new one, hop after
 * hop.
 */
struct pool;
/* ended: every recipient has its conclusion; the delivery is the caller's again. helo: copied. */
struct pool *pool_new(struct loop *l, struct loader *loader, const char *helo,
    void (*ended)(struct delivery *, void *), void *arg);
void pool_set_helo(struct pool *p, const char *helo);
void pool_start(struct pool *p, struct delivery *d);
/* Ends all idle connections with QUIT. */
void pool_quit_idle(struct pool *p);

struct pool_stats {
	uint64_t opened, reused, jobs;
	uint32_t idle, busy;
};
const struct pool_stats *pool_stats(const struct pool *p);

#endif
