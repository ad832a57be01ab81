/* SPDX-License-Identifier: ISC */
#include "smtpd/rates.h"

#include "base/die.h"
#include "conf/conf.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { WAYS = 16, SETS = RATES_PLACES / WAYS };

/* `due` is in the units of its rate (gcra.h): `of` says whose it is, and of which rate. */
struct place {
	_Atomic uint64_t client; /* 0: free */
	_Atomic uint64_t due[RATE_KINDS];
	_Atomic uint32_t of[RATE_KINDS];
	_Atomic uint32_t rest_s; /* at rest from then on, mono */
};

struct rates {
	struct gcra_rate rate[RATE_KINDS];
	uint32_t of[RATE_KINDS];
	struct place *places; /* shared; touched only where there are rates */
};

struct rates *
rates_new(void)
{
	struct rates *r = xcalloc(1, sizeof *r);

	r->places = mmap(NULL, RATES_PLACES * sizeof *r->places, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->places == MAP_FAILED)
		die(EXIT_TEMP, "memory for rates: %s", strerror(errno));
	return r;
}

void
rates_free(struct rates *r)
{
	if (r == NULL)
		return;
	munmap(r->places, RATES_PLACES * sizeof *r->places);
	free(r);
}

/* Where nothing is said of bursts, all of a period's may come at once. */
static void
set(struct rates *r, enum rate_kind kind, const struct gcra_rate *rate)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	r->rate[kind] = *rate;
	if (rate->burst == 0)
		r->rate[kind].burst = rate->count;
	h = (h ^ rate->count) * UINT64_C(0x100000001b3);
	h = (h ^ r->rate[kind].burst) * UINT64_C(0x100000001b3);
	h = (h ^ rate->period_ms) * UINT64_C(0x100000001b3);
	r->of[kind] = (uint32_t)(h ^ h >> 32);
}

void
rates_config(struct rates *r, const struct conf *c)
{
	set(r, RATE_CONNECTION, &c->client_connection_rate);
	set(r, RATE_MESSAGE, &c->client_message_rate);
	set(r, RATE_RECIPIENT, &c->client_recipient_rate);
}

static uint32_t
load32(const _Atomic uint32_t *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
}

static uint64_t
mixed(uint64_t client)
{
	return client * UINT64_C(0x9e3779b97f4a7c15);
}

/* The client's place, which may have been another's: what is due there says so itself. */
static struct place *
place_of(struct rates *r, uint64_t client)
{
	struct place *set = &r->places[(mixed(client) >> 40) % SETS * WAYS];

	for (;;) {
		struct place *found = NULL;
		uint64_t whose = 0;

		for (unsigned i = 0; i < WAYS; i++) {
			uint64_t who = atomic_load_explicit(&set[i].client, memory_order_relaxed);

			if (who == client)
				return &set[i];
			if (found == NULL || load32(&set[i].rest_s) < load32(&found->rest_s)) {
				found = &set[i];
				whose = who;
			}
		}
		if (atomic_compare_exchange_strong_explicit(&found->client, &whose, client,
			memory_order_relaxed, memory_order_relaxed)) {
			atomic_store_explicit(&found->rest_s, 0, memory_order_relaxed);
			return found;
		}
	}
}

static void
rests_later(struct place *p, uint64_t due, const struct gcra_rate *rate)
{
	uint32_t rest = (uint32_t)(due / rate->count / 1000 + 1);
	uint32_t was = load32(&p->rest_s);

	if (rest > was)
		atomic_store_explicit(&p->rest_s, rest, memory_order_relaxed);
}

/*
 * Nothing is ever reset: what is due is replaced in one step by whoever counts an event, and where it
 * was another's it counts as none until then. So workers that begin with a client at once lose at
 * most one event each, however long one of them is held up between two lines of this.
 */
bool
rates_take(struct rates *r, enum rate_kind kind, uint64_t client, uint64_t now_ms)
{
	const struct gcra_rate *rate = &r->rate[kind];
	uint32_t of = r->of[kind] ^ (uint32_t)(mixed(client) >> 32);
	uint64_t due, next, most;
	struct place *p;

	if (rate->count == 0)
		return true;
	p = place_of(r, client);
	most = gcra_take(0, rate, now_ms, rate->burst);
	due = atomic_load_explicit(&p->due[kind], memory_order_acquire);
	do {
		uint64_t believed = 0;

		if (load32(&p->of[kind]) == of)
			believed = due < most ? due : most;
		if (gcra_wait_ms(believed, rate, now_ms) > 0)
			return false;
		next = gcra_take(believed, rate, now_ms, 1);
	} while (!atomic_compare_exchange_weak_explicit(
	    &p->due[kind], &due, next, memory_order_acq_rel, memory_order_acquire));
	if (load32(&p->of[kind]) != of)
		atomic_store_explicit(&p->of[kind], of, memory_order_release);
	rests_later(p, next, rate);
	return true;
}
