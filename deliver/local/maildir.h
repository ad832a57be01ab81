/* SPDX-License-Identifier: ISC */
#ifndef LOCAL_MAILDIR_H
#define LOCAL_MAILDIR_H

#include "deliver/local/letter.h"

/*
 * Writes into tmp/, syncs, renames into new/, syncs new/; only then 0 is returned. The folders are
 * made where they are missing, 0700. dir: the Maildir itself. host: the end of the file's name.
 * -errno with *step; nothing of the message is left then, unless the process was killed: a file in
 * tmp/ is never looked at by readers, and they remove those of more than 36 hours.
 */
int maildir_deliver(int dir, const struct letter *l, const char *host, const char **step);

#endif
