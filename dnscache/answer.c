/* SPDX-License-Identifier: ISC */
#include "dnscache/answer.h"

#include <assert.h>

enum {
	HEAD_BYTES = 12,
	NAME_BYTES_MAX = 255, /* on the wire, RFC 1035 2.3.4 */
	LABEL_MAX = 63,
	JUMPS_MAX = 127,  /* in one name: more than it has labels */
	RECORD_HEAD = 10, /* type, class, ttl, length */
	SOA_TAIL = 20,
	COUNT_MAX = 4096, /* records looked at */
	CLASS_IN = 1,
	TYPE_NS = 2,
	TYPE_SOA = 6,
	FLAG_QR = 0x8000,
	FLAG_TC = 0x0200,
	FLAG_RD = 0x0100,
	FLAG_AD = 0x0020,
	OPCODE = 0x7800,
	RCODE = 0x000f,
};

/* RFC 1035 4.1.1 */
enum rcode { NOERROR = 0, SERVFAIL = 2, NXDOMAIN = 3 };

struct reader {
	const uint8_t *p;
	size_t n, at;
};

struct record {
	char owner[DNS_NAME_MAX + 1];
	bool odd; /* the owner is no name as dns.h has them */
	uint16_t type, class;
	uint32_t ttl_s;
	size_t data, end; /* offsets of its rdata */
};

enum name_kind { NAME_OK, NAME_ODD, NAME_BAD };

static bool
take_u16(struct reader *r, uint16_t *out)
{
	if (r->n - r->at < 2)
		return false;
	*out = (uint16_t)(r->p[r->at] << 8 | r->p[r->at + 1]);
	r->at += 2;
	return true;
}

static bool
take_u32(struct reader *r, uint32_t *out)
{
	uint16_t high, low;

	if (!take_u16(r, &high) || !take_u16(r, &low))
		return false;
	*out = (uint32_t)high << 16 | low;
	return true;
}

/* A label behind what out holds. Odd: a byte that no name of dns.h has. */
static enum name_kind
add_label(const uint8_t *label, size_t n, char *out, size_t *used)
{
	enum name_kind kind = NAME_OK;

	if (*used > 0)
		out[(*used)++] = '.';
	for (size_t i = 0; i < n; i++) {
		if (label[i] <= ' ' || label[i] > '~' || label[i] == '.')
			kind = NAME_ODD;
		out[(*used)++] = ascii_lower((char)label[i]);
	}
	return kind;
}

/*
 * A name at r->at, which is moved behind it. A pointer must lead to before the place where the
 * labels it continues begin, so each jump goes further back and none comes round; but there might
 * be thousands of them, in thousands of names.
 */
static enum name_kind
take_name(struct reader *r, char out[static DNS_NAME_MAX + 1])
{
	size_t at = r->at, from = r->at, used = 0, wire = 1;
	enum name_kind kind = NAME_OK;
	unsigned jumps = 0;

	for (;;) {
		uint8_t n;

		if (at >= r->n)
			return NAME_BAD;
		n = r->p[at++];
		if (n == 0)
			break;
		if ((n & 0xc0) == 0xc0) {
			size_t to;

			if (at >= r->n)
				return NAME_BAD;
			to = (size_t)(n & 0x3f) << 8 | r->p[at++];
			if (to >= from || to < HEAD_BYTES || jumps == JUMPS_MAX)
				return NAME_BAD;
			if (jumps++ == 0)
				r->at = at;
			at = from = to;
			continue;
		}
		wire += n + 1U;
		if (n > LABEL_MAX || wire > NAME_BYTES_MAX || r->n - at < n)
			return NAME_BAD;
		if (add_label(r->p + at, n, out, &used) == NAME_ODD)
			kind = NAME_ODD;
		at += n;
	}
	if (jumps == 0)
		r->at = at;
	out[used] = '\0';
	return kind;
}

static bool
take_record(struct reader *r, struct record *out)
{
	enum name_kind kind = take_name(r, out->owner);
	uint16_t n;

	if (kind == NAME_BAD || !take_u16(r, &out->type) || !take_u16(r, &out->class) ||
	    !take_u32(r, &out->ttl_s) || !take_u16(r, &n) || r->n - r->at < n)
		return false;
	out->odd = kind == NAME_ODD;
	if (out->ttl_s > INT32_MAX) /* RFC 2181 8 */
		out->ttl_s = 0;
	out->data = r->at;
	out->end = r->at += n;
	return true;
}

