/* SPDX-License-Identifier: ISC */
#ifndef CONF_NAMES_H
#define CONF_NAMES_H

#include "base/arena.h"

/* Names and their numbers, 1 up in the order of adding. Case does not count. Zeroed is empty. */
struct names {
	struct names_slot {
		const char *z; /* as first written, in the arena of names_add() */
		size_t n;
		uint32_t id; /* 0: the slot is free */
	} *slot;
	size_t cap;
	uint32_t n;
};

uint32_t names_find(const struct names *names, struct slice name); /* 0: not there */
uint32_t names_add(struct names *names, struct slice name, struct arena *a); /* or finds it */
void names_fini(struct names *names);

#endif
