/* SPDX-License-Identifier: ISC */
#ifndef SMTP_CHARS_H
#define SMTP_CHARS_H

#include "base/slice.h"

/* The sets of bytes that the grammars of RFC 5321, 5322 and 3461 are made of. */
enum chars {
	CHARS_ATEXT = 0x01,  /* of an atom */
	CHARS_LETDIG = 0x02, /* letters and digits */
	CHARS_LDH = 0x04,    /* and the hyphen */
	CHARS_QTEXT = 0x08, /* in a quoted string without a backslash: blank and visible, not " \ */
	CHARS_DTEXT = 0x10, /* in an address literal: visible, not [ \ ] */
	CHARS_XCHAR = 0x20, /* xtext that stands for itself: visible, not + = */
	CHARS_VALUE = 0x40, /* of an ESMTP value: visible, not = */
	CHARS_VISIBLE = 0x80, /* blank and visible: 32 to 126 */
};

extern const uint8_t chars_class[256];

static inline bool
chars_is(char c, unsigned set)
{
	return (chars_class[(unsigned char)c] & set) != 0;
}

static inline bool
chars_all(struct slice s, unsigned set)
{
	for (size_t i = 0; i < s.n; i++)
		if (!chars_is(s.p[i], set))
			return false;
	return true;
}

/*
 * Length (2 to 4) and code point of the UTF-8 character at p (RFC 3629: no surrogates, no longer
 * form than needed); 0: an ASCII byte or no UTF-8. n is at least 1.
 */
size_t chars_utf8(const char *p, size_t n, uint32_t *code);

#endif
