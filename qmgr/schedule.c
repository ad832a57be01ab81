/* SPDX-License-Identifier: ISC */
#include "qmgr/schedule.h"

#include "base/clock.h"
#include "base/log.h"
#include "qmgr/address.h"
#include "qmgr/notice.h"
#include "qmgr/state.h"

#include <stdlib.h>

static struct retry
retry_of(struct qmgr *q, struct queue *queue)
{
	const struct scope_values *v = queue_limits(q, queue);

	return (struct retry){ v->retry_first_ms, v->retry_max_ms, (unsigned)v->retry_jitter };
}

static void
log_common(struct qmgr *q, enum log_event event, const struct message *m, unsigned rcpt,
    uint32_t attempt, const struct attempt_end *end)
{
	const struct envelope_rcpt *to = address_rcpt(q, m, rcpt);
	uint64_t now = clock_wall_ms();

	log_begin(event);
	log_id(m->id);
	log_u64(LOGK_ATTEMPT, attempt);
	log_u64(LOGK_RCPT, rcpt);
	if (to != NULL) {
		log_str(LOGK_TO, to->recipient);
		if (to->original.p != NULL)
			log_str(LOGK_ORIG_TO, to->original);
		log_str(LOGK_FROM, q->address->envelope.sender);
	}
	if (end->host.n > 0)
		log_str(LOGK_RELAY, end->host);
	if (end->addr.n == 16)
		log_addr(LOGK_ADDR, (const uint8_t *)end->addr.p, end->port);
	if (end->code != 0)
		log_u64(LOGK_CODE, end->code);
	if (end->enh[0] != 0)
		log_enh(end->enh);
	log_str(LOGK_TEXT, end->text);
	log_u64(LOGK_DELAY, now > id_ms(m->id) ? now - id_ms(m->id) : 0);
}

/* Where its time went: until a worker had it, until there was a connection, the rest. When the message
 * was taken in is not kept, so the first of Postfix's four is in the second. */
static void
log_delays(const struct message *m, const struct attempt_end *end)
{
	uint64_t now = clock_wall_ms(), at = id_ms(m->id);
	uint64_t before = end->sent_ms > at ? end->sent_ms - at : 0;
	uint64_t took = now > end->sent_ms ? now - end->sent_ms : 0;
	uint64_t connect = end->connect_ms < took ? end->connect_ms : took;
	struct buf b = { 0 };

	if (end->sent_ms == 0)
		return;
	buf_puts(&b, "0/");
	log_seconds(&b, before);
	buf_putc(&b, '/');
	log_seconds(&b, connect);
	buf_putc(&b, '/');
	log_seconds(&b, took - connect);
	log_str(LOGK_DELAYS, slice_buf(&b));
	buf_fini(&b);
}

static void
log_attempt(struct qmgr *q, struct message *m, unsigned rcpt, uint32_t attempt,
    const struct attempt_end *end, const char *status, uint64_t next_ms)
{
	const struct queue *queue = queue_at(&q->queues, message_rcpts(m)[rcpt].queue);

	log_common(q, LOG_ATTEMPT, m, rcpt, attempt, end);
	log_z(LOGK_STATUS, status);
	log_z(LOGK_PHASE, phase_word(end->phase));
	if (queue != NULL && queue->route.transport.n > 0)
		log_str(LOGK_TRANSPORT, queue->route.transport);
	log_delays(m, end);
	if (end->conn_use > 1)
		log_u64(LOGK_CONN_USE, end->conn_use);
	if (next_ms != 0)
		log_u64(LOGK_NEXT, next_ms);
	log_end();
}

static void
put_result(struct qmgr *q, const struct message *m, unsigned rcpt, uint32_t attempt, uint8_t result,
    uint8_t owed, uint64_t due_ms, const struct attempt_end *end)
{
	commit(q, result, .id = m->id, .rcpt = rcpt, .attempt = attempt, .result = result,
	    .owed = owed, .due_ms = due_ms, .code = end->code, .enh0 = end->enh[0],
	    .enh1 = end->enh[1], .enh2 = end->enh[2], .host = end->host, .reply = end->text,
	    .wall_ms = clock_wall_ms());
}

