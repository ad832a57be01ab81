/* SPDX-License-Identifier: ISC */
#define FUSE_USE_VERSION 31
#include "t/crash/blockfs.h"

#include <errno.h>
#include <fuse.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/die.h"

static const char image[] = "/image", marks[] = "/marks";
static const struct blockfs *blocks;

static void *
init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	conn->max_write = 1 << 20;
	cfg->direct_io = 1;
	cfg->attr_timeout = 3600;
	cfg->entry_timeout = 3600;
	return NULL;
}

static int
get_attr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	(void)fi;
	memset(st, 0, sizeof *st);
	st->st_nlink = 1;
	st->st_mode = S_IFREG | 0600;
	if (strcmp(path, "/") == 0) {
		st->st_mode = S_IFDIR | 0700;
		st->st_nlink = 2;
	} else if (strcmp(path, image) == 0) {
		st->st_size = (off_t)blocks->size;
	} else if (strcmp(path, marks) != 0) {
		return -ENOENT;
	}
	return 0;
}

static int
read_folder(const char *path, void *buf, fuse_fill_dir_t fill, off_t off, struct fuse_file_info *fi,
    enum fuse_readdir_flags flags)
{
	(void)path, (void)off, (void)fi, (void)flags;
	fill(buf, image + 1, NULL, 0, 0);
	fill(buf, marks + 1, NULL, 0, 0);
	return 0;
}

static int
open_file(const char *path, struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	return strcmp(path, image) == 0 || strcmp(path, marks) == 0 ? 0 : -ENOENT;
}

static int
read_file(const char *path, char *p, size_t n, off_t at, struct fuse_file_info *fi)
{
	uint64_t end = (uint64_t)at + n;

	(void)fi;
	if (strcmp(path, image) != 0 || (uint64_t)at >= blocks->size)
		return 0;
	if (end > blocks->size)
		n = blocks->size - (uint64_t)at;
	blocks->read((uint64_t)at, p, n);
	return (int)n;
}

static int
write_file(const char *path, const char *p, size_t n, off_t at, struct fuse_file_info *fi)
{
	(void)fi;
	if (strcmp(path, marks) == 0) {
		if (blocks->mark != NULL)
			blocks->mark(p, n);
		return (int)n;
	}
	if ((uint64_t)at + n > blocks->size)
		return -ENOSPC;
	blocks->write((uint64_t)at, p, n);
	return (int)n;
}

static int
sync_file(const char *path, int data_only, struct fuse_file_info *fi)
{
	(void)data_only, (void)fi;
	if (strcmp(path, image) == 0 && blocks->flush != NULL)
		blocks->flush();
	return 0;
}

struct fuse *
blockfs_mount(const struct blockfs *fs, const char *folder)
{
	static const struct fuse_operations ops = {
		.init = init,
		.getattr = get_attr,
		.readdir = read_folder,
		.open = open_file,
		.read = read_file,
		.write = write_file,
		.fsync = sync_file,
	};
	char name[] = "blockfs", option[] = "-ofsname=blockfs";
	char *argv[] = { name, option, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(2, argv);
	struct fuse *fuse;

	blocks = fs;
	fuse = fuse_new(&args, &ops, sizeof ops, NULL);
	if (fuse == NULL || fuse_mount(fuse, folder) != 0)
		die(EXIT_UNAVAILABLE, "cannot mount on %s", folder);
	fuse_opt_free_args(&args);
	if (unshare(CLONE_NEWNS) < 0)
		die(EXIT_UNAVAILABLE, "no mount name space: %s", strerror(errno));
	return fuse;
}

void
blockfs_serve(struct fuse *fuse)
{
	fuse_set_signal_handlers(fuse_get_session(fuse));
	fuse_loop(fuse);
	fuse_unmount(fuse);
	fuse_destroy(fuse);
}
