/* SPDX-License-Identifier: ISC */
#include "commit/stream.h"

#include "base/die.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { SPARES = 1, DROPS_AT_ONCE = 64 };

struct stream {
	struct job job;
	struct streams *all;
	int fd;
	uint32_t number;
	uint64_t bytes;	 /* put so far */
	struct buf next; /* filled by the loop */
	void (*ready)(void *arg);
	void *arg;
	bool finish, finished, gone, under_way;
	/* The thread's, while under_way: */
	struct buf piece;
	struct large_hash *hash;
	uint64_t floor_bytes, unsynced;
	bool sync; /* this is the last piece */
	int err;
	const char *call;
};

/* A file given up, until qmgr has heard it. */
struct drop {
	struct drop *next;
	uint32_t number;
};

struct streams {
	const struct writer_io *io;
	const struct streams_ops *ops;
	void *arg;
	struct {
		int fd;
		uint32_t number;
		uint64_t floor_bytes;
	} spare;
	unsigned nspare, asked, open, ndrops;
	bool up;
	struct drop *drops;
	uint64_t written, failures;
};

struct streams *
streams_new(const struct writer_io *io, const struct streams_ops *ops, void *arg)
{
	struct streams *st = xcalloc(1, sizeof *st);

	st->io = io;
	st->ops = ops;
	st->arg = arg;
	return st;
}

void
streams_free(struct streams *st)
{
	struct drop *d;

	if (st == NULL)
		return;
	if (st->nspare > 0)
		st->io->close(st->spare.fd);
	while ((d = st->drops) != NULL) {
		st->drops = d->next;
		free(d);
	}
	free(st);
}

/*
 * qmgr
 */

static void
ask(struct streams *st)
{
	unsigned have = st->nspare + st->asked;

	if (st->up && have < SPARES && st->open < STREAM_OPEN_MAX &&
	    st->ops->want(st->arg, SPARES - have))
		st->asked += SPARES - have;
}

bool
streams_given(struct streams *st, const struct msg_large *m, int fd)
{
	if (fd < 0 || st->asked == 0 || st->nspare == SPARES || m->large == 0)
		return false;
	st->asked--;
	st->nspare++;
	st->spare.fd = fd;
	st->spare.number = m->large;
	st->spare.floor_bytes = m->floor_bytes;
	return true;
}

bool
streams_dropped(struct streams *st, const struct msg_large_dropped *m)
{
	for (struct drop **at = &st->drops; *at != NULL; at = &(*at)->next) {
		struct drop *d = *at;

		if (d->number != m->large)
			continue;
		*at = d->next;
		free(d);
		st->ndrops--;
		break;
	}
	return true; /* repeated until acknowledged, so it may be acknowledged twice */
}

void
streams_refused(struct streams *st)
{
	st->asked = 0;
}

void
streams_tick(struct streams *st)
{
	unsigned n = 0;

	for (const struct drop *d = st->drops; d != NULL && st->up && n < DROPS_AT_ONCE;
	     d = d->next)
		n += st->ops->drop(st->arg, d->number);
	ask(st);
}

void
streams_up(struct streams *st)
{
	st->up = true;
	streams_tick(st);
}

void
streams_down(struct streams *st)
{
	st->up = false;
	st->asked = 0;
}

/*
 * The thread
 */

static int
failed(struct stream *s, const char *call)
{
	s->call = call;
	return errno == 0 ? -EIO : -errno;
}