bool
answer_question_put(struct buf *out, uint16_t id, const char *name, enum dns_type type)
{
	const uint8_t head[HEAD_BYTES] = { (uint8_t)(id >> 8), (uint8_t)id, FLAG_RD >> 8, FLAG_AD,
		0, 1 };
	const char tail[] = { 0, (char)(type >> 8), (char)type, 0, CLASS_IN };
	struct slice rest = slice_z(name), label;

	if (rest.n > DNS_NAME_MAX)
		return false;
	buf_put(out, head, sizeof head);
	while (rest.n > 0 && slice_next(&rest, '.', &label)) {
		if (label.n == 0 || label.n > LABEL_MAX)
			return false;
		buf_putc(out, (char)label.n);
		buf_slice(out, label);
	}
	buf_put(out, tail, sizeof tail);
	return true;
}

static void
end(struct answer *a, enum answer_kind kind, const char *why)
{
	a->kind = kind;
	a->why = why;
}

static void
lower_ttl(struct answer *a, uint32_t ttl_s)
{
	if (!a->has_ttl || ttl_s < a->ttl_s)
		a->ttl_s = ttl_s;
	a->has_ttl = true;
}

/* The name in the rdata from `at`, which it must fill. */
static enum name_kind
data_name(const struct reader *whole, const struct record *rr, size_t at, char *out)
{
	struct reader r = { whole->p, rr->end, at };
	enum name_kind kind = take_name(&r, out);

	return r.at == rr->end ? kind : NAME_BAD;
}

/* The strings of a TXT record, joined: 1; 0: longer than we take; -1: malformed. */
static int
data_text(const struct reader *whole, const struct record *rr, char *out, size_t *used)
{
	size_t at = rr->data;

	*used = 0;
	if (at == rr->end)
		return -1;
	while (at < rr->end) {
		size_t n = whole->p[at++];

		if (rr->end - at < n)
			return -1;
		if (*used + n > DNS_TEXT_MAX)
			return 0;
		memcpy(out + *used, whole->p + at, n);
		*used += n;
		at += n;
	}
	return 1;
}

/* One of the records asked for. OK: taken; ODD: not for us; BAD: malformed. */
static enum name_kind
take_data(struct answer *a, const struct reader *whole, const struct record *rr, unsigned *count)
{
	char text[DNS_TEXT_MAX];
	struct dns_record out = { .data = slice_of(whole->p + rr->data, rr->end - rr->data) };
	enum name_kind kind = NAME_OK;
	size_t n = 0;
	int rc;

	switch ((enum dns_type)rr->type) {
	case DNS_A:
		kind = out.data.n == 4 ? NAME_OK : NAME_BAD;
		break;
	case DNS_AAAA:
		kind = out.data.n == 16 ? NAME_OK : NAME_BAD;
		break;
	case DNS_MX:
		if (out.data.n < 3)
			return NAME_BAD;
		out.preference = (uint16_t)(whole->p[rr->data] << 8 | whole->p[rr->data + 1]);
		kind = data_name(whole, rr, rr->data + 2, text);
		break;
	case DNS_CNAME:
	case DNS_PTR:
		kind = data_name(whole, rr, rr->data, text);
		break;
	case DNS_TXT:
		rc = data_text(whole, rr, text, &n);
		kind = rc < 0 ? NAME_BAD : rc == 0 ? NAME_ODD : NAME_OK;
		out.data = slice_of(text, n);
		break;
	}
	if (kind != NAME_OK)
		return kind;
	if (rr->type == DNS_MX || rr->type == DNS_CNAME || rr->type == DNS_PTR)
		out.data = slice_z(text);
	if (*count == DNS_RECORDS_MAX || a->records.n + out.data.n + 4 > ANSWER_RECORDS_BYTES)
		return NAME_OK; /* beyond the limit: left out */
	dns_record_put(&a->records, (enum dns_type)rr->type, &out);
	++*count;
	return NAME_OK;
}

