/* SPDX-License-Identifier: ISC */
#include "qmgr/segtab.h"

#include "base/die.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

void
segtab_init(struct segtab *t)
{
	*t = (struct segtab){ 0 };
}

static void
destroy(struct seg *s)
{
	if (s->fd >= 0)
		close(s->fd);
	if (s->scan != NULL)
		scan_fini(s->scan);
	free(s->scan);
	free(s->call); /* a lease whose number never became durable */
	free(s);
}

void
segtab_fini(struct segtab *t)
{
	for (uint32_t i = 0; i < t->nslot; i++)
		if (t->slot[i] != NULL)
			destroy(t->slot[i]);
	free(t->slot);
	*t = (struct segtab){ 0 };
}

struct seg *
seg_at(const struct segtab *t, uint32_t slot)
{
	assert(slot < t->nslot && t->slot[slot] != NULL);
	return t->slot[slot];
}

static uint32_t *
place_of(struct segtab *t, uint32_t number)
{
	return &t->by_number[number % SEG_NUMBERS];
}

struct seg *
seg_find(const struct segtab *t, uint32_t number)
{
	uint32_t at = t->by_number[number % SEG_NUMBERS];

	if (at != 0 && t->slot[at - 1]->number == number)
		return t->slot[at - 1];
	for (uint32_t i = 0; t->noutside > 0 && i < t->nslot; i++)
		if (t->slot[i] != NULL && t->slot[i]->number == number)
			return t->slot[i];
	return NULL;
}

struct seg *
seg_make(struct segtab *t, uint32_t number)
{
	struct seg *s = seg_find(t, number);
	uint32_t i = 0;

	if (s != NULL)
		return s;
	while (i < t->nslot && t->slot[i] != NULL)
		i++;
	if (i == t->nslot) {
		t->nslot = t->nslot == 0 ? 16 : t->nslot * 2;
		t->slot = xrealloc(t->slot, t->nslot * sizeof(struct seg *));
		memset(t->slot + i, 0, (t->nslot - i) * sizeof(struct seg *));
	}
	s = xcalloc(1, sizeof *s);
	s->slot = i;
	s->number = number;
	s->fd = -1;
	s->filed = s->durable = s->acked = SEGMENT_HEADER;
	s->sealed = SEG_OPEN_END;
	t->slot[i] = s;
	t->count++;
	if (*place_of(t, number) == 0)
		*place_of(t, number) = i + 1;
	else
		t->noutside++;
	if (number > t->highest)
		t->highest = number;
	return s;
}

void
seg_free(struct segtab *t, struct seg *s)
{
	assert(s->live == 0 && !s->busy && !s->listed);
	if (*place_of(t, s->number) == s->slot + 1)
		*place_of(t, s->number) = 0;
	else
		t->noutside--;
	t->slot[s->slot] = NULL;
	t->count--;
	destroy(s);
}

struct seg *
segtab_next(const struct segtab *t, uint32_t *cursor)
{
	while (*cursor < t->nslot) {
		struct seg *s = t->slot[(*cursor)++];

		if (s != NULL)
			return s;
	}
	return NULL;
}

uint32_t
segtab_number(const struct segtab *t)
{
	for (uint32_t n = t->highest + 1; n - t->highest <= 4096; n++) {
		uint32_t cursor = 0;
		struct seg *s;

		while ((s = segtab_next(t, &cursor)) != NULL)
			if ((s->number & 4095) == (n & 4095))
				break;
		if (s == NULL)
			return n;
	}
	return 0;
}

uint64_t
seg_unfiled(const struct seg *s)
{
	uint64_t end = s->state == SEG_ENDING && s->limit > s->durable ? s->limit : s->durable;

	if (end > s->sealed)
		end = s->sealed;
	return end > s->filed ? end - s->filed : 0;
}
