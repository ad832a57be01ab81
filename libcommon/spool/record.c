/* SPDX-License-Identifier: ISC */
#include "spool/record.h"

#include "base/die.h"
#include "spool/le.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

static const char magic[8] = { '\x89', 'A', 'N', 'G', 'R', 'E', 'C', '\n' };
static const char end_mark[RECORD_END] = { '\x89', 'A', 'N', 'G', 'E', 'N', 'D', '\n' };

/* Where things stand in the header: spool.5 has the same table. */
enum {
	AT_VERSION = 8,
	AT_ZERO1 = 10,
	AT_FLAGS = 12,
	AT_ENV_LEN = 16,
	AT_HEAD_LEN = 20,
	AT_BODY_LEN = 24,
	AT_TOTAL = 32,
	AT_SEGMENT = 40,
	AT_NRCPT = 44,
	AT_ID = 48,
	AT_ARRIVAL = 56,
	AT_OFFSET = 64,
	AT_LARGE = 72,
	AT_FRONT = 80,
	AT_BODY = 88,
	AT_ZERO2 = 96,
	AT_CHECK = RECORD_HEADER - 8,
};

/* With lengths within their limits this cannot overflow. */
static uint64_t
total_of(uint64_t env, uint64_t head, uint64_t body)
{
	return (RECORD_HEADER + env + head + body + RECORD_END + SPOOL_ALIGN - 1) &
	       ~(uint64_t)(SPOOL_ALIGN - 1);
}

static int
parts_check(const struct record_parts *p)
{
	if (p->envelope.n > RECORD_ENV_MAX || p->head.n > RECORD_HEAD_MAX ||
	    p->body.n > RECORD_MAX_BYTES || p->large.bytes > RECORD_MAX_BYTES ||
	    total_of(p->envelope.n, p->head.n, p->body.n) > RECORD_MAX_BYTES)
		return -EMSGSIZE;
	if (p->id == 0 || p->nrcpt == 0 || p->nrcpt > RECORD_RCPT_MAX ||
	    (p->flags & ~RECORD_FLAGS_KNOWN) != 0)
		return -EINVAL;
	if (p->large.number == 0 ? (p->flags & RECORD_LARGE) != 0 : p->body.n > 0)
		return -EINVAL;
	if (p->head.n > 0 && (p->head.n < 2 || memcmp(p->head.p + p->head.n - 2, "\r\n", 2) != 0))
		return -EINVAL;
	return 0;
}

static void
header_make(
    char h[static RECORD_HEADER], const struct record_parts *p, uint64_t front, uint64_t body)
{
	memset(h, 0, RECORD_HEADER);
	memcpy(h, magic, sizeof magic);
	le_put_u16(h + AT_VERSION, SPOOL_VERSION);
	le_put_u32(h + AT_FLAGS, p->flags | (p->large.number != 0 ? RECORD_LARGE : 0));
	le_put_u32(h + AT_ENV_LEN, (uint32_t)p->envelope.n);
	le_put_u32(h + AT_HEAD_LEN, (uint32_t)p->head.n);
	le_put_u64(h + AT_BODY_LEN, p->large.number != 0 ? p->large.bytes : p->body.n);
	le_put_u64(h + AT_LARGE, p->large.number);
	le_put_u64(h + AT_TOTAL, total_of(p->envelope.n, p->head.n, p->body.n));
	le_put_u32(h + AT_NRCPT, p->nrcpt);
	le_put_u64(h + AT_ID, p->id);
	le_put_u64(h + AT_ARRIVAL, p->arrival_ms);
	le_put_u64(h + AT_FRONT, front);
	le_put_u64(h + AT_BODY, p->large.number != 0 ? p->large.hash : body);
}

/* Envelope and header section may lie apart: the stream form gives the same hash. */
static uint64_t
hash_two(struct slice a, struct slice b, uint64_t seed)
{
	XXH3_state_t *state = XXH3_createState();
	uint64_t hash;

	if (state == NULL)
		die(EXIT_TEMP, "out of memory");
	XXH3_64bits_reset_withSeed(state, seed);
	XXH3_64bits_update(state, a.p, a.n);
	XXH3_64bits_update(state, b.p, b.n);
	hash = XXH3_64bits_digest(state);
	XXH3_freeState(state);
	return hash;
}

