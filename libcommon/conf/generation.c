/* SPDX-License-Identifier: ISC */
#include "conf/generation.h"

#include "conf/origin.h"
#include "conf/value.h"

#include <bsd/stdlib.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/*
 * A generation appears by link(2) from a finished, synced file under a private name: it is never
 * seen half written. Publishers go one after the other, by a lock on the folder: one that had looked
 * for the newest and then slept could find its number free again, removed as old, and be passed over.
 */
#define FOLDER "conf"
#define PRIVATE ".new."
enum {
	TRIES = 100,		/* looks at a folder in which others publish */
	PRIVATE_STALE_S = 3600, /* a publisher that takes so long is dead */
	READ_CHUNK = 65536,
	TEXT_MAX = CONF_FILE_MAX + 8192, /* and the lines of its origin */
};

static int
say(struct buf *err, int error, const char *what, const char *name)
{
	buf_printf(err, "%s: %s: %s", name, what, strerror(error));
	return -error;
}

/* From the start of a regular file, without moving its offset (services share the descriptor). */
static int
read_all(int fd, struct buf *out, size_t max)
{
	for (;;) {
		char *to = buf_room(out, READ_CHUNK);
		ssize_t n = pread(fd, to, READ_CHUNK, (off_t)out->n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		out->n += (size_t)n;
		if (out->n > max)
			return -EFBIG;
	}
}

static int
read_file(const char *file, struct buf *out, size_t max)
{
	struct stat st;
	int rc, fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		rc = -errno;
	else if (!S_ISREG(st.st_mode))
		rc = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	else
		rc = read_all(fd, out, max);
	close(fd);
	return rc;
}

/* The file as messages shall name it to whoever stands in another folder. */
static void
absolute(const char *file, struct buf *out)
{
	char *cwd;

	if (file[0] != '/' && (cwd = getcwd(NULL, 0)) != NULL) {
		buf_printf(out, "%s/", cwd);
		free(cwd);
	}
	buf_puts(out, file);
}

static void
put_origin(struct buf *text, const char *file)
{
	struct buf path = { 0 }, mailname = { 0 };
	struct utsname node;
	struct origin o = { 0 };
	struct slice left, line;

	absolute(file, &path);
	if (memchr(path.p, '\n', path.n) == NULL)
		o.file = slice_buf(&path);
	o.node = uname(&node) == 0 ? slice_z(node.nodename) : SLICE_NONE;
	if (!value_is_name(o.node))
		o.node = SLICE_LIT("localhost");
	left = read_file("/etc/mailname", &mailname, 4096) == 0 ? slice_buf(&mailname) : SLICE_NONE;
	if (slice_next(&left, '\n', &line) && value_is_name(slice_trim(line)))
		o.mailname = slice_trim(line);
	origin_put(text, &o);
	buf_fini(&path);
	buf_fini(&mailname);
}

/* The text of a generation made of the file, checked. */
static int
prepare(const char *file, struct buf *text, struct conf **out, struct buf *err)
{
	int rc = read_file(file, text, CONF_FILE_MAX);

	if (rc == -EINVAL) {
		buf_printf(err, "%s: not a regular file", file);
		return rc;
	}
	if (rc < 0)
		return say(err, -rc, "cannot read", file);
	put_origin(text, file);
	return conf_parse(slice_buf(text), file, out, err);
}

int
conf_check(const char *file, struct conf **out, struct buf *err)
{
	struct buf text = { 0 };
	int rc = prepare(file, &text, out, err);

	buf_fini(&text);
	return rc;
}

/* "run_dir = /x" of a file that cannot be parsed. */
static bool
find_run_dir(struct slice text, struct slice *out)
{
	struct slice line;

	while (slice_next(&text, '\n', &line)) {
		ptrdiff_t equals = slice_find(line, '=');
		struct slice value;

		if (equals < 0 ||
		    !slice_is(slice_trim(slice_head(line, (size_t)equals)), "run_dir"))
			continue;
		value = slice_trim(slice_from(line, (size_t)equals + 1));
		if (value.n > 0 && (value.p[0] == '"' || value.p[0] == '\'')) {
			char quote = value.p[0];
			ptrdiff_t end = slice_find(slice_from(value, 1), quote);

			value =
			    end < 0 ? SLICE_NONE : slice_head(slice_from(value, 1), (size_t)end);
		} else {
			size_t n = 0;

			while (n < value.n && strchr(" \t\r#", value.p[n]) == NULL)
				n++;
			value.n = n;
		}
		if (value.n > 0 && value.p[0] == '/') {
			*out = value;
			return true;
		}
	}
	return false;
}

void
conf_run_dir(const char *file, struct buf *out)
{
	struct buf text = { 0 }, unheard = { 0 };
	struct conf *c = NULL;
	struct slice found;

	if (read_file(file, &text, CONF_FILE_MAX) == 0) {
		if (conf_parse(slice_buf(&text), file, &c, &unheard) == 0)
			buf_puts(out, c->run_dir);
		else if (find_run_dir(slice_buf(&text), &found))
			buf_slice(out, found);
	}
	if (out->n == 0)
		for (const struct value_row *row = value_conf_rows; row->key != NULL; row++)
			if (strcmp(row->key, "run_dir") == 0)
				buf_puts(out, row->def);
	conf_unref(c);
	buf_fini(&text);
	buf_fini(&unheard);
}

/* 0: not the name of a generation. */
static uint32_t
number_of(const char *name)
{
	uint64_t v;

	return name[0] != '0' && slice_u64(slice_z(name), &v) && v <= UINT32_MAX ? (uint32_t)v : 0;
}

/* Calls for each name in the folder; `dirfd` stays open. */
static int
each_name(int dirfd, void (*call)(int dirfd, const char *name, void *arg), void *arg)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int rc;

	if (dir == NULL) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (errno = 0, (e = readdir(dir)) != NULL)
		call(dirfd, e->d_name, arg);
	rc = -errno;
	closedir(dir);
	return rc;
}

