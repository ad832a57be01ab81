/* SPDX-License-Identifier: ISC */
#include "qmgr/operate.h"

#include "base/clock.h"
#include "base/log.h"
#include "qmgr/address.h"
#include "qmgr/resolve.h"
#include "qmgr/schedule.h"
#include "qmgr/state.h"
#include "spool/envelope.h"

enum { REASON_MAX = 1000 }; /* a snapshot of the message holds both, with room for more */

static void
log_operation(enum log_event event, uint64_t id, struct slice holder, struct slice reason)
{
	log_begin(event);
	log_id(id);
	log_str(LOGK_PEER, holder);
	if (reason.n > 0)
		log_str(LOGK_REASON, reason);
	log_end();
}

/* Each recipient fails for itself, as where a host said so. */
static void
log_failed(struct qmgr *q, struct message *m, struct slice holder, struct slice reason)
{
	uint64_t now = clock_wall_ms(), at = id_ms(m->id);

	for (unsigned i = 0; i < m->nrcpt; i++) {
		const struct envelope_rcpt *to = address_rcpt(q, m, i);

		if (message_rcpts(m)[i].state != SPOOL_QUEUED)
			continue;
		log_begin(LOG_FAILED);
		log_id(m->id);
		log_u64(LOGK_RCPT, i);
		if (to != NULL) {
			log_str(LOGK_TO, to->recipient);
			if (to->original.p != NULL)
				log_str(LOGK_ORIG_TO, to->original);
			log_str(LOGK_FROM, q->address->envelope.sender);
		}
		log_u64(LOGK_DELAY, now > at ? now - at : 0);
		log_str(LOGK_PEER, holder);
		if (reason.n > 0)
			log_str(LOGK_REASON, reason);
		log_end();
	}
}

static unsigned
count_state(struct message *m, enum spool_state state)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->nrcpt; i++)
		n += message_rcpts(m)[i].state == state;
	return n;
}

static bool
hold(struct qmgr *q, struct message *m, struct slice holder, struct slice reason)
{
	if (m->flags & MESSAGE_HELD)
		return false;
	log_operation(LOG_HELD, m->id, holder, reason);
	commit(
	    q, hold, .id = m->id, .holder = holder, .reason = reason, .wall_ms = clock_wall_ms());
	return true;
}

static bool
release(struct qmgr *q, struct message *m, struct slice holder)
{
	if (!(m->flags & MESSAGE_HELD))
		return false;
	log_operation(LOG_RELEASED, m->id, holder, SLICE_NONE);
	commit(q, release, .id = m->id, .holder = holder, .wall_ms = clock_wall_ms());
	return true;
}

static bool
end(struct qmgr *q, struct message *m, bool fail, struct slice holder, struct slice reason)
{
	uint8_t owed =
	    fail && !(m->flags & (MESSAGE_NULL_SENDER | MESSAGE_NOTICE)) ? SPOOL_NOTICE_FAILED : 0;

	if (count_state(m, SPOOL_QUEUED) == 0)
		return false;
	if (fail)
		log_failed(q, m, holder, reason);
	else
		log_operation(LOG_DELETED, m->id, holder, reason);
	/* NOTIFY is each recipient's: those that want no notice get a record of their own. */
	for (unsigned i = 0; owed != 0 && i < m->nrcpt; i++) {
		const struct recipient *r = &message_rcpts(m)[i];
		uint64_t id = m->id;

		if (r->state != SPOOL_QUEUED || r->notify == 0 || (r->notify & NOTIFY_FAILURE) != 0)
			continue;
		commit(q, operator, .id = id, .rcpt = i, .result = SPOOL_RESULT_FAILED,
		    .holder = holder, .reason = reason, .wall_ms = clock_wall_ms());
		if (m->id != id)
			return true;
	}
	commit(q, operator, .id = m->id, .rcpt = JOURNAL_ALL,
	    .result = fail ? SPOOL_RESULT_FAILED : SPOOL_RESULT_DROPPED, .owed = owed,
	    .holder = holder, .reason = reason, .wall_ms = clock_wall_ms());
	return true;
}

static bool
due_now(struct qmgr *q, struct message *m, struct slice holder, bool record)
{
	const struct journal_due now = { .id = m->id,
		.rcpt = JOURNAL_ALL,
		.due_ms = qclock_ms(&q->clock) / QCLOCK_TICK_MS * QCLOCK_TICK_MS,
		.holder = holder };
	bool any = false, woke = false;

	for (unsigned i = 0; i < m->nrcpt; i++) {
		const struct recipient *r = &message_rcpts(m)[i];
		struct queue *queue = queue_at(&q->queues, r->queue);

		any |= r->state == SPOOL_QUEUED && r->phase == RCPT_DEFERRED;
		if (queue == NULL || (r->phase != RCPT_DEFERRED && r->phase != RCPT_READY))
			continue;
		resolve_wake(q, queue);
		if (queue->down_until == 0)
			continue;
		down_set(&q->queues, queue, 0);
		dispatch_wake(q, queue);
		woke |= r->phase == RCPT_READY;
	}
	if (!any)
		return woke;
	if (record)
		commit(
		    q, due, .id = now.id, .rcpt = now.rcpt, .due_ms = now.due_ms, .holder = holder);
	else
		state_due(q, &now, (struct journal_place){ 0 });
	return true;
}

bool
operate(struct qmgr *q, enum operation what, struct message *m, struct slice holder,
    struct slice reason)
{
	reason = slice_head(reason, REASON_MAX);
	holder = slice_head(holder, REASON_MAX);
	switch (what) {
	case OPERATE_HOLD:
		return hold(q, m, holder, reason);
	case OPERATE_RELEASE:
		return release(q, m, holder);
	case OPERATE_DELETE:
		return end(q, m, false, holder, reason);
	case OPERATE_FAIL:
		return end(q, m, true, holder, reason);
	case OPERATE_RETRY:
		return due_now(q, m, holder, true);
	case OPERATE_FLUSH:
		return due_now(q, m, holder, false);
	}
	return false;
}

bool
operate_suspend(
    struct qmgr *q, const struct suspend *what, struct slice holder, struct slice reason)
{
	struct queue *by = suspend_holder(q, what, true);

	if (by == NULL || by->suspended)
		return false;
	commit(q, suspend, .queue = by->number, .holder = slice_head(holder, REASON_MAX),
	    .reason = slice_head(reason, REASON_MAX), .wall_ms = clock_wall_ms());
	return true;
}

bool
operate_resume(struct qmgr *q, const struct suspend *what, struct slice holder)
{
	struct queue *by = suspend_holder(q, what, false);

	if (by == NULL || !by->suspended)
		return false;
	commit(q, resume, .queue = by->number, .holder = slice_head(holder, REASON_MAX),
	    .wall_ms = clock_wall_ms());
	for (uint32_t i = 1; i < q->queues.n; i++)
		if (q->queues.at[i] != NULL)
			dispatch_wake(q, q->queues.at[i]);
	return true;
}
