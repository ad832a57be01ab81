/* SPDX-License-Identifier: ISC */
#ifndef QMGR_HOSTS_H
#define QMGR_HOSTS_H

#include "base/slice.h"

#include <stdbool.h>

/*
 * Addresses that gave no greeting when they were last tried: they rest for a while, over all
 * queues, so that mail goes to the others of its hosts at once. Each further failure doubles the
 * rest. Times are those of the queue clock, in milliseconds.
 *
 * It is bounded: where a great many fail, the ones that have rested longest are forgotten first,
 * and what finds no room is not remembered. That costs a vain attempt, no mail.
 */
enum { HOSTS_MAX = 65536 };

struct host_rest {
	struct host_rest *next;
	/* for people: the name by which it was tried, and what it came to; NULL: not known */
	char *name, *why;
	uint8_t ip[16];
	uint16_t port;
	uint16_t count; /* failures in a row */
	uint64_t until_ms;
};

struct hosts {
	struct host_rest **bucket;
	size_t nbucket, count;
};

void hosts_fini(struct hosts *all);

/* It failed. The rest: first_ms, doubled each time, up to max_ms. One that rests already is left as
 * it is. */
void hosts_failed(struct hosts *all, const uint8_t ip[static 16], uint16_t port, uint64_t now_ms,
    uint64_t first_ms, uint64_t max_ms);
/* About one that failed. The texts are copied; a name of "" says nothing new. */
void hosts_say(struct hosts *all, const uint8_t ip[static 16], uint16_t port, struct slice name,
    struct slice why);
void hosts_answered(struct hosts *all, const uint8_t ip[static 16], uint16_t port);
/* When its rest is over; 0: it does not rest. */
uint64_t hosts_until_ms(
    const struct hosts *all, const uint8_t ip[static 16], uint16_t port, uint64_t now_ms);
/* One that rests, or NULL. */
const struct host_rest *hosts_resting(
    const struct hosts *all, const uint8_t ip[static 16], uint16_t port, uint64_t now_ms);
/* Calls fn for each that failed when last tried, of the bucket *bucket; false: that was the last one. */
bool hosts_each(const struct hosts *all, size_t *bucket,
    void (*fn)(void *arg, const struct host_rest *h), void *arg);
/* All may be tried at once; what failed before is not forgotten. */
void hosts_wake(struct hosts *all);
void hosts_wake_one(struct hosts *all, const uint8_t ip[static 16], uint16_t port);
/* Forgets those whose rest has been over for keep_ms. */
void hosts_sweep(struct hosts *all, uint64_t now_ms, uint64_t keep_ms);

#endif
