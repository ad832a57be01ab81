/* SPDX-License-Identifier: ISC */
#include "qmgr/message.h"

#include "base/die.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

_Static_assert(sizeof(struct recipient) == 32, "rule 25 counts on it");
_Static_assert(sizeof(struct message) == 80, "rule 25 counts on it");

enum { SLOTS_FIRST = 64 };

void
messages_init(struct messages *all)
{
	*all = (struct messages){ .free = MESSAGE_NONE };
}

static size_t
slot_bytes(const struct messages *all)
{
	return (size_t)all->nslot * sizeof *all->slot;
}

void
messages_fini(struct messages *all)
{
	uint32_t cursor = 0;
	struct message *m;

	while ((m = messages_next(all, &cursor)) != NULL)
		if (m->nrcpt > 1)
			free(m->to.more);
	for (uint32_t i = 0; i < all->nchunk; i++)
		free(all->chunk[i]);
	free(all->chunk);
	if (all->slot != NULL)
		munmap(all->slot, slot_bytes(all));
	messages_init(all);
}

/* Ids come from writers: mixed, so that none of them shapes our chains. */
static uint64_t
hash(uint64_t id)
{
	uint64_t h = id * UINT64_C(0x9e3779b97f4a7c15);

	h ^= h >> 29;
	return h * UINT64_C(0xbf58476d1ce4e5b9);
}

static uint32_t
home(const struct messages *all, uint64_t h)
{
	return (uint32_t)((h >> 32) * all->nslot >> 32);
}

/* A few bits beside the index: a message that is not the one asked for is hardly ever looked at. */
static uint32_t
entry(uint64_t h, uint32_t i)
{
	return (uint32_t)(h << (32 - MESSAGES_BITS + 2)) >> MESSAGES_BITS << MESSAGES_BITS | i;
}

static uint32_t
index_of(uint32_t e)
{
	return e & ((UINT32_C(1) << MESSAGES_BITS) - 1);
}

static uint32_t
after(const struct messages *all, uint32_t at)
{
	return at + 1 == all->nslot ? 0 : at + 1;
}

static bool
is_at(const struct messages *all, uint32_t at, uint32_t wanted, uint64_t id)
{
	return (all->slot[at] ^ wanted) >> MESSAGES_BITS == 0 &&
	       message_at(all, index_of(all->slot[at]))->id == id;
}

/* It must not be there; that is seen on the way. */
static void
index_put(struct messages *all, uint64_t id, uint32_t i)
{
	uint64_t h = hash(id);
	uint32_t at = home(all, h), mine = entry(h, i);

	while (all->slot[at] != MESSAGE_NONE) {
		assert(!is_at(all, at, mine, id));
		at = after(all, at);
	}
	all->slot[at] = mine;
}

/*
 * Grows by half from a load of 2/3: between 6 and 9 bytes a message. Refilled in the order of
 * memory, some 20 ms for a million. Pages of its own, that go when it has become too small.
 */
