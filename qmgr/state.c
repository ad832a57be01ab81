/* SPDX-License-Identifier: ISC */
#include "qmgr/state.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "qmgr/large.h"
#include "qmgr/notice.h"
#include "qmgr/expand.h"
#include "qmgr/expanded.h"
#include "qmgr/schedule.h"
#include "spool/envelope.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* ---- recipients ---- */

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

static void
queue_ref(struct qmgr *q, struct recipient *r, uint32_t number)
{
	struct queue *queue = queue_make(&q->queues, number);

	if (queue == NULL)
		queue = queue_at(&q->queues, number = QUEUE_ROUTING);
	r->queue = number;
	queue->nrcpt++;
	queue->idle = false;
}

static void
queue_unref(struct qmgr *q, struct recipient *r)
{
	struct queue *queue = queue_at(&q->queues, r->queue);

	assert(queue != NULL && queue->nrcpt > 0);
	queue->nrcpt--;
}

/* ---- messages ---- */

static void
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

static void
rcpt_close(struct qmgr *q, struct message *m, struct recipient *r)
{
	r->phase = RCPT_CLOSED;
	r->owed = 0;
	queue_unref(q, r);
	r->queue = QUEUE_ROUTING;
	assert(m->nopen > 0);
	if (--m->nopen == 0)
		message_done(q, m);
}

/* The recipient ends as `state`; what is owed is settled by rule at due_ms (0: now and failed_keep). The
 * message may be gone afterwards. */
static void
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

static struct recipient *
rcpt_find(struct qmgr *q, uint64_t id, uint32_t rcpt, struct message **m)
{
	*m = message_find(&q->messages, id);
	return *m == NULL || rcpt >= (*m)->nrcpt ? NULL : &message_rcpts(*m)[rcpt];
}

static bool
is_queued(const struct recipient *r)
{
	return r->state == SPOOL_QUEUED || r->state == SPOOL_STARTED;
}

static struct message *
filed_common(struct qmgr *q, const struct journal_filed *r, struct journal_place at)
{
	struct seg *s = seg_make(&q->segtab, r->segment);
	struct message *m;

	if (r->id == 0 || r->nrcpt == 0 || r->nrcpt > MESSAGE_MORE_MAX || r->total == 0)
		return NULL;
	m = message_new(&q->messages, r->id, r->nrcpt);
	m->seg = s->slot;
	m->at64 = (uint32_t)(r->offset / 64);
	m->len64 = (uint32_t)(r->total / 64);
	m->arrival = (uint32_t)(r->arrival_ms / QCLOCK_TICK_MS);
	m->base_file = at.file;
	m->flags = (r->flags & JOURNAL_NULL_SENDER ? MESSAGE_NULL_SENDER : 0) |
		   (r->flags & JOURNAL_IS_NOTICE ? MESSAGE_NOTICE : 0) |
		   ((int8_t)r->priority > 0 ? MESSAGE_URGENT : 0) |
		   (q->replaying ? MESSAGE_NO_TIMER : 0) | (r->large != 0 ? MESSAGE_LARGE : 0);
	if (r->large != 0)
		large_filed(q, r->large, r->id);
	m->nopen = m->nrcpt;
	s->live++;
	s->live_bytes += r->total;
	if (r->offset + r->total > s->filed)
		s->filed = r->offset + r->total;
	if (id_ms(r->id) > q->segtab.floor_ms)
		q->segtab.floor_ms = id_ms(r->id);
	return m;
}

