/* SPDX-License-Identifier: ISC */
#include "qmgr/rcpt.h"

#include "base/clock.h"
#include "base/log.h"
#include "qmgr/expanded.h"
#include "qmgr/hold.h"
#include "qmgr/large.h"
#include "qmgr/notice.h"
#include "qmgr/queue_policy.h"

#include <assert.h>

void
rcpt_leave(struct qmgr *q, struct message *m, unsigned rcpt)
{
	struct recipient *r = &message_rcpts(m)[rcpt];

	switch ((enum rcpt_phase)r->phase) {
	case RCPT_READY:
		if (!q->replaying)
			ready_remove(
			    &q->queues, &q->messages, queue_at(&q->queues, r->queue), m, rcpt);
		break;
	case RCPT_ROUTING:
		if (!q->replaying)
			ready_remove(
			    &q->queues, &q->messages, queue_at(&q->queues, QUEUE_ROUTING), m, rcpt);
		break;
	case RCPT_ORPHAN:
		assert(r->next_msg < q->norphans && q->orphans[r->next_msg].count > 0);
		q->orphans[r->next_msg].count--;
		break;
	case RCPT_DEFERRED:
	case RCPT_RUNNING:
	case RCPT_ASKED:
	case RCPT_OWED:
	case RCPT_CLOSED:
		break;
	}
	r->phase = RCPT_DEFERRED;
}

void
message_wake_by(struct qmgr *q, struct message *m, uint32_t tick)
{
	if (q->replaying || tick == UINT32_MAX)
		return;
	if (!wheel_is_set(m) || tick < m->wake)
		wheel_set(&q->wheel, m, tick);
}

/* Expiry, or before it the tick at which a delay is told. */
static uint32_t
next_event(struct qmgr *q, const struct message *m, const struct recipient *r)
{
	uint32_t expiry = message_expiry(q, m, r), delay = notice_delay_tick(q, m, r);

	return delay < expiry ? delay : expiry;
}

void
rcpt_enter(struct qmgr *q, struct message *m, unsigned rcpt, enum rcpt_phase phase)
{
	struct recipient *r = &message_rcpts(m)[rcpt];
	uint32_t expiry = UINT32_MAX;

	r->phase = phase & 15U;
	if (q->replaying)
		return;
	if ((r->owed & ~(unsigned)SPOOL_NOTICE_TOLD) != 0)
		notice_owed(q, m);
	switch (phase) {
	case RCPT_READY:
		ready_push(&q->queues, &q->messages, queue_at(&q->queues, r->queue), m, rcpt);
		dispatch_wake(q, queue_at(&q->queues, r->queue));
		expiry = next_event(q, m, r);
		break;
	case RCPT_ROUTING:
		ready_push(&q->queues, &q->messages, queue_at(&q->queues, QUEUE_ROUTING), m, rcpt);
		expiry = next_event(q, m, r);
		break;
	case RCPT_DEFERRED:
		expiry = next_event(q, m, r);
		if (!(m->flags & MESSAGE_HELD) && r->due < expiry)
			expiry = r->due;
		break;
	case RCPT_OWED:
		expiry = r->due;
		break;
	case RCPT_ASKED:
		expiry = next_event(q, m, r);
		break;
	case RCPT_RUNNING:
	case RCPT_ORPHAN:
	case RCPT_CLOSED:
		break;
	}
	message_wake_by(q, m, expiry);
}

void
rcpt_enter_queue(struct qmgr *q, struct message *m, unsigned rcpt)
{
	struct recipient *r = &message_rcpts(m)[rcpt];
	const struct queue *queue = queue_at(&q->queues, r->queue);

	if (m->flags & MESSAGE_HELD) {
		rcpt_enter(q, m, rcpt, RCPT_DEFERRED);
		return;
	}
	rcpt_enter(q, m, rcpt,
	    r->queue == QUEUE_ROUTING || queue == NULL || !queue->defined ? RCPT_ROUTING
									  : RCPT_READY);
}

