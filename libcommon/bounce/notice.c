/* SPDX-License-Identifier: ISC */
#include "bounce/notice.h"

#include <assert.h>

const char *
notice_action_word(uint8_t action)
{
	static const char *const words[] = { NULL, "failed", "delayed", "delivered", "relayed",
		"expanded", "failed" };

	return action < sizeof words / sizeof *words ? words[action] : NULL;
}

/* ---- writing ---- */

static void
put_number(struct buf *b, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		buf_putc(b, (char)(v >> 8 * i & 255));
}

#define PUT_u8(b, v) put_number(b, v, 1)
#define PUT_u32(b, v) put_number(b, v, 4)
#define PUT_u64(b, v) put_number(b, v, 8)
#define PUT_text(b, v) (put_number(b, (v).n, 4), buf_slice(b, v))

/* A length goes in front of what follows it. */
static void
set_length(struct buf *b, size_t at)
{
	size_t n = b->n - at - 4;

	assert(n <= UINT32_MAX);
	for (unsigned i = 0; i < 4; i++)
		b->p[at + i] = (char)(n >> 8 * i & 255);
}

void
notice_length_put(struct buf *out, uint32_t bytes)
{
	put_number(out, bytes, 4);
}

void
notice_put(struct buf *out, const struct notice *n)
{
	size_t at;

	put_number(out, NOTICE_MAGIC, 4);
	put_number(out, NOTICE_VERSION, 4);
	at = out->n;
	put_number(out, 0, 4);
#define F(type, name, what) PUT_##type(out, n->name);
	NOTICE_FACTS(F)
#undef F
	set_length(out, at);
	put_number(out, n->nrcpt, 4);
}

void
notice_rcpt_put(struct buf *out, const struct notice_rcpt *r)
{
	size_t at = out->n;

	put_number(out, 0, 4);
#define F(type, name, what) PUT_##type(out, r->name);
	NOTICE_RCPT(F)
#undef F
	set_length(out, at);
}

/* ---- reading ---- */

struct reader {
	struct slice rest;
	bool bad;
};

/* Numbers at the end may be missing; one that is cut may not. */
static uint64_t
get_number(struct reader *r, unsigned bytes)
{
	uint64_t v = 0;

	if (r->rest.n == 0 || r->bad)
		return 0;
	if (r->rest.n < bytes) {
		r->bad = true;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)(uint8_t)r->rest.p[i] << 8 * i;
	r->rest = slice_from(r->rest, bytes);
	return v;
}

static struct slice
get_text(struct reader *r)
{
	uint64_t n = get_number(r, 4);
	struct slice s;

	if (n > r->rest.n)
		r->bad = true;
	if (r->bad)
		return SLICE_NONE;
	s = slice_head(r->rest, n);
	r->rest = slice_from(r->rest, n);
	return s;
}

#define GET_u8(r) (uint8_t) get_number(r, 1)
#define GET_u32(r) (uint32_t) get_number(r, 4)
#define GET_u64(r) get_number(r, 8)
#define GET_text(r) get_text(r)

/* A part with its length in front, which must be there. */
static bool
get_part(struct slice *rest, struct slice *out)
{
	struct reader r = { .rest = *rest };

	if (rest->n < 4)
		return false;
	*out = get_text(&r);
	*rest = r.rest;
	return !r.bad;
}

static bool
get_rcpt(struct slice *rest, struct notice_rcpt *out)
{
	struct reader r = { 0 };

	*out = (struct notice_rcpt){ 0 };
	if (!get_part(rest, &r.rest))
		return false;
#define F(type, name, what) out->name = GET_##type(&r);
	NOTICE_RCPT(F)
#undef F
	return !r.bad && notice_action_word(out->action) != NULL && out->address.n > 0 &&
	       out->code <= 999;
}

bool
notice_rcpt_next(struct slice *rest, struct notice_rcpt *out)
{
	return rest->n > 0 && get_rcpt(rest, out);
}

static const char *
get_facts(struct slice *rest, struct notice *out)
{
	struct reader head = { .rest = *rest }, r = { 0 };

	if (rest->n < 8 || get_number(&head, 4) != NOTICE_MAGIC)
		return "not a notice";
	if (get_number(&head, 4) != NOTICE_VERSION)
		return "of an unknown version";
	*rest = head.rest;
	if (!get_part(rest, &r.rest))
		return "its facts are cut";
#define F(type, name, what) out->name = GET_##type(&r);
	NOTICE_FACTS(F)
#undef F
	if (r.bad)
		return "its facts are malformed";
	if (out->kind != 1 && out->kind != 2 && out->kind != 4)
		return "of an unknown kind";
	return out->id == 0 || out->to.n == 0 ? "without an id or an address" : NULL;
}

static const char *
get(struct slice rest, struct notice *out)
{
	const char *why = get_facts(&rest, out);
	struct reader count;
	struct notice_rcpt r;

	if (why != NULL)
		return why;
	count = (struct reader){ .rest = rest };
	if (rest.n < 4)
		return "its recipients are cut";
	out->nrcpt = (uint32_t)get_number(&count, 4);
	if (out->nrcpt == 0 || out->nrcpt > NOTICE_RCPTS_MAX)
		return "without recipients, or with too many";
	rest = out->rcpts = count.rest;
	for (uint32_t i = 0; i < out->nrcpt; i++)
		if (!get_rcpt(&rest, &r))
			return "a recipient is malformed";
	out->rcpts.n -= rest.n;
	if (!get_part(&rest, &out->head) || !get_part(&rest, &out->body))
		return "its content is cut";
	return rest.n > 0 ? "with more behind its end" : NULL;
}

bool
notice_get(struct slice bytes, struct notice *out, const char **why)
{
	*out = (struct notice){ 0 };
	*why = get(bytes, out);
	return *why == NULL;
}
