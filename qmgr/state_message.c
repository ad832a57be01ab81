/* SPDX-License-Identifier: ISC */
#include "qmgr/state.h"

#include "base/die.h"
#include "qmgr/expand.h"
#include "qmgr/expanded.h"
#include "qmgr/large.h"

#include <stdlib.h>

/*
 * The journal records that make messages and recipients: FILED, EXPANDED, and MESSAGE, a snapshot of
 * one that is half done. A long one goes on in MORE and takes effect with the last of them.
 */

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
		   ((int8_t)r->priority < 0 ? MESSAGE_LOW : 0) |
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
		rcpt_join(q, to, e.queue);
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
	rcpt_join(q, to, e->queue);
	if (rcpt_is_queued(to)) {
		q->messages.recipients++;
		to->state = SPOOL_QUEUED;
		to->phase = RCPT_DEFERRED;
	} else if ((to->owed & ~(unsigned)SPOOL_NOTICE_TOLD) != 0) {
		to->phase = RCPT_OWED;
	} else {
		rcpt_part(q, to);
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

	if (p->nchunk == 0)
		return;
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

	if (old == NULL || !rcpt_is_queued(old) || r->first != m->nrcpt ||
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
		rcpt_join(q, to, e.queue);
		rcpt_enter(q, m, i, RCPT_DEFERRED);
	}
	q->messages.recipients += r->nrcpt;
	q->ledger.expanded_out += r->nrcpt;
	rcpt_finish(q, m, r->rcpt, SPOOL_EXPANDED, r->owed, 0);
}

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
			q->messages.recipients -= rcpt_is_queued(to) ? 1 : 0;
			rcpt_part(q, to);
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
