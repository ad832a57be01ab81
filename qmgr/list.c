/* SPDX-License-Identifier: ISC */
#include "qmgr/list.h"

#include "base/clock.h"
#include "base/json.h"
#include "qmgr/address.h"
#include "qmgr/state.h"
#include "qmgr/suspend.h"
#include "qmgr/why.h"

#include <stdlib.h>

/* ---- filters ---- */

bool
filter_word(struct filter *f, struct slice word, bool *wrong)
{
	ptrdiff_t eq = slice_find(word, '=');
	struct slice value = slice_from(word, (size_t)(eq + 1));
	const struct {
		const char *name;
		char **at;
	} texts[] = { { "state", &f->state }, { "domain", &f->domain }, { "sender", &f->sender },
		{ "recipient", &f->recipient } };

	if (eq < 0)
		return f->id == 0 && id_parse(word, &f->id);
	if (slice_is(slice_head(word, (size_t)eq), "id")) {
		*wrong = !id_parse(value, &f->id);
		return true;
	}
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		if (!slice_is(slice_head(word, (size_t)eq), texts[i].name))
			continue;
		free(*texts[i].at);
		*texts[i].at = slice_dup(value);
		return true;
	}
	return false;
}

bool
filter_is_empty(const struct filter *f)
{
	return f->id == 0 && f->state == NULL && f->domain == NULL && f->sender == NULL &&
	       f->recipient == NULL;
}

void
filter_fini(struct filter *f)
{
	free(f->state);
	free(f->domain);
	free(f->sender);
	free(f->recipient);
}

static bool
in_domain(struct qmgr *q, struct message *m, struct slice domain)
{
	for (unsigned i = 0; i < m->nrcpt; i++) {
		const struct recipient *r = &message_rcpts(m)[i];
		const struct queue *queue = queue_at(&q->queues, r->queue);

		if (r->phase != RCPT_CLOSED && queue != NULL &&
		    slice_ieq(queue->route.domain, domain))
			return true;
	}
	return false;
}

static bool
has_recipient(struct qmgr *q, struct message *m, struct slice address)
{
	for (unsigned i = 0; i < m->nrcpt; i++) {
		const struct envelope_rcpt *to = address_rcpt(q, m, i);

		if (to != NULL && message_rcpts(m)[i].phase != RCPT_CLOSED &&
		    slice_ieq(to->recipient, address))
			return true;
	}
	return false;
}

static bool
only_owed(struct message *m)
{
	for (unsigned i = 0; i < m->nrcpt; i++)
		if (message_rcpts(m)[i].phase != RCPT_OWED &&
		    message_rcpts(m)[i].phase != RCPT_CLOSED)
			return false;
	return true;
}

static bool
any_owed(struct message *m)
{
	for (unsigned i = 0; i < m->nrcpt; i++)
		if (message_rcpts(m)[i].owed & SPOOL_NOTICE_FAILED)
			return true;
	return false;
}

bool
filter_matches(struct qmgr *q, const struct filter *f, struct message *m)
{
	const struct envelope *e;

	if (f->id != 0 && m->id != f->id)
		return false;
	if (f->failed ? !any_owed(m) : f->id == 0 && only_owed(m))
		return false;
	if (f->state != NULL && strcmp(message_word(q, m), f->state) != 0)
		return false;
	if (f->domain != NULL && !in_domain(q, m, slice_z(f->domain)))
		return false;
	if (f->sender != NULL &&
	    ((e = address_envelope(q, m)) == NULL || !slice_ieq(e->sender, slice_z(f->sender))))
		return false;
	return f->recipient == NULL || has_recipient(q, m, slice_z(f->recipient));
}

/* ---- words ---- */

static const char *
rcpt_word(struct qmgr *q, const struct message *m, const struct recipient *r)
{
	struct queue *queue = queue_at(&q->queues, r->queue);

	switch ((enum rcpt_phase)r->phase) {
	case RCPT_RUNNING:
	case RCPT_ORPHAN:
		return "active";
	case RCPT_READY:
		return queue->down_until != 0 || suspend_of(q, queue) != NULL ? "deferred"
									      : "active";
	case RCPT_ROUTING:
	case RCPT_ASKED:
		return "active";
	case RCPT_DEFERRED:
		return m->flags & MESSAGE_HELD ? "hold" : "deferred";
	case RCPT_OWED:
		return r->owed & SPOOL_NOTICE_FAILED ? "failed" : spool_state_word(r->state);
	case RCPT_CLOSED:
		break;
	}
	return spool_state_word(r->state);
}

const char *
message_word(struct qmgr *q, struct message *m)
{
	const char *word = "failed";

	if (m->flags & MESSAGE_HELD)
		return "hold";
	for (unsigned i = 0; i < m->nrcpt; i++) {
		const char *one = message_rcpts(m)[i].phase == RCPT_CLOSED
				      ? ""
				      : rcpt_word(q, m, &message_rcpts(m)[i]);

		if (strcmp(one, "active") == 0)
			return one;
		if (strcmp(one, "deferred") == 0)
			word = one;
	}
	return word;
}

static uint64_t
in_ms(struct qmgr *q, uint32_t tick)
{
	uint64_t at = qclock_of_tick(tick), now = qclock_ms(&q->clock);

	return at > now ? at - now : 0;
}

