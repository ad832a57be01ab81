/* SPDX-License-Identifier: ISC */
#include "qmgr/expand.h"

#include "base/die.h"
#include "base/log.h"
#include "qmgr/address.h"
#include "qmgr/expanded.h"
#include "qmgr/schedule.h"
#include "qmgr/state.h"

#include <bsd/stdlib.h>
#include <stdlib.h>
#include <xxhash.h>

enum { SEEN_KEPT = 64 * 1024, LIST_BYTES_MAX = 4 << 20 };

/* An expansion from its first part until its recipients are in their queues. */
struct under_way {
	TAILQ_ENTRY(under_way) next;
	struct qmgr *q;
	uint64_t id, whole;
	uint32_t rcpt, total, got;
	struct buf list; /* u16 length and address, as router sends them */
	/* Once its record is written: */
	bool written, durable;
	uint32_t at, end; /* new recipients not in their queues yet */
	struct journal_wait wait;
};

struct seen {
	XXH128_hash_t hash;
	uint32_t rcpt; /* number + 1; 0: free */
};

struct expand {
	TAILQ_HEAD(, under_way) under_way;
	unsigned n;
	/* The addresses of one message. */
	uint64_t seen_id, seed;
	uint32_t seen_nrcpt;
	struct seen *seen;
	size_t nseen, cap;
};

struct expand *
expand_new(void)
{
	struct expand *x = xcalloc(1, sizeof *x);

	TAILQ_INIT(&x->under_way);
	arc4random_buf(&x->seed, sizeof x->seed);
	return x;
}

static void
under_way_free(struct expand *x, struct under_way *u)
{
	TAILQ_REMOVE(&x->under_way, u, next);
	x->n--;
	buf_fini(&u->list);
	free(u);
}

void
expand_free(struct qmgr *q)
{
	struct expand *x = q->expand;
	struct under_way *u, *after;

	if (x == NULL)
		return;
	TAILQ_FOREACH_SAFE(u, &x->under_way, next, after)
	{
		if (u->written && !u->durable)
			journal_cancel(&q->journal, &u->wait);
		under_way_free(x, u);
	}
	free(x->seen);
	free(x);
}

/* ---- which addresses a message has ---- */

/* The domain in any case, the local part as it is. */
static XXH128_hash_t
hash_of(const struct expand *x, struct slice address)
{
	char small[1024];
	size_t n = address.n < sizeof small ? address.n : sizeof small, at = n;

	memcpy(small, address.p, n);
	while (at > 0 && small[at - 1] != '@')
		at--;
	for (size_t i = at > 0 ? at : n; i < n; i++)
		small[i] = ascii_lower(small[i]);
	return XXH3_128bits_withSeed(small, n, x->seed);
}

static struct seen *
seen_slot(struct seen *slots, size_t cap, XXH128_hash_t h)
{
	size_t i = (size_t)h.low64 & (cap - 1);

	while (slots[i].rcpt != 0 && !XXH128_isEqual(slots[i].hash, h))
		i = (i + 1) & (cap - 1);
	return &slots[i];
}

/* The slot of this address, made if need be: rcpt 0 then. */
static struct seen *
seen_at(struct expand *x, struct slice address)
{
	XXH128_hash_t h = hash_of(x, address);
	struct seen *s;

	if ((x->nseen + 1) * 2 > x->cap) {
		size_t cap = x->cap == 0 ? 64 : x->cap * 2;
		struct seen *bigger = xcalloc(cap, sizeof *bigger);

		for (size_t i = 0; i < x->cap; i++)
			if (x->seen[i].rcpt != 0)
				*seen_slot(bigger, cap, x->seen[i].hash) = x->seen[i];
		free(x->seen);
		x->seen = bigger;
		x->cap = cap;
	}
	s = seen_slot(x->seen, x->cap, h);
	if (s->rcpt == 0) {
		s->hash = h;
		x->nseen++;
	}
	return s;
}

static void
seen_load(struct qmgr *q, struct message *m)
{
	struct expand *x = q->expand;

	if (x->seen_id != m->id || x->seen_nrcpt > m->nrcpt) {
		if (x->cap > SEEN_KEPT) {
			free(x->seen);
			x->seen = NULL;
			x->cap = 0;
		} else if (x->cap > 0) {
			memset(x->seen, 0, x->cap * sizeof *x->seen);
		}
		x->nseen = 0;
		x->seen_id = m->id;
		x->seen_nrcpt = 0;
	}
	for (; x->seen_nrcpt < m->nrcpt; x->seen_nrcpt++) {
		const struct envelope_rcpt *to = address_rcpt(q, m, x->seen_nrcpt);
		struct seen *s = to == NULL ? NULL : seen_at(x, to->recipient);

		if (s != NULL &&
		    (s->rcpt == 0 || message_rcpts(m)[s->rcpt - 1].state == SPOOL_EXPANDED))
			s->rcpt = x->seen_nrcpt + 1;
	}
}

