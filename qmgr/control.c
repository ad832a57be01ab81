/* SPDX-License-Identifier: ISC */
#include "qmgr/control.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/json.h"
#include "base/metrics.h"
#include "qmgr/list.h"
#include "qmgr/notice.h"
#include "qmgr/operate.h"
#include "qmgr/state.h"
#include "qmgr/suspend.h"
#include "qmgr/why.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE = 32 * 1024, SHOW_SLICE = 100, WALK_SLICE = 20000, ACT_SLICE = 256 };

/* ---- one line about the whole ---- */

static uint64_t
unfiled_bytes(const struct qmgr *q)
{
	uint32_t cursor = 0;
	uint64_t sum = 0;
	struct seg *s;

	while ((s = segtab_next(&q->segtab, &cursor)) != NULL)
		sum += seg_unfiled(s);
	return sum;
}

static void
json_khex(struct buf *b, const char *key, uint64_t v)
{
	char text[17];

	snprintf(text, sizeof text, "%016llx", (unsigned long long)v);
	json_kz(b, key, text);
}

static void
workers_json(struct qmgr *q, struct buf *b)
{
	json_key(b, "workers");
	json_open(b, '[');
	for (unsigned i = 0; i < q->dispatch.nworkers; i++) {
		const struct worker *w = &q->dispatch.worker[i];

		if (!w->used)
			continue;
		json_open(b, '{');
		json_ku64(b, "worker", w->number);
		json_khex(b, "instance", w->instance);
		json_kbool(b, "linked", w->linked);
		json_kbool(b, "ready", w->ready);
		json_ku64(b, "room", w->room);
		json_ku64(b, "jobs", w->njobs);
		json_ku64(b, "sent", w->sent);
		json_close(b, '}');
	}
	json_close(b, ']');
}

static void
verb_status(struct ctl_call *c, struct slice args)
{
	struct notices_state notices;
	struct qmgr *q = ctl_arg(c);
	struct buf *b = ctl_out(c);
	const struct journal *j = &q->journal;

	(void)args;
	json_open(b, '{');
	json_kz(b, "service", "qmgr");
	json_ku64(b, "pid", (uint64_t)getpid());
	json_khex(b, "instance", peer_self_instance());
	json_ku64(b, "generation", q->conf->generation);
	json_ku64(b, "uptime_ms", clock_mono_ms() - q->started_mono_ms);
	json_ku64(b, "messages", q->messages.count);
	json_ku64(b, "queued", q->messages.recipients);
	json_kbool(b, "recovering", q->arming);
	json_ku64(b, "running", q->dispatch.running);
	json_ku64(b, "window", q->dispatch.window);
	json_ku64(b, "window_highest", q->duplicates_bound);
	json_ku64(b, "jobs_max", q->conf->jobs_max);
	json_ku64(b, "segments", q->segtab.count);
	json_ku64(b, "unfiled", unfiled_bytes(q));
	json_ku64(b, "damaged_ranges", q->damaged_ranges);
	json_ku64(b, "disk_free_bytes", q->disk_free_bytes);
	json_ku64(b, "queues", q->queues.count);
	json_ku64(b, "suspended", q->nsuspended);
	json_ku64(b, "hosts_failing", q->hosts.count);
	notices_look(q, &notices);
	json_ku64(b, "notices_waiting", notices.waiting);
	json_ku64(b, "notices_sent", notices.sent);
	json_ku64(b, "replies_unheard", notices.unheard);
	json_ku64(b, "journal_files", journal_files(j));
	json_ku64(b, "journal_records", j->stats.records);
	json_ku64(b, "journal_bytes", j->stats.bytes);
	json_ku64(b, "journal_syncs", j->stats.syncs);
	json_ku64(b, "journal_failures", j->stats.failures);
	json_kbool(b, "journal_failing", j->failing);
	json_kbool(b, "router", peer_is_up(q->router));
	json_ku64(b, "router_generation", q->router_generation);
	workers_json(q, b);
	json_close(b, '}');
	buf_putc(b, '\n');
	ctl_end(c, 0, NULL);
}

