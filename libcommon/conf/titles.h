/* SPDX-License-Identifier: ISC */
#ifndef CONF_TITLES_H
#define CONF_TITLES_H

#include "base/arena.h"

/* Names of sections and their numbers, 1 up in the order of adding, without regard to case. */
struct titles {
	struct titles_slot {
		const char *z; /* as first written, in the arena of titles_add() */
		size_t n;
		uint32_t id; /* 0: the slot is free */
	} * slot;
	size_t cap;
	uint32_t n;
};

uint32_t titles_find(const struct titles *titles, struct slice name);		/* 0: not there */
uint32_t titles_add(struct titles *titles, struct slice name, struct arena *a); /* or finds it */
void titles_fini(struct titles *titles);

#endif