void
state_filed(struct qmgr *q, const struct journal_filed *r, struct journal_place at)
{
	struct message *m;
	struct journal_rcpt e;
	struct slice rest = r->rcpts;

	if (message_find(&q->messages, r->id) != NULL || (m = filed_common(q, r, at)) == NULL)
		return;
	for (unsigned i = 0; i < m->nrcpt; i++) {
		struct recipient *to = &message_rcpts(m)[i];

		if (journal_rcpt_next(&rest, &e) <= 0)
			e = (struct journal_rcpt){ 0 };
		to->state = SPOOL_QUEUED;
		to->notify = e.notify & 15U;
		to->due = m->arrival;
		queue_ref(q, to, e.queue);
	}
	q->messages.recipients += m->nrcpt;
	if (m->flags & MESSAGE_NOTICE)
		q->ledger.notices += m->nrcpt;
	else
		q->ledger.accepted += m->nrcpt;
	if (r->origin != 0)
		state_settled(q,
		    &(const struct journal_settled){
			.id = r->origin, .notice = r->notice, .rcpts = r->settled },
		    at);
}

/* Which record holds the entry of recipient i: a long MESSAGE goes on in MORE. */
static struct journal_place
entry_place(const struct partial *p, uint32_t i, struct journal_place at)
{
	for (size_t k = p->nchunk; k > 0; k--)
		if (i >= p->chunk[k - 1].first)
			return p->chunk[k - 1].at;
	return at;
}

/* The number of the first entry in the record that holds that of i; does i begin it? */
static uint32_t
entry_first(const struct partial *p, uint32_t i)
{
	for (size_t k = p->nchunk; k > 0; k--)
		if (i >= p->chunk[k - 1].first)
			return p->chunk[k - 1].first;
	return 0;
}

static bool
entry_begins(const struct partial *p, uint32_t i)
{
	return p->nchunk > 0 && entry_first(p, i) == i;
}

static void
rcpt_restore(struct qmgr *q, struct message *m, unsigned i, const struct journal_rcpt *e,
    struct journal_place at)
{
	struct recipient *to = &message_rcpts(m)[i];

	to->state = (e->state == 0 ? SPOOL_QUEUED : e->state) & 15U;
	to->notify = e->notify & 15U;
	to->owed = e->owed & 15U;
	to->attempts = (uint16_t)e->attempts;
	to->due = qclock_tick(e->due_ms);
	if (e->code != 0 || e->reply.n > 0 || e->host.n > 0) {
		to->reply_file = at.file;
		to->reply_at = at.at;
	}
	queue_ref(q, to, e->queue);
	if (is_queued(to)) {
		q->messages.recipients++;
		to->state = SPOOL_QUEUED;
		to->phase = RCPT_DEFERRED;
	} else if ((to->owed & ~(unsigned)SPOOL_NOTICE_TOLD) != 0) {
		to->phase = RCPT_OWED;
	} else {
		queue_unref(q, to);
		to->queue = QUEUE_ROUTING;
		to->phase = RCPT_CLOSED;
		m->nopen--;
	}
}

static uint32_t
count_entries(struct slice rest)
{
	struct journal_rcpt e;
	uint32_t n = 0;

	while (journal_rcpt_next(&rest, &e) > 0)
		n++;
	return n;
}

void
partial_drop(struct qmgr *q)
{
	struct partial *p = &q->partial;

	buf_fini(&p->rcpts);
	buf_fini(&p->texts);
	free(p->chunk);
	*p = (struct partial){ 0 };
}

static void
partial_add(struct qmgr *q, uint32_t first, struct slice rcpts, struct journal_place at)
{
	struct partial *p = &q->partial;

	p->chunk = xrealloc(p->chunk, (p->nchunk + 1) * sizeof *p->chunk);
	p->chunk[p->nchunk].first = first;
	p->chunk[p->nchunk++].at = at;
	p->entries += count_entries(rcpts);
	buf_slice(&p->rcpts, rcpts);
}

/* The first part of a long one: it takes effect with the last. */
static void
partial_begin(struct qmgr *q, const struct journal_message *r, struct journal_place at)
{
	struct partial *p = &q->partial;

	partial_drop(q);
	p->head = *r;
	buf_slice(&p->texts, r->holder);
	buf_slice(&p->texts, r->reason);
	p->head.holder = slice_of(p->texts.p, r->holder.n);
	p->head.reason = slice_of(p->texts.p + r->holder.n, r->reason.n);
	partial_add(q, 0, r->rcpts, at);
}

