/* SPDX-License-Identifier: ISC */
#include "qmgr/dispatch.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/outcome.h"
#include "qmgr/damage.h"
#include "qmgr/schedule.h"
#include "qmgr/state.h"

#include <assert.h>
#include <stdlib.h>

enum {
	SLOT_BITS = 20,
	ROOM_MAX = 100000,
	DRAIN_MS = 5000,
	ALONE_WAIT_MS = 30000,  /* so long at most a worker is kept from other jobs for a suspect */
	ALONE_PAUSE_MS = 60000,
	KIND_DAMAGED = 3,      /* RESULT: the record failed its checksum */
	TEXT_MAX = 1900,       /* of a reply, as kept */
};

void
dispatch_init(struct dispatch *d, const struct bus *bus, uint64_t serial)
{
	*d = (struct dispatch){ .bus = bus, .serial = serial >> SLOT_BITS };
}

static void
job_fini(struct qjob *j)
{
	if (j->nrcpt > 1)
		free(j->rcpt);
	j->rcpt = NULL;
	j->nrcpt = 0;
}

void
dispatch_fini(struct dispatch *d)
{
	for (uint32_t i = 0; i < d->njob; i++) {
		job_fini(d->job[i]);
		buf_fini(&d->job[i]->results);
		free(d->job[i]);
	}
	free(d->job);
	free(d->free);
	for (unsigned i = 0; i < COURIER_COUNT; i++)
		free(d->alive[i].instance);
	buf_fini(&d->pairs);
	buf_fini(&d->limits);
}

/* ---- jobs ---- */

static void
job_durable(void *arg)
{
	struct qjob *j = arg;
	struct dispatch *d = &j->q->dispatch;
	struct worker *w = &d->worker[j->worker];

	assert(j->state == JOB_ENDED);
	if (w->used && w->linked)
		d->bus->ack(w, j->number);
	j->q->more = true; /* room in the window */
	d->window--;
	d->waiting--;
	d->nforeign -= j->foreign;
	job_fini(j);
	j->state = JOB_FREE;
	d->free[d->nfree++] = j->slot;
}

/* NULL: a million are under way. */
static struct qjob *
job_new(struct qmgr *q, struct worker *w)
{
	struct dispatch *d = &q->dispatch;
	struct qjob *j;
	struct buf results;

	if (d->nfree == 0) {
		if (d->njob == JOBS_MAX)
			return NULL;
		d->job = xrealloc(d->job, (d->njob + 1) * sizeof(struct qjob *));
		d->free = xrealloc(d->free, (d->njob + 1) * sizeof *d->free);
		d->job[d->njob] = xcalloc(1, sizeof *d->job[0]);
		d->job[d->njob]->slot = d->njob;
		d->free[d->nfree++] = d->njob++;
	}
	j = d->job[d->free[--d->nfree]];
	results = j->results;
	*j = (struct qjob){ .slot = j->slot, .state = JOB_RUNNING, .queue = QUEUE_NOWHERE,
		.worker = (uint16_t)(w - d->worker), .results = results, .q = q };
	buf_reset(&j->results);
	j->wait = (struct journal_wait){ .durable = job_durable, .arg = j };
	d->window++;
	d->running++;
	w->njobs++;
	if (d->window > q->duplicates_bound)
		q->duplicates_bound = d->window;
	return j;
}

static struct qjob *
job_find(struct dispatch *d, const struct worker *w, uint64_t number)
{
	uint32_t slot = (uint32_t)(number & (JOBS_MAX - 1));
	uint16_t at = (uint16_t)(w - d->worker);

	if (slot < d->njob && d->job[slot]->state != JOB_FREE && d->job[slot]->number == number)
		return d->job[slot]->worker == at ? d->job[slot] : NULL;
	for (uint32_t i = 0; d->nforeign > 0 && i < d->njob; i++)
		if (d->job[i]->foreign && d->job[i]->state != JOB_FREE && d->job[i]->number == number && d->job[i]->worker == at)
			return d->job[i];
	return NULL;
}

