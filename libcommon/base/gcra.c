/* SPDX-License-Identifier: ISC */
#include "base/gcra.h"

#include <assert.h>

static uint64_t
scaled(const struct gcra_rate *r, uint64_t now_ms)
{
	/* 2^40 times 10^7 leaves room for a burst of all bursts: 10^7 times 31 days. */
	assert(now_ms < GCRA_NOW_MAX_MS && r->count <= GCRA_COUNT_MAX && r->burst > 0 &&
	       r->burst <= GCRA_COUNT_MAX && r->period_ms <= GCRA_PERIOD_MAX_MS);
	return now_ms * r->count;
}

/*
 * What is due by then may be now: a burst ahead, and all of the present millisecond. Without the
 * latter a caller with a clock of milliseconds would lose a part of one at each event.
 */
static uint64_t
horizon(const struct gcra_rate *r, uint64_t now)
{
	return now + r->count - 1 + (r->burst - 1) * r->period_ms;
}

uint64_t
gcra_wait_ms(uint64_t due, const struct gcra_rate *r, uint64_t now_ms)
{
	uint64_t until;

	if (r->count == 0)
		return 0;
	until = horizon(r, scaled(r, now_ms));
	return due <= until ? 0 : (due - until + r->count - 1) / r->count;
}

uint64_t
gcra_take(uint64_t due, const struct gcra_rate *r, uint64_t now_ms, uint32_t n)
{
	uint64_t now;

	if (r->count == 0)
		return 0;
	now = scaled(r, now_ms);
	if (due < now)
		due = now;
	return __builtin_add_overflow(due, n * r->period_ms, &due) ? UINT64_MAX : due;
}

uint64_t
gcra_give_back(uint64_t due, const struct gcra_rate *r)
{
	return r->count == 0 || due < r->period_ms ? 0 : due - r->period_ms;
}

uint64_t
gcra_change(uint64_t due, const struct gcra_rate *was, const struct gcra_rate *is, uint64_t now_ms)
{
	uint64_t now, used;

	if (was->count == 0 || is->count == 0)
		return 0;
	now = scaled(was, now_ms);
	if (due <= now)
		return 0;
	used = (due - now + was->period_ms - 1) / was->period_ms; /* events */
	if (used > is->burst)
		used = is->burst;
	return gcra_take(0, is, now_ms, (uint32_t)used);
}

uint32_t
gcra_left(uint64_t due, const struct gcra_rate *r, uint64_t now_ms)
{
	uint64_t now, until, n;

	if (r->count == 0)
		return UINT32_MAX;
	now = scaled(r, now_ms);
	if (due < now)
		due = now;
	until = horizon(r, now);
	n = due > until ? 0 : (until - due) / r->period_ms + 1;
	return n < r->burst ? (uint32_t)n : r->burst;
}
