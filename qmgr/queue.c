/* SPDX-License-Identifier: ISC */
#include "qmgr/queue.h"

#include "base/die.h"
#include "qmgr/resolve.h"

#include <assert.h>
#include <stdlib.h>

enum { BUCKETS_FIRST = 64 };

void
queues_init(struct queues *all)
{
	*all = (struct queues){ .free_from = 1, .last_found = QUEUE_NOWHERE };
	all->buckets = buckets_new();
	queue_make(all, QUEUE_ROUTING);
}

static void
destroy(struct queues *all, struct queue *q)
{
	bucket_part(all->buckets, q);
	free(q->bucket.idle);
	if (q->site != NULL) {
		site_leave(q->site, q);
		q->site->njobs -= q->site_jobs;
		site_drop(&all->sites, q->site);
	}
	resolve_free(q->resolve);
	free(q->key);
	free(q->suspend_holder);
	free(q->suspend_reason);
	free(q->down_reason);
	conf_unref(q->conf);
	free(q);
}

void
queues_fini(struct queues *all)
{
	for (uint32_t i = 0; i < all->n; i++)
		if (all->at[i] != NULL)
			destroy(all, all->at[i]);
	free(all->at);
	free(all->bucket);
	free(all->heap);
	sites_fini(&all->sites);
	buckets_free(all->buckets);
	*all = (struct queues){ 0 };
}

static uint32_t
hash(uint8_t class, struct slice route)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ class;

	for (size_t i = 0; i < route.n; i++)
		h = (h ^ (uint8_t)route.p[i]) * UINT64_C(0x100000001b3);
	return (uint32_t)(h ^ h >> 32);
}

static void
link_hash(struct queues *all, struct queue *q)
{
	uint32_t b = hash(q->class, queue_route(q)) % all->nbucket;

	q->next_hash = all->bucket[b];
	all->bucket[b] = q->number;
}

static void
grow(struct queues *all)
{
	all->nbucket = all->nbucket == 0 ? BUCKETS_FIRST : all->nbucket * 2;
	all->bucket = xrealloc(all->bucket, all->nbucket * sizeof *all->bucket);
	memset(all->bucket, 0xff, all->nbucket * sizeof *all->bucket);
	for (uint32_t i = 0; i < all->n; i++)
		if (all->at[i] != NULL && all->at[i]->key != NULL)
			link_hash(all, all->at[i]);
}

static void
unlink_hash(struct queues *all, struct queue *q)
{
	uint32_t *at = &all->bucket[hash(q->class, queue_route(q)) % all->nbucket];

	while (*at != q->number)
		at = &all->at[*at]->next_hash;
	*at = q->next_hash;
	all->count--;
}

static bool
is_key(const struct queue *q, uint8_t class, struct slice route)
{
	return q->class == class && slice_eq(queue_route(q), route);
}

struct queue *
queue_find(struct queues *all, uint8_t class, struct slice route)
{
	uint32_t i;

	/* Mail comes in runs for one place. */
	if (all->last_found < all->n && all->at[all->last_found] != NULL &&
	    all->at[all->last_found]->key != NULL && is_key(all->at[all->last_found], class, route))
		return all->at[all->last_found];
	if (all->nbucket == 0)
		return NULL;
	for (i = all->bucket[hash(class, route) % all->nbucket]; i != QUEUE_NOWHERE;
	     i = all->at[i]->next_hash)
		if (is_key(all->at[i], class, route)) {
			all->last_found = i;
			return all->at[i];
		}
	return NULL;
}

uint32_t
queue_number(struct queues *all)
{
	while (all->free_from < all->n && all->at[all->free_from] != NULL)
		all->free_from++;
	return all->free_from;
}

struct queue *
queue_at(struct queues *all, uint32_t number)
{
	return number < all->n ? all->at[number] : NULL;
}

struct queue *
queue_make(struct queues *all, uint32_t number)
{
	struct queue *q;

	if (number > QUEUE_MAX)
		return NULL;
	if (number >= all->n) {
		uint32_t n = all->n == 0 ? 64 : all->n;

		while (n <= number)
			n *= 2;
		all->at = xrealloc(all->at, n * sizeof(struct queue *));
		memset(all->at + all->n, 0, (n - all->n) * sizeof(struct queue *));
		all->n = n;
	}
	if (all->at[number] != NULL)
		return all->at[number];
	q = xcalloc(1, sizeof *q);
	q->number = number;
	for (int i = 0; i < QUEUE_PRIORITIES; i++)
		q->ready[i].head_msg = q->ready[i].tail_msg = MESSAGE_NONE;
	all->at[number] = q;
	return q;
}

