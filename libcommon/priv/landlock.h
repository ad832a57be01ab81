/* SPDX-License-Identifier: ISC */
#ifndef PRIV_LANDLOCK_H
#define PRIV_LANDLOCK_H

#include "priv/profiles.h"

/*
 * Landlock by its system calls, since the C library has no words for it and the headers of older
 * systems know less than the kernel does. What this kernel's ABI lacks is left out: before 4 there
 * is no rule for TCP, before 6 none for signals and abstract sockets. No Landlock at all is an
 * error.
 */
int landlock_abi(void); /* 0: none */
/*
 * With what this ABI (not above the kernel's) can refuse. dir[slot] -1: no rule for that slot;
 * more: further folders, for reading. SANDBOX_HOME may be the root of the system: that is each
 * folder in it as they are at this moment, but none of devices and of the kernel, and those of
 * programs and of configuration for reading only. 0 or -errno. Binds the calling thread for good.
 */
int landlock_enter(const struct profile_row *row, const int dir[SANDBOX_DIR_COUNT],
    const int more[], unsigned nmore, int abi);

#endif
