/* SPDX-License-Identifier: ISC */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Borrowed bytes, passed by value. Not NUL-ended; whoever hands one out says how long it lives.
 * Letters are compared by their ASCII case only, whatever the locale.
 */
struct slice {
	const char *p;
	size_t n;
};

#define SLICE_NONE ((struct slice){ NULL, 0 })
#define SLICE_LIT(s) ((struct slice){ (s), sizeof(s) - 1 })
/* For printf: "%.*s", SLICE_ARG(s) */
#define SLICE_ARG(s) (int)((s).n), ((s).p != NULL ? (s).p : "")

static inline struct slice
slice_z(const char *z)
{
	return (struct slice){ z, z == NULL ? 0 : strlen(z) };
}

static inline struct slice
slice_of(const void *p, size_t n)
{
	return (struct slice){ p, n };
}

/* From `from` on; empty where that is beyond the end. */
static inline struct slice
slice_from(struct slice s, size_t from)
{
	if (from > s.n)
		from = s.n;
	return from == 0 ? s : slice_of(s.p + from, s.n - from);
}

static inline struct slice
slice_head(struct slice s, size_t n)
{
	return slice_of(s.p, n < s.n ? n : s.n);
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline char
ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static inline bool
ascii_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
ascii_alpha(char c)
{
	return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

/* The value of a hexadecimal digit of either case; -1: it is none. */
static inline int
ascii_hex(char c)
{
	char l = ascii_lower(c);

	return ascii_digit(c) ? c - '0' : l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

bool slice_ieq(struct slice a, struct slice b);
bool slice_is_ascii(struct slice s);
bool slice_is(struct slice s, const char *z);
bool slice_iis(struct slice s, const char *z);
bool slice_istarts(struct slice s, const char *z);
bool slice_iends(struct slice s, struct slice end);

/* Index of `c`, or -1. */
ptrdiff_t slice_find(struct slice s, char c);
/* Without blanks and tabs at both ends. */
struct slice slice_trim(struct slice s);
/* Takes what stands before `sep` (or all) off the front of *s. False when *s is used up (p ==
 * NULL). */
bool slice_next(struct slice *s, char sep, struct slice *part);
/* Decimal digits only, no sign, no overflow: else false. */
bool slice_u64(struct slice s, uint64_t *out);
/* Copy, NUL-ended, cut to size (at least 1): false when it did not fit. */
bool slice_copy(struct slice s, char *out, size_t size);
/* Heap copy, NUL-ended. The caller frees. */
char *slice_dup(struct slice s);
/* FNV-1a over the bytes in lower case: for tables keyed by domain. Not for untrusted floods. */
uint64_t slice_ihash(struct slice s);

#endif
