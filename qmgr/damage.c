/* SPDX-License-Identifier: ISC */
#include "qmgr/damage.h"

#include "base/die.h"
#include "base/log.h"
#include "qmgr/intake.h"
#include "qmgr/large.h"
#include "qmgr/segments.h"
#include "qmgr/state.h"
#include "spool/large.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 256 * 1024 };

struct damage_call {
	struct job job;
	struct qmgr *q;
	uint32_t number;
	int fd, error;
	bool known; /* it was set aside before */
	uint64_t offset, length, id;
	const char *why;
};

static int
copy(const struct damage_call *c, int to)
{
	char *piece = xmalloc(PIECE);
	uint64_t at = 0;
	int error = 0;

	while (at < c->length && error == 0) {
		uint64_t want = c->length - at < PIECE ? c->length - at : PIECE;
		ssize_t n = pread(c->fd, piece, want, (off_t)(c->offset + at));

		/* the file is shorter, or the disk gives no more: what there is must do */
		if (n <= 0) {
			break;
		}
		if (write(to, piece, (size_t)n) != n)
			error = errno != 0 ? -errno : -ENOSPC;
		at += (uint64_t)n;
	}
	free(piece);
	return error;
}

static int
note(const struct damage_call *c, int dir, const char *name)
{
	char path[96], text[512];
	int n, fd, error;

	snprintf(path, sizeof path, "%s.txt", name);
	n = snprintf(text, sizeof text,
	    "segment: %u\noffset: %llu\nlength: %llu\nid: %llu\nreason: %s\n", c->number,
	    (unsigned long long)c->offset, (unsigned long long)c->length, (unsigned long long)c->id,
	    c->why);
	fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	error = write(fd, text, (size_t)n) != n || fdatasync(fd) != 0 ? -errno : 0;
	close(fd);
	return error;
}

