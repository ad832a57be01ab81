/* SPDX-License-Identifier: ISC */
#include "spool/journal.h"

#include "spool/le.h"

#include <assert.h>
#include <errno.h>
#include <xxhash.h>

/* Where things stand in a record: spool.5 has the same table. */
enum { AT_CHECK = 0, AT_LEN = 8, AT_KIND = 12, AT_ZERO = 14, AT_SEQ = 16 };

static uint64_t
size_of(uint32_t len)
{
	return (JOURNAL_HEADER + (uint64_t)len + 7) & ~UINT64_C(7);
}

const char *
journal_kind_word(uint16_t kind)
{
	switch ((enum journal_kind)kind) {
#define K(NAME, name, number, critical) \
	case JOURNAL_KIND_##NAME:       \
		return #name;
		JOURNAL_KINDS(K)
#undef K
	}
	return NULL;
}

uint64_t
journal_seed(const uint8_t spool_id[static SPOOL_ID], uint32_t file)
{
	return XXH3_64bits_withSeed(spool_id, SPOOL_ID, file);
}

/* Writing */

static void
put_u8(struct buf *b, uint8_t v)
{
	*buf_room(b, 1) = (char)v;
	b->n++;
}

#define PUT_NUMBER(bits)                                         \
	static void put_u##bits(struct buf *b, uint##bits##_t v) \
	{                                                        \
		le_put_u##bits(buf_room(b, bits / 8), v);        \
		b->n += bits / 8;                                \
	}
PUT_NUMBER(16)
PUT_NUMBER(32)
PUT_NUMBER(64)
#undef PUT_NUMBER

static void
put_text(struct buf *b, struct slice s)
{
	assert(s.n <= JOURNAL_REC_MAX);
	put_u32(b, (uint32_t)s.n);
	buf_slice(b, s);
}

static void
put_id16(struct buf *b, struct journal_id16 id)
{
	buf_put(b, id.b, sizeof id.b);
}

static size_t
rec_begin(struct buf *b, uint16_t kind, bool critical)
{
	size_t at = b->n;
	char *p = buf_room(b, 128); /* most records whole: one growth, if any */

	memset(p, 0, JOURNAL_HEADER);
	le_put_u16(p + AT_KIND, (uint16_t)(kind | (critical ? JOURNAL_CRITICAL : 0)));
	b->n += JOURNAL_HEADER;
	return at;
}

static void
rec_end(struct buf *b, size_t at)
{
	size_t len = b->n - at - JOURNAL_HEADER;
	size_t pad;

	assert(size_of((uint32_t)len) <= JOURNAL_REC_MAX && len <= JOURNAL_REC_MAX);
	le_put_u32(b->p + at + AT_LEN, (uint32_t)len);
	pad = size_of((uint32_t)len) - JOURNAL_HEADER - len;
	memset(buf_room(b, pad), 0, pad);
	b->n += pad;
}

#define F(type, name, what) put_##type(b, r->name);
#define K(NAME, name, number, critical)                                          \
	size_t journal_put_##name(struct buf *b, const struct journal_##name *r) \
	{                                                                        \
		size_t at = rec_begin(b, number, critical);                      \
                                                                                 \
		JOURNAL_##NAME(F) rec_end(b, at);                                \
		return at;                                                       \
	}
JOURNAL_KINDS(K)
#undef K
#undef F

size_t
journal_seal(char *p, size_t n, uint64_t room, uint64_t seed, uint64_t *seq)
{
	size_t done = 0;

	while (done < n) {
		char *rec = p + done;
		uint64_t size;

		assert(n - done >= JOURNAL_HEADER);
		size = size_of(le_u32(rec + AT_LEN));
		assert(size <= n - done);
		if (size > room - done)
			break;
		le_put_u64(rec + AT_SEQ, (*seq)++);
		le_put_u64(rec + AT_CHECK, XXH3_64bits_withSeed(rec + AT_LEN, size - AT_LEN, seed));
		done += size;
	}
	return done;
}

/* Reading: a payload that ends early leaves the fields that follow zero; one that ends within a
 * field is malformed. */
struct reader {
	struct slice rest;
	bool bad;
};

static const char *
get(struct reader *r, size_t n)
{
	const char *p = r->rest.p;

	if (r->bad || r->rest.n == 0)
		return NULL;
	if (r->rest.n < n) {
		r->bad = true;
		return NULL;
	}
	r->rest = slice_from(r->rest, n);
	return p;
}