int
record_frame_build(struct record_frame *f, const struct record_parts *p, uint64_t seed)
{
	int error = parts_check(p);

	if (error != 0)
		return error;
	header_make(f->header, p, hash_two(p->envelope, p->head, seed),
	    XXH3_64bits_withSeed(p->body.p, p->body.n, seed));
	f->seed = seed;
	f->total = le_u64(f->header + AT_TOTAL);
	f->tail_len = (uint32_t)(f->total -
				 (RECORD_HEADER + (uint64_t)p->envelope.n + p->head.n + p->body.n));
	memset(f->tail, 0, sizeof f->tail);
	memcpy(f->tail, end_mark, sizeof end_mark);
	return 0;
}

void
record_frame_iov(
    struct record_frame *f, const struct record_parts *p, struct iovec iov[static RECORD_IOV])
{
	const struct slice part[] = { p->envelope, p->head, p->body };

	iov[0] = (struct iovec){ f->header, RECORD_HEADER };
	for (size_t i = 0; i < 3; i++) {
		iov[1 + i].iov_len = part[i].n;
		/* writev only reads, but its pointer is not const. */
		memcpy(&iov[1 + i].iov_base, &part[i].p, sizeof part[i].p);
	}
	iov[4] = (struct iovec){ f->tail, f->tail_len };
}

int
record_build(struct buf *b, const struct record_parts *p, uint64_t seed)
{
	int error = parts_check(p);
	char *rec, *at;
	uint64_t total;
	size_t front_len, used;

	if (error != 0)
		return error;
	total = total_of(p->envelope.n, p->head.n, p->body.n);
	rec = buf_room(b, total);
	at = rec + RECORD_HEADER;
	at = (char *)mempcpy(at, p->envelope.n > 0 ? p->envelope.p : "", p->envelope.n);
	at = (char *)mempcpy(at, p->head.n > 0 ? p->head.p : "", p->head.n);
	at = (char *)mempcpy(at, p->body.n > 0 ? p->body.p : "", p->body.n);
	at = (char *)mempcpy(at, end_mark, sizeof end_mark);
	used = (size_t)(at - rec);
	memset(at, 0, total - used);
	front_len = p->envelope.n + p->head.n;
	header_make(rec, p, XXH3_64bits_withSeed(rec + RECORD_HEADER, front_len, seed),
	    XXH3_64bits_withSeed(rec + RECORD_HEADER + front_len, p->body.n, seed));
	b->n += total;
	return 0;
}

void
record_reseed(char *rec, uint64_t n, uint64_t seed)
{
	uint64_t front = (uint64_t)le_u32(rec + AT_ENV_LEN) + le_u32(rec + AT_HEAD_LEN);
	bool large = (le_u32(rec + AT_FLAGS) & RECORD_LARGE) != 0;
	uint64_t body = large ? 0 : le_u64(rec + AT_BODY_LEN);

	assert(n == le_u64(rec + AT_TOTAL) && RECORD_HEADER + front + body + RECORD_END <= n);
	le_put_u64(rec + AT_FRONT, XXH3_64bits_withSeed(rec + RECORD_HEADER, front, seed));
	if (!large)
		le_put_u64(
		    rec + AT_BODY, XXH3_64bits_withSeed(rec + RECORD_HEADER + front, body, seed));
}

void
record_seal(char header[static RECORD_HEADER], uint32_t segment, uint64_t offset, uint64_t seed)
{
	le_put_u32(header + AT_SEGMENT, segment);
	le_put_u64(header + AT_OFFSET, offset);
	le_put_u64(header + AT_CHECK, XXH3_64bits_withSeed(header, AT_CHECK, seed));
}

static bool
all_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

static enum record_status
bad(struct record *out, const char *why)
{
	out->why = why;
	return RECORD_BAD;
}

/* The reference, and what of the body stands here. */
static bool
large_parse(const char *p, struct record *out)
{
	uint64_t number = le_u64(p + AT_LARGE);

	out->large = (struct record_large){ 0 };
	if ((out->flags & RECORD_LARGE) == 0)
		return number == 0;
	out->large = (struct record_large){
		.number = (uint32_t)number, .bytes = out->body_len, .hash = out->body_hash
	};
	out->body_len = 0;
	return number > 0 && number <= UINT32_MAX && out->large.bytes <= RECORD_MAX_BYTES;
}

