/* SPDX-License-Identifier: ISC */
#include "qmgr/clean.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "qmgr/address.h"
#include "qmgr/expanded.h"
#include "qmgr/large.h"
#include "qmgr/segments.h"
#include "qmgr/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	CHUNK_BYTES = JOURNAL_RCPTS_MAX / 4,
	CHUNK_HEAD = 4096,
	REPLIES_BYTES = 2 << 20,
	HOST_BYTES = 48,
	SLICE_RECORDS = 64,
	SLICE_US = 1000,
	FILES_FREE = 4,
	/* of what lives, in a snapshot, about; so many times as much is kept before it is cleaned */
	MESSAGE_BYTES = 128,
	RCPT_BYTES = 80,
	TIMES_LIVING = 2,
};

enum clean_phase {
	CLEAN_IDLE,
	CLEAN_READING,
	CLEAN_MESSAGES,
	CLEAN_QUEUES,
	CLEAN_SEGMENTS,
	CLEAN_LAST
};

struct clean {
	struct job job;
	struct qmgr *q;
	enum clean_phase phase;
	uint32_t file;
	char *bytes;
	size_t n;
	int error;
	struct slice rest;
	uint64_t seq;
	uint32_t cursor;
};

struct clean *
clean_new(void)
{
	return xcalloc(1, sizeof(struct clean));
}

void
clean_free(struct clean *c)
{
	if (c == NULL)
		return;
	free(c->bytes);
	free(c);
}

bool
clean_busy(const struct qmgr *q)
{
	return q->clean->phase != CLEAN_IDLE;
}