/* Jobs that run still go to where they were sent; they are few and soon over. */
static void
move_site(struct queues *all, struct queue *q, struct site *to)
{
	bucket_part(all->buckets, q);
	q->limits = NULL; /* they join those of the new one */
	if (q->site != NULL) {
		site_leave(q->site, q);
		q->site->njobs -= q->site_jobs;
		site_drop(&all->sites, q->site);
	}
	q->site = to;
	to->njobs += q->site_jobs;
}

void
queue_to_site(struct queues *all, struct queue *q, struct slice key)
{
	move_site(all, q, site_take_key(&all->sites, key));
}

enum courier_kind
courier_of(enum service s)
{
	return s == SERVICE_LOCAL ? COURIER_LOCAL : COURIER_DELIVER;
}

static enum courier_kind
courier_of_transport(struct slice transport)
{
	return slice_is(transport, "local") || slice_is(transport, "lmtp") ? COURIER_LOCAL
									   : COURIER_DELIVER;
}

bool
queue_define(struct queues *all, struct queue *q, uint8_t class, struct slice route)
{
	struct route probe;

	if (!route_get(route, &probe))
		return false;
	if (q->key != NULL)
		unlink_hash(all, q);
	free(q->key);
	q->class = class;
	q->key_n = 1 + route.n;
	q->key = xmalloc(q->key_n);
	q->key[0] = (char)class;
	memcpy(q->key + 1, route.p, route.n);
	queue_hops(q, &probe);
	q->route = (struct queue_name){ probe.transport, probe.pool, probe.tenant, probe.domain,
		probe.nhops };
	q->courier = (uint8_t)courier_of_transport(q->route.transport);
	resolve_free(q->resolve); /* of the key that the number had before */
	q->resolve = NULL;
	q->resolving = false;
	move_site(all, q, site_take(&all->sites, &probe));
	q->defined = true;
	q->limits = NULL;
	q->suspend_seen = 0;
	all->count++;
	if (all->count > all->nbucket)
		grow(all);
	else
		link_hash(all, q);
	return true;
}

void
queue_free(struct queues *all, struct queue *q)
{
	assert(q->nrcpt == 0 && q->nready == 0 && !q->active && q->number != QUEUE_ROUTING);
	down_set(all, q, 0);
	if (q->key != NULL)
		unlink_hash(all, q);
	all->at[q->number] = NULL;
	if (q->number < all->free_from)
		all->free_from = q->number;
	destroy(all, q);
}

static enum queue_priority
priority_of(const struct message *m)
{
	return m->flags & MESSAGE_URGENT ? QUEUE_URGENT
	       : m->flags & MESSAGE_LOW	 ? QUEUE_LOW
					 : QUEUE_NORMAL;
}

static struct ready *
list_of(struct queue *q, const struct message *m)
{
	return &q->ready[priority_of(m)];
}

void
ready_push(
    struct queues *all, struct messages *ms, struct queue *q, struct message *m, unsigned rcpt)
{
	struct recipient *r = &message_rcpts(m)[rcpt];
	struct ready *l = list_of(q, m);
	uint32_t i = message_index(m);

	(void)all;
	r->next_msg = MESSAGE_NONE;
	r->prev_msg = l->tail_msg;
	r->prev_rcpt = l->tail_rcpt;
	if (l->tail_msg == MESSAGE_NONE) {
		q->passed[l - q->ready] = 0;
		l->head_msg = i;
		l->head_rcpt = (uint16_t)rcpt;
	} else {
		struct recipient *tail = &message_rcpts(message_at(ms, l->tail_msg))[l->tail_rcpt];

		tail->next_msg = i;
		tail->next_rcpt = (uint16_t)rcpt;
	}
	l->tail_msg = i;
	l->tail_rcpt = (uint16_t)rcpt;
	q->nready++;
}

