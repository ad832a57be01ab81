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