/* Rule 11: there must be room for the piece above the floor. */
static int
write_piece(struct stream *s)
{
	const struct writer_io *io = s->all->io;
	struct iovec iov = { s->piece.p, s->piece.n };
	uint64_t room;
	ssize_t n;

	if (s->piece.n == 0)
		return 0;
	if (io->free_bytes(s->fd, &room) != 0)
		return failed(s, "fstatfs");
	s->call = "floor";
	if (room < s->floor_bytes || room - s->floor_bytes < s->piece.n)
		return -ENOSPC;
	do
		n = io->writev(s->fd, &iov, 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return failed(s, "writev");
	s->call = "writev";
	if ((size_t)n != s->piece.n)
		return -ENOSPC; /* a short write is a failure like any other (rule 8) */
	large_hash_feed(s->hash, s->piece.p, s->piece.n);
	s->unsynced += s->piece.n;
	return 0;
}

static void
piece_run(struct job *j)
{
	struct stream *s = (struct stream *)j; /* its first member */

	s->err = write_piece(s);
	if (s->err != 0 || (!s->sync && s->unsynced < STREAM_SYNC_BYTES))
		return;
	s->unsynced = 0;
	if (s->all->io->fdatasync(s->fd) != 0)
		s->err = failed(s, "fdatasync");
}

/*
 * The loop
 */

static void
destroy(struct stream *s)
{
	struct streams *st = s->all;

	if (s->fd >= 0)
		st->io->close(s->fd);
	large_hash_free(s->hash);
	buf_fini(&s->next);
	buf_fini(&s->piece);
	st->open--;
	free(s);
}

static void
give_up(struct stream *s)
{
	struct streams *st = s->all;
	struct drop *d = xmalloc(sizeof *d);

	st->io->close(s->fd);
	s->fd = -1;
	*d = (struct drop){ .next = st->drops, .number = s->number };
	st->drops = d;
	st->ndrops++;
	if (st->up)
		st->ops->drop(st->arg, d->number);
}

static void piece_done(struct job *j);

/* What the loop filled becomes the thread's. */
static void
submit(struct stream *s)
{
	struct buf filled = s->next;

	s->next = s->piece;
	buf_reset(&s->next);
	if (s->next.cap > 2 * STREAM_PIECE_BYTES)
		buf_fini(&s->next);
	s->piece = filled;
	s->sync = s->finish;
	s->under_way = true;
	s->job = (struct job){ .run = piece_run, .done = piece_done };
	s->all->ops->submit(s->all->arg, &s->job);
}

static void
go_on(struct stream *s)
{
	if (s->under_way || s->finished || s->err != 0)
		return;
	if (s->finish || s->next.n >= STREAM_PIECE_BYTES)
		submit(s);
}

static void
piece_done(struct job *j)
{
	struct stream *s = (struct stream *)j;

	s->under_way = false;
	if (s->err == 0)
		s->all->written += s->piece.n;
	if (s->gone) {
		give_up(s);
		destroy(s);
		return;
	}
	if (s->err != 0) {
		s->all->failures++;
		log_trouble(-s->err, "large/%u: %s: given up", s->number, s->call);
		s->finished = true;
		buf_fini(&s->next);
	} else if (s->sync)
		s->finished = true;
	go_on(s);
	s->ready(s->arg);
}

struct stream *
stream_open(struct streams *st, uint64_t floor_bytes, void (*ready)(void *arg), void *arg)
{
	struct stream *s;

	if (st->nspare == 0) {
		ask(st);
		return NULL;
	}
	s = xcalloc(1, sizeof *s);
	*s = (struct stream){ .all = st,
		.fd = st->spare.fd,
		.number = st->spare.number,
		.hash = large_hash_new(st->spare.number),
		.floor_bytes =
		    floor_bytes > st->spare.floor_bytes ? floor_bytes : st->spare.floor_bytes,
		.ready = ready,
		.arg = arg };
	st->nspare--;
	st->open++;
	ask(st);
	return s;
}

void
stream_put(struct stream *s, struct slice bytes)
{
	assert(!s->finish);
	s->bytes += bytes.n;
	if (stream_error(s) == 0)
		buf_slice(&s->next, bytes);
	go_on(s);
}

bool
stream_is_full(const struct stream *s)
{
	return s->under_way && s->next.n >= STREAM_PIECE_BYTES;
}

void
stream_finish(struct stream *s)
{
	s->finish = true;
	go_on(s);
}

bool
stream_is_finished(const struct stream *s)
{
	return s->finished;
}

/* While a thread works on it, its word is not out yet. */
int
stream_error(const struct stream *s)
{
	return s->under_way ? 0 : s->err;
}

uint64_t
stream_bytes(const struct stream *s)
{
	return s->bytes;
}

struct record_large
stream_large(const struct stream *s)
{
	assert(s->finished && s->err == 0 && !s->under_way);
	return (struct record_large){
		.number = s->number, .bytes = s->bytes, .hash = large_hash_now(s->hash)
	};
}

void
stream_settle(struct stream *s)
{
	assert(s->finished && s->err == 0 && !s->under_way);
	destroy(s);
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	s->gone = true;
	if (s->under_way)
		return;
	give_up(s);
	destroy(s);
}

void
streams_look(const struct streams *st, struct streams_state *out)
{
	*out = (struct streams_state){ .open = st->open,
		.spare = st->nspare,
		.drops = st->ndrops,
		.written = st->written,
		.failures = st->failures };
}
