/* SPDX-License-Identifier: ISC */
#include "qmgr/address.h"

#include "base/die.h"
#include "qmgr/expanded.h"

#include <stdlib.h>

enum { KEEP_BYTES = 64 * 1024 };

struct address_cache *
address_cache_new(void)
{
	return xcalloc(1, sizeof(struct address_cache));
}

void
address_cache_free(struct address_cache *c)
{
	if (c == NULL)
		return;
	buf_fini(&c->bytes);
	buf_fini(&c->reply_bytes);
	free(c);
}

static void
rewind_rcpts(struct address_cache *c)
{
	envelope_rcpts(&c->envelope, &c->at);
	c->rcpt.number = UINT32_MAX;
}

static bool
load(struct qmgr *q, const struct message *m)
{
	struct address_cache *c = q->address;
	const struct seg *s = seg_at(&q->segtab, m->seg);
	const char *why;

	if (c->id == m->id)
		return true;
	c->id = 0;
	if (c->bytes.cap > KEEP_BYTES)
		buf_fini(&c->bytes);
	if (s->fd < 0 || scan_record(s->fd, s->number, message_offset(m), s->seed, false, &c->bytes,
			     &c->record, &why) != 0)
		return false;
	if (c->record.id != m->id || envelope_message(c->record.envelope, &c->envelope) != 0)
		return false;
	c->id = m->id;
	rewind_rcpts(c);
	return true;
}

const struct envelope *
address_envelope(struct qmgr *q, const struct message *m)
{
	return load(q, m) ? &q->address->envelope : NULL;
}

const struct record *
address_record(struct qmgr *q, const struct message *m)
{
	return load(q, m) ? &q->address->record : NULL;
}

const struct envelope_rcpt *
address_rcpt(struct qmgr *q, const struct message *m, uint32_t rcpt)
{
	struct address_cache *c = q->address;

	if (!load(q, m))
		return NULL;
	if (expanded_has(q, m, rcpt)) {
		struct journal_rcpt e;

		if (expanded_read(q, m, rcpt, &e) != 0)
			return NULL;
		c->expanded = (struct envelope_rcpt){ .recipient = e.address,
			.original = e.original,
			.orcpt = e.orcpt,
			.notify = e.notify,
			.number = rcpt };
		return &c->expanded;
	}
	if (c->rcpt.number != UINT32_MAX && c->rcpt.number > rcpt)
		rewind_rcpts(c);
	while (c->rcpt.number != rcpt)
		if (envelope_rcpt_next(&c->at, &c->rcpt) <= 0) {
			rewind_rcpts(c);
			return NULL;
		}
	return &c->rcpt;
}

/* The record at this place; asked for again and again where one record holds many recipients' replies. */
static const struct journal_rec *
reply_record(struct qmgr *q, struct journal_place at)
{
	struct address_cache *c = q->address;

	if (c->reply_at.file == at.file && c->reply_at.at == at.at)
		return &c->reply;
	c->reply_at.file = 0;
	if (c->reply_bytes.cap > KEEP_BYTES)
		buf_fini(&c->reply_bytes);
	if (journal_read(&q->journal, at, &c->reply_bytes, &c->reply) != 0)
		return NULL;
	c->reply_at = at;
	c->entries = SLICE_NONE;
	c->entry = 0;
	return &c->reply;
}

/* Entry `n` of a record that holds them from `first` on. In order, this is one walk. */
static bool
entry(struct address_cache *c, struct slice rcpts, uint32_t first, uint32_t n,
    struct journal_rcpt *out)
{
	if (n < first)
		return false;
	if (c->entries.p == NULL || c->entry > n) {
		c->entries = rcpts;
		c->entry = first;
	}
	for (; c->entry <= n; c->entry++)
		if (journal_rcpt_next(&c->entries, out) <= 0) {
			c->entries = SLICE_NONE;
			return false;
		}
	return true;
}

bool
reply_read(struct qmgr *q, struct message *m, unsigned rcpt, struct journal_rcpt *out)
{
	const struct recipient *r = &message_rcpts(m)[rcpt];
	const struct journal_rec *rec;

	*out = (struct journal_rcpt){ 0 };
	if (r->reply_file == 0)
		return false;
	rec = reply_record(q, (struct journal_place){ r->reply_file, r->reply_at });
	if (rec == NULL)
		return false;
	if (rec->kind == JOURNAL_KIND_MESSAGE)
		return rec->message.id == m->id &&
		       entry(q->address, rec->message.rcpts, 0, rcpt, out);
	if (rec->kind == JOURNAL_KIND_MORE)
		return rec->more.id == m->id &&
		       entry(q->address, rec->more.rcpts, rec->more.first, rcpt, out);
	if (rec->kind == JOURNAL_KIND_OPERATOR) {
		out->reply = rec->operator.reason;
		return true;
	}
	if (rec->kind != JOURNAL_KIND_RESULT)
		return false;
	out->code = rec->result.code;
	out->enh[0] = rec->result.enh0;
	out->enh[1] = rec->result.enh1;
	out->enh[2] = rec->result.enh2;
	out->host = rec->result.host;
	out->reply = rec->result.reply;
	return true;
}

uint64_t
reply_wall_ms(struct qmgr *q)
{
	return q->address->reply.kind == JOURNAL_KIND_RESULT ? q->address->reply.result.wall_ms : 0;
}

bool
reply_text(struct qmgr *q, struct message *m, unsigned rcpt, struct buf *out)
{
	struct journal_rcpt e;
	bool found = reply_read(q, m, rcpt, &e);

	if (found && e.host.n > 0) {
		buf_slice(out, e.host);
		buf_puts(out, e.code != 0 ? " said: " : ": ");
	}
	if (found && e.code != 0)
		buf_printf(out, "%u ", e.code);
	if (found && e.code != 0 && e.enh[0] != 0)
		buf_printf(out, "%u.%u.%u ", e.enh[0], e.enh[1], e.enh[2]);
	if (found)
		buf_slice(out, e.reply);
	return found;
}
