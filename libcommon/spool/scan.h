/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_SCAN_H
#define SPOOL_SCAN_H

#include "spool/record.h"
#include "spool/segment.h"

/*
 * Walks the records of a segment through a descriptor that the caller keeps, by pread only.
 *
 * Two offsets bound it. Below `durable` (the highest offset the writer rang, or its seal) every
 * record is there: what does not verify is damage, is reported, and the walk goes on at the next
 * multiple of 64 where a record verifies. From there to `limit` (the size of a dead writer's
 * file) whole records are taken, body verified too, and the walk ends where none follows any more:
 * that is what a crash leaves, not damage. What is not whole and has a whole record behind it is
 * reported as damage (item->doubtful): it may have been synced, and acknowledged, and then rotted;
 * or it is a piece of a batch that was never synced. For a live writer both offsets are the same.
 */
struct scan {
	int fd;
	uint32_t segment;
	uint64_t seed;
	uint64_t at;	    /* the next record */
	uint64_t durable;   /* may be raised between calls */
	uint64_t limit;	    /* may be raised between calls; never below durable */
	bool verify_bodies; /* below durable as well */
	/* its own: */
	struct buf window;
	uint64_t window_at;
	struct record_verifier *verifier;
};

enum scan_got {
	SCAN_RECORD, /* item->record; its slices live until the next call */
	SCAN_DAMAGE, /* item->offset, length, why, doubtful */
	SCAN_TAIL,   /* item->offset, length, why: nothing whole from here to limit */
	SCAN_END,    /* at == limit */
	SCAN_ERROR, /* item->error, a negative errno of pread; `at` is unchanged: may be tried again
		     */
};

struct scan_item {
	struct record record;
	uint64_t offset, length;
	const char *why;
	bool doubtful; /* the damage lies beyond durable */
	int error;
};

/* from: SEGMENT_HEADER or the end of a record. */
void scan_init(struct scan *s, int fd, const struct segment *seg, uint64_t from, uint64_t durable,
    uint64_t limit);
void scan_fini(struct scan *s); /* the descriptor stays the caller's */
enum scan_got scan_next(struct scan *s, struct scan_item *item);

/* Reads and decodes the header of a segment: 0, -errno of pread, or as segment_decode(). */
int scan_segment(int fd, struct segment *out, const char **why);

/*
 * Reads one record at a known place. With `whole` its body is read and verified too, else the
 * front only. 0, -errno of pread, or -EBADMSG with *why. *bytes owns what *out points into.
 */
int scan_record(int fd, uint32_t segment, uint64_t offset, uint64_t seed, bool whole,
    struct buf *bytes, struct record *out, const char **why);

#endif
