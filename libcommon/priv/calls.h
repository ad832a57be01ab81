/* SPDX-License-Identifier: ISC */
#ifndef PRIV_CALLS_H
#define PRIV_CALLS_H

#include <stddef.h>
#include <stdint.h>

#include <seccomp.h>

/*
 * The table of system calls: which group (enum sandbox_calls) needs which, and with what
 * arguments. Several rows of a call are alternatives. What stands in no group of a row fails.
 */
enum { CALL_ARGS_MAX = 2 };

struct call {
	unsigned group;
	int nr; /* negative: not on this machine */
	unsigned nargs;
	struct scmp_arg_cmp args[CALL_ARGS_MAX];
	const char *name;
};

/* All rows; *n tells how many. */
const struct call *calls_table(size_t *n);

/*
 * Build variant san: what the runtimes of the sanitizers call besides, for every row. No other
 * variant has this group.
 */
#ifdef ANG_SAN
#define CALLS_SANITIZER (1U << 31)
#else
#define CALLS_SANITIZER 0U
#endif

#endif
