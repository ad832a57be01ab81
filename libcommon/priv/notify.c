/* SPDX-License-Identifier: ISC */
#include "priv/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { BUSY_WAIT_S = 2 };

static int
dial(const char *name, int *out)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t n = strlen(name);
	const struct timeval wait = { .tv_sec = BUSY_WAIT_S };
	int fd, err;

	/*
	 * A path, or with a leading @ a name in the abstract space; those have no NUL at their
	 * end.
	 */
	if ((name[0] != '/' && name[0] != '@') || n < 2)
		return -EINVAL;
	if (n >= sizeof sun.sun_path)
		return -ENAMETOOLONG;
	memcpy(sun.sun_path, name, n);
	if (name[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0 ||
	    connect(fd, (struct sockaddr *)&sun,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) != 0) {
		err = -errno;
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

int
notify_open(struct notify *n, int ready_fd)
{
	const char *name = getenv("NOTIFY_SOCKET");
	int err = 0;

	*n = (struct notify){ .socket = -1, .ready = ready_fd };
	if (name != NULL)
		err = dial(name, &n->socket);
	unsetenv("NOTIFY_SOCKET");
	return err;
}

void
notify_say(const struct notify *n, const char *lines)
{
	if (n->socket >= 0 && send(n->socket, lines, strlen(lines), MSG_NOSIGNAL) < 0)
		return; /* it is gone or deaf: the supervisor's loss */
}

void
notify_ready(struct notify *n)
{
	notify_say(n, "READY=1");
	if (n->ready < 0)
		return;
	if (write(n->ready, "\n", 1) < 0) {
		/* likewise */
	}
	close(n->ready);
	n->ready = -1;
}

void
notify_close(struct notify *n)
{
	if (n->socket >= 0)
		close(n->socket);
	if (n->ready >= 0)
		close(n->ready);
	*n = (struct notify){ .socket = -1, .ready = -1 };
}