/* ---- the record ---- */

/* RFC 3461 5.2.7: an alias of one keeps what was asked for; of several, delivery is not told for each. */
static uint8_t
notify_of(uint8_t notify, uint32_t total)
{
	if (total <= 1 || !(notify & NOTIFY_SUCCESS))
		return notify;
	notify &= (uint8_t)~NOTIFY_SUCCESS;
	return notify == 0 ? NOTIFY_NEVER : notify;
}

/* The new recipients' entries; what the message has already is left out. Returns how many. */
static uint32_t
put_entries(struct qmgr *q, struct message *m, struct under_way *u, const struct journal_rcpt *like,
    struct buf *out)
{
	struct expand *x = q->expand;
	struct slice rest = slice_buf(&u->list);
	struct journal_rcpt e = *like;
	uint32_t n = 0;

	seen_load(q, m);
	while (rest.n > 0) {
		uint16_t bytes;
		struct seen *s;

		memcpy(&bytes, rest.p, sizeof bytes);
		e.address = slice_of(rest.p + 2, bytes);
		rest = slice_from(rest, 2U + bytes);
		s = seen_at(x, e.address);
		/* Number u->rcpt itself ends here; a member of that name is another recipient. */
		if (s->rcpt != 0 && s->rcpt - 1 != u->rcpt &&
		    (s->rcpt - 1 >= m->nrcpt ||
			message_rcpts(m)[s->rcpt - 1].state != SPOOL_EXPANDED))
			continue;
		s->rcpt = m->nrcpt + n + 1;
		journal_rcpt_put(out, &e);
		n++;
	}
	x->seen_nrcpt = m->nrcpt + n;
	return n;
}

static void
on_durable(void *arg)
{
	struct under_way *u = arg;

	u->durable = true;
	qmgr_again(u->q);
}

static void
log_expanded(struct qmgr *q, const struct message *m, const struct under_way *u, uint32_t n,
    struct slice to, struct slice rule)
{
	log_begin(LOG_EXPANDED);
	log_id(m->id);
	log_u64(LOGK_RCPT, u->rcpt);
	log_str(LOGK_TO, to);
	log_u64(LOGK_COUNT, n);
	log_str(LOGK_RULE, rule);
	log_end();
	(void)q;
}

static enum expand_step
write_record(
    struct qmgr *q, struct message *m, struct under_way *u, struct slice rule, const char **why)
{
	const struct envelope_rcpt *to = address_rcpt(q, m, u->rcpt);
	const struct recipient *r = &message_rcpts(m)[u->rcpt];
	struct journal_rcpt like = { .queue = QUEUE_ROUTING, .parent = u->rcpt };
	struct buf entries = { 0 }, texts = { 0 };
	struct slice original, address;
	bool success;
	uint32_t n;

	if (to == NULL) {
		*why = "the record cannot be read";
		return EXPAND_FAILED;
	}
	/* *to is gone with the next address that is read. */
	original = to->original.n > 0 ? to->original : to->recipient;
	buf_room(&texts, to->recipient.n + original.n + to->orcpt.n + 1);
	buf_slice(&texts, original);
	buf_slice(&texts, to->orcpt);
	buf_slice(&texts, to->recipient);
	like.original = slice_of(texts.p, original.n);
	like.orcpt = slice_of(texts.p + original.n, to->orcpt.n);
	address = slice_of(texts.p + original.n + to->orcpt.n, to->recipient.n);
	like.notify = notify_of(r->notify, u->total);
	success = (r->notify & NOTIFY_SUCCESS) != 0 && u->total > 1 &&
		  !(m->flags & (MESSAGE_NULL_SENDER | MESSAGE_NOTICE));
	n = put_entries(q, m, u, &like, &entries);
	if (entries.n > EXPAND_BYTES_MAX || m->nrcpt + n > MESSAGE_MORE_MAX) {
		q->expand->seen_id = 0; /* it has learned numbers that will not be */
		*why = "expands to more addresses than one message may have";
		buf_fini(&entries);
		buf_fini(&texts);
		return EXPAND_FAILED;
	}
	log_expanded(q, m, u, n, address, rule);
	u->at = m->nrcpt;
	u->end = m->nrcpt + n;
	u->written = true;
	commit(q, expanded, .id = m->id, .rcpt = u->rcpt, .attempt = r->attempts,
	    .owed = success ? SPOOL_NOTICE_DELIVERED : 0, .first = m->nrcpt, .nrcpt = n,
	    .rcpts = slice_buf(&entries), .rule = rule);
	u->wait = (struct journal_wait){ .durable = on_durable, .arg = u };
	journal_after(&q->journal, &u->wait, JOURNAL_NOW);
	buf_fini(&entries);
	buf_fini(&texts);
	buf_fini(&u->list);
	return EXPAND_DONE;
}

