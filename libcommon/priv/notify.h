/* SPDX-License-Identifier: ISC */
#ifndef PRIV_NOTIFY_H
#define PRIV_NOTIFY_H

/*
 * Tells the supervisor how we are: the sd_notify protocol where NOTIFY_SOCKET names a socket, a
 * newline on a descriptor where `-r FD` gave one (s6), both, or nobody. Connected while
 * privileged, so that it works in the sandbox.
 */
struct notify {
	int socket; /* -1: none */
	int ready;  /* -1: none; closed once written to */
};

/* Takes and removes NOTIFY_SOCKET from the environment. ready_fd: -1 or from -r. 0 or -errno. */
int notify_open(struct notify *n, int ready_fd);
/*
 * Lines of the protocol ("READY=1"). Its queue is short (10 packets by default) and a lost READY=1
 * would have a supervisor end the service, so where that is full this waits, for 2 s; a deaf one is
 * no reason to fail.
 */
void notify_say(const struct notify *n, const char *lines);
void notify_ready(struct notify *n);
void notify_close(struct notify *n);

#endif