void
control_count(void *arg)
{
	const struct qmgr *q = arg;

	metric_set(METRIC_QMGR_MESSAGES, q->messages.count);
	metric_set(METRIC_QMGR_RECIPIENTS, q->messages.recipients);
	metric_set(METRIC_QMGR_HELD, q->nheld);
	metric_set(METRIC_QMGR_JOBS, q->dispatch.running);
	metric_set(METRIC_QMGR_WINDOW, q->dispatch.window);
	metric_set(METRIC_QMGR_SEGMENTS, q->segtab.count);
	metric_set(METRIC_QMGR_DISK_FREE, q->disk_free_bytes);
	metric_set(METRIC_LEDGER_ACCEPTED, q->ledger.accepted);
	metric_set(METRIC_LEDGER_NOTICES, q->ledger.notices);
	metric_set(METRIC_LEDGER_EXPANDED_OUT, q->ledger.expanded_out);
	metric_set(METRIC_LEDGER_EXPANDED_IN, q->ledger.expanded_in);
	metric_set(METRIC_LEDGER_DELIVERED, q->ledger.delivered);
	metric_set(METRIC_LEDGER_BOUNCED, q->ledger.bounced);
	metric_set(METRIC_LEDGER_EXPIRED, q->ledger.expired);
	metric_set(METRIC_LEDGER_DROPPED, q->ledger.dropped);
	metric_set(METRIC_LEDGER_DAMAGED, q->ledger.damaged);
}

static void
verb_ledger(struct ctl_call *c, struct slice args)
{
	struct qmgr *q = ctl_arg(c);
	struct buf *b = ctl_out(c);

	(void)args;
	json_open(b, '{');
#define T(name) json_ku64(b, #name, q->ledger.name);
	LEDGER_TERMS(T)
#undef T
	json_ku64(b, "queued", q->messages.recipients);
	json_ku64(b, "unfiled", unfiled_bytes(q));
	json_ku64(b, "in_flight", q->dispatch.window);
	json_ku64(b, "in_flight_highest", q->duplicates_bound);
	json_kbool(b, "balanced", ledger_balances(&q->ledger, q->messages.recipients));
	json_close(b, '}');
	buf_putc(b, '\n');
	ctl_end(c, 0, NULL);
}

static const char *
seg_word(enum seg_state s)
{
	switch (s) {
	case SEG_UNKNOWN:
		return "unknown";
	case SEG_MAKING:
		return "making";
	case SEG_LIVE:
		return "live";
	case SEG_ENDING:
		return "ending";
	case SEG_ENDED:
		return "ended";
	case SEG_FREED:
		return "freed";
	}
	return "?";
}

static void
verb_spool(struct ctl_call *c, struct slice args)
{
	struct qmgr *q = ctl_arg(c);
	struct buf *b = ctl_out(c);
	uint32_t cursor = 0;
	struct seg *s;

	(void)args;
	while ((s = segtab_next(&q->segtab, &cursor)) != NULL) {
		json_open(b, '{');
		json_ku64(b, "segment", s->number);
		json_kz(b, "state", seg_word(s->state));
		json_kz(b, "class", class_word(s->class));
		if (s->worker == SEG_OWN_WORKER)
			json_kbool(b, "compacted", true);
		else
			json_ku64(b, "worker", s->worker);
		json_kbool(b, "linked", s->writer_linked);
		json_ku64(b, "filed", s->filed);
		json_ku64(b, "durable", s->durable);
		if (s->sealed != SEG_OPEN_END)
			json_ku64(b, "sealed", s->sealed);
		json_ku64(b, "live", s->live);
		json_ku64(b, "live_bytes", s->live_bytes);
		json_close(b, '}');
		buf_putc(b, '\n');
	}
	ctl_end(c, 0, NULL);
}

/* ---- messages, in slices ---- */

enum show { SHOW_LIST, SHOW_MAILQ };

struct walk {
	struct filter filter;
	uint32_t cursor;
	enum show show;
	/* acting: */
	enum operation what;
	char *holder, *reason;
	uint64_t done;
	struct journal_wait wait;
	struct deferred step;
	struct qmgr *q;
	uint64_t token;
};

static struct walk *
walk_new(struct ctl_call *c)
{
	struct walk *w = xcalloc(1, sizeof *w);

	w->q = ctl_arg(c);
	w->token = ctl_token(c);
	return w;
}

static void
walk_free(void *arg)
{
	struct walk *w = arg;

	filter_fini(&w->filter);
	free(w->holder);
	free(w->reason);
	free(w);
}

static void
show_more(struct ctl_call *c, void *state)
{
	struct walk *w = state;
	struct qmgr *q = w->q;

	for (unsigned shown = 0, seen = 0; shown < SHOW_SLICE && seen < WALK_SLICE; seen++) {
		struct message *m = w->filter.id != 0 ? message_find(&q->messages, w->filter.id)
						      : messages_next(&q->messages, &w->cursor);

		if (m != NULL && filter_matches(q, &w->filter, m)) {
			if (w->show == SHOW_MAILQ)
				message_mailq(q, m, ctl_out(c));
			else
				message_json(q, m, false, ctl_out(c));
			shown++;
		}
		if (m == NULL || w->filter.id != 0) {
			ctl_end(c, 0, NULL);
			return;
		}
		if (ctl_out(c)->n > PIECE)
			break;
	}
}