static void
index_grow(struct messages *all)
{
	uint32_t cursor = 0;
	const struct message *m;

	if (all->slot != NULL)
		munmap(all->slot, slot_bytes(all));
	all->nslot = all->nslot == 0 ? SLOTS_FIRST : all->nslot + all->nslot / 2;
	all->slot =
	    mmap(NULL, slot_bytes(all), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (all->slot == MAP_FAILED)
		die(EXIT_TEMP, "out of memory");
	if (slot_bytes(all) >= MESSAGES_CHUNK_BYTES)
		madvise(all->slot, slot_bytes(all), MADV_HUGEPAGE);
	memset(all->slot, 0xff, slot_bytes(all));
	while ((m = messages_next(all, &cursor)) != NULL)
		index_put(all, m->id, cursor - 1);
}

static uint32_t
index_find(const struct messages *all, uint64_t id)
{
	uint64_t h = hash(id);
	uint32_t at, wanted = entry(h, 0);

	if (all->nslot == 0)
		return MESSAGE_NONE;
	for (at = home(all, h); all->slot[at] != MESSAGE_NONE; at = after(all, at))
		if (is_at(all, at, wanted, id))
			return at;
	return MESSAGE_NONE;
}

/* Closes the gap: what probed over it moves back (Knuth 6.4, algorithm R). */
static void
index_remove(struct messages *all, uint32_t gap)
{
	uint32_t at = gap;

	for (;;) {
		uint32_t want;

		at = after(all, at);
		if (all->slot[at] == MESSAGE_NONE)
			break;
		want = home(all, hash(message_at(all, index_of(all->slot[at]))->id));
		if (gap <= at ? gap < want && want <= at : gap < want || want <= at)
			continue;
		all->slot[gap] = all->slot[at];
		gap = at;
	}
	all->slot[gap] = MESSAGE_NONE;
}

static uint32_t
slot_take(struct messages *all)
{
	uint32_t i = all->free;

	if (i != MESSAGE_NONE) {
		all->free = message_at(all, i)->wheel_next;
		return i;
	}
	if (all->used == MESSAGES_MAX)
		die(EXIT_TEMP, "more messages than can be held");
	if (all->used == all->nchunk * (uint32_t)MESSAGES_CHUNK) {
		struct messages_chunk *c =
		    aligned_alloc(MESSAGES_CHUNK_BYTES, MESSAGES_CHUNK_BYTES);

		if (c == NULL)
			die(EXIT_TEMP, "out of memory");
		if (all->nchunk > 0)
			madvise(c, MESSAGES_CHUNK_BYTES, MADV_HUGEPAGE);
		c->number = all->nchunk;
		all->chunk = xrealloc(all->chunk, (all->nchunk + 1) * sizeof *all->chunk);
		all->chunk[all->nchunk++] = c;
	}
	return all->used++;
}

struct message *
message_new(struct messages *all, uint64_t id, unsigned nrcpt)
{
	struct message *m;
	uint32_t i;

	assert(id != 0 && nrcpt >= 1 && nrcpt <= MESSAGE_MORE_MAX);
	if (all->nslot == 0 || (uint64_t)(all->count + 1) * 3 > (uint64_t)all->nslot * 2)
		index_grow(all);
	i = slot_take(all);
	m = message_at(all, i);
	*m = (struct message){ .id = id, .nrcpt = (uint16_t)nrcpt, .wheel_bucket = UINT16_MAX };
	if (nrcpt > 1)
		m->to.more = xcalloc(nrcpt, sizeof *m->to.more);
	index_put(all, id, i);
	all->found = i;
	all->count++;
	return m;
}

void
message_grow(struct message *m, unsigned more)
{
	struct recipient *all;

	assert(more <= MESSAGE_MORE_MAX - (unsigned)m->nrcpt);
	if (more == 0)
		return;
	all = xcalloc(m->nrcpt + more, sizeof *all);
	memcpy(all, message_rcpts(m), m->nrcpt * sizeof *all);
	if (m->nrcpt > 1)
		free(m->to.more);
	m->to.more = all;
	m->nrcpt = (uint16_t)(m->nrcpt + more);
	m->nopen = (uint16_t)(m->nopen + more);
}

void
message_free(struct messages *all, struct message *m)
{
	uint32_t at = index_find(all, m->id), i;

	assert(at != MESSAGE_NONE);
	i = index_of(all->slot[at]);
	index_remove(all, at);
	if (m->nrcpt > 1)
		free(m->to.more);
	*m = (struct message){ .wheel_next = all->free };
	all->free = i;
	all->count--;
}

struct message *
message_find(struct messages *all, uint64_t id)
{
	uint32_t at;

	if (all->found < all->used && id != 0 && message_at(all, all->found)->id == id)
		return message_at(all, all->found);
	at = index_find(all, id);
	if (at == MESSAGE_NONE)
		return NULL;
	all->found = index_of(all->slot[at]);
	return message_at(all, all->found);
}

struct message *
messages_next(const struct messages *all, uint32_t *cursor)
{
	while (*cursor < all->used) {
		struct message *m = message_at(all, (*cursor)++);

		if (m->id != 0)
			return m;
	}
	return NULL;
}