/* All records of `type` of `owner` in the answer section. False: malformed. */
static bool
collect(struct answer *a, struct reader r, unsigned n, const char *owner, enum dns_type type,
    unsigned *count, bool *odd)
{
	const struct reader whole = r;
	struct record rr;

	*count = 0;
	*odd = false;
	while (n-- > 0) {
		enum name_kind kind;

		if (!take_record(&r, &rr))
			return false;
		if (rr.class != CLASS_IN || rr.type != type || rr.odd ||
		    strcmp(rr.owner, owner) != 0)
			continue;
		kind = take_data(a, &whole, &rr, count);
		if (kind == NAME_BAD)
			return false;
		*odd |= kind == NAME_ODD;
		lower_ttl(a, rr.ttl_s);
	}
	return true;
}

/* The CNAME of `owner`: 1, 0 there is none, -1 malformed, -2 not a name for us. */
static int
find_cname(struct answer *a, struct reader r, unsigned n, const char *owner, char *to)
{
	const struct reader whole = r;
	struct record rr;

	while (n-- > 0) {
		enum name_kind kind;

		if (!take_record(&r, &rr))
			return -1;
		if (rr.class != CLASS_IN || rr.type != DNS_CNAME || rr.odd ||
		    strcmp(rr.owner, owner) != 0)
			continue;
		kind = data_name(&whole, &rr, rr.data, to);
		if (kind == NAME_BAD)
			return -1;
		lower_ttl(a, rr.ttl_s);
		return kind == NAME_ODD || to[0] == '\0' ? -2 : 1;
	}
	return 0;
}

/* Is `name` at or below `zone`? */
static bool
is_below(const char *name, const char *zone)
{
	struct slice n = slice_z(name), z = slice_z(zone);

	if (z.n == 0)
		return true;
	return slice_iends(n, z) && (n.n == z.n || n.p[n.n - z.n - 1] == '.');
}

/* What the authority section says of `name`, which has nothing: RFC 2308 2.2 and 5. */
static bool
read_authority(struct answer *a, struct reader r, unsigned n, const char *name, bool *referral)
{
	const struct reader whole = r;
	struct record rr;

	*referral = false;
	while (n-- > 0) {
		char text[DNS_NAME_MAX + 1];
		struct reader d;
		uint32_t minimum = 0;

		if (!take_record(&r, &rr))
			return false;
		if (rr.class != CLASS_IN || rr.odd || !is_below(name, rr.owner))
			continue;
		if (rr.type == TYPE_NS)
			*referral = true;
		if (rr.type != TYPE_SOA)
			continue;
		d = (struct reader){ whole.p, rr.end, rr.data };
		if (take_name(&d, text) == NAME_BAD || take_name(&d, text) == NAME_BAD ||
		    rr.end - d.at != SOA_TAIL)
			return false;
		d.at = rr.end - 4;
		if (!take_u32(&d, &minimum))
			return false;
		lower_ttl(a, rr.ttl_s < minimum ? rr.ttl_s : minimum);
		*referral = false;
		return true;
	}
	return true;
}

struct head {
	uint16_t id, flags, nquestion, nanswer, nauthority, nadditional;
	struct reader answers, authority;
};

/* All sections are walked once, so that what counts and lengths promise is there, and no more. */
static const char *
read_head(struct slice packet, const char *name, enum dns_type type, struct head *h)
{
	struct reader r = { (const uint8_t *)packet.p, packet.n, 0 };
	char asked[DNS_NAME_MAX + 1];
	uint16_t asked_type, asked_class;
	struct record rr;

	if (!take_u16(&r, &h->id) || !take_u16(&r, &h->flags) || !take_u16(&r, &h->nquestion) ||
	    !take_u16(&r, &h->nanswer) || !take_u16(&r, &h->nauthority) ||
	    !take_u16(&r, &h->nadditional))
		return "the answer is too short";
	if ((h->flags & FLAG_QR) == 0 || (h->flags & OPCODE) != 0)
		return "this is no answer";
	if (h->nquestion != 1)
		return "the answer does not repeat the question";
	if (take_name(&r, asked) != NAME_OK || !take_u16(&r, &asked_type) ||
	    !take_u16(&r, &asked_class))
		return "the answer is malformed";
	if (asked_type != type || asked_class != CLASS_IN || strcmp(asked, name) != 0)
		return "the answer is to another question";
	if (h->nanswer + h->nauthority + h->nadditional > COUNT_MAX)
		return "the answer has too many records";
	h->answers = r;
	for (unsigned i = 0; i < (unsigned)h->nanswer + h->nauthority + h->nadditional; i++) {
		if (i == h->nanswer)
			h->authority = r;
		if (!take_record(&r, &rr))
			return "the answer is malformed";
	}
	if (h->nauthority + h->nadditional == 0)
		h->authority = r;
	return r.at == r.n ? NULL : "the answer has bytes behind its end";
}

