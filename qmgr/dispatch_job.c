/* SPDX-License-Identifier: ISC */
#include "qmgr/dispatch_impl.h"

#include "base/die.h"
#include "base/outcome.h"
#include "qmgr/damage.h"
#include "qmgr/resolve.h"
#include "qmgr/schedule.h"
#include "qmgr/state.h"

#include <assert.h>
#include <stdlib.h>

/* A job's life: made, told results, done or interrupted, durable. */
enum {
	KIND_DAMAGED = 3, /* RESULT: the record failed its checksum */
	TEXT_MAX = 1900,  /* of a reply, as kept */
	TOGETHER = 64,	  /* results that wait for a sync; more are not put off */
};

static void
fini(struct qjob *j)
{
	if (j->nrcpt > 1)
		free(j->rcpt);
	j->rcpt = NULL;
	j->nrcpt = 0;
}

void
dispatch_job_free(struct qjob *j)
{
	fini(j);
	buf_fini(&j->results);
	buf_fini(&j->pairs);
	free(j);
}

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
	fini(j);
	j->state = JOB_FREE;
	d->free[d->nfree++] = j->slot;
}

struct qjob *
dispatch_job_new(struct qmgr *q, struct worker *w)
{
	struct dispatch *d = &q->dispatch;
	struct qjob *j;
	struct buf results, pairs;

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
	pairs = j->pairs;
	*j = (struct qjob){ .slot = j->slot,
		.state = JOB_RUNNING,
		.queue = QUEUE_NOWHERE,
		.worker = (uint16_t)(w - d->worker),
		.results = results,
		.pairs = pairs,
		.q = q };
	buf_reset(&j->results);
	buf_reset(&j->pairs);
	j->wait = (struct journal_wait){ .durable = job_durable, .arg = j };
	d->window++;
	d->running++;
	w->njobs++;
	if (d->window > q->duplicates_bound)
		q->duplicates_bound = d->window;
	return j;
}

struct qjob *
dispatch_job_find(struct dispatch *d, const struct worker *w, uint64_t number)
{
	uint32_t slot = (uint32_t)(number & (JOBS_MAX - 1));
	uint16_t at = (uint16_t)(w - d->worker);

	if (slot < d->njob && d->job[slot]->state != JOB_FREE && d->job[slot]->number == number)
		return d->job[slot]->worker == at ? d->job[slot] : NULL;
	for (uint32_t i = 0; d->nforeign > 0 && i < d->njob; i++)
		if (d->job[i]->foreign && d->job[i]->state != JOB_FREE &&
		    d->job[i]->number == number && d->job[i]->worker == at)
			return d->job[i];
	return NULL;
}

void
dispatch_job_rcpts(struct qjob *j, const uint32_t *rcpt, uint32_t n)
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

struct recipient *
dispatch_job_has(struct qmgr *q, const struct qjob *j, uint32_t rcpt, struct message **m)
{
	struct recipient *r;

	*m = message_find(&q->messages, j->id);
	if (*m == NULL || rcpt >= (*m)->nrcpt)
		return NULL;
	r = &message_rcpts(*m)[rcpt];
	return r->phase == RCPT_RUNNING && r->next_msg == j->slot ? r : NULL;
}

static void
attempt_from(const struct qjob *j, const struct msg_result *m, const struct msg_job_done *done,
    struct attempt_end *end)
{
	*end = (struct attempt_end){ .kind = m->kind,
		.code = m->code,
		.enh = { m->enh_class, m->enh_subject, m->enh_detail },
		.phase = m->phase,
		.text = m->text,
		.sent_ms = j->sent_ms,
		.dsn = m->dsn != 0 };
	if (done == NULL)
		return;
	end->host = slice_head(done->host, ROUTE_TEXT_MAX);
	end->addr = done->addr.n == 16 ? done->addr : SLICE_NONE;
	end->port = done->port;
	end->conn_use = done->conn_use;
	end->connect_ms = done->connect_ms;
}

void
dispatch_job_apply(struct qmgr *q, struct qjob *j, const struct msg_job_done *done)
{
	struct slice rest = slice_buf(&j->results);
	struct msg_frame f;
	struct msg_result res;

	while (rest.n > 0 && msg_frame_next(&rest, &f) && msg_result_get(f.payload, &res)) {
		struct attempt_end end;
		struct message *m;
		struct recipient *r = dispatch_job_has(q, j, res.rcpt, &m);

		if (r == NULL || res.attempt != r->attempts)
			continue; /* said before: results are keyed (rule 15) */
		attempt_from(j, &res, done, &end);
		j->reached |= end.kind == OUTCOME_OK || end.phase > PHASE_CONNECT;
		if (res.kind == KIND_DAMAGED)
			end.kind = OUTCOME_TEMP; /* until we have seen it ourselves */
		/* "Takes no mail at all" (RFC 7504), said by some of its hosts, is no word of the others. */
		if (j->partial && end.kind == OUTCOME_PERM && end.phase >= PHASE_CONNECT &&
		    end.phase <= PHASE_EHLO) {
			end.kind = OUTCOME_TEMP;
			end.enh[0] = 4;
		}
		schedule_result(q, m, res.rcpt, res.attempt, &end);
		if (res.kind == KIND_DAMAGED && (m = message_find(&q->messages, j->id)) != NULL)
			damage_look(q, m);
	}
	buf_reset(&j->results);
}

