/* SPDX-License-Identifier: ISC */
#ifndef PRIV_PROBE_H
#define PRIV_PROBE_H

#include "priv/profiles.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * --probe: tries from inside a sandbox what a fallen process would try, and prints one line an act:
 *
 *	refused NAME ERRNO     as it should be
 *	permitted NAME [ERRNO] the row of this process needs it (profiles.h)
 *	absent NAME ERRNO      this kernel has no such thing, or nothing to refuse it with
 *	ALLOWED NAME [ERRNO]   and should not be. With an errno: the call was let through and failed for a reason of its own.
 *
 * An act that worked is harmless: at worst it changes the scratch files.
 */
struct probe_env {
	enum profile profile;
	int out;              /* descriptor to print to */
	int landlock_abi;     /* asked before the sandbox (sandbox_landlock_abi()) */
	int segment;          /* O_WRONLY|O_APPEND on a scratch file with some bytes in it; -1: leave out those acts */
	const char *victim;   /* name of a scratch file of our own user, outside of all folders of the row; NULL: leave out */
	const char *abstract; /* an abstract socket (SEQPACKET) of a process outside listens there; NULL: leave out */
	pid_t outsider;       /* a process of our own user outside of the sandbox; 0: leave out */
};

/* True: nothing stood open that should not. */
bool probe_run(const struct probe_env *env);

#endif
