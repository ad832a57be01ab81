/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_CHECK_H
#define SPOOL_CHECK_H

#include "spool/record.h"
#include "spool/segment.h"

/*
 * Verification of a whole spool from outside: `angctl spool check` and `angctl spool show ID`.
 * Reads only (openat, pread), and takes no lock. While qmgr runs, segments come and go and the
 * journal grows: what vanishes meanwhile is passed over, and the counts are of no single instant.
 */
struct spool_report {
	uint32_t segments, journals;
	uint64_t records; /* whole and verified, in segments */
	uint64_t live;	  /* filed messages with an open recipient or a notice owed */
	uint64_t done;	  /* filed, with none, the record still there */
	uint64_t unfiled; /* records at or past their segment's filed offset */
	uint64_t bytes;	  /* of all records */
	uint64_t live_bytes;
	uint64_t damaged; /* damaged ranges found now, of those below a durable offset */
	uint64_t damaged_bytes;
	uint64_t tail_bytes;	     /* past the last whole record: what a crash leaves */
	uint64_t missing;	     /* live messages whose record is not where the journal says */
	uint64_t large, large_bytes; /* bodies in large/ of records that are live or not filed */
	uint64_t orphans; /* files there that are not empty and no such record refers to */
	uint64_t journal_records;
	uint64_t open_rcpts;
	uint32_t errors; /* findings of level SPOOL_ERROR */
};

enum spool_level { SPOOL_NOTE, SPOOL_ERROR };

struct spool_finding {
	enum spool_level level;
	const char *file;	 /* "data/0000000001.seg" */
	uint64_t offset, length; /* 0, 0: of the file as a whole */
	uint64_t id;		 /* 0: not known */
	const char *what;	 /* a sentence without end mark */
};
typedef void spool_finding_fn(void *ctx, const struct spool_finding *f);

/*
 * 0: everything that could be read has been judged (see out->errors); -ENOENT: no spool here;
 * other -errno: could not go on.
 */
int spool_check(int spool_dirfd, struct spool_report *out, spool_finding_fn *fn, void *ctx);

/* A record with the bytes it points into. */
struct spool_found {
	struct segment segment;
	struct record record; /* body set, unless it stands in large/; whole */
	bool body_ok;	      /* wherever it stands */
	struct buf bytes;
};

/*
 * The record with this id, the copy in the highest segment when there are several. 0, -ENOENT,
 * or -errno. It need not be filed. Free with spool_found_fini().
 */
int spool_find(int spool_dirfd, uint64_t id, struct spool_found *out);
void spool_found_fini(struct spool_found *f);

#endif
