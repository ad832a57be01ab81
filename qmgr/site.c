/* SPDX-License-Identifier: ISC */
#include "qmgr/site.h"

#include "base/die.h"
#include "qmgr/queue.h"

#include <assert.h>
#include <stdlib.h>

enum { BUCKETS_FIRST = 64 };

static uint32_t
bucket_of(const struct sites *all, struct slice key)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < key.n; i++)
		h = (h ^ (uint8_t)key.p[i]) * UINT64_C(0x100000001b3);
	return (uint32_t)((h ^ h >> 32) % all->nbucket);
}

static void
grow(struct sites *all)
{
	struct sites more = { .nbucket = all->nbucket == 0 ? BUCKETS_FIRST : all->nbucket * 2,
		.count = all->count };

	more.bucket = xcalloc(more.nbucket, sizeof(struct site *));
	for (uint32_t i = 0; i < all->nbucket; i++)
		while (all->bucket[i] != NULL) {
			struct site *s = all->bucket[i];
			uint32_t b = bucket_of(&more, slice_buf(&s->key));

			all->bucket[i] = s->next;
			s->next = more.bucket[b];
			more.bucket[b] = s;
		}
	free(all->bucket);
	*all = more;
}

void
sites_fini(struct sites *all)
{
	assert(all->count == 0);
	free(all->bucket);
	*all = (struct sites){ 0 };
}

struct site *
site_take_key(struct sites *all, struct slice key)
{
	struct site *s;
	uint32_t b;

	if (all->count >= all->nbucket)
		grow(all);
	b = bucket_of(all, key);
	for (s = all->bucket[b]; s != NULL; s = s->next)
		if (slice_eq(slice_buf(&s->key), key)) {
			s->refs++;
			return s;
		}
	s = xcalloc(1, sizeof *s);
	*s = (struct site){ .next = all->bucket[b], .refs = 1 };
	buf_slice(&s->key, key);
	all->bucket[b] = s;
	all->count++;
	return s;
}

struct site *
site_take(struct sites *all, const struct route *r)
{
	struct route hops = *r;
	struct buf key = { 0 };
	struct site *s;

	hops.domain = SLICE_NONE;
	route_put(&key, &hops);
	s = site_take_key(all, slice_buf(&key));
	buf_fini(&key);
	return s;
}

void
site_drop(struct sites *all, struct site *s)
{
	struct site **at;

	if (s == NULL || --s->refs > 0)
		return;
	assert(s->njobs == 0 && s->wait_first == NULL);
	at = &all->bucket[bucket_of(all, slice_buf(&s->key))];
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	all->count--;
	bucket_free(s->own);
	buf_fini(&s->key);
	free(s);
}

void
site_wait(struct site *s, struct queue *q)
{
	if (q->in_line)
		return;
	q->in_line = true;
	q->line_next = NULL;
	if (s->wait_last == NULL)
		s->wait_first = q;
	else
		s->wait_last->line_next = q;
	s->wait_last = q;
}

struct queue *
site_next(struct site *s)
{
	struct queue *q = s->wait_first;

	if (q == NULL)
		return NULL;
	s->wait_first = q->line_next;
	if (s->wait_first == NULL)
		s->wait_last = NULL;
	q->in_line = false;
	return q;
}

void
site_leave(struct site *s, struct queue *q)
{
	struct queue *prev = NULL;

	if (!q->in_line)
		return;
	for (struct queue *at = s->wait_first; at != q; at = at->line_next)
		prev = at;
	if (prev == NULL)
		s->wait_first = q->line_next;
	else
		prev->line_next = q->line_next;
	if (s->wait_last == q)
		s->wait_last = prev;
	q->in_line = false;
}
