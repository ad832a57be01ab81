/* SPDX-License-Identifier: ISC */
#ifndef BASE_GCRA_H
#define BASE_GCRA_H

#include <stdint.h>

/*
 * A rate: so many events in a period, evenly, and `burst` of them at once after a pause. By the
 * generic cell rate algorithm (ITU-T I.371) all that is remembered is one time: when the next event
 * would be due if all came evenly. It is kept in units of 1/count ms, in which an event weighs
 * period_ms: whole numbers, nothing is rounded, so nothing drifts.
 *
 * Pure: the caller has the clock, any that does not go back, in ms and below GCRA_NOW_MAX_MS.
 */
enum { GCRA_COUNT_MAX = 10000000 };
#define GCRA_PERIOD_MAX_MS UINT64_C(2678400000) /* 31 days */
#define GCRA_NOW_MAX_MS (UINT64_C(1) << 40)

struct gcra_rate {
	uint32_t count; /* in a period; 0: no limit, and all below is as if it were not there */
	uint32_t burst; /* 1 and more */
	uint64_t period_ms;
};

/* `due` is what is remembered: 0 at first. */

/* Until the next event may be, in ms: 0: now. */
uint64_t gcra_wait_ms(uint64_t due, const struct gcra_rate *r, uint64_t now_ms);
/* n events are: the new `due`. Whether they may was asked before; else later ones pay for it. */
uint64_t gcra_take(uint64_t due, const struct gcra_rate *r, uint64_t now_ms, uint32_t n);
/* An event that was taken was none. */
uint64_t gcra_give_back(uint64_t due, const struct gcra_rate *r);
/* The rate is another from now on: what was used of the old one's burst is used of this one's. */
uint64_t gcra_change(
    uint64_t due, const struct gcra_rate *was, const struct gcra_rate *is, uint64_t now_ms);
/* Events that may be at once, at most the burst. */
uint32_t gcra_left(uint64_t due, const struct gcra_rate *r, uint64_t now_ms);

#endif
