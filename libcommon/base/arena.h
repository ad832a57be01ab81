/* SPDX-License-Identifier: ISC */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/slice.h"

struct arena_block;

/*
 * Memory that is given back all at once: one a transaction. Zero-initialised is empty, and an
 * empty arena holds no memory. Pointers live until arena_reset() or arena_fini().
 */
struct arena {
	struct arena_block *block;
	size_t used; /* bytes handed out since the last reset */
};

/* 16-byte aligned, not zeroed */
void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
struct slice arena_slice(struct arena *a, struct slice s); /* copy; NUL-ended beyond n */
char *arena_z(struct arena *a, struct slice s);		   /* copy as a string */
/* keeps nothing; in san builds the old bytes are poisoned by free() */
void arena_reset(struct arena *a);
void arena_fini(struct arena *a);

#endif