/* The words of a filter; the rest is the reason. False: one is wrong, and the call has been ended. */
static bool
take_words(struct ctl_call *c, struct walk *w, struct slice args)
{
	struct slice word;
	bool wrong = false;

	while (ctl_word(&args, &word) && !wrong) {
		if (filter_word(&w->filter, word, &wrong))
			continue;
		if (w->reason != NULL)
			wrong = true;
		else
			w->reason = slice_dup(word);
	}
	if (!wrong)
		return true;
	ctl_end(c, EXIT_USAGE, "a word is neither an id nor a filter");
	walk_free(w);
	return false;
}

static void
show(struct ctl_call *c, struct slice args, enum show how, bool failed)
{
	struct walk *w = walk_new(c);

	w->show = how;
	w->filter.failed = failed;
	if (!take_words(c, w, args))
		return;
	if (w->reason != NULL) {
		ctl_end(c, EXIT_USAGE, "a word is neither an id nor a filter");
		walk_free(w);
		return;
	}
	ctl_more(c, show_more, w, walk_free);
}

static void
verb_list(struct ctl_call *c, struct slice args)
{
	show(c, args, SHOW_LIST, false);
}

static void
verb_failed(struct ctl_call *c, struct slice args)
{
	show(c, args, SHOW_LIST, true);
}

static void
verb_mailq(struct ctl_call *c, struct slice args)
{
	show(c, args, SHOW_MAILQ, false);
}

static struct message *
one_message(struct ctl_call *c, struct slice args)
{
	struct qmgr *q = ctl_arg(c);
	struct slice word;
	struct message *m;
	uint64_t id;

	if (!ctl_word(&args, &word) || !id_parse(word, &id)) {
		ctl_end(c, EXIT_USAGE, "not a queue id");
		return NULL;
	}
	m = message_find(&q->messages, id);
	if (m == NULL)
		ctl_end(c, EXIT_UNAVAILABLE, "no such message in the queue");
	return m;
}

static void
verb_show(struct ctl_call *c, struct slice args)
{
	struct message *m = one_message(c, args);

	if (m == NULL)
		return;
	message_json(ctl_arg(c), m, true, ctl_out(c));
	ctl_end(c, 0, NULL);
}

static void
verb_why(struct ctl_call *c, struct slice args)
{
	struct message *m = one_message(c, args);
	struct qmgr *q = ctl_arg(c);

	for (unsigned i = 0; m != NULL && i < m->nrcpt; i++)
		if (message_rcpts(m)[i].phase != RCPT_CLOSED)
			why_json(q, m, i, ctl_out(c));
	if (m != NULL)
		ctl_end(c, 0, NULL);
}

/* ---- acting ---- */

/* What was done is durable: now it may be said (rule 26). */
static void
act_durable(void *arg)
{
	struct walk *w = arg;
	struct ctl_call *c = ctl_by_token(w->q->ctl, w->token);

	if (c != NULL) {
		struct buf *b = ctl_out(c);

		json_open(b, '{');
		json_ku64(b, "messages", w->done);
		json_close(b, '}');
		buf_putc(b, '\n');
		ctl_end(c, w->done > 0 || w->filter.id == 0 ? 0 : EXIT_UNAVAILABLE,
		    w->done > 0 || w->filter.id == 0 ? NULL
						     : "no such message, or nothing to do to it");
	}
	walk_free(w);
}

static void
act_done(struct walk *w)
{
	w->wait = (struct journal_wait){ .durable = act_durable, .arg = w };
	journal_after(&w->q->journal, &w->wait, JOURNAL_NOW);
}

static void
act_one(struct walk *w, struct message *m)
{
	if (m == NULL || !filter_matches(w->q, &w->filter, m))
		return;
	w->done += operate(w->q, w->what, m, slice_z(w->holder), slice_z(w->reason));
}

/* A slice a turn, whether the caller still listens or not. */
static void
act_step(void *arg)
{
	struct walk *w = arg;

	for (unsigned n = 0; n < ACT_SLICE; n++) {
		struct message *m = w->filter.id != 0 ? message_find(&w->q->messages, w->filter.id)
						      : messages_next(&w->q->messages, &w->cursor);

		act_one(w, m);
		if (m != NULL && w->filter.id == 0)
			continue;
		act_done(w);
		return;
	}
	loop_defer(w->q->loop, &w->step);
}