static void
take_newest(int dirfd, const char *name, void *arg)
{
	uint32_t *newest = arg, n = number_of(name);

	(void)dirfd;
	if (n > *newest)
		*newest = n;
}

static void
remove_old(int dirfd, const char *name, void *arg)
{
	uint32_t newest = *(const uint32_t *)arg, n = number_of(name);
	struct stat st;

	if (n != 0 && n < newest && newest - n >= CONF_GENERATIONS_KEPT)
		unlinkat(dirfd, name, 0);
	else if (slice_istarts(slice_z(name), PRIVATE) &&
		 fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		 time(NULL) - st.st_mtime > PRIVATE_STALE_S)
		unlinkat(dirfd, name, 0);
}

/* Opens the newest in the folder; -ENOENT: there is none. */
static int
open_newest(int dirfd, uint32_t *number)
{
	for (unsigned i = 0; i < TRIES; i++) {
		char name[16];
		int fd, rc;

		*number = 0;
		rc = each_name(dirfd, take_newest, number);
		if (rc < 0)
			return rc;
		if (*number == 0)
			return -ENOENT;
		snprintf(name, sizeof name, "%u", *number);
		fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0)
			return fd;
		if (errno != ENOENT) /* else it was removed as old between the two looks */
			return -errno;
	}
	return -ESTALE;
}

int
conf_newest(int run_dirfd, uint32_t *number)
{
	int fd, dirfd = openat(run_dirfd, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dirfd < 0)
		return -errno;
	fd = open_newest(dirfd, number);
	close(dirfd);
	return fd;
}