/* The note is the last that is made. */
static bool
is_noted(int dir, const char *name)
{
	struct stat st;
	char path[96];

	snprintf(path, sizeof path, "%s.txt", name);
	return fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
damage_run(struct job *job)
{
	struct damage_call *c = (struct damage_call *)job;
	int dir = openat(c->q->dirfd, SPOOL_DAMAGED, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
	char name[64], path[96];

	if (dir < 0) {
		c->error = -errno;
		return;
	}
	snprintf(name, sizeof name, "%010u-%010llx", c->number, (unsigned long long)c->offset);
	snprintf(path, sizeof path, "%s.bin", name);
	c->known = is_noted(dir, name);
	fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	c->error = fd < 0 ? -errno : copy(c, fd);
	if (c->error == 0 && fdatasync(fd) != 0)
		c->error = -errno;
	if (fd >= 0)
		close(fd);
	if (c->error == 0)
		c->error = note(c, dir, name);
	if (c->error == 0 && fsync(dir) != 0)
		c->error = -errno;
	close(dir);
}

static void
damage_done(struct job *job)
{
	struct damage_call *c = (struct damage_call *)job;
	struct qmgr *q = c->q;
	struct seg *s = seg_find(&q->segtab, c->number);

	assert(s != NULL && s->busy);
	s->busy = false;
	if (c->error != 0) {
		/* Nothing is passed over before its copy is safe: tried again by the slow timer. */
		log_trouble(-c->error, "segment %u: damage cannot be set aside", c->number);
		free(c);
		return;
	}
	log_begin(LOG_DAMAGED);
	if (c->id != 0)
		log_id(c->id);
	log_u64(LOGK_SEGMENT, c->number);
	log_u64(LOGK_OFFSET, c->offset);
	log_u64(LOGK_SIZE, c->length);
	log_z(LOGK_REASON, c->why);
	log_end();
	commit(q, damaged, .segment = c->number, .offset = c->offset, .length = c->length,
	    .id = c->id, .reason = slice_z(c->why));
	free(c);
	intake_wake(q, s);
}

void
damage_set_aside(
    struct qmgr *q, struct seg *s, uint64_t offset, uint64_t length, uint64_t id, const char *why)
{
	struct damage_call *c = xcalloc(1, sizeof *c);

	assert(!s->busy);
	s->busy = true;
	*c = (struct damage_call){ .job = { .run = damage_run, .done = damage_done },
		.q = q,
		.number = s->number,
		.fd = s->fd,
		.offset = offset,
		.length = length,
		.id = id,
		.why = why };
	qmgr_offload(q, &c->job);
}

/* ---- a record that was filed and cannot be delivered ---- */

struct look_call {
	struct damage_call copy; /* first */
	struct look_call *next;
	uint64_t seed;
	int found;
};

static int
look_at_body(struct look_call *c, const struct record_large *large)
{
	int fd = large_open(c->copy.q->dirfd, large->number), error;

	c->copy.why = "its body in large/ is gone";
	if (fd == -ENOENT)
		return -EBADMSG;
	if (fd < 0)
		return fd;
	error = large_verify(fd, large, &c->copy.why);
	close(fd);
	return error;
}

static void
look_run(struct job *job)
{
	struct look_call *c = (struct look_call *)job;
	struct buf bytes = { 0 };
	struct record r;

	c->found = scan_record(
	    c->copy.fd, c->copy.number, c->copy.offset, c->seed, true, &bytes, &r, &c->copy.why);
	buf_fini(&bytes);
	if (c->found == 0 && r.large.number != 0)
		c->found = look_at_body(c, &r.large);
	if (c->found == -EBADMSG)
		damage_run(job);
}

static void
look_done(struct job *job)
{
	struct look_call *c = (struct look_call *)job;
	struct qmgr *q = c->copy.q;
	struct message *m = message_find(&q->messages, c->copy.id);
	struct look_call **at = &q->looks;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	close(c->copy.fd);
	if (c->found != -EBADMSG || c->copy.error != 0) {
		log_trouble(c->found < 0 ? -c->found : -c->copy.error,
		    "segment %u: a record said to be damaged at %llu is kept queued",
		    c->copy.number, (unsigned long long)c->copy.offset);
		free(c);
		return;
	}
	/* A worker says so for each recipient, and again for those that it was given meanwhile. */
	if (!c->copy.known) {
		log_begin(LOG_DAMAGED);
		log_id(c->copy.id);
		log_u64(LOGK_SEGMENT, c->copy.number);
		log_u64(LOGK_OFFSET, c->copy.offset);
		log_z(LOGK_REASON, c->copy.why);
		log_end();
		q->damaged_ranges++;
	}
	large_keep(q, c->copy.id);
	for (unsigned i = 0; m != NULL && i < m->nrcpt; i++) {
		const struct recipient *r = &message_rcpts(m)[i];

		if (r->state != SPOOL_QUEUED)
			continue;
		commit(q, result, .id = c->copy.id, .rcpt = i, .attempt = r->attempts + 1U,
		    .result = SPOOL_RESULT_DAMAGED, .reply = slice_z(c->copy.why));
		m = message_find(&q->messages, c->copy.id);
	}
	free(c);
}

void
damage_look(struct qmgr *q, const struct message *m)
{
	const struct seg *s = seg_at(&q->segtab, m->seg);
	struct look_call *c;
	int fd;

	for (c = q->looks; c != NULL; c = c->next)
		if (c->copy.id == m->id)
			return;
	/* the segment may be freed while the thread reads */
	fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0) {
		log_trouble(
		    errno, "segment %u: a record said to be damaged is not looked at", s->number);
		return;
	}
	c = xcalloc(1, sizeof *c);
	c->copy = (struct damage_call){ .job = { .run = look_run, .done = look_done },
		.q = q,
		.number = s->number,
		.fd = fd,
		.offset = message_offset(m),
		.length = message_bytes(m),
		.id = m->id };
	c->seed = s->seed;
	c->next = q->looks;
	q->looks = c;
	qmgr_offload(q, &c->copy.job);
}
