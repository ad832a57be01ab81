/* SPDX-License-Identifier: ISC */
#include "qmgr/notice.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "qmgr/address.h"
#include "qmgr/notice_make.h"
#include "qmgr/state.h"
#include "spool/envelope.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	BUCKETS = 1024,
	WALK_SLICE = 2000,
	MAKE_SLICE = 8, /* notices made in one turn: each reads from disk */
	RETRY_FIRST_MS = 5000,
	BACKLOG_BYTES = 1 << 20,
	KINDS = SPOOL_NOTICE_FAILED | SPOOL_NOTICE_DELAYED | SPOOL_NOTICE_DELIVERED,
};

struct entry {
	TAILQ_ENTRY(entry) order;
	LIST_ENTRY(entry) bucket;
	uint64_t id, lsn;	   /* what it speaks of is durable when the journal is there */
	uint64_t due_ms, first_ms; /* monotonic */
	uint32_t retry_ms;
	uint8_t sent; /* kind under way; 0: none */
};

/* A notice that is filed, and waits for that to be durable. */
struct filing {
	STAILQ_ENTRY(filing) next;
	uint64_t id, lsn;
};

struct notices {
	TAILQ_HEAD(, entry) order;
	LIST_HEAD(, entry) bucket[BUCKETS];
	STAILQ_HEAD(, filing) filings;
	unsigned n, sent;
	uint64_t next_ms; /* no entry is due before */
	bool walk;	  /* there were more than fit: look for them */
	uint32_t cursor;
	struct peer *bounced;
	void (*send)(struct qmgr *q, const struct msg_notice *m, int fd);
	uint64_t unheard; /* replies that bounced was not told of */
};

static void
send_by_link(struct qmgr *q, const struct msg_notice *m, int fd)
{
	struct buf frame = { 0 };

	msg_notice_put(&frame, m);
	peer_send_fd(q->notices->bounced, &frame, fd);
	buf_fini(&frame);
}

struct notices *
notices_new(void)
{
	struct notices *all = xcalloc(1, sizeof *all);

	TAILQ_INIT(&all->order);
	STAILQ_INIT(&all->filings);
	all->next_ms = UINT64_MAX;
	return all;
}

void
notices_free(struct notices *all)
{
	struct filing *f;
	struct entry *e;

	while (all != NULL && (e = TAILQ_FIRST(&all->order)) != NULL) {
		TAILQ_REMOVE(&all->order, e, order);
		free(e);
	}
	while (all != NULL && (f = STAILQ_FIRST(&all->filings)) != NULL) {
		STAILQ_REMOVE_HEAD(&all->filings, next);
		free(f);
	}
	free(all);
}

void
notices_set_send(struct qmgr *q, void (*send)(struct qmgr *q, const struct msg_notice *m, int fd))
{
	q->notices->send = send;
}

/* ---- what is owed ---- */

/* The null sender is told nothing; who is to hear of its failures is not told of his own. */
static bool
double_bounce(struct qmgr *q, const struct message *m, unsigned rcpt)
{
	struct slice to = slice_z(q->conf->double_bounce_to);
	const struct envelope_rcpt *r = to.n == 0 ? NULL : address_rcpt(q, m, rcpt);

	return r != NULL && !slice_ieq(r->recipient, to);
}

uint8_t
notice_for_failure(struct qmgr *q, struct message *m, unsigned rcpt)
{
	uint8_t notify = message_rcpts(m)[rcpt].notify;

	if (notify != 0 && (notify & NOTIFY_FAILURE) == 0)
		return 0;
	if ((m->flags & (MESSAGE_NULL_SENDER | MESSAGE_NOTICE)) == 0)
		return SPOOL_NOTICE_FAILED;
	return double_bounce(q, m, rcpt) ? SPOOL_NOTICE_FAILED : 0;
}

uint8_t
notice_for_success(struct message *m, unsigned rcpt, bool dsn)
{
	if (dsn || (m->flags & (MESSAGE_NULL_SENDER | MESSAGE_NOTICE)) != 0)
		return 0;
	return message_rcpts(m)[rcpt].notify & NOTIFY_SUCCESS ? SPOOL_NOTICE_DELIVERED : 0;
}

