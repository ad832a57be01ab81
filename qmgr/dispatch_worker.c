/* SPDX-License-Identifier: ISC */
#include "qmgr/dispatch_impl.h"

#include "base/clock.h"
#include "base/die.h"
#include "qmgr/schedule.h"
#include "qmgr/state.h"

#include <stdlib.h>

/* Workers come, say what they run, and go. */
enum {
	ROOM_MAX = 100000,
	AHEAD_MAX = 8,
	UNKNOWN_WAIT_MS = 10000,
	UNKNOWN_MAX = 4096,	      /* jobs, of all workers */
	UNKNOWN_RCPTS_MAX = 1024 * 8, /* bytes that RUNNING names: no job of ours has more */
};

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
		s->told[worker / 8] &= (uint8_t) ~(1U << worker % 8);
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
		*w = (struct worker){ .used = true,
			.courier = (uint8_t)courier_of(s),
			.number = number,
			.instance = instance };
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

/* Those of an instance that were started before us and that no job has claimed. Whose instance it
 * is the queue knows. */
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

			if (r->phase != RCPT_ORPHAN || r->next_msg != group ||
			    queue_at(&q->queues, r->queue)->courier != kind)
				continue;
			if (gone)
				schedule_interrupted(q, m, i, r->attempts, suspicion);
			else
				give_back(q, m, i);
		}
	}
	qmgr_again(q);
}

static void
gone(struct qmgr *q, enum courier_kind kind, uint64_t instance)
{
	struct dispatch *d = &q->dispatch;
	struct worker *w = by_instance(d, instance);

	for (uint32_t i = 0; w != NULL && i < d->njob; i++)
		if (d->job[i]->state == JOB_RUNNING && d->job[i]->worker == w - d->worker)
			dispatch_job_interrupted(q, d->job[i]);
	if (w != NULL)
		w->used = false;
	orphans_release(q, kind, instance, true);
}

void
dispatch_unlinked(struct qmgr *q, struct worker *w)
{
	const struct alive *a = &q->dispatch.alive[w->courier];

	w->linked = w->ready = false;
	w->bus = NULL;
	bucket_idle_forget(q, w);
	if (a->told && !is_alive(a, w->instance))
		gone(q, (enum courier_kind)w->courier,
		    w->instance); /* its parent told so before the link's end was heard */
}

/* Whoever waited for room is looked at again: the ring was kept as it is, so dispatch_run() finds
 * them. */
void
dispatch_room(struct qmgr *q, struct worker *w, uint32_t jobs)
{
	(void)q;
	w->room = jobs > ROOM_MAX ? ROOM_MAX : jobs;
}

/*
 * STARTED was not waited for: a recipient may be running that we never heard of, in the attempt
 * that comes next, or in a later one where the journal could not be written for a while. Not far
 * on: attempts decide about waits, and a worker that lies shall not use them up.
 */
static bool
may_adopt(const struct recipient *r, uint32_t attempt)
{
	if (r->state != SPOOL_QUEUED && r->phase != RCPT_ORPHAN)
		return false;
	if (attempt < r->attempts || attempt > UINT16_MAX || attempt - r->attempts > AHEAD_MAX)
		return false;
	return r->state != SPOOL_QUEUED || attempt > r->attempts;
}

/* Its recipients are the job's, as far as the queue would have given them to it. */
static void
take_over(struct qmgr *q, struct qjob *j, struct message *m, struct slice pairs)
{
	const struct worker *w = &q->dispatch.worker[j->worker];
	uint32_t n = 0, *rcpt = xmalloc(pairs.n / 2 + 4);

	for (size_t i = 0; i + 8 <= pairs.n; i += 8) {
		struct recipient *r;
		uint32_t pair[2];

		memcpy(pair, pairs.p + i, 8);
		if (pair[0] >= m->nrcpt)
			continue;
		r = &message_rcpts(m)[pair[0]];
		if (!may_adopt(r, pair[1]))
			continue;
		rcpt_leave(q, m, pair[0]);
		commit(q, started, .id = m->id, .rcpt = pair[0], .attempt = pair[1],
		    .worker = w->number, .instance = w->instance);
		rcpt_enter(q, m, pair[0], RCPT_RUNNING);
		r->next_msg = j->slot;
		if (n == 0 && r->queue != QUEUE_ROUTING) {
			j->queue = r->queue;
			dispatch_take_place(queue_at(&q->queues, r->queue));
		}
		rcpt[n++] = pair[0];
	}
	dispatch_job_rcpts(j, rcpt, n);
	j->nopen = n;
	free(rcpt);
}

