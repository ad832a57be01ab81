/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_LEASE_H
#define SPOOL_LEASE_H

#include "spool/segment.h"

/* The two descriptions of a new segment. */
struct lease {
	int reader; /* O_RDONLY: stays with qmgr, copies go to deliver */
	int writer; /* O_WRONLY|O_APPEND: handed to one process once, then closed here */
};

/*
 * Makes the file of segment s->number below the spool folder: O_EXCL, header written, blocks
 * reserved (where the file system can), file and folder synced. It blocks on the disk: call it
 * from a thread. 0 or -errno; on error no file is left. The writer's error state has been asked
 * for by no one but this function, before any record: do not sync that descriptor afterwards.
 */
int lease_make(int spool_dirfd, const struct segment *s, struct lease *out);

/*
 * Whether nobody can write to the file any more, by asking the kernel for a read lease and giving
 * it back at once. reader: an O_RDONLY description of one's own file. 1 gone, 0 a writer lives
 * (this process included, while it holds lease.writer), -errno.
 */
int lease_writer_gone(int reader);

/*
 * Gives back the blocks reserved behind the end of the data: nobody is going to write there any
 * more. Not an error where it fails: they go with the file.
 */
void lease_release_rest(int writer);

#endif