/* Why the sender of what failed is not told. */
static const char *
untold(const struct message *m)
{
	return m->flags & (MESSAGE_NULL_SENDER | MESSAGE_NOTICE) ? "null-sender" : "notify";
}

static void
fail(struct qmgr *q, struct message *m, unsigned rcpt, uint32_t attempt,
    const struct attempt_end *end, bool expired)
{
	uint8_t owed = notice_for_failure(q, m, rcpt);

	log_common(q, expired ? LOG_EXPIRED : LOG_FAILED, m, rcpt, attempt, end);
	if (owed == 0)
		log_z(LOGK_RULE, untold(m));
	log_end();
	if (owed == 0) /* else bounced classes it for the notice */
		notice_reply(q, m, rcpt, expired ? NOTICE_EXPIRED : NOTICE_FAILED, end);
	put_result(q, m, rcpt, attempt, expired ? SPOOL_RESULT_EXPIRED : SPOOL_RESULT_FAILED, owed,
	    owed == 0 ? 0 : qclock_ms(&q->clock) + q->conf->failed_keep_ms, end);
	if (owed != 0)
		journal_hurry(&q->journal, JOURNAL_NOW); /* the notice waits for it */
}

static void
defer(struct qmgr *q, struct message *m, unsigned rcpt, uint32_t attempt,
    const struct attempt_end *end)
{
	struct recipient *r = &message_rcpts(m)[rcpt];
	struct retry how = retry_of(q, queue_at(&q->queues, r->queue));
	uint64_t now = qclock_ms(&q->clock), wait, expiry;
	uint16_t before = r->attempts;

	r->attempts = (uint16_t)attempt; /* an expiry of "after the first attempt" looks at it */
	expiry = qclock_of_tick(message_expiry(q, m, r));
	r->attempts = before;
	if (now >= expiry) {
		log_attempt(q, m, rcpt, attempt, end, "deferred", 0);
		fail(q, m, rcpt, attempt, end, true);
		return;
	}
	wait = retry_wait_ms(&how, attempt, &q->rng);
	if (now + wait > expiry)
		wait = expiry - now;
	log_attempt(q, m, rcpt, attempt, end, "deferred", wait);
	notice_reply(q, m, rcpt, NOTICE_DELAYED, end);
	put_result(q, m, rcpt, attempt, SPOOL_RESULT_DEFERRED, 0, now + wait, end);
}

static void
deliver(struct qmgr *q, struct message *m, unsigned rcpt, uint32_t attempt,
    const struct attempt_end *end)
{
	uint8_t owed = notice_for_success(m, rcpt, end->dsn);

	put_result(q, m, rcpt, attempt, SPOOL_RESULT_DELIVERED, owed,
	    owed == 0 ? 0 : qclock_ms(&q->clock) + q->conf->failed_keep_ms, end);
}

void
schedule_result(struct qmgr *q, struct message *m, unsigned rcpt, uint32_t attempt,
    const struct attempt_end *end)
{
	switch ((enum outcome_kind)end->kind) {
	case OUTCOME_OK:
		log_attempt(q, m, rcpt, attempt, end, "sent", 0);
		deliver(q, m, rcpt, attempt, end);
		break;
	case OUTCOME_PERM:
		log_attempt(q, m, rcpt, attempt, end, "bounced", 0);
		fail(q, m, rcpt, attempt, end, false);
		break;
	case OUTCOME_TEMP:
		defer(q, m, rcpt, attempt, end);
		break;
	}
}

