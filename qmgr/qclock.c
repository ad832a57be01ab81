/* SPDX-License-Identifier: ISC */
#include "qmgr/qclock.h"

#include "base/clock.h"

void
qclock_start(struct qclock *c, uint64_t queue_ms, uint64_t wall_ms)
{
	uint64_t now = clock_wall_ms(), gap = now > wall_ms ? now - wall_ms : 0;

	if (gap > QCLOCK_GAP_MAX_MS)
		gap = QCLOCK_GAP_MAX_MS;
	c->base_ms = queue_ms + gap;
	c->boot_ms = clock_boot_ms();
}

uint64_t
qclock_ms(const struct qclock *c)
{
	uint64_t now = clock_boot_ms();

	return c->base_ms + (now > c->boot_ms ? now - c->boot_ms : 0);
}
