/* SPDX-License-Identifier: ISC */
#ifndef LOGD_LINEUP_H
#define LOGD_LINEUP_H

#include "logd/maillog.h"

/*
 * Puts lines in the order of their times. Services tell of a message over links of their own: that
 * it was delivered may come before that it was received. So a line is held until it is LINEUP_US
 * old and has been here for ARRIVED_US: where we are late ourselves all are old, and one link is read
 * before the other. What comes later than that stands where it came. Nothing is lost here: where there
 * are too many, the oldest go out early.
 *
 * No clock but what it is told: now_us is the wall clock. Where that is set back, lines go out at
 * once.
 */
enum { LINEUP_US = 200 * 1000, ARRIVED_US = 100 * 1000, LINEUP_MAX = 8192 };

struct lineup_held {
	uint64_t key_us, arrived_us;
	struct mailline line; /* its text is owned */
};

struct lineup {
	maillog_fn *out;
	void *arg;
	unsigned n;
	struct lineup_held held[LINEUP_MAX];
};

void lineup_put(struct lineup *l, uint64_t now_us, const struct mailline *line);
/* Lets go those whose time has come. Returns microseconds until the next has, 0 where none is held. */
uint64_t lineup_take(struct lineup *l, uint64_t now_us);
void lineup_take_all(struct lineup *l);

#endif