/* From the name asked to the records: `at` ends as the last name of the chain. */
static void
follow(struct answer *a, const struct head *h, char at[static DNS_NAME_MAX + 1], enum dns_type type)
{
	unsigned count;
	bool odd;

	for (unsigned step = 0;; step++) {
		int rc;

		if (!collect(a, h->answers, h->nanswer, at, type, &count, &odd)) {
			end(a, ANSWER_BAD, "the answer is malformed");
			return;
		}
		if (count > 0 && (h->flags & RCODE) != NOERROR) {
			end(a, ANSWER_BAD, "records of a name that is said not to be there");
			return;
		}
		if (count > 0) {
			end(a, ANSWER_OK, NULL);
			return;
		}
		if (odd) {
			end(a, ANSWER_UNUSABLE, "no record can be used");
			return;
		}
		rc = find_cname(a, h->answers, h->nanswer, at, at);
		if (rc == 0)
			break;
		if (rc < 0 || step == ANSWER_CHAIN_MAX) {
			end(a, rc == -1 ? ANSWER_BAD : ANSWER_UNUSABLE,
			    rc == -1 ? "the answer is malformed"
			    : rc < 0 ? "a CNAME leads to no usable name"
				     : "the chain of CNAMEs is too long, or a loop");
			return;
		}
		slice_copy(slice_z(at), a->cname, sizeof a->cname);
	}
	a->kind = (h->flags & RCODE) == NXDOMAIN ? ANSWER_NXDOMAIN : ANSWER_NODATA;
}

/* Nothing was found for the name `at`. */
static void
read_negative(struct answer *a, const struct head *h, const char *at)
{
	struct answer soa = { .has_ttl = false };
	bool referral;

	if (!read_authority(&soa, h->authority, h->nauthority, at, &referral)) {
		end(a, ANSWER_BAD, "the answer is malformed");
		return;
	}
	if (soa.has_ttl)
		lower_ttl(a, soa.ttl_s);
	else if (a->kind == ANSWER_NODATA && a->cname[0] != '\0')
		a->kind = ANSWER_FOLLOW;
	else if (a->kind == ANSWER_NODATA && referral)
		end(a, ANSWER_REFUSED, "a referral, no answer: it does not recurse");
	else
		a->has_ttl = false;
}

void
answer_read(struct slice packet, const char *name, enum dns_type type, struct answer *a)
{
	struct buf kept = a->records;
	struct head h = { 0 };
	char at[DNS_NAME_MAX + 1];
	const char *fault;

	buf_reset(&kept);
	*a = (struct answer){ .records = kept };
	fault = read_head(packet, name, type, &h);
	if (fault != NULL) {
		end(a, ANSWER_BAD, fault);
		return;
	}
	a->ad = (h.flags & FLAG_AD) != 0;
	switch (h.flags & RCODE) {
	case NOERROR:
	case NXDOMAIN:
		break;
	case SERVFAIL:
		end(a, ANSWER_SERVFAIL, "the name server has failed (SERVFAIL)");
		return;
	default:
		end(a, ANSWER_REFUSED, "the name server refuses to answer");
		return;
	}
	if (h.flags & FLAG_TC) {
		end(a, ANSWER_BAD, "the answer is cut short");
		return;
	}
	slice_copy(slice_z(name), at, sizeof at);
	follow(a, &h, at, type);
	if (a->kind == ANSWER_NODATA || a->kind == ANSWER_NXDOMAIN)
		read_negative(a, &h, at);
	if (a->kind != ANSWER_OK)
		buf_reset(&a->records);
}

void
answer_fini(struct answer *a)
{
	buf_fini(&a->records);
}
