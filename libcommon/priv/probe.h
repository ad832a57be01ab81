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
 *	ALLOWED NAME [ERRNO]   and should not be; with an errno the call was let through and failed
 *	                       for a reason of its own
 *
 * An act that worked is harmless: at worst it changes the scratch files.
 */
struct probe_env {
	enum profile profile;
	int out;	  /* descriptor to print to */
	int landlock_abi; /* asked before the sandbox (sandbox_landlock_abi()) */
	/* What acts are tried on; without it (-1, NULL, 0) those are left out. */
	int segment;	      /* O_WRONLY|O_APPEND on a scratch file with some bytes in it */
	const char *victim;   /* a scratch file of our own user, outside of the row's folders */
	const char *abstract; /* a process outside listens there, SOCK_SEQPACKET */
	pid_t outsider;	      /* a process of our own user outside of the sandbox */
};

/* True: nothing stood open that should not. */
bool probe_run(const struct probe_env *env);

#endif
