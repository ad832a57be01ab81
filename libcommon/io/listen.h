/* SPDX-License-Identifier: ISC */
#ifndef IO_LISTEN_H
#define IO_LISTEN_H

#include "base/addr.h"
#include "io/loop.h"

/* Accepts from a listening descriptor (not owned); EMFILE and ENFILE pause it for 100 ms, never end
 * it. */
struct listener;
/* peer: the client, zero for Unix sockets. fd is non-blocking and close-on-exec; the callee owns
 * it. */
typedef void listen_fn(int fd, const struct addr *peer, void *arg);
struct listener *listen_new(struct loop *l, int fd, listen_fn *fn, void *arg);
void listen_pause(struct listener *ln, bool pause);
void listen_free(struct listener *ln); /* not from its own call */

/* A bound and listening TCP socket, or -errno. IPv6 sockets are IPv6 only. */
int listen_tcp(const struct addr *at, int backlog);

#endif
