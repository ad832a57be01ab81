/* SPDX-License-Identifier: ISC */
#include "bounced/letter.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "mail/date.h"
#include "mail/dsn.h"
#include "mail/header.h"
#include "mail/msgid.h"
#include "smtp/xtext.h"

#include <stdio.h>

struct texts {
	struct arena arena;
	struct dsn_rcpt *rcpts;
	uint32_t *numbers;
	uint32_t n;
};

static struct slice
domain_of(struct slice address)
{
	const char *at = address.n == 0 ? NULL : memrchr(address.p, '@', address.n);

	return at == NULL ? SLICE_NONE : slice_from(address, (size_t)(at - address.p) + 1);
}

void
letter_classify(struct classifier *rules, const struct notice_rcpt *r, struct verdict *out)
{
	const struct reply reply = { .code = (uint16_t)r->code,
		.enh = { r->enh_class, r->enh_subject, r->enh_detail },
		.text = r->reply,
		.host = r->host,
		.domain = domain_of(r->address) };

	classifier_ask(rules, &reply, out);
}

void
letter_tell(uint64_t id, const struct notice_rcpt *r, const struct verdict *v)
{
	const uint8_t enh[3] = { r->enh_class, r->enh_subject, r->enh_detail };

	log_begin(LOG_BOUNCE);
	log_id(id);
	log_u64(LOGK_RCPT, r->number);
	log_str(LOGK_TO, r->address);
	log_z(LOGK_STATUS, r->action == NOTICE_EXPIRED ? "expired" : notice_action_word(r->action));
	log_u64(LOGK_BCLASS, v->number);
	log_z(LOGK_BNAME, v->name);
	if (v->line > 0)
		log_u64(LOGK_BLINE, v->line);
	if (r->code != 0)
		log_u64(LOGK_CODE, r->code);
	if (enh[0] != 0)
		log_enh(enh);
	if (r->host.n > 0)
		log_str(LOGK_HOST, r->host);
	log_str(LOGK_TEXT, r->reply);
	log_end();
}

static bool
is_bounce(const struct notice_rcpt *r)
{
	return r->action == NOTICE_FAILED || r->action == NOTICE_EXPIRED ||
	       r->action == NOTICE_DELAYED;
}

static struct slice
printed(struct arena *a, struct buf *b)
{
	struct slice s = arena_slice(a, slice_buf(b));

	buf_fini(b);
	return s;
}

/* The code that was said. True: it stands in the text still, since it holds a number above 255. */
static bool
said_status(const struct notice_rcpt *r, uint16_t enh[3])
{
	struct reply whole = { .code = (uint16_t)r->code,
		.enh = { r->enh_class, r->enh_subject, r->enh_detail },
		.text = r->reply };

	if (r->host.n > 0)
		reply_complete(&whole);
	memcpy(enh, whole.enh, sizeof whole.enh);
	return enh[1] > 255 || enh[2] > 255;
}

static struct slice
status_of(struct arena *a, const struct notice_rcpt *r)
{
	uint16_t enh[3];
	bool good = !is_bounce(r),
	     late = r->action == NOTICE_DELAYED || r->action == NOTICE_EXPIRED;
	struct buf b = { 0 };

	said_status(r, enh);
	/* A class that contradicts the action would say something else to programs. */
	if (good ? enh[0] != 2 : late ? enh[0] != 4 && enh[0] != 5 : enh[0] != 5) {
		const uint16_t was = enh[0];

		enh[0] = good ? 2 : late ? 4 : 5;
		if (was == 0)
			enh[1] = enh[2] = 0;
	}
	if (r->action == NOTICE_DELAYED)
		enh[0] = 4;
	buf_printf(&b, "%u.%u.%u", enh[0], enh[1], enh[2]);
	return printed(a, &b);
}

static struct slice
diagnostic_of(struct arena *a, const struct notice_rcpt *r)
{
	struct buf b = { 0 };
	uint16_t enh[3];

	if (r->host.n > 0 && r->code != 0)
		buf_printf(&b, "%u ", r->code);
	if (r->host.n > 0 && r->code != 0 && r->enh_class != 0 && !said_status(r, enh))
		buf_printf(&b, "%u.%u.%u ", r->enh_class, r->enh_subject, r->enh_detail);
	buf_slice(&b, r->reply);
	return printed(a, &b);
}

/* ORCPT where the sender gave it; else the address that was given, where it became another. */
static void
put_original(struct arena *a, const struct notice_rcpt *r, struct dsn_rcpt *out)
{
	ptrdiff_t semi = slice_find(r->orcpt, ';');
	struct buf b = { 0 };

	if (semi > 0 && xtext_decode(&b, slice_from(r->orcpt, (size_t)semi + 1))) {
		out->original_type = slice_head(r->orcpt, (size_t)semi);
		out->original = arena_slice(a, slice_buf(&b));
	} else if (r->original.n > 0) {
		out->original_type = SLICE_LIT("rfc822");
		out->original = r->original;
	}
	buf_fini(&b);
}

static void
put_rcpt(struct texts *t, const struct notice *n, const struct notice_rcpt *r,
    struct classifier *rules, struct verdict *v)
{
	struct dsn_rcpt *out = &t->rcpts[t->n];
	struct buf class = { 0 };

