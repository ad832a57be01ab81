/* SPDX-License-Identifier: ISC */
#include "qmgr/state.h"

#include "base/die.h"
#include "qmgr/notice.h"

#include <errno.h>

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
	if (to == NULL || !rcpt_is_queued(to) || r->attempt < to->attempts)
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

		if ((r->rcpt != JOURNAL_ALL && r->rcpt != i) || !rcpt_is_queued(to))
			continue;
		if (to->phase == RCPT_RUNNING || to->phase == RCPT_ORPHAN) {
			rcpt_part(q, to);
			rcpt_join(q, to, r->queue);
			continue;
		}
		rcpt_leave(q, m, i);
		rcpt_part(q, to);
		rcpt_join(q, to, r->queue);
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
		if (to == NULL || !rcpt_is_queued(to))
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
		if (rcpt_is_queued(to) && (to->owed & r->notice & SPOOL_NOTICE_DELAYED) != 0)
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
