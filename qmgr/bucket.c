/* SPDX-License-Identifier: ISC */
#include "qmgr/bucket_impl.h"

#include "base/clock.h"
#include "base/die.h"
#include "qmgr/queue_policy.h"

#include <assert.h>
#include <stdlib.h>

enum { BURST_PART = 10, DEPTH_MAX = 8 };

struct buckets *
buckets_new(void)
{
	return xcalloc(1, sizeof(struct buckets));
}

struct bucket *
bucket_new(const char *name)
{
	struct bucket *b = xcalloc(1, sizeof *b);

	b->name = name == NULL ? NULL : xstrdup(name);
	b->idle_queue = QUEUE_NOWHERE;
	return b;
}

void
bucket_free(struct bucket *b)
{
	if (b == NULL)
		return;
	assert(b->refs == 0 && b->nline == 0 && b->timer_at == 0);
	free(b->line);
	free(b->name);
	free(b);
}

void
buckets_free(struct buckets *all)
{
	for (size_t i = 0; i < all->n; i++)
		bucket_free(all->at[i]);
	free(all->at);
	free(all->timer);
	free(all);
}

/* ---- who shares what ---- */

static struct bucket *
uncall(struct queue *queue)
{
	struct bucket *b = queue->bucket.called_by;

	if (b != NULL)
		b->ncalled--;
	queue->bucket.called_by = NULL;
	return b;
}

/* Where the configuration says nothing of bursts. */
static struct gcra_rate
with_burst(const struct gcra_rate *r)
{
	struct gcra_rate out = *r;

	if (out.burst == 0)
		out.burst = out.count < BURST_PART ? 1 : out.count / BURST_PART;
	return out;
}

static bool
rate_eq(const struct gcra_rate *a, const struct gcra_rate *b)
{
	return a->count == b->count && a->burst == b->burst && a->period_ms == b->period_ms;
}

/* Other limits; what was used of the old ones is used. */
static void
set_rates(struct bucket *b, const struct bucket_rates *r)
{
	uint64_t now = clock_mono_ms();

	if (!rate_eq(&b->rates.connection, &r->connection))
		b->connection_due =
		    gcra_change(b->connection_due, &b->rates.connection, &r->connection, now);
	if (!rate_eq(&b->rates.message, &r->message))
		b->message_due = gcra_change(b->message_due, &b->rates.message, &r->message, now);
	b->rates = *r;
}

static struct bucket_rates
rates_of(const struct conf_bucket *c)
{
	return (struct bucket_rates){ .connections = (uint32_t)c->connections,
		.connection = with_burst(&c->connection_rate),
		.message = with_burst(&c->message_rate) };
}

static int
by_name(const void *a, const void *b)
{
	return strcmp((*(struct bucket *const *)a)->name, (*(struct bucket *const *)b)->name);
}

