/* SPDX-License-Identifier: ISC */
#include "qmgr/expanded.h"

#include "base/die.h"
#include "base/log.h"
#include "qmgr/state.h"

#include <bsd/sys/tree.h>
#include <errno.h>
#include <stdlib.h>

enum { KEEP_BYTES = 64 * 1024, PAUSE_MS = 1000, UNREADABLE_MS = 60000 };

/* Of a message with such recipients: where their entries are. */
struct expanded {
	RB_ENTRY(expanded) node;
	uint64_t id;
	uint32_t from, nchunk; /* the first that is not in the envelope */
	struct chunk {
		uint32_t first;
		struct journal_place at;
	} * chunk;
};
RB_HEAD(expanded_tree, expanded);

static int
by_id(const struct expanded *a, const struct expanded *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}
RB_PROTOTYPE(expanded_tree, expanded, node, by_id);
RB_GENERATE(expanded_tree, expanded, node, by_id);

struct expanded_all {
	struct expanded_tree tree;
	/* The journal record last read, and how far its entries have been walked. */
	struct journal_place read_at;
	struct buf read_bytes;
	struct journal_rec rec;
	struct slice rest;
	uint32_t entry;
};

struct expanded_all *
expanded_new(void)
{
	struct expanded_all *x = xcalloc(1, sizeof *x);

	RB_INIT(&x->tree);
	return x;
}

void
expanded_free(struct expanded_all *x)
{
	struct expanded *e, *after;

	if (x == NULL)
		return;
	RB_FOREACH_SAFE(e, expanded_tree, &x->tree, after)
	{
		RB_REMOVE(expanded_tree, &x->tree, e);
		free(e->chunk);
		free(e);
	}
	buf_fini(&x->read_bytes);
	free(x);
}

static struct expanded *
expanded_of(struct qmgr *q, const struct message *m)
{
	return m->flags & MESSAGE_EXPANDED
		   ? RB_FIND(expanded_tree, &q->expanded->tree, &(struct expanded){ .id = m->id })
		   : NULL;
}

void
expanded_note(struct qmgr *q, struct message *m, uint32_t first, struct journal_place at)
{
	expanded_note_in(q, m, first, first, at);
}

void
expanded_note_in(
    struct qmgr *q, struct message *m, uint32_t rcpt, uint32_t first, struct journal_place at)
{
	struct expanded *e = expanded_of(q, m);

	if (e == NULL) {
		e = xcalloc(1, sizeof *e);
		e->id = m->id;
		e->from = rcpt;
		RB_INSERT(expanded_tree, &q->expanded->tree, e);
		m->flags |= MESSAGE_EXPANDED;
	}
	e->chunk = xrealloc(e->chunk, (e->nchunk + 1) * sizeof *e->chunk);
	e->chunk[e->nchunk++] = (struct chunk){ first, at };
}

void
expanded_renote(struct qmgr *q, const struct message *m)
{
	struct expanded *e = expanded_of(q, m);

	if (e != NULL)
		e->nchunk = 0;
}

void
expanded_forget(struct qmgr *q, struct message *m)
{
	struct expanded *e = expanded_of(q, m);

	if (e == NULL)
		return;
	RB_REMOVE(expanded_tree, &q->expanded->tree, e);
	free(e->chunk);
	free(e);
	m->flags &= (uint8_t)~MESSAGE_EXPANDED;
}

bool
expanded_has(struct qmgr *q, const struct message *m, uint32_t rcpt)
{
	const struct expanded *e = expanded_of(q, m);

	return e != NULL && rcpt >= e->from;
}

static int
record_read(struct qmgr *q, const struct chunk *c, uint64_t id)
{
	struct expanded_all *x = q->expanded;
	int rc;

	if (x->read_at.file == c->at.file && x->read_at.at == c->at.at)
		return 0;
	x->read_at.file = 0;
	if (x->read_bytes.cap > KEEP_BYTES)
		buf_fini(&x->read_bytes);
	rc = journal_read(&q->journal, c->at, &x->read_bytes, &x->rec);
	if (rc != 0)
		return rc;
	if (!(x->rec.kind == JOURNAL_KIND_EXPANDED && x->rec.expanded.id == id) &&
	    !(x->rec.kind == JOURNAL_KIND_MESSAGE && x->rec.message.id == id) &&
	    !(x->rec.kind == JOURNAL_KIND_MORE && x->rec.more.id == id))
		return -EBADMSG;
	x->read_at = c->at;
	x->rest = SLICE_NONE;
	return 0;
}

