/* SPDX-License-Identifier: ISC */
#include "spool/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RELEASE_MIN_BYTES = 1 << 20 };

static int
file_fill(int fd, const struct segment *s)
{
	char header[SEGMENT_HEADER];
	ssize_t n;

	segment_encode(s, header);
	n = write(fd, header, sizeof header);
	if (n != (ssize_t)sizeof header)
		return n < 0 ? -errno : -ENOSPC;
	/* KEEP_SIZE: O_APPEND goes on at the end of the data, not of the blocks. */
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, SEGMENT_SOFT_BYTES) != 0 && errno != EOPNOTSUPP &&
	    errno != ENOSYS)
		return -errno;
	return fsync(fd) != 0 ? -errno : 0;
}

int
lease_make(int dirfd, const struct segment *s, struct lease *out)
{
	char name[SPOOL_NAME];
	int error;

	spool_segment_name(s->number, name);
	out->reader = -1;
	out->writer = openat(
	    dirfd, name, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (out->writer < 0)
		return -errno;
	error = file_fill(out->writer, s);
	if (error == 0)
		error = spool_folder_sync(dirfd, SPOOL_DATA);
	if (error == 0) {
		out->reader = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (out->reader >= 0)
			return 0;
		error = -errno;
	}
	close(out->writer);
	out->writer = -1;
	unlinkat(dirfd, name, 0);
	return error;
}

int
lease_writer_gone(int reader)
{
	if (fcntl(reader, F_SETLEASE, F_RDLCK) != 0)
		return errno == EAGAIN ? 0 : -errno;
	/* It was only a question: a lease that stays would send a signal when someone opens the
	 * file. */
	return fcntl(reader, F_SETLEASE, F_UNLCK) != 0 ? -errno : 1;
}

void
lease_release_rest(int writer)
{
	struct stat st;

	/* To the size that it has: what stands there stays, the file system forgets the rest. */
	if (fstat(writer, &st) == 0 && st.st_blocks * 512 > st.st_size + RELEASE_MIN_BYTES &&
	    ftruncate(writer, st.st_size) != 0)
		return;
}
