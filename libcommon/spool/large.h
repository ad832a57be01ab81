/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_LARGE_H
#define SPOOL_LARGE_H

#include "spool/record.h"

/*
 * A file of large/: one body, from its first byte to its last, nothing else. Its record in a
 * segment (record.h) tells the length and the XXH3-64 hash, seeded with the file's number, so
 * that one file is never taken for another. It is written once, by one process, through one
 * append-only descriptor, and synced before its record is written. There is no header: bytes
 * that no record refers to mean nothing.
 */
enum {
	LARGE_BODY_BYTES = 256 << 10,  /* a body beyond this goes to large/, if it can */
	LARGE_PIECE_BYTES = 256 << 10, /* read and written at a time */
};

/*
 * spool_dirfd: the spool folder. All of these block on the disk: call them from a thread.
 *
 * large_make: makes the file, O_EXCL, and syncs the folder; *writer is O_WRONLY|O_APPEND, to be
 * handed to one process. 0 or -errno; on error no file is left. large_open: a descriptor for
 * reading, or -errno. large_remove: 0 also where there is none.
 */
int large_make(int spool_dirfd, uint32_t number, int *writer);
int large_open(int spool_dirfd, uint32_t number);
int large_remove(int spool_dirfd, uint32_t number);

/* Reads all of it, in pieces: 0; -EBADMSG: not what the record says (*why); -errno. */
int large_verify(int fd, const struct record_large *large, const char **why);

/* The hash of a body that is being written. */
struct large_hash;
struct large_hash *large_hash_new(uint32_t number) __attribute__((returns_nonnull));
void large_hash_feed(struct large_hash *h, const void *p, size_t n);
uint64_t large_hash_now(const struct large_hash *h); /* of what was fed so far */
void large_hash_free(struct large_hash *h);

#endif