static void expansion_apply(struct qmgr *q, const struct journal_expanded *r,
    const struct partial *where, struct journal_place at);

void
state_more(struct qmgr *q, const struct journal_more *r, struct journal_place at)
{
	struct partial *p = &q->partial;

	if (p->nchunk == 0 || r->id != p->head.id || r->first != p->entries) {
		partial_drop(q);
		return;
	}
	partial_add(q, r->first, r->rcpts, at);
	if (p->entries < p->head.nrcpt)
		return;
	p->head.rcpts = p->expansion.rcpts = slice_buf(&p->rcpts);
	if (p->expanded)
		expansion_apply(q, &p->expansion, p, p->chunk[0].at);
	else
		state_message(q, &p->head, p->chunk[0].at);
	partial_drop(q);
}

/* A snapshot: what was known of the message is replaced, and nothing is counted. */
void
state_message(struct qmgr *q, const struct journal_message *r, struct journal_place at)
{
	const struct journal_filed head = { .id = r->id,
		.segment = r->segment,
		.offset = r->offset,
		.total = r->total,
		.arrival_ms = r->arrival_ms,
		.flags = r->flags,
		.priority = r->priority,
		.nrcpt = r->nrcpt,
		.large = r->large };
	struct message *m = message_find(&q->messages, r->id);
	struct slice rest = r->rcpts;
	struct journal_rcpt e;

	if (!q->replaying) { /* cleaning wrote it: what is in memory is what it says */
		if (m != NULL)
			m->base_file = at.file;
		return;
	}
	if (q->partial.nchunk == 0 && count_entries(r->rcpts) < r->nrcpt) {
		partial_begin(q, r, at);
		return;
	}
	if (m != NULL) {
		for (unsigned i = 0; i < m->nrcpt; i++) {
			struct recipient *to = &message_rcpts(m)[i];

			if (to->phase == RCPT_CLOSED) /* has left its queue, and counts no more */
				continue;
			rcpt_leave(q, m, i);
			q->messages.recipients -= is_queued(to) ? 1 : 0;
			queue_unref(q, to);
		}
		message_unlink(q, m);
	}
	m = filed_common(q, &head, at);
	if (m == NULL)
		return;
	m->suspicion = r->suspicion;
	m->base_file = at.file;
	for (unsigned i = 0; i < m->nrcpt; i++) {
		if (journal_rcpt_next(&rest, &e) <= 0)
			e = (struct journal_rcpt){ 0 };
		rcpt_restore(q, m, i, &e, entry_place(&q->partial, i, at));
		if (e.address.p == NULL)
			continue;
		/* Each record of the snapshot is noted once, by the first such recipient in it. */
		if (i == 0 || !expanded_has(q, m, i - 1) || entry_begins(&q->partial, i))
			expanded_note_in(
			    q, m, i, entry_first(&q->partial, i), entry_place(&q->partial, i, at));
	}
	if (r->holder.n > 0) {
		m->flags |= MESSAGE_HELD;
		hold_put(q, m, r->holder, r->reason, r->held_wall_ms);
	}
	if (m->nopen == 0)
		message_unlink(q, m);
}

static uint32_t
orphans_of(struct qmgr *q, uint64_t instance)
{
	for (uint32_t i = 0; i < q->norphans; i++)
		if (q->orphans[i].instance == instance)
			return i;
	q->orphans = xrealloc(q->orphans, (q->norphans + 1) * sizeof *q->orphans);
	q->orphans[q->norphans] = (struct orphans){ .instance = instance };
	return q->norphans++;
}

void
state_started(struct qmgr *q, const struct journal_started *r, struct journal_place at)
{
	struct message *m;
	struct recipient *to = rcpt_find(q, r->id, r->rcpt, &m);

	(void)at;
	if (to == NULL || !is_queued(to) || r->attempt < to->attempts)
		return;
	to->attempts = (uint16_t)r->attempt;
	to->state = SPOOL_STARTED;
	if (!q->replaying)
		return; /* dispatch has its job */
	rcpt_leave(q, m, r->rcpt);
	to->next_msg = orphans_of(q, r->instance);
	q->orphans[to->next_msg].count++;
	to->phase = RCPT_ORPHAN;
}

