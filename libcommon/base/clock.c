/* SPDX-License-Identifier: ISC */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static const struct clock_source *fake;

static uint64_t
read_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t
clock_mono_ms(void)
{
	return fake != NULL ? fake->mono_ms() : read_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t
clock_boot_ms(void)
{
	return fake != NULL ? fake->boot_ms() : read_us(CLOCK_BOOTTIME) / 1000;
}

uint64_t
clock_wall_ms(void)
{
	return fake != NULL ? fake->wall_ms() : read_us(CLOCK_REALTIME) / 1000;
}

uint64_t
clock_wall_us(void)
{
	return fake != NULL ? fake->wall_ms() * 1000 : read_us(CLOCK_REALTIME);
}

void
clock_set_source(const struct clock_source *source)
{
	fake = source;
}
