/* SPDX-License-Identifier: ISC */
#include "qmgr/address.h"

#include "base/die.h"

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
	if (s->fd < 0 || scan_record(s->fd, s->number, message_offset(m), s->seed, false, &c->bytes, &c->record, &why) != 0)
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
	if (c->rcpt.number != UINT32_MAX && c->rcpt.number > rcpt)
		rewind_rcpts(c);
	while (c->rcpt.number != rcpt)
		if (envelope_rcpt_next(&c->at, &c->rcpt) <= 0) {
			rewind_rcpts(c);
			return NULL;
		}
	return &c->rcpt;
}

/* Entry `n` of a row of entries. */
static bool
entry(struct slice rest, uint32_t n, struct journal_rcpt *out)
{
	for (uint32_t i = 0; i <= n; i++)
		if (journal_rcpt_next(&rest, out) <= 0)
			return false;
	return true;
}

bool
reply_read(struct qmgr *q, struct message *m, unsigned rcpt, struct buf *bytes, struct journal_rcpt *out)
{
	const struct recipient *r = &message_rcpts(m)[rcpt];
	struct journal_rec rec;

	*out = (struct journal_rcpt){ 0 };
	if (r->reply_file == 0 ||
	    journal_read(&q->journal, (struct journal_place){ r->reply_file, r->reply_at }, bytes, &rec) != 0)
		return false;
	if (rec.kind == JOURNAL_KIND_MESSAGE)
		return rec.message.id == m->id && entry(rec.message.rcpts, rcpt, out);
	if (rec.kind == JOURNAL_KIND_MORE)
		return rec.more.id == m->id && rcpt >= rec.more.first && entry(rec.more.rcpts, rcpt - rec.more.first, out);
	if (rec.kind == JOURNAL_KIND_OPERATOR) {
		out->reply = rec.operator.reason;
		return true;
	}
	if (rec.kind != JOURNAL_KIND_RESULT)
		return false;
	out->code = rec.result.code;
	out->enh[0] = rec.result.enh0;
	out->enh[1] = rec.result.enh1;
	out->enh[2] = rec.result.enh2;
	out->host = rec.result.host;
	out->reply = rec.result.reply;
	return true;
}

bool
reply_text(struct qmgr *q, struct message *m, unsigned rcpt, struct buf *out)
{
	struct buf bytes = { 0 };
	struct journal_rcpt e;
	bool found = reply_read(q, m, rcpt, &bytes, &e);

	if (found && e.host.n > 0) {
		buf_slice(out, e.host);
		buf_puts(out, " said: ");
	}
	if (found)
		buf_slice(out, e.reply);
	buf_fini(&bytes);
	return found;
}
