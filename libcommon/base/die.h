/* SPDX-License-Identifier: ISC */
#ifndef BASE_DIE_H
#define BASE_DIE_H

#include <stddef.h>

/* sysexits(3) as this suite uses them. */
enum {
	EXIT_USAGE = 64,
	EXIT_DATA = 65,
	EXIT_NOUSER = 67,
	EXIT_UNAVAILABLE = 69,
	EXIT_SOFTWARE = 70,
	EXIT_CANTCREAT = 73,
	EXIT_TEMP = 75,
	EXIT_NOPERM = 77,
	EXIT_CONFIG = 78,
};

/* One line on stderr ("program: text"), then exit. For start-up and for what cannot go on. */
_Noreturn void die(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One line on stderr, no exit. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Memory that is there or ends the process with exit 75: limits at the door keep it from coming
 * to that. Zero sizes are allowed and give a pointer that may be freed.
 */
void *xmalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t n) __attribute__((returns_nonnull));
char *xstrdup(const char *z) __attribute__((malloc, returns_nonnull));

#endif
