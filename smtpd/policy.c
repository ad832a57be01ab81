/* SPDX-License-Identifier: ISC */
#include "smtpd/policy.h"

#include "base/clock.h"
#include "base/die.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

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

/*
 * A yes of router, until when it holds: who may, where to. Only of the configuration that the
 * session goes by; a no is asked for again. A place is taken over by whoever needs it.
 */
enum { KEPT = 256 };

struct kept {
	struct buf question;
	struct buf answer; /* payload of MSG_ROUTE */
	uint64_t until_ms;
	uint32_t generation;
};

struct policy {
	struct peer *router;
	struct kept kept[KEPT];
	struct buf known; /* tokens (u32) of questions that are answered at the turn's end */
	struct deferred tell;
	struct loop *loop;
	struct timer *timer;
	uint8_t class;
	struct slot *slots;
	uint32_t nslots, free;
	uint32_t oldest, newest;
	unsigned open;
};

static void on_timer(void *arg);
static void tell_known(void *arg);

struct policy *
policy_new(struct loop *l, uint8_t class)
{
	struct policy *p = xcalloc(1, sizeof *p);

	p->loop = l;
	p->class = class;
	p->tell = (struct deferred){ .fn = tell_known, .arg = p };
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
	for (unsigned i = 0; i < KEPT; i++) {
		buf_fini(&p->kept[i].question);
		buf_fini(&p->kept[i].answer);
	}
	buf_fini(&p->known);
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

static struct slice
client_of(const struct policy *p, const struct session *s)
{
	return p->class == CLASS_LOCAL ? SLICE_NONE
				       : slice_of(s->client.host, sizeof s->client.host);
}

static void
put(struct policy *p, uint32_t i)
{
	const struct rcpt *r = p->slots[i].rcpt;
	const struct session *s = r->session;
	struct slice client = client_of(p, s);

	if (p->router != NULL && peer_is_up(p->router))
		peer_send(p->router, resolve, .token = token_of(p, i), .class = p->class,
		    .client = client, .sender = s->tx.sender, .rcpt = r->address);
}

/* The place for the answer to this question, which is in *text. */
static struct kept *
place_of(struct policy *p, const struct rcpt *r, struct buf *text)
{
	const struct session *s = r->session;
	struct slice client = client_of(p, s);

	buf_reset(text);
	buf_slice(text, client);
	buf_put(text, &s->tx.sender.n, sizeof s->tx.sender.n);
	buf_slice(text, s->tx.sender);
	buf_slice(text, r->address);
	return &p->kept[XXH3_64bits(text->p, text->n) % KEPT];
}

static const struct kept *
kept_find(struct policy *p, const struct rcpt *r)
{
	static struct buf text;
	const struct kept *k = place_of(p, r, &text);

	if (k->until_ms <= clock_mono_ms() || k->generation != r->session->conf->generation ||
	    !slice_eq(slice_buf(&k->question), slice_buf(&text)))
		return NULL;
	return k;
}

static void
keep(struct policy *p, const struct rcpt *r, const struct msg_route *m, struct slice payload)
{
	static struct buf text;
	struct kept *k;

	if (m->holds_ms == 0 || m->generation != r->session->conf->generation ||
	    (m->action != ROUTE_DELIVER && m->action != ROUTE_EXPAND))
		return;
	k = place_of(p, r, &text);
	buf_reset(&k->question);
	buf_slice(&k->question, slice_buf(&text));
	buf_reset(&k->answer);
	buf_slice(&k->answer, payload);
	k->until_ms = clock_mono_ms() + m->holds_ms;
	k->generation = m->generation;
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
	if (kept_find(p, r) != NULL) {
		buf_put(&p->known, &r->token, sizeof r->token);
		loop_defer(p->loop, &p->tell);
	} else
		put(p, i);
	return true;
}

/* Who waits for the answer; NULL: nobody does any more. */
static struct rcpt *
asker(const struct policy *p, uint32_t token)
{
	uint32_t i = token & (SLOTS_MAX - 1);

	return i < p->nslots && token_of(p, i) == token ? p->slots[i].rcpt : NULL;
}

static struct rcpt *
take(struct policy *p, uint32_t token)
{
	struct rcpt *r = asker(p, token);

	if (r != NULL)
		unlink_slot(p, token & (SLOTS_MAX - 1));
	return r;
}

void
policy_forget(struct policy *p, struct rcpt *r)
{
	take(p, r->token);
}

/* Sessions go on by it, and may ask more. */
static void
tell_known(void *arg)
{
	struct policy *p = arg;
	uint32_t token;

	for (size_t at = 0; at < p->known.n; at += sizeof token) {
		const struct kept *k;
		struct msg_route m;
		struct rcpt *r;

		memcpy(&token, p->known.p + at, sizeof token);
		r = asker(p, token);
		if (r == NULL)
			continue;
		k = kept_find(p, r);
		if (k == NULL || !msg_route_get(slice_buf(&k->answer), &m)) {
			put(p, token & (SLOTS_MAX - 1));
			continue;
		}
		take(p, token);
		session_answered(r->session, r, &m);
	}
	buf_reset(&p->known);
}

bool
policy_in(struct policy *p, struct ipc_in *in)
{
	struct msg_route m;
	struct rcpt *r;

	if (in->type != MSG_ROUTE || !msg_route_get(in->payload, &m))
		return false;
	r = take(p, m.token);
	if (r != NULL) { /* else it was given up meanwhile */
		keep(p, r, &m, in->payload);
		session_answered(r->session, r, &m);
	}
	return true;
}

void
policy_up(struct policy *p)
{
	/* Another router may know better, and seals with another key. */
	for (unsigned i = 0; i < KEPT; i++)
		p->kept[i].until_ms = 0;
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