void
ready_remove(
    struct queues *all, struct messages *ms, struct queue *q, struct message *m, unsigned rcpt)
{
	struct recipient *r = &message_rcpts(m)[rcpt];
	struct ready *l = list_of(q, m);

	(void)all;
	if (r->prev_msg == MESSAGE_NONE) {
		l->head_msg = r->next_msg;
		l->head_rcpt = r->next_rcpt;
	} else {
		struct recipient *prev = &message_rcpts(message_at(ms, r->prev_msg))[r->prev_rcpt];

		prev->next_msg = r->next_msg;
		prev->next_rcpt = r->next_rcpt;
	}
	if (r->next_msg == MESSAGE_NONE) {
		l->tail_msg = r->prev_msg;
		l->tail_rcpt = r->prev_rcpt;
	} else {
		struct recipient *next = &message_rcpts(message_at(ms, r->next_msg))[r->next_rcpt];

		next->prev_msg = r->prev_msg;
		next->prev_rcpt = r->prev_rcpt;
	}
	assert(q->nready > 0);
	q->nready--;
}

static bool
has(const struct queue *q, int list)
{
	return q->ready[list].head_msg != MESSAGE_NONE;
}

bool
ready_first(const struct queue *q, uint32_t *msg, unsigned *rcpt)
{
	int list = QUEUE_LOW;

	/* Each a job earlier than the one below it, so that two that are due do not delay each other. */
	while (
	    list > 0 && !(has(q, list) && q->passed[list] >= QUEUE_TURNS - QUEUE_PRIORITIES + list))
		list--;
	for (; list < QUEUE_PRIORITIES; list++) {
		if (!has(q, list))
			continue;
		*msg = q->ready[list].head_msg;
		*rcpt = q->ready[list].head_rcpt;
		return true;
	}
	return false;
}

void
ready_taken(struct queue *q, const struct message *m)
{
	for (int list = 0; list < QUEUE_PRIORITIES; list++) {
		if (list == (int)priority_of(m))
			q->passed[list] = 0;
		else if (has(q, list) && q->passed[list] < UINT8_MAX)
			q->passed[list]++;
	}
}

void
active_push(struct queues *all, struct queue *q)
{
	if (q->active)
		return;
	q->active = true;
	q->active_next = NULL;
	if (all->active_last[q->courier] == NULL)
		all->active_first[q->courier] = q;
	else
		all->active_last[q->courier]->active_next = q;
	all->active_last[q->courier] = q;
}

struct queue *
active_pop(struct queues *all, enum courier_kind kind)
{
	struct queue *q = all->active_first[kind];

	if (q == NULL)
		return NULL;
	all->active_first[kind] = q->active_next;
	if (all->active_first[kind] == NULL)
		all->active_last[kind] = NULL;
	q->active = false;
	return q;
}

static void
heap_put(struct queues *all, uint32_t at, struct queue *q)
{
	all->heap[at] = q;
	q->heap_at = at + 1;
}

static void
heap_sift(struct queues *all, uint32_t at)
{
	struct queue *q = all->heap[at];

	while (at > 0 && all->heap[(at - 1) / 2]->down_until > q->down_until) {
		heap_put(all, at, all->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child + 1 < all->nheap &&
		    all->heap[child + 1]->down_until < all->heap[child]->down_until)
			child++;
		if (child >= all->nheap || all->heap[child]->down_until >= q->down_until)
			break;
		heap_put(all, at, all->heap[child]);
		at = child;
	}
	heap_put(all, at, q);
}

void
down_set(struct queues *all, struct queue *q, uint32_t until)
{
	uint32_t at;

	q->down_until = until;
	if (q->heap_at == 0 && until == 0)
		return;
	if (q->heap_at == 0) {
		all->heap = xrealloc(all->heap, (all->nheap + 1) * sizeof(struct queue *));
		heap_put(all, all->nheap++, q);
	}
	at = q->heap_at - 1;
	if (until != 0) {
		heap_sift(all, at);
		return;
	}
	q->heap_at = 0;
	if (at != --all->nheap) {
		heap_put(all, at, all->heap[all->nheap]);
		heap_sift(all, at);
	}
}

struct queue *
down_first(const struct queues *all)
{
	return all->nheap == 0 ? NULL : all->heap[0];
}
