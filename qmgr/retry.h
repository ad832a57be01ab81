/* SPDX-License-Identifier: ISC */
#ifndef QMGR_RETRY_H
#define QMGR_RETRY_H

#include <stdint.h>

/* Random numbers that a seed repeats: xoshiro is not needed, splitmix64 does (not for secrets). */
struct rng {
	uint64_t state;
};
uint64_t rng_next(struct rng *r);

struct retry {
	uint64_t first_ms, max_ms;
	unsigned jitter_percent;
};

/* The wait after `tries` failed attempts (1 and up): first, doubled each time, up to max, give or take jitter. */
uint64_t retry_wait_ms(const struct retry *how, unsigned tries, struct rng *rng);

#endif
