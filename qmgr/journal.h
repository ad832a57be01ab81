/* SPDX-License-Identifier: ISC */
#ifndef QMGR_JOURNAL_H
#define QMGR_JOURNAL_H

#include "io/offload.h"
#include "spool/journal_file.h"

#include <bsd/sys/queue.h>

/*
 * The writer of the journal (QUEUE.md rule 20). Records are put into memory by the loop and known
 * by their place at once; a thread writes what has gathered and syncs it, one group after the
 * other. Whoever must not act before a record is durable leaves a journal_wait.
 *
 * A write or sync that fails is never repeated on the same file: what is not durable is written to
 * a new one, with pauses, for as long as it takes. Meanwhile nothing that waits is answered.
 */
struct journal_place {
	uint32_t file, at;
};

struct journal_wait {
	STAILQ_ENTRY(journal_wait) next;
	uint64_t lsn;
	void (*durable)(void *arg);
	void *arg;
};

/* How soon the last record must be on the disk. */
enum journal_haste {
	JOURNAL_LAZY,  /* nobody waits: some holds */
	JOURNAL_GROUP, /* with others, after the hold */
	JOURNAL_NOW,   /* as soon as the thread is free */
};

struct batch {
	STAILQ_ENTRY(batch) next;
	uint32_t file;
	uint64_t at;
	bool fresh; /* the file is to be made: buf begins with FILE_START */
	struct buf buf;
};
STAILQ_HEAD(batch_list, batch);

struct journal_remap {
	uint32_t from_file, from_at, to_file, to_at;
};

struct journal_stats {
	uint64_t records, bytes, syncs, failures;
};

struct journal {
	int dirfd;
	uint8_t spool_id[SPOOL_ID];
	struct loop *loop;
	/* NULL: all is done in journal_commit(), for tests and the simulation */
	struct offload *writer, *disk;
	struct timer *timer;
	uint64_t rings_ms; /* while it is set by journal_commit() */
	uint64_t hold_ms;
	uint64_t (*clock_ms)(void *arg); /* queue clock, for FILE_START */
	void *clock_arg;

	uint32_t file, last_file; /* written to; highest number given */
	uint64_t at;
	uint32_t oldest;
	/* numbers (u32, ascending) from `oldest` on of the files whose beginning is durable */
	struct buf begun;
	uint64_t lsn, durable; /* records put; of them durable */
	struct batch_list pending;
	STAILQ_HEAD(, journal_wait) waits;
	bool writing, failing;
	uint64_t want_ms; /* when a sync is due, by the monotonic clock; UINT64_MAX: none is */
	uint64_t last_end_ms;
	unsigned pause_ms;
	void (*after)(void *arg); /* told after each group that became durable */
	void *after_arg;

	uint32_t spare[8]; /* files that may be taken over */
	unsigned nspare;
	bool making;
	uint32_t making_file;
	struct journal_wait oldest_wait;
	bool oldest_waits;
	/* the one before, while it waits; what the newest file says */
	uint32_t oldest_gone, oldest_said;
	struct journal_remap *remap;
	size_t nremap;
	struct journal_stats stats;

	/* The thread's while `writing`. */
	struct job job, spare_job;
	struct batch_list group;
	uint64_t group_lsn, seq;
	int fd, error, spare_error;
	uint32_t fd_file, taken_spare;

	int read_fd;
	uint32_t read_file;
};

/* After recovery: goes on with a new file. writer, disk, loop may be NULL, see above. */
void journal_open(struct journal *j, const struct journal_replay *found);
void journal_init(struct journal *j, int dirfd, const uint8_t id[static SPOOL_ID],
    struct loop *loop, struct offload *writer, struct offload *disk);
void journal_fini(struct journal *j);

/*
 * The record that journal_put_X() just put behind `from` in journal_buf() becomes part of the
 * journal; returns where it stands. Use JOURNAL_ADD.
 */
struct buf *journal_buf(struct journal *j);
struct journal_place journal_put(struct journal *j, size_t from);
#define JOURNAL_ADD(j, name, record) journal_put(j, journal_put_##name(journal_buf(j), record))
#define JOURNAL_SAY(j, name, ...) \
	JOURNAL_ADD(j, name, (&(const struct journal_##name){ __VA_ARGS__ }))

/* The next n bytes of records (at most JOURNAL_FILE_BYTES / 2) will stand in one file. */
void journal_together(struct journal *j, uint64_t n);

void journal_hurry(struct journal *j, enum journal_haste haste);
/* Calls when all that was put so far is durable, from the loop, never from here. */
void journal_after(struct journal *j, struct journal_wait *w, enum journal_haste haste);
void journal_cancel(struct journal *j, struct journal_wait *w); /* one that has not been called */
/* Without threads: writes, syncs and calls now; with: starts what is due. At the end of each turn. */
void journal_commit(struct journal *j);

/* Reads a record back. 0, -EAGAIN: not written yet, -errno. *bytes owns what *out points into. */
int journal_read(
    struct journal *j, struct journal_place at, struct buf *bytes, struct journal_rec *out);

/*
 * Files from `oldest` on are needed, those before are taken over once OLDEST is durable. One at a
 * time (oldest_waits). It must be one that journal_begun_after() gave: a file whose beginning
 * failed may not be on the disk, and recovery would miss it.
 */
void journal_set_oldest(struct journal *j, uint32_t oldest);
uint32_t journal_begun_after(const struct journal *j, uint32_t file); /* 0: none yet */
uint32_t journal_files(const struct journal *j);

#endif
