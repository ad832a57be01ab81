/* SPDX-License-Identifier: ISC */
#ifndef UNIT_QMGR_DISK_H
#define UNIT_QMGR_DISK_H

#include "base/die.h"
#include "qmgr/retry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * A disk that keeps no more than POSIX promises. The calls by which the spool is written are put in
 * place of libc's: they pass on to a real folder (the page cache, so to speak) and note what no
 * sync has made durable yet. disk_cut() then takes away, as a power cut may: of each file any of
 * the writes since its last sync, whole or torn; of each folder any of the names made, removed or
 * renamed since its own. A sync that fails (fault_sync) leaves in memory what the disk never got,
 * and the next sync does not mend that. With a `fuse` the process itself dies between a write and
 * its sync: from then on every call fails, until disk.dead is taken back.
 */
enum { DISK_FILES = 512, DISK_OPS = 4096, DISK_SECTOR = 512 };

struct disk_write {
	uint64_t at, n;
	char *old; /* NULL: the file ended there */
	bool doomed;
};

struct disk_file {
	ino_t ino;
	int path;      /* O_PATH: no writer, so that leases can be had */
	uint64_t size; /* durable */
	struct disk_write *write;
	size_t nwrite;
};

enum disk_op_kind { DISK_MADE, DISK_REMOVED, DISK_RENAMED };
struct disk_op {
	enum disk_op_kind kind;
	ino_t ino;
	char name[64], to[64]; /* below the root: "data/..." */
	bool settled;
};

static struct disk {
	bool on;   /* calls are noted */
	bool dead; /* the power is off: nothing reaches the files */
	bool lies; /* a sync says 0 and does nothing */
	int root;
	dev_t dev;
	struct rng rng;
	unsigned fault_sync, fault_write, fault_make; /* of 1000 */
	unsigned
	    fuse; /* of 1000 syncs: the process is killed in it, what it wrote stays in memory */
	uint64_t faults, lost_writes, lost_names;
	void (*point)(void); /* called before what makes something durable, or changes a name */
	struct disk_file file[DISK_FILES];
	size_t nfile;
	struct disk_op op[DISK_OPS];
	size_t nop;
} disk;

static inline bool
disk_chance(unsigned permille)
{
	return permille > 0 && rng_next(&disk.rng) % 1000 < permille;
}

static inline bool
disk_fault(unsigned permille, int error)
{
	if (disk.dead) {
		errno = EIO;
		return true;
	}
	if (!disk.on || !disk_chance(permille))
		return false;
	disk.faults++;
	errno = error;
	return true;
}

static inline struct disk_file *
disk_find(int fd, struct stat *st)
{
	if (!disk.on || fstat(fd, st) != 0 || st->st_dev != disk.dev || !S_ISREG(st->st_mode))
		return NULL;
	for (size_t i = 0; i < disk.nfile; i++)
		if (disk.file[i].ino == st->st_ino)
			return &disk.file[i];
	return NULL;
}

static inline void
disk_note_op(enum disk_op_kind kind, ino_t ino, const char *name, const char *to)
{
	struct disk_op *op = &disk.op[disk.nop++];

	if (disk.nop == DISK_OPS)
		die(1, "disk: too many names without a sync");
	*op = (struct disk_op){ .kind = kind, .ino = ino };
	snprintf(op->name, sizeof op->name, "%s", name);
	snprintf(op->to, sizeof op->to, "%s", to);
}

static inline void
disk_note_write(struct disk_file *f, int fd, const struct stat *st, uint64_t at, uint64_t n)
{
	struct disk_write *x;

	f->write = xrealloc(f->write, (f->nwrite + 1) * sizeof *f->write);
	x = &f->write[f->nwrite++];
	*x = (struct disk_write){ .at = at, .n = n };
	if (at >= (uint64_t)st->st_size)
		return;
	x->old = xcalloc(1, n); /* what lies beyond the end reads as zeros */
	if (pread(fd, x->old, n, (off_t)at) < 0)
		die(1, "disk: cannot read what was there: %s", strerror(errno));
}

/* The bytes of a write from `torn` on never reached the disk. */
static inline void
disk_take_back(const struct disk_file *f, const struct disk_write *x, uint64_t torn)
{
	static const char zeros[DISK_SECTOR];
	char self[64];
	int fd;

	if (x->old == NULL && x->n > 65536) /* zeros over zeros: a file filled ahead */
		return;
	snprintf(self, sizeof self, "/proc/self/fd/%d", f->path);
	fd = (int)syscall(SYS_openat, AT_FDCWD, self, O_RDWR | O_CLOEXEC);
	for (uint64_t at = torn; fd >= 0 && at < x->n; at += DISK_SECTOR) {
		uint64_t n = x->n - at < DISK_SECTOR ? x->n - at : DISK_SECTOR;

		syscall(SYS_pwrite64, fd, x->old != NULL ? x->old + at : zeros, n, x->at + at);
	}
	if (fd >= 0)
		close(fd);
}

