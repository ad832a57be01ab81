/* SPDX-License-Identifier: ISC */
#ifndef LOGD_SYSOUT_H
#define LOGD_SYSOUT_H

#include "base/slice.h"
#include "io/loop.h"

/*
 * Datagrams to a syslog daemon's socket, such as /dev/log. Nothing waits for it: what it does not
 * take at once is kept, up to 1 MiB, and sent when it takes more; beyond that new lines are counted
 * as lost. A socket below the run folder is connected again, each second, when its daemon went
 * away; any other lies outside of logd's root directory and is connected once, at the start: when
 * its daemon goes away and makes a new socket, lines are lost until logd is started anew.
 */
struct sysout;
/* path: below the working directory, or NULL: cannot be reached again. fd: connected (owned), or
 * -errno of sysout_connect(). */
struct sysout *sysout_new(struct loop *l, const char *path, int fd);
void sysout_free(struct sysout *s);
/* A connected, non-blocking descriptor, or -errno. */
int sysout_connect(const char *path);
void sysout_line(struct sysout *s, struct slice datagram);
uint64_t sysout_lost(const struct sysout *s);
int sysout_error(const struct sysout *s); /* errno that stands in the way, 0 when it goes well */

#endif
