/* SPDX-License-Identifier: ISC */
#include "smtpd/letter.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "mail/date.h"
#include "mail/header.h"
#include "mail/received.h"
#include "commit/stream.h"
#include "spool/envelope.h"

#include <string.h>
#include <time.h>

enum { ENVELOPE_FIELD_HEAD = 6 }; /* number and length; SENDER is the first field */

/* Mail of a user of this host has no client address. */
static bool
is_user(const struct addr *client)
{
	static const uint8_t none[16];

	return memcmp(client->host, none, sizeof none) == 0;
}

/* NULs that local mail may bring are dropped: nothing could take them on. */
static void
drop_nul(struct buf *b, size_t from)
{
	size_t to = from;

	for (size_t i = from; i < b->n; i++)
		if (b->p[i] != '\0')
			b->p[to++] = b->p[i];
	b->n = to;
}

enum reply
letter_check(struct letter *l, unsigned seen, uint64_t received_max)
{
	struct header_summary head;

	if (seen & (BODY_BARE_CR | BODY_BARE_LF))
		return REPLY_DATA_BARE_CR_LF;
	if (seen & BODY_NUL) {
		if (l->class != CLASS_LOCAL)
			return REPLY_DATA_NUL;
		drop_nul(&l->content, 0);
	}
	header_scan(slice_buf(&l->content), RECORD_HEAD_MAX, &head);
	if (head.received > received_max)
		return REPLY_DATA_LOOP;
	if (head.bytes >= RECORD_HEAD_MAX)
		return REPLY_DATA_BAD_HEADER;
	l->head_bytes = head.bytes;
	l->msgid = head.message_id;
	return REPLY_OK;
}

/*
 * Where the header section ends, once that is certain: a whole line stands behind it. SIZE_MAX: it
 * is not yet.
 */
static size_t
head_end(const struct buf *content)
{
	struct header_summary head;

	header_scan(slice_buf(content), RECORD_HEAD_MAX, &head);
	return slice_find(slice_from(slice_buf(content), head.bytes), '\n') >= 0 ? head.bytes
										 : SIZE_MAX;
}

enum letter_flow
letter_flow(struct letter *l, unsigned seen, const struct letter_flow_to *to)
{
	struct buf *b = &l->content;
	struct buf all;
	size_t head;

	if (l->stream == NULL) {
		if (b->n <= LARGE_BODY_BYTES || b->n < l->flow_at)
			return LETTER_STAYS;
		if ((seen & BODY_NUL) && l->class == CLASS_LOCAL)
			drop_nul(b, 0);
		head = head_end(b);
		/* Looked at again where the body reaches its border, or if that is not known, or passed, in a while. */
		l->flow_at = b->n + LARGE_BODY_BYTES / 4;
		if (head == SIZE_MAX)
			return b->n > LETTER_STAYS_MAX ? LETTER_ENDLESS_HEAD : LETTER_STAYS;
		if (b->n - head <= LARGE_BODY_BYTES) {
			l->flow_at = head + LARGE_BODY_BYTES + 1;
			return LETTER_STAYS;
		}
		if (to->streams != NULL)
			l->stream = stream_open(to->streams, to->floor_bytes, to->ready, to->arg);
		if (l->stream == NULL)
			return b->n > LETTER_STAYS_MAX ? LETTER_NO_FILE : LETTER_STAYS;
		l->head_bytes = head;
		/* What it has grown to is given back. */
		all = *b;
		*b = (struct buf){ 0 };
		buf_put(b, all.p, head);
		stream_put(l->stream, slice_from(slice_buf(&all), head));
		buf_fini(&all);
		return LETTER_FLOWS;
	}
	if ((seen & BODY_NUL) && l->class == CLASS_LOCAL)
		drop_nul(b, l->head_bytes);
	stream_put(l->stream, slice_from(slice_buf(b), l->head_bytes));
	b->n = l->head_bytes;
	return LETTER_FLOWS;
}

/* Minutes east of UTC; the zone's rules were read by tzset(3) before the root directory went. */
static int
zone_min(uint64_t wall_ms)
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;

	return localtime_r(&t, &tm) == NULL ? 0 : (int)(tm.tm_gmtoff / 60);
}

/* The date of Received, made once a second. */
static struct slice
date_now(uint64_t wall_ms)
{
	static char text[DATE_TEXT];
	static uint64_t second = UINT64_MAX;

	if (wall_ms / 1000 != second) {
		second = wall_ms / 1000;
		date_text(wall_ms, zone_min(wall_ms), text);
	}
	return slice_z(text);
}

static void
put_received(
    struct buf *env, const struct tx *tx, const struct letter_origin *from, const struct letter *l)
{
	static struct buf text;
	char id[ID_TEXT + 1];
	struct received r = { .helo = from->helo,
		.uid = from->uid,
		.host = from->host,
		.proto = from->proto,
		.has_priority = tx->params.has_priority,
		.priority = tx->params.priority,
		.date = date_now(l->arrival_ms) };

	id_text(l->id, id);
	r.id = slice_z(id);
	if (!is_user(&from->client))
		r.addr = from->client.host;
	/* Told of one recipient only: the others are nobody's business (RFC 5321 section 7.2). */
	if (tx->nrcpt == 1)
		r.for_ = tx->rcpts->address;
	buf_reset(&text);
	received_print(&text, &r);
	envelope_put_edit(env, EDIT_INSERT, 1, slice_buf(&text));
}