uint32_t
notice_delay_tick(const struct qmgr *q, const struct message *m, const struct recipient *r)
{
	if (q->conf->delay_notice_ms == 0 ||
	    (m->flags & (MESSAGE_NULL_SENDER | MESSAGE_NOTICE)) != 0 ||
	    (r->owed & (SPOOL_NOTICE_DELAYED | SPOOL_NOTICE_TOLD)) != 0)
		return UINT32_MAX;
	if ((r->notify & NOTIFY_DELAY) == 0 && (r->notify != 0 || !q->conf->delay_notice_unasked))
		return UINT32_MAX;
	return qclock_tick(qclock_of_tick(m->arrival) + q->conf->delay_notice_ms);
}

void
notice_delayed(struct qmgr *q, struct message *m, unsigned rcpt)
{
	uint32_t number = rcpt;

	commit(q, notice, .id = m->id, .notice = SPOOL_NOTICE_DELAYED,
	    .rcpts = slice_of(&number, sizeof number));
	journal_hurry(&q->journal, JOURNAL_GROUP);
}

/* One of the kinds owed, 0: none. The failure first. */
static uint8_t
kind_owed(struct message *m)
{
	unsigned all = 0;

	for (unsigned i = 0; i < m->nrcpt; i++)
		all |= message_rcpts(m)[i].owed;
	all &= KINDS;
	return (uint8_t)(all & -all);
}

/* ---- entries ---- */

static struct entry *
entry_find(const struct notices *all, uint64_t id)
{
	struct entry *e;

	LIST_FOREACH(e, &all->bucket[(id ^ id >> 22) % BUCKETS], bucket)
	if (e->id == id)
		return e;
	return NULL;
}

static void
due_at(struct notices *all, struct entry *e, uint64_t ms)
{
	e->due_ms = ms;
	if (ms < all->next_ms)
		all->next_ms = ms;
}

static void
entry_free(struct notices *all, struct entry *e)
{
	all->sent -= e->sent != 0;
	TAILQ_REMOVE(&all->order, e, order);
	LIST_REMOVE(e, bucket);
	all->n--;
	free(e);
}

static void
unsend(struct notices *all, struct entry *e, uint64_t due_ms)
{
	all->sent -= e->sent != 0;
	e->sent = 0;
	due_at(all, e, due_ms);
}

void
notice_owed(struct qmgr *q, const struct message *m)
{
	struct notices *all = q->notices;
	struct entry *e = entry_find(all, m->id);
	uint64_t now = clock_mono_ms();

	if (e == NULL && all->n == NOTICES_ENTRIES_MAX) {
		if (!all->walk)
			all->cursor = 0;
		all->walk = true;
		return;
	}
	if (e == NULL) {
		e = xcalloc(1, sizeof *e);
		e->id = m->id;
		e->first_ms = now;
		TAILQ_INSERT_TAIL(&all->order, e, order);
		LIST_INSERT_HEAD(&all->bucket[(e->id ^ e->id >> 22) % BUCKETS], e, bucket);
		all->n++;
		due_at(all, e, now);
	} else if (e->sent == 0 && now < e->first_ms + NOTICES_WAIT_MS) {
		due_at(all, e, now); /* perhaps it was the last one on its way */
	}
	e->lsn = q->journal.lsn;
}

void
notice_settled(struct qmgr *q, uint64_t id, uint8_t kind)
{
	struct notices *all = q->notices;
	struct entry *e = entry_find(all, id);

	if (e == NULL || e->sent != kind)
		return;
	e->retry_ms = 0;
	unsend(all, e, clock_mono_ms()); /* what else is owed is seen, or that nothing is */
}

/* ---- from bounced ---- */

void
notice_filed(struct qmgr *q, const struct message *m)
{
	struct filing *f = xcalloc(1, sizeof *f);

	f->id = m->id;
	f->lsn = q->journal.lsn;
	STAILQ_INSERT_TAIL(&q->notices->filings, f, next);
	journal_hurry(&q->journal, JOURNAL_NOW);
}

/* Unless an operator did something else with it meanwhile. */
static void
set_out(struct qmgr *q, struct message *m)
{
	for (unsigned i = 0; m != NULL && i < m->nrcpt; i++) {
		const struct recipient *r = &message_rcpts(m)[i];

		if (r->phase == RCPT_DEFERRED && r->state == SPOOL_QUEUED && r->due == m->arrival &&
		    r->attempts == 0)
			rcpt_enter_queue(q, m, i);
	}
}