static bool
result_is_news(const struct recipient *to, const struct journal_result *r)
{
	if (to->state == SPOOL_STARTED)
		return r->attempt == to->attempts;
	return to->state == SPOOL_QUEUED && r->attempt > to->attempts;
}

void
state_result(struct qmgr *q, const struct journal_result *r, struct journal_place at)
{
	struct message *m;
	struct recipient *to = rcpt_find(q, r->id, r->rcpt, &m);
	uint8_t state = spool_state_after(r->result);

	if (to == NULL || state == 0 || !result_is_news(to, r))
		return;
	to->attempts = (uint16_t)r->attempt;
	if (r->reply.n > 0 || r->code != 0) {
		to->reply_file = at.file;
		to->reply_at = at.at;
	}
	if (r->result == SPOOL_RESULT_INTERRUPTED && r->suspicion > m->suspicion)
		m->suspicion = r->suspicion;
	if (state != SPOOL_QUEUED) {
		rcpt_finish(q, m, r->rcpt, state, r->owed, r->due_ms);
		return;
	}
	rcpt_leave(q, m, r->rcpt);
	to->state = SPOOL_QUEUED;
	to->due = qclock_tick(r->due_ms);
	rcpt_enter(q, m, r->rcpt, RCPT_DEFERRED);
}

void
state_routed(struct qmgr *q, const struct journal_routed *r, struct journal_place at)
{
	struct message *m = message_find(&q->messages, r->id);

	(void)at;
	for (unsigned i = 0; m != NULL && i < m->nrcpt; i++) {
		struct recipient *to = &message_rcpts(m)[i];

		if ((r->rcpt != JOURNAL_ALL && r->rcpt != i) || !is_queued(to))
			continue;
		if (to->phase == RCPT_RUNNING || to->phase == RCPT_ORPHAN) {
			queue_unref(q, to);
			queue_ref(q, to, r->queue);
			continue;
		}
		rcpt_leave(q, m, i);
		queue_unref(q, to);
		queue_ref(q, to, r->queue);
		if (q->replaying)
			rcpt_enter(q, m, i, RCPT_DEFERRED);
		else
			rcpt_enter_queue(q, m, i);
	}
}

void
state_due(struct qmgr *q, const struct journal_due *r, struct journal_place at)
{
	struct message *m = message_find(&q->messages, r->id);

	(void)at;
	for (unsigned i = 0; m != NULL && i < m->nrcpt; i++) {
		struct recipient *to = &message_rcpts(m)[i];

		if ((r->rcpt != JOURNAL_ALL && r->rcpt != i) || to->state != SPOOL_QUEUED ||
		    to->phase != RCPT_DEFERRED)
			continue;
		to->due = qclock_tick(r->due_ms);
		rcpt_enter(q, m, i, RCPT_DEFERRED);
	}
}

void
state_hold(struct qmgr *q, const struct journal_hold *r, struct journal_place at)
{
	struct message *m = message_find(&q->messages, r->id);

	(void)at;
	if (m == NULL)
		return;
	hold_drop(q, m);
	m->flags |= MESSAGE_HELD;
	hold_put(q, m, r->holder, r->reason, r->wall_ms);
	for (unsigned i = 0; i < m->nrcpt; i++) {
		struct recipient *to = &message_rcpts(m)[i];

		if (to->phase != RCPT_READY && to->phase != RCPT_ROUTING && to->phase != RCPT_ASKED)
			continue;
		rcpt_leave(q, m, i);
		rcpt_enter(q, m, i, RCPT_DEFERRED);
	}
}

