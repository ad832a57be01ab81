/* SPDX-License-Identifier: ISC */
#include "qmgr/retry.h"

uint64_t
rng_next(struct rng *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t
retry_wait_ms(const struct retry *how, unsigned tries, struct rng *rng)
{
	uint64_t wait = how->first_ms, max = how->max_ms, spread;

	if (max < how->first_ms)
		max = wait = how->max_ms;
	while (tries > 1 && wait < max) {
		wait *= 2;
		tries--;
	}
	if (wait > max)
		wait = max;
	spread = wait / 100 * (how->jitter_percent > 100 ? 100 : how->jitter_percent);
	return spread == 0 ? wait : wait - spread + rng_next(rng) % (2 * spread + 1);
}
