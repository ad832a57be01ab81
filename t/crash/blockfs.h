/* SPDX-License-Identifier: ISC */
#ifndef CRASH_BLOCKFS_H
#define CRASH_BLOCKFS_H

#include <stddef.h>
#include <stdint.h>

/*
 * A file system of two files: `image`, a disk of fixed size without any cache above it, and
 * `marks`, which takes lines. One thread serves it, so what is called here is in one order.
 */
struct blockfs {
	uint64_t size; /* of the image, bytes */
	void (*read)(uint64_t at, char *p, size_t n);
	void (*write)(uint64_t at, const char *p, size_t n);
	void (*flush)(void);
	void (*mark)(const char *p, size_t n);
};

/* Entries of the recorder's log: this header, then for WRITE and MARK `n` bytes. Host order. */
enum log_type { LOG_WRITE = 1, LOG_FLUSH = 2, LOG_MARK = 3 };
struct log_entry {
	uint32_t type;
	uint32_t n;
	uint64_t at;
};

/*
 * Mounts on the folder, then serves it until it is unmounted or SIGTERM comes. In between the
 * process takes a mount name space of its own: were it the last in one that also holds the file
 * system above its image, its end would wait for an answer from itself. To be called while there is
 * one thread. Both end the program when they fail.
 */
struct fuse;
struct fuse *blockfs_mount(const struct blockfs *fs, const char *folder);
void blockfs_serve(struct fuse *fuse);

#endif
