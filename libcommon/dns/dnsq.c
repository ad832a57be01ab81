/* SPDX-License-Identifier: ISC */
#include "dns/dnsq.h"

#include "base/clock.h"
#include "base/die.h"

#include <assert.h>
#include <bsd/sys/queue.h>
#include <stdlib.h>

enum {
	OPEN_MAX = 4096,     /* different questions */
	WAITING_MAX = 65536, /* who waits for them; what is beyond is answered at once */
	SLOTS_MAX = 1 << 20,
	BUCKETS = 1024,
	NO_SLOT = UINT32_MAX,
};

/* Things under names that are never 0 and not soon used again. */
struct slot {
	void *thing; /* NULL: free */
	uint32_t uses, next;
};
struct slots {
	struct slot *p;
	uint32_t n, free, max;
};

struct waiter {
	TAILQ_ENTRY(waiter) link;
	struct question *question;
	uint64_t id;
	dnsq_fn *fn;
	void *arg;
};

/* One state after the other; a question without a waiter is freed. */
enum question_state {
	QUESTION_OPEN,	  /* in q->open, q->buckets, q->questions */
	QUESTION_DECIDED, /* in q->decided: told in the next turn */
	QUESTION_TOLD,	  /* in no list: its waiters are being called */
};

struct question {
	TAILQ_ENTRY(question) link;
	TAILQ_HEAD(, waiter) waiters;
	struct question *bucket_next;
	uint64_t id, asked_ms, deadline_ms;
	enum question_state state;
	enum dns_status status; /* DECIDED */
	const char *text;
	enum dns_type type;
	char name[DNS_NAME_MAX + 1];
};
TAILQ_HEAD(question_list, question);

struct dnsq {
	struct loop *loop;
	struct peer *link; /* NULL: down */
	struct timer *timer;
	uint64_t timeout_ms;
	struct question_list open; /* the nearest deadline first */
	struct question_list decided;
	struct question *buckets[BUCKETS];
	struct slots questions, waiters;
	unsigned nwaiters, telling;
};

static uint64_t
slots_add(struct slots *s, void *thing)
{
	uint32_t i = s->free;

	if (i == NO_SLOT) {
		uint32_t n = s->n == 0 ? 64 : s->n * 2;

		if (s->n >= s->max)
			return 0;
		s->p = xrealloc(s->p, n * sizeof *s->p);
		for (i = n; i-- > s->n;) {
			s->p[i] = (struct slot){ .next = s->free };
			s->free = i;
		}
		s->n = n;
		i = s->free;
	}
	s->free = s->p[i].next;
	s->p[i].thing = thing;
	return (uint64_t)s->p[i].uses << 32 | (i + 1);
}

static void *
slots_get(const struct slots *s, uint64_t id)
{
	uint32_t i = (uint32_t)id - 1;

	return id != 0 && i < s->n && s->p[i].uses == id >> 32 ? s->p[i].thing : NULL;
}

static void
slots_remove(struct slots *s, uint64_t id)
{
	uint32_t i = (uint32_t)id - 1;

	assert(slots_get(s, id) != NULL);
	s->p[i] = (struct slot){ .uses = s->p[i].uses + 1, .next = s->free };
	s->free = i;
}

/* A token has half the bits: the place and the last 16 bits of how often it was used. */
static uint32_t
token_of(const struct question *ask)
{
	return (uint32_t)(ask->id >> 32) << 16 | ((uint32_t)ask->id - 1);
}

static struct question *
question_of_token(const struct dnsq *q, uint32_t token)
{
	uint32_t i = token & UINT16_MAX;
	struct question *ask = i < q->questions.n ? q->questions.p[i].thing : NULL;

	return ask != NULL && token_of(ask) == token ? ask : NULL;
}

static struct question **
bucket_of(struct dnsq *q, const char *name, enum dns_type type)
{
	return &q->buckets[(slice_ihash(slice_z(name)) + type) % BUCKETS];
}

static struct question *
find(struct dnsq *q, const char *name, enum dns_type type)
{
	struct question *ask = *bucket_of(q, name, type);

	while (ask != NULL && (ask->type != type || strcmp(ask->name, name) != 0))
		ask = ask->bucket_next;
	return ask;
}

/* Out of all that holds open questions. */
static void
detach(struct dnsq *q, struct question *ask)
{
	struct question **at = bucket_of(q, ask->name, ask->type);

	assert(ask->state == QUESTION_OPEN);
	while (*at != ask)
		at = &(*at)->bucket_next;
	*at = ask->bucket_next;
	TAILQ_REMOVE(&q->open, ask, link);
	slots_remove(&q->questions, ask->id);
}

static void
decide(struct dnsq *q, struct question *ask, enum dns_status status, const char *text)
{
	ask->state = QUESTION_DECIDED;
	ask->status = status;
	ask->text = text;
	TAILQ_INSERT_TAIL(&q->decided, ask, link);
	timer_set(q->timer, 0);
}

