/* SPDX-License-Identifier: ISC */
#include "qmgr/segments.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "qmgr/intake.h"
#include "qmgr/state.h"

#include <assert.h>
#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct lease_call {
	struct job job;
	struct qmgr *q;
	uint32_t number;
	uint64_t instance, floor_bytes, free_bytes;
	struct segment segment;
	struct lease lease;
	int error;
	void (*made)(struct qmgr *q, struct seg *s, uint64_t instance, int fd);
};

void
qmgr_offload(struct qmgr *q, struct job *j)
{
	if (q->disk != NULL) {
		offload_submit(q->disk, j);
		return;
	}
	j->run(j);
	j->done(j);
}

static void
lease_run(struct job *job)
{
	struct lease_call *c = (struct lease_call *)job;
	struct statvfs fs;

	c->error = fstatvfs(c->q->dirfd, &fs) != 0 ? -errno : 0;
	if (c->error == 0) {
		c->free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
		/* Room for what it may hold, above the floor that its writer keeps to (rule 11). */
		if (c->free_bytes < c->floor_bytes + SEGMENT_SOFT_BYTES ||
		    (fs.f_files > 0 && fs.f_favail < 64))
			c->error = -ENOSPC;
	}
	if (c->error == 0)
		c->error = lease_make(c->q->dirfd, &c->segment, &c->lease);
}

static void
seg_drop(struct qmgr *q, struct seg *s)
{
	commit(q, segment_freed, .segment = s->number);
	s->done_lsn = q->journal.lsn;
}

static void
lease_done(struct job *job)
{
	struct lease_call *c = (struct lease_call *)job;
	struct qmgr *q = c->q;
	struct seg *s = seg_find(&q->segtab, c->number);

	assert(s != NULL && s->busy);
	s->busy = false;
	s->call = NULL;
	q->disk_free_bytes = c->free_bytes;
	if (c->error != 0) {
		log_trouble(-c->error, "no segment can be made");
		seg_drop(q, s);
		c->made(q, s, c->instance, -1);
		free(c);
		return;
	}
	s->state = SEG_LIVE;
	s->fd = c->lease.reader;
	log_begin(LOG_LEASE);
	log_u64(LOGK_SEGMENT, s->number);
	log_z(LOGK_CLASS, class_word(s->class));
	log_u64(LOGK_WORKER, s->worker);
	log_end();
	c->made(q, s, c->instance, c->lease.writer);
	free(c);
}

/* The number is durable: it is never given again, so the file may be made. */
static void
lease_durable(void *arg)
{
	struct lease_call *c = arg;

	c->job = (struct job){ .run = lease_run, .done = lease_done };
	qmgr_offload(c->q, &c->job);
}

static bool
lease(struct qmgr *q, uint8_t class, uint32_t worker, uint64_t instance,
    void (*made)(struct qmgr *q, struct seg *s, uint64_t instance, int fd))
{
	uint32_t number = segtab_number(&q->segtab);
	uint64_t floor = clock_wall_ms(), seed = (uint64_t)arc4random() << 32 | arc4random();
	struct lease_call *c;
	struct seg *s;

	if (number == 0)
		return false;
	if (floor < q->segtab.floor_ms)
		floor = q->segtab.floor_ms + 1;
	commit(q, lease, .segment = number, .class = class,
	    .version = (uint16_t)q->identity.version, .worker = worker, .instance = instance,
	    .floor_ms = floor, .seed = seed);
	s = seg_find(&q->segtab, number);
	s->busy = true;
	c = xcalloc(1, sizeof *c);
	*c = (struct lease_call){ .q = q,
		.number = number,
		.instance = instance,
		.floor_bytes = q->conf->disk_floor,
		.made = made };
	c->segment = (struct segment){ .number = number,
		.version = s->version,
		.class = class,
		.instance = instance,
		.floor_ms = floor,
		.seed = seed,
		.made_ms = clock_wall_ms() };
	memcpy(c->segment.spool_id, q->identity.id, SPOOL_ID);
	s->call = c;
	s->wait = (struct journal_wait){ .durable = lease_durable, .arg = c };
	journal_after(&q->journal, &s->wait, JOURNAL_NOW);
	return true;
}

bool
segments_lease(struct qmgr *q, uint8_t class, uint16_t worker, uint64_t instance,
    void (*made)(struct qmgr *q, struct seg *s, uint64_t instance, int fd))
{
	return lease(q, class, worker, instance, made);
}

bool
segments_lease_own(struct qmgr *q, uint8_t class,
    void (*made)(struct qmgr *q, struct seg *s, uint64_t instance, int fd))
{
	return lease(q, class, SEG_OWN_WORKER, 0, made);
}

/* ---- the end of a writer ---- */

struct end_call {
	struct job job;
	struct qmgr *q;
	uint32_t number;
	int fd, error;
	uint64_t size;
};