	*out = (struct dsn_rcpt){ .final_type = SLICE_LIT("rfc822"),
		.final = r->address,
		.action = slice_z(notice_action_word(r->action)),
		.status = status_of(&t->arena, r),
		.remote_mta = r->host,
		.diagnostic = diagnostic_of(&t->arena, r),
		.attempt_ms = r->attempt_ms,
		.retry_until_ms = r->action == NOTICE_DELAYED ? r->retry_until_ms : 0 };
	put_original(&t->arena, r, out);
	t->numbers[t->n++] = r->number;
	*v = (struct verdict){ 0 };
	if (!is_bounce(r))
		return;
	letter_classify(rules, r, v);
	letter_tell(n->id, r, v);
	buf_printf(&class, "%u %s", v->number, v->name);
	out->class = printed(&t->arena, &class);
}

static void
put_envelope(struct letter *l, const struct notice *n, const struct texts *t, bool utf8,
    bool eight_bit, uint32_t generation)
{
	struct buf *env = &l->envelope;

	envelope_put_text(env, ENVELOPE_SENDER, SLICE_NONE);
	if (eight_bit)
		envelope_put_u8(env, ENVELOPE_BODY, BODY_8BITMIME);
	if (utf8)
		envelope_put_flag(env, ENVELOPE_SMTPUTF8);
	envelope_put_u8(env, ENVELOPE_CLASS, CLASS_BOUNCED);
	envelope_put_u64(env, ENVELOPE_NOTICE_OF, n->id);
	envelope_put_u8(env, ENVELOPE_NOTICE_KIND, n->kind);
	envelope_put_u32s(env, ENVELOPE_NOTICE_RCPTS, t->numbers, t->n);
	envelope_put_u64(env, ENVELOPE_GENERATION, generation);
	envelope_put_text(env, ENVELOPE_RECIPIENT, n->to);
}

/* The report's text; everything it needs stands in t->arena or in the notice. */
static void
print(struct letter *l, const struct notice *n, struct texts *t, const struct letter_now *now,
    struct dsn_made *made)
{
	char id[ID_TEXT + 1], date[DATE_TEXT];
	struct buf boundary = { 0 }, msgid = { 0 }, envid = { 0 };
	struct header_summary head;
	struct dsn_facts f = { .kind = n->kind == SPOOL_NOTICE_FAILED	 ? DSN_FAILED
				       : n->kind == SPOOL_NOTICE_DELAYED ? DSN_DELAYED
									 : DSN_DELIVERED,
		.to_postmaster = n->sender.n == 0,
		.utf8 = n->utf8 != 0 || !slice_is_ascii(n->to),
		.cut = n->cut != 0,
		.to = n->to,
		.host = n->hostname,
		.sender = n->sender,
		.received_from = n->received_from,
		.arrival_ms = n->arrival_ms,
		.zone_min = now->zone_min,
		.rcpts = t->rcpts,
		.nrcpt = t->n,
		.head = n->head,
		.body = n->body };

	id_text(n->id, id);
	date_text(now->wall_ms, now->zone_min, date);
	f.id = slice_z(id);
	f.date = slice_z(date);
	header_scan(n->head, 0, &head);
	if (msgid_valid(head.message_id))
		f.references = head.message_id;
	if (xtext_decode(&envid, n->envid))
		f.envid = slice_buf(&envid);
	msgid_print(&msgid, now->wall_ms * 1000, now->unique, n->hostname);
	f.message_id = slice_buf(&msgid);
	buf_printf(&boundary, "%s.%016llx", id, (unsigned long long)now->unique);
	f.boundary = slice_buf(&boundary);
	dsn_print(&l->content, &f, made);
	buf_fini(&boundary);
	buf_fini(&msgid);
	buf_fini(&envid);
}

bool
letter_make(struct letter *l, const struct notice *n, struct classifier *rules,
    const struct letter_now *now, struct verdict *first)
{
	struct texts t = { 0 };
	struct slice rest = n->rcpts, all;
	struct notice_rcpt r;
	struct header_summary head;
	struct dsn_made made;
	struct verdict v;

	t.rcpts = arena_alloc(&t.arena, n->nrcpt * sizeof *t.rcpts);
	t.numbers = arena_alloc(&t.arena, n->nrcpt * sizeof *t.numbers);
	while (t.n < n->nrcpt && notice_rcpt_next(&rest, &r)) {
		put_rcpt(&t, n, &r, rules, &v);
		if (t.n == 1)
			*first = v;
	}
	print(l, n, &t, now, &made);
	put_envelope(l, n, &t, !slice_is_ascii(n->to), made.eight_bit, now->generation);
	arena_fini(&t.arena);
	all = slice_buf(&l->content);
	l->head_bytes = made.head_bytes;
	l->id = now->id;
	l->arrival_ms = now->wall_ms;
	l->nrcpt = 1;
	l->class = CLASS_BOUNCED;
	l->flags =
	    record_flags_of(slice_head(all, made.head_bytes), slice_from(all, made.head_bytes));
	header_scan(all, 0, &head);
	l->msgid = head.message_id;
	return l->envelope.n <= RECORD_ENV_MAX;
}
