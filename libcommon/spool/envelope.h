/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_ENVELOPE_H
#define SPOOL_ENVELOPE_H

#include "base/buf.h"
#include "spool/spool.h"

/*
 * The envelope: fields in a row, each
 *
 *	u16 number, with bit 15 (critical) set where skipping it would be wrong
 *	u32 length
 *	length bytes
 *
 * First those of the message, then per recipient a RECIPIENT field and what belongs to it. A
 * field stands once unless its type says *row*. A reader skips numbers it does not know unless
 * they are critical. Numbers are never reused; 1-63 belong to the message, 64-127 to a recipient.
 *
 * Types: text bytes as they are; flag no bytes, true when there; u8 u32 u64 little-endian; i8
 * two's complement; addr 16 bytes (IPv4 as ::ffff:a.b.c.d) and a u16 port; pair_row u16 length of
 * key, key, value; edit_row u8 operation, u32 ordinal, bytes; u32_row any count of u32 in one
 * field; route u64 generation, 16 bytes seal, bytes.
 */
#define ENVELOPE_MESSAGE_FIELDS(F)                                                          \
	/* NAME, name, number, type, critical, what */                                      \
	F(SENDER, sender, 1, text, 1, "reverse path without brackets, empty: null sender")  \
	F(RET, ret, 2, u8, 0, "DSN RET: 1 FULL, 2 HDRS")                                    \
	F(ENVID, envid, 3, text, 0, "DSN ENVID, xtext as received")                         \
	F(BODY, body, 4, u8, 0, "BODY: 1 7BIT, 2 8BITMIME, 3 BINARYMIME")                   \
	F(SMTPUTF8, smtputf8, 5, flag, 0, "SMTPUTF8 was asked for")                         \
	F(REQUIRETLS, requiretls, 6, flag, 1, "REQUIRETLS was asked for")                   \
	F(PRIORITY, priority, 7, i8, 0, "MT-PRIORITY -9..9")                                \
	F(HOLD_UNTIL, hold_until_ms, 8, u64, 1, "not before this wall time, ms")            \
	F(DELIVER_BY, deliver_by_ms, 9, u64, 0, "DELIVERBY: wall time, ms")                 \
	F(DELIVER_MODE, deliver_mode, 10, u8, 0, "DELIVERBY: 1 notify, 2 return; +4 trace") \
	F(LOGIN, login, 11, text, 0, "authenticated as")                                    \
	F(CLIENT, client, 12, addr, 0, "the client's address and port")                     \
	F(CLIENT_NAME, client_name, 13, text, 0, "its verified name")                       \
	F(CLIENT_RDNS, client_rdns, 14, text, 0, "its reverse name, not verified")          \
	F(HELO, helo, 15, text, 0, "what it said in EHLO or HELO")                          \
	F(PROTOCOL, protocol, 16, text, 0, "with which protocol: SMTP, ESMTPS, ...")        \
	F(LISTENER, listener, 17, text, 0, "name of the listener it came by")               \
	F(TENANT, tenant, 18, text, 0, "whose mail it is")                                  \
	F(CLASS, class, 19, u8, 0, "enum origin_class as claimed; the lease decides")       \
	F(CONTEXT, context, 20, pair_row, 0, "key and value, for filters and rules")        \
	F(EDIT, edit, 21, edit_row, 1, "header edit; Received is the first insert")         \
	F(NOTICE_OF, notice_of, 22, u64, 1, "a notice: id of the message it speaks of")     \
	F(NOTICE_KIND, notice_kind, 23, u8, 1, "a notice: enum spool_notice")               \
	F(NOTICE_RCPTS, notice_rcpts, 24, u32_row, 1, "a notice: recipient numbers")        \
	F(TLS, tls, 25, text, 0, "protocol and cipher the client used")                     \
	F(UID, uid, 26, u32, 0, "local submission: who")                                    \
	F(SESSION, session, 27, u64, 0, "session id, for the log")                          \
	F(AUTH, auth, 28, text, 0, "AUTH= of MAIL, xtext as received")                      \
	F(HOLD, hold, 29, text, 1, "to be held from the first: the reason")                 \
	F(GENERATION, generation, 30, u64, 0, "configuration generation of the session")

#define ENVELOPE_RCPT_FIELDS(F)                                                                  \
	F(RECIPIENT, recipient, 64, text, 1, "forward path without brackets; opens a recipient") \
	F(NOTIFY, notify, 65, u8, 0,                                                             \
	    "DSN NOTIFY: 1 NEVER, 2 SUCCESS, 4 FAILURE, 8 DELAY; 0 unset")                       \
	F(ORCPT, orcpt, 66, text, 0, "DSN ORCPT, type;xtext as received")                        \
	F(ORIGINAL, original, 67, text, 0, "the address as the client gave it, if another")      \
	F(ROUTE, route, 68, route, 0, "what router answered at RCPT")                            \
	F(RCPT_CONTEXT, rcpt_context, 69, pair_row, 0, "key and value")

enum envelope_field {
#define F(NAME, name, number, type, critical, what) ENVELOPE_##NAME = number,
	ENVELOPE_MESSAGE_FIELDS(F) ENVELOPE_RCPT_FIELDS(F)
#undef F
};

enum { ENVELOPE_CRITICAL = 0x8000, ENVELOPE_SEAL = 16 };
enum envelope_notify { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };
enum envelope_ret { RET_FULL = 1, RET_HDRS = 2 };
enum envelope_body { BODY_7BIT = 1, BODY_8BITMIME = 2, BODY_BINARYMIME = 3 };