/* Out of its question's list. */
static void
forget_waiter(struct dnsq *q, struct waiter *w)
{
	TAILQ_REMOVE(&w->question->waiters, w, link);
	slots_remove(&q->waiters, w->id);
	q->nwaiters--;
}

/* Its functions may ask and cancel: all they can reach of `ask` is the list of its waiters. */
static void
tell(struct dnsq *q, struct question *ask, const struct dnsq_answer *a)
{
	struct waiter *w;

	ask->state = QUESTION_TOLD;
	q->telling++;
	while ((w = TAILQ_FIRST(&ask->waiters)) != NULL) {
		forget_waiter(q, w); /* NOLINT: out of the list, whatever clang-tidy thinks */
		w->fn(w->arg, a);
		free(w);
	}
	q->telling--;
	free(ask);
}

/* What is decided meanwhile waits for the next turn. */
static void
tell_decided(struct dnsq *q)
{
	struct question_list now = TAILQ_HEAD_INITIALIZER(now);
	struct question *ask, *next;

	TAILQ_CONCAT(&now, &q->decided, link);
	for (ask = TAILQ_FIRST(&now); ask != NULL; ask = next) {
		struct dnsq_answer a = { .status = ask->status, .text = slice_z(ask->text) };

		next = TAILQ_NEXT(ask, link);
		tell(q, ask, &a);
	}
}

static void
set_timer(struct dnsq *q)
{
	const struct question *first = TAILQ_FIRST(&q->open);
	uint64_t now = clock_mono_ms();

	if (!TAILQ_EMPTY(&q->decided))
		timer_set(q->timer, 0);
	else if (first == NULL)
		timer_stop(q->timer);
	else
		timer_set(q->timer, first->deadline_ms > now ? first->deadline_ms - now : 0);
}

static void
on_timer(void *arg)
{
	struct dnsq *q = arg;
	uint64_t now = clock_mono_ms();
	struct question *ask;

	while ((ask = TAILQ_FIRST(&q->open)) != NULL && ask->deadline_ms <= now) {
		detach(q, ask);
		decide(q, ask, DNS_TEMP,
		    q->link == NULL ? "dnscache is away" : "dnscache did not answer in time");
	}
	tell_decided(q);
	set_timer(q);
}

struct dnsq *
dnsq_new(struct loop *loop, uint64_t timeout_ms)
{
	struct dnsq *q = xcalloc(1, sizeof *q);

	q->loop = loop;
	q->timeout_ms = timeout_ms;
	q->timer = timer_new(loop, on_timer, q);
	q->questions = (struct slots){ .free = NO_SLOT, .max = OPEN_MAX };
	q->waiters = (struct slots){ .free = NO_SLOT, .max = SLOTS_MAX };
	TAILQ_INIT(&q->open);
	TAILQ_INIT(&q->decided);
	return q;
}

static void
drop(struct question *ask)
{
	struct waiter *w;

	while ((w = TAILQ_FIRST(&ask->waiters)) != NULL) {
		TAILQ_REMOVE(&ask->waiters, w, link);
		free(w);
	}
	free(ask);
}

void
dnsq_free(struct dnsq *q)
{
	struct question *ask;

	if (q == NULL)
		return;
	assert(q->telling == 0);
	while ((ask = TAILQ_FIRST(&q->open)) != NULL) {
		TAILQ_REMOVE(&q->open, ask, link);
		drop(ask);
	}
	while ((ask = TAILQ_FIRST(&q->decided)) != NULL) {
		TAILQ_REMOVE(&q->decided, ask, link);
		drop(ask);
	}
	timer_free(q->timer);
	free(q->questions.p);
	free(q->waiters.p);
	free(q);
}

void
dnsq_timeout(struct dnsq *q, uint64_t timeout_ms)
{
	q->timeout_ms = timeout_ms;
}

static void
send_question(struct dnsq *q, const struct question *ask)
{
	if (q->link != NULL)
		peer_send(q->link, dns_ask, .token = token_of(ask), .type = (uint16_t)ask->type,
		    .name = slice_z(ask->name));
}

/* Deadlines mostly come in order: then this looks at one. */
static void
insert_open(struct dnsq *q, struct question *ask)
{
	struct question *at = TAILQ_LAST(&q->open, question_list);

	while (at != NULL && at->deadline_ms > ask->deadline_ms)
		at = TAILQ_PREV(at, question_list, link);
	if (at == NULL)
		TAILQ_INSERT_HEAD(&q->open, ask, link);
	else
		TAILQ_INSERT_AFTER(&q->open, at, ask, link);
	if (TAILQ_FIRST(&q->open) == ask)
		set_timer(q);
}