static struct bucket *
find(const struct buckets *all, const char *name)
{
	size_t from = 0, to = all->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int way = strcmp(name, all->at[middle]->name);

		if (way == 0)
			return all->at[middle];
		if (way < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return NULL;
}

void
buckets_set_conf(struct qmgr *q)
{
	struct buckets *all = q->queues.buckets;
	size_t kept = 0, known = all->n;

	for (size_t i = 0; i < known; i++)
		all->at[i]->gone = true;
	all->at = xrealloc(all->at, (known + q->conf->nbucket + 1) * sizeof(struct bucket *));
	for (size_t i = 0; i < q->conf->nbucket; i++) {
		const struct conf_bucket *c = &q->conf->bucket[i];
		struct bucket_rates r = rates_of(c);
		struct bucket *b;

		all->n = known; /* those before, in order; new ones stand behind them */
		b = find(all, c->name);
		if (b == NULL)
			all->at[known + kept++] = b = bucket_new(c->name);
		b->gone = false;
		set_rates(b, &r);
	}
	all->n = known + kept;
	kept = 0;
	for (size_t i = 0; i < all->n; i++)
		if (all->at[i]->gone && all->at[i]->refs == 0) {
			bucket_timer_off(all, all->at[i]);
			bucket_free(all->at[i]);
		} else
			all->at[kept++] = all->at[i];
	all->n = kept;
	qsort(all->at, all->n, sizeof(struct bucket *), by_name);
}

static void
share(struct bucket_member *m, struct bucket *b, const struct bucket_rates *r)
{
	m->share = xrealloc(m->share, (m->nshare + 1) * sizeof *m->share);
	m->share[m->nshare++] = (struct bucket_share){ b, *r };
	b->refs++;
	b->jobs += m->jobs;
}

void
bucket_join(struct qmgr *q, struct queue *queue)
{
	const struct scope_values *v = queue->limits;
	struct bucket_member *m = &queue->bucket;

	bucket_part(q->queues.buckets, queue);
	if (queue->site != NULL && (v->connection_rate.count != 0 || v->message_rate.count != 0)) {
		struct bucket_rates own = { .connection = with_burst(&v->connection_rate),
			.message = with_burst(&v->message_rate) };

		if (queue->site->own == NULL)
			queue->site->own = bucket_new(NULL);
		share(m, queue->site->own, &own);
	}
	for (size_t i = 0; i < v->buckets.n && queue->number != QUEUE_ROUTING; i++) {
		struct bucket *b = find(q->queues.buckets, v->buckets.at[i]);
		const struct conf_bucket *c = conf_bucket(q->conf, slice_z(v->buckets.at[i]));

		assert(b != NULL && c != NULL); /* the configuration was read as a whole */
		share(m, b, &b->rates);
		if (c->rcpts != 0 && c->rcpts < queue->job_limits.rcpts)
			queue->job_limits.rcpts = (uint32_t)c->rcpts;
		if (c->messages != 0 && c->messages < queue->job_limits.messages)
			queue->job_limits.messages = (uint32_t)c->messages;
	}
	bucket_idle_count(queue, 1);
}

void
bucket_part(struct buckets *all, struct queue *queue)
{
	struct bucket_member *m = &queue->bucket;

	bucket_line_leave(queue);
	uncall(queue);
	bucket_idle_count(queue, -1);
	for (unsigned i = 0; i < m->nshare; i++) {
		struct bucket *b = m->share[i].b;

		b->jobs -= m->jobs;
		b->refs--;
		if (b->nline > 0) /* for the others there may be room now */
			bucket_timer_at(all, b, 0);
		else
			bucket_timer_off(all, b);
	}
	free(m->share);
	m->share = NULL;
	m->nshare = 0;
}

/* ---- may it ---- */

bool
bucket_refuses(const struct bucket *b, bool connects, uint64_t now, enum bucket_limit *which,
    uint64_t *until_ms)
{
	uint64_t wait;

	*until_ms = 0;
	*which = BUCKET_CONNECTIONS;
	if (connects && b->rates.connections != 0 && b->jobs + b->idle >= b->rates.connections)
		return true;
	wait = gcra_wait_ms(b->message_due, &b->rates.message, now);
	*which = BUCKET_MESSAGE_RATE;
	if (wait == 0 && connects) {
		wait = gcra_wait_ms(b->connection_due, &b->rates.connection, now);
		*which = BUCKET_CONNECTION_RATE;
	}
	*until_ms = now + wait;
	return wait > 0;
}

/* Others have waited there for longer. */
static bool
is_behind(const struct bucket *b, const struct queue *queue)
{
	return b->nline > 0 &&
	       (queue->bucket.ticket == 0 || b->line[0]->bucket.ticket < queue->bucket.ticket);
}

/* The first of the line is called, if the bucket lets it; else the time is set at which it will. */
static void
stir(struct qmgr *q, struct bucket *b)
{
	struct buckets *all = q->queues.buckets;
	uint64_t now = clock_mono_ms(), until;
	enum bucket_limit which;

	bucket_timer_off(all, b);
	while (b->nline > 0 && b->ncalled == 0) {
		struct queue *first = b->line[0];

		if (bucket_refuses(b, bucket_idle_worker(q, first) == NULL, now, &which, &until)) {
			if (until != 0)
				bucket_timer_at(all, b, until);
			return;
		}
		if (all->depth == DEPTH_MAX) { /* lines that hang together: the next turn goes on */
			bucket_timer_at(all, b, now);
			return;
		}
		bucket_line_leave(first);
		first->bucket.called_by = b;
		b->ncalled++;
		all->depth++;
		dispatch_wake(q, first);
		all->depth--;
		if (first->active)
			return;
		uncall(first);
	}
}

static void
uncall_next(struct qmgr *q, struct queue *queue)
{
	struct bucket *b = uncall(queue);

	if (b != NULL)
		stir(q, b);
}

bool
bucket_lets(struct qmgr *q, struct queue *queue)
{
	struct bucket_member *m = &queue->bucket;
	uint64_t now, until;
	enum bucket_limit which;
	bool connects;

	if (m->nshare == 0)
		return true;
	if (m->waits_at != NULL)
		return false;
	now = clock_mono_ms();
	connects = bucket_idle_worker(q, queue) == NULL;
	for (unsigned i = 0; i < m->nshare; i++) {
		struct bucket *b = m->share[i].b;
		bool full;

		if (b->name == NULL)
			set_rates(b, &m->share[i].rates);
		full = bucket_refuses(b, connects, now, &which, &until);
		if (!full && !is_behind(b, queue))
			continue;
		uncall_next(q, queue);
		bucket_line_enter(q->queues.buckets, b, queue);
		if (full && which == BUCKET_CONNECTIONS && b->idle > 0)
			bucket_idle_close(q, queue_at(&q->queues, b->idle_queue));
		stir(q, b);
		return false;
	}
	return true;
}

void
bucket_skip(struct qmgr *q, struct queue *queue)
{
	uncall_next(q, queue);
}

/* ---- what is used ---- */

void
bucket_enter(struct queue *queue)
{
	struct bucket_member *m = &queue->bucket;

	m->jobs++;
	for (unsigned i = 0; i < m->nshare; i++)
		m->share[i].b->jobs++;
}

void
bucket_spend(struct qmgr *q, struct queue *queue, struct qjob *j)
{
	struct bucket_member *m = &queue->bucket;
	uint64_t now;

	if (m->nshare == 0)
		return;
	now = clock_mono_ms();
	bucket_idle_borrow(queue, j);
	for (unsigned i = 0; i < m->nshare; i++) {
		struct bucket *b = m->share[i].b;

		b->messages++;
		b->message_due = gcra_take(b->message_due, &b->rates.message, now, 1);
		if (!j->borrowed)
			b->connection_due =
			    gcra_take(b->connection_due, &b->rates.connection, now, 1);
	}
	m->ticket = 0;
	uncall_next(q, queue);
	for (unsigned i = 0; i < m->nshare; i++)
		stir(q, m->share[i].b);
}

void
bucket_told(struct qmgr *q, struct queue *queue, const struct qjob *j, const struct msg_job_done *m)
{
	struct bucket_member *of = &queue->bucket;
	uint32_t paid = j->borrowed ? 0 : 1;
	uint32_t opened = m->opened < JOB_HOSTS_MAX ? m->opened : JOB_HOSTS_MAX;
	uint64_t now = clock_mono_ms();

	bucket_idle_told(q, queue, j, m);
	for (unsigned i = 0; i < of->nshare; i++) {
		struct bucket *b = of->share[i].b;

		if (opened > paid)
			b->connection_due =
			    gcra_take(b->connection_due, &b->rates.connection, now, opened - paid);
		else if (opened < paid)
			b->connection_due = gcra_give_back(b->connection_due, &b->rates.connection);
	}
}

void
bucket_leave(struct qmgr *q, struct queue *queue)
{
	struct bucket_member *m = &queue->bucket;

	assert(m->jobs > 0);
	m->jobs--;
	for (unsigned i = 0; i < m->nshare; i++)
		m->share[i].b->jobs--;
	for (unsigned i = 0; i < m->nshare; i++)
		stir(q, m->share[i].b);
}

void
bucket_idle_count(struct queue *queue, int sign)
{
	struct bucket_member *m = &queue->bucket;

	for (unsigned k = 0; k < m->nidle; k++)
		for (unsigned i = 0; i < m->nshare; i++)
			m->share[i].b->idle += (uint32_t)sign * m->idle[k].count;
}

void
bucket_idle_change(struct qmgr *q, struct queue *queue, int by)
{
	struct bucket_member *m = &queue->bucket;

	for (unsigned i = 0; i < m->nshare; i++) {
		struct bucket *b = m->share[i].b;

		b->idle += (uint32_t)by;
		if (by > 0)
			b->idle_queue = queue->number;
	}
	for (unsigned i = 0; by < 0 && i < m->nshare; i++)
		stir(q, m->share[i].b);
}

/* ---- time ---- */

void
buckets_run(struct qmgr *q)
{
	struct buckets *all = q->queues.buckets;
	uint64_t now = clock_mono_ms();

	/* One that is to be looked at again at once is so in the next turn. */
	for (uint32_t n = all->ntimer; n > 0 && all->ntimer > 0 && all->timer[0]->until_ms <= now;
	     n--)
		stir(q, all->timer[0]);
	if (all->ntimer > 0 && all->timer[0]->until_ms <= now)
		qmgr_again(q);
}

uint64_t
buckets_next_ms(const struct qmgr *q)
{
	const struct buckets *all = q->queues.buckets;
	uint64_t now = clock_mono_ms();

	if (all->ntimer == 0)
		return UINT64_MAX;
	return all->timer[0]->until_ms > now ? all->timer[0]->until_ms - now : 0;
}

static bool
at_rest(uint64_t due, const struct gcra_rate *r, uint64_t now)
{
	return r->count == 0 || gcra_left(due, r, now) >= r->burst;
}

bool
bucket_is_warm(const struct queue *queue)
{
	const struct bucket *b = queue->site == NULL ? NULL : queue->site->own;
	uint64_t now = clock_mono_ms();

	for (unsigned i = 0; i < queue->bucket.nidle; i++)
		if (queue->bucket.idle[i].count > 0)
			return true;
	return b != NULL && (!at_rest(b->message_due, &b->rates.message, now) ||
				!at_rest(b->connection_due, &b->rates.connection, now));
}
