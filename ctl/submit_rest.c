/* SPDX-License-Identifier: ISC */
#include "ctl/submit_rest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Not each file system can make a file without a name: it loses it at once then. */
static int
make_named(const char *model)
{
	char path[32];
	int fd;

	slice_copy(slice_z(model), path, sizeof path);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

static int
make(const char *folder)
{
	const char *const folders[] = { folder, "/var/tmp", "/tmp" };
	static const char *const models[] = { "/var/tmp/sendmail.XXXXXX", "/tmp/sendmail.XXXXXX" };
	int fd = -1;

	for (size_t i = 0; i < sizeof folders / sizeof *folders && fd < 0; i++)
		fd = open(folders[i], O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	for (size_t i = 0; i < sizeof models / sizeof *models && fd < 0; i++)
		fd = make_named(models[i]);
	return fd;
}

int
submit_rest_put(struct submit_rest *r, const char *folder, struct slice bytes)
{
	int fd;

	if (bytes.n > 0 && !r->open) {
		fd = make(folder);
		if (fd < 0)
			return fd;
		r->fd = fd;
		r->open = true;
	}
	while (bytes.n > 0) {
		ssize_t n = write(r->fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		r->bytes += (uint64_t)n;
		bytes = slice_from(bytes, (size_t)n);
	}
	return 0;
}

int
submit_rest_read(const struct submit_rest *r, uint64_t at, char *to, size_t n)
{
	while (n > 0) {
		ssize_t got = pread(r->fd, to, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		at += (uint64_t)got;
		to += got;
		n -= (size_t)got;
	}
	return 0;
}

void
submit_rest_fini(struct submit_rest *r)
{
	if (r->open)
		close(r->fd);
	*r = (struct submit_rest){ 0 };
}
