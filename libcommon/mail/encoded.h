/* SPDX-License-Identifier: ISC */
#ifndef MAIL_ENCODED_H
#define MAIL_ENCODED_H

#include "base/buf.h"

/*
 * Appends `text` with its encoded words (RFC 2047, with the language of RFC 2231 section 5) made
 * UTF-8, and the blanks between two of them gone. Charsets: UTF-8, US-ASCII, ISO-8859-1; words in
 * others, and what is no such word or does not decode to text, stay as they are. Where a word may
 * stand is not judged: mailers put them within quotes, and blanks into them.
 */
void encoded_decode(struct buf *out, struct slice text);

/* Appends bytes in one of these charsets as UTF-8. False, nothing appended: another charset, or no
 * text (controls are none). */
bool encoded_text(struct buf *out, struct slice charset, struct slice bytes);

#endif
