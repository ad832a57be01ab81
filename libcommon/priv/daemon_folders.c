/* SPDX-License-Identifier: ISC */
#include "priv/daemon_parts.h"
#include "priv/priv.h"

#include "base/die.h"
#include "base/place.h"
#include "conf/conf.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * What root makes for the service. A folder that a service's user may write to is never walked
 * through by name: it is opened without following links, and taken back to root before root works
 * in it.
 */

int
daemon_make_dir(const char *path, const char *what)
{
	char name[PATH_MAX];
	struct stat st;
	int fd;

	if (strlen(path) >= sizeof name)
		die(EXIT_CONFIG, "%s: name too long", what);
	slice_copy(slice_z(path), name, sizeof name);
	for (char *p = name + 1; *p != '\0'; p++) {
		if (*p != '/' || p[1] == '\0' || p[1] == '/')
			continue;
		*p = '\0';
		/* 0755 whatever the umask: services walk through as their own users. */
		if (mkdir(name, 0755) == 0 && chmod(name, 0755) != 0)
			die(EXIT_TEMP, "%s: %s: %s", what, name, strerror(errno));
		*p = '/';
	}
	if (mkdir(name, 0700) != 0 && errno != EEXIST)
		die(EXIT_TEMP, "%s: %s: %s", what, name, strerror(errno));
	fd = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		die(EXIT_TEMP, "%s: %s: %s", what, name, strerror(errno));
	return fd;
}

static bool
is_empty(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	unsigned n = 0;

	if (d == NULL)
		return false;
	while (n <= 2 && readdir(d) != NULL)
		n++;
	closedir(d);
	return n <= 2;
}

/*
 * Owner and mode as they must be. A folder that has things in it and is somebody else's is not
 * ours to take, whatever the configuration says.
 */
static void
own(int fd, const char *path, const char *key, uid_t uid, gid_t gid, mode_t mode)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		die(EXIT_TEMP, "%s: %s", path, strerror(errno));
	if (st.st_uid != uid && !is_empty(fd))
		die(EXIT_CONFIG, "%s: %s belongs to uid %u, not %u, and is not empty", key, path,
		    st.st_uid, uid);
	/* As they must be already, where the system made them: init may deny the set-group bit. */
	if (st.st_uid == uid && st.st_gid == gid && (st.st_mode & 07777) == mode)
		return;
	if (fchown(fd, uid, gid) != 0 || fchmod(fd, mode) != 0)
		die(EXIT_TEMP, "%s: %s", path, strerror(errno));
}

/* A group of the suite where it exists, else the service's own: nobody more may enter. */
static gid_t
group_or_own(const struct daemon *d, unsigned group)
{
	return d->ids.gid[group] != IDS_NONE ? d->ids.gid[group] : d->ids.gid[d->self];
}

/* Of a file. To be freed. */
static char *
folder_name(const char *file)
{
	char *path = slice_dup(slice_z(file)), *slash = strrchr(path, '/');

	assert(slash != NULL);
	slash[slash == path] = '\0';
	return path;
}

/* Not there: -1; there are no rules then, and the service says so. */
static int
rules_folder(const char *file)
{
	char *path = folder_name(file);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	free(path);
	return fd;
}

void
daemon_open_more(struct daemon *d, const char *file)
{
	struct sandbox *s = &d->sandbox;
	char *path = folder_name(file);
	int fd = s->nmore == SANDBOX_MORE_MAX ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		s->more[s->nmore++] = fd;
		place_hold(path, fd);
	}
	free(path);
}

