/* SPDX-License-Identifier: ISC */
/* The journal records about queues, segments and the journal itself. */
#include "base/clock.h"
#include "qmgr/large.h"
#include "qmgr/state.h"
#include "qmgr/suspend.h"

#include <stdlib.h>

/* ---- queues ---- */

void
state_queue(struct qmgr *q, const struct journal_queue *r, struct journal_place at)
{
	struct queue *queue = queue_make(&q->queues, r->queue);

	if (queue == NULL || r->queue == QUEUE_ROUTING)
		return;
	queue->base_file = at.file;
	if (queue->defined && queue->class == r->class && slice_eq(queue_route(queue), r->route))
		return; /* said again by cleaning */
	queue_define(&q->queues, queue, r->class, r->route);
}

void
state_queue_freed(struct qmgr *q, const struct journal_queue_freed *r, struct journal_place at)
{
	struct queue *queue = queue_at(&q->queues, r->queue);

	(void)at;
	if (queue == NULL || queue->number == QUEUE_ROUTING || queue->nrcpt > 0)
		return;
	q->nsuspended -= queue->suspended;
	suspend_changed(q);
	queue_free(&q->queues, queue);
}

void
state_suspend(struct qmgr *q, const struct journal_suspend *r, struct journal_place at)
{
	struct queue *queue = queue_at(&q->queues, r->queue);

	if (queue == NULL)
		return;
	free(queue->suspend_holder);
	free(queue->suspend_reason);
	q->nsuspended += !queue->suspended;
	queue->suspended = true;
	queue->suspend_holder = slice_dup(r->holder);
	queue->suspend_reason = slice_dup(r->reason);
	queue->suspend_wall_ms = r->wall_ms;
	suspend_changed(q);
	(void)at; /* cleaning writes it again with its QUEUE */
}

void
state_resume(struct qmgr *q, const struct journal_resume *r, struct journal_place at)
{
	struct queue *queue = queue_at(&q->queues, r->queue);

	(void)at;
	if (queue == NULL)
		return;
	q->nsuspended -= queue->suspended;
	queue->suspended = false;
	suspend_changed(q);
}

/* ---- segments ---- */

void
state_lease(struct qmgr *q, const struct journal_lease *r, struct journal_place at)
{
	struct seg *s = seg_make(&q->segtab, r->segment);

	s->class = r->class;
	s->version = r->version;
	s->worker = r->worker;
	s->instance = r->instance;
	s->floor_ms = r->floor_ms;
	s->seed = r->seed;
	s->base_file = at.file;
	if (s->state == SEG_UNKNOWN)
		s->state = SEG_MAKING;
	if (r->floor_ms > q->segtab.floor_ms)
		q->segtab.floor_ms = r->floor_ms;
}

void
state_segment(struct qmgr *q, const struct journal_segment *r, struct journal_place at)
{
	struct seg *s = seg_make(&q->segtab, r->segment);
	const struct journal_lease lease = { .segment = r->segment,
		.class = r->class,
		.version = r->version,
		.worker = r->worker,
		.instance = r->instance,
		.floor_ms = r->floor_ms,
		.seed = r->seed };

	if (!q->replaying) {
		s->base_file = at.file;
		return;
	}
	state_lease(q, &lease, at);
	s->state = r->state == JOURNAL_SEGMENT_ENDED ? SEG_ENDED : SEG_LIVE;
	s->filed = r->filed;
	s->durable = r->durable;
	s->sealed = r->sealed == JOURNAL_NONE ? SEG_OPEN_END : r->sealed;
}

void
state_seal(struct qmgr *q, const struct journal_seal *r, struct journal_place at)
{
	struct seg *s = seg_find(&q->segtab, r->segment);

	(void)at;
	if (s != NULL)
		s->sealed = r->offset;
}

void
state_segment_end(struct qmgr *q, const struct journal_segment_end *r, struct journal_place at)
{
	struct seg *s = seg_find(&q->segtab, r->segment);

	(void)at;
	if (s == NULL)
		return;
	s->state = SEG_ENDED;
	if (r->offset > s->filed)
		s->filed = r->offset;
	s->done_lsn = q->journal.lsn;
}

void
state_segment_freed(struct qmgr *q, const struct journal_segment_freed *r, struct journal_place at)
{
	struct seg *s =
	    q->replaying ? seg_make(&q->segtab, r->segment) : seg_find(&q->segtab, r->segment);

	(void)at;
	if (s != NULL)
		s->state = SEG_FREED;
}

void
state_damaged(struct qmgr *q, const struct journal_damaged *r, struct journal_place at)
{
	struct seg *s = seg_make(&q->segtab, r->segment);

	(void)at;
	q->damaged_ranges++;
	larges_damaged(q, s->instance);
	if (r->offset + r->length > s->filed)
		s->filed = r->offset + r->length;
}

/* ---- the journal's own ---- */

void
state_clock(struct qmgr *q, const struct journal_clock *r, struct journal_place at)
{
	(void)at;
	if (r->clock_ms >= q->checkpoint_ms) {
		q->checkpoint_ms = r->clock_ms;
		q->checkpoint_wall_ms = r->wall_ms;
	}
}

void
state_file_start(struct qmgr *q, const struct journal_file_start *r, struct journal_place at)
{
	state_clock(q, &(const struct journal_clock){ r->clock_ms, r->wall_ms }, at);
}

void
state_oldest(struct qmgr *q, const struct journal_oldest *r, struct journal_place at)
{
	(void)q;
	(void)r;
	(void)at;
}
