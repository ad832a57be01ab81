/* SPDX-License-Identifier: ISC */
#include "deliver/local/mailbox.h"

#include "base/place.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of folders on the way only the name is used: they need not be readable. */
enum { FOLDER = O_PATH | O_DIRECTORY | O_CLOEXEC };

static int
odd(const char **why, const char *what)
{
	*why = what;
	return -EBADF;
}

int
mailbox_find(struct mailbox *m, const struct user *u, const char *configured, const char *mail_dir,
    const char **why)
{
	const char *box = u->mailbox[0] != '\0' ? u->mailbox : configured;
	struct slice path, folders;
	bool fits;

	*m = (struct mailbox){ .in_mail_dir = box == NULL };
	path = slice_z(box != NULL ? box : u->name);
	m->maildir = path.n > 0 && path.p[path.n - 1] == '/';
	while (path.n > 0 && path.p[path.n - 1] == '/')
		path.n--;
	for (folders = path; folders.n > 0 && folders.p[folders.n - 1] != '/';)
		folders.n--;
	if (folders.n == path.n)
		return odd(why, "the mailbox has no name");
	fits = m->maildir || slice_copy(slice_from(path, folders.n), m->name, sizeof m->name);
	if (path.p[0] == '/') {
		fits &= slice_copy(folders, m->base, sizeof m->base);
		path = slice_from(path, folders.n);
		folders.n = 0;
	} else {
		m->in_home = !m->in_mail_dir;
		fits &=
		    slice_copy(slice_z(m->in_home ? u->home : mail_dir), m->base, sizeof m->base);
	}
	fits &= slice_copy(m->maildir ? path : folders, m->below, sizeof m->below);
	return fits ? 0 : odd(why, "the path of the mailbox is too long");
}

/* Its name is to last as well. */
static int
make_maildir(int above, const char *name)
{
	int fd, err;

	if (mkdirat(above, name, 0700) != 0)
		return errno == EEXIST ? 0 : -errno;
	fd = openat(above, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = fd < 0 || fsync(fd) != 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return err;
}

static int
step_into(int above, const char *name, bool may_make, const char **why)
{
	struct stat st;
	int fd = openat(above, name, FOLDER | O_NOFOLLOW), err = errno;

	if (fd < 0 && err == ENOENT && may_make) {
		*why = "make the Maildir";
		err = -make_maildir(above, name);
		if (err == 0) {
			fd = openat(above, name, FOLDER | O_NOFOLLOW);
			err = errno;
		}
	}
	if (fd < 0 && fstatat(above, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
		return odd(why, "a part of the mailbox's path is a symbolic link");
	return fd < 0 ? -err : fd;
}

static int
walk(int fd, const struct mailbox *m, const char **why)
{
	struct slice rest = slice_z(m->below), part;
	char name[USERS_PATH_MAX + 1];
	int next;

	while (fd >= 0 && slice_next(&rest, '/', &part)) {
		if (part.n == 0 || slice_is(part, "."))
			continue;
		if (slice_is(part, "..") || !slice_copy(part, name, sizeof name)) {
			next = odd(why, "the mailbox's path leads upwards");
		} else {
			*why = m->maildir && rest.n == 0 ? "open the Maildir"
							 : "open the folder of the mailbox";
			next = step_into(fd, name, m->maildir && rest.n == 0, why);
		}
		close(fd);
		fd = next;
	}
	return fd;
}

int
mailbox_open(const struct mailbox *m, uid_t owner, const char **why)
{
	char name[PLACE_PATH_MAX];
	struct stat st;
	int way, fd;

	*why = m->in_home ? "open the home folder" : "open the folder of the mailbox";
	way = open(place_name(m->base, name), FOLDER);
	if (way < 0)
		return -errno;
	way = walk(way, m, why);
	if (way < 0)
		return way;
	*why = m->maildir ? "open the Maildir" : "open the folder of the mailbox";
	fd = openat(way, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	close(way);
	if (fd >= 0 && m->maildir && (fstat(fd, &st) != 0 || st.st_uid != owner)) {
		close(fd);
		return odd(why, "the Maildir belongs to another user");
	}
	return fd;
}
