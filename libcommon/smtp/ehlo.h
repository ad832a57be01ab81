/* SPDX-License-Identifier: ISC */
#ifndef SMTP_EHLO_H
#define SMTP_EHLO_H

#include "smtp/ext.h"
#include "smtp/reply.h"

/* What a server says of itself in its reply to EHLO (RFC 5321 section 4.1.1.1). */
struct ehlo {
	struct slice domain; /* its name, of the first line */
	unsigned ext;	     /* bits of enum ext */
	uint64_t size_bytes; /* of SIZE; 0: no limit said */
	struct slice auth;   /* mechanisms parted by blanks; "AUTH=" of old servers is read alike */
	struct slice origin; /* of our own XANGARIUM origin=DOMAIN, else empty */
};

/* The slices borrow from reply->text. Lines that say nothing we know are passed over. */
void ehlo_parse(const struct reply_in *reply, struct ehlo *out);

#endif
