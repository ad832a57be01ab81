/* SPDX-License-Identifier: ISC */
#ifndef DNSCACHE_UPSTREAM_H
#define DNSCACHE_UPSTREAM_H

#include "base/addr.h"
#include "base/slice.h"
#include "io/loop.h"

/*
 * The name servers: carries questions to them and answers back, by UDP, by TCP where an answer is
 * cut short. upstream.c is the only file that knows c-ares.
 */
enum { UPSTREAM_MAX = 8 };

enum upstream_end {
	UPSTREAM_ANSWER, /* a packet came whose id and question are those sent */
	UPSTREAM_TIMEOUT,
	UPSTREAM_UNREACHABLE, /* refused by the network, or no socket could be had */
};

struct upstream;
struct request; /* one question at one server */

/* Called from the loop, never from within upstream_ask(). packet: until it returns. */
typedef void upstream_fn(void *arg, enum upstream_end end, struct slice packet);

/* at: n addresses, at most UPSTREAM_MAX. timeout_ms: for one server to answer, over TCP once more.
 */
struct upstream *upstream_new(
    struct loop *l, const struct addr *at, unsigned n, uint64_t timeout_ms);
void upstream_free(struct upstream *u); /* open requests end without a call */

unsigned upstream_count(const struct upstream *u);
/*
 * The server to ask next, of those not in `told` (bits): the first in the order of configuration
 * that answers, and was asked least often by this question (`asked`: how often each). One that has
 * failed three times in a row rests for ten seconds, then is tried by one question. -1: none left.
 */
int upstream_pick(const struct upstream *u, unsigned told, const uint8_t asked[UPSTREAM_MAX]);
/* query: as answer_question_put() makes it. Never fails here: what does is told by fn. */
void upstream_ask(
    struct upstream *u, unsigned server, struct slice query, upstream_fn *fn, void *arg);
/* What became of an answer, for the choice: an answer that made no sense is a failure too. */
void upstream_judge(struct upstream *u, unsigned server, bool good);

struct upstream_stats {
	struct addr addr;
	uint64_t asked, answered, timeouts, unreachable, bad, over_tcp;
	unsigned failures; /* in a row */
	bool resting;
};
void upstream_stats(const struct upstream *u, unsigned server, struct upstream_stats *out);

#endif
