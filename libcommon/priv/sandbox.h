/* SPDX-License-Identifier: ISC */
#ifndef PRIV_SANDBOX_H
#define PRIV_SANDBOX_H

#include "priv/profiles.h"

#include <stdbool.h>

/*
 * What a process may do for the rest of its life: its row in profiles.h, put in force by resource
 * limits, no_new_privs, Landlock (files, TCP, signals, abstract sockets) and seccomp. Descriptors
 * received later are not bound by Landlock: lock down early and be handed what is needed.
 *
 * To be entered as the service's user (priv_drop), with one thread: Landlock binds only the caller
 * and the threads it makes later. Helper threads are started afterwards.
 *
 * A worker is forked by a parent in its own sandbox and enters a second one; both hold. So a
 * parent's row contains its workers' rows, and the calls to enter.
 */
enum { SANDBOX_MORE_MAX = 8 };

struct sandbox {
	int more[SANDBOX_MORE_MAX]; /* further folders, for reading; the first nmore */
	unsigned nmore;
	int dir[SANDBOX_DIR_COUNT]; /* already opened folders; -1: the rules for it are left out */
	bool kill; /* a call outside the list ends the process instead of failing with EPERM */
	uint32_t uid_min; /* for who may become others: no user below this, and never root */
};
#define SANDBOX_INIT                                  \
	{                                             \
		.dir = { -1, -1, -1, -1, -1, -1, -1 } \
	}

/* 0, or -errno with *step naming what failed: the process must not serve then. */
int sandbox_try(enum profile p, const struct sandbox *s, const char **step);
/* The same, or exit 75 with a line that names the step. */
void sandbox_enter(enum profile p, const struct sandbox *s);

/* How many descriptors this process may have: the row's, or what the system gives, if that is less. */
unsigned sandbox_descriptors(void);

/* Landlock of this kernel: 0 none, else its ABI number. */
int sandbox_landlock_abi(void);
/* Is the call (its number on this machine) in the row's list, whatever its arguments? For tests. */
bool sandbox_lists(enum profile p, int nr);
unsigned sandbox_list_length(enum profile p);

#endif
