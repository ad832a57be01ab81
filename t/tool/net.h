/* SPDX-License-Identifier: ISC */
#ifndef TOOL_NET_H
#define TOOL_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Sockets for the test programs, which use nothing of the daemons but base/. */

struct net_addr {
	struct sockaddr_storage a;
	socklen_t len;
};

/* "127.0.0.1:25", "[::1]:25". Literals only. Returns 0 or -EINVAL. */
int net_addr_parse(struct net_addr *a, const char *text);

/*
 * Non-blocking, close-on-exec, TCP_NODELAY. A descriptor or -errno; connect may be under way. To listen
 * at 0.0.0.0 is to listen at all of 127.0.0.0/8.
 */
int net_connect(const struct net_addr *to);
int net_listen(const struct net_addr *at);
int net_accept(int fd);

/*
 * Read what is there, up to room bytes, behind *n. Returns 1 when something came, 0 when nothing
 * is there now, -1 at the end or after an error.
 */
int net_read(int fd, char *p, size_t *n, size_t room);

/* One line with one write: O_APPEND files keep lines whole. Ends the program when it fails. */
void net_append_line(int fd, const char *line, size_t n);
/* Open (made when missing) for net_append_line; a FIFO or a file. Ends the program when it fails.
 */
int net_append_open(const char *path);

uint64_t net_now_us(void); /* monotonic */

#endif
