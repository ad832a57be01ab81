/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_LETTER_H
#define SMTPD_LETTER_H

#include "smtpd/session.h"

/* What the letter says of where it came from; slices are copied. */
struct letter_origin {
	uint8_t class;
	const char *proto;  /* "ESMTP", "SMTP"; NULL: not said */
	struct slice helo;  /* empty: not said */
	struct addr client; /* zero: came by the local socket or the drop folder, uid counts */
	uint32_t uid;
	uint64_t session;  /* 0: none */
	struct slice host; /* ours, for the Received field */
	uint32_t generation;
};

/*
 * While message data comes: a letter whose body grows beyond LARGE_BODY_BYTES goes on into a file
 * of its own, as soon as its header section is known to have ended and there is such a file. From
 * then on each call takes away what came. Without one it stays in memory, up to LETTER_STAYS_MAX.
 * To be called after each piece, the last one too; seen: by the decoder; l->class is set.
 */
enum { LETTER_STAYS_MAX = 4 << 20 };
enum letter_flow {
	LETTER_STAYS,
	LETTER_FLOWS,
	LETTER_NO_FILE,	     /* too much of it stays, 452 */
	LETTER_ENDLESS_HEAD, /* and all of it is header section */
};
struct letter_flow_to {
	struct streams *streams; /* NULL: there are none */
	uint64_t floor_bytes;
	void (*ready)(void *arg); /* stream_open() */
	void *arg;
};
enum letter_flow letter_flow(struct letter *l, unsigned seen, const struct letter_flow_to *to);

/* The checks of a whole message: REPLY_OK, or why it is refused. Finds l->head_bytes and l->msgid.
 */
enum reply letter_check(struct letter *l, unsigned seen, uint64_t received_max);

/*
 * Makes the envelope with the Received field, sets id, flags and all that the event tells. The
 * letter is ready for writer_submit(). False: the envelope would be too large.
 */
bool letter_seal(struct letter *l, const struct tx *tx, const struct letter_origin *from,
    uint64_t id, unsigned seen);

/* The event "received". */
void letter_tell(const struct letter *l);

#endif
