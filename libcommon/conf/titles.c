/* SPDX-License-Identifier: ISC */
#include "conf/titles.h"

#include "base/die.h"

#include <stdlib.h>

/* The slot that holds the name, or the free one where it would go. At least one is free. */
static struct titles_slot *
slot_of(const struct titles *titles, struct slice name)
{
	size_t i = slice_ihash(name) & (titles->cap - 1);

	while (titles->slot[i].id != 0 &&
	       !slice_ieq(slice_of(titles->slot[i].z, titles->slot[i].n), name))
		i = (i + 1) & (titles->cap - 1);
	return &titles->slot[i];
}

static void
grow(struct titles *titles)
{
	struct titles bigger = { .cap = titles->cap == 0 ? 16 : titles->cap * 2, .n = titles->n };

	bigger.slot = xcalloc(bigger.cap, sizeof *bigger.slot);
	for (size_t i = 0; i < titles->cap; i++) {
		const struct titles_slot *old = &titles->slot[i];

		if (old->id != 0)
			*slot_of(&bigger, slice_of(old->z, old->n)) = *old;
	}
	free(titles->slot);
	*titles = bigger;
}

uint32_t
titles_find(const struct titles *titles, struct slice name)
{
	return titles->n == 0 || name.n == 0 ? 0 : slot_of(titles, name)->id;
}

uint32_t
titles_add(struct titles *titles, struct slice name, struct arena *a)
{
	struct titles_slot *slot;

	if (titles->n + 1 > titles->cap / 2)
		grow(titles);
	slot = slot_of(titles, name);
	if (slot->id == 0)
		*slot = (struct titles_slot){ arena_z(a, name), name.n, ++titles->n };
	return slot->id;
}

void
titles_fini(struct titles *titles)
{
	free(titles->slot);
	*titles = (struct titles){ 0 };
}