/* ---- in place of libc's ---- */

int
openat(int dirfd, const char *path, int flags, ...)
{
	struct stat st;
	mode_t mode = 0;
	va_list ap;
	int fd;

	if (flags & O_CREAT) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	if ((flags & O_CREAT) &&
	    disk_fault(disk.fault_make, rng_next(&disk.rng) % 2 ? ENOSPC : EMFILE))
		return -1;
	fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
	if (fd < 0 || !disk.on || !(flags & O_CREAT) || strchr(path, '/') == NULL ||
	    fstat(fd, &st) != 0 || st.st_dev != disk.dev)
		return fd;
	for (size_t i = 0; i < disk.nfile; i++)
		if (disk.file[i].ino == st.st_ino)
			return fd;
	if (disk.nfile == DISK_FILES)
		die(1, "disk: too many files");
	disk.file[disk.nfile++] = (struct disk_file){ .ino = st.st_ino,
		.path = (int)syscall(SYS_openat, dirfd, path, O_PATH | O_CLOEXEC) };
	disk_note_op(DISK_MADE, st.st_ino, path, "");
	return fd;
}

static inline ssize_t
disk_write_call(int fd, const void *p, size_t n, off_t at, bool append)
{
	struct stat st;
	struct disk_file *f = disk_find(fd, &st);

	if (f == NULL && !disk.dead)
		return append ? syscall(SYS_write, fd, p, n) : syscall(SYS_pwrite64, fd, p, n, at);
	if (disk_fault(disk.fault_write, ENOSPC)) {
		n = disk.dead || f == NULL ? 0 : rng_next(&disk.rng) % n;
		if (n == 0)
			return -1;
	}
	disk_note_write(f, fd, &st, append ? (uint64_t)st.st_size : (uint64_t)at, n);
	if (n >= 65536 && at >= st.st_size && memcmp(p, (const char *)p + 1, n - 1) == 0 &&
	    *(const char *)p == 0)
		return ftruncate(fd, at + (off_t)n) == 0 ? (ssize_t)n
							 : -1; /* zeros need no memory */
	return append ? syscall(SYS_write, fd, p, n) : syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	return disk_write_call(fd, p, n, at, false);
}

ssize_t
write(int fd, const void *p, size_t n)
{
	return disk_write_call(fd, p, n, 0, true);
}

/* Which of the writes reached the disk although the sync failed: those are forgotten here. */
static inline void
disk_sync_failed(struct disk_file *f)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->nwrite; i++) {
		struct disk_write *x = &f->write[i];

		if (!x->doomed && disk_chance(500)) {
			if (x->at + x->n > f->size)
				f->size = x->at + x->n;
			free(x->old);
			continue;
		}
		x->doomed = true;
		f->write[kept++] = *x;
	}
	f->nwrite = kept;
}

static inline void
disk_synced(struct disk_file *f)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->nwrite; i++) {
		struct disk_write *x = &f->write[i];

		if (x->doomed) {
			f->write[kept++] = *x;
			continue;
		}
		if (x->at + x->n > f->size)
			f->size = x->at + x->n;
		free(x->old);
	}
	f->nwrite = kept;
}

static inline void
disk_at_point(void)
{
	if (disk.on && !disk.dead && disk.point != NULL)
		disk.point();
}

static inline int
disk_sync_call(int fd)
{
	struct stat st, folder;
	struct disk_file *f = disk_find(fd, &st);

	disk_at_point();
	if (disk.on && !disk.dead && disk_chance(disk.fuse)) {
		disk.dead = true;
		errno = EIO;
		return -1;
	}
	if (disk_fault(disk.fault_sync, EIO)) {
		if (f != NULL)
			disk_sync_failed(f);
		return -1;
	}
	if (disk.lies || !disk.on)
		return 0;
	if (f != NULL)
		disk_synced(f);
	else if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		for (size_t i = 0; i < disk.nop; i++) {
			char name[64];

			snprintf(name, sizeof name, "%.*s", (int)strcspn(disk.op[i].name, "/"),
			    disk.op[i].name);
			if (fstatat(disk.root, name, &folder, 0) == 0 && folder.st_ino == st.st_ino)
				disk.op[i].settled = true;
		}
	return 0;
}

int
fdatasync(int fd)
{
	return disk_sync_call(fd);
}

int
fsync(int fd)
{
	return disk_sync_call(fd);
}

/* What a failed sync left in memory only goes, and the file is again what the disk has. */
int
posix_fadvise(int fd, off_t at, off_t n, int advice)
{
	struct stat st;
	struct disk_file *f = disk_find(fd, &st);
	size_t kept = 0;

	(void)at, (void)n;
	if (f == NULL || advice != POSIX_FADV_DONTNEED)
		return 0;
	for (size_t i = f->nwrite; i-- > 0;)
		if (f->write[i].doomed)
			disk_take_back(f, &f->write[i], 0);
	for (size_t i = 0; i < f->nwrite; i++) {
		if (f->write[i].doomed)
			free(f->write[i].old);
		else
			f->write[kept++] = f->write[i];
	}
	f->nwrite = kept;
	return 0;
}

