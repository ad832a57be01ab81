/* SPDX-License-Identifier: ISC */
#ifndef CTL_SUBMIT_PHRASE_H
#define CTL_SUBMIT_PHRASE_H

#include "base/buf.h"

/*
 * A full name as the phrase before an address (RFC 5322 section 3.2.5): as it stands, quoted, or,
 * where it is not ASCII, as encoded words of RFC 2047. Control bytes become blanks. False, nothing
 * appended: the name is empty, or is neither ASCII nor UTF-8.
 */
bool submit_phrase_print(struct buf *out, struct slice name);

/* The name in a GECOS field: up to the first comma, "&" is the login with a capital. Appended. */
void submit_phrase_gecos(struct buf *out, struct slice gecos, struct slice login);

/* Any bytes as part of a line for a terminal or log: 200 at most, control bytes as "?". Appended.
 */
void submit_phrase_show(struct buf *out, struct slice text);

#endif