static void
put_message(
    struct buf *env, const struct tx *tx, const struct letter_origin *from, const struct letter *l)
{
	const struct mail_params *p = &tx->params;
	struct envelope_addr client = { .port = from->client.port };

	envelope_put_text(env, ENVELOPE_SENDER, tx->sender);
	if (p->ret != PARAM_RET_NONE)
		envelope_put_u8(env, ENVELOPE_RET, p->ret == PARAM_RET_FULL ? RET_FULL : RET_HDRS);
	if (p->envid.p != NULL)
		envelope_put_text(env, ENVELOPE_ENVID, p->envid);
	if (p->body == PARAM_BODY_8BIT)
		envelope_put_u8(env, ENVELOPE_BODY, BODY_8BITMIME);
	if (p->smtputf8)
		envelope_put_flag(env, ENVELOPE_SMTPUTF8);
	if (p->priority != 0)
		envelope_put_u8(env, ENVELOPE_PRIORITY, (uint8_t)p->priority);
	if (is_user(&from->client))
		envelope_put_u32(env, ENVELOPE_UID, from->uid);
	else {
		memcpy(client.ip, from->client.host, sizeof client.ip);
		envelope_put_addr(env, ENVELOPE_CLIENT, &client);
	}
	if (from->helo.n > 0)
		envelope_put_text(env, ENVELOPE_HELO, from->helo);
	if (from->proto != NULL)
		envelope_put_text(env, ENVELOPE_PROTOCOL, slice_z(from->proto));
	envelope_put_u8(env, ENVELOPE_CLASS, from->class);
	if (from->session != 0)
		envelope_put_u64(env, ENVELOPE_SESSION, from->session);
	envelope_put_u64(env, ENVELOPE_GENERATION, from->generation);
	put_received(env, tx, from, l);
}

static void
put_rcpt(struct buf *env, const struct rcpt *r)
{
	struct envelope_route route = { .generation = r->generation, .bytes = r->route };

	envelope_put_text(env, ENVELOPE_RECIPIENT, r->address);
	if (r->notify != PARAM_NOTIFY_NONE)
		envelope_put_u8(env, ENVELOPE_NOTIFY, r->notify);
	if (r->orcpt.p != NULL)
		envelope_put_text(env, ENVELOPE_ORCPT, r->orcpt);
	if (r->original.p != NULL)
		envelope_put_text(env, ENVELOPE_ORIGINAL, r->original);
	if (r->route.p != NULL) {
		memcpy(route.seal, r->seal, sizeof route.seal);
		envelope_put_route(env, &route);
	}
}

/* What the decoder saw on the way; where 8-bit bytes stand is asked of the short part. */
static uint32_t
flags_of(const struct letter *l, unsigned seen)
{
	uint32_t flags = 0;

	/* They were dropped, so lines begin otherwise; what went to large/ is not at hand any more. */
	if ((seen & BODY_NUL) && l->stream != NULL)
		seen |= BODY_HAS_DOT;
	else if (seen & BODY_NUL)
		seen = body_look(slice_buf(&l->content));
	if (seen & BODY_HAS_DOT)
		flags |= RECORD_HAS_DOT;
	if (seen & BODY_LONG_LINE)
		flags |= RECORD_LONG_LINE;
	if (seen & BODY_EIGHT_BIT) {
		flags |= RECORD_EIGHT_BIT;
		if (body_look(slice_head(slice_buf(&l->content), l->head_bytes)) & BODY_EIGHT_BIT)
			flags |= RECORD_EIGHT_BIT_HEAD;
	}
	return flags;
}

bool
letter_seal(struct letter *l, const struct tx *tx, const struct letter_origin *from, uint64_t id,
    unsigned seen)
{
	struct buf *env = &l->envelope;

	l->id = id;
	l->arrival_ms = clock_wall_ms();
	l->class = from->class;
	l->session = from->session;
	l->client = from->client;
	l->uid = from->uid;
	l->proto = from->proto;
	l->flags = flags_of(l, seen);
	put_message(env, tx, from, l);
	for (const struct rcpt *r = tx->rcpts; r != NULL; r = r->next) {
		put_rcpt(env, r);
		if (env->n > RECORD_ENV_MAX)
			return false;
	}
	l->nrcpt = tx->nrcpt;
	/* What the event tells, in memory that lives as long as the letter. */
	l->from = slice_of(env->p + ENVELOPE_FIELD_HEAD, tx->sender.n);
	l->to = SLICE_NONE;
	if (tx->nrcpt == 1 && tx->rcpts != NULL) {
		const char *at = memmem(env->p, env->n, tx->rcpts->address.p, tx->rcpts->address.n);

		l->to = slice_of(at, at == NULL ? 0 : tx->rcpts->address.n);
	}
	return true;
}

void
letter_tell(const struct letter *l)
{
	log_begin(LOG_RECEIVED);
	log_id(l->id);
	log_u64(LOGK_SESSION, l->session);
	if (is_user(&l->client))
		log_u64(LOGK_UID, l->uid);
	else
		log_addr(LOGK_CLIENT, l->client.host, l->client.port);
	log_str(LOGK_FROM, l->from);
	if (l->nrcpt == 1)
		log_str(LOGK_TO, l->to);
	log_u64(LOGK_NRCPT, l->nrcpt);
	log_u64(LOGK_SIZE, letter_bytes(l));
	if (l->msgid.n > 0)
		log_str(LOGK_MSGID, l->msgid);
	log_z(LOGK_CLASS, class_word(l->class));
	if (l->proto != NULL)
		log_z(LOGK_PROTO, l->proto);
	log_end();
}