void
state_release(struct qmgr *q, const struct journal_release *r, struct journal_place at)
{
	struct message *m = message_find(&q->messages, r->id);

	(void)at;
	if (m == NULL || !(m->flags & MESSAGE_HELD))
		return;
	hold_drop(q, m);
	m->suspicion = 0; /* someone looked at it */
	for (unsigned i = 0; i < m->nrcpt; i++)
		if (message_rcpts(m)[i].phase == RCPT_DEFERRED &&
		    message_rcpts(m)[i].state == SPOOL_QUEUED)
			/* its timer again: the wheel finds what is due */
			rcpt_enter(q, m, i, RCPT_DEFERRED);
}

void
state_operator(struct qmgr *q, const struct journal_operator *r, struct journal_place at)
{
	struct message *m = message_find(&q->messages, r->id);
	uint8_t state = spool_state_after(r->result);
	unsigned n = m == NULL ? 0 : m->nrcpt;

	if (state != SPOOL_DROPPED && state != SPOOL_BOUNCED)
		return;
	for (unsigned i = 0; i < n; i++) {
		struct recipient *to = &message_rcpts(m)[i];

		if ((r->rcpt != JOURNAL_ALL && r->rcpt != i) || to->state != SPOOL_QUEUED)
			continue; /* what is being delivered right now is not called back */
		to->reply_file = at.file;
		to->reply_at = at.at;
		rcpt_finish(q, m, i, state, r->result == SPOOL_RESULT_FAILED ? r->owed : 0, 0);
		if (m->id != r->id)
			return;
	}
}

void
state_notice(struct qmgr *q, const struct journal_notice *r, struct journal_place at)
{
	(void)at;
	for (size_t i = 0; i + 4 <= r->rcpts.n; i += 4) {
		struct message *m;
		struct recipient *to;
		uint32_t n;

		memcpy(&n, r->rcpts.p + i, 4);
		to = rcpt_find(q, r->id, n, &m);
		if (to == NULL || !is_queued(to))
			continue;
		to->owed = (to->owed | r->notice) & 15U;
		if (!q->replaying)
			notice_owed(q, m);
	}
}

void
state_settled(struct qmgr *q, const struct journal_settled *r, struct journal_place at)
{
	(void)at;
	for (size_t i = 0; i + 4 <= r->rcpts.n; i += 4) {
		struct message *m;
		struct recipient *to;
		uint32_t n;

		memcpy(&n, r->rcpts.p + i, 4);
		to = rcpt_find(q, r->id, n, &m);
		if (to == NULL)
			continue;
		if (is_queued(to) && (to->owed & r->notice & SPOOL_NOTICE_DELAYED) != 0)
			to->owed |= SPOOL_NOTICE_TOLD;
		to->owed = (to->owed & ~(unsigned)r->notice) & 15U;
		if (to->phase == RCPT_OWED && to->owed == 0)
			rcpt_close(q, m, to);
	}
	if (!q->replaying)
		notice_settled(q, r->id, r->notice);
}

void
state_moved(struct qmgr *q, const struct journal_moved *r, struct journal_place at)
{
	struct message *m = message_find(&q->messages, r->id);
	struct seg *from, *to;

	(void)at;
	if (m == NULL)
		return;
	from = seg_at(&q->segtab, m->seg);
	to = seg_make(&q->segtab, r->segment);
	from->live--;
	from->live_bytes -= message_bytes(m);
	from->done_lsn = q->journal.lsn;
	to->live++;
	to->live_bytes += message_bytes(m);
	m->seg = to->slot;
	m->at64 = (uint32_t)(r->offset / 64);
	if (r->offset + message_bytes(m) > to->filed)
		to->filed = r->offset + message_bytes(m);
}

/* Its new recipients, all of them: where it fits. `where`: whose parts stand in which record. */
static void
expansion_apply(struct qmgr *q, const struct journal_expanded *r, const struct partial *where,
    struct journal_place at)
{
	struct message *m;
	struct recipient *old = rcpt_find(q, r->id, r->rcpt, &m);
	uint32_t wait =
	    q->replaying ? 0 : qclock_now_tick(&q->clock) + EXPAND_WAIT_MS / QCLOCK_TICK_MS;
	struct slice rest = r->rcpts;
	struct journal_rcpt e;

