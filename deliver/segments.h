/* SPDX-License-Identifier: ISC */
#ifndef DELIVER_SEGMENTS_H
#define DELIVER_SEGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The segments that qmgr handed us: read-only descriptors, kept until FORGET and the last job's
 * end. */
struct held_segment {
	struct held_segment *next;
	uint32_t number;
	int fd;
	uint64_t seed;
	unsigned refs; /* jobs that read from it */
	bool forget;
};

struct segments {
	struct held_segment *first;
};

/* Takes fd. A segment that is known gets the new descriptor. */
void segments_add(struct segments *s, uint32_t number, int fd, uint64_t seed);
struct held_segment *segments_find(struct segments *s, uint32_t number); /* NULL: never announced */
void segments_ref(struct held_segment *h);
/* True: it was to be forgotten and is closed now. */
bool segments_unref(struct segments *s, struct held_segment *h);
/* True: closed at once; false: later (or unknown). */
bool segments_forget(struct segments *s, uint32_t number);

#endif
