/* SPDX-License-Identifier: ISC */
#include "smtpd/policy.h"

#include "base/clock.h"
#include "base/die.h"

#include <assert.h>
#include <stdlib.h>

/*
 * A token is a slot (low 20 bits) and how often it was used (12 bits): a late answer to a question
 * that was given up finds another use count and is dropped.
 */
enum { SLOT_BITS = 20, SLOTS_MAX = 1 << SLOT_BITS, NO_SLOT = SLOTS_MAX };

struct slot {
	struct rcpt *rcpt; /* NULL: free */
	uint64_t deadline_ms;
	uint32_t uses;
	uint32_t next, prev; /* of the open ones, oldest first; free ones use next */
};

struct policy {
	struct peer *router;
	struct timer *timer;
	uint8_t class;
	struct slot *slots;
	uint32_t nslots, free;
	uint32_t oldest, newest;
	unsigned open;
};

static void on_timer(void *arg);

struct policy *
policy_new(struct loop *l, uint8_t class)
{
	struct policy *p = xcalloc(1, sizeof *p);

	p->class = class;
	p->timer = timer_new(l, on_timer, p);
	p->free = p->oldest = p->newest = NO_SLOT;
	return p;
}

void
policy_free(struct policy *p)
{
	if (p == NULL)
		return;
	assert(p->open == 0);
	timer_free(p->timer);
	free(p->slots);
	free(p);
}

void
policy_link(struct policy *p, struct peer *router)
{
	p->router = router;
}

unsigned
policy_open(const struct policy *p)
{
	return p->open;
}

static bool
more_slots(struct policy *p)
{
	uint32_t n = p->nslots == 0 ? 256 : p->nslots * 2;

	if (p->nslots == SLOTS_MAX)
		return false;
	p->slots = xrealloc(p->slots, n * sizeof *p->slots);
	for (uint32_t i = n; i-- > p->nslots;) {
		p->slots[i] = (struct slot){ .next = p->free };
		p->free = i;
	}
	p->nslots = n;
	return true;
}

static uint32_t
token_of(const struct policy *p, uint32_t i)
{
	return p->slots[i].uses << SLOT_BITS | i;
}

static void
put(struct policy *p, uint32_t i)
{
	const struct rcpt *r = p->slots[i].rcpt;
	const struct session *s = r->session;
	struct slice client = SLICE_NONE;

	if (p->class != CLASS_LOCAL)
		client = slice_of(s->client.host, sizeof s->client.host);
	if (p->router != NULL && peer_is_up(p->router))
		peer_send(p->router, resolve, .token = token_of(p, i), .class = p->class,
		    .client = client, .sender = s->tx.sender, .rcpt = r->address);
}

static void
unlink_slot(struct policy *p, uint32_t i)
{
	struct slot *q = &p->slots[i];

	if (q->prev == NO_SLOT)
		p->oldest = q->next;
	else
		p->slots[q->prev].next = q->next;
	if (q->next == NO_SLOT)
		p->newest = q->prev;
	else
		p->slots[q->next].prev = q->prev;
	q->rcpt = NULL;
	q->uses = (q->uses + 1) & (UINT32_MAX >> SLOT_BITS);
	q->next = p->free;
	p->free = i;
	p->open--;
}

bool
policy_ask(struct policy *p, struct session *s, struct rcpt *r)
{
	uint32_t i;
	struct slot *q;

	if (p->free == NO_SLOT && !more_slots(p))
		return false;
	i = p->free;
	q = &p->slots[i];
	p->free = q->next;
	q->rcpt = r;
	q->deadline_ms = clock_mono_ms() + s->conf->ask_timeout_ms;
	q->prev = p->newest;
	q->next = NO_SLOT;
	if (p->newest == NO_SLOT)
		p->oldest = i;
	else
		p->slots[p->newest].next = i;
	p->newest = i;
	p->open++;
	r->token = token_of(p, i);
	/* Left set when the last question was answered: it fires once for nothing, which is
	 * cheaper. */
	if (!timer_is_set(p->timer))
		timer_set(p->timer, s->conf->ask_timeout_ms);
	put(p, i);
	return true;
}

static struct rcpt *
take(struct policy *p, uint32_t token)
{
	uint32_t i = token & (SLOTS_MAX - 1);
	struct rcpt *r;

	if (i >= p->nslots || p->slots[i].rcpt == NULL || token_of(p, i) != token)
		return NULL;
	r = p->slots[i].rcpt;
	unlink_slot(p, i);
	return r;
}

void
policy_forget(struct policy *p, struct rcpt *r)
{
	take(p, r->token);
}

bool
policy_in(struct policy *p, struct ipc_in *in)
{
	struct msg_route m;
	struct rcpt *r;

	if (in->type != MSG_ROUTE || !msg_route_get(in->payload, &m))
		return false;
	r = take(p, m.token);
	if (r != NULL) /* else it was given up meanwhile */
		session_answered(r->session, r, &m);
	return true;
}

void
policy_up(struct policy *p)
{
	for (uint32_t i = p->oldest; i != NO_SLOT; i = p->slots[i].next)
		put(p, i);
}

/* The oldest first; a later one may have a nearer deadline after a reload, and is then a little
 * late. */
static void
on_timer(void *arg)
{
	struct policy *p = arg;
	uint64_t now = clock_mono_ms();

	while (p->oldest != NO_SLOT && p->slots[p->oldest].deadline_ms <= now) {
		struct rcpt *r = p->slots[p->oldest].rcpt;

		assert(r != NULL);
		unlink_slot(p, p->oldest);
		session_answered(r->session, r, NULL);
	}
	if (p->oldest != NO_SLOT)
		timer_set(p->timer, p->slots[p->oldest].deadline_ms - now);
}
