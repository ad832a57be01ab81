/* SPDX-License-Identifier: ISC */
#include "logd/sysout.h"

#include "base/buf.h"
#include "base/die.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { WAITING_MAX = 1024 * 1024, DROP_BYTES = 64 * 1024, RETRY_MS = 1000 };

struct sysout {
	struct loop *loop;
	char *path;
	int fd;
	struct watch *watch;
	struct timer *timer;
	struct buf waiting; /* u16 length and bytes, repeated */
	size_t sent;	    /* bytes of it, at its front */
	uint64_t lost;
	int error;
};

int
sysout_connect(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, err;

	if (!slice_copy(slice_z(path), sun.sun_path, sizeof sun.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&sun, sizeof sun) == 0)
		return fd;
	err = errno;
	close(fd);
	return -err;
}

/* Up to `at` it is sent; the rest is not moved down for each datagram. */
static void
take(struct sysout *s, size_t at)
{
	s->sent = at;
	if (s->sent < s->waiting.n && s->sent < DROP_BYTES)
		return;
	buf_drop(&s->waiting, s->sent);
	s->sent = 0;
}

static void
count_waiting(struct sysout *s)
{
	for (size_t at = s->sent; at < s->waiting.n;) {
		uint16_t n;

		memcpy(&n, s->waiting.p + at, 2);
		at += 2U + n;
		s->lost++;
	}
	buf_reset(&s->waiting);
	s->sent = 0;
}

static void
disconnect(struct sysout *s, int err)
{
	watch_free(s->watch);
	s->watch = NULL;
	close(s->fd);
	s->fd = -1;
	s->error = err;
	if (s->path == NULL)
		count_waiting(s);
	else
		timer_set(s->timer, RETRY_MS);
}

/* What a daemon never takes (too long for its socket) is lost alone. */
static bool
is_of_this_line(int err)
{
	return err == EMSGSIZE || err == EINVAL;
}

static void
flush(struct sysout *s)
{
	size_t at = s->sent;

	while (at < s->waiting.n) {
		uint16_t n;

		memcpy(&n, s->waiting.p + at, 2);
		if (send(s->fd, s->waiting.p + at + 2, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
			int err = errno;

			if (err == EINTR)
				continue;
			if (err == EAGAIN || err == ENOBUFS || err == ENOMEM) {
				take(s, at);
				watch_want(s->watch, WATCH_WRITE);
				return;
			}
			if (!is_of_this_line(err)) {
				take(s, at);
				disconnect(s, err);
				return;
			}
			s->lost++;
		}
		at += 2U + n;
	}
	take(s, at);
	watch_want(s->watch, 0);
}

static void
on_ready(int fd, int ready, void *arg)
{
	(void)fd;
	(void)ready;
	flush(arg);
}

static void
connected(struct sysout *s, int fd)
{
	s->fd = fd;
	s->error = 0;
	s->watch = watch_new(s->loop, fd, on_ready, s);
	flush(s);
}

static void
on_time(void *arg)
{
	struct sysout *s = arg;
	int fd = sysout_connect(s->path);

	if (fd >= 0) {
		connected(s, fd);
		return;
	}
	s->error = -fd;
	timer_set(s->timer, RETRY_MS);
}

struct sysout *
sysout_new(struct loop *l, const char *path, int fd)
{
	struct sysout *s = xcalloc(1, sizeof *s);

	*s = (struct sysout){ .loop = l, .fd = -1, .error = fd < 0 ? -fd : 0 };
	s->path = path == NULL ? NULL : slice_dup(slice_z(path));
	s->timer = timer_new(l, on_time, s);
	if (fd >= 0)
		connected(s, fd);
	else if (path != NULL)
		timer_set(s->timer, RETRY_MS);
	return s;
}

void
sysout_free(struct sysout *s)
{
	if (s == NULL)
		return;
	if (s->fd >= 0)
		flush(s);
	watch_free(s->watch);
	if (s->fd >= 0)
		close(s->fd);
	timer_free(s->timer);
	buf_fini(&s->waiting);
	free(s->path);
	free(s);
}

void
sysout_line(struct sysout *s, struct slice datagram)
{
	uint16_t n = (uint16_t)datagram.n;

	if ((s->fd < 0 && s->path == NULL) || datagram.n > UINT16_MAX ||
	    s->waiting.n - s->sent + 2 + datagram.n > WAITING_MAX) {
		s->lost++;
		return;
	}
	buf_put(&s->waiting, &n, 2);
	buf_slice(&s->waiting, datagram);
	if (s->fd >= 0 && s->waiting.n - s->sent == 2U + n)
		flush(s);
}

uint64_t
sysout_lost(const struct sysout *s)
{
	return s->lost;
}

int
sysout_error(const struct sysout *s)
{
	return s->error;
}