void
schedule_dropped(struct qmgr *q, struct message *m, unsigned rcpt, struct slice text)
{
	const struct attempt_end end = { .text = text };
	uint32_t attempt = message_rcpts(m)[rcpt].attempts + 1U;

	log_attempt(q, m, rcpt, attempt, &end, "dropped", 0);
	put_result(q, m, rcpt, attempt, SPOOL_RESULT_DROPPED, 0, 0, &end);
}

void
schedule_interrupted(
    struct qmgr *q, struct message *m, unsigned rcpt, uint32_t attempt, uint8_t suspicion)
{
	struct retry how = { INTERRUPTED_PAUSE_MS, 60 * INTERRUPTED_PAUSE_MS, 20 };
	uint64_t wait = retry_wait_ms(&how, suspicion, &q->rng);

	log_begin(LOG_INTERRUPTED);
	log_id(m->id);
	log_u64(LOGK_ATTEMPT, attempt);
	log_u64(LOGK_RCPT, rcpt);
	log_u64(LOGK_COUNT, suspicion);
	log_end();
	commit(q, result, .id = m->id, .rcpt = rcpt, .attempt = attempt,
	    .result = SPOOL_RESULT_INTERRUPTED, .suspicion = suspicion,
	    .due_ms = qclock_ms(&q->clock) + wait,
	    .reply = SLICE_LIT("the delivery process ended during the attempt"));
	if (suspicion < SUSPECT_HELD || (m->flags & MESSAGE_HELD))
		return;
	log_begin(LOG_HELD);
	log_id(m->id);
	log_z(LOGK_REASON, "delivery processes died over it");
	log_end();
	commit(q, hold, .id = m->id, .holder = SLICE_LIT("qmgr"),
	    .reason = SLICE_LIT("delivery processes died over it"), .wall_ms = clock_wall_ms());
}

/* ---- timers ---- */

static void
expire(struct qmgr *q, struct message *m, unsigned rcpt)
{
	struct recipient *r = &message_rcpts(m)[rcpt];
	struct buf text = { 0 };
	struct attempt_end end = { .kind = OUTCOME_PERM, .enh = { 4, 4, 7 } };
	const struct queue *queue = queue_at(&q->queues, r->queue);

	buf_puts(&text, "not delivered within the time allowed");
	if (r->reply_file != 0) {
		buf_puts(&text, "; last: ");
		if (!reply_text(q, m, rcpt, &text))
			buf_puts(&text, "-");
	} else if (queue != NULL && queue->down_until != 0 && queue->down_reason != NULL)
		buf_printf(&text, "; last: %s", queue->down_reason);
	end.text = slice_buf(&text);
	fail(q, m, rcpt, r->attempts + 1U, &end, true);
	buf_fini(&text);
}

static void
settle_by_rule(struct qmgr *q, struct message *m, unsigned rcpt)
{
	uint32_t number = rcpt;

	commit(q, settled, .id = m->id, .notice = message_rcpts(m)[rcpt].owed,
	    .rcpts = slice_of(&number, sizeof number), .rule = SLICE_LIT("failed-keep"));
}

/*
 * One recipient whose message's timer went off. Returns the next tick at which it wants to be
 * looked at; sets *worked when something was done. The message may be gone.
 */
static uint32_t
look_at(struct qmgr *q, struct message *m, unsigned rcpt, uint32_t now, bool *worked)
{
	struct recipient *r = &message_rcpts(m)[rcpt];
	uint32_t expiry = UINT32_MAX, delay;

	switch ((enum rcpt_phase)r->phase) {
	case RCPT_DEFERRED:
	case RCPT_READY:
	case RCPT_ROUTING:
	case RCPT_ASKED:
		expiry = message_expiry(q, m, r);
		if (expiry <= now) {
			*worked = true;
			expire(q, m, rcpt);
			return UINT32_MAX;
		}
		delay = notice_delay_tick(q, m, r);
		if (delay <= now) {
			*worked = true;
			notice_delayed(q, m, rcpt);
		} else if (delay < expiry) {
			expiry = delay; /* the next time to look */
		}
		if (r->phase != RCPT_DEFERRED || (m->flags & MESSAGE_HELD))
			return expiry;
		if (r->due > now)
			return r->due < expiry ? r->due : expiry;
		*worked = true;
		rcpt_enter_queue(q, m, rcpt);
		return expiry;
	case RCPT_OWED:
		if (r->due > now)
			return r->due;
		*worked = true;
		settle_by_rule(q, m, rcpt);
		return UINT32_MAX;
	case RCPT_RUNNING:
	case RCPT_ORPHAN:
	case RCPT_CLOSED:
		break;
	}
	return UINT32_MAX;
}

