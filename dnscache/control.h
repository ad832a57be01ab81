/* SPDX-License-Identifier: ISC */
#ifndef DNSCACHE_CONTROL_H
#define DNSCACHE_CONTROL_H

#include "dnscache/askers.h"
#include "dnscache/warm.h"
#include "ipc/ctl.h"

/* The verbs of ctl/dnscache: status, stats, lookup, dump, flush. */
struct control {
	struct cache *cache;
	struct resolver *resolver;
	struct askers *askers;
	struct warm *warm;
	struct ctl_server *server;
	uint32_t generation;
	uint64_t started_ms;
};

extern const struct ctl_verb control_verbs[]; /* their argument: a struct control */

#endif