static void
get_u8(struct reader *r, uint8_t *out)
{
	const char *p = get(r, 1);

	*out = p != NULL ? (uint8_t)*p : 0;
}

#define GET_NUMBER(bits)                                               \
	static void get_u##bits(struct reader *r, uint##bits##_t *out) \
	{                                                              \
		const char *p = get(r, bits / 8);                      \
                                                                       \
		*out = p != NULL ? le_u##bits(p) : 0;                  \
	}
GET_NUMBER(16)
GET_NUMBER(32)
GET_NUMBER(64)
#undef GET_NUMBER

static void
get_text(struct reader *r, struct slice *out)
{
	uint32_t n;

	get_u32(r, &n);
	*out = SLICE_NONE;
	if (n > r->rest.n) {
		r->bad = true;
		return;
	}
	*out = slice_head(r->rest, n);
	r->rest = slice_from(r->rest, n);
}

static void
get_id16(struct reader *r, struct journal_id16 *out)
{
	const char *p = get(r, sizeof out->b);

	*out = (struct journal_id16){ 0 };
	if (p != NULL)
		memcpy(out->b, p, sizeof out->b);
}

/* One case for each row of the table: long only after the preprocessor. */
static bool /* NOLINTNEXTLINE(readability-function-size) */
payload_parse(uint16_t kind, struct slice payload, struct journal_rec *out)
{
	struct reader r = { payload, false };

	out->kind = (enum journal_kind)kind;
	switch (out->kind) {
#define F(type, field, what) get_##type(&r, &to->field);
#define K(NAME, name, number, critical)                 \
	case JOURNAL_KIND_##NAME: {                     \
		struct journal_##name *to = &out->name; \
                                                        \
		JOURNAL_##NAME(F) break;                \
	}
		JOURNAL_KINDS(K)
#undef K
#undef F
	}
	return !r.bad;
}

enum journal_status
journal_next(
    struct slice *rest, uint64_t seed, uint64_t seq, struct journal_rec *out, const char **why)
{
	const char *p = rest->p;
	uint16_t kind;
	uint32_t len;

	*why = NULL;
	out->size = JOURNAL_HEADER;
	if (rest->n < JOURNAL_HEADER)
		return JOURNAL_SHORT;
	len = le_u32(p + AT_LEN);
	kind = le_u16(p + AT_KIND);
	out->seq = le_u64(p + AT_SEQ);
	if (kind == 0 || len > JOURNAL_REC_MAX || size_of(len) > JOURNAL_REC_MAX ||
	    (seq != 0 && out->seq != seq))
		return JOURNAL_END;
	out->size = size_of(len);
	if (rest->n < out->size)
		return JOURNAL_SHORT;
	if (le_u64(p + AT_CHECK) != XXH3_64bits_withSeed(p + AT_LEN, out->size - AT_LEN, seed))
		return JOURNAL_END;
	out->kind = (enum journal_kind)(kind & ~JOURNAL_CRITICAL);
	if (journal_kind_word((uint16_t)out->kind) == NULL) {
		*why = "a critical record of a kind that this version does not know";
		if ((kind & JOURNAL_CRITICAL) != 0)
			return JOURNAL_BAD;
		*rest = slice_from(*rest, out->size);
		return JOURNAL_SKIP;
	}
	*why = "a record that verifies but is malformed";
	if (le_u16(p + AT_ZERO) != 0 ||
	    !payload_parse((uint16_t)out->kind, slice_of(p + JOURNAL_HEADER, len), out))
		return JOURNAL_BAD;
	*why = NULL;
	*rest = slice_from(*rest, out->size);
	return JOURNAL_OK;
}

/* Entries of `rcpts` */

enum { PART_STATE = 1, PART_REPLY = 2, PART_ADDRESS = 4 };

static uint8_t
parts_of(const struct journal_rcpt *r)
{
	uint8_t mask = 0;

	if ((r->state != 0 && r->state != SPOOL_QUEUED) || r->owed != 0 || r->attempts != 0 ||
	    r->due_ms != 0)
		mask |= PART_STATE;
	if (r->code != 0 || r->enh[0] != 0 || r->enh[1] != 0 || r->enh[2] != 0 || r->host.n > 0 ||
	    r->reply.n > 0)
		mask |= PART_REPLY;
	if (r->address.p != NULL)
		mask |= PART_ADDRESS;
	return mask;
}