	if (old == NULL || !is_queued(old) || r->first != m->nrcpt ||
	    r->nrcpt > MESSAGE_MORE_MAX - (uint32_t)m->nrcpt)
		return;
	message_grow(m, r->nrcpt);
	for (size_t k = 0; k < where->nchunk; k++)
		expanded_note(q, m, r->first + where->chunk[k].first, where->chunk[k].at);
	if (where->nchunk == 0 && r->nrcpt > 0)
		expanded_note(q, m, r->first, at);
	for (uint32_t i = r->first; i < m->nrcpt; i++) {
		struct recipient *to = &message_rcpts(m)[i];

		if (journal_rcpt_next(&rest, &e) <= 0)
			e = (struct journal_rcpt){ 0 };
		to->state = SPOOL_QUEUED;
		to->notify = e.notify & 15U;
		to->due = q->replaying ? m->arrival : wait;
		queue_ref(q, to, e.queue);
		rcpt_enter(q, m, i, RCPT_DEFERRED);
	}
	q->messages.recipients += r->nrcpt;
	q->ledger.expanded_out += r->nrcpt;
	rcpt_finish(q, m, r->rcpt, SPOOL_EXPANDED, r->owed, 0);
}

void
state_expanded(struct qmgr *q, const struct journal_expanded *r, struct journal_place at)
{
	struct partial *p = &q->partial;

	if (!q->replaying || count_entries(r->rcpts) >= r->nrcpt) {
		expansion_apply(q, r, &(const struct partial){ .nchunk = 0 }, at);
		return;
	}
	partial_drop(q);
	p->expanded = true;
	p->expansion = *r;
	p->expansion.rule = SLICE_NONE;
	p->head = (struct journal_message){ .id = r->id, .nrcpt = r->nrcpt };
	partial_add(q, 0, r->rcpts, at);
}

void
state_totals(struct qmgr *q, const struct journal_totals *r, struct journal_place at)
{
	(void)at;
	if (!q->replaying)
		return;
#define T(name) q->ledger.name = r->name;
	LEDGER_TERMS(T)
#undef T
}

int
state_apply(struct qmgr *q, const struct journal_rec *r, struct journal_place at)
{
	if (r->kind != JOURNAL_KIND_MORE && r->kind != JOURNAL_KIND_FILE_START)
		partial_drop(q); /* the rest did not follow at once: void */
	switch (r->kind) {
#define APPLY(NAME, name)                      \
	case JOURNAL_KIND_##NAME:              \
		state_##name(q, &r->name, at); \
		return 0;
		APPLY(FILE_START, file_start)
		APPLY(OLDEST, oldest)
		APPLY(CLOCK, clock)
		APPLY(LEASE, lease)
		APPLY(LARGE, large)
		APPLY(SEGMENT, segment)
		APPLY(SEAL, seal)
		APPLY(SEGMENT_END, segment_end)
		APPLY(SEGMENT_FREED, segment_freed)
		APPLY(QUEUE, queue)
		APPLY(QUEUE_FREED, queue_freed)
		APPLY(SUSPEND, suspend)
		APPLY(RESUME, resume)
		APPLY(FILED, filed)
		APPLY(MESSAGE, message)
		APPLY(EXPANDED, expanded)
		APPLY(STARTED, started)
		APPLY(RESULT, result)
		APPLY(ROUTED, routed)
		APPLY(DUE, due)
		APPLY(HOLD, hold)
		APPLY(RELEASE, release)
		APPLY(OPERATOR, operator)
		APPLY(NOTICE, notice)
		APPLY(SETTLED, settled)
		APPLY(MOVED, moved)
		APPLY(MORE, more)
		APPLY(TOTALS, totals)
		APPLY(DAMAGED, damaged)
#undef APPLY
	}
	return -ENOTSUP;
}