/* Its writer is gone, so what was reserved for it and not used is free for others. */
static void
release_rest(const struct end_call *c)
{
	char name[SPOOL_NAME];
	int fd;

	spool_segment_name(c->number, name);
	fd = openat(c->q->dirfd, name, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	lease_release_rest(fd);
	close(fd);
}

static void
end_run(struct job *job)
{
	struct end_call *c = (struct end_call *)job;
	struct stat st = { 0 };

	/*
	 * Ours to sync now: nobody's error can be eaten any more. Where it fails, the writer may
	 * have said 250 all the same, after a sync of its own: what the disk has is read, and the
	 * pages that it has not are forgotten.
	 */
	c->error = fdatasync(c->fd) != 0 ? -errno : 0;
	if (c->error != 0)
		posix_fadvise(c->fd, 0, 0, POSIX_FADV_DONTNEED);
	if (fstat(c->fd, &st) == 0)
		c->size = (uint64_t)st.st_size;
	release_rest(c);
}

static void
end_done(struct job *job)
{
	struct end_call *c = (struct end_call *)job;
	struct qmgr *q = c->q;
	struct seg *s = seg_find(&q->segtab, c->number);

	assert(s != NULL && s->busy && s->state == SEG_ENDING);
	s->busy = false;
	s->limit = c->size < SEGMENT_MAX_BYTES ? c->size : SEGMENT_MAX_BYTES;
	if (c->error != 0)
		log_trouble(-c->error,
		    "segment %u: its writer is dead and it cannot be synced: what the disk has is "
		    "filed",
		    s->number);
	if (s->limit < s->durable)
		s->limit = s->durable; /* shorter than rung: what is missing is damage */
	free(c);
	intake_wake(q, s);
}

static void
end_begin(struct qmgr *q, struct seg *s)
{
	struct end_call *c = xcalloc(1, sizeof *c);

	s->state = SEG_ENDING;
	s->busy = true;
	s->limit = s->durable;
	*c = (struct end_call){ .job = { .run = end_run, .done = end_done },
		.q = q,
		.number = s->number,
		.fd = s->fd };
	qmgr_offload(q, &c->job);
}

void
segments_look(struct qmgr *q, struct seg *s)
{
	int gone;

	if (s->state != SEG_LIVE || s->busy || s->fd < 0 || s->worker == SEG_OWN_WORKER)
		return;
	gone = lease_writer_gone(s->fd);
	if (gone == 1)
		end_begin(q, s);
	else if (gone < 0)
		log_trouble(-gone, "segment %u: cannot ask whether its writer lives", s->number);
}

void
segments_ended(struct qmgr *q, struct seg *s)
{
	commit(q, segment_end, .segment = s->number, .offset = s->filed);
	log_begin(LOG_SEALED);
	log_u64(LOGK_SEGMENT, s->number);
	log_u64(LOGK_OFFSET, s->filed);
	log_end();
}

/* ---- freeing ---- */

struct free_call {
	struct job job;
	struct qmgr *q;
	uint32_t number;
	int error;
};

static void
free_run(struct job *job)
{
	struct free_call *c = (struct free_call *)job;
	char name[SPOOL_NAME];

	spool_segment_name(c->number, name);
	c->error = unlinkat(c->q->dirfd, name, 0) != 0 && errno != ENOENT ? -errno : 0;
}

static void
free_done(struct job *job)
{
	struct free_call *c = (struct free_call *)job;
	struct qmgr *q = c->q;
	struct seg *s = seg_find(&q->segtab, c->number);

	assert(s != NULL && s->busy);
	s->busy = false;
	if (c->error != 0)
		log_trouble(-c->error, "segment %u is freed but its file stays", c->number);
	log_begin(LOG_SEGMENT_FREED);
	log_u64(LOGK_SEGMENT, s->number);
	log_end();
	dispatch_forget(q, s);
	seg_free(&q->segtab, s);
	free(c);
}

static void
free_begin(struct qmgr *q, struct seg *s)
{
	struct free_call *c = xcalloc(1, sizeof *c);

	s->busy = true;
	*c = (struct free_call){
		.job = { .run = free_run, .done = free_done }, .q = q, .number = s->number
	};
	qmgr_offload(q, &c->job);
}

static void
tell_filed(struct qmgr *q, struct seg *s)
{
	if (s->ack_lsn != 0 && s->ack_lsn <= q->journal.durable) {
		s->acked = s->ack_filed;
		s->ack_lsn = 0;
		if (q->tell_filed != NULL)
			q->tell_filed(q, s);
	}
	if (s->ack_lsn == 0 && s->filed > s->acked) {
		s->ack_filed = s->filed;
		s->ack_lsn = q->journal.lsn;
	}
}

/* Order (rule 19): results durable, then SEGMENT_FREED durable, then the file goes. */
void
segments_sweep(struct qmgr *q)
{
	uint32_t cursor = 0;
	struct seg *s;

	while ((s = segtab_next(&q->segtab, &cursor)) != NULL) {
		tell_filed(q, s);
		if (s->busy || s->listed || s->live > 0 || s->compacting ||
		    s->done_lsn > q->journal.durable)
			continue;
		if (s->state == SEG_ENDED)
			seg_drop(q, s);
		else if (s->state == SEG_FREED)
			free_begin(q, s);
	}
}

void
segments_slow(struct qmgr *q)
{
	uint32_t cursor = 0;
	struct seg *s;

	while ((s = segtab_next(&q->segtab, &cursor)) != NULL) {
		if (s->state == SEG_LIVE && (!s->writer_linked || s->superseded))
			segments_look(q, s);
		if ((s->state == SEG_LIVE || s->state == SEG_ENDING) && seg_unfiled(s) > 0)
			intake_wake(q, s); /* after an error of pread */
	}
}
