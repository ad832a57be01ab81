/* SPDX-License-Identifier: ISC */
#ifndef BOUNCE_NOTICE_H
#define BOUNCE_NOTICE_H

#include "base/buf.h"

/*
 * What bounced is told of a message whose sender is owed a notice: a memory file that qmgr fills,
 * seals (no write, no growth, no shrinking) and hands over beside NOTICE. In it, little-endian:
 *
 *	u32 NOTICE_MAGIC, u32 version
 *	u32 length and the facts of the message: fields in the order of NOTICE_FACTS
 *	u32 count of recipients; for each u32 length and fields in the order of NOTICE_RCPT
 *	u32 length and the header section (edits done, whole fields, CRLF)
 *	u32 length and the body, from the empty line on; empty: only headers are to be returned
 *
 * Fields: u8, u32, u64; text is u32 length and bytes. They are only appended; one that is missing
 * at the end of its length reads as zero, what is more than known is skipped. Times are of the wall
 * clock, ms.
 */
#define NOTICE_FACTS(F)                                                                        \
	F(u64, id, "of the message")                                                           \
	F(u8, kind, "enum spool_notice")                                                       \
	F(text, to, "who gets the notice: the sender, or double_bounce_to")                    \
	F(text, sender, "reverse path; empty: null sender")                                    \
	F(text, envid, "ENVID, xtext as received")                                             \
	F(u8, ret, "enum envelope_ret, 0: not given")                                          \
	F(u8, utf8, "1: SMTPUTF8 was asked for")                                               \
	F(u64, arrival_ms, "")                                                                 \
	F(text, hostname, "ours: the reporting MTA")                                           \
	F(text, received_from, "who brought it: the name in HELO; empty: a user of this host") \
	F(u8, cut, "1: the header section is not whole")

#define NOTICE_RCPT(F)                                              \
	F(u32, number, "of the recipient in the message")           \
	F(u8, action, "enum notice_action")                         \
	F(text, address, "final recipient")                         \
	F(text, orcpt, "ORCPT, type;xtext as received")             \
	F(text, original, "as the client gave it, if another")      \
	F(u32, code, "SMTP reply code, 0: none")                    \
	F(u8, enh_class, "enhanced status code; 0: none")           \
	F(u8, enh_subject, "")                                      \
	F(u8, enh_detail, "")                                       \
	F(text, reply, "what was said, in one line")                \
	F(text, host, "the host that said so; empty: we ourselves") \
	F(u64, attempt_ms, "last attempt, 0: none")                 \
	F(u64, retry_until_ms, "delayed: when it is given up")

enum {
	NOTICE_MAGIC = 0x4e474e41,
	NOTICE_VERSION = 1,
	NOTICE_RCPTS_MAX = 1000,
	NOTICE_MAX_BYTES = 8 << 20
};

/* Numbers are in messages; the words are those of RFC 3464 section 2.3.3. */
enum notice_action {
	NOTICE_FAILED = 1,
	NOTICE_DELAYED = 2,
	NOTICE_DELIVERED = 3,
	NOTICE_RELAYED = 4,
	NOTICE_EXPANDED = 5,
	NOTICE_EXPIRED = 6, /* failed, since time was up */
};
const char *notice_action_word(uint8_t action); /* "failed"; NULL out of range */

#define NOTICE_C_u8 uint8_t
#define NOTICE_C_u32 uint32_t
#define NOTICE_C_u64 uint64_t
#define NOTICE_C_text struct slice
#define F(type, name, what) NOTICE_C_##type name;
struct notice_rcpt {
	NOTICE_RCPT(F)
};
struct notice {
	NOTICE_FACTS(F)
	uint32_t nrcpt;
	struct slice rcpts; /* for notice_rcpt_next() */
	struct slice head, body;
};
#undef F

/* Writing: facts, then each recipient, then head and body; n->nrcpt recipients must follow. */
void notice_put(struct buf *out, const struct notice *n);
void notice_rcpt_put(struct buf *out, const struct notice_rcpt *r);
/* Lengths of head and body in front of pieces that the caller appends. */
void notice_length_put(struct buf *out, uint32_t bytes);

/*
 * Reading all of it; slices point into the bytes. False: malformed, *why says what. Checked:
 * lengths, the number of recipients (1 to NOTICE_RCPTS_MAX), all actions, that `kind` is one bit,
 * that nothing is left behind.
 */
bool notice_get(struct slice bytes, struct notice *out, const char **why);
/* Takes one off the front of *rest (a copy of n->rcpts); false at the end. */
bool notice_rcpt_next(struct slice *rest, struct notice_rcpt *out);

#endif
