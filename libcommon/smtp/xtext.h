/* SPDX-License-Identifier: ISC */
#ifndef SMTP_XTEXT_H
#define SMTP_XTEXT_H

#include "base/buf.h"

/* xtext of RFC 3461 section 4: "+" and two upper-case hexadecimal digits for what is not plain. */

/* Grammar alone; the empty text is xtext. Non-ASCII bytes pass only where utf8 (RFC 6533). */
bool xtext_valid(struct slice s, bool utf8);
/* As above, and nothing it decodes to is a control byte. */
bool xtext_printable(struct slice s, bool utf8);
void xtext_encode(struct buf *out, struct slice plain);
/* False, and nothing appended, where it is no xtext. */
bool xtext_decode(struct buf *out, struct slice s);

#endif
