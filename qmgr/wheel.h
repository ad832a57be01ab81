/* SPDX-License-Identifier: ISC */
#ifndef QMGR_WHEEL_H
#define QMGR_WHEEL_H

#include "qmgr/message.h"

/*
 * The timing wheel (QUEUE.md rule 24): one timer a message, four rings of 256 buckets, a tick wide
 * in the first and 256 times wider in each next. Setting and unsetting cost the same with ten
 * messages as with ten million; when a bucket of a wider ring comes round its messages move
 * inwards, in slices like everything that grows with the queue.
 */
enum {
	WHEEL_RINGS = 4,
	WHEEL_BUCKETS = 256,
	WHEEL_OUT = UINT16_MAX,
	WHEEL_DUE = WHEEL_RINGS * WHEEL_BUCKETS
};

struct wheel {
	struct messages *all;
	uint32_t now;	/* all buckets before this tick have been taken */
	uint32_t count; /* timers set */
	uint32_t head[WHEEL_RINGS * WHEEL_BUCKETS + 1]; /* the last: taken, waiting for a slice */
};

void wheel_init(struct wheel *w, struct messages *all, uint32_t now);
/* Sets or moves the timer: m->wake. In the past: due at once. */
void wheel_set(struct wheel *w, struct message *m, uint32_t when);
void wheel_unset(struct wheel *w, struct message *m);
static inline bool
wheel_is_set(const struct message *m)
{
	return m->wheel_bucket != WHEEL_OUT;
}

/*
 * Goes on to tick `to` and calls for each message whose time has come; its timer is unset then.
 * Handles at most `budget` messages: true when there is more to do.
 */
bool wheel_run(struct wheel *w, uint32_t to, unsigned budget,
    void (*due)(void *arg, struct message *m), void *arg);
/* No call of wheel_run() before this tick has anything to do; UINT32_MAX: no timer is set. */
uint32_t wheel_next(const struct wheel *w);

#endif
