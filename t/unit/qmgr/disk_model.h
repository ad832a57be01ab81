/* SPDX-License-Identifier: ISC */
#ifndef UNIT_QMGR_DISK_MODEL_H
#define UNIT_QMGR_DISK_MODEL_H

#include "t/unit/qmgr/disk.h"

#include <sys/mman.h>
#include <sys/wait.h>

/*
 * Cuts at any call. Before a sync, a rename or an unlink takes effect (disk.point), the disk is
 * copied into a folder of a child process, which lets the power go there, draws one of the states
 * that strict POSIX leaves, and does with it what it likes. The parent goes on as if nothing had
 * been.
 */

struct clone_name {
	ino_t from, to;
};

struct clone {
	int from, to;
	struct clone_name name[DISK_FILES * 2];
	size_t n;
	int path[DISK_FILES * 2];
};

static inline void
clone_bytes(int in, int out, uint64_t size)
{
	static char piece[65536];
	off_t at = 0, end;

	if (ftruncate(out, (off_t)size) != 0)
		die(1, "clone: %s", strerror(errno));
	while ((at = lseek(in, at, SEEK_DATA)) >= 0 && (uint64_t)at < size) {
		end = lseek(in, at, SEEK_HOLE);
		while (at < end) {
			size_t want =
			    (size_t)(end - at) < sizeof piece ? (size_t)(end - at) : sizeof piece;
			ssize_t n = pread(in, piece, want, at);

			if (n <= 0 || syscall(SYS_pwrite64, out, piece, n, at) != n)
				die(1, "clone: %s", strerror(errno));
			at += n;
		}
	}
}

static inline void
clone_file(struct clone *c, const char *name)
{
	struct stat from, to;
	int in = openat(c->from, name, O_RDONLY | O_CLOEXEC);
	int out = openat(c->to, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (in < 0 || out < 0 || fstat(in, &from) != 0)
		die(1, "clone: %s: %s", name, strerror(errno));
	clone_bytes(in, out, (uint64_t)from.st_size);
	if (fstat(out, &to) != 0 || c->n == DISK_FILES * 2)
		die(1, "clone: %s", name);
	c->path[c->n] = openat(c->to, name, O_PATH | O_CLOEXEC);
	c->name[c->n++] = (struct clone_name){ from.st_ino, to.st_ino };
	close(in);
	close(out);
}

static inline void
clone_folder(struct clone *c, const char *name)
{
	int fd = openat(c->from, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (d == NULL || (strcmp(name, ".") != 0 && mkdirat(c->to, name, 0700) != 0))
		die(1, "clone: %s: %s", name, strerror(errno));
	while ((e = readdir(d)) != NULL) {
		char path[300];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s%s%s", strcmp(name, ".") == 0 ? "" : name,
		    strcmp(name, ".") == 0 ? "" : "/", e->d_name);
		if (e->d_type == DT_DIR)
			clone_folder(c, path);
		else if (e->d_type == DT_REG)
			clone_file(c, path);
	}
	closedir(d);
}

static inline ino_t
clone_ino(const struct clone *c, ino_t from, int *path)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->name[i].from == from) {
			if (path != NULL)
				*path = c->path[i];
			return c->name[i].to;
		}
	return 0;
}

/* This process's disk is from now on the copy in the folder `to`, with all that is not durable. */
static inline void
disk_move(int to)
{
	static struct clone c;
	struct stat st;

	c = (struct clone){ .from = disk.root, .to = to };
	disk.on = false;
	clone_folder(&c, ".");
	for (size_t i = 0; i < disk.nfile; i++) {
		disk.file[i].path = -1;
		disk.file[i].ino = clone_ino(&c, disk.file[i].ino, &disk.file[i].path);
	}
	for (size_t i = 0; i < disk.nop; i++)
		disk.op[i].ino = clone_ino(&c, disk.op[i].ino, NULL);
	if (fstat(to, &st) != 0)
		die(1, "clone: %s", strerror(errno));
	disk.root = to;
	disk.dev = st.st_dev;
	disk.on = true;
}

/* Whether a cut now has a choice: something is written or named that is not durable. */
static inline bool
disk_is_unsettled(void)
{
	for (size_t i = 0; i < disk.nop; i++)
		if (!disk.op[i].settled)
			return true;
	for (size_t i = 0; i < disk.nfile; i++)
		if (disk.file[i].nwrite > 0)
			return true;
	return false;
}

#endif
