/* SPDX-License-Identifier: ISC */
#include "qmgr/dispatch_impl.h"

#include "qmgr/resolve.h"

#include "base/clock.h"
#include "base/log.h"
#include "qmgr/damage.h"
#include "qmgr/expanded.h"
#include "qmgr/large.h"
#include "qmgr/schedule.h"
#include "qmgr/state.h"
#include "qmgr/suspend.h"
#include "spool/large.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	DRAIN_MS = 5000,
	ALONE_WAIT_MS = 30000, /* so long at most a worker is kept from other jobs for a suspect */
	/* a suspect that finds another waiting asks again, at different times each */
	ALONE_PAUSE_MS = 4000,
	BODY_PAUSE_MS = 60000, /* a large body that cannot be opened */
};

void
dispatch_init(struct dispatch *d, const struct bus *bus, uint64_t serial)
{
	*d = (struct dispatch){ .bus = bus, .serial = serial >> SLOT_BITS };
}

void
dispatch_fini(struct dispatch *d)
{
	for (uint32_t i = 0; i < d->njob; i++)
		dispatch_job_free(d->job[i]);
	free(d->job);
	free(d->free);
	for (unsigned i = 0; i < COURIER_COUNT; i++)
		free(d->alive[i].instance);
	buf_fini(&d->pairs);
	buf_fini(&d->limits);
	buf_fini(&d->hosts);
	buf_fini(&d->addresses);
}

static bool
may_run(struct qmgr *q, struct queue *queue)
{
	uint32_t connections;

	if (queue->nready == 0 || queue->number == QUEUE_ROUTING || queue->down_until != 0 ||
	    queue->resolving)
		return false;
	connections = (uint32_t)queue_limits(q, queue)->connections;
	if (queue->njobs >= (queue->down_count > 0 || queue->probing ? 1 : connections))
		return false;
	if (suspend_of(q, queue) != NULL)
		return false;
	if (queue->site != NULL && queue->site->njobs >= connections) {
		site_wait(queue->site, queue);
		return false;
	}
	return bucket_lets(q, queue);
}

void
dispatch_wake(struct qmgr *q, struct queue *queue)
{
	if (!queue->active && may_run(q, queue))
		active_push(&q->queues, queue);
}

void
dispatch_take_place(struct queue *queue)
{
	queue->njobs++;
	bucket_enter(queue);
	if (queue->site == NULL)
		return;
	queue->site_jobs++;
	queue->site->njobs++;
}

void
dispatch_free_place(struct qmgr *q, struct queue *queue)
{
	struct queue *next;

	bucket_leave(q, queue);
	if (queue->site == NULL || queue->site_jobs == 0)
		return;
	queue->site_jobs--;
	queue->site->njobs--;
	while ((next = site_next(queue->site)) != NULL) {
		dispatch_wake(q, next);
		if (next->active)
			break;
	}
}

/* ---- giving out ---- */

static bool
has_room(const struct worker *w, const struct queue *queue, uint64_t now)
{
	return w->used && w->courier == queue->courier && w->linked && w->ready && !w->alone &&
	       w->njobs < w->room && w->drain_mono_ms <= now;
}

bool
dispatch_has_room(const struct worker *w, const struct queue *queue)
{
	return has_room(w, queue, clock_mono_ms());
}

/* The one that has most room; few workers, so a row is looked through. */
static struct worker *
pick(struct qmgr *q, const struct queue *queue)
{
	struct dispatch *d = &q->dispatch;
	uint64_t now = clock_mono_ms();
	struct worker *best = bucket_idle_worker(q, queue);

	if (best != NULL) /* may_run() counted on its connection */
		return best;

	/* One that has connections there is better than an idle one, which would open more. */
	if (queue->site != NULL && queue->site->last_worker > 0) {
		best = &d->worker[queue->site->last_worker - 1];
		if (has_room(best, queue, now))
			return best;
		best = NULL;
	}
	for (unsigned i = 0; i < d->nworkers; i++) {
		struct worker *w = &d->worker[i];

		if (has_room(w, queue, now) &&
		    (best == NULL || w->room - w->njobs > best->room - best->njobs))
			best = w;
	}
	return best;
}