static void
filings_run(struct qmgr *q)
{
	struct filing *f;

	while ((f = STAILQ_FIRST(&q->notices->filings)) != NULL && f->lsn <= q->journal.durable) {
		STAILQ_REMOVE_HEAD(&q->notices->filings, next);
		set_out(q, message_find(&q->messages, f->id));
		free(f);
		qmgr_again(q);
	}
}

/* ---- to bounced ---- */

static bool
reaches(const struct notices *all)
{
	return all->send != NULL || (all->bounced != NULL && peer_is_up(all->bounced));
}

static bool
on_its_way(const struct recipient *r)
{
	switch ((enum rcpt_phase)r->phase) {
	case RCPT_READY:
	case RCPT_RUNNING:
	case RCPT_ROUTING:
	case RCPT_ASKED:
	case RCPT_ORPHAN:
		return true;
	case RCPT_DEFERRED:
	case RCPT_OWED:
	case RCPT_CLOSED:
		break;
	}
	return false;
}

/* Others of the message may fail in a moment, and be told of in the same notice. */
static bool
is_ripe(const struct entry *e, struct message *m, uint64_t now)
{
	if (now >= e->first_ms + NOTICES_WAIT_MS)
		return true;
	for (unsigned i = 0; i < m->nrcpt; i++)
		if (on_its_way(&message_rcpts(m)[i]))
			return false;
	return true;
}

/* What can never be told: nobody may be told, or the record is damaged. */
static void
give_up(struct qmgr *q, struct message *m, uint8_t kind, const char *rule)
{
	struct buf rcpts = { 0 };

	for (uint32_t i = 0; i < m->nrcpt; i++)
		if (message_rcpts(m)[i].owed & kind)
			buf_put(&rcpts, &i, sizeof i);
	log_trouble(0, "a notice is not sent: %s", rule);
	commit(q, settled, .id = m->id, .notice = kind, .rcpts = slice_buf(&rcpts),
	    .rule = slice_z(rule));
	buf_fini(&rcpts);
}

/* True: it took work. */
static bool
ask(struct qmgr *q, struct entry *e, struct message *m, uint8_t kind, uint64_t now)
{
	struct notices *all = q->notices;
	struct buf bytes = { 0 };
	int error = notice_make(q, m, kind, &bytes), fd;

	if (error != 0 || bytes.n > NOTICE_MAX_BYTES) {
		give_up(q, m, kind, error == -ENOENT ? "nobody-to-tell" : "message-unreadable");
		buf_fini(&bytes);
		return true;
	}
	fd = notice_seal(&bytes);
	if (fd < 0) {
		log_trouble(-fd, "a notice cannot be handed over");
		due_at(all, e, now + RETRY_FIRST_MS);
	} else {
		const struct msg_notice msg = {
			.id = e->id, .kind = kind, .size = (uint32_t)bytes.n
		};

		(all->send != NULL ? all->send : send_by_link)(q, &msg, fd);
		close(fd);
		e->sent = kind;
		all->sent++;
		due_at(all, e, now + NOTICES_ANSWER_MS);
	}
	buf_fini(&bytes);
	return true;
}

/* One entry whose time has come. True: work was done. */
static bool
entry_run(struct qmgr *q, struct entry *e, uint64_t now)
{
	struct notices *all = q->notices;
	struct message *m = message_find(&q->messages, e->id);
	uint8_t kind = m == NULL ? 0 : kind_owed(m);

	if (kind == 0) {
		entry_free(all, e);
		return false;
	}
	if (e->sent != 0) { /* no answer: again, in a while */
		e->retry_ms = e->retry_ms == 0 ? RETRY_FIRST_MS : e->retry_ms * 2;
		if (e->retry_ms > NOTICES_RETRY_MAX_MS)
			e->retry_ms = NOTICES_RETRY_MAX_MS;
		unsend(all, e, now + e->retry_ms);
		return false;
	}
	if (!is_ripe(e, m, now)) {
		due_at(all, e, e->first_ms + NOTICES_WAIT_MS);
		return false;
	}
	if (all->sent == NOTICES_SENT_MAX || e->lsn > q->journal.durable) {
		due_at(all, e, now); /* when one is filed, or the group is durable */
		return false;
	}
	return ask(q, e, m, kind, now);
}

