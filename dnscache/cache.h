/* SPDX-License-Identifier: ISC */
#ifndef DNSCACHE_CACHE_H
#define DNSCACHE_CACHE_H

#include "dns/dns.h"

/*
 * Answers by question, for as long as they hold; bounded in number and memory, those not asked for
 * longest go first. No clock of its own: `now_ms` is monotonic and never goes back.
 */
struct cache;

struct cache_limits {
	uint64_t entries, bytes;
	uint64_t ttl_min_ms, ttl_max_ms, negative_max_ms;
};

struct cache_entry {
	const char *name;
	enum dns_type type;
	enum dns_status status; /* never TEMP */
	unsigned flags;		/* enum dns_flag */
	uint64_t expires_ms;
	struct slice cname, records; /* until the cache is next changed */
};

struct cache_stats {
	uint64_t entries, bytes, hits, misses, evicted;
};

struct cache *cache_new(const struct cache_limits *limits);
void cache_free(struct cache *c);
void cache_set_limits(struct cache *c, const struct cache_limits *limits);

/* False: not there, or no longer. Counts as asked for. */
bool cache_find(struct cache *c, const char *name, enum dns_type type, uint64_t now_ms,
    struct cache_entry *out);
/* Puts or replaces; expires_ms is made from ttl_s within the limits; returns how long, in ms. */
uint64_t cache_put(struct cache *c, const struct cache_entry *e, uint32_t ttl_s, uint64_t now_ms);
/* One that was kept elsewhere: with its own expires_ms, which the limits still bound. */
void cache_restore(struct cache *c, const struct cache_entry *e, uint64_t now_ms);
/* All of a name; NULL: all. How many there were. */
uint64_t cache_flush(struct cache *c, const char *name);

/*
 * All that holds, in pieces: calls fn for the entries of some buckets from *cursor (0 at first) on,
 * until it returns false, which still moves on. False: that was the last. Entries that come and go
 * between two calls may be seen or not.
 */
typedef bool cache_fn(void *arg, const struct cache_entry *e);
bool cache_walk(struct cache *c, uint64_t *cursor, uint64_t now_ms, cache_fn *fn, void *arg);

void cache_stats(const struct cache *c, struct cache_stats *out);

#endif
