/* SPDX-License-Identifier: ISC */
#ifndef ROUTER_DECIDE_H
#define ROUTER_DECIDE_H

#include "base/arena.h"
#include "conf/conf.h"
#include "ipc/route.h"

/*
 * Where mail for an address goes, or why it does not: a pure function of the configuration, the
 * names known (names.h) and the question. The rules, in this order; the first that speaks wins:
 *
 *	bad-address         not an address                                   refuse 501 5.1.3
 *	again               relaying was granted before (asked by qmgr)      to the next hops
 *	local               class local or bounced                           to the next hops
 *	submission          class submission, client in submission_networks  to the next hops
 *	submission-denied   class submission otherwise                       refuse 550 5.7.1
 *	relay-networks      client in relay_networks                         to the next hops
 *	relay-domains       domain in relay_domains                          to the next hops
 *	postmaster          postmaster of this host (RFC 5321 4.5.1)         to the next hops
 *	relay-denied        anything else                                    refuse 554 5.7.1
 *
 * Next hops: the domain's route, else relay_host. No hop at all is TEMP (4.4.4), unless the
 *configuration says in so many words that there is none (an empty route): refuse 550 5.1.2.
 */
struct question {
	uint8_t class;
	bool again;
	bool has_client;
	uint8_t client[16];
	struct slice login, sender, rcpt;
};

struct decision {
	enum route_action action;
	uint16_t code;
	uint8_t enh[3];
	const char *text; /* constant */
	const char *rule; /* constant, or as long as the configuration */
	struct route
	    route; /* where action is ROUTE_DELIVER; slices in the arena or the configuration */
};

struct names;
void decide(const struct conf *c, const struct names *names, const struct question *q,
    struct arena *a, struct decision *out);

#endif
