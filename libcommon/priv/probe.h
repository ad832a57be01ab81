/* SPDX-License-Identifier: ISC */
#ifndef PRIV_PROBE_H
#define PRIV_PROBE_H

#include "priv/profiles.h"

#include <stdbool.h>

/*
 * --probe: tries from inside a sandbox what a fallen process would try, and prints one line an act:
 *
 *	refused NAME ERRNO     as it should be (an act that no row needs, or that this row does not)
 *	permitted NAME         allowed, since this row needs it
 *	absent NAME ERRNO      the kernel or machine has no such thing
 *	ALLOWED NAME           allowed, and should not be
 */
struct probe_env {
	enum profile profile;
	int segment; /* O_WRONLY|O_APPEND descriptor of a scratch file with some bytes in it; -1: those acts are left out */
	int out;     /* descriptor to print to */
};

/* True: nothing stood open that should not. The scratch file may hold anything afterwards. */
bool probe_run(const struct probe_env *env);

#endif
