/* SPDX-License-Identifier: ISC */
#ifndef SMTP_EXT_H
#define SMTP_EXT_H

#include "base/slice.h"

/* Service extensions, as bits: what a server offers, what a client was offered. Keyword, bit. */
#define EXT_TABLE(E)                          \
	E(PIPELINING, "PIPELINING", 0)        \
	E(SIZE, "SIZE", 1)                    \
	E(8BITMIME, "8BITMIME", 2)            \
	E(DSN, "DSN", 3)                      \
	E(ENHANCED, "ENHANCEDSTATUSCODES", 4) \
	E(SMTPUTF8, "SMTPUTF8", 5)            \
	E(CHUNKING, "CHUNKING", 6)            \
	E(BINARYMIME, "BINARYMIME", 7)        \
	E(STARTTLS, "STARTTLS", 8)            \
	E(AUTH, "AUTH", 9)                    \
	E(REQUIRETLS, "REQUIRETLS", 10)       \
	E(MT_PRIORITY, "MT-PRIORITY", 12)     \
	E(XANGARIUM, "XANGARIUM", 11) /* our local socket: origin=DOMAIN */

enum ext {
#define E(name, word, bit) EXT_##name = 1 << (bit),
	EXT_TABLE(E)
#undef E
};

/* 0: none that we know. */
unsigned ext_of(struct slice keyword);
const char *ext_word(enum ext ext);

#endif