/* In slices: a message of 50,000 recipients is put back to go on with in the next turn (rule 23). */
static void
on_due(void *arg, struct message *m)
{
	struct qmgr *q = arg;
	uint32_t now = qclock_now_tick(&q->clock), next = UINT32_MAX;
	uint64_t id = m->id;
	unsigned done = 0;

	for (unsigned i = 0; i < m->nrcpt; i++) {
		bool worked = false;
		uint32_t when = look_at(q, m, i, now, &worked);

		if (m->id != id)
			return;
		if (when < next)
			next = when;
		if (worked && ++done == SLICE_RCPTS) {
			next = now;
			break;
		}
	}
	if (next != UINT32_MAX)
		wheel_set(&q->wheel, m, next);
	if (next <= now)
		qmgr_again(q);
}

void
schedule_run(struct qmgr *q)
{
	uint32_t now = qclock_now_tick(&q->clock);
	struct queue *queue;

	if (wheel_run(&q->wheel, now, 4 * SLICE_RCPTS, on_due, q))
		qmgr_again(q);
	while ((queue = down_first(&q->queues)) != NULL && queue->down_until <= now) {
		down_set(&q->queues, queue, 0);
		dispatch_wake(q, queue);
	}
}

uint64_t
schedule_next_ms(struct qmgr *q)
{
	uint32_t next = wheel_next(&q->wheel);
	const struct queue *queue = down_first(&q->queues);
	uint64_t now = qclock_ms(&q->clock), at;

	if (queue != NULL && queue->down_until < next)
		next = queue->down_until;
	if (next == UINT32_MAX)
		return UINT64_MAX;
	at = qclock_of_tick(next);
	return at > now ? at - now : 0;
}

void
schedule_down(struct qmgr *q, struct queue *queue, struct slice reason)
{
	struct retry how = retry_of(q, queue);
	uint32_t now = qclock_now_tick(&q->clock);

	if (queue->down_until > now)
		return; /* one of the jobs that were under way when it was found out */
	queue->down_count++;
	queue->wait = WAIT_HOST;
	free(queue->down_reason);
	queue->down_reason = slice_dup(reason);
	down_set(&q->queues, queue,
	    qclock_tick(qclock_ms(&q->clock) + retry_wait_ms(&how, queue->down_count, &q->rng)));
}

void
schedule_up(struct qmgr *q, struct queue *queue)
{
	queue->down_count = 0;
	queue->probing = false;
	if (queue->down_until != 0)
		down_set(&q->queues, queue, 0);
	dispatch_wake(q, queue);
}

void
schedule_pause(struct qmgr *q, struct queue *queue, uint64_t until_ms, enum queue_wait why,
    struct slice reason)
{
	uint32_t next = qclock_now_tick(&q->clock) + 1, until = qclock_tick(until_ms);

	queue->wait = (uint8_t)why;
	queue->probing = true;
	free(queue->down_reason);
	queue->down_reason = slice_dup(reason);
	down_set(&q->queues, queue, until < next ? next : until);
	log_begin(LOG_QUEUE_WAITS);
	log_str(LOGK_QUEUE, queue->route.domain);
	log_z(LOGK_KIND, queue_wait_word(why));
	log_str(LOGK_REASON, reason);
	log_u64(LOGK_NEXT, qclock_of_tick(queue->down_until) - qclock_ms(&q->clock));
	log_end();
}
