/* SPDX-License-Identifier: ISC */
#include "qmgr/why.h"

#include "base/json.h"
#include "qmgr/address.h"
#include "qmgr/bucket.h"
#include "qmgr/state.h"
#include "qmgr/suspend.h"

const char *
why_word(enum why_cause cause)
{
	static const char *const words[] = {
#define C(NAME, word) [WHY_##NAME] = word,
		WHY_CAUSES(C)
#undef C
	};

	return words[cause];
}

void
why_fini(struct why *w)
{
	buf_fini(&w->by);
	buf_fini(&w->text);
}

static uint64_t
in_ms(struct qmgr *q, uint32_t tick)
{
	uint64_t at = qclock_of_tick(tick), now = qclock_ms(&q->clock);

	return at > now ? at - now : 0;
}

static void
put_next(struct why *w)
{
	buf_printf(&w->text, ": next try in %llu s", (unsigned long long)w->next_ms / 1000);
}

/* ---- what may hold a queue ---- */

static bool
is_suspended(struct qmgr *q, struct queue *queue, struct why *w)
{
	const struct queue *by = suspend_of(q, queue);
	enum suspend_kind kind;

	if (by == NULL)
		return false;
	kind = suspend_kind_of(by);
	w->cause = WHY_SUSPENDED;
	if (kind == SUSPEND_ALL)
		buf_putc(&w->by, '*');
	else if (kind == SUSPEND_QUEUE)
		buf_printf(&w->by, "queue=%u", by->number);
	else
		buf_printf(&w->by, "%s=%.*s", suspend_word(kind), SLICE_ARG(by->route.domain));
	buf_printf(&w->text, "suspended: %.*s by %s: %s", SLICE_ARG(slice_buf(&w->by)),
	    by->suspend_holder, by->suspend_reason);
	return true;
}

static bool
is_down(struct qmgr *q, const struct queue *queue, struct why *w)
{
	const char *what = "unreachable";

	if (queue->down_until == 0)
		return false;
	w->cause = WHY_UNREACHABLE;
	w->next_ms = in_ms(q, queue->down_until);
	switch ((enum queue_wait)queue->wait) {
	case WAIT_HOST:
		break;
	case WAIT_REST:
		what = "all its hosts rest";
		break;
	case WAIT_DNS:
		w->cause = WHY_DNS;
		what = "DNS failing";
		break;
	case WAIT_DNSCACHE:
		w->cause = WHY_DNS;
		what = "no answer from dnscache";
		break;
	}
	buf_puts(&w->text, what);
	put_next(w);
	buf_printf(&w->text, ": %s", queue->down_reason == NULL ? "-" : queue->down_reason);
	return true;
}

static bool
limited(struct why *w, const char *limit)
{
	w->cause = WHY_LIMIT;
	buf_puts(&w->by, limit);
	buf_printf(&w->text, "limit %s: ", limit);
	return true;
}

/* Limits that it shares with other queues. */
static bool
in_bucket(struct qmgr *q, struct queue *queue, struct why *w)
{
	struct bucket_hold h;
	struct buf name = { 0 };

	if (!bucket_holds(q, queue, &h))
		return false;
	if (h.bucket[0] != '\0')
		buf_printf(&name, "%s/", h.bucket);
	buf_puts(&name, h.bucket[0] == '\0' && h.limit == BUCKET_CONNECTIONS
			    ? "concurrency"
			    : bucket_limit_word(h.limit));
	buf_putc(&name, '\0');
	limited(w, name.p);
	buf_fini(&name);
	if (h.limit == BUCKET_CONNECTIONS)
		buf_puts(&w->text, "all connections are in use, by other queues too");
	else
		buf_puts(&w->text, "as many as it lets pass");
	if (h.wait_ms > 0) {
		w->next_ms = h.wait_ms;
		buf_printf(&w->text, ", next in %llu ms", (unsigned long long)h.wait_ms);
	}
	if (h.before > 0)
		buf_printf(&w->text, ", %u queues before it", h.before);
	return true;
}

/* Those of the queue and of its site. */
static bool
is_limited(struct qmgr *q, struct queue *queue, struct why *w)
{
	uint64_t most = queue_limits(q, queue)->connections;

	if ((queue->down_count > 0 || queue->probing) && queue->njobs > 0) {
		w->cause = WHY_UNREACHABLE;
		buf_printf(&w->text, "was unreachable: one message feels the way: %s",
		    queue->down_reason == NULL ? "-" : queue->down_reason);
		return true;
	}
	if (queue->njobs >= most) {
		limited(w, "concurrency");
		buf_printf(&w->text, "%u connections in use", queue->njobs);
		return true;
	}
	return in_bucket(q, queue, w);
}