uint32_t
message_expiry(struct qmgr *q, const struct message *m, const struct recipient *r)
{
	struct queue *queue = queue_at(&q->queues, r->queue);
	const struct scope_values *v = queue_limits(q, queue);
	uint64_t life = m->flags & MESSAGE_NULL_SENDER ? v->life_bounce_ms : v->life_ms;

	if (life == 0)
		return r->attempts == 0 ? UINT32_MAX - 1 : m->arrival;
	return qclock_tick(qclock_of_tick(m->arrival) + life);
}

void
rcpt_join(struct qmgr *q, struct recipient *r, uint32_t number)
{
	struct queue *queue = queue_make(&q->queues, number);

	if (queue == NULL)
		queue = queue_at(&q->queues, number = QUEUE_ROUTING);
	r->queue = number;
	queue->nrcpt++;
	queue->idle = false;
}

void
rcpt_part(struct qmgr *q, struct recipient *r)
{
	struct queue *queue = queue_at(&q->queues, r->queue);

	assert(queue != NULL && queue->nrcpt > 0);
	queue->nrcpt--;
}

void
message_unlink(struct qmgr *q, struct message *m)
{
	struct seg *s = seg_at(&q->segtab, m->seg);

	wheel_unset(&q->wheel, m);
	hold_drop(q, m);
	assert(s->live > 0);
	s->live--;
	s->live_bytes -= message_bytes(m);
	s->done_lsn = q->journal.lsn;
	if (m->flags & MESSAGE_LARGE)
		large_done(q, m->id);
	expanded_forget(q, m);
	message_free(&q->messages, m);
}

static void
message_done(struct qmgr *q, struct message *m)
{
	if (!q->replaying) {
		uint64_t now = clock_wall_ms();

		log_begin(LOG_DONE);
		log_id(m->id);
		log_u64(LOGK_DELAY, now > id_ms(m->id) ? now - id_ms(m->id) : 0);
		log_end();
	}
	dispatch_ended(&q->dispatch, m->id);
	message_unlink(q, m);
}

static void
count_final(struct ledger *l, uint8_t state, uint64_t by)
{
	switch ((enum spool_state)state) {
	case SPOOL_DELIVERED:
		l->delivered += by;
		break;
	case SPOOL_BOUNCED:
		l->bounced += by;
		break;
	case SPOOL_EXPIRED:
		l->expired += by;
		break;
	case SPOOL_DROPPED:
		l->dropped += by;
		break;
	case SPOOL_LOST:
		l->damaged += by;
		break;
	case SPOOL_EXPANDED:
		l->expanded_in += by;
		break;
	case SPOOL_QUEUED:
	case SPOOL_STARTED:
		break;
	}
}

void
rcpt_close(struct qmgr *q, struct message *m, struct recipient *r)
{
	r->phase = RCPT_CLOSED;
	r->owed = 0;
	rcpt_part(q, r);
	r->queue = QUEUE_ROUTING;
	assert(m->nopen > 0);
	if (--m->nopen == 0)
		message_done(q, m);
}

void
rcpt_finish(
    struct qmgr *q, struct message *m, unsigned rcpt, uint8_t state, uint8_t owed, uint64_t due_ms)
{
	struct recipient *r = &message_rcpts(m)[rcpt];

	rcpt_leave(q, m, rcpt);
	r->state = state & 15U;
	q->messages.recipients--;
	count_final(&q->ledger, state, 1);
	if (owed != 0) {
		r->owed = owed & 15U;
		if (due_ms == 0)
			due_ms = (q->replaying ? q->checkpoint_ms : qclock_ms(&q->clock)) +
				 q->conf->failed_keep_ms;
		r->due = qclock_tick(due_ms);
		rcpt_enter(q, m, rcpt, RCPT_OWED);
		return;
	}
	rcpt_close(q, m, r);
}

struct recipient *
rcpt_find(struct qmgr *q, uint64_t id, uint32_t rcpt, struct message **m)
{
	*m = message_find(&q->messages, id);
	return *m == NULL || rcpt >= (*m)->nrcpt ? NULL : &message_rcpts(*m)[rcpt];
}

bool
rcpt_is_queued(const struct recipient *r)
{
	return r->state == SPOOL_QUEUED || r->state == SPOOL_STARTED;
}
