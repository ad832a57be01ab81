/* SPDX-License-Identifier: ISC */
#include "conf/names.h"

#include "base/die.h"

#include <stdlib.h>

/* The slot that holds the name, or the free one where it would go. At least one is free. */
static struct names_slot *
slot_of(const struct names *names, struct slice name)
{
	size_t i = slice_ihash(name) & (names->cap - 1);

	while (names->slot[i].id != 0 &&
	    !slice_ieq(slice_of(names->slot[i].z, names->slot[i].n), name))
		i = (i + 1) & (names->cap - 1);
	return &names->slot[i];
}

static void
grow(struct names *names)
{
	struct names bigger = { .cap = names->cap == 0 ? 16 : names->cap * 2, .n = names->n };

	bigger.slot = xcalloc(bigger.cap, sizeof *bigger.slot);
	for (size_t i = 0; i < names->cap; i++) {
		const struct names_slot *old = &names->slot[i];

		if (old->id != 0)
			*slot_of(&bigger, slice_of(old->z, old->n)) = *old;
	}
	free(names->slot);
	*names = bigger;
}

uint32_t
names_find(const struct names *names, struct slice name)
{
	return names->n == 0 || name.n == 0 ? 0 : slot_of(names, name)->id;
}

uint32_t
names_add(struct names *names, struct slice name, struct arena *a)
{
	struct names_slot *slot;

	if (names->n + 1 > names->cap / 2)
		grow(names);
	slot = slot_of(names, name);
	if (slot->id == 0)
		*slot = (struct names_slot){ arena_z(a, name), name.n, ++names->n };
	return slot->id;
}

void
names_fini(struct names *names)
{
	free(names->slot);
	*names = (struct names){ 0 };
}
