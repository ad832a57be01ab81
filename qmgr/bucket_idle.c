/* SPDX-License-Identifier: ISC */
/*
 * Connections without a job. deliver keeps one open for some seconds behind a job, for the next: to
 * the receiver it is a connection still, so it counts in the buckets of the queue whose job was the
 * last on it. A job that will find one there needs no place and no rate for another.
 *
 * deliver tells, for queues whose jobs ask it to (job_limits.tell): with JOB_DONE that it kept one,
 * that the job had taken one of its queue's, how many it opened; by CONN_GONE that one which it
 * kept is no more. It is asked to close one by CONN_CLOSE. Our book may lag behind, never below the
 * truth: one that is being taken counts until the job is done.
 */
#include "qmgr/bucket.h"
#include "qmgr/queue_policy.h"

#include "base/die.h"

#include <stdlib.h>

static struct bucket_idle *
with(const struct queue *queue, unsigned worker)
{
	for (unsigned i = 0; i < queue->bucket.nidle; i++)
		if (queue->bucket.idle[i].worker == worker)
			return &queue->bucket.idle[i];
	return NULL;
}

static struct bucket_idle *
made(struct queue *queue, unsigned worker)
{
	struct bucket_member *m = &queue->bucket;
	struct bucket_idle *i = with(queue, worker);

	if (i != NULL)
		return i;
	m->idle = xrealloc(m->idle, (m->nidle + 1) * sizeof *m->idle);
	m->idle[m->nidle] = (struct bucket_idle){ .worker = (uint16_t)worker };
	return &m->idle[m->nidle++];
}

struct worker *
bucket_idle_worker(struct qmgr *q, const struct queue *queue)
{
	/* Of several sources the next job's may be another. */
	if (queue->bucket.nidle == 0 || queue_nsources(q, queue) > 1)
		return NULL;
	for (unsigned i = 0; i < queue->bucket.nidle; i++) {
		const struct bucket_idle *at = &queue->bucket.idle[i];
		struct worker *w = &q->dispatch.worker[at->worker];

		if (at->count > at->closing && dispatch_has_room(w, queue))
			return w;
	}
	return NULL;
}

void
bucket_idle_borrow(struct queue *queue, struct qjob *j)
{
	struct bucket_idle *at = with(queue, j->worker);

	if (queue_nsources(j->q, queue) > 1 || at == NULL || at->count <= at->closing)
		return;
	/* It counts as the job's from here on, whose own place was counted just now. */
	j->borrowed = true;
	at->count--;
	for (unsigned i = 0; i < queue->bucket.nshare; i++)
		queue->bucket.share[i].b->idle--;
}

void
bucket_idle_told(
    struct qmgr *q, struct queue *queue, const struct qjob *j, const struct msg_job_done *m)
{
	struct bucket_idle *at;
	bool others = false;

	if (!m->kept && !m->took && !j->borrowed)
		return;
	at = made(queue, j->worker);
	if (m->took && !j->borrowed && at->count > 0) {
		at->count--; /* one that we had not heard of when the job went out */
		if (at->closing > at->count)
			at->closing = at->count;
		bucket_idle_change(q, queue, -1);
	} else if (!m->took && j->borrowed && at->owed > 0) {
		at->owed--; /* it had gone before the job came */
	} else if (!m->took && j->borrowed) {
		at->count++; /* it is there still: another queue's was taken */
		bucket_idle_change(q, queue, 1);
	}
	if (!m->kept)
		return;
	at->count++;
	at->closing += m->kept > 1;
	bucket_idle_change(q, queue, 1);
	for (unsigned i = 0; i < queue->bucket.nshare; i++) {
		const struct bucket *b = queue->bucket.share[i].b;

		/* j is still among its jobs */
		others |= b->nline > 0 && b->rates.connections != 0 &&
			  b->jobs - 1 + b->idle >= b->rates.connections;
	}
	if (others && m->kept == 1)
		bucket_idle_close(q, queue);
}

void
bucket_idle_gone(struct qmgr *q, struct worker *w, uint32_t number)
{
	struct queue *queue = queue_at(&q->queues, number);
	struct bucket_idle *at =
	    queue == NULL ? NULL : with(queue, (unsigned)(w - q->dispatch.worker));

	if (at == NULL)
		return;
	if (at->count == 0) {
		at->owed++;
		return;
	}
	at->count--;
	if (at->closing > 0)
		at->closing--;
	bucket_idle_change(q, queue, -1);
}

void
bucket_idle_forget(struct qmgr *q, const struct worker *w)
{
	unsigned number = (unsigned)(w - q->dispatch.worker);

	for (uint32_t i = 0; i < q->queues.n; i++) {
		struct queue *queue = q->queues.at[i];
		struct bucket_idle *at = queue == NULL ? NULL : with(queue, number);
		int count;

		if (at == NULL)
			continue;
		count = (int)at->count;
		*at = queue->bucket.idle[--queue->bucket.nidle];
		if (count > 0)
			bucket_idle_change(q, queue, -count);
	}
}

void
bucket_idle_close(struct qmgr *q, struct queue *queue)
{
	for (unsigned i = 0; queue != NULL && i < queue->bucket.nidle; i++) {
		struct bucket_idle *at = &queue->bucket.idle[i];
		struct worker *w = &q->dispatch.worker[at->worker];

		if (at->count <= at->closing || !w->used || !w->linked)
			continue;
		at->closing++;
		q->dispatch.bus->close(w, queue->number);
		return;
	}
}
