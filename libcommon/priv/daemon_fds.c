/* SPDX-License-Identifier: ISC */
#include "priv/daemon_parts.h"

#include "base/die.h"
#include "base/slice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* sd_listen_fds(3): descriptors from here on. */
enum { LISTEN_START = 3 };

/* A number as init writes it; -1 when it is none. */
static long
env_number(const char *name)
{
	const char *z = getenv(name);
	char *end;
	long v;

	if (z == NULL || *z < '0' || *z > '9')
		return -1;
	errno = 0;
	v = strtol(z, &end, 10);
	return errno != 0 || *end != '\0' ? -1 : v;
}

static unsigned
passed_by_init(void)
{
	long n = env_number("LISTEN_FDS");

	if (n <= 0 || env_number("LISTEN_PID") != getpid())
		return 0;
	if (n > DAEMON_LISTEN_MAX)
		die(EXIT_CONFIG, "init passes %ld sockets, more than %d", n, DAEMON_LISTEN_MAX);
	return (unsigned)n;
}

/*
 * Descriptors are born non-blocking in this house; these were born elsewhere, and F_SETFL ends
 * with the sandbox.
 */
static void
adopt(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		die(EXIT_TEMP, "init passed descriptor %d, which is not open", fd);
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		die(EXIT_TEMP, "descriptor %d: %s", fd, strerror(errno));
}

static void
name_listeners(struct daemon *d)
{
	const char *names = getenv("LISTEN_FDNAMES");

	for (unsigned i = 0; i < d->nlisten; i++) {
		struct slice name = SLICE_LIT("unknown");
		size_t n = names != NULL ? strcspn(names, ":") : 0;

		d->listen[i].fd = LISTEN_START + (int)i;
		adopt(d->listen[i].fd);
		if (n > 0)
			name = slice_head(slice_of(names, n), sizeof d->listen[i].name - 1);
		snprintf(d->listen[i].name, sizeof d->listen[i].name, "%.*s", SLICE_ARG(name));
		if (names != NULL)
			names += names[n] == ':' ? n + 1 : n;
	}
}

static void
fill_standard(void)
{
	int fd;

	/* The lowest free number is taken, so this fills 0, 1, 2 in turn. */
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		die(EXIT_TEMP, "/dev/null: %s", strerror(errno));
	close(fd);
}

static void
close_stray(unsigned from, int keep)
{
	int err = 0;

	if (keep >= 0 && (unsigned)keep >= from) {
		if ((unsigned)keep > from)
			err = close_range(from, (unsigned)keep - 1, 0);
		from = (unsigned)keep + 1;
	}
	if (err != 0 || close_range(from, ~0U, 0) != 0)
		die(EXIT_TEMP, "close_range: %s", strerror(errno));
}

void
daemon_take_fds(struct daemon *d, int ready_fd)
{
	d->nlisten = passed_by_init();
	fill_standard();
	close_stray(LISTEN_START + d->nlisten, ready_fd);
	name_listeners(d);
	if (ready_fd >= 0 && fcntl(ready_fd, F_SETFD, FD_CLOEXEC) != 0)
		die(EXIT_USAGE, "-r %d: %s", ready_fd, strerror(errno));
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
}

int
daemon_listen_fd(struct daemon *d, const char *name)
{
	for (unsigned i = 0; i < d->nlisten; i++)
		if (d->listen[i].fd >= 0 && strcmp(d->listen[i].name, name) == 0) {
			int fd = d->listen[i].fd;

			d->listen[i].fd = -1;
			return fd;
		}
	return -1;
}