static void
walk(struct qmgr *q)
{
	struct notices *all = q->notices;
	struct message *m;

	for (unsigned i = 0; all->walk && i < WALK_SLICE && all->n < NOTICES_ENTRIES_MAX; i++) {
		m = messages_next(&q->messages, &all->cursor);
		if (m == NULL)
			all->walk = false;
		else if (kind_owed(m) != 0)
			notice_owed(q, m);
	}
	if (all->walk && all->n < NOTICES_ENTRIES_MAX)
		qmgr_again(q);
}

void
notices_run(struct qmgr *q)
{
	struct notices *all = q->notices;
	uint64_t now = clock_mono_ms();
	struct entry *e, *next;
	unsigned made = 0;

	filings_run(q);
	if (!reaches(all))
		return;
	if (all->walk && all->n < NOTICES_ENTRIES_MAX / 2)
		walk(q);
	if (now < all->next_ms)
		return;
	all->next_ms = UINT64_MAX;
	for (e = TAILQ_FIRST(&all->order); e != NULL; e = next) {
		next = TAILQ_NEXT(e, order);
		if (e->due_ms <= now && made < MAKE_SLICE)
			made += entry_run(q, e, now); /* e may be gone */
		else if (e->due_ms < all->next_ms)
			all->next_ms = e->due_ms;
	}
	if (made == MAKE_SLICE)
		qmgr_again(q);
}

uint64_t
notices_next_ms(const struct qmgr *q)
{
	const struct notices *all = q->notices;
	uint64_t now = clock_mono_ms();

	if (!reaches(all) || all->next_ms == UINT64_MAX)
		return UINT64_MAX;
	return all->next_ms > now ? all->next_ms - now : 0;
}

void
notices_look(const struct qmgr *q, struct notices_state *out)
{
	const struct notices *all = q->notices;

	*out = (struct notices_state){
		.waiting = all->n - all->sent, .sent = all->sent, .unheard = all->unheard
	};
}

/* ---- the link ---- */

static void
all_again(struct notices *all)
{
	uint64_t now = clock_mono_ms();
	struct entry *e;

	TAILQ_FOREACH(e, &all->order, order)
	{
		e->retry_ms = 0;
		unsend(all, e, now);
	}
}

void
notice_linked(struct qmgr *q, struct peer *p)
{
	q->notices->bounced = p;
	all_again(q->notices);
	qmgr_again(q);
}

void
notice_unlinked(struct qmgr *q, const struct peer *p)
{
	if (q->notices->bounced != p)
		return;
	q->notices->bounced = NULL;
	all_again(q->notices);
}

bool
notice_put_off(struct qmgr *q, const struct msg_notice_later *m)
{
	struct notices *all = q->notices;
	struct entry *e = entry_find(all, m->id);
	uint32_t wait = m->retry_ms < 100		     ? 100
			: m->retry_ms > NOTICES_RETRY_MAX_MS ? NOTICES_RETRY_MAX_MS
							     : m->retry_ms;

	if (e != NULL && e->sent != 0 && e->sent == m->kind)
		unsend(all, e, clock_mono_ms() + wait);
	return true; /* or of one that is settled meanwhile */
}

void
notice_reply(struct qmgr *q, const struct message *m, unsigned rcpt, enum notice_action action,
    const struct attempt_end *end)
{
	struct notices *all = q->notices;
	const struct envelope_rcpt *to;

	if (all->bounced == NULL || !peer_is_up(all->bounced) ||
	    peer_backlog(all->bounced) > BACKLOG_BYTES) {
		all->unheard++;
		return;
	}
	to = address_rcpt(q, m, rcpt);
	peer_send(all->bounced, reply, .id = m->id, .rcpt = rcpt, .action = (uint8_t)action,
	    .code = end->code <= 999 ? end->code : 0, .enh_class = end->enh[0],
	    .enh_subject = end->enh[1], .enh_detail = end->enh[2],
	    .to = to == NULL ? SLICE_NONE : to->recipient, .host = end->host,
	    .text = slice_head(end->text, 2000));
}
