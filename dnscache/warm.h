/* SPDX-License-Identifier: ISC */
#ifndef DNSCACHE_WARM_H
#define DNSCACHE_WARM_H

#include "dnscache/cache.h"
#include "io/loop.h"

/*
 * The cache while nobody runs: cache.tdb in a folder. It is written whole, aside, by a thread, and
 * renamed; what cannot be read of it is set aside (cache.tdb.damaged) and costs warmth only. It is
 * read under another name (cache.tdb.reading): should its reader die of it, the next one finds that
 * name and sets it aside unread.
 *
 * A row: key: u16 type, name; value: u64 check (XXH3 over key and the rest), u64 wall clock at
 * which it ends, u8 status, u8 flags, u8 length of cname, cname, records.
 */
struct warm;

/* dirfd: not owned. Starts to read; what is found enters the cache in slices. */
struct warm *warm_new(struct loop *l, struct cache *cache, int dirfd);
/* Write if anything changed since the last time (by the number of `changes`); at once when it is
 * not being written. */
void warm_save(struct warm *w, uint64_t changes);
/* Writes, waits for it. */
void warm_finish(struct warm *w, uint64_t changes);

struct warm_stats {
	uint64_t loaded, saved, failed;
	bool damaged;
};
void warm_stats(const struct warm *w, struct warm_stats *out);

#endif