/* The folder, made when it is not there: readable for all services whatever the umask. */
static int
open_folder(int run_dirfd)
{
	bool made = mkdirat(run_dirfd, FOLDER, 0755) == 0;
	int fd;

	if (!made && errno != EEXIST)
		return -errno;
	fd = openat(run_dirfd, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (made && fchmod(fd, 0755) != 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

static int
write_all(int fd, struct slice text)
{
	while (text.n > 0) {
		ssize_t n = write(fd, text.p, text.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text = slice_from(text, (size_t)n);
	}
	return 0;
}

/* The text under a private name, complete and synced. */
static int
write_private(int dirfd, struct slice text, char name[static 32])
{
	int rc, fd;

	snprintf(name, 32, PRIVATE "%08x%08x", arc4random(), arc4random());
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	if (fd < 0)
		return -errno;
	rc = write_all(fd, text);
	if (rc == 0 && (fchmod(fd, 0444) != 0 || fsync(fd) != 0))
		rc = -errno;
	close(fd);
	if (rc < 0)
		unlinkat(dirfd, name, 0);
	return rc;
}

static bool
holds(int fd, struct slice text)
{
	struct buf b = { 0 };
	bool same = read_all(fd, &b, TEXT_MAX) == 0 && slice_eq(slice_buf(&b), text);

	buf_fini(&b);
	return same;
}

/*
 * Gives the private file the next number, unless the newest generation will do: one with the same
 * text, or, if only the first is wanted, any.
 */
static int
link_next(int dirfd, const char *private, struct slice text, bool first_only, uint32_t *number)
{
	char name[16];
	bool will_do;
	int fd = open_newest(dirfd, number);

	if (fd < 0 && fd != -ENOENT)
		return fd;
	if (fd >= 0) {
		will_do = first_only || holds(fd, text);
		close(fd);
		if (will_do)
			return 0;
	}
	if (*number == UINT32_MAX)
		return -EOVERFLOW;
	snprintf(name, sizeof name, "%u", ++*number);
	if (linkat(dirfd, private, dirfd, name, 0) != 0)
		return -errno;
	return fsync(dirfd) != 0 && errno != EINVAL ? -errno : 0;
}

/* Until the descriptor is closed. Who publishes does so before it serves anybody, or serves nobody. */
static int
lock(int dirfd)
{
	while (flock(dirfd, LOCK_EX) != 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int
publish(int run_dirfd, const char *file, bool first_only, struct buf *err, uint32_t *number)
{
	struct buf text = { 0 };
	struct conf *c = NULL;
	char private[32];
	int dirfd = -1, rc;

	rc = prepare(file, &text, &c, err);
	if (rc < 0)
		goto out;
	dirfd = open_folder(run_dirfd);
	rc = dirfd < 0 ? dirfd : lock(dirfd);
	if (rc == 0)
		rc = write_private(dirfd, slice_buf(&text), private);
	if (rc == 0) {
		rc = link_next(dirfd, private, slice_buf(&text), first_only, number);
		unlinkat(dirfd, private, 0);
	}
	if (rc < 0)
		say(err, -rc, "cannot publish in " FOLDER " of the run folder", file);
	else
		each_name(dirfd, remove_old, number);
out:
	if (dirfd >= 0)
		close(dirfd);
	conf_unref(c);
	buf_fini(&text);
	return rc;
}

int
conf_publish(int run_dirfd, const char *file, struct buf *err, uint32_t *number)
{
	return publish(run_dirfd, file, false, err, number);
}

int
conf_load(int fd, uint32_t number, struct conf **out, struct buf *err)
{
	struct buf text = { 0 };
	char name[32];
	int rc = read_all(fd, &text, TEXT_MAX);

	snprintf(name, sizeof name, FOLDER "/%u", number);
	if (rc < 0)
		say(err, -rc, "cannot read", name);
	else
		rc = conf_parse(slice_buf(&text), name, out, err);
	if (rc == 0)
		(*out)->generation = number;
	buf_fini(&text);
	return rc;
}

int
conf_load_newest(int run_dirfd, struct conf **out, struct buf *err)
{
	uint32_t number = 0;
	int rc, fd = conf_newest(run_dirfd, &number);

	if (fd < 0)
		return say(err, -fd, "no generation", FOLDER);
	rc = conf_load(fd, number, out, err);
	close(fd);
	return rc;
}

int
conf_start(int run_dirfd, const char *file, struct conf **out, struct buf *err)
{
	size_t before = err->n;
	uint32_t number = 0;
	int rc = conf_load_newest(run_dirfd, out, err);

	if (rc != -ENOENT)
		return rc;
	err->n = before;
	rc = publish(run_dirfd, file, true, err, &number);
	return rc < 0 ? rc : conf_load_newest(run_dirfd, out, err);
}