struct envelope_addr {
	uint8_t ip[16];
	uint16_t port; /* host order */
};

/* The answer of router: opaque bytes, its configuration generation, its keyed hash. */
struct envelope_route {
	uint64_t generation;
	uint8_t seal[ENVELOPE_SEAL];
	struct slice bytes; /* p == NULL: no route in the envelope */
};

/*
 * Edits work on ordinals of the header section as received, counted from 1. Inserts before the
 * same n stand in the order of the envelope; n = count + 1 is the end. Of several replace and
 * delete for one n the last counts. Bytes are whole lines with CRLF.
 */
enum envelope_op { EDIT_INSERT = 1, EDIT_REPLACE = 2, EDIT_DELETE = 3 };
struct envelope_edit {
	enum envelope_op op;
	uint32_t n;
	struct slice bytes;
};

/* One member per field; not there: zero, false, or p == NULL. Slices point into the envelope. */
struct envelope {
#define ENVELOPE_C_text struct slice
#define ENVELOPE_C_flag bool
#define ENVELOPE_C_u8 uint8_t
#define ENVELOPE_C_i8 int8_t
#define ENVELOPE_C_u32 uint32_t
#define ENVELOPE_C_u64 uint64_t
#define ENVELOPE_C_addr struct envelope_addr
#define ENVELOPE_C_pair_row uint32_t /* how many; iterate with envelope_pair_next() */
#define ENVELOPE_C_edit_row uint32_t
#define ENVELOPE_C_u32_row struct slice /* n / 4 of them, by envelope_u32() */
#define ENVELOPE_C_route struct envelope_route
#define F(NAME, name, number, type, critical, what) ENVELOPE_C_##type name;
	ENVELOPE_MESSAGE_FIELDS(F)
	uint64_t has;	     /* bit n: field n stands there */
	struct slice fields; /* all of the message's, for the iterators of rows */
	struct slice rcpts;  /* the rest: the recipients */
	const char *why;     /* on error: constant text */
	uint16_t unknown;    /* on error: number of the unknown critical field, or 0 */
};

struct envelope_rcpt {
	ENVELOPE_RCPT_FIELDS(F)
#undef F
	uint32_t number;     /* 0, 1, ... in the order of the envelope */
	struct slice fields; /* all of this recipient's */
};

static inline bool
envelope_has(const struct envelope *e, enum envelope_field f)
{
	return f < 64 && (e->has >> f & 1) != 0;
}

/*
 * Writing: first SENDER and the other fields of the message, then RECIPIENT and what belongs to
 * it, and so on. The type must be the table's (asserted). Text of a length above RECORD_ENV_MAX
 * is a bug.
 */
void envelope_put_text(struct buf *b, enum envelope_field f, struct slice text);
void envelope_put_flag(struct buf *b, enum envelope_field f);
void envelope_put_u8(struct buf *b, enum envelope_field f, uint8_t v); /* i8 too */
void envelope_put_u32(struct buf *b, enum envelope_field f, uint32_t v);
void envelope_put_u64(struct buf *b, enum envelope_field f, uint64_t v);
void envelope_put_addr(struct buf *b, enum envelope_field f, const struct envelope_addr *a);
void envelope_put_pair(struct buf *b, enum envelope_field f, struct slice key, struct slice value);
void envelope_put_edit(struct buf *b, enum envelope_op op, uint32_t n, struct slice bytes);
void envelope_put_u32s(struct buf *b, enum envelope_field f, const uint32_t *v, size_t n);
void envelope_put_route(struct buf *b, const struct envelope_route *r);

/*
 * Reading. envelope_message: 0; -EBADMSG: malformed or without SENDER; -ENOTSUP: an unknown
 * critical field (out->unknown). It reads up to the first recipient only.
 */
int envelope_message(struct slice env, struct envelope *out);

/* 1: *out is the next recipient; 0: no more; -EBADMSG, -ENOTSUP as above and then for good. */
struct envelope_iter {
	struct slice rest;
	uint32_t number;
	int error;
	const char *why;
	uint16_t unknown;
};
void envelope_rcpts(const struct envelope *e, struct envelope_iter *it);
int envelope_rcpt_next(struct envelope_iter *it, struct envelope_rcpt *out);

/*
 * Rows: set *rest to e->fields (or rcpt->fields) and call until false. They are valid when
 * envelope_message() or envelope_rcpt_next() said so.
 */
bool envelope_edit_next(struct slice *rest, struct envelope_edit *out);
bool envelope_pair_next(
    struct slice *rest, enum envelope_field f, struct slice *key, struct slice *value);
uint32_t envelope_u32(struct slice row, size_t i); /* i < row.n / 4, asserted */

/* Everything, recipients included: 0 and *nrcpt, or an error with *why. */
int envelope_check(struct slice env, uint32_t *nrcpt, const char **why);

/* For people: "sender", "recipient" ...; NULL for a number without a field. */
const char *envelope_field_name(uint16_t number);
/* Calls once per field in order, known or not, with bytes as they are: for `spool show` and tests.
 */
typedef void envelope_field_fn(void *ctx, uint16_t number, const char *name, struct slice bytes);
int envelope_each(struct slice env, envelope_field_fn *fn, void *ctx);

#endif
