/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_SEGMENT_H
#define SPOOL_SEGMENT_H

#include "spool/spool.h"

/*
 * A segment: a header of 256 bytes, then records (record.h), each at a multiple of 64. One
 * process ever writes to it, through one append-only descriptor; qmgr writes the header before
 * that.
 */
enum {
	SEGMENT_HEADER = 256,	       /* the first record stands here */
	SEGMENT_SOFT_BYTES = 64 << 20, /* blocks reserved; a new lease is asked for about here */
};
#define SEGMENT_MAX_BYTES (UINT64_C(4) << 30) /* never beyond, lease or no lease */

struct segment {
	uint32_t number;
	uint16_t version;  /* of the format of its records */
	uint32_t flags;	   /* all are critical; version 1 knows none */
	uint8_t class;	   /* enum origin_class: what its records may claim */
	uint64_t instance; /* of the writer: one process in one life */
	uint64_t floor_ms; /* no id of its records has an earlier time */
	uint64_t seed;	   /* of the checksums; random, known to qmgr and the writer only */
	uint64_t made_ms;  /* wall clock */
	uint8_t spool_id[SPOOL_ID];
};

void segment_encode(const struct segment *s, char out[static SEGMENT_HEADER]);

/*
 * 0; -EBADMSG: not a segment header, damaged, or too short; -ENOTSUP: a later version, or flags
 * this version does not know (out->version and out->flags are set). *why: a constant text, set on
 * error.
 */
int segment_decode(struct slice bytes, struct segment *out, const char **why);

#endif
