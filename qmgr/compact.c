/* SPDX-License-Identifier: ISC */
#include "qmgr/compact.h"

#include "base/die.h"
#include "base/log.h"
#include "qmgr/segments.h"
#include "qmgr/state.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	VICTIMS_MAX = 16,
	WALK_SLICE = 4096,
	MOVE_SLICE = 256,
	LIVE_PERCENT = 25,   /* one that lives by less is worth copying at any time */
	WASTE_PERCENT = 160, /* all of them, of what lives: from here on the worst are copied */
	WASTE_LIVE_PERCENT = 80,
	SYNC_BYTES = 4 << 20, /* at once: what else is synced meanwhile does not wait for 64 MiB */
};

enum compact_phase {
	COMPACT_IDLE,
	COMPACT_LEASING,
	COMPACT_WALKING,
	COMPACT_COPYING,
	COMPACT_MOVING
};

struct moving {
	uint64_t id, from, to; /* to: 0: could not be copied */
	uint32_t victim;       /* index */
};

struct compact {
	struct job job;
	struct qmgr *q;
	enum compact_phase phase;
	unsigned nvictims;
	struct {
		uint32_t number;
		int fd;
		uint64_t seed;
	} victim[VICTIMS_MAX];
	uint32_t target;
	uint64_t target_seed;
	int target_fd, error;
	uint32_t cursor;
	struct moving *moving;
	size_t n, room, at;
};

struct compact *
compact_new(void)
{
	return xcalloc(1, sizeof(struct compact));
}

void
compact_free(struct compact *c)
{
	if (c == NULL)
		return;
	if (c->phase > COMPACT_LEASING && c->target_fd >= 0)
		close(c->target_fd);
	free(c->moving);
	free(c);
}

bool
compact_busy(const struct qmgr *q)
{
	return q->compact->phase != COMPACT_IDLE;
}

static void
leave(struct qmgr *q)
{
	struct compact *c = q->compact;

	for (unsigned i = 0; i < c->nvictims; i++) {
		struct seg *s = seg_find(&q->segtab, c->victim[i].number);

		if (s != NULL)
			s->compacting = false;
	}
	free(c->moving);
	*c = (struct compact){ 0 };
}

static void
leased(struct qmgr *q, struct seg *s, uint64_t instance, int fd)
{
	struct compact *c = q->compact;

	(void)instance;
	if (fd < 0) {
		leave(q);
		return;
	}
	c->target = s->number;
	c->target_seed = s->seed;
	c->target_fd = fd;
	c->cursor = 0;
	s->compacting = true; /* not freed for being empty yet */
	c->phase = COMPACT_WALKING;
	qmgr_again(q);
}

static bool
is_ended(const struct seg *s)
{
	return s->state == SEG_ENDED && !s->busy && !s->listed && !s->no_compact &&
	       !s->compacting && s->live > 0;
}

/* How much of it lives, in percent. */
static unsigned
living(const struct seg *s)
{
	return s->filed <= s->live_bytes ? 100 : (unsigned)(s->live_bytes * 100 / s->filed);
}

static int
by_living(const void *a, const void *b)
{
	unsigned x = living(*(struct seg *const *)a), y = living(*(struct seg *const *)b);

	return x < y ? -1 : x > y;
}

/*
 * Those that may be copied, the emptiest first; *wasteful: together they take much more room than
 * what lives in them. A segment of slack: copies need room themselves.
 */
static struct seg **
candidates(struct qmgr *q, uint64_t slack, size_t *n, bool *wasteful)
{
	struct seg **all = xcalloc(q->segtab.count + 1, sizeof *all);
	uint64_t bytes = 0, live = 0;
	uint32_t cursor = 0;
	struct seg *s;

	*n = 0;
	while ((s = segtab_next(&q->segtab, &cursor)) != NULL) {
		if (!is_ended(s))
			continue;
		bytes += s->filed;
		live += s->live_bytes;
		all[(*n)++] = s;
	}
	qsort(all, *n, sizeof(struct seg *), by_living);
	*wasteful = bytes > slack + live / 100 * WASTE_PERCENT;
	return all;
}

void
compact_consider(struct qmgr *q, uint64_t min_bytes)
{
	struct compact *c = q->compact;
	uint64_t bytes = 0;
	uint8_t class = 0;
	struct seg **all;
	size_t n;
	bool wasteful;

	if (c->phase != COMPACT_IDLE || q->arming)
		return;
	all = candidates(q, min_bytes > 0 ? SEGMENT_SOFT_BYTES : 0, &n, &wasteful);
	for (size_t i = 0; i < n && c->nvictims < VICTIMS_MAX; i++) {
		struct seg *s = all[i];
		bool worth = wasteful ? living(s) < WASTE_LIVE_PERCENT
				      : living(s) < LIVE_PERCENT && s->filed >= min_bytes;

		if (!worth || (class != 0 && s->class != class) ||
		    bytes + s->live_bytes > SEGMENT_SOFT_BYTES)
			continue;
		class = s->class;
		bytes += s->live_bytes;
		s->compacting = true;
		c->victim[c->nvictims].number = s->number;
		c->victim[c->nvictims].fd = s->fd;
		c->victim[c->nvictims++].seed = s->seed;
	}
	free(all);
	if (c->nvictims == 0)
		return;
	c->q = q;
	c->phase = COMPACT_LEASING;
	if (!segments_lease_own(q, class, leased))
		leave(q);
}

