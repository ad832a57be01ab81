/* SPDX-License-Identifier: ISC */
#ifndef MAIL_MSGID_H
#define MAIL_MSGID_H

#include "base/buf.h"

/*
 * Appends "<TIME.UNIQUE@DOMAIN>" (RFC 5322 section 3.6.4), digits in base 32. The caller makes it
 * unique: the wall clock in us and 64 random bits, or pid and counter in them.
 */
void msgid_print(struct buf *out, uint64_t wall_us, uint64_t unique, struct slice domain);

/* A value is one message id as we would write it ("<" dot-atom "@" dot-atom or literal ">"). */
bool msgid_valid(struct slice value);

/* Takes the next message id off *value (Message-ID, In-Reply-To, References), without brackets and
 * as it stands there: words and comments around are passed over. False: there is none. */
bool msgid_next(struct slice *value, struct slice *id);

#endif
