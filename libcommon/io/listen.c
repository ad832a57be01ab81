/* SPDX-License-Identifier: ISC */
#include "io/listen.h"

#include "base/die.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

enum { ACCEPT_AT_ONCE = 64, REST_MS = 100 };

struct listener {
	int fd;
	listen_fn *fn;
	void *arg;
	struct watch *watch;
	struct timer *rest;
	bool paused;
};

static void
on_rested(void *arg)
{
	struct listener *ln = arg;

	if (!ln->paused)
		watch_want(ln->watch, WATCH_READ);
}

static void
on_ready(int fd, int ready, void *arg)
{
	struct listener *ln = arg;

	(void)ready;
	for (int i = 0; i < ACCEPT_AT_ONCE && !ln->paused; i++) {
		struct sockaddr_storage ss;
		socklen_t n = sizeof ss;
		struct addr peer = { 0 };
		int c = accept4(fd, (struct sockaddr *)&ss, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (c >= 0) {
			addr_of(&ss, &peer);
			ln->fn(c, &peer, ln->arg);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			watch_want(ln->watch, 0);
			timer_set(ln->rest, REST_MS);
		}
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

struct listener *
listen_new(struct loop *l, int fd, listen_fn *fn, void *arg)
{
	struct listener *ln = xcalloc(1, sizeof *ln);

	*ln = (struct listener){ .fd = fd, .fn = fn, .arg = arg };
	ln->watch = watch_new(l, fd, on_ready, ln);
	ln->rest = timer_new(l, on_rested, ln);
	watch_want(ln->watch, WATCH_READ);
	return ln;
}

void
listen_pause(struct listener *ln, bool pause)
{
	ln->paused = pause;
	watch_want(ln->watch, pause ? 0 : WATCH_READ);
	if (pause)
		timer_stop(ln->rest);
}

void
listen_free(struct listener *ln)
{
	if (ln == NULL)
		return;
	watch_free(ln->watch);
	timer_free(ln->rest);
	free(ln);
}

int
listen_tcp(const struct addr *at, int backlog)
{
	struct sockaddr_storage ss;
	socklen_t n = addr_sockaddr(at, &ss);
	int one = 1, err, fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	/* Reuse of the port lets a new instance listen while an old one finishes its sessions. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0 ||
	    (ss.ss_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0) ||
	    bind(fd, (struct sockaddr *)&ss, n) < 0 || listen(fd, backlog) < 0) {
		err = errno;
		close(fd);
		return -err;
	}
	return fd;
}