void
dispatch_ended(struct dispatch *d, uint64_t id)
{
	d->ended[d->nended++ % ENDED_KEPT] = id;
}

static bool
has_ended(const struct dispatch *d, uint64_t id)
{
	for (unsigned i = 0; i < ENDED_KEPT; i++)
		if (d->ended[i] == id)
			return true;
	return false;
}

/*
 * A job of a qmgr before us. Its results will be ours; where its message is not filed yet (the one
 * before us had read it, and died before the journal was written), they wait for that.
 */
static void
adopt(struct qmgr *q, struct worker *w, const struct msg_running *msg)
{
	struct message *m = message_find(&q->messages, msg->id);
	struct qjob *j = dispatch_job_new(q, w);

	if (j == NULL)
		return;
	j->number = msg->job;
	j->id = msg->id;
	j->foreign = j->listed = true;
	j->partial = true; /* we do not know */
	q->dispatch.nforeign++;
	if (m != NULL) {
		take_over(q, j, m, msg->rcpts);
		return;
	}
	/*
	 * Its results are known, and only the word of that was lost: the job ends when it says so.
	 * What a worker can make us remember is bounded; beyond it the job's results are nobody's.
	 */
	if (has_ended(&q->dispatch, msg->id) || q->dispatch.nunknown >= UNKNOWN_MAX ||
	    msg->rcpts.n > UNKNOWN_RCPTS_MAX)
		return;
	j->unknown = true;
	j->since_ms = clock_mono_ms();
	q->dispatch.nunknown++;
	buf_put(&j->pairs, msg->rcpts.p, msg->rcpts.n);
}

void
dispatch_filed(struct qmgr *q, uint64_t id)
{
	struct dispatch *d = &q->dispatch;

	for (uint32_t i = 0; d->nunknown > 0 && i < d->njob; i++) {
		struct message *m = message_find(&q->messages, id);
		struct qjob *j = d->job[i];

		if (m == NULL)
			return;
		if (j->state != JOB_RUNNING || !j->unknown || j->id != id)
			continue;
		j->unknown = false;
		d->nunknown--;
		take_over(q, j, m, slice_buf(&j->pairs));
		buf_reset(&j->pairs);
		if (j->over)
			dispatch_job_over(q, j, NULL);
	}
}

void
dispatch_unknown_tick(struct qmgr *q)
{
	struct dispatch *d = &q->dispatch;
	uint64_t now = clock_mono_ms();

	for (uint32_t i = 0; d->nunknown > 0 && i < d->njob; i++) {
		struct qjob *j = d->job[i];

		if (j->state == JOB_RUNNING && j->over && now - j->since_ms >= UNKNOWN_WAIT_MS)
			dispatch_job_over(q, j, NULL);
	}
}

static void
job_never_came(struct qmgr *q, struct qjob *j)
{
	dispatch_job_apply(q, j, NULL);
	for (uint32_t i = 0; i < j->nrcpt; i++) {
		struct message *m;

		if (dispatch_job_has(q, j, j->rcpt[i], &m) != NULL)
			give_back(q, m, j->rcpt[i]);
	}
	dispatch_job_end(q, j);
}

bool
dispatch_running(struct qmgr *q, struct worker *w, const struct msg_running *m)
{
	struct dispatch *d = &q->dispatch;
	struct qjob *j;

	if (w->ready || m->rcpts.n % 8 != 0)
		return false;
	if (m->job != 0) {
		j = dispatch_job_find(d, w, m->job);
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

/*
 * A worker whose link stands lives, whatever an older list says: when the link ends, the list is
 * looked at again.
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