void
dispatch_job_end(struct qmgr *q, struct qjob *j)
{
	struct dispatch *d = &q->dispatch;
	struct worker *w = &d->worker[j->worker];
	struct queue *queue = j->queue == QUEUE_NOWHERE ? NULL : queue_at(&q->queues, j->queue);

	assert(j->state == JOB_RUNNING && w->njobs > 0);
	j->state = JOB_ENDED;
	d->nunknown -= j->unknown;
	j->unknown = false;
	d->running--;
	d->waiting++;
	w->njobs--;
	if (j->alone)
		w->alone = false;
	if (queue != NULL) {
		queue->njobs--;
		dispatch_free_place(q, queue);
		dispatch_wake(q, queue);
	}
	journal_after(&q->journal, &j->wait,
	    d->ending || d->waiting >= TOGETHER || d->waiting >= q->conf->jobs_max / 2
		? JOURNAL_NOW
		: JOURNAL_GROUP);
}

bool
dispatch_result(struct qmgr *q, struct worker *w, const struct msg_result *m)
{
	struct qjob *j = dispatch_job_find(&q->dispatch, w, m->job);
	struct msg_result kept = *m;

	if (j == NULL || m->kind > KIND_DAMAGED || m->phase >= PHASE_COUNT)
		return false;
	if (j->state != JOB_RUNNING || j->over)
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
	const struct attempt_end end = { .kind = OUTCOME_TEMP,
		.enh = { 4, 3, 0 },
		.text = SLICE_LIT("the delivery process told no result") };

	for (uint32_t i = 0; i < j->nrcpt; i++) {
		struct message *m;
		struct recipient *r = dispatch_job_has(q, j, j->rcpt[i], &m);

		if (r != NULL)
			schedule_result(q, m, j->rcpt[i], r->attempts, &end);
	}
}

void
dispatch_job_over(struct qmgr *q, struct qjob *j, const struct msg_job_done *done)
{
	dispatch_job_apply(q, j, done);
	job_unsaid(q, j);
	dispatch_job_end(q, j);
}

static struct slice
first_text(const struct qjob *j)
{
	struct slice rest = slice_buf(&j->results);
	struct msg_frame f;
	struct msg_result m;

	return msg_frame_next(&rest, &f) && msg_result_get(f.payload, &m)
		   ? m.text
		   : SLICE_LIT("no connection could be made");
}

/*
 * Hosts that failed rest, whoever's mail is for them. The queue as a whole waits where none is left
 * to be tried.
 */
static void
hosts_told(struct qmgr *q, struct queue *queue, const struct qjob *j, const struct msg_job_done *m)
{
	struct slice rest = m->failed;
	struct job_failed f;

	while (job_failed_next(&rest, &f) == 1)
		resolve_failed(q, queue, &f);
	if (!m->host_down) {
		if (m->addr.n == 16)
			resolve_answered(q, queue, (const uint8_t *)m->addr.p, m->port);
	} else if (m->failed.n == 0 || !resolve_has_awake(q, queue))
		schedule_down(q, queue, first_text(j));
}

bool
dispatch_done(struct qmgr *q, struct worker *w, const struct msg_job_done *m)
{
	struct qjob *j = dispatch_job_find(&q->dispatch, w, m->job);
	struct queue *queue;

	if (j == NULL)
		return false;
	if (j->state != JOB_RUNNING)
		return true;
	if (j->unknown) {
		j->over = true;
		return true;
	}
	queue = j->queue == QUEUE_NOWHERE ? NULL : queue_at(&q->queues, j->queue);
	if (queue != NULL) {
		hosts_told(q, queue, j, m);
		bucket_told(q, queue, j, m);
	}
	dispatch_job_over(q, j, m);
	if (queue != NULL && !m->host_down && j->reached &&
	    (queue->down_count > 0 || queue->probing))
		schedule_up(q, queue);
	return true;
}

void
dispatch_job_interrupted(struct qmgr *q, struct qjob *j)
{
	struct message *m = message_find(&q->messages, j->id);
	uint8_t suspicion = m == NULL		       ? 0
			    : m->suspicion < UINT8_MAX ? m->suspicion + 1
						       : m->suspicion;

	if (j->unknown) {
		j->over = true;
		return;
	}
	dispatch_job_apply(q, j, NULL); /* what it had said before it died counts */
	for (uint32_t i = 0; i < j->nrcpt; i++) {
		struct recipient *r = dispatch_job_has(q, j, j->rcpt[i], &m);

		if (r != NULL)
			schedule_interrupted(q, m, j->rcpt[i], r->attempts, suspicion);
	}
	dispatch_job_end(q, j);
}
