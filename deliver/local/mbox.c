/* SPDX-License-Identifier: ISC */
#include "deliver/local/mbox.h"

#include "base/clock.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAUSE_FIRST_MS = 10, PAUSE_LAST_MS = 500, OPEN_TRIES = 20, LOCK_NAME = MBOX_NAME_MAX + 8 };

struct mbox {
	int dir, fd;
	const char *name;
	const struct mbox_how *how;
	char lock[LOCK_NAME];
	bool made, locked;
	const char *why;
};

static int
odd(struct mbox *m, const char *why)
{
	m->why = why;
	return -EBADF;
}

static int
check(struct mbox *m)
{
	struct stat st;

	if (fstat(m->fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return odd(m, "the mailbox is not a regular file");
	if (st.st_uid != m->how->owner)
		return odd(m, "the mailbox belongs to another user");
	if (st.st_nlink > 1)
		return odd(m, "the mailbox has several names");
	return 0;
}

/* A FIFO or device is opened without waiting for it, and let go. */
static int
open_file(struct mbox *m)
{
	static const int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

	for (int i = 0; i < OPEN_TRIES; i++) {
		m->fd = openat(m->dir, m->name, flags);
		if (m->fd >= 0)
			return check(m);
		if (errno == ELOOP)
			return odd(m, "the mailbox is a symbolic link");
		if (errno == EISDIR || errno == ENXIO)
			return odd(m, "the mailbox is not a regular file");
		if (errno != ENOENT)
			return -errno;
		m->fd = openat(m->dir, m->name, flags | O_CREAT | O_EXCL, 0600);
		if (m->fd >= 0) {
			m->made = true;
			return check(m);
		}
		if (errno != EEXIST)
			return -errno;
	}
	return odd(m, "the mailbox comes and goes");
}

/* Is what we opened still what the name stands for? Readers may have put another in its place. */
static bool
is_still(const struct mbox *m)
{
	struct stat open, named;

	return fstat(m->fd, &open) == 0 &&
	       fstatat(m->dir, m->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

static bool
fcntl_lock(const struct mbox *m)
{
	struct flock f = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(m->fd, F_SETLK, &f) == 0;
}

static void
fcntl_unlock(const struct mbox *m)
{
	struct flock f = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	fcntl(m->fd, F_SETLK, &f);
}

/* One of ours; we have the fcntl lock, so who made it is dead. */
static bool
is_of_the_dead(const struct mbox *m)
{
	char text[MBOX_MARK_MAX + 1];
	int fd = openat(m->dir, m->lock, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof text);
	close(fd);
	return n > 0 && m->how->mark != NULL && slice_is(slice_of(text, (size_t)n), m->how->mark);
}

/* A lock that nobody can be holding any more; `now` is the time of a file made this moment. */
static void
remove_stale(const struct mbox *m, time_t now)
{
	struct stat st;

	if (fstatat(m->dir, m->lock, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    (st.st_mtime + MBOX_STALE_S < now || (st.st_uid == m->how->owner && is_of_the_dead(m))))
		unlinkat(m->dir, m->lock, 0);
}

static int
put_mark(const struct mbox *m, int fd)
{
	size_t n = m->how->mark == NULL ? 0 : strlen(m->how->mark);
	ssize_t done = n == 0 ? 0 : write(fd, m->how->mark, n);

	return done == (ssize_t)n ? 0 : done < 0 ? -errno : -EIO;
}

/*
 * 0: ours; -EEXIST: somebody's; else -errno. By link and not by O_EXCL, and by the count of names
 * and not by what link said: that is what holds over NFS.
 */
static int
dot_lock(struct mbox *m)
{
	char mine[LOCK_NAME + 40];
	struct stat st = { 0 };
	int fd, err = 0;

	snprintf(mine, sizeof mine, "%s.%d.%08x", m->lock, (int)getpid(), arc4random());
	fd = openat(m->dir, mine, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = put_mark(m, fd);
	if (err != 0) {
		close(fd);
		unlinkat(m->dir, mine, 0);
		return err;
	}
	if (linkat(m->dir, mine, m->dir, m->lock, 0) != 0)
		err = -errno;
	if (fstat(fd, &st) == 0 && st.st_nlink == 2)
		err = 0;
	close(fd);
	unlinkat(m->dir, mine, 0);
	if (err == -EEXIST)
		remove_stale(m, st.st_mtime);
	m->locked = err == 0;
	return err;
}

static void
unlock(struct mbox *m)
{
	if (m->locked)
		unlinkat(m->dir, m->lock, 0);
	m->locked = false;
	fcntl_unlock(m);
}

static void
pause_ms(unsigned ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

/* Both locks at once, or none. */
static int
lock(struct mbox *m)
{
	uint64_t until = clock_mono_ms() + m->how->lock_ms;
	unsigned wait_ms = PAUSE_FIRST_MS;
	int err;

	for (;;) {
		err = -EEXIST;
		m->why = "another program holds the fcntl lock of the mailbox";
		if (fcntl_lock(m)) {
			err = dot_lock(m);
			if (err == 0)
				return 0;
			fcntl_unlock(m);
			m->why = err == -EEXIST
				     ? "another program holds the mailbox by its .lock file"
				     : "make the .lock file of the mailbox";
		}
		if (err != -EEXIST)
			return err;
		if (clock_mono_ms() >= until)
			return -EAGAIN;
		pause_ms(wait_ms / 2 + arc4random_uniform(wait_ms));
		wait_ms = wait_ms * 2 < PAUSE_LAST_MS ? wait_ms * 2 : PAUSE_LAST_MS;
	}
}

/* Opens and locks what the name stands for. */
static int
take(struct mbox *m)
{
	for (int i = 0; i < OPEN_TRIES; i++) {
		int err;

		m->why = "open the mailbox";
		err = open_file(m);
		if (err == 0)
			err = lock(m);
		if (err == 0 && is_still(m) && (err = check(m)) == 0)
			return 0;
		unlock(m);
		if (m->fd >= 0)
			close(m->fd);
		m->fd = -1;
		if (err != 0)
			return err;
	}
	return odd(m, "the mailbox comes and goes");
}

/* The last message may lack its empty line: another program's, or one that was cut off. */
static int
separate(struct mbox *m, off_t size)
{
	char last[2] = "";
	off_t from = size < 2 ? 0 : size - 2;
	size_t n;

	if (size == 0)
		return 0;
	if (pread(m->fd, last, (size_t)(size - from), from) != size - from)
		return -EIO;
	if (last[size - from - 1] != '\n')
		n = 2;
	else
		n = size < 2 || last[0] != '\n';
	return n > 0 && write(m->fd, "\n\n", n) != (ssize_t)n ? -EIO : 0;
}

static int
append(struct mbox *m, const struct letter *l)
{
	struct stat st;
	int err;

	m->why = "write to the mailbox";
	if (fstat(m->fd, &st) != 0)
		return -errno;
	err = separate(m, st.st_size);
	if (err == 0)
		err = letter_write(l, m->fd, LETTER_MBOX, (time_t)(clock_wall_ms() / 1000));
	if (err == 0 && fsync(m->fd) != 0)
		err = -errno;
	if (err == 0 && m->made && fsync(m->dir) != 0)
		err = -errno;
	if (err != 0 && (ftruncate(m->fd, st.st_size) != 0 || fsync(m->fd) != 0))
		m->why = "write to the mailbox, nor could it be cut back";
	return err;
}

int
mbox_deliver(
    int dir, const char *name, const struct mbox_how *how, const struct letter *l, const char **why)
{
	struct mbox m = { .dir = dir, .fd = -1, .name = name, .how = how };
	int err;

	*why = "use this name";
	if (strlen(name) > MBOX_NAME_MAX || *name == '\0' || strchr(name, '/') != NULL)
		return -EINVAL;
	snprintf(m.lock, sizeof m.lock, "%s.lock", name);
	err = take(&m);
	if (err == 0) {
		err = append(&m, l);
		unlock(&m);
		/* A quota may be told of only now; then the message stands there and comes again. */
		if (close(m.fd) != 0 && err == 0)
			err = -errno;
	}
	*why = m.why;
	return err;
}