void
journal_rcpt_put(struct buf *b, const struct journal_rcpt *r)
{
	uint8_t mask = parts_of(r);

	put_u32(b, r->queue);
	put_u8(b, r->notify);
	put_u8(b, mask);
	if (mask & PART_STATE) {
		put_u8(b, r->state != 0 ? r->state : SPOOL_QUEUED);
		put_u8(b, r->owed);
		put_u32(b, r->attempts);
		put_u64(b, r->due_ms);
	}
	if (mask & PART_REPLY) {
		put_u16(b, r->code);
		for (size_t i = 0; i < 3; i++)
			put_u8(b, r->enh[i]);
		put_text(b, r->host);
		put_text(b, r->reply);
	}
	if (mask & PART_ADDRESS) {
		put_text(b, r->address);
		put_text(b, r->original);
		put_text(b, r->orcpt);
		put_u32(b, r->parent);
	}
}

/* Here nothing may be missing: an entry has no length of its own. */
static bool
entry_need(struct reader *r, size_t n)
{
	if (r->rest.n < n)
		r->bad = true;
	return !r->bad;
}

static void
entry_text(struct reader *r, struct slice *out)
{
	if (entry_need(r, 4))
		get_text(r, out);
}

int
journal_rcpt_next(struct slice *rest, struct journal_rcpt *out)
{
	struct reader r = { *rest, false };
	uint8_t mask;

	if (rest->n == 0)
		return 0;
	*out = (struct journal_rcpt){ .state = SPOOL_QUEUED };
	if (!entry_need(&r, 6))
		return -EBADMSG;
	get_u32(&r, &out->queue);
	get_u8(&r, &out->notify);
	get_u8(&r, &mask);
	if ((mask & ~(PART_STATE | PART_REPLY | PART_ADDRESS)) != 0)
		return -EBADMSG;
	if ((mask & PART_STATE) && entry_need(&r, 14)) {
		get_u8(&r, &out->state);
		get_u8(&r, &out->owed);
		get_u32(&r, &out->attempts);
		get_u64(&r, &out->due_ms);
	}
	if ((mask & PART_REPLY) && entry_need(&r, 5)) {
		get_u16(&r, &out->code);
		for (size_t i = 0; i < 3; i++)
			get_u8(&r, &out->enh[i]);
		entry_text(&r, &out->host);
		entry_text(&r, &out->reply);
	}
	if (mask & PART_ADDRESS) {
		entry_text(&r, &out->address);
		entry_text(&r, &out->original);
		entry_text(&r, &out->orcpt);
		if (entry_need(&r, 4))
			get_u32(&r, &out->parent);
	}
	if (r.bad || out->state < SPOOL_QUEUED || out->state > SPOOL_LOST)
		return -EBADMSG;
	*rest = r.rest;
	return 1;
}

/* For people */

#define EACH_NUMBER(bits)                                                        \
	static void each_u##bits(                                                \
	    journal_field_fn *fn, void *ctx, const char *name, uint##bits##_t v) \
	{                                                                        \
		fn(ctx, name, "u" #bits, v, SLICE_NONE);                         \
	}
EACH_NUMBER(8)
EACH_NUMBER(16)
EACH_NUMBER(32)
EACH_NUMBER(64)
#undef EACH_NUMBER

static void
each_text(journal_field_fn *fn, void *ctx, const char *name, struct slice s)
{
	fn(ctx, name, "text", 0, s);
}

static void
each_id16(journal_field_fn *fn, void *ctx, const char *name, struct journal_id16 id)
{
	fn(ctx, name, "id16", 0, slice_of(id.b, sizeof id.b));
}

/* As payload_parse(). */
void /* NOLINTNEXTLINE(readability-function-size) */
journal_each(const struct journal_rec *r, journal_field_fn *fn, void *ctx)
{
	switch (r->kind) {
#define F(type, field, what) each_##type(fn, ctx, #field, from->field);
#define K(NAME, name, number, critical)                       \
	case JOURNAL_KIND_##NAME: {                           \
		const struct journal_##name *from = &r->name; \
                                                              \
		JOURNAL_##NAME(F) break;                      \
	}
		JOURNAL_KINDS(K)
#undef K
#undef F
	}
}
