/* SPDX-License-Identifier: ISC */
#include "dnscache/cache.h"

#include "base/die.h"

#include <bsd/stdlib.h>
#include <bsd/sys/queue.h>
#include <stdlib.h>
#include <xxhash.h>

enum { BUCKETS_MIN = 64, BUCKETS_MAX = 1 << 20, WALK_BUCKETS = 256, OVERHEAD = 2 * sizeof(void *) };

struct entry {
	TAILQ_ENTRY(entry) used; /* in c->used, the most recently asked for first */
	struct entry *next;	 /* in its bucket */
	uint64_t expires_ms;
	uint32_t nrecords;
	uint16_t type;
	uint8_t status, flags, nname, ncname;
	char bytes[]; /* name, NUL, cname, records */
};
TAILQ_HEAD(entry_list, entry);

struct cache {
	struct cache_limits limits;
	struct entry_list used;
	struct entry **buckets;
	uint64_t nbuckets, seed;
	struct cache_stats stats;
};

struct cache *
cache_new(const struct cache_limits *limits)
{
	struct cache *c = xcalloc(1, sizeof *c);

	c->limits = *limits;
	for (c->nbuckets = BUCKETS_MIN; c->nbuckets < BUCKETS_MAX && c->nbuckets < limits->entries;)
		c->nbuckets *= 2;
	c->buckets = xcalloc(c->nbuckets, sizeof *c->buckets);
	/* Strangers choose names: without the seed they would choose the bucket too. */
	arc4random_buf(&c->seed, sizeof c->seed);
	TAILQ_INIT(&c->used);
	return c;
}

static struct entry **
bucket_of(const struct cache *c, const char *name, size_t n, uint16_t type)
{
	return &c->buckets[(XXH3_64bits_withSeed(name, n, c->seed) + type) & (c->nbuckets - 1)];
}

static size_t
size_of(const struct entry *e)
{
	return sizeof *e + e->nname + 1U + e->ncname + e->nrecords + OVERHEAD;
}

/* *at leads to the entry in its bucket. */
static void
drop(struct cache *c, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	TAILQ_REMOVE(&c->used, e, used);
	c->stats.entries--;
	c->stats.bytes -= size_of(e);
	free(e);
}

static void
drop_entry(struct cache *c, struct entry *e)
{
	struct entry **at = bucket_of(c, e->bytes, e->nname, e->type);

	while (*at != e)
		at = &(*at)->next;
	drop(c, at);
}

void
cache_free(struct cache *c)
{
	if (c == NULL)
		return;
	cache_flush(c, NULL);
	free(c->buckets);
	free(c);
}

static void
shrink(struct cache *c)
{
	while (!TAILQ_EMPTY(&c->used) &&
	       (c->stats.entries > c->limits.entries || c->stats.bytes > c->limits.bytes)) {
		drop_entry(c, TAILQ_LAST(&c->used, entry_list));
		c->stats.evicted++;
	}
}

void
cache_set_limits(struct cache *c, const struct cache_limits *limits)
{
	c->limits = *limits;
	shrink(c);
}

static void
show(const struct entry *e, struct cache_entry *out)
{
	const char *after = e->bytes + e->nname + 1;

	*out = (struct cache_entry){ .name = e->bytes,
		.type = (enum dns_type)e->type,
		.status = (enum dns_status)e->status,
		.flags = e->flags,
		.expires_ms = e->expires_ms,
		.cname = slice_of(after, e->ncname),
		.records = slice_of(after + e->ncname, e->nrecords) };
}

static struct entry **
place_of(const struct cache *c, const char *name, enum dns_type type)
{
	size_t n = strlen(name);
	struct entry **at = bucket_of(c, name, n, (uint16_t)type);

	while (*at != NULL &&
	       ((*at)->type != type || (*at)->nname != n || memcmp((*at)->bytes, name, n) != 0))
		at = &(*at)->next;
	return at;
}

bool
cache_find(
    struct cache *c, const char *name, enum dns_type type, uint64_t now_ms, struct cache_entry *out)
{
	struct entry **at = place_of(c, name, type);

