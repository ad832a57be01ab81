/* SPDX-License-Identifier: ISC */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/*
 * Three clocks, in milliseconds. Waiting is by the monotonic one, dates by the wall, ages of queued
 * mail by the boot clock (it goes on while the machine sleeps). Tests and the simulation set them.
 */
uint64_t clock_mono_ms(void);
uint64_t clock_boot_ms(void);
uint64_t clock_wall_ms(void);
uint64_t clock_wall_us(void);

/* NULL gives the real ones back. Each returns milliseconds. */
struct clock_source {
	uint64_t (*mono_ms)(void);
	uint64_t (*boot_ms)(void);
	uint64_t (*wall_ms)(void);
};
void clock_set_source(const struct clock_source *source);

#endif