/* A worker without other jobs; where there is none, one is kept from new jobs until it is idle. */
static struct worker *
pick_alone(struct dispatch *d, const struct queue *queue)
{
	uint64_t now = clock_mono_ms();
	struct worker *least = NULL;

	for (unsigned i = 0; i < d->nworkers; i++) {
		struct worker *w = &d->worker[i];

		if (!w->used || w->courier != queue->courier || !w->linked || !w->ready ||
		    w->room == 0 || w->alone)
			continue;
		if (w->njobs == 0)
			return w;
		if (least == NULL || w->njobs < least->njobs)
			least = w;
	}
	if (least != NULL)
		least->drain_mono_ms = now + DRAIN_MS;
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * The first ready recipients of one message, as many as share a transaction; in rising order,
 * though they may have become due in another.
 */
static unsigned
gather(struct qmgr *q, struct queue *queue, struct message *m, unsigned first, uint32_t *rcpt,
    unsigned max)
{
	uint32_t index = message_index(m), msg = index;
	unsigned n = 0, at = first;

	do {
		rcpt_leave(q, m, at);
		rcpt[n++] = at;
	} while (n < max && ready_first(queue, &msg, &at) && msg == index);
	qsort(rcpt, n, sizeof *rcpt, compare);
	return n;
}

/* The job's hosts, and where it comes from to them: of a group the next member that can reach any. */
static struct slice
put_hosts(struct qmgr *q, struct queue *queue, bool *partial)
{
	struct buf *out = &q->dispatch.hosts;
	unsigned n = queue_nsources(q, queue);
	struct slice source = queue_source(q, queue);

	for (unsigned i = 0; n > 1 && i < n; i++, source = queue_source(q, queue)) {
		buf_reset(out);
		resolve_put(q, queue, source, out, partial);
		if (out->n > 0)
			return source;
	}
	buf_reset(out);
	resolve_put(q, queue, SLICE_NONE, out, partial);
	return source;
}

static void
send_job(
    struct qmgr *q, struct worker *w, struct qjob *j, const struct message *m, struct queue *queue)
{
	struct dispatch *d = &q->dispatch;
	struct seg *s = seg_at(&q->segtab, m->seg);
	unsigned at = (unsigned)(w - d->worker);
	struct slice source;

	if (!seg_told(s, at)) {
		d->bus->segment(w, s->number, s->seed, s->fd);
		s->told[at / 8] |= (uint8_t)(1U << at % 8);
	}
	buf_reset(&d->limits);
	job_limits_put(&d->limits, &queue->job_limits);
	source = put_hosts(q, queue, &j->partial);
	d->bus->job(w, &(const struct msg_job){ .job = j->number,
			   .id = m->id,
			   .segment = s->number,
			   .offset = message_offset(m),
			   .length = message_bytes(m),
			   .queue = queue->number,
			   .route = queue_route(queue),
			   .rcpts = slice_buf(&d->pairs),
			   .limits = slice_buf(&d->limits),
			   .arrival_ms = id_ms(m->id),
			   .source = source,
			   .hosts = slice_buf(&d->hosts),
			   .addresses = slice_buf(&d->addresses) });
	w->sent++;
}

static void put_off(struct qmgr *q, struct message *m, unsigned rcpt, uint32_t ms);

/* Its body stands in large/: the worker gets a descriptor of its own. Where there is none it waits, and is looked at. */
static bool
give_body(struct qmgr *q, struct worker *w, struct message *m, unsigned rcpt)
{
	uint32_t number = large_of(q, m);
	int fd = large_open(q->dirfd, number);

	if (fd >= 0) {
		q->dispatch.bus->large(w, number, fd);
		close(fd);
		return true;
	}
	log_trouble(-fd, "large/%u cannot be opened", number);
	put_off(q, m, rcpt, BODY_PAUSE_MS);
	damage_look(q, m);
	return false;
}

static void
start(struct qmgr *q, struct worker *w, struct queue *queue, struct message *m, unsigned first)
{
	struct dispatch *d = &q->dispatch;
	uint32_t rcpt[1024];
	uint64_t max = queue_limits(q, queue)->rcpts;
	struct qjob *j;
	unsigned n;

	if ((m->flags & MESSAGE_LARGE) && !give_body(q, w, m, first))
		return;
	n = gather(q, queue, m, first, rcpt, max < 1024 ? (unsigned)max : 1024);
	n = expanded_for_job(q, m, rcpt, n, &d->addresses);
	if (n == 0)
		return;
	j = dispatch_job_new(q, w);
	assert(j != NULL); /* the window is smaller */
	j->number = ++d->serial << SLOT_BITS | j->slot;
	j->id = m->id;
	j->sent_ms = clock_wall_ms();
	j->queue = queue->number;
	j->nopen = n;
	dispatch_job_rcpts(j, rcpt, n);
	ready_taken(queue, m);
	message_expect(&q->messages, m);
	buf_reset(&d->pairs);
	for (unsigned i = 0; i < n; i++) {
		struct recipient *r = &message_rcpts(m)[rcpt[i]];
		uint32_t pair[2] = { rcpt[i], r->attempts + 1U };

		commit(q, started, .id = m->id, .rcpt = pair[0], .attempt = pair[1],
		    .worker = w->number, .instance = w->instance);
		rcpt_enter(q, m, rcpt[i], RCPT_RUNNING);
		r->next_msg = j->slot;
		buf_put(&d->pairs, pair, sizeof pair);
	}
	j->alone = m->suspicion >= SUSPECT_ALONE;
	w->alone = j->alone;
	dispatch_take_place(queue);
	bucket_spend(q, queue, j);
	if (queue->site != NULL)
		queue->site->last_worker = (uint32_t)(w - d->worker) + 1;
	send_job(q, w, j, m, queue);
}

/* Its route is of an older generation: next hops are asked for anew, in slices. */
static bool
reroute(struct qmgr *q, struct queue *queue)
{
	uint32_t msg;
	unsigned rcpt;

	if (queue->generation >= q->router_generation || !peer_is_up(q->router))
		return false;
	for (unsigned n = 0; n < SLICE_RCPTS && ready_first(queue, &msg, &rcpt); n++) {
		struct message *m = message_at(&q->messages, msg);

		rcpt_leave(q, m, rcpt);
		rcpt_enter(q, m, rcpt, RCPT_ROUTING);
	}
	qmgr_again(q);
	return true;
}

static void
put_off(struct qmgr *q, struct message *m, unsigned rcpt, uint32_t ms)
{
	rcpt_leave(q, m, rcpt);
	message_rcpts(m)[rcpt].due = qclock_now_tick(&q->clock) + ms / QCLOCK_TICK_MS;
	rcpt_enter(q, m, rcpt, RCPT_DEFERRED);
}

/*
 * A suspect (rule 17) leaves its queue, which goes on without it, and waits for a worker of its
 * own; one at a time, so that at most one worker is kept idle for it, and not for ever.
 */
static void
alone_wait(struct qmgr *q, struct message *m, unsigned rcpt)
{
	struct dispatch *d = &q->dispatch;

	put_off(q, m, rcpt, ALONE_PAUSE_MS / 2 + (uint32_t)(rng_next(&q->rng) % ALONE_PAUSE_MS));
	if (d->alone_id != 0)
		return;
	d->alone_id = m->id;
	d->alone_rcpt = rcpt;
	d->alone_since_ms = clock_mono_ms();
}

static void
alone_run(struct qmgr *q)
{
	struct dispatch *d = &q->dispatch;
	struct message *m = d->alone_id == 0 ? NULL : message_find(&q->messages, d->alone_id);
	struct recipient *r =
	    m == NULL || d->alone_rcpt >= m->nrcpt ? NULL : &message_rcpts(m)[d->alone_rcpt];
	struct queue *queue = r == NULL ? NULL : queue_at(&q->queues, r->queue);
	struct worker *w;

	if (d->alone_id == 0)
		return;
	if (r == NULL || r->phase != RCPT_DEFERRED || (m->flags & MESSAGE_HELD) ||
	    queue->down_until != 0 || suspend_of(q, queue) != NULL ||
	    clock_mono_ms() - d->alone_since_ms > ALONE_WAIT_MS) {
		d->alone_id = 0; /* its timer brings it back, if it is still there */
		return;
	}
	w = resolve_look(q, queue) != RESOLVE_GO || !bucket_lets(q, queue) ? NULL
									   : pick_alone(d, queue);
	if (w == NULL)
		return;
	d->alone_id = 0;
	w->drain_mono_ms = 0; /* until now it was kept from the others, who go on behind this one */
	start(q, w, queue, m, d->alone_rcpt);
}

/* False: nobody has room now, or another turn shall go on with this queue. */
static bool
give_one(struct qmgr *q, struct queue *queue)
{
	struct worker *w;
	struct message *m;
	uint32_t msg;
	unsigned rcpt;

	if (reroute(q, queue) || !ready_first(queue, &msg, &rcpt))
		return true;
	switch (resolve_look(q, queue)) {
	case RESOLVE_GO:
		if (!may_run(q, queue)) /* it has joined another site */
			return true;
		break;
	case RESOLVE_LATER:
		return true;
	case RESOLVE_SLICE:
		qmgr_again(q);
		return false;
	}
	m = message_at(&q->messages, msg);
	if (m->suspicion >= SUSPECT_ALONE) {
		alone_wait(q, m, rcpt);
		alone_run(q);
		return true;
	}
	w = pick(q, queue);
	if (w != NULL)
		start(q, w, queue, m, rcpt);
	return w != NULL;
}

static void
run_ring(struct qmgr *q, enum courier_kind kind)
{
	struct queue *queue;

	while (q->dispatch.window < q->conf->jobs_max &&
	       (queue = active_pop(&q->queues, kind)) != NULL) {
		bool room;

		if (!may_run(q, queue)) {
			bucket_skip(q, queue);
			continue;
		}
		room = give_one(q, queue);
		if (!room)
			bucket_skip(q, queue); /* others may be for workers that have some */
		dispatch_wake(q, queue);
		if (!queue->active)
			bucket_skip(q, queue);
		if (!room)
			break;
	}
}

void
dispatch_run(struct qmgr *q)
{
	if (q->dispatch.nunknown > 0)
		dispatch_unknown_tick(q);
	if (q->dispatch.ending)
		return;
	if (q->dispatch.window < q->conf->jobs_max)
		alone_run(q);
	for (unsigned kind = 0; kind < COURIER_COUNT; kind++)
		run_ring(q, (enum courier_kind)kind);
}
