/* SPDX-License-Identifier: ISC */
#include "smtpd/limits.h"

#include "base/die.h"

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SETS = 2048, WAYS = 16, PLACES = SETS * WAYS, NO_PLACE = PLACES };

struct way {
	_Atomic uint64_t client; /* 0: never used */
	_Atomic uint32_t count;	 /* 0: free */
};

struct column {
	_Atomic uint64_t all, accepted, refused;
	struct way ways[PLACES];
};

struct limits {
	unsigned workers;
	struct limits_tally past; /* of workers that died; the parent's */
	struct column *columns;	  /* shared; touched only where there are sessions */
};

struct limits *
limits_new(unsigned workers)
{
	struct limits *l = xcalloc(1, sizeof *l);

	l->workers = workers;
	l->columns = mmap(NULL, workers * sizeof *l->columns, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (l->columns == MAP_FAILED)
		die(EXIT_TEMP, "memory for session limits: %s", strerror(errno));
	return l;
}

void
limits_free(struct limits *l)
{
	if (l == NULL)
		return;
	munmap(l->columns, l->workers * sizeof *l->columns);
	free(l);
}

void
limits_clear(struct limits *l, unsigned worker)
{
	struct column *c = &l->columns[worker - 1];

	l->past.accepted += atomic_exchange(&c->accepted, 0);
	l->past.refused += atomic_exchange(&c->refused, 0);
	atomic_store(&c->all, 0);
	for (unsigned i = 0; i < PLACES; i++)
		if (atomic_load_explicit(&c->ways[i].count, memory_order_relaxed) != 0)
			atomic_store(&c->ways[i].count, 0);
}

uint64_t
limits_client(const uint8_t host[16])
{
	uint64_t key = 0;
	uint32_t v4;

	if (addr_is_v4(host)) {
		memcpy(&v4, host + 12, sizeof v4);
		return UINT64_C(0xff04) << 48 |
		       v4; /* as IPv6 it would be multicast, which connects to nobody */
	}
	memcpy(&key, host, sizeof key);
	key = be64toh(key);
	return key == 0 ? 1 : key;
}

uint64_t
limits_uid(uint32_t uid)
{
	return UINT64_C(0xff05) << 48 | uid;
}

static unsigned
set_of(uint64_t client)
{
	client *= UINT64_C(0x9e3779b97f4a7c15);
	return (unsigned)(client >> 40) % SETS * WAYS;
}

static uint64_t
sum(const struct limits *l, uint64_t client, uint64_t *all)
{
	unsigned set = set_of(client);
	uint64_t n = 0;

	*all = 0;
	for (unsigned w = 0; w < l->workers; w++) {
		const struct column *c = &l->columns[w];

		*all += atomic_load_explicit(&c->all, memory_order_relaxed);
		for (unsigned i = set; i < set + WAYS; i++)
			if (atomic_load_explicit(&c->ways[i].client, memory_order_relaxed) ==
			    client)
				n += atomic_load_explicit(&c->ways[i].count, memory_order_relaxed);
	}
	return n;
}

unsigned
limits_enter(struct limits *l, unsigned worker, uint64_t client, struct limits_count *now)
{
	struct column *c = &l->columns[worker - 1];
	unsigned set = set_of(client), free = NO_PLACE, place = NO_PLACE;

	for (unsigned i = set; i < set + WAYS && place == NO_PLACE; i++)
		if (c->ways[i].count == 0)
			free = i;
		else if (c->ways[i].client == client)
			place = i;
	if (place == NO_PLACE && free != NO_PLACE) {
		place = free;
		c->ways[place].client = client;
	}
	if (place != NO_PLACE)
		c->ways[place].count++;
	c->all++;
	now->of_client = sum(l, client, &now->all);
	return place;
}

void
limits_leave(struct limits *l, unsigned worker, unsigned place)
{
	struct column *c = &l->columns[worker - 1];

	if (c->all > 0)
		c->all--;
	if (place < PLACES && c->ways[place].count > 0)
		c->ways[place].count--;
}

void
limits_tell(struct limits *l, unsigned worker, uint64_t accepted, uint64_t refused)
{
	atomic_store(&l->columns[worker - 1].accepted, accepted);
	atomic_store(&l->columns[worker - 1].refused, refused);
}

void
limits_sum(struct limits *l, struct limits_tally *out)
{
	*out = l->past;
	for (unsigned w = 0; w < l->workers; w++) {
		out->sessions += atomic_load(&l->columns[w].all);
		out->accepted += atomic_load(&l->columns[w].accepted);
		out->refused += atomic_load(&l->columns[w].refused);
	}
}