static enum record_status
header_parse(const char *p, uint32_t segment, uint64_t offset, uint64_t seed, struct record *out)
{
	uint32_t flags;

	if (memcmp(p, magic, sizeof magic) != 0)
		return bad(out, "does not begin like a record");
	if (le_u64(p + AT_CHECK) != XXH3_64bits_withSeed(p, AT_CHECK, seed))
		return bad(out, "header fails its checksum");
	out->version = le_u16(p + AT_VERSION);
	if (out->version == 0 || out->version > SPOOL_VERSION)
		return bad(out, "is of a later version of the spool format");
	flags = le_u32(p + AT_FLAGS);
	if (((flags & ~RECORD_FLAGS_KNOWN) >> 16) != 0)
		return bad(out, "has a critical flag that this version does not know");
	out->flags = flags;
	out->segment = le_u32(p + AT_SEGMENT);
	out->offset = le_u64(p + AT_OFFSET);
	if (out->segment != segment || out->offset != offset || offset % SPOOL_ALIGN != 0)
		return bad(out, "was written for another place");
	out->env_len = le_u32(p + AT_ENV_LEN);
	out->head_len = le_u32(p + AT_HEAD_LEN);
	out->body_len = le_u64(p + AT_BODY_LEN);
	out->body_hash = le_u64(p + AT_BODY);
	if (!large_parse(p, out))
		return bad(out, "has an impossible reference into large/");
	out->total = le_u64(p + AT_TOTAL);
	out->nrcpt = le_u32(p + AT_NRCPT);
	if (out->env_len > RECORD_ENV_MAX || out->head_len > RECORD_HEAD_MAX ||
	    out->body_len > RECORD_MAX_BYTES || out->total > RECORD_MAX_BYTES ||
	    out->total != total_of(out->env_len, out->head_len, out->body_len))
		return bad(out, "has impossible lengths");
	if (out->nrcpt == 0 || out->nrcpt > RECORD_RCPT_MAX)
		return bad(out, "has an impossible number of recipients");
	if (le_u16(p + AT_ZERO1) != 0 || !all_zero(p + AT_ZERO2, AT_CHECK - AT_ZERO2))
		return bad(out, "has something where zeros belong");
	out->id = le_u64(p + AT_ID);
	if (out->id == 0)
		return bad(out, "has no id");
	out->arrival_ms = le_u64(p + AT_ARRIVAL);
	out->body_at = RECORD_HEADER + (uint64_t)out->env_len + out->head_len;
	return RECORD_OK;
}

enum record_status
record_parse(
    struct slice bytes, uint32_t segment, uint64_t offset, uint64_t seed, struct record *out)
{
	enum record_status status;

	out->why = NULL;
	out->body = SLICE_NONE;
	out->need = RECORD_HEADER;
	if (bytes.n < RECORD_HEADER)
		return RECORD_SHORT;
	status = header_parse(bytes.p, segment, offset, seed, out);
	if (status != RECORD_OK)
		return status;
	out->need = out->body_at;
	if (bytes.n < out->body_at)
		return RECORD_SHORT;
	if (le_u64(bytes.p + AT_FRONT) !=
	    XXH3_64bits_withSeed(bytes.p + RECORD_HEADER, out->body_at - RECORD_HEADER, seed))
		return bad(out, "envelope or header section fail their checksum");
	out->envelope = slice_of(bytes.p + RECORD_HEADER, out->env_len);
	out->head = slice_of(bytes.p + RECORD_HEADER + out->env_len, out->head_len);
	if (bytes.n >= out->total)
		out->body = slice_of(bytes.p + out->body_at, out->body_len);
	return RECORD_OK;
}

bool
record_body_verify(const struct record *r, struct slice whole, uint64_t seed)
{
	const char *end;

	if (whole.n < r->total)
		return false;
	end = whole.p + r->body_at + r->body_len;
	return (r->large.number != 0 ||
		   XXH3_64bits_withSeed(whole.p + r->body_at, r->body_len, seed) == r->body_hash) &&
	       memcmp(end, end_mark, sizeof end_mark) == 0 &&
	       all_zero(end + RECORD_END, r->total - r->body_at - r->body_len - RECORD_END);
}

