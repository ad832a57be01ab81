/* SPDX-License-Identifier: ISC */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/slice.h"

/* A growing row of bytes that its holder owns. Zero-initialised is empty and holds no memory. */
struct buf {
	char *p;
	size_t n, cap;
};

/* Room for `more` bytes behind n; returns where they go. */
char *buf_room(struct buf *b, size_t more) __attribute__((returns_nonnull));
void buf_put(struct buf *b, const void *p, size_t n);
void buf_putc(struct buf *b, char c);
void buf_puts(struct buf *b, const char *z);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Takes n bytes off the front (moves the rest down). */
void buf_drop(struct buf *b, size_t n);
void buf_reset(struct buf *b); /* empty, memory kept */
void buf_fini(struct buf *b);  /* empty, memory given back */

static inline void
buf_slice(struct buf *b, struct slice s)
{
	buf_put(b, s.p, s.n);
}

static inline struct slice
slice_buf(const struct buf *b)
{
	return slice_of(b->p, b->n);
}

#endif
