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
void buf_u64(struct buf *b, uint64_t v); /* in decimal */
void buf_2digits(struct buf *b, int v);	 /* 0 to 99 */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Takes n bytes off the front (moves the rest down). */
void buf_drop(struct buf *b, size_t n);
void buf_reset(struct buf *b); /* empty, memory kept */
void buf_fini(struct buf *b);  /* empty, memory given back */

/* These are all of what makes a log line: where there is room they cost no call. */
static inline void
buf_put(struct buf *b, const void *p, size_t n)
{
	char *to = n != 0 && n <= b->cap - b->n ? b->p + b->n : buf_room(b, n);

	if (n > 0)
		memcpy(to, p, n);
	b->n += n;
}

static inline void
buf_putc(struct buf *b, char c)
{
	*(b->n < b->cap ? b->p + b->n : buf_room(b, 1)) = c;
	b->n++;
}

static inline void
buf_puts(struct buf *b, const char *z)
{
	buf_put(b, z, strlen(z));
}

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