/* ---- router's list ---- */

static bool
list_valid(struct slice list, uint32_t *n)
{
	for (*n = 0; list.n > 0; ++*n) {
		uint16_t bytes;

		if (list.n < sizeof bytes)
			return false;
		memcpy(&bytes, list.p, sizeof bytes);
		if (bytes == 0 || bytes > 1000 || list.n < 2U + bytes)
			return false;
		list = slice_from(list, 2U + bytes);
	}
	return true;
}

static struct under_way *
under_way_of(struct qmgr *q, uint64_t id, uint32_t rcpt)
{
	struct expand *x = q->expand;
	struct under_way *u;

	TAILQ_FOREACH(u, &x->under_way, next)
	if (u->id == id && u->rcpt == rcpt && !u->written)
		return u;
	if (x->n >= EXPAND_UNDER_WAY_MAX)
		return NULL;
	u = xcalloc(1, sizeof *u);
	u->q = q;
	u->id = id;
	u->rcpt = rcpt;
	TAILQ_INSERT_TAIL(&x->under_way, u, next);
	x->n++;
	return u;
}

enum expand_step
expand_answered(struct qmgr *q, struct message *m, unsigned rcpt, const struct msg_route *r,
    uint32_t *from, const char **why)
{
	struct under_way *u = under_way_of(q, m->id, rcpt);
	enum expand_step step = EXPAND_FAILED;
	uint32_t n;

	*from = 0;
	*why = "too many expansions are under way";
	if (u == NULL)
		return EXPAND_FAILED;
	if (r->first == 0) {
		buf_reset(&u->list);
		u->got = 0;
		u->total = r->total;
		u->whole = r->whole;
	}
	*why = "the router's answer cannot be read";
	if (list_valid(r->list, &n) && n > 0 && r->total > 0 && n <= r->total - u->got &&
	    u->list.n + r->list.n <= LIST_BYTES_MAX && !expanded_has(q, m, rcpt)) {
		/* The tables changed on the way: from the beginning. */
		if (r->first != u->got || r->total != u->total || r->whole != u->whole) {
			u->got = 0;
			return EXPAND_MORE;
		}
		buf_slice(&u->list, r->list);
		u->got += n;
		*from = u->got;
		if (u->got < u->total)
			return EXPAND_MORE;
		step = write_record(q, m, u, slice_head(r->rule, 255), why);
	}
	if (step == EXPAND_FAILED)
		under_way_free(q->expand, u);
	return step;
}

/* ---- into their queues ---- */

static bool
admit(struct qmgr *q, struct under_way *u, unsigned *room)
{
	struct message *m = message_find(&q->messages, u->id);

	for (; m != NULL && u->at < u->end && u->at < m->nrcpt; u->at++) {
		struct recipient *r = &message_rcpts(m)[u->at];

		if (r->state != SPOOL_QUEUED || r->phase != RCPT_DEFERRED)
			continue; /* an operator was faster */
		if (*room == 0)
			return false;
		--*room;
		r->due = qclock_now_tick(&q->clock);
		rcpt_enter_queue(q, m, u->at);
	}
	return true;
}

void
expand_run(struct qmgr *q)
{
	struct expand *x = q->expand;
	struct under_way *u, *after;
	unsigned room = SLICE_RCPTS;

	for (u = TAILQ_FIRST(&x->under_way); u != NULL; u = after) {
		after = TAILQ_NEXT(u, next);
		if (!u->durable)
			continue;
		if (!admit(q, u, &room)) {
			qmgr_again(q);
			return;
		}
		under_way_free(x, u);
	}
}

void
expand_slow(struct qmgr *q)
{
	struct expand *x = q->expand;
	struct under_way *u, *after;

	for (u = TAILQ_FIRST(&x->under_way); u != NULL; u = after) {
		struct message *m = message_find(&q->messages, u->id);

		after = TAILQ_NEXT(u, next);
		if (!u->written && (m == NULL || u->rcpt >= m->nrcpt ||
				       message_rcpts(m)[u->rcpt].phase != RCPT_ASKED))
			under_way_free(x, u);
	}
}