int
fallocate(int fd, int mode, off_t at, off_t n)
{
	(void)fd, (void)mode, (void)at, (void)n;
	errno = EOPNOTSUPP; /* the memory that stands for the disk is not to be reserved */
	return -1;
}

int
unlinkat(int dirfd, const char *path, int flags)
{
	struct stat st;

	disk_at_point();
	if (disk_fault(0, 0))
		return -1;
	if (!disk.on || strchr(path, '/') == NULL ||
	    fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return (int)syscall(SYS_unlinkat, dirfd, path, flags);
	for (size_t i = 0; i < disk.nfile; i++)
		if (disk.file[i].ino == st.st_ino) {
			char grave[64];

			snprintf(grave, sizeof grave, "grave-%llu", (unsigned long long)st.st_ino);
			disk_note_op(DISK_REMOVED, st.st_ino, path, grave);
			return (int)syscall(SYS_renameat2, dirfd, path, disk.root, grave, 0);
		}
	return (int)syscall(SYS_unlinkat, dirfd, path, flags);
}

int
renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	struct stat st;
	int error;

	disk_at_point();
	if (disk_fault(0, 0))
		return -1;
	if (fstatat(from_fd, from, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return -1;
	error = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
	if (error == 0 && disk.on)
		disk_note_op(DISK_RENAMED, st.st_ino, from, to);
	return error;
}

/* ---- the cut ---- */

static inline void
disk_undo(const struct disk_op *op)
{
	disk.lost_names++;
	switch (op->kind) {
	case DISK_MADE:
		syscall(SYS_unlinkat, disk.root, op->name, 0);
		break;
	case DISK_REMOVED:
		syscall(SYS_renameat2, disk.root, op->to, disk.root, op->name, 0);
		break;
	case DISK_RENAMED:
		syscall(SYS_renameat2, disk.root, op->to, disk.root, op->name, 0);
		break;
	}
}

/* A file's names go back from the end, as far as chance says; no later than its last durable one.
 */
static inline void
disk_cut_names(void)
{
	for (size_t i = disk.nop; i-- > 0;) {
		bool later = false;

		for (size_t k = i + 1; k < disk.nop && !later; k++)
			later = disk.op[k].ino == disk.op[i].ino && disk.op[k].settled;
		if (!disk.op[i].settled && !later && disk_chance(500))
			disk_undo(&disk.op[i]);
		else
			disk.op[i].settled = true;
	}
	for (size_t i = 0; i < disk.nop; i++)
		if (disk.op[i].kind == DISK_REMOVED)
			syscall(SYS_unlinkat, disk.root, disk.op[i].to, 0);
	disk.nop = 0;
}

static inline void
disk_cut_file(struct disk_file *f, unsigned keep)
{
	char self[64];
	uint64_t end = f->size;

	for (size_t i = f->nwrite; i-- > 0;) {
		struct disk_write *x = &f->write[i];
		/* From here on it did not reach the disk: at a sector, or at its begin. */
		uint64_t torn = x->doomed || !disk_chance(keep) ? 0 : x->n;

		if (torn == 0 && x->n > DISK_SECTOR && disk_chance(200))
			torn = rng_next(&disk.rng) % (x->n / DISK_SECTOR + 1) * DISK_SECTOR;
		if (torn > 0 && x->at + torn > end)
			end = x->at + torn;
		if (torn < x->n) {
			disk.lost_writes++;
			disk_take_back(f, x, torn);
		}
		free(x->old);
	}
	f->nwrite = 0;
	f->size = end;
	snprintf(self, sizeof self, "/proc/self/fd/%d", f->path);
	if (truncate(self, (off_t)end) != 0 && errno != ENOENT)
		die(1, "disk: truncate: %s", strerror(errno));
}

/* The power is off since disk.dead; what is open must be closed. Then it is on again. */
static inline void
disk_cut(void)
{
	static const unsigned keep[] = { 0, 200, 500, 900, 1000 };
	unsigned how = keep[rng_next(&disk.rng) % (sizeof keep / sizeof *keep)];

	disk_cut_names();
	for (size_t i = 0; i < disk.nfile; i++)
		disk_cut_file(&disk.file[i], how);
	disk.dead = false;
}

static inline void
disk_begin(int root, uint64_t seed)
{
	struct stat st;

	disk = (struct disk){ .on = true, .root = root, .rng = { seed } };
	if (fstat(root, &st) != 0)
		die(1, "disk: %s", strerror(errno));
	disk.dev = st.st_dev;
}

#endif
