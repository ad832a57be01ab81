/* SPDX-License-Identifier: ISC */
/* Heaps: of the buckets that wait for a time, and of the queues that wait at a bucket. */
#include "qmgr/bucket_impl.h"

#include "base/die.h"
#include "qmgr/queue.h"

/* ---- those that wait for a time: a heap by it ---- */

static void
timer_put(struct buckets *all, uint32_t at, struct bucket *b)
{
	all->timer[at] = b;
	b->timer_at = at + 1;
}

static void
timer_sift(struct buckets *all, uint32_t at)
{
	struct bucket *b = all->timer[at];

	while (at > 0 && all->timer[(at - 1) / 2]->until_ms > b->until_ms) {
		timer_put(all, at, all->timer[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child + 1 < all->ntimer &&
		    all->timer[child + 1]->until_ms < all->timer[child]->until_ms)
			child++;
		if (child >= all->ntimer || all->timer[child]->until_ms >= b->until_ms)
			break;
		timer_put(all, at, all->timer[child]);
		at = child;
	}
	timer_put(all, at, b);
}

void
bucket_timer_at(struct buckets *all, struct bucket *b, uint64_t until_ms)
{
	b->until_ms = until_ms;
	if (b->timer_at == 0) {
		if (all->ntimer == all->timer_room) {
			all->timer_room = all->timer_room == 0 ? 16 : all->timer_room * 2;
			all->timer =
			    xrealloc(all->timer, all->timer_room * sizeof(struct bucket *));
		}
		timer_put(all, all->ntimer++, b);
	}
	timer_sift(all, b->timer_at - 1);
}

void
bucket_timer_off(struct buckets *all, struct bucket *b)
{
	uint32_t at = b->timer_at;

	if (at == 0)
		return;
	b->timer_at = 0;
	if (at - 1 == --all->ntimer)
		return;
	timer_put(all, at - 1, all->timer[all->ntimer]);
	timer_sift(all, at - 1);
}

/* ---- a bucket's line: a heap by tickets ---- */

static void
line_put(struct bucket *b, uint32_t at, struct queue *queue)
{
	b->line[at] = queue;
	queue->bucket.line_at = at;
}

static void
line_sift(struct bucket *b, uint32_t at)
{
	struct queue *queue = b->line[at];
	uint64_t ticket = queue->bucket.ticket;

	while (at > 0 && b->line[(at - 1) / 2]->bucket.ticket > ticket) {
		line_put(b, at, b->line[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child + 1 < b->nline &&
		    b->line[child + 1]->bucket.ticket < b->line[child]->bucket.ticket)
			child++;
		if (child >= b->nline || b->line[child]->bucket.ticket >= ticket)
			break;
		line_put(b, at, b->line[child]);
		at = child;
	}
	line_put(b, at, queue);
}

void
bucket_line_enter(struct buckets *all, struct bucket *b, struct queue *queue)
{
	struct bucket_member *m = &queue->bucket;

	if (b->nline == b->line_room) {
		b->line_room = b->line_room == 0 ? 16 : b->line_room * 2;
		b->line = xrealloc(b->line, b->line_room * sizeof(struct queue *));
	}
	if (m->ticket == 0)
		m->ticket = ++all->ticket;
	m->waits_at = b;
	b->waits++;
	line_put(b, b->nline++, queue);
	line_sift(b, m->line_at);
}

void
bucket_line_leave(struct queue *queue)
{
	struct bucket *b = queue->bucket.waits_at;
	uint32_t at = queue->bucket.line_at;

	if (b == NULL)
		return;
	queue->bucket.waits_at = NULL;
	if (at == --b->nline)
		return;
	line_put(b, at, b->line[b->nline]);
	line_sift(b, at);
}
