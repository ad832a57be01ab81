/* SPDX-License-Identifier: ISC */
#ifndef QMGR_QCLOCK_H
#define QMGR_QCLOCK_H

#include <stdint.h>

/*
 * The queue clock (QUEUE.md rule 13): milliseconds since the spool was made, as far as it lived. It
 * goes on with the boot clock; over a restart it is advanced by the wall time since the last
 * checkpoint, clamped to 0..1 day, so that a wall clock set wrongly for a while expires no mail.
 *
 * Messages keep it in ticks of 250 ms: 32 bits last 34 years.
 */
enum { QCLOCK_TICK_MS = 250, QCLOCK_GAP_MAX_MS = 24 * 3600 * 1000 };

struct qclock {
	uint64_t base_ms; /* queue time at boot_ms */
	uint64_t boot_ms;
};

/* Goes on from a checkpoint; a new spool has (0, wall now). */
void qclock_start(struct qclock *c, uint64_t queue_ms, uint64_t wall_ms);
uint64_t qclock_ms(const struct qclock *c);

/* Ticks are rounded up for what shall come, so that nothing is early; never beyond 32 bits. */
static inline uint32_t
qclock_tick(uint64_t ms)
{
	uint64_t t = (ms + QCLOCK_TICK_MS - 1) / QCLOCK_TICK_MS;

	return t < UINT32_MAX ? (uint32_t)t : UINT32_MAX - 1;
}

static inline uint64_t
qclock_of_tick(uint32_t tick)
{
	return (uint64_t)tick * QCLOCK_TICK_MS;
}

static inline uint32_t
qclock_now_tick(const struct qclock *c)
{
	return (uint32_t)(qclock_ms(c) / QCLOCK_TICK_MS);
}

#endif