/* Those of the house. */
static bool
has_no_worker(struct qmgr *q, const struct queue *queue, struct why *w)
{
	const struct dispatch *d = &q->dispatch;
	uint32_t room = 0, jobs = 0;
	unsigned workers = 0;

	for (unsigned i = 0; i < d->nworkers; i++) {
		const struct worker *k = &d->worker[i];

		if (!k->used || !k->ready || k->courier != queue->courier)
			continue;
		workers++;
		room += k->room;
		jobs += k->njobs;
	}
	if (workers == 0) {
		w->cause = WHY_WORKER;
		buf_puts(&w->text, "no delivery process is there");
		return true;
	}
	if (d->window >= q->conf->jobs_max) {
		limited(w, "jobs_max");
		buf_printf(&w->text, "%u jobs without a durable result", d->window);
		return true;
	}
	if (jobs < room)
		return false;
	limited(w, "room");
	buf_printf(&w->text, "%u jobs are as many as the delivery processes take", jobs);
	return true;
}

/* Its message is the one that the queue's next job will be made of. */
static bool
is_next(const struct queue *queue, const struct message *m)
{
	uint32_t msg;
	unsigned rcpt;

	return ready_first(queue, &msg, &rcpt) && msg == message_index(m);
}

/* A limit holds the first; whoever is not the first waits for those before it, however fast that goes. */
static void
why_ready(struct qmgr *q, const struct message *m, struct queue *queue, struct why *w)
{
	struct buf limit = { 0 };

	if (is_suspended(q, queue, w) || is_down(q, queue, w))
		return;
	if (queue->resolving) {
		w->cause = WHY_LOOKUP;
		buf_puts(&w->text, "its hosts are being looked up in the DNS");
		return;
	}
	if ((is_limited(q, queue, w) || has_no_worker(q, queue, w)) &&
	    (w->cause != WHY_LIMIT || is_next(queue, m)))
		return;
	w->cause = WHY_BEHIND;
	limit = w->text;
	w->text = (struct buf){ 0 };
	buf_printf(&w->text, "behind others: %u ready in its queue", queue->nready);
	if (limit.n > 0)
		buf_printf(&w->text, ": %.*s", SLICE_ARG(slice_buf(&limit)));
	buf_fini(&limit);
}

/* Not due, unless its queue is stopped, or waits for longer than it does itself. */
static void
why_deferred(struct qmgr *q, const struct recipient *r, struct why *w)
{
	struct queue *queue = queue_at(&q->queues, r->queue);

	if (queue != NULL && is_suspended(q, queue, w))
		return;
	if (queue != NULL && queue->down_until > r->due && is_down(q, queue, w))
		return;
	w->cause = WHY_NOT_DUE;
	w->next_ms = in_ms(q, r->due);
	buf_puts(&w->text, "not due");
	put_next(w);
}

void
why_find(struct qmgr *q, struct message *m, unsigned rcpt, struct why *w)
{
	const struct recipient *r = &message_rcpts(m)[rcpt];
	const struct hold *h = hold_of(q, m);

	w->next_ms = UINT64_MAX;
	switch ((enum rcpt_phase)r->phase) {
	case RCPT_RUNNING:
		w->cause = WHY_RUNNING;
		buf_puts(&w->text, "in delivery now");
		return;
	case RCPT_ORPHAN:
		w->cause = WHY_REPORT;
		buf_puts(&w->text, "was in delivery when the queue manager ended: its delivery "
				   "process has not reported yet");
		return;
	case RCPT_READY:
		why_ready(q, m, queue_at(&q->queues, r->queue), w);
		return;
	case RCPT_ROUTING:
	case RCPT_ASKED:
		w->cause = peer_is_up(q->router) ? WHY_ROUTING : WHY_ROUTER;
		buf_puts(&w->text,
		    w->cause == WHY_ROUTING ? "being routed" : "the router does not answer");
		return;
	case RCPT_DEFERRED:
		if (h == NULL) {
			why_deferred(q, r, w);
			return;
		}
		w->cause = WHY_HELD;
		buf_puts(&w->by, h->holder);
		buf_printf(&w->text, "held by %s: %s", h->holder, h->reason);
		return;
	case RCPT_OWED:
		w->cause = WHY_NOTICE;
		buf_printf(&w->text, "%s; its sender is owed a notice",
		    r->owed & SPOOL_NOTICE_FAILED ? "failed" : spool_state_word(r->state));
		return;
	case RCPT_CLOSED:
		break;
	}
	w->cause = WHY_OVER;
	buf_puts(&w->text, spool_state_word(r->state));
}

void
why_json(struct qmgr *q, struct message *m, unsigned rcpt, struct buf *out)
{
	const struct envelope_rcpt *to = address_rcpt(q, m, rcpt);
	struct why w = { 0 };

	why_find(q, m, rcpt, &w);
	json_open(out, '{');
	json_ku64(out, "rcpt", rcpt);
	json_kstr(out, "address", to == NULL ? SLICE_LIT("?") : to->recipient);
	json_ku64(out, "attempts", message_rcpts(m)[rcpt].attempts);
	json_kz(out, "cause", why_word(w.cause));
	if (w.by.n > 0)
		json_kstr(out, "by", slice_buf(&w.by));
	if (w.next_ms != UINT64_MAX)
		json_ku64(out, "next_ms", w.next_ms);
	json_kstr(out, "why", slice_buf(&w.text));
	json_close(out, '}');
	buf_putc(out, '\n');
	why_fini(&w);
}
