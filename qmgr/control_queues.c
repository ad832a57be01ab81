/* SPDX-License-Identifier: ISC */
#include "qmgr/control.h"

#include "base/die.h"
#include "base/json.h"
#include "qmgr/list.h"
#include "qmgr/operate.h"
#include "qmgr/state.h"
#include "qmgr/suspend.h"

#include <stdio.h>
#include <stdlib.h>

/* Verbs about queues: the list of them, and what is suspended. */
enum { PIECE = 32 * 1024, WALK_SLICE = 20000 };

struct walk {
	struct qmgr *q;
	uint32_t cursor;
	bool counted;
	uint32_t nqueues;
	struct tally {
		uint64_t deferred, held, running, failed;
	} * tally;
};

static void
walk_free(void *arg)
{
	struct walk *w = arg;

	free(w->tally);
	free(w);
}

/* What keeps it back; of a marker, what it stands for. */
static void
put_suspension(struct qmgr *q, struct queue *queue, struct buf *b)
{
	const struct queue *by = suspend_is_marker(queue) ? queue : suspend_of(q, queue);
	bool is = by != NULL && by->suspended;

	json_kbool(b, "suspended", is);
	if (!is)
		return;
	json_kz(b, "suspends", suspend_word(suspend_kind_of(by)));
	json_kz(b, "suspended_by", by->suspend_holder);
	json_kz(b, "suspend_reason", by->suspend_reason);
	json_ku64(b, "suspended_ms", by->suspend_wall_ms);
}

static void
queue_json(struct qmgr *q, struct queue *queue, const struct tally *t, struct buf *b)
{
	uint64_t now = qclock_ms(&q->clock), until = qclock_of_tick(queue->down_until);

	json_open(b, '{');
	json_ku64(b, "queue", queue->number);
	json_kstr(b, "domain",
	    queue->number == QUEUE_ROUTING ? SLICE_LIT("(routing)") : queue->route.domain);
	json_kstr(b, "transport", queue->route.transport);
	json_kstr(b, "pool", queue->route.pool);
	json_kstr(b, "tenant", queue->route.tenant);
	json_kz(b, "class", queue->class == 0 ? "" : class_word(queue->class));
	if (queue->number != QUEUE_ROUTING && !suspend_is_marker(queue)) {
		struct buf key = { 0 };

		suspend_key_put(queue, &key);
		json_kstr(b, "key", slice_buf(&key));
		buf_fini(&key);
	}
	json_ku64(b, "ready", queue->nready);
	json_ku64(b, "running", t->running);
	json_ku64(b, "deferred", t->deferred);
	json_ku64(b, "held", t->held);
	json_ku64(b, "failed", t->failed);
	json_ku64(b, "connections", queue->njobs);
	json_ku64(b, "down_ms", queue->down_until != 0 && until > now ? until - now : 0);
	if (queue->down_until != 0 && queue->down_reason != NULL) {
		json_kz(b, "waits_for", queue_wait_word((enum queue_wait)queue->wait));
		json_kz(b, "down_reason", queue->down_reason);
	}
	json_kbool(b, "resolving", queue->resolving);
	put_suspension(q, queue, b);
	json_close(b, '}');
	buf_putc(b, '\n');
}

static void
queue_print_slice(struct ctl_call *c, struct walk *w)
{
	static const struct tally none;

	while (w->cursor < w->q->queues.n && ctl_out(c)->n < PIECE) {
		uint32_t i = w->cursor++;
		struct queue *queue = w->q->queues.at[i];

		if (queue == NULL || (queue->nrcpt == 0 && queue->njobs == 0 && !queue->suspended))
			continue;
		queue_json(w->q, queue, i < w->nqueues ? &w->tally[i] : &none, ctl_out(c));
	}
	if (w->cursor >= w->q->queues.n)
		ctl_end(c, 0, NULL);
}

static void
tally_message(struct walk *w, struct message *m)
{
	for (unsigned i = 0; i < m->nrcpt; i++) {
		const struct recipient *r = &message_rcpts(m)[i];
		struct tally *t;

		if (r->queue >= w->nqueues || r->phase == RCPT_CLOSED)
			continue;
		t = &w->tally[r->queue];
		if (r->phase == RCPT_RUNNING || r->phase == RCPT_ORPHAN)
			t->running++;
		else if (r->phase == RCPT_OWED)
			t->failed++;
		else if (m->flags & MESSAGE_HELD)
			t->held++;
		else if (r->phase == RCPT_DEFERRED)
			t->deferred++;
	}
}

/* The numbers are counted by walking when someone asks: nothing is kept for it at each step. */
static void
queue_more(struct ctl_call *c, void *state)
{
	struct walk *w = state;
	struct message *m;

	if (w->counted) {
		queue_print_slice(c, w);
		return;
	}
	for (unsigned n = 0; n < WALK_SLICE; n++) {
		m = messages_next(&w->q->messages, &w->cursor);
		if (m == NULL) {
			w->cursor = 0;
			w->counted = true;
			return;
		}
		tally_message(w, m);
	}
}

void
control_queue(struct ctl_call *c, struct slice args)
{
	struct walk *w = xcalloc(1, sizeof *w);

	(void)args;
	w->q = ctl_arg(c);
	w->nqueues = w->q->queues.n;
	w->tally = xcalloc(w->nqueues, sizeof *w->tally);
	ctl_more(c, queue_more, w, walk_free);
}

/* ---- suspending ---- */

struct change {
	struct qmgr *q;
	uint64_t token;
	bool suspend;
	struct journal_wait wait;
};

/* It is durable: now it may be said (rule 26). */
static void
changed(void *arg)
{
	struct change *change = arg;
	struct ctl_call *c = ctl_by_token(change->q->ctl, change->token);

	if (c == NULL) {
		free(change);
		return;
	}
	json_open(ctl_out(c), '{');
	json_kbool(ctl_out(c), "suspended", change->suspend);
	json_close(ctl_out(c), '}');
	buf_putc(ctl_out(c), '\n');
	free(change);
	ctl_end(c, 0, NULL);
}

static void
suspend_or_resume(struct ctl_call *c, struct slice args, bool suspend)
{
	struct qmgr *q = ctl_arg(c);
	struct slice word, reason;
	struct suspend what;
	struct change *change;
	const char *why;
	char who[32];
	bool done;

	if (!ctl_word(&args, &word))
		word = SLICE_NONE;
	if (!ctl_word(&args, &reason))
		reason = SLICE_LIT("suspended by an operator");
	snprintf(who, sizeof who, "uid %u", (unsigned)ctl_uid(c));
	why = suspend_parse(q, word, suspend, &what);
	if (why != NULL) {
		ctl_end(c, EXIT_USAGE, why);
		return;
	}
	done = suspend ? operate_suspend(q, &what, slice_z(who), reason)
		       : operate_resume(q, &what, slice_z(who));
	if (!done) {
		ctl_end(c, EXIT_UNAVAILABLE,
		    suspend ? "it is suspended already" : "it is not suspended");
		return;
	}
	change = xcalloc(1, sizeof *change);
	*change = (struct change){ .q = q,
		.token = ctl_token(c),
		.suspend = suspend,
		.wait = { .durable = changed, .arg = change } };
	journal_after(&q->journal, &change->wait, JOURNAL_NOW);
}

void
control_suspend(struct ctl_call *c, struct slice args)
{
	suspend_or_resume(c, args, true);
}

void
control_resume(struct ctl_call *c, struct slice args)
{
	suspend_or_resume(c, args, false);
}
