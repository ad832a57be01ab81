/* SPDX-License-Identifier: ISC */
#include "qmgr/hosts.h"

#include "base/die.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS_FIRST = 64 };

static uint64_t
hash(const uint8_t ip[static 16], uint16_t port)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ port;

	for (int i = 0; i < 16; i++)
		h = (h ^ ip[i]) * UINT64_C(0x100000001b3);
	return h ^ h >> 32;
}

static void
free_one(struct host_rest *h)
{
	free(h->name);
	free(h->why);
	free(h);
}

static void
free_list(struct host_rest *h)
{
	while (h != NULL) {
		struct host_rest *next = h->next;

		free_one(h);
		h = next;
	}
}

void
hosts_fini(struct hosts *all)
{
	for (size_t i = 0; i < all->nbucket; i++)
		free_list(all->bucket[i]);
	free(all->bucket);
	*all = (struct hosts){ 0 };
}

/* Where the pointer to it stands, or would stand. There must be buckets. */
static struct host_rest **
place(const struct hosts *all, const uint8_t ip[static 16], uint16_t port)
{
	struct host_rest **at = &all->bucket[hash(ip, port) % all->nbucket];

	while (*at != NULL && ((*at)->port != port || memcmp((*at)->ip, ip, 16) != 0))
		at = &(*at)->next;
	return at;
}

static void
grow(struct hosts *all)
{
	struct hosts more = { .nbucket = all->nbucket == 0 ? BUCKETS_FIRST : all->nbucket * 2,
		.count = all->count };

	more.bucket = xcalloc(more.nbucket, sizeof *more.bucket);
	for (size_t i = 0; i < all->nbucket; i++)
		while (all->bucket[i] != NULL) {
			struct host_rest *h = all->bucket[i];

			all->bucket[i] = h->next;
			h->next = NULL;
			*place(&more, h->ip, h->port) = h;
		}
	free(all->bucket);
	*all = more;
}

static void
drop(struct hosts *all, struct host_rest **at)
{
	struct host_rest *h = *at;

	*at = h->next;
	all->count--;
	free_one(h);
}

void
hosts_failed(struct hosts *all, const uint8_t ip[static 16], uint16_t port, uint64_t now_ms,
    uint64_t first_ms, uint64_t max_ms)
{
	struct host_rest **at;
	uint64_t rest = first_ms;

	if (first_ms == 0)
		return;
	if (all->count >= all->nbucket)
		grow(all);
	at = place(all, ip, port);
	if (*at == NULL) {
		if (all->count >= HOSTS_MAX)
			hosts_sweep(all, now_ms, 0);
		if (all->count >= HOSTS_MAX)
			return;
		at = place(all, ip, port);
		*at = xcalloc(1, sizeof **at);
		memcpy((*at)->ip, ip, 16);
		(*at)->port = port;
		all->count++;
	}
	if ((*at)->until_ms > now_ms)
		return; /* one of the connections that were under way when it was found out */
	for (unsigned i = 0; i < (*at)->count && rest < max_ms; i++)
		rest *= 2;
	if (rest > max_ms)
		rest = max_ms > first_ms ? max_ms : first_ms;
	if ((*at)->count < UINT16_MAX)
		(*at)->count++;
	(*at)->until_ms = now_ms + rest;
}

void
hosts_say(struct hosts *all, const uint8_t ip[static 16], uint16_t port, struct slice name,
    struct slice why)
{
	struct host_rest *h;

	if (all->count == 0 || (h = *place(all, ip, port)) == NULL)
		return;
	if (name.n > 0) {
		free(h->name);
		h->name = slice_dup(name);
	}
	free(h->why);
	h->why = slice_dup(why);
}

void
hosts_answered(struct hosts *all, const uint8_t ip[static 16], uint16_t port)
{
	struct host_rest **at;

	if (all->count == 0)
		return;
	at = place(all, ip, port);
	if (*at != NULL)
		drop(all, at);
}

const struct host_rest *
hosts_resting(const struct hosts *all, const uint8_t ip[static 16], uint16_t port, uint64_t now_ms)
{
	const struct host_rest *h = all->count == 0 ? NULL : *place(all, ip, port);

	return h == NULL || h->until_ms <= now_ms ? NULL : h;
}

uint64_t
hosts_until_ms(const struct hosts *all, const uint8_t ip[static 16], uint16_t port, uint64_t now_ms)
{
	const struct host_rest *h = hosts_resting(all, ip, port, now_ms);

	return h == NULL ? 0 : h->until_ms;
}

bool
hosts_each(const struct hosts *all, size_t *bucket,
    void (*fn)(void *arg, const struct host_rest *h), void *arg)
{
	if (*bucket >= all->nbucket)
		return false;
	for (const struct host_rest *h = all->bucket[*bucket]; h != NULL; h = h->next)
		fn(arg, h);
	return ++*bucket < all->nbucket;
}

void
hosts_wake(struct hosts *all)
{
	for (size_t i = 0; i < all->nbucket; i++)
		for (struct host_rest *h = all->bucket[i]; h != NULL; h = h->next)
			h->until_ms = 0;
}

void
hosts_wake_one(struct hosts *all, const uint8_t ip[static 16], uint16_t port)
{
	struct host_rest **at;

	if (all->count > 0 && *(at = place(all, ip, port)) != NULL)
		(*at)->until_ms = 0;
}

void
hosts_sweep(struct hosts *all, uint64_t now_ms, uint64_t keep_ms)
{
	for (size_t i = 0; i < all->nbucket; i++)
		for (struct host_rest **at = &all->bucket[i]; *at != NULL;)
			if ((*at)->until_ms + keep_ms <= now_ms)
				drop(all, at);
			else
				at = &(*at)->next;
}