struct record_verifier {
	XXH3_state_t *state;
	uint64_t body_left, hash;
	uint32_t tail_at, tail_len;
	bool ok, elsewhere; /* elsewhere: the body is not what is fed */
};

struct record_verifier *
record_verifier_new(void)
{
	struct record_verifier *v = xcalloc(1, sizeof *v);

	v->state = XXH3_createState();
	if (v->state == NULL)
		die(EXIT_TEMP, "out of memory");
	return v;
}

void
record_verifier_free(struct record_verifier *v)
{
	if (v == NULL)
		return;
	XXH3_freeState(v->state);
	free(v);
}

void
record_verifier_start(struct record_verifier *v, const struct record *r, uint64_t seed)
{
	XXH3_64bits_reset_withSeed(v->state, seed);
	v->body_left = r->body_len;
	v->hash = r->body_hash;
	v->tail_at = 0;
	v->tail_len = (uint32_t)(r->total - r->body_at - r->body_len);
	v->ok = true;
	v->elsewhere = r->large.number != 0;
}

void
record_verifier_start_large(struct record_verifier *v, const struct record_large *large)
{
	XXH3_64bits_reset_withSeed(v->state, large->number);
	v->body_left = large->bytes;
	v->hash = large->hash;
	v->tail_at = v->tail_len = 0;
	v->ok = true;
	v->elsewhere = false;
}

void
record_verifier_feed(struct record_verifier *v, const void *bytes, size_t n)
{
	const char *p = bytes;
	size_t body = n < v->body_left ? n : (size_t)v->body_left;

	XXH3_64bits_update(v->state, p, body);
	v->body_left -= body;
	for (size_t i = body; i < n && v->ok; i++, v->tail_at++)
		v->ok = v->tail_at < v->tail_len &&
			p[i] == (v->tail_at < RECORD_END ? end_mark[v->tail_at] : 0);
}

bool
record_verifier_end(struct record_verifier *v)
{
	return v->ok && v->body_left == 0 && v->tail_at == v->tail_len &&
	       (v->elsewhere || XXH3_64bits_digest(v->state) == v->hash);
}

uint64_t
record_body_bytes(const struct record *r)
{
	return r->large.number != 0 ? r->large.bytes : r->body_len;
}

uint64_t
record_digest(struct slice envelope)
{
	return XXH3_64bits(envelope.p, envelope.n);
}

static bool
eight_bit(struct slice s)
{
	uint64_t any = 0;
	size_t i = 0;

	for (; i + 8 <= s.n; i += 8)
		any |= le_u64(s.p + i);
	for (; i < s.n; i++)
		any |= (unsigned char)s.p[i];
	return (any & UINT64_C(0x8080808080808080)) != 0;
}

/* One part, line by line: what ends a line is LF, and only CR before it makes it whole. */
static uint32_t
flags_of_part(struct slice s)
{
	uint32_t flags = s.n > 0 && memchr(s.p, '\0', s.n) != NULL ? RECORD_NUL : 0;

	if (eight_bit(s))
		flags |= RECORD_EIGHT_BIT;
	while (s.n > 0) {
		ptrdiff_t lf = slice_find(s, '\n');
		struct slice line = lf < 0 ? s : slice_head(s, (size_t)lf);
		ptrdiff_t cr = slice_find(line, '\r');
		bool whole = lf > 0 && line.p[line.n - 1] == '\r';

		if (cr >= 0 && (size_t)cr + (whole ? 1 : 0) < line.n)
			flags |= RECORD_BARE;
		if (lf >= 0 && !whole)
			flags |= RECORD_BARE;
		if (lf < 0)
			flags |= RECORD_NO_END;
		if (s.p[0] == '.')
			flags |= RECORD_HAS_DOT;
		if (line.n - (whole ? 1 : 0) > 998)
			flags |= RECORD_LONG_LINE;
		s = slice_from(s, line.n + (lf < 0 ? 0 : 1));
	}
	return flags;
}

uint32_t
record_flags_of(struct slice head, struct slice body)
{
	uint32_t flags = flags_of_part(head);

	if (flags & RECORD_EIGHT_BIT)
		flags |= RECORD_EIGHT_BIT_HEAD;
	return flags | flags_of_part(body);
}