/* Why it is still here, as people ask: the last reply, else what it waits for. */
static void
reason(struct qmgr *q, struct message *m, unsigned i, struct buf *out)
{
	const struct recipient *r = &message_rcpts(m)[i];
	const struct queue *queue = queue_at(&q->queues, r->queue);

	if (r->phase == RCPT_READY && queue->down_until != 0 && queue->down_reason != NULL)
		buf_puts(out, queue->down_reason);
	else if (!reply_text(q, m, i, out) && r->phase != RCPT_RUNNING) {
		struct why w = { 0 };

		why_find(q, m, i, &w);
		buf_slice(out, slice_buf(&w.text));
		why_fini(&w);
	}
}

/* ---- lines ---- */

static void
json_kid(struct buf *out, uint64_t id)
{
	char text[ID_TEXT + 1];

	id_text(id, text);
	json_kz(out, "id", text);
}

static void
rcpt_json(struct qmgr *q, struct message *m, unsigned i, bool all, struct buf *out)
{
	const struct recipient *r = &message_rcpts(m)[i];
	const struct envelope_rcpt *to = address_rcpt(q, m, i);
	const struct queue *queue = queue_at(&q->queues, r->queue);
	struct buf text = { 0 };

	json_open(out, '{');
	json_kstr(out, "address", to == NULL ? SLICE_LIT("?") : to->recipient);
	if (to != NULL && to->original.p != NULL)
		json_kstr(out, "original", to->original);
	json_kz(out, "state", rcpt_word(q, m, r));
	if (all) {
		json_ku64(out, "number", i);
		json_ku64(out, "attempts", r->attempts);
		if (r->phase == RCPT_DEFERRED || r->phase == RCPT_OWED)
			json_ku64(out, "due_in_ms", in_ms(q, r->due));
		if (r->phase != RCPT_CLOSED && r->queue != QUEUE_ROUTING && queue != NULL) {
			json_kstr(out, "domain", queue->route.domain);
			json_kstr(out, "transport", queue->route.transport);
		}
	}
	reason(q, m, i, &text);
	json_kstr(out, "reason", slice_buf(&text));
	json_close(out, '}');
	buf_fini(&text);
}

void
message_json(struct qmgr *q, struct message *m, bool all, struct buf *out)
{
	const struct envelope *e = address_envelope(q, m);
	const struct record *rec = address_record(q, m);
	const struct seg *s = seg_at(&q->segtab, m->seg);
	const struct hold *h = hold_of(q, m);

	json_open(out, '{');
	json_kid(out, m->id);
	json_kz(out, "state", message_word(q, m));
	json_ku64(
	    out, "size", rec == NULL ? message_bytes(m) : rec->head_len + record_body_bytes(rec));
	json_ku64(out, "arrival_ms", id_ms(m->id));
	json_kstr(out, "sender", e == NULL ? SLICE_LIT("?") : e->sender);
	if (h != NULL) {
		json_kz(out, "held_by", h->holder);
		json_kz(out, "hold_reason", h->reason);
		json_ku64(out, "held_ms", h->wall_ms);
	}
	if (all) {
		json_kz(out, "class", class_word(s->class));
		json_ku64(out, "segment", s->number);
		json_ku64(out, "offset", message_offset(m));
		json_ku64(out, "length", message_bytes(m));
		json_ku64(out, "suspicion", m->suspicion);
		json_key(out, "priority");
		json_i64(out, e == NULL ? 0 : e->priority);
	}
	json_key(out, "recipients");
	json_open(out, '[');
	for (unsigned i = 0; i < m->nrcpt; i++)
		if (all || message_rcpts(m)[i].phase != RCPT_CLOSED)
			rcpt_json(q, m, i, all, out);
	json_close(out, ']');
	json_close(out, '}');
	buf_putc(out, '\n');
}

static void
tab_text(struct buf *out, struct slice s)
{
	buf_putc(out, '\t');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\t' || s.p[i] == '\n' || s.p[i] == '\\')
			buf_putc(out, '\\');
		buf_putc(out, s.p[i] == '\t' ? 't' : s.p[i] == '\n' ? 'n' : s.p[i]);
	}
}

void
message_mailq(struct qmgr *q, struct message *m, struct buf *out)
{
	const struct envelope *e = address_envelope(q, m);
	const struct record *rec = address_record(q, m);
	char id[ID_TEXT + 1];

	id_text(m->id, id);
	buf_printf(out, "M\t%s\t%s\t%llu\t%llu", id, message_word(q, m),
	    (unsigned long long)(rec == NULL ? message_bytes(m)
					     : rec->head_len + record_body_bytes(rec)),
	    (unsigned long long)id_ms(m->id));
	tab_text(out, e == NULL ? SLICE_LIT("?") : e->sender);
	buf_putc(out, '\n');
	for (unsigned i = 0; i < m->nrcpt; i++) {
		const struct recipient *r = &message_rcpts(m)[i];
		const struct envelope_rcpt *to;
		struct buf text = { 0 };

		if (r->phase == RCPT_CLOSED || r->phase == RCPT_OWED)
			continue;
		to = address_rcpt(q, m, i);
		buf_putc(out, 'R');
		tab_text(out, to == NULL ? SLICE_LIT("?") : to->recipient);
		tab_text(out, slice_z(rcpt_word(q, m, r)));
		reason(q, m, i, &text);
		tab_text(out, slice_buf(&text));
		buf_putc(out, '\n');
		buf_fini(&text);
	}
}