int
daemon_open_dir(struct daemon *d, enum sandbox_dir slot)
{
	uid_t uid = d->ids.uid[d->self];
	int fd = -1;

	switch (slot) {
	case SANDBOX_CONF: /* opened by daemon_start() */
		return d->sandbox.dir[slot];
	case SANDBOX_SPOOL:
		fd = daemon_make_dir(d->conf->spool_dir, "spool_dir");
		own(fd, d->conf->spool_dir, "spool_dir", uid, d->ids.gid[d->self], 0700);
		break;
	case SANDBOX_DROP:
		fd = daemon_make_dir(d->conf->drop_dir, "drop_dir");
		own(fd, d->conf->drop_dir, "drop_dir", d->ids.uid[SERVICE_SMTPD],
		    group_or_own(d, GROUP_DROP), 03733);
		if (d->ids.gid[GROUP_DROP] != IDS_NONE)
			/* to read what users leave there */
			priv_keep_group(d->ids.gid[GROUP_DROP]);
		break;
	case SANDBOX_LOG:
		fd = daemon_make_dir(d->conf->log_dir, "log_dir");
		own(fd, d->conf->log_dir, "log_dir", uid, group_or_own(d, GROUP_ADM), 0750);
		break;
	case SANDBOX_RULES: /* the administrator's; only looked at */
		fd = rules_folder(d->conf->bounce_rules);
		break;
	case SANDBOX_HOME:
		fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		break;
	case SANDBOX_CACHE:
		fd = daemon_make_dir(d->conf->cache_dir, "cache_dir");
		own(fd, d->conf->cache_dir, "cache_dir", uid, d->ids.gid[d->self], 0700);
		break;
	case SANDBOX_DIR_COUNT:
		break;
	}
	d->sandbox.dir[slot] = fd;
	return fd;
}

int
daemon_run_part(const char *name)
{
	int fd;

	if (mkdir(name, 0700) != 0 && errno != EEXIST)
		die(EXIT_TEMP, "%s: %s", name, strerror(errno));
	fd = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, 0, 0) != 0 || fchmod(fd, 0755) != 0)
		die(EXIT_TEMP, "%s: %s", name, strerror(errno));
	return fd;
}

/*
 * Never connected to before daemon_drop(): until it listens, who asks is refused and tries again.
 */
static int
bind_socket(struct daemon *d, const char *name, int type)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mode_t mask;

	if (fd < 0 || d->nbound == DAEMON_BOUND_MAX || strlen(name) >= sizeof sun.sun_path)
		die(EXIT_TEMP, "%s: cannot make a socket", name);
	if (unlink(name) != 0 && errno != ENOENT)
		die(EXIT_TEMP, "%s: %s", name, strerror(errno));
	slice_copy(slice_z(name), sun.sun_path, sizeof sun.sun_path);
	/*
	 * Who may connect is decided by the folder or by SO_PEERCRED. By umask, since chmod(2)
	 * follows names.
	 */
	mask = umask(0111);
	if (bind(fd, (struct sockaddr *)&sun,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1)) != 0)
		die(EXIT_TEMP, "%s: %s", name, strerror(errno));
	umask(mask);
	d->bound[d->nbound++] = fd;
	return fd;
}

int
daemon_bind_edge(struct daemon *d, enum service asker)
{
	char dir[64], name[80];
	int fd, dirfd;

	close(daemon_run_part("edge"));
	snprintf(dir, sizeof dir, "edge/%s.%s", service_word(d->self), service_word(asker));
	snprintf(name, sizeof name, "%s/s", dir);
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		die(EXIT_TEMP, "%s: %s", dir, strerror(errno));
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dirfd < 0 || fchown(dirfd, 0, 0) != 0 || fchmod(dirfd, 0700) != 0)
		die(EXIT_TEMP, "%s: %s", dir, strerror(errno));
	fd = bind_socket(d, name, SOCK_SEQPACKET);
	if (fchown(dirfd, d->ids.uid[d->self], group_or_own(d, (unsigned)asker)) != 0 ||
	    fchmod(dirfd, 0710) != 0)
		die(EXIT_TEMP, "%s: %s", dir, strerror(errno));
	close(dirfd);
	return fd;
}

int
daemon_bind_ctl(struct daemon *d)
{
	char name[64];

	close(daemon_run_part("ctl"));
	snprintf(name, sizeof name, "ctl/%s", service_word(d->self));
	return bind_socket(d, name, SOCK_SEQPACKET);
}

int
daemon_bind_submit(struct daemon *d)
{
	int fd = daemon_listen_fd(d, "submit");

	close(daemon_run_part("submit"));
	if (fd < 0)
		return bind_socket(d, "submit/s", SOCK_STREAM);
	if (d->nbound == DAEMON_BOUND_MAX)
		die(EXIT_TEMP, "submit/s: too many sockets");
	d->bound[d->nbound++] = fd; /* listens already, and once more as our user */
	return fd;
}
