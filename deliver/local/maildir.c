/* SPDX-License-Identifier: ISC */
#include "deliver/local/maildir.h"

#include "base/clock.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = 160, HOST_BYTES = 64 };

/* 1: it was made. A link in its place is not followed. */
static int
open_folder(int dir, const char *name, int *fd)
{
	bool made = mkdirat(dir, name, 0700) == 0;

	if (!made && errno != EEXIST)
		return -errno;
	*fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *fd < 0 ? -errno : made;
}

/* Readers take ',' and ':' for what they add, '/' ends a name. */
static void
host_part(const char *host, char out[HOST_BYTES])
{
	size_t n = 0;

	for (; *host != '\0' && n < HOST_BYTES - 1; host++)
		out[n++] = strchr("/:,", *host) != NULL || *host < '!' ? '_' : *host;
	out[n] = '\0';
}

/* Nobody made this name before: time, process, chance. */
static void
unique_name(const char *host, char out[NAME_BYTES])
{
	uint64_t now = clock_wall_us(), chance;
	char part[HOST_BYTES];

	arc4random_buf(&chance, sizeof chance);
	host_part(host, part);
	snprintf(out, NAME_BYTES, "%llu.M%06lluP%dR%016llx.%s", (unsigned long long)(now / 1000000),
	    (unsigned long long)(now % 1000000), (int)getpid(), (unsigned long long)chance, part);
}

static int
fill(int tmp, const char *name, const struct letter *l, off_t *size, const char **step)
{
	int fd = openat(tmp, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600), err;
	struct stat st;

	*step = "create in tmp";
	if (fd < 0)
		return -errno;
	*step = "write";
	err = letter_write(l, fd, LETTER_MAILDIR, 0);
	if (err == 0) {
		*step = "fsync";
		if (fsync(fd) != 0 || fstat(fd, &st) != 0)
			err = -errno;
		else
			*size = st.st_size;
	}
	/* Some file systems tell of a full quota only now. */
	if (close(fd) != 0 && err == 0)
		err = -errno;
	return err;
}

static int
deliver(int tmp, int new, const struct letter *l, const char *host, const char **step)
{
	char name[NAME_BYTES], last[NAME_BYTES + 32];
	off_t size = 0;
	int err;

	unique_name(host, name);
	err = fill(tmp, name, l, &size, step);
	if (err == 0) {
		*step = "rename into new";
		snprintf(last, sizeof last, "%s,S=%llu", name, (unsigned long long)size);
		if (renameat(tmp, name, new, last) == 0) {
			*step = "fsync of new";
			if (fsync(new) == 0)
				return 0;
			/* Whether it is there after a power cut is not known: it comes again. */
			err = -errno;
			unlinkat(new, last, 0);
			return err;
		}
		err = -errno;
	}
	unlinkat(tmp, name, 0);
	return err;
}

int
maildir_deliver(int dir, const struct letter *l, const char *host, const char **step)
{
	int tmp = -1, new = -1, cur = -1, made = 0, err;

	*step = "open tmp";
	err = open_folder(dir, "tmp", &tmp);
	made |= err > 0;
	if (err >= 0) {
		*step = "open cur";
		err = open_folder(dir, "cur", &cur);
		made |= err > 0;
	}
	if (err >= 0) {
		*step = "open new";
		err = open_folder(dir, "new", &new);
		made |= err > 0;
	}
	if (err >= 0 && made) {
		*step = "fsync of the Maildir";
		err = fsync(dir) != 0 ? -errno : 0;
	}
	if (err >= 0)
		err = deliver(tmp, new, l, host, step);
	if (tmp >= 0)
		close(tmp);
	if (cur >= 0)
		close(cur);
	if (new >= 0)
		close(new);
	return err;
}