static const char *
default_reason(enum operation what)
{
	switch (what) {
	case OPERATE_HOLD:
		return "held by an operator";
	case OPERATE_FAIL:
		return "failed by an operator";
	case OPERATE_DELETE:
		return "deleted by an operator";
	case OPERATE_RELEASE:
	case OPERATE_RETRY:
	case OPERATE_FLUSH:
		break;
	}
	return "";
}

static void
act(struct ctl_call *c, struct slice args, enum operation what)
{
	struct walk *w = walk_new(c);
	char who[32];

	w->what = what;
	w->step = (struct deferred){ .fn = act_step, .arg = w };
	snprintf(who, sizeof who, "uid %u", (unsigned)ctl_uid(c));
	w->holder = xstrdup(who);
	if (!take_words(c, w, args))
		return;
	if (w->reason == NULL)
		w->reason = xstrdup(default_reason(what));
	if (what != OPERATE_FLUSH && filter_is_empty(&w->filter)) {
		ctl_end(c, EXIT_USAGE, "which messages? an id or a filter is wanted");
		walk_free(w);
		return;
	}
	loop_defer(w->q->loop, &w->step);
}

static void
verb_hold(struct ctl_call *c, struct slice args)
{
	act(c, args, OPERATE_HOLD);
}

static void
verb_release(struct ctl_call *c, struct slice args)
{
	act(c, args, OPERATE_RELEASE);
}

static void
verb_delete(struct ctl_call *c, struct slice args)
{
	act(c, args, OPERATE_DELETE);
}

static void
verb_fail(struct ctl_call *c, struct slice args)
{
	act(c, args, OPERATE_FAIL);
}

static void
verb_retry(struct ctl_call *c, struct slice args)
{
	act(c, args, OPERATE_RETRY);
}

/* sendmail -q says "id X", "recipient X", "sender X"; angctl "domain=X". */
static void
verb_flush(struct ctl_call *c, struct slice args)
{
	static const char *const names[] = { "id", "recipient", "sender" };
	struct slice rest = args, first, second;
	struct buf words = { 0 };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		rest = args;
		if (!ctl_word(&rest, &first) || !slice_is(first, names[i]) ||
		    !ctl_word(&rest, &second))
			continue;
		buf_printf(&words, "%s=%.*s", names[i], SLICE_ARG(second));
		buf_putc(&words, '\0');
		args = slice_buf(&words);
		break;
	}
	if (args.n == 0)
		qmgr_wake_down(ctl_arg(c));
	act(c, args, OPERATE_FLUSH);
	buf_fini(&words);
}

const struct ctl_verb control_verbs[] = {
	{ "status", CTL_ANYONE, true, verb_status, "what it is doing" },
	{ "queue", CTL_ADMIN, true, control_queue, "one line a queue" },
	{ "limits", CTL_ADMIN, true, control_limits, "one line a bucket" },
	{ "hosts", CTL_ADMIN, true, control_hosts, "one line a host that did not answer" },
	{ "list", CTL_ADMIN, true, verb_list,
	    "messages: [id=] [state=] [domain=] [sender=] [recipient=]" },
	{ "show", CTL_ADMIN, true, verb_show, "ID: all that is known of a message" },
	{ "mailq", CTL_ANYONE, true, verb_mailq, "the list that mailq prints" },
	{ "failed", CTL_ADMIN, true, verb_failed, "what failed and is owed a notice" },
	{ "hold", CTL_ADMIN, false, verb_hold, "ID or filter, REASON" },
	{ "release", CTL_ADMIN, false, verb_release, "ID or filter" },
	{ "delete", CTL_ADMIN, false, verb_delete, "ID or filter, REASON" },
	{ "fail", CTL_ADMIN, false, verb_fail, "ID or filter, REASON" },
	{ "retry", CTL_ADMIN, false, verb_retry, "ID or filter: due now" },
	{ "flush", CTL_ANYONE, false, verb_flush, "all, or a filter: due now" },
	{ "suspend", CTL_ADMIN, false, control_suspend,
	    "queue=, domain=, pool=, binding=, or *; REASON" },
	{ "resume", CTL_ADMIN, false, control_resume, "what was suspended" },
	{ "ledger", CTL_ADMIN, true, verb_ledger, "does it add up" },
	{ "why", CTL_ADMIN, true, verb_why, "ID: what it waits for" },
	{ "spool", CTL_ADMIN, true, verb_spool, "one line a segment" },
	{ NULL, CTL_ADMIN, false, NULL, NULL },
};