static void
walk(struct qmgr *q, struct compact *c)
{
	struct message *m;

	for (unsigned n = 0; n < WALK_SLICE; n++) {
		const struct seg *s;
		uint32_t number;

		m = messages_next(&q->messages, &c->cursor);
		if (m == NULL) {
			c->phase = COMPACT_COPYING;
			return;
		}
		s = seg_at(&q->segtab, m->seg);
		if (!s->compacting)
			continue;
		number = s->number;
		for (unsigned i = 0; i < c->nvictims; i++) {
			if (c->victim[i].number != number)
				continue;
			if (c->n == c->room) {
				c->room = c->room == 0 ? 256 : c->room * 2;
				c->moving = xrealloc(c->moving, c->room * sizeof *c->moving);
			}
			c->moving[c->n++] = (struct moving){ m->id, message_offset(m), 0, i };
		}
	}
}

/* In the thread. Verified whole before it is copied, sealed anew for its new place. */
static int
copy_one(struct compact *c, struct moving *mv, uint64_t *end, struct buf *bytes)
{
	struct record r;
	const char *why;
	int error;

	error = scan_record(c->victim[mv->victim].fd, c->victim[mv->victim].number, mv->from,
	    c->victim[mv->victim].seed, true, bytes, &r, &why);
	if (error != 0)
		/* damage stays where it is: the reader finds it there */
		return error == -EBADMSG ? 0 : error;
	record_reseed(bytes->p, r.total, c->target_seed);
	record_seal(bytes->p, c->target, *end, c->target_seed);
	for (size_t at = 0; at < r.total;) {
		ssize_t n = write(c->target_fd, bytes->p + at, r.total - at);

		if (n < 0)
			return -errno;
		at += (size_t)n;
	}
	mv->to = *end;
	*end += r.total;
	return 0;
}

static void
copy_run(struct job *job)
{
	struct compact *c = (struct compact *)job;
	struct buf bytes = { 0 };
	uint64_t end = SEGMENT_HEADER, synced = end;

	c->error = 0;
	for (size_t i = 0; i < c->n && c->error == 0; i++) {
		c->error = copy_one(c, &c->moving[i], &end, &bytes);
		if (c->error != 0 || end - synced < SYNC_BYTES)
			continue;
		if (fdatasync(c->target_fd) != 0)
			c->error = -errno;
		synced = end;
	}
	if (c->error == 0)
		lease_release_rest(c->target_fd);
	if (c->error == 0 && fdatasync(c->target_fd) != 0)
		c->error = -errno;
	close(c->target_fd);
	c->target_fd = -1;
	buf_fini(&bytes);
}

static void
copy_done(struct job *job)
{
	struct compact *c = (struct compact *)job;
	struct qmgr *q = c->q;
	struct seg *s = seg_find(&q->segtab, c->target);

	s->busy = false;
	if (c->error != 0) {
		log_trouble(-c->error, "segments cannot be compacted");
		c->n = 0; /* nothing moved; the copy is freed like any empty segment */
	}
	c->at = 0;
	c->phase = COMPACT_MOVING;
	qmgr_again(q);
}

static void
copy_begin(struct qmgr *q, struct compact *c)
{
	struct seg *s = seg_find(&q->segtab, c->target);

	s->busy = true;
	c->job = (struct job){ .run = copy_run, .done = copy_done };
	qmgr_offload(q, &c->job);
}

static void
move(struct qmgr *q, struct compact *c)
{
	struct seg *target = seg_find(&q->segtab, c->target);

	for (unsigned n = 0; n < MOVE_SLICE && c->at < c->n; n++, c->at++) {
		const struct moving *mv = &c->moving[c->at];
		struct seg *from = seg_find(&q->segtab, c->victim[mv->victim].number);
		const struct message *m = message_find(&q->messages, mv->id);

		if (mv->to == 0) {
			from->no_compact = true;
			continue;
		}
		/* Done or gone meanwhile: the copy is dead too. */
		if (m != NULL && m->seg == from->slot && message_offset(m) == mv->from)
			commit(q, moved, .id = mv->id, .segment = c->target, .offset = mv->to);
	}
	if (c->at < c->n)
		return;
	target->compacting = false;
	segments_ended(q, target);
	leave(q);
}

void
compact_run(struct qmgr *q)
{
	struct compact *c = q->compact;

	switch (c->phase) {
	case COMPACT_IDLE:
	case COMPACT_LEASING:
		return;
	case COMPACT_WALKING:
		walk(q, c);
		if (c->phase == COMPACT_COPYING)
			copy_begin(q, c);
		else
			qmgr_again(q);
		return;
	case COMPACT_COPYING:
		return;
	case COMPACT_MOVING:
		move(q, c);
		qmgr_again(q);
		return;
	}
}