static struct slice
entries_of(const struct journal_rec *r)
{
	return r->kind == JOURNAL_KIND_EXPANDED	 ? r->expanded.rcpts
	       : r->kind == JOURNAL_KIND_MESSAGE ? r->message.rcpts
						 : r->more.rcpts;
}

static const struct chunk *
chunk_of(const struct expanded *e, uint32_t rcpt)
{
	uint32_t low = 0, high = e->nchunk;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (e->chunk[mid].first <= rcpt)
			low = mid + 1;
		else
			high = mid;
	}
	return low == 0 ? NULL : &e->chunk[low - 1];
}

int
expanded_read(struct qmgr *q, const struct message *m, uint32_t rcpt, struct journal_rcpt *out)
{
	struct expanded_all *x = q->expanded;
	const struct expanded *e = expanded_of(q, m);
	const struct chunk *c = e == NULL ? NULL : chunk_of(e, rcpt);
	int rc = c == NULL ? -ENOENT : record_read(q, c, m->id);

	*out = (struct journal_rcpt){ 0 };
	if (rc != 0)
		return rc;
	if (x->rest.p == NULL || x->entry > rcpt) {
		x->rest = entries_of(&x->rec);
		x->entry = c->first;
	}
	for (; x->entry <= rcpt; x->entry++)
		if (journal_rcpt_next(&x->rest, out) <= 0) {
			x->rest = SLICE_NONE;
			return -EBADMSG;
		}
	/* The next call may be for the same one. */
	if (out->address.p == NULL)
		return -EBADMSG;
	return 0;
}

int
expanded_readable(struct qmgr *q, const struct message *m)
{
	const struct expanded *e = expanded_of(q, m);
	int rc = 0;

	for (uint32_t i = 0; e != NULL && i < e->nchunk && rc == 0; i++)
		rc = record_read(q, &e->chunk[i], m->id);
	return rc;
}

/* ---- jobs ---- */

void
expanded_pause(struct qmgr *q, struct message *m, uint32_t rcpt, int error)
{
	if (error != -EAGAIN)
		log_trouble(-error, "the address of a recipient cannot be read in the journal");
	message_rcpts(m)[rcpt].due = qclock_now_tick(&q->clock) +
				     (error == -EAGAIN ? PAUSE_MS : UNREADABLE_MS) / QCLOCK_TICK_MS;
	rcpt_enter(q, m, rcpt, RCPT_DEFERRED);
}

/* False: it is not for this job. */
static bool
put_address(struct qmgr *q, struct message *m, uint32_t rcpt, struct buf *addresses)
{
	struct journal_rcpt e;
	int rc = expanded_read(q, m, rcpt, &e);

	if (rc != 0) {
		expanded_pause(q, m, rcpt, rc);
		return false;
	}
	if (addresses->n + e.address.n + e.original.n + e.orcpt.n + 16 > EXPANDED_JOB_BYTES) {
		rcpt_enter(q, m, rcpt, RCPT_READY);
		return false;
	}
	job_address_put(addresses, &(const struct job_address){ .rcpt = rcpt,
				       .notify = e.notify,
				       .address = e.address,
				       .original = e.original,
				       .orcpt = e.orcpt });
	return true;
}

unsigned
expanded_for_job(
    struct qmgr *q, struct message *m, uint32_t *rcpt, unsigned n, struct buf *addresses)
{
	unsigned kept = 0;

	buf_reset(addresses);
	if (!(m->flags & MESSAGE_EXPANDED))
		return n;
	for (unsigned i = 0; i < n; i++)
		if (!expanded_has(q, m, rcpt[i]) || put_address(q, m, rcpt[i], addresses))
			rcpt[kept++] = rcpt[i];
	return kept;
}
