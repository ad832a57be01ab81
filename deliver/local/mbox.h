/* SPDX-License-Identifier: ISC */
#ifndef LOCAL_MBOX_H
#define LOCAL_MBOX_H

#include "deliver/local/letter.h"

#include <sys/types.h>

/*
 * Appends to the mbox `name` in the folder dir (which is open for reading); it is made where it is
 * missing, 0600. Locks: fcntl(2), then NAME.lock, made by link(2); both are let go between two
 * tries. A NAME.lock older than MBOX_STALE_S by the file system's own clock is taken away, and at
 * once one with our mark: who holds it has the fcntl lock as well, so that without it nobody does
 * any more.
 *
 * What is no regular file of `owner` with one name is left alone: -EBADF, and *why says what it
 * is. Else 0, or -errno with *why; after a failed write the file has its old length again, and the
 * message is synced before 0 is returned.
 */
enum { MBOX_STALE_S = 600, MBOX_NAME_MAX = 200, MBOX_MARK_MAX = 79 };

struct mbox_how {
	uid_t owner;
	uint64_t lock_ms; /* wait for the locks so long: then -EAGAIN */
	/* What stands in our locks, of this machine; a number first is a pid to others, 0
	 * none. NULL: nothing. */
	const char *mark;
};

int mbox_deliver(int dir, const char *name, const struct mbox_how *how, const struct letter *l,
    const char **why);

#endif
