/* SPDX-License-Identifier: ISC */
#ifndef MAIL_RECEIVED_H
#define MAIL_RECEIVED_H

#include "base/buf.h"

/*
 * The trace field that we put on top (RFC 5321 section 4.4). Bytes in helo and for_ that could not
 * stand in a comment, a word or a path come out as "?".
 *
 *	Received: from HELO ([ADDR])
 *		by HOST with PROTO id ID
 *		for <RCPT>; DATE
 *
 * and for mail that came from a user of this host:
 *
 *	Received: by HOST (Angarium, from userid UID)
 *		id ID
 *		for <RCPT>; DATE
 */
struct received {
	struct slice helo;   /* empty: the address literal stands there */
	const uint8_t *addr; /* 16 bytes; NULL: local, uid counts */
	uint32_t uid;
	struct slice host; /* ours */
	const char *proto; /* "ESMTP", "SMTP", "LMTP", "ESMTPS" (RFC 3848); NULL: not said */
	struct slice id;   /* the queue id's text */
	struct slice for_; /* the one recipient; empty: several, or it shall not be told */
	struct slice date; /* date_text() */
};

void received_print(struct buf *out, const struct received *r);

#endif