static void
open_question(struct dnsq *q, struct question *ask)
{
	struct question **bucket = bucket_of(q, ask->name, ask->type);
	uint64_t wait = q->timeout_ms;

	ask->id = slots_add(&q->questions, ask);
	if (ask->id == 0) {
		decide(q, ask, DNS_TEMP, "too many DNS questions are open");
		return;
	}
	if (q->link == NULL && wait > DNSQ_AWAY_MS)
		wait = DNSQ_AWAY_MS;
	ask->state = QUESTION_OPEN;
	ask->asked_ms = clock_mono_ms();
	ask->deadline_ms = ask->asked_ms + wait;
	ask->bucket_next = *bucket;
	*bucket = ask;
	insert_open(q, ask);
	send_question(q, ask);
}

static struct question *
new_question(enum dns_type type, const char *name)
{
	struct question *ask = xcalloc(1, sizeof *ask);

	TAILQ_INIT(&ask->waiters);
	ask->type = type;
	slice_copy(slice_z(name), ask->name, sizeof ask->name);
	return ask;
}

uint64_t
dnsq_ask(struct dnsq *q, struct slice name, enum dns_type type, dnsq_fn *fn, void *arg)
{
	struct waiter *w = xcalloc(1, sizeof *w);
	struct question *ask = NULL;
	char clean[DNS_NAME_MAX + 1];
	bool is_name = dns_name_clean(name, clean);

	*w = (struct waiter){ .fn = fn, .arg = arg };
	w->id = slots_add(&q->waiters, w);
	if (w->id == 0)
		die(EXIT_SOFTWARE, "%u DNS questions in one turn", SLOTS_MAX);
	if (is_name && q->nwaiters < WAITING_MAX)
		ask = find(q, clean, type);
	if (ask == NULL) {
		ask = new_question(type, clean);
		if (!is_name)
			decide(q, ask, DNS_NXDOMAIN, "no domain name");
		else if (q->nwaiters >= WAITING_MAX)
			decide(q, ask, DNS_TEMP, "too many wait for DNS answers");
		else
			open_question(q, ask);
	}
	q->nwaiters++;
	w->question = ask;
	TAILQ_INSERT_TAIL(&ask->waiters, w, link);
	return w->id;
}

void
dnsq_cancel(struct dnsq *q, uint64_t question)
{
	struct waiter *w = slots_get(&q->waiters, question);
	struct question *ask;

	if (w == NULL)
		return;
	ask = w->question;
	forget_waiter(q, w);
	free(w);
	/* One that is DECIDED or TOLD is freed by who tells. */
	if (ask->state == QUESTION_OPEN && TAILQ_EMPTY(&ask->waiters)) {
		detach(q, ask);
		free(ask);
	}
}

void
dnsq_up(struct dnsq *q, struct peer *link)
{
	struct question_list waited = TAILQ_HEAD_INITIALIZER(waited);
	struct question *ask;

	q->link = link;
	TAILQ_CONCAT(&waited, &q->open, link);
	while ((ask = TAILQ_FIRST(&waited)) != NULL) {
		TAILQ_REMOVE(&waited, ask, link);
		ask->deadline_ms = ask->asked_ms + q->timeout_ms;
		insert_open(q, ask);
		send_question(q, ask);
	}
}

/*
 * All that was asked ends here: asked once more, one of them might be what killed dnscache. What is
 * asked from now on waits a little for it to come back.
 */
void
dnsq_down(struct dnsq *q)
{
	struct question *ask;

	q->link = NULL;
	while ((ask = TAILQ_FIRST(&q->open)) != NULL) {
		detach(q, ask);
		decide(q, ask, DNS_TEMP, "dnscache went away");
	}
}

static bool
makes_sense(enum dns_type type, const struct msg_dns_answer *m)
{
	struct slice rest = m->records;
	struct dns_record r;
	unsigned n = 0;
	int rc;

	while ((rc = dns_record_next(&rest, type, &r)) == 1)
		n++;
	if (rc != 0 || n > DNS_RECORDS_MAX || m->status > DNS_TEMP)
		return false;
	if (!dns_name_is(m->cname))
		return false;
	return (n > 0) == (m->status == DNS_OK);
}

bool
dnsq_answered(struct dnsq *q, const struct msg_dns_answer *m)
{
	struct question *ask = question_of_token(q, m->token);
	struct dnsq_answer a = { .status = (enum dns_status)m->status,
		.ttl_s = m->ttl_s,
		.flags = m->flags,
		.cname = m->cname,
		.records = m->records,
		.text = m->text };

	if (ask == NULL)
		return true; /* given up meanwhile */
	if (!makes_sense(ask->type, m))
		return false;
	detach(q, ask);
	tell(q, ask, &a);
	return true;
}

static bool
in(struct peer *p, const struct msg_row *row, struct ipc_in *msg)
{
	struct msg_dns_answer m;

	(void)row;
	return msg->type == MSG_DNS_ANSWER && msg_dns_answer_get(msg->payload, &m) &&
	       dnsq_answered(peer_arg(p), &m);
}

static void
up(struct peer *p)
{
	dnsq_up(peer_arg(p), p);
}

static void
down(struct peer *p)
{
	dnsq_down(peer_arg(p));
}

const struct peer_ops dnsq_peer_ops = { .in = in, .up = up, .down = down };