	if (*at != NULL && (*at)->expires_ms <= now_ms)
		drop(c, at);
	else if (*at != NULL) {
		struct entry *e = *at;

		TAILQ_REMOVE(&c->used, e, used);
		TAILQ_INSERT_HEAD(&c->used, e, used);
		c->stats.hits++;
		show(e, out);
		return true;
	}
	c->stats.misses++;
	return false;
}

static void
insert(struct cache *c, const struct cache_entry *from, uint64_t expires_ms)
{
	size_t nname = strlen(from->name);
	struct entry **at = place_of(c, from->name, from->type), *e;
	char *p;

	if (*at != NULL)
		drop(c, at);
	if (nname > DNS_NAME_MAX || from->cname.n > DNS_NAME_MAX || from->records.n > UINT32_MAX)
		return;
	e = xmalloc(sizeof *e + nname + 1 + from->cname.n + from->records.n);
	*e = (struct entry){ .expires_ms = expires_ms,
		.nrecords = (uint32_t)from->records.n,
		.type = (uint16_t)from->type,
		.status = (uint8_t)from->status,
		.flags = (uint8_t)from->flags,
		.nname = (uint8_t)nname,
		.ncname = (uint8_t)from->cname.n };
	p = e->bytes;
	memcpy(p, from->name, nname + 1);
	p += nname + 1;
	if (from->cname.n > 0)
		memcpy(p, from->cname.p, from->cname.n);
	if (from->records.n > 0)
		memcpy(p + from->cname.n, from->records.p, from->records.n);
	at = bucket_of(c, e->bytes, nname, e->type);
	e->next = *at;
	*at = e;
	TAILQ_INSERT_HEAD(&c->used, e, used);
	c->stats.entries++;
	c->stats.bytes += size_of(e);
	shrink(c);
}

static uint64_t
within(const struct cache *c, enum dns_status status, uint64_t ms)
{
	uint64_t max = c->limits.ttl_max_ms;

	if (status != DNS_OK && c->limits.negative_max_ms < max)
		max = c->limits.negative_max_ms;
	if (ms < c->limits.ttl_min_ms)
		ms = c->limits.ttl_min_ms;
	return ms < max ? ms : max;
}

uint64_t
cache_put(struct cache *c, const struct cache_entry *e, uint32_t ttl_s, uint64_t now_ms)
{
	uint64_t ms = within(c, e->status, (uint64_t)ttl_s * 1000);

	if (ms > 0)
		insert(c, e, now_ms + ms);
	return ms;
}

void
cache_restore(struct cache *c, const struct cache_entry *e, uint64_t now_ms)
{
	uint64_t max = now_ms + within(c, e->status, c->limits.ttl_max_ms);

	/* What was learnt since then is newer. */
	if (e->expires_ms > now_ms && *place_of(c, e->name, e->type) == NULL)
		insert(c, e, e->expires_ms < max ? e->expires_ms : max);
}

uint64_t
cache_flush(struct cache *c, const char *name)
{
	uint64_t before = c->stats.entries;
	struct entry *e, *next;

	for (e = TAILQ_FIRST(&c->used); e != NULL; e = next) {
		next = TAILQ_NEXT(e, used);
		if (name == NULL || strcmp(e->bytes, name) == 0)
			drop_entry(c, e);
	}
	return before - c->stats.entries;
}

bool
cache_walk(struct cache *c, uint64_t *cursor, uint64_t now_ms, cache_fn *fn, void *arg)
{
	uint64_t last = *cursor + WALK_BUCKETS;
	bool more = true;

	for (; more && *cursor < c->nbuckets && *cursor < last; ++*cursor)
		for (const struct entry *e = c->buckets[*cursor]; e != NULL; e = e->next) {
			struct cache_entry out;

			if (e->expires_ms <= now_ms)
				continue;
			show(e, &out);
			more = fn(arg, &out) && more;
		}
	return *cursor < c->nbuckets;
}

void
cache_stats(const struct cache *c, struct cache_stats *out)
{
	*out = c->stats;
}
