/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_LE_H
#define SPOOL_LE_H

#include <stdint.h>
#include <string.h>

/* Little-endian numbers at any address. The hosts are little-endian too: a copy is all it takes. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "spool files are little-endian");

#define LE_PAIR(bits)                                                \
	static inline uint##bits##_t le_u##bits(const void *p)       \
	{                                                            \
		uint##bits##_t v;                                    \
                                                                     \
		memcpy(&v, p, sizeof v);                             \
		return v;                                            \
	}                                                            \
	static inline void le_put_u##bits(void *p, uint##bits##_t v) \
	{                                                            \
		memcpy(p, &v, sizeof v);                             \
	}
LE_PAIR(16)
LE_PAIR(32)
LE_PAIR(64)
#undef LE_PAIR

#endif
