/* SPDX-License-Identifier: ISC */
#include "spool/envelope.h"

#include "spool/le.h"
#include "spool/record.h"

#include <assert.h>
#include <errno.h>

enum type {
	TYPE_none,
	TYPE_text,
	TYPE_flag,
	TYPE_u8,
	TYPE_i8,
	TYPE_u32,
	TYPE_u64,
	TYPE_addr,
	TYPE_pair_row,
	TYPE_edit_row,
	TYPE_u32_row,
	TYPE_route
};

enum { FIELD_HEADER = 6, FIRST_RCPT_FIELD = 64, NUMBERS = 128, ADDR = 18, ROUTE_MIN = 24 };

static const struct field {
	const char *name;
	enum type type;
	bool critical;
	uint16_t at; /* of its member in struct envelope or struct envelope_rcpt */
} table[NUMBERS] = {
#define F(NAME, name, number, type, critical, what) \
	[number] = { #name, TYPE_##type, critical, offsetof(struct envelope, name) },
	ENVELOPE_MESSAGE_FIELDS(F)
#undef F
#define F(NAME, name, number, type, critical, what) \
	[number] = { #name, TYPE_##type, critical, offsetof(struct envelope_rcpt, name) },
	    ENVELOPE_RCPT_FIELDS(F)
#undef F
};

const char *
envelope_field_name(uint16_t number)
{
	return number < NUMBERS ? table[number].name : NULL;
}

/* Writing */

static char *
put(struct buf *b, enum envelope_field f, enum type type, size_t n)
{
	char *p;

	assert(table[f].type == type || (type == TYPE_u8 && table[f].type == TYPE_i8));
	assert(n <= RECORD_ENV_MAX);
	p = buf_room(b, FIELD_HEADER + n);
	le_put_u16(p, (uint16_t)(f | (table[f].critical ? ENVELOPE_CRITICAL : 0)));
	le_put_u32(p + 2, (uint32_t)n);
	b->n += FIELD_HEADER + n;
	return p + FIELD_HEADER;
}

static void
copy(char *to, struct slice s)
{
	if (s.n > 0)
		memcpy(to, s.p, s.n);
}

void
envelope_put_text(struct buf *b, enum envelope_field f, struct slice text)
{
	copy(put(b, f, TYPE_text, text.n), text);
}

void
envelope_put_flag(struct buf *b, enum envelope_field f)
{
	put(b, f, TYPE_flag, 0);
}

void
envelope_put_u8(struct buf *b, enum envelope_field f, uint8_t v)
{
	*put(b, f, TYPE_u8, 1) = (char)v;
}

void
envelope_put_u32(struct buf *b, enum envelope_field f, uint32_t v)
{
	le_put_u32(put(b, f, TYPE_u32, 4), v);
}

void
envelope_put_u64(struct buf *b, enum envelope_field f, uint64_t v)
{
	le_put_u64(put(b, f, TYPE_u64, 8), v);
}

void
envelope_put_addr(struct buf *b, enum envelope_field f, const struct envelope_addr *a)
{
	char *p = put(b, f, TYPE_addr, ADDR);

	memcpy(p, a->ip, sizeof a->ip);
	le_put_u16(p + 16, a->port);
}

void
envelope_put_pair(struct buf *b, enum envelope_field f, struct slice key, struct slice value)
{
	char *p;

	assert(key.n <= UINT16_MAX && value.n <= RECORD_ENV_MAX);
	p = put(b, f, TYPE_pair_row, 2 + key.n + value.n);
	le_put_u16(p, (uint16_t)key.n);
	copy(p + 2, key);
	copy(p + 2 + key.n, value);
}

void
envelope_put_edit(struct buf *b, enum envelope_op op, uint32_t n, struct slice bytes)
{
	char *p;

	assert(n >= 1 && bytes.n <= RECORD_ENV_MAX);
	p = put(b, ENVELOPE_EDIT, TYPE_edit_row, 5 + bytes.n);
	p[0] = (char)op;
	le_put_u32(p + 1, n);
	copy(p + 5, bytes);
}

void
envelope_put_u32s(struct buf *b, enum envelope_field f, const uint32_t *v, size_t n)
{
	char *p;

	assert(n <= RECORD_ENV_MAX / 4);
	p = put(b, f, TYPE_u32_row, 4 * n);
	for (size_t i = 0; i < n; i++)
		le_put_u32(p + 4 * i, v[i]);
}

void
envelope_put_route(struct buf *b, const struct envelope_route *r)
{
	char *p;

	assert(r->bytes.n <= RECORD_ENV_MAX);
	p = put(b, ENVELOPE_ROUTE, TYPE_route, ROUTE_MIN + r->bytes.n);
	le_put_u64(p, r->generation);
	memcpy(p + 8, r->seal, ENVELOPE_SEAL);
	copy(p + ROUTE_MIN, r->bytes);
}

/* Reading */

struct raw {
	uint16_t number; /* without the critical bit */
	bool critical;
	struct slice bytes;
	size_t size; /* of the field, its own header included */
};

/* The field at the front of s; s.n > 0. */
static bool
raw_field(struct slice s, struct raw *out)
{
	uint32_t n;

	if (s.n < FIELD_HEADER)
		return false;
	out->number = le_u16(s.p) & (uint16_t)~ENVELOPE_CRITICAL;
	out->critical = (le_u16(s.p) & ENVELOPE_CRITICAL) != 0;
	n = le_u32(s.p + 2);
	if (n > s.n - FIELD_HEADER)
		return false;
	out->bytes = slice_of(s.p + FIELD_HEADER, n);
	out->size = FIELD_HEADER + (size_t)n;
	return true;
}

static bool
u8_in_range(uint16_t number, uint8_t v)
{
	switch (number) {
	case ENVELOPE_RET:
		return v == RET_FULL || v == RET_HDRS;
	case ENVELOPE_BODY:
		return v >= BODY_7BIT && v <= BODY_BINARYMIME;
	case ENVELOPE_PRIORITY:
		return (int8_t)v >= -9 && (int8_t)v <= 9;
	case ENVELOPE_DELIVER_MODE:
		return (v & 3) != 0 && (v & 3) != 3 && v < 8;
	case ENVELOPE_CLASS:
		return v >= 1 && v <= 4;
	case ENVELOPE_NOTICE_KIND:
		return v == SPOOL_NOTICE_FAILED || v == SPOOL_NOTICE_DELAYED ||
		       v == SPOOL_NOTICE_DELIVERED;
	case ENVELOPE_NOTIFY: /* RFC 3461: NEVER stands alone */
		return v == NOTIFY_NEVER ||
		       (v != 0 && (v & ~(NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY)) == 0);
	}
	return true;
}

static bool
edit_parse(struct slice s, struct envelope_edit *out)
{
	if (s.n < 5 || s.p[0] < EDIT_INSERT || s.p[0] > EDIT_DELETE || le_u32(s.p + 1) == 0)
		return false;
	out->op = (enum envelope_op)s.p[0];
	out->n = le_u32(s.p + 1);
	out->bytes = slice_from(s, 5);
	return true;
}

static bool
pair_parse(struct slice s, struct slice *key, struct slice *value)
{
	if (s.n < 2 || le_u16(s.p) > s.n - 2)
		return false;
	*key = slice_of(s.p + 2, le_u16(s.p));
	*value = slice_from(s, 2 + key->n);
	return true;
}

/* One field of the table into its member. False: it is not as its type demands. */
static bool
store(void *to, const struct raw *f)
{
	struct slice s = f->bytes, value;
	struct envelope_edit edit;
	struct envelope_route *route;
	struct envelope_addr *addr;

	switch (table[f->number].type) {
	case TYPE_none:
		break;
	case TYPE_text:
		*(struct slice *)to = s;
		return true;
	case TYPE_flag:
		*(bool *)to = true;
		return s.n == 0;
	case TYPE_u8:
	case TYPE_i8:
		if (s.n != 1 || !u8_in_range(f->number, (uint8_t)s.p[0]))
			return false;
		*(uint8_t *)to = (uint8_t)s.p[0];
		return true;
	case TYPE_u32:
		if (s.n != 4)
			return false;
		*(uint32_t *)to = le_u32(s.p);
		return true;
	case TYPE_u64:
		if (s.n != 8)
			return false;
		*(uint64_t *)to = le_u64(s.p);
		return true;
	case TYPE_addr:
		if (s.n != ADDR)
			return false;
		addr = to;
		memcpy(addr->ip, s.p, sizeof addr->ip);
		addr->port = le_u16(s.p + 16);
		return true;
	case TYPE_pair_row:
		++*(uint32_t *)to;
		return pair_parse(s, &value, &value);
	case TYPE_edit_row:
		++*(uint32_t *)to;
		return edit_parse(s, &edit);
	case TYPE_u32_row:
		*(struct slice *)to = s;
		return s.n % 4 == 0;
	case TYPE_route:
		if (s.n < ROUTE_MIN)
			return false;
		route = to;
		route->generation = le_u64(s.p);
		memcpy(route->seal, s.p + 8, ENVELOPE_SEAL);
		route->bytes = slice_from(s, ROUTE_MIN);
		return true;
	}
	return false;
}

/* What came of looking at the next field of a message or of a recipient. */
struct walk {
	char *into; /* struct envelope or struct envelope_rcpt */
	uint64_t has;
	uint16_t low; /* lowest and highest number that may stand here; from 128 on any may */
	uint16_t high;
	const char *why;
	uint16_t unknown;
};

static int
take(struct walk *w, const struct raw *f)
{
	const struct field *row = f->number < NUMBERS ? &table[f->number] : NULL;
	uint64_t bit = UINT64_C(1) << (f->number & 63);

	w->unknown = 0;
	w->why = "a field stands at the wrong place";
	if (row != NULL && (f->number < w->low || f->number > w->high))
		return -EBADMSG;
	if (row == NULL || row->type == TYPE_none) {
		w->why = "a critical field that this version does not know";
		w->unknown = f->critical ? f->number : 0;
		return f->critical ? -ENOTSUP : 0;
	}
	w->why = "a field stands twice";
	if ((w->has & bit) != 0 && row->type != TYPE_pair_row && row->type != TYPE_edit_row)
		return -EBADMSG;
	w->has |= bit;
	w->why = "a field is malformed";
	return store(w->into + row->at, f) ? 0 : -EBADMSG;
}

int
envelope_message(struct slice env, struct envelope *out)
{
	struct walk w = { .into = (char *)out, .low = 1, .high = FIRST_RCPT_FIELD - 1 };
	struct slice rest = env;
	struct raw f;
	int error = 0;

	memset(out, 0, sizeof *out);
	while (rest.n > 0 && error == 0) {
		if (!raw_field(rest, &f)) {
			out->why = "the last field is cut short";
			return -EBADMSG;
		}
		if (f.number == ENVELOPE_RECIPIENT)
			break;
		error = take(&w, &f);
		rest = slice_from(rest, f.size);
	}
	out->has = w.has;
	out->why = error != 0 ? w.why : NULL;
	out->unknown = w.unknown;
	out->fields = slice_head(env, env.n - rest.n);
	out->rcpts = rest;
	if (error == 0 && !envelope_has(out, ENVELOPE_SENDER)) {
		out->why = "there is no sender";
		error = -EBADMSG;
	}
	return error;
}

void
envelope_rcpts(const struct envelope *e, struct envelope_iter *it)
{
	*it = (struct envelope_iter){ .rest = e->rcpts };
}

static int
iter_fail(struct envelope_iter *it, int error, const char *why, uint16_t unknown)
{
	it->error = error;
	it->why = why;
	it->unknown = unknown;
	return error;
}

int
envelope_rcpt_next(struct envelope_iter *it, struct envelope_rcpt *out)
{
	struct walk w = { .into = (char *)out, .low = FIRST_RCPT_FIELD, .high = NUMBERS - 1 };
	struct slice start = it->rest;
	struct raw f;
	bool open = false;
	int error;

	if (it->error != 0 || it->rest.n == 0)
		return it->error;
	if (it->number == RECORD_RCPT_MAX)
		return iter_fail(it, -EBADMSG, "too many recipients", 0);
	memset(out, 0, sizeof *out);
	for (; it->rest.n > 0; it->rest = slice_from(it->rest, f.size), open = true) {
		if (!raw_field(it->rest, &f))
			return iter_fail(it, -EBADMSG, "the last field is cut short", 0);
		if (open && f.number == ENVELOPE_RECIPIENT)
			break;
		if (!open && f.number != ENVELOPE_RECIPIENT)
			return iter_fail(
			    it, -EBADMSG, "a recipient does not begin with its address", 0);
		error = take(&w, &f);
		if (error != 0)
			return iter_fail(it, error, w.why, w.unknown);
	}
	out->fields = slice_head(start, start.n - it->rest.n);
	out->number = it->number++;
	return 1;
}

bool
envelope_edit_next(struct slice *rest, struct envelope_edit *out)
{
	struct raw f;

	while (rest->n > 0 && raw_field(*rest, &f)) {
		*rest = slice_from(*rest, f.size);
		if (f.number == ENVELOPE_EDIT)
			return edit_parse(f.bytes, out);
	}
	return false;
}

bool
envelope_pair_next(
    struct slice *rest, enum envelope_field field, struct slice *key, struct slice *value)
{
	struct raw f;

	while (rest->n > 0 && raw_field(*rest, &f)) {
		*rest = slice_from(*rest, f.size);
		if (f.number == field)
			return pair_parse(f.bytes, key, value);
	}
	return false;
}

uint32_t
envelope_u32(struct slice row, size_t i)
{
	assert(i < row.n / 4);
	return le_u32(row.p + 4 * i);
}

int
envelope_check(struct slice env, uint32_t *nrcpt, const char **why)
{
	struct envelope e;
	struct envelope_iter it;
	struct envelope_rcpt r;
	int got;

	*nrcpt = 0;
	got = envelope_message(env, &e);
	*why = e.why;
	if (got != 0)
		return got;
	envelope_rcpts(&e, &it);
	while ((got = envelope_rcpt_next(&it, &r)) > 0)
		;
	*nrcpt = it.number;
	*why = it.why;
	if (got == 0 && it.number == 0) {
		*why = "there is no recipient";
		return -EBADMSG;
	}
	return got;
}

int
envelope_each(struct slice env, envelope_field_fn *fn, void *ctx)
{
	struct raw f;

	while (env.n > 0) {
		if (!raw_field(env, &f))
			return -EBADMSG;
		fn(ctx, f.number, envelope_field_name(f.number), f.bytes);
		env = slice_from(env, f.size);
	}
	return 0;
}