static void
job_rcpts(struct qjob *j, const uint32_t *rcpt, uint32_t n)
{
	j->nrcpt = n;
	if (n <= 1) {
		j->one = n == 1 ? rcpt[0] : 0;
		j->rcpt = &j->one;
		return;
	}
	j->rcpt = xmalloc(n * sizeof *rcpt);
	memcpy(j->rcpt, rcpt, n * sizeof *rcpt);
}

/* The recipient, where this job still has it. */
static struct recipient *
job_has(struct qmgr *q, const struct qjob *j, uint32_t rcpt, struct message **m)
{
	struct recipient *r;

	*m = message_find(&q->messages, j->id);
	if (*m == NULL || rcpt >= (*m)->nrcpt)
		return NULL;
	r = &message_rcpts(*m)[rcpt];
	return r->phase == RCPT_RUNNING && r->next_msg == j->slot ? r : NULL;
}

static void
attempt_from(const struct msg_result *m, const struct msg_job_done *done, struct attempt_end *end)
{
	*end = (struct attempt_end){ .kind = m->kind, .code = m->code,
		.enh = { m->enh_class, m->enh_subject, m->enh_detail }, .phase = m->phase, .text = m->text };
	if (done == NULL)
		return;
	end->host = slice_head(done->host, ROUTE_TEXT_MAX);
	end->addr = done->addr.n == 16 ? done->addr : SLICE_NONE;
	end->port = done->port;
	end->conn_use = done->conn_use;
}

/* What its worker said becomes state. done: NULL when the worker could not say whose words they are. */
static void
job_apply(struct qmgr *q, struct qjob *j, const struct msg_job_done *done)
{
	struct slice rest = slice_buf(&j->results);
	struct msg_frame f;
	struct msg_result res;

	while (rest.n > 0 && msg_frame_next(&rest, &f) && msg_result_get(f.payload, &res)) {
		struct attempt_end end;
		struct message *m;
		struct recipient *r = job_has(q, j, res.rcpt, &m);

		if (r == NULL || res.attempt != r->attempts)
			continue; /* said before: results are keyed (rule 15) */
		attempt_from(&res, done, &end);
		j->reached |= end.kind == OUTCOME_OK || end.phase > PHASE_CONNECT;
		if (res.kind == KIND_DAMAGED)
			end.kind = OUTCOME_TEMP; /* until we have seen it ourselves */
		schedule_result(q, m, res.rcpt, res.attempt, &end);
		if (res.kind == KIND_DAMAGED && (m = message_find(&q->messages, j->id)) != NULL)
			damage_look(q, m);
	}
	buf_reset(&j->results);
}

static void site_freed(struct qmgr *q, struct queue *queue);

/* Its worker is through with it, alive or not. What is in the journal now must be durable before it counts no more. */
static void
job_end(struct qmgr *q, struct qjob *j)
{
	struct dispatch *d = &q->dispatch;
	struct worker *w = &d->worker[j->worker];
	struct queue *queue = j->queue == QUEUE_NOWHERE ? NULL : queue_at(&q->queues, j->queue);

	assert(j->state == JOB_RUNNING && w->njobs > 0);
	j->state = JOB_ENDED;
	d->running--;
	d->waiting++;
	w->njobs--;
	if (j->alone)
		w->alone = false;
	if (queue != NULL) {
		queue->njobs--;
		site_freed(q, queue);
		dispatch_wake(q, queue);
	}
	journal_after(&q->journal, &j->wait, d->waiting >= q->conf->jobs_max / 2 ? JOURNAL_NOW : JOURNAL_GROUP);
}

