/* SPDX-License-Identifier: ISC */
#include "base/arena.h"

#include "base/die.h"

#include <stdlib.h>

struct arena_block {
	struct arena_block *next;
	size_t size, used;
	_Alignas(16) char mem[];
};

enum { BLOCK_MIN = 1008 };

void *
arena_alloc(struct arena *a, size_t n)
{
	struct arena_block *b = a->block;
	size_t want = (n + 15) & ~(size_t)15;

	if (want < n)
		die(EXIT_SOFTWARE, "arena: size overflow");
	if (b == NULL || b->size - b->used < want) {
		size_t size = b == NULL ? BLOCK_MIN : b->size * 2;

		if (size > 64 * 1024)
			size = 64 * 1024;
		if (size < want)
			size = want;
		b = xmalloc(sizeof *b + size);
		*b = (struct arena_block){ .next = a->block, .size = size };
		a->block = b;
	}
	b->used += want;
	a->used += want;
	return b->mem + b->used - want;
}

struct slice
arena_slice(struct arena *a, struct slice s)
{
	return slice_of(arena_z(a, s), s.n);
}

char *
arena_z(struct arena *a, struct slice s)
{
	char *z = arena_alloc(a, s.n + 1);

	slice_copy(s, z, s.n + 1);
	return z;
}

void
arena_reset(struct arena *a)
{
	struct arena_block *b = a->block, *next;

	for (; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	*a = (struct arena){ 0 };
}

void
arena_fini(struct arena *a)
{
	arena_reset(a);
}
