/* SPDX-License-Identifier: ISC */
#include "t/tool/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/die.h"
#include "base/slice.h"

int
net_addr_parse(struct net_addr *a, const char *text)
{
	struct sockaddr_in *four = (struct sockaddr_in *)&a->a;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&a->a;
	const char *colon = strrchr(text, ':');
	struct slice host;
	char name[64];
	uint64_t port;

	memset(a, 0, sizeof *a);
	if (colon == NULL || !slice_u64(slice_z(colon + 1), &port) || port > 65535)
		return -EINVAL;
	host = slice_of(text, (size_t)(colon - text));
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = slice_of(host.p + 1, host.n - 2);
	if (!slice_copy(host, name, sizeof name))
		return -EINVAL;
	if (inet_pton(AF_INET, name, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)port);
		a->len = sizeof *four;
	} else if (inet_pton(AF_INET6, name, &six->sin6_addr) == 1) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons((uint16_t)port);
		a->len = sizeof *six;
	} else {
		return -EINVAL;
	}
	return 0;
}

static int
stream(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

int
net_connect(const struct net_addr *to)
{
	int fd = stream(to->a.ss_family), err;

	if (fd < 0 || connect(fd, (const struct sockaddr *)&to->a, to->len) == 0 ||
	    errno == EINPROGRESS)
		return fd;
	err = errno;
	close(fd);
	return -err;
}

int
net_listen(const struct net_addr *at)
{
	int fd = stream(at->a.ss_family), on = 1, err;

	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (at->a.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	else if (((const struct sockaddr_in *)&at->a)->sin_addr.s_addr == INADDR_ANY)
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
	if (bind(fd, (const struct sockaddr *)&at->a, at->len) == 0 && listen(fd, 1024) == 0)
		return fd;
	err = errno;
	close(fd);
	return -err;
}

int
net_accept(int fd)
{
	int s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;

	if (s < 0)
		return -errno;
	setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return s;
}

int
net_read(int fd, char *p, size_t *n, size_t room)
{
	ssize_t got = read(fd, p, room);

	if (got > 0) {
		*n += (size_t)got;
		return 1;
	}
	return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

int
net_append_open(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd < 0)
		die(EXIT_CANTCREAT, "%s: %s", path, strerror(errno));
	return fd;
}

void
net_append_line(int fd, const char *line, size_t n)
{
	ssize_t done;

	do
		done = write(fd, line, n);
	while (done < 0 && errno == EINTR);
	if (done != (ssize_t)n)
		die(EXIT_CANTCREAT, "a line was not written: %s",
		    done < 0 ? strerror(errno) : "short");
}

uint64_t
net_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}
