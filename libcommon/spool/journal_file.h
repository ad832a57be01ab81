/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_JOURNAL_FILE_H
#define SPOOL_JOURNAL_FILE_H

#include "spool/journal.h"

/* The files of the journal. dirfd: the spool folder. */

/*
 * Makes a file of JOURNAL_FILE_BYTES zeros, synced, with its folder: blocks on the disk. Returns
 * an O_RDWR descriptor or -errno; -EEXIST where the number is taken.
 */
int journal_file_make(int dirfd, uint32_t file);
/* Gives a file that is no longer needed a new number; its bytes stay and never verify. The same. */
int journal_file_recycle(int dirfd, uint32_t old, uint32_t file);

struct journal_scan {
	/* in */
	uint8_t spool_id[SPOOL_ID];
	uint32_t file;
	uint64_t before_seq; /* stop at this sequence: the next file's first; 0: do not */
	/* 0 goes on; anything else ends the scan and is returned. The record lives until it
	 * returns. */
	int (*each)(void *ctx, const struct journal_rec *r);
	/*
	 * Set only where all before before_seq is known to have been durable (a later file says
	 * so): where a record does not verify all the same, that is damage. The scan looks for
	 * the next one that does and calls this first; 0 goes on. NULL: the scan ends there.
	 */
	int (*gap)(void *ctx, uint64_t offset, uint64_t expected, uint64_t found);
	void *ctx;
	/* out */
	uint64_t end;	    /* offset behind the last valid record */
	uint64_t first_seq; /* of FILE_START; 0: the file holds nothing valid */
	uint64_t next_seq;  /* one more than the last */
	const char *why;    /* -EBADMSG, -ENOTSUP: what was not understood */
};

/*
 * All valid records of a file in order, by pread. 0 (also where there is none); -errno of pread;
 * -EBADMSG: a record verifies but cannot be decoded, or the file does not begin with its
 * FILE_START; -ENOTSUP: an unknown critical kind or a later version; what `each` returned.
 */
int journal_file_scan(int fd, struct journal_scan *s);

/* FILE_START only. 0, -ENODATA where there is none that verifies, or as above. */
int journal_file_start(
    int fd, const uint8_t spool_id[static SPOOL_ID], uint32_t file, struct journal_rec *out);

/* One record at a known offset. *bytes owns what *out points into. 0, -errno, -EBADMSG. */
int journal_file_read(int fd, const uint8_t spool_id[static SPOOL_ID], uint32_t file,
    uint64_t offset, struct buf *bytes, struct journal_rec *out);

/*
 * The files that recovery reads, oldest first: from the `oldest` of the newest valid file (its
 * FILE_START or a later OLDEST), each cut before the lowest first sequence of any later file.
 * Files in between that hold no valid FILE_START (begun, never synced) are passed over when
 * sequences go on without a gap. 0; -errno; -ENODATA: no valid file at all; -ENOENT: the oldest
 * is missing; -EBADMSG, -ENOTSUP; what `each` or `gap` returned.
 */
struct journal_replay {
	uint8_t spool_id[SPOOL_ID];
	int (*each)(void *ctx, uint32_t file, const struct journal_rec *r);
	/* Sequence numbers expected..found-1 are damaged. 0 goes on. NULL: ends with -EBADMSG. */
	int (*gap)(void *ctx, uint32_t file, uint64_t expected, uint64_t found);
	void *ctx;
	/*
	 * For who is going to write on: each file is synced before anything of it is read. A
	 * writer that was killed may have left the last of them in memory only; a file that began
	 * behind them would outlive a power cut that they do not. Where a sync fails, -errno, and
	 * the next try reads what the disk has. Then `files` and `stale` are filled, too.
	 */
	bool resume;
	struct buf files;  /* out: numbers (u32) of those read, ascending; the caller frees */
	struct buf stale;  /* out: numbers (u32) of those below `oldest`; the caller frees */
	uint32_t oldest;   /* out: files below may be recycled */
	uint32_t newest;   /* out: highest number there, valid or not; the next file is above it */
	uint64_t next_seq; /* out: for the FILE_START of the next file */
	uint32_t at;	   /* out: the file concerned, on error */
	const char *why;   /* out: on error */
};
int journal_file_replay(int dirfd, struct journal_replay *r);

#endif
