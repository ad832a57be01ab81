/* SPDX-License-Identifier: ISC */
#ifndef DNSCACHE_ASKERS_H
#define DNSCACHE_ASKERS_H

#include "dnscache/resolver.h"
#include "ipc/peer.h"

/* The services that ask: DNS_ASK in, DNS_ANSWER out. One link cannot have more than some thousand
 * questions open; what is beyond is TEMP at once. */
struct askers {
	struct resolver *resolver;
	unsigned links, open;
	uint64_t refused;
};

/* peer_listen(..., &askers_ops, the struct askers) */
extern const struct peer_ops askers_ops;

#endif