static bool
may_run(struct qmgr *q, struct queue *queue)
{
	uint32_t connections;

	if (queue->nready == 0 || queue->number == QUEUE_ROUTING || queue->down_until != 0)
		return false;
	connections = (uint32_t)queue_limits(q, queue)->connections;
	if (queue->njobs >= (queue->down_count > 0 ? 1 : connections))
		return false;
	if (queue_is_blocked(q, queue))
		return false;
	if (queue->site != NULL && queue->site->njobs >= connections) {
		site_wait(queue->site, queue);
		return false;
	}
	return true;
}

void
dispatch_wake(struct qmgr *q, struct queue *queue)
{
	if (!queue->active && may_run(q, queue))
		active_push(&q->queues, queue);
}

static void
take_place(struct queue *queue)
{
	queue->njobs++;
	if (queue->site == NULL)
		return;
	queue->site_jobs++;
	queue->site->njobs++;
}

/* A place at the queue's site: for the first in line that can use it. */
static void
site_freed(struct qmgr *q, struct queue *queue)
{
	struct queue *next;

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
	return w->used && w->courier == queue->courier && w->linked && w->ready && !w->alone && w->njobs < w->room && w->drain_mono_ms <= now;
}

/* The one that has most room; few workers, so a row is looked through. */
static struct worker *
pick(struct dispatch *d, const struct queue *queue)
{
	uint64_t now = clock_mono_ms();
	struct worker *best = NULL;

	/* One that has this queue's connections open is better than an idle one. */
	if (queue->last_worker < d->nworkers && has_room(&d->worker[queue->last_worker], queue, now))
		return &d->worker[queue->last_worker];
	for (unsigned i = 0; i < d->nworkers; i++) {
		struct worker *w = &d->worker[i];

		if (has_room(w, queue, now) && (best == NULL || w->room - w->njobs > best->room - best->njobs))
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

		if (!w->used || w->courier != queue->courier || !w->linked || !w->ready || w->room == 0 || w->alone)
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

/* The first ready recipients of one message, as many as share a transaction. */
static unsigned
gather(struct qmgr *q, struct queue *queue, struct message *m, unsigned first, uint32_t *rcpt, unsigned max)
{
	uint32_t index = message_index(m), msg = index;
	unsigned n = 0, at = first;

	do {
		rcpt_leave(q, m, at);
		rcpt[n++] = at;
	} while (n < max && ready_first(queue, &msg, &at) && msg == index);
	return n;
}

static void
send_job(struct qmgr *q, struct worker *w, struct qjob *j, const struct message *m, struct queue *queue)
{
	struct dispatch *d = &q->dispatch;
	struct seg *s = seg_at(&q->segtab, m->seg);
	unsigned at = (unsigned)(w - d->worker);

	if (!seg_told(s, at)) {
		d->bus->segment(w, s->number, s->seed, s->fd);
		s->told[at / 8] |= (uint8_t)(1U << at % 8);
	}
	buf_reset(&d->limits);
	job_limits_put(&d->limits, &queue->job_limits);
	d->bus->job(w, &(const struct msg_job){ .job = j->number, .id = m->id, .segment = s->number,
	    .offset = message_offset(m), .length = message_bytes(m), .queue = queue->number, .route = queue_route(queue),
	    .rcpts = slice_buf(&d->pairs), .limits = slice_buf(&d->limits), .arrival_ms = id_ms(m->id) });
	w->sent++;
}

static void
start(struct qmgr *q, struct worker *w, struct queue *queue, struct message *m, unsigned first)
{
	struct dispatch *d = &q->dispatch;
	uint32_t rcpt[1024];
	uint64_t max = queue_limits(q, queue)->rcpts;
	struct qjob *j = job_new(q, w);
	unsigned n;

	assert(j != NULL); /* the window is smaller */
	n = gather(q, queue, m, first, rcpt, max < 1024 ? (unsigned)max : 1024);
	j->number = ++d->serial << SLOT_BITS | j->slot;
	j->id = m->id;
	j->queue = queue->number;
	j->nopen = n;
	job_rcpts(j, rcpt, n);
	buf_reset(&d->pairs);
	for (unsigned i = 0; i < n; i++) {
		struct recipient *r = &message_rcpts(m)[rcpt[i]];
		uint32_t pair[2] = { rcpt[i], r->attempts + 1U };

		commit(q, started, .id = m->id, .rcpt = pair[0], .attempt = pair[1], .worker = w->number, .instance = w->instance);
		rcpt_enter(q, m, rcpt[i], RCPT_RUNNING);
		r->next_msg = j->slot;
		buf_put(&d->pairs, pair, sizeof pair);
	}
	j->alone = m->suspicion >= SUSPECT_ALONE;
	w->alone = j->alone;
	take_place(queue);
	queue->last_worker = (uint32_t)(w - d->worker);
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
 * A suspect (rule 17) leaves its queue, which goes on without it, and waits for a worker of its own; one at a
 * time, so that at most one worker is kept idle for it, and not for ever.
 */
static void
alone_wait(struct qmgr *q, struct message *m, unsigned rcpt)
{
	struct dispatch *d = &q->dispatch;

	put_off(q, m, rcpt, ALONE_PAUSE_MS);
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
	struct recipient *r = m == NULL || d->alone_rcpt >= m->nrcpt ? NULL : &message_rcpts(m)[d->alone_rcpt];
	struct queue *queue = r == NULL ? NULL : queue_at(&q->queues, r->queue);
	struct worker *w;

	if (d->alone_id == 0)
		return;
	if (r == NULL || r->phase != RCPT_DEFERRED || (m->flags & MESSAGE_HELD) || queue->down_until != 0 ||
	    queue_is_blocked(q, queue) || clock_mono_ms() - d->alone_since_ms > ALONE_WAIT_MS) {
		d->alone_id = 0; /* its timer brings it back, if it is still there */
		return;
	}
	w = pick_alone(d, queue);
	if (w == NULL)
		return;
	d->alone_id = 0;
	start(q, w, queue, m, d->alone_rcpt);
}

/* False: nobody has room now. */
static bool
give_one(struct qmgr *q, struct queue *queue)
{
	struct worker *w;
	struct message *m;
	uint32_t msg;
	unsigned rcpt;

	if (reroute(q, queue) || !ready_first(queue, &msg, &rcpt))
		return true;
	m = message_at(&q->messages, msg);
	if (m->suspicion >= SUSPECT_ALONE) {
		alone_wait(q, m, rcpt);
		alone_run(q);
		return true;
	}
	w = pick(&q->dispatch, queue);
	if (w != NULL)
		start(q, w, queue, m, rcpt);
	return w != NULL;
}

static void
run_ring(struct qmgr *q, enum courier_kind kind)
{
	struct queue *queue;

	while (q->dispatch.window < q->conf->jobs_max && (queue = active_pop(&q->queues, kind)) != NULL) {
		bool room;

		if (!may_run(q, queue))
			continue;
		room = give_one(q, queue);
		dispatch_wake(q, queue);
		if (!room)
			break;
	}
}

void
dispatch_run(struct qmgr *q)
{
	if (q->dispatch.window < q->conf->jobs_max)
		alone_run(q);
	for (unsigned kind = 0; kind < COURIER_COUNT; kind++)
		run_ring(q, (enum courier_kind)kind);
}

/* ---- workers ---- */

static struct worker *
by_instance(struct dispatch *d, uint64_t instance)
{
	for (unsigned i = 0; i < d->nworkers; i++)
		if (d->worker[i].used && d->worker[i].instance == instance)
			return &d->worker[i];
	return NULL;
}

static void
untell_all(struct qmgr *q, unsigned worker)
{
	uint32_t cursor = 0;
	struct seg *s;

	while ((s = segtab_next(&q->segtab, &cursor)) != NULL)
		s->told[worker / 8] &= (uint8_t)~(1U << worker % 8);
}

static bool
has_jobs(const struct dispatch *d, unsigned worker)
{
	for (uint32_t i = 0; i < d->njob; i++)
		if (d->job[i]->state != JOB_FREE && d->job[i]->worker == worker)
			return true;
	return false;
}

struct worker *
dispatch_linked(struct qmgr *q, enum service s, uint16_t number, uint64_t instance, void *bus)
{
	struct dispatch *d = &q->dispatch;
	struct worker *w = by_instance(d, instance);

	for (unsigned i = 0; w == NULL && i < WORKERS_MAX; i++) {
		if (d->worker[i].used || (i < d->nworkers && has_jobs(d, i)))
			continue;
		w = &d->worker[i];
		*w = (struct worker){ .used = true, .courier = (uint8_t)courier_of(s), .number = number, .instance = instance };
		if (i >= d->nworkers)
			d->nworkers = i + 1;
	}
	if (w == NULL || w->linked)
		return NULL;
	w->linked = true;
	w->ready = false;
	w->room = 0;
	w->bus = bus;
	untell_all(q, (unsigned)(w - d->worker));
	for (uint32_t i = 0; i < d->njob; i++)
		if (d->job[i]->worker == w - d->worker)
			d->job[i]->listed = false;
	return w;
}

static bool
is_alive(const struct alive *a, uint64_t instance)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->instance[i] == instance)
			return true;
	return false;
}

static void gone(struct qmgr *q, enum courier_kind kind, uint64_t instance);

void
dispatch_unlinked(struct qmgr *q, struct worker *w)
{
	const struct alive *a = &q->dispatch.alive[w->courier];

	w->linked = w->ready = false;
	w->bus = NULL;
	if (a->told && !is_alive(a, w->instance))
		gone(q, (enum courier_kind)w->courier, w->instance); /* its parent told so before the link's end was heard */
}

/* Whoever waited for room is looked at again: the ring was kept as it is, so dispatch_run() finds them. */
void
dispatch_room(struct qmgr *q, struct worker *w, uint32_t jobs)
{
	(void)q;
	w->room = jobs > ROOM_MAX ? ROOM_MAX : jobs;
}

/* Back to its queue as if never given out: the worker has not seen it. */
static void
give_back(struct qmgr *q, struct message *m, unsigned rcpt)
{
	struct recipient *r = &message_rcpts(m)[rcpt];

	rcpt_leave(q, m, rcpt);
	r->state = SPOOL_QUEUED;
	r->attempts--;
	rcpt_enter_queue(q, m, rcpt);
}

/* Those of an instance that were started before us and that no job has claimed. Whose instance it is the queue knows. */
static void
orphans_release(struct qmgr *q, enum courier_kind kind, uint64_t instance, bool gone)
{
	uint32_t group = 0, cursor = 0;
	struct message *m;

	while (group < q->norphans && q->orphans[group].instance != instance)
		group++;
	if (group == q->norphans)
		return;
	while (q->orphans[group].count > 0 && (m = messages_next(&q->messages, &cursor)) != NULL) {
		uint8_t suspicion = m->suspicion < UINT8_MAX ? m->suspicion + 1 : m->suspicion;

		for (unsigned i = 0; i < m->nrcpt; i++) {
			struct recipient *r = &message_rcpts(m)[i];

			if (r->phase != RCPT_ORPHAN || r->next_msg != group || queue_at(&q->queues, r->queue)->courier != kind)
				continue;
			if (gone)
				schedule_interrupted(q, m, i, r->attempts, suspicion);
			else
				give_back(q, m, i);
		}
	}
	qmgr_again(q);
}

/* A job of a qmgr before us: its recipients are taken over, its results will be ours. */
static void
adopt(struct qmgr *q, struct worker *w, const struct msg_running *msg)
{
	struct message *m = message_find(&q->messages, msg->id);
	struct qjob *j = job_new(q, w);
	uint32_t n = 0, *rcpt;

	if (j == NULL)
		return;
	rcpt = xmalloc(msg->rcpts.n / 2 + 4);
	j->number = msg->job;
	j->id = msg->id;
	j->foreign = j->listed = true;
	q->dispatch.nforeign++;
	for (size_t i = 0; m != NULL && i + 8 <= msg->rcpts.n; i += 8) {
		struct recipient *r;
		uint32_t pair[2];

		memcpy(pair, msg->rcpts.p + i, 8);
		if (pair[0] >= m->nrcpt)
			continue;
		r = &message_rcpts(m)[pair[0]];
		/* STARTED was not waited for: a recipient may be running that we never heard of. */
		if ((r->state != SPOOL_QUEUED && r->phase != RCPT_ORPHAN) || pair[1] < r->attempts || pair[1] > UINT16_MAX ||
		    (r->state == SPOOL_QUEUED && pair[1] == r->attempts))
			continue;
		rcpt_leave(q, m, pair[0]);
		commit(q, started, .id = m->id, .rcpt = pair[0], .attempt = pair[1], .worker = w->number, .instance = w->instance);
		rcpt_enter(q, m, pair[0], RCPT_RUNNING);
		r->next_msg = j->slot;
		if (n == 0 && r->queue != QUEUE_ROUTING) {
			j->queue = r->queue;
			take_place(queue_at(&q->queues, r->queue));
		}
		rcpt[n++] = pair[0];
	}
	job_rcpts(j, rcpt, n);
	j->nopen = n;
	free(rcpt);
}

static void
job_never_came(struct qmgr *q, struct qjob *j)
{
	job_apply(q, j, NULL);
	for (uint32_t i = 0; i < j->nrcpt; i++) {
		struct message *m;

		if (job_has(q, j, j->rcpt[i], &m) != NULL)
			give_back(q, m, j->rcpt[i]);
	}
	job_end(q, j);
}

bool
dispatch_running(struct qmgr *q, struct worker *w, const struct msg_running *m)
{
	struct dispatch *d = &q->dispatch;
	struct qjob *j;

	if (w->ready || m->rcpts.n % 8 != 0)
		return false;
	if (m->job != 0) {
		j = job_find(d, w, m->job);
		if (j != NULL)
			j->listed = true;
		else
			adopt(q, w, m);
	}
	if (!m->last)
		return true;
	for (uint32_t i = 0; i < d->njob; i++) {
		j = d->job[i];
		if (j->state == JOB_RUNNING && j->worker == w - d->worker && !j->listed)
			job_never_came(q, j);
	}
	orphans_release(q, (enum courier_kind)w->courier, w->instance, false);
	w->ready = true;
	return true;
}

bool
dispatch_result(struct qmgr *q, struct worker *w, const struct msg_result *m)
{
	struct qjob *j = job_find(&q->dispatch, w, m->job);
	struct msg_result kept = *m;

	if (j == NULL || m->kind > KIND_DAMAGED || m->phase >= PHASE_COUNT)
		return false;
	if (j->state != JOB_RUNNING)
		return true; /* told again after a link was lost: known already */
	if (j->results.n > IPC_PAYLOAD_MAX * 64U)
		return false;
	kept.text = slice_head(m->text, TEXT_MAX);
	msg_result_put(&j->results, &kept);
	return true;
}

/* Who is left without a result at the end of a job that says it is done. */
static void
job_unsaid(struct qmgr *q, struct qjob *j)
{
	const struct attempt_end end = { .kind = OUTCOME_TEMP, .enh = { 4, 3, 0 },
		.text = SLICE_LIT("the delivery process told no result") };

	for (uint32_t i = 0; i < j->nrcpt; i++) {
		struct message *m;
		struct recipient *r = job_has(q, j, j->rcpt[i], &m);

		if (r != NULL)
			schedule_result(q, m, j->rcpt[i], r->attempts, &end);
	}
}

static struct slice
first_text(const struct qjob *j)
{
	struct slice rest = slice_buf(&j->results);
	struct msg_frame f;
	struct msg_result m;

	return msg_frame_next(&rest, &f) && msg_result_get(f.payload, &m) ? m.text : SLICE_LIT("no connection could be made");
}

bool
dispatch_done(struct qmgr *q, struct worker *w, const struct msg_job_done *m)
{
	struct qjob *j = job_find(&q->dispatch, w, m->job);
	struct queue *queue;

	if (j == NULL)
		return false;
	if (j->state != JOB_RUNNING)
		return true;
	queue = j->queue == QUEUE_NOWHERE ? NULL : queue_at(&q->queues, j->queue);
	if (queue != NULL && m->host_down)
		schedule_down(q, queue, first_text(j));
	job_apply(q, j, m);
	job_unsaid(q, j);
	job_end(q, j);
	if (queue != NULL && !m->host_down && j->reached && queue->down_count > 0)
		schedule_up(q, queue);
	return true;
}

static void
job_interrupted(struct qmgr *q, struct qjob *j)
{
	struct message *m = message_find(&q->messages, j->id);
	uint8_t suspicion = m == NULL ? 0 : m->suspicion < UINT8_MAX ? m->suspicion + 1 : m->suspicion;

	job_apply(q, j, NULL); /* what it had said before it died counts */
	for (uint32_t i = 0; i < j->nrcpt; i++) {
		struct recipient *r = job_has(q, j, j->rcpt[i], &m);

		if (r != NULL)
			schedule_interrupted(q, m, j->rcpt[i], r->attempts, suspicion);
	}
	job_end(q, j);
}

static void
gone(struct qmgr *q, enum courier_kind kind, uint64_t instance)
{
	struct dispatch *d = &q->dispatch;
	struct worker *w = by_instance(d, instance);

	for (uint32_t i = 0; w != NULL && i < d->njob; i++)
		if (d->job[i]->state == JOB_RUNNING && d->job[i]->worker == w - d->worker)
			job_interrupted(q, d->job[i]);
	if (w != NULL)
		w->used = false;
	orphans_release(q, kind, instance, true);
}

/*
 * A worker whose link stands lives, whatever an older list says: when the link ends, the list is looked
 * at again.
 */
bool
dispatch_workers(struct qmgr *q, enum service s, struct slice instances)
{
	struct dispatch *d = &q->dispatch;
	enum courier_kind kind = courier_of(s);
	struct alive *a = &d->alive[kind];

	if (instances.n % 8 != 0 || instances.n / 8 > WORKERS_MAX)
		return false;
	free(a->instance);
	a->n = instances.n / 8;
	a->instance = xmalloc(instances.n);
	if (instances.n > 0)
		memcpy(a->instance, instances.p, instances.n);
	a->told = true;
	for (unsigned i = 0; i < d->nworkers; i++)
		if (d->worker[i].used && d->worker[i].courier == kind && !d->worker[i].linked &&
		    !is_alive(a, d->worker[i].instance))
			gone(q, kind, d->worker[i].instance);
	for (uint32_t i = 0; i < q->norphans; i++)
		if (q->orphans[i].count > 0 && by_instance(d, q->orphans[i].instance) == NULL &&
		    !is_alive(a, q->orphans[i].instance))
			orphans_release(q, kind, q->orphans[i].instance, true);
	return true;
}

void
dispatch_forget(struct qmgr *q, struct seg *s)
{
	struct dispatch *d = &q->dispatch;

	for (unsigned i = 0; i < d->nworkers; i++)
		if (seg_told(s, i) && d->worker[i].used && d->worker[i].linked)
			d->bus->forget(&d->worker[i], s->number);
	memset(s->told, 0, sizeof s->told);
}