static void
file_read(struct job *job)
{
	struct clean *c = (struct clean *)job;
	char name[SPOOL_NAME];
	size_t at = 0;
	ssize_t n = 1;
	int fd;

	spool_journal_name(c->file, name);
	fd = openat(c->q->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	c->error = 0;
	c->n = 0;
	if (fd < 0) {
		/* a number that was skipped holds nothing */
		c->error = errno == ENOENT ? 0 : -errno;
		return;
	}
	while (at < JOURNAL_FILE_BYTES && n > 0) {
		n = pread(fd, c->bytes + at, JOURNAL_FILE_BYTES - at, (off_t)at);
		if (n > 0)
			at += (size_t)n;
	}
	c->error = n < 0 ? -errno : 0;
	c->n = at;
	close(fd);
}

static void
file_ready(struct job *job)
{
	struct clean *c = (struct clean *)job;

	if (c->error != 0) {
		log_trouble(-c->error, "journal %u cannot be read for cleaning", c->file);
		free(c->bytes);
		c->bytes = NULL;
		c->phase = CLEAN_IDLE;
		return;
	}
	c->rest = slice_of(c->bytes, c->n);
	c->seq = 0;
	c->phase = CLEAN_MESSAGES;
	qmgr_again(c->q);
}

static uint64_t
lives_bytes(const struct qmgr *q)
{
	return (uint64_t)q->messages.count * MESSAGE_BYTES + q->messages.recipients * RCPT_BYTES;
}

void
clean_consider(struct qmgr *q, bool force)
{
	struct clean *c = q->clean;
	uint64_t files = journal_files(&q->journal);

	if (c->phase != CLEAN_IDLE || q->arming || q->journal.oldest_waits ||
	    journal_begun_after(&q->journal, q->journal.oldest) == 0)
		return;
	if (!force && (files - 1) * JOURNAL_FILE_BYTES <
			  (uint64_t)FILES_FREE * JOURNAL_FILE_BYTES + TIMES_LIVING * lives_bytes(q))
		return;
	c->q = q;
	c->file = q->journal.oldest;
	c->bytes = xmalloc(JOURNAL_FILE_BYTES);
	c->phase = CLEAN_READING;
	c->job = (struct job){ .run = file_read, .done = file_ready };
	qmgr_offload(q, &c->job);
}

/* ---- what is written anew ---- */

/* The entry of one recipient. True: a reply stands in it. */
static bool
put_rcpt(struct qmgr *q, struct buf *out, struct message *m, unsigned i)
{
	const struct recipient *r = &message_rcpts(m)[i];
	bool running = r->state == SPOOL_STARTED, said;
	struct journal_rcpt e, there;

	said = reply_read(q, m, i, &e);
	/* Where there are many, long replies are cut: a message's entries fit into half a file. */
	e.reply = slice_head(e.reply, REPLIES_BYTES / m->nrcpt);
	e.host = slice_head(e.host, HOST_BYTES);
	e.queue = r->queue;
	e.notify = r->notify;
	e.state = running ? SPOOL_QUEUED : r->state;
	e.owed = r->owed;
	e.attempts = running ? r->attempts - 1U : r->attempts;
	e.due_ms = qclock_of_tick(r->due);
	e.address.p = NULL;
	if (expanded_has(q, m, i) && expanded_read(q, m, i, &there) == 0) {
		e.address = there.address;
		e.original = there.original;
		e.orcpt = there.orcpt;
		e.parent = there.parent;
	}
	journal_rcpt_put(out, &e);
	return said;
}

static void
put_started(struct qmgr *q, const struct message *m, unsigned i, const struct recipient *r)
{
	const struct dispatch *d = &q->dispatch;
	uint64_t instance = 0;
	uint32_t worker = 0;

	if (r->phase == RCPT_RUNNING) {
		const struct worker *w = &d->worker[d->job[r->next_msg]->worker];

		instance = w->instance;
		worker = w->number;
	} else if (r->phase == RCPT_ORPHAN) {
		instance = q->orphans[r->next_msg].instance;
	}
	JOURNAL_SAY(&q->journal, started, .id = m->id, .rcpt = i, .attempt = r->attempts,
	    .worker = worker, .instance = instance);
}

/* What is remembered of replies stands in the record just written from now on: the old file goes. */
static void
replies_moved(
    struct message *m, unsigned from, unsigned to, const struct buf *said, struct journal_place at)
{
	assert(to <= said->n);
	for (unsigned i = from; i < to; i++) {
		struct recipient *r = &message_rcpts(m)[i];

		r->reply_file = said->p[i] ? at.file : 0;
		r->reply_at = said->p[i] ? at.at : 0;
	}
}

static struct journal_place
put_chunk(struct qmgr *q, struct message *m, unsigned first, struct slice rcpts)
{
	const struct hold *h = hold_of(q, m);

	if (first > 0)
		return JOURNAL_SAY(&q->journal, more, .id = m->id, .first = first, .rcpts = rcpts);
	return commit(q, message, .id = m->id, .segment = seg_at(&q->segtab, m->seg)->number,
	    .offset = message_offset(m), .total = message_bytes(m),
	    .arrival_ms = qclock_of_tick(m->arrival), .wall_ms = id_ms(m->id), .nrcpt = m->nrcpt,
	    .suspicion = m->suspicion,
	    .flags = (m->flags & MESSAGE_NULL_SENDER ? JOURNAL_NULL_SENDER : 0U) |
		     (m->flags & MESSAGE_NOTICE ? JOURNAL_IS_NOTICE : 0U),
	    .priority = (uint8_t)(m->flags & MESSAGE_URGENT ? 1
				  : m->flags & MESSAGE_LOW  ? -1
							    : 0),
	    .rcpts = rcpts, .holder = slice_z(h == NULL ? NULL : h->holder),
	    .reason = slice_z(h == NULL ? NULL : h->reason),
	    .held_wall_ms = h == NULL ? 0 : h->wall_ms, .large = large_of(q, m));
}

/* MESSAGE and the MOREs behind it stand in one file: all entries are made before the first is put. */
void
clean_message(struct qmgr *q, struct message *m)
{
	struct buf rcpts = { 0 }, said = { 0 };
	unsigned first = 0;
	size_t at = 0;

	for (unsigned i = 0; i < m->nrcpt; i++)
		buf_putc(&said, put_rcpt(q, &rcpts, m, i));
	expanded_renote(q, m);
	journal_together(&q->journal, rcpts.n + (rcpts.n / CHUNK_BYTES + 2) * CHUNK_HEAD);
	do {
		struct slice rest = slice_from(slice_buf(&rcpts), at);
		struct journal_rcpt e;
		unsigned next = first;
		struct journal_place place;

		while (next < m->nrcpt && (size_t)(rest.p - rcpts.p) - at < CHUNK_BYTES &&
		       journal_rcpt_next(&rest, &e) > 0)
			next++;
		place =
		    put_chunk(q, m, first, slice_of(rcpts.p + at, (size_t)(rest.p - rcpts.p) - at));
		replies_moved(m, first, next, &said, place);
		if (next > first && expanded_has(q, m, next - 1))
			expanded_note(q, m, first, place);
		at = (size_t)(rest.p - rcpts.p);
		first = next;
	} while (first < m->nrcpt);
	for (unsigned i = 0; i < m->nrcpt; i++)
		if (message_rcpts(m)[i].state == SPOOL_STARTED)
			put_started(q, m, i, &message_rcpts(m)[i]);
	buf_fini(&rcpts);
	buf_fini(&said);
}

static void
queue_again(struct qmgr *q, const struct queue *queue)
{
	commit(q, queue, .queue = queue->number, .class = queue->class,
	    .transport = queue->route.transport, .pool = queue->route.pool,
	    .tenant = queue->route.tenant, .domain = queue->route.domain,
	    .route = queue_route(queue));
	if (queue->suspended)
		JOURNAL_SAY(&q->journal, suspend, .queue = queue->number,
		    .holder = slice_z(queue->suspend_holder),
		    .reason = slice_z(queue->suspend_reason), .wall_ms = queue->suspend_wall_ms);
}

static void
segment_again(struct qmgr *q, const struct seg *s)
{
	commit(q, segment, .segment = s->number, .class = s->class, .version = s->version,
	    .worker = s->worker, .instance = s->instance, .floor_ms = s->floor_ms, .seed = s->seed,
	    .state = s->state == SEG_ENDED || s->state == SEG_FREED ? JOURNAL_SEGMENT_ENDED
								    : JOURNAL_SEGMENT_LIVE,
	    .filed = s->filed, .durable = s->durable,
	    .sealed = s->sealed == SEG_OPEN_END ? JOURNAL_NONE : s->sealed);
	if (s->state == SEG_FREED)
		JOURNAL_SAY(&q->journal, segment_freed, .segment = s->number);
}

static uint64_t
subject(const struct journal_rec *r)
{
	return r->kind == JOURNAL_KIND_FILED	 ? r->filed.id
	       : r->kind == JOURNAL_KIND_MESSAGE ? r->message.id
						 : 0;
}

static void
give_up(struct clean *c, int err)
{
	log_trouble(-err, "journal %u cannot be cleaned", c->file);
	free(c->bytes);
	c->bytes = NULL;
	c->phase = CLEAN_IDLE;
}

static bool
message_slice(struct qmgr *q, struct clean *c)
{
	uint64_t seed = journal_seed(q->identity.id, c->file), end = clock_wall_us() + SLICE_US;
	struct journal_rec r;
	const char *why;

	for (unsigned n = 0; n % SLICE_RECORDS != 0 || n == 0 || clock_wall_us() < end; n++) {
		struct slice before = c->rest;
		enum journal_status got = journal_next(&c->rest, seed, c->seq, &r, &why);
		struct message *m;
		int err;

		if (got != JOURNAL_OK && got != JOURNAL_SKIP)
			return false;
		if (got == JOURNAL_OK && subject(&r) != 0 &&
		    (m = message_find(&q->messages, subject(&r))) != NULL &&
		    m->base_file <= c->file && (err = expanded_readable(q, m)) != 0) {
			/* Its addresses are on their way to the disk, or cannot be had: it is not forgotten for that. */
			c->rest = before;
			if (err != -EAGAIN)
				give_up(c, err);
			return true;
		}
		c->seq = r.seq + 1;
		if (got == JOURNAL_SKIP || subject(&r) == 0)
			continue;
		m = message_find(&q->messages, subject(&r));
		if (m != NULL && m->base_file <= c->file)
			clean_message(q, m);
	}
	return true;
}

static bool
queue_slice(struct qmgr *q, struct clean *c)
{
	for (unsigned n = 0; n < SLICE_RECORDS && c->cursor < q->queues.n; c->cursor++) {
		const struct queue *queue = q->queues.at[c->cursor];

		if (queue == NULL || !queue->defined || queue->base_file > c->file)
			continue;
		queue_again(q, queue);
		n++;
	}
	return c->cursor < q->queues.n;
}

/* The last of all is the sums: they are right only where all that lives has been said before. */
static void
finish(struct qmgr *q, struct clean *c)
{
	const struct ledger *l = &q->ledger;
	uint32_t highest = q->segtab.highest;

	if (highest > 0 && seg_find(&q->segtab, highest) == NULL) {
		/* No segment has this number or one below it again, no id a time below the floor. */
		JOURNAL_SAY(&q->journal, segment, .segment = highest,
		    .state = JOURNAL_SEGMENT_ENDED, .floor_ms = q->segtab.floor_ms,
		    .sealed = JOURNAL_NONE);
		JOURNAL_SAY(&q->journal, segment_freed, .segment = highest);
	}
#define T(name) .name = l->name,
	JOURNAL_SAY(&q->journal, totals, LEDGER_TERMS(T));
#undef T
	JOURNAL_SAY(
	    &q->journal, clock, .clock_ms = qclock_ms(&q->clock), .wall_ms = clock_wall_ms());
	journal_set_oldest(&q->journal, journal_begun_after(&q->journal, c->file));
	free(c->bytes);
	c->bytes = NULL;
	c->phase = CLEAN_IDLE;
}

void
clean_run(struct qmgr *q)
{
	struct clean *c = q->clean;
	uint32_t cursor = 0;
	struct seg *s;

	switch (c->phase) {
	case CLEAN_IDLE:
	case CLEAN_READING:
		return;
	case CLEAN_MESSAGES:
		if (!message_slice(q, c)) {
			c->phase = CLEAN_QUEUES;
			c->cursor = 1;
		}
		break;
	case CLEAN_QUEUES:
		if (!queue_slice(q, c))
			c->phase = CLEAN_SEGMENTS;
		break;
	case CLEAN_SEGMENTS:
		while ((s = segtab_next(&q->segtab, &cursor)) != NULL)
			if (s->base_file <= c->file)
				segment_again(q, s);
		larges_again(q, c->file);
		c->phase = CLEAN_LAST;
		break;
	case CLEAN_LAST:
		if (c->file < q->journal.file)
			finish(q, c);
		break;
	}
	qmgr_again(q);
}
