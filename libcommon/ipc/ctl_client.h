/* SPDX-License-Identifier: ISC */
#ifndef IPC_CTL_CLIENT_H
#define IPC_CTL_CLIENT_H

#include "ipc/msg.h"

/*
 * The other end of ipc/ctl.h, blocking, for commands; needs no loop and no library. Folder: the run
 * folder's ctl folder as an O_PATH or O_RDONLY descriptor, so that a long path does not matter.
 */
/* Returns a connected descriptor, HELLO exchanged, or -errno (-ENOENT, -ECONNREFUSED: nobody
 * listens). */
int ctl_connect(int ctl_dirfd, const char *service, unsigned timeout_ms);
/* Sends verb and its words (NULL-ended), hands each piece of output to `out` (which returns false
 * to hang up). Returns the status of CTL_END (text copied to `text`), or -errno. timeout_ms 0:
 * waits for ever. */
int ctl_call(int fd, const char *verb, const char *const *words, unsigned timeout_ms,
    bool (*out)(struct slice piece, void *arg), void *arg, char *text, size_t text_size);

#endif
