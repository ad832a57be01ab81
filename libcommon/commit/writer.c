/* SPDX-License-Identifier: ISC */
#include "commit/writer.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/id.h"
#include "base/log.h"
#include "commit/stream.h"
#include "spool/segment.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/statfs.h>
#include <unistd.h>

enum {
	LEASES_MAX = 4, /* the one in use, the spare of rule 8, the next one, one on its way */
	BATCH_RECORDS = 1024,
	BATCH_BYTES = 64 << 20, /* where a batch ends, unless its first record is larger */
	ROOM_KEEP_MS = 1000,
};

/* From here on a segment is left even for the spare one of rule 8: what waits then still finds
 * room. */
#define SEGMENT_LEAVE_BYTES (SEGMENT_MAX_BYTES / 2)

struct commit_token {
	uint64_t durable; /* of the segment, by a sync that returned 0 */
};

struct lease {
	int fd;
	uint32_t segment;
	uint64_t seed, soft_bytes, floor_bytes;
	uint64_t end;	/* all before it is durable */
	uint64_t filed; /* heard of qmgr */
	uint64_t rung;
	struct id_source ids;
};

/* A segment given up, until qmgr has journalled that it was. fd: -1 once the seal was sent. */
struct seal {
	struct seal *next;
	uint32_t segment;
	uint64_t end;
	int fd;
};

struct batch {
	struct job job;
	struct writer *writer;
	struct letter *letters;
	unsigned n;
	bool under_way;
	/* The thread's, from submit to done: */
	int fd, err;
	uint32_t segment;
	uint64_t seed, from, end;
	const char *call; /* which one failed */
	struct iovec iov[IOV_MAX];
};

struct writer {
	const struct writer_io *io;
	const struct writer_ops *ops;
	void *arg;
	struct lease leases[LEASES_MAX]; /* [0] is written to */
	unsigned nleases, asked;
	bool leaving; /* ids come from leases[1]; [0] is given up when its last letter is written */
	bool up;
	struct seal *seals;
	struct letter *waiting, **waiting_end;
	unsigned nwaiting;
	uint64_t free_bytes, free_at_ms; /* free_at_ms 0: not known */
	uint64_t batches, records, failures;
	struct batch batch;
};

static int
system_free_bytes(int fd, uint64_t *bytes)
{
	struct statfs s;

	if (fstatfs(fd, &s) != 0)
		return -1;
	*bytes = (uint64_t)s.f_bavail * (uint64_t)s.f_bsize;
	return 0;
}

const struct writer_io writer_io_system = {
	.writev = writev,
	.fdatasync = fdatasync,
	.free_bytes = system_free_bytes,
	.close = close,
};

static void batch_run(struct job *j);
static void batch_done(struct job *j);

struct writer *
writer_new(const struct writer_io *io, const struct writer_ops *ops, void *arg)
{
	struct writer *w = xcalloc(1, sizeof *w);

	w->io = io;
	w->ops = ops;
	w->arg = arg;
	w->waiting_end = &w->waiting;
	w->batch.writer = w;
	w->batch.job = (struct job){ .run = batch_run, .done = batch_done };
	return w;
}

void
writer_free(struct writer *w)
{
	struct letter *l;
	struct seal *s;

	if (w == NULL)
		return;
	assert(!w->batch.under_way);
	while ((l = w->waiting) != NULL) {
		w->waiting = l->next;
		letter_free(l);
	}
	while ((s = w->seals) != NULL) {
		w->seals = s->next;
		if (s->fd >= 0)
			w->io->close(s->fd);
		free(s);
	}
	for (unsigned i = 0; i < w->nleases; i++)
		w->io->close(w->leases[i].fd);
	free(w);
}

/*
 * Leases
 */

/* One in use and one spare; past the soft mark a third, to go on with. */
static unsigned
leases_wished(const struct writer *w)
{
	return w->nleases > 0 && w->leases[0].end >= w->leases[0].soft_bytes ? 3 : 2;
}

static void
ask_for_leases(struct writer *w)
{
	unsigned have = w->nleases + w->asked, wish = leases_wished(w);

	if (w->up && have < wish && w->ops->want(w->arg, wish - have))
		w->asked += wish - have;
}

/* The descriptor is closed only when the seal is on its way: a segment whose writer is gone is read
 * to its end. */
static void
send_seal(struct writer *w, struct seal *s)
{
	if (!w->up || !w->ops->seal(w->arg, s->segment, s->end) || s->fd < 0)
		return;
	w->io->close(s->fd);
	s->fd = -1;
}

static void
give_up_lease(struct writer *w)
{
	struct lease *l = &w->leases[0];
	struct seal *s = xmalloc(sizeof *s), **end;

	*s = (struct seal){ .segment = l->segment, .end = l->end, .fd = l->fd };
	for (end = &w->seals; *end != NULL; end = &(*end)->next)
		;
	*end = s;
	w->nleases--;
	memmove(w->leases, w->leases + 1, w->nleases * sizeof *w->leases);
	w->leaving = false;
	w->free_at_ms = 0;
	send_seal(w, s);
	ask_for_leases(w);
}

bool
writer_lease(struct writer *w, const struct msg_lease *m, int fd, uint8_t class)
{
	struct lease *l;

	if (fd < 0 || w->asked == 0 || w->nleases == LEASES_MAX || m->class != class ||
	    m->version != SPOOL_VERSION || m->start < SEGMENT_HEADER ||
	    m->start % SPOOL_ALIGN != 0 || m->start >= SEGMENT_MAX_BYTES)
		return false;
	w->asked--;
	l = &w->leases[w->nleases++];
	*l = (struct lease){ .fd = fd,
		.segment = m->segment,
		.seed = m->seed,
		.soft_bytes = m->soft_bytes,
		.floor_bytes = m->floor_bytes,
		.end = m->start,
		.filed = m->start };
	id_source_init(&l->ids, m->segment, m->floor_ms);
	ask_for_leases(w);
	if (w->ops->leased != NULL)
		w->ops->leased(w->arg);
	return true;
}

bool
writer_filed(struct writer *w, const struct msg_filed *m)
{
	for (unsigned i = 0; i < w->nleases; i++) {
		struct lease *l = &w->leases[i];

		if (l->segment != m->segment)
			continue;
		if (m->filed > l->end)
			return false;
		if (m->filed > l->filed)
			l->filed = m->filed;
		return true;
	}
	return true; /* of a segment given up meanwhile */
}

bool
writer_sealed(struct writer *w, const struct msg_sealed *m)
{
	for (struct seal **p = &w->seals; *p != NULL; p = &(*p)->next) {
		struct seal *s = *p;

		if (s->segment != m->segment)
			continue;
		if (s->fd >= 0)
			return false; /* it was never told */
		*p = s->next;
		free(s);
		return true;
	}
	return true; /* said twice: the seal is repeated until it is acknowledged */
}

void
writer_refused(struct writer *w)
{
	w->asked = 0;
}

static void
ring(struct writer *w, struct lease *l)
{
	if (w->up && w->ops->ring(w->arg, l->segment, l->end))
		l->rung = l->end;
}

void
writer_tick(struct writer *w)
{
	for (struct seal *s = w->seals; s != NULL; s = s->next)
		send_seal(w, s);
	for (unsigned i = 0; i < w->nleases; i++)
		if (w->leases[i].filed < w->leases[i].end)
			ring(w, &w->leases[i]);
}

void
writer_up(struct writer *w)
{
	w->up = true;
	writer_tick(w);
	ask_for_leases(w);
}

void
writer_down(struct writer *w)
{
	w->up = false;
	w->asked = 0;
}

/*
 * Room and ids
 */

/* Rule 11: each writer asks on its own descriptor. The answer holds for a second: the floor has
 * room for that. */
static bool
know_free_bytes(struct writer *w)
{
	uint64_t now = clock_mono_ms();

	if (w->free_at_ms != 0 && now - w->free_at_ms < ROOM_KEEP_MS)
		return true;
	if (w->io->free_bytes(w->leases[0].fd, &w->free_bytes) != 0) {
		log_trouble(errno, "free space of the spool cannot be told");
		w->free_at_ms = 0;
		return false;
	}
	w->free_at_ms = now == 0 ? 1 : now;
	return true;
}

enum writer_room
writer_room(struct writer *w, uint64_t bytes, uint64_t floor_bytes)
{
	uint64_t floor = floor_bytes;

	if (w->nleases == 0)
		return WRITER_NO_LEASE;
	if (!know_free_bytes(w))
		return WRITER_NO_SPACE;
	if (w->leases[0].floor_bytes > floor)
		floor = w->leases[0].floor_bytes;
	if (w->free_bytes < floor || w->free_bytes - floor < bytes)
		return WRITER_NO_SPACE;
	/* Rule 9: past the soft mark and without a new lease it goes on, up to the end of all
	 * segments. */
	if (w->nleases == 1 && bytes > SEGMENT_MAX_BYTES - w->leases[0].end)
		return WRITER_NO_SPACE;
	return WRITER_ROOM;
}

/*
 * Where the next letter goes. Its id names the lease, so it must be written into that segment and
 * no other: letters are in the order of their leases, and a segment is left between two of them.
 * Past the soft mark that is when a third lease has come.
 */
static struct lease *
next_lease(struct writer *w)
{
	const struct lease *l = &w->leases[0];

	if (w->nleases == 0)
		return NULL;
	if ((w->nleases >= 3 && l->end >= l->soft_bytes) ||
	    (w->nleases >= 2 && l->end >= SEGMENT_LEAVE_BYTES))
		w->leaving = true;
	return &w->leases[w->leaving];
}

uint64_t
writer_next_id(struct writer *w, uint64_t wall_ms)
{
	struct lease *l = next_lease(w);

	return l == NULL ? 0 : id_next(&l->ids, wall_ms);
}

/*
 * Batches
 */

static void
answer(struct writer *w, struct letter *l, enum letter_fate fate, const struct commit_token *proof)
{
	if (fate == LETTER_DURABLE && w->ops->durable != NULL)
		w->ops->durable(w->arg, l);
	if (l->done != NULL)
		l->done(l, fate, proof);
	if (fate == LETTER_DURABLE && l->stream != NULL) {
		stream_settle(l->stream);
		l->stream = NULL;
	}
	letter_free(l);
}

static void
answer_all(
    struct writer *w, struct letter *l, enum letter_fate fate, const struct commit_token *proof)
{
	struct letter *next;

	for (; l != NULL; l = next) {
		next = l->next;
		answer(w, l, fate, proof);
	}
}

static uint64_t
room_of(const struct letter *l)
{
	return RECORD_HEADER + (uint64_t)l->envelope.n + l->content.n + RECORD_END + SPOOL_ALIGN;
}

static struct letter *
waiting_take(struct writer *w)
{
	struct letter *l = w->waiting;

	w->waiting = l->next;
	if (w->waiting == NULL)
		w->waiting_end = &w->waiting;
	w->nwaiting--;
	l->next = NULL;
	return l;
}

static bool
fits(const struct writer *w, const struct letter *l, uint64_t bytes)
{
	return w->nleases > 0 && l->segment == w->leases[0].segment &&
	       bytes + l->room <= SEGMENT_MAX_BYTES - w->leases[0].end;
}

/* Letters whose segment was given up under them, or has no room left, are refused. */
static bool
have_segment(struct writer *w)
{
	struct letter *l;
	bool full;

	while (w->waiting != NULL) {
		if (w->leaving && w->waiting->segment == w->leases[1].segment)
			give_up_lease(w);
		if (fits(w, w->waiting, 0))
			return true;
		l = waiting_take(w);
		full = w->nleases > 0 && l->segment == w->leases[0].segment;
		answer(w, l, full ? LETTER_NO_SPACE : LETTER_TROUBLE, NULL);
	}
	return false;
}

/* What has come since the last batch began is the next one; at once when none is under way. */
void
writer_turn(struct writer *w)
{
	struct batch *b = &w->batch;
	struct letter **end = &b->letters;
	uint64_t bytes = 0;

	if (b->under_way || !have_segment(w))
		return;
	b->n = 0;
	b->letters = NULL;
	while (w->waiting != NULL && b->n < BATCH_RECORDS && fits(w, w->waiting, bytes) &&
	       (b->n == 0 || bytes + w->waiting->room <= BATCH_BYTES)) {
		struct letter *l = waiting_take(w);

		bytes += l->room;
		*end = l;
		end = &l->next;
		b->n++;
	}
	b->fd = w->leases[0].fd;
	b->segment = w->leases[0].segment;
	b->seed = w->leases[0].seed;
	b->from = w->leases[0].end;
	b->under_way = true;
	w->ops->submit(w->arg, &b->job);
}

/* In the thread. A short write is a failure like any other (rule 8): what stands there is cut by
 * the seal. */
static int
write_pieces(struct batch *b, int n)
{
	ssize_t wrote;
	size_t want = 0;

	for (int i = 0; i < n; i++)
		want += b->iov[i].iov_len;
	do
		wrote = b->writer->io->writev(b->fd, b->iov, n);
	while (wrote < 0 && errno == EINTR);
	b->call = "writev";
	if (wrote < 0)
		return errno == 0 ? -EIO : -errno;
	return (size_t)wrote == want ? 0 : -ENOSPC;
}

static int
write_letters(struct batch *b)
{
	int err, n = 0;

	b->end = b->from;
	for (struct letter *l = b->letters; l != NULL; l = l->next) {
		struct slice content = slice_buf(&l->content);
		struct record_parts parts = { .envelope = slice_buf(&l->envelope),
			.head = slice_head(content, l->head_bytes),
			.body = slice_from(content, l->head_bytes),
			.flags = l->flags,
			.nrcpt = l->nrcpt,
			.id = l->id,
			.arrival_ms = l->arrival_ms };

		if (l->stream != NULL)
			parts.large = stream_large(l->stream);
		if (n + RECORD_IOV > IOV_MAX) {
			err = write_pieces(b, n);
			if (err != 0)
				return err;
			n = 0;
		}
		b->call = "record";
		err = record_frame_build(&l->frame, &parts, b->seed);
		if (err != 0)
			return err;
		record_seal(l->frame.header, b->segment, b->end, b->seed);
		record_frame_iov(&l->frame, &parts, b->iov + n);
		n += RECORD_IOV;
		b->end += l->frame.total;
	}
	return write_pieces(b, n);
}

static void
batch_run(struct job *j)
{
	struct batch *b = (struct batch *)((char *)j - offsetof(struct batch, job));

	b->err = write_letters(b);
	if (b->err != 0)
		return;
	b->call = "fdatasync";
	if (b->writer->io->fdatasync(b->fd) != 0)
		b->err = errno == 0 ? -EIO : -errno;
}

static void
tell_failure(const struct batch *b)
{
	log_begin(LOG_SYNC_FAILED);
	log_u64(LOGK_SEGMENT, b->segment);
	log_u64(LOGK_OFFSET, b->from);
	log_u64(LOGK_COUNT, b->n);
	log_z(LOGK_PHASE, b->call);
	log_z(LOGK_ERROR, strerrordesc_np(-b->err));
	log_end();
}

static void
batch_done(struct job *j)
{
	struct batch *b = (struct batch *)((char *)j - offsetof(struct batch, job));
	struct writer *w = b->writer;
	struct letter *letters = b->letters;
	struct lease *l = &w->leases[0];

	assert(b->under_way && w->nleases > 0 && l->segment == b->segment && l->end == b->from);
	b->under_way = false;
	b->letters = NULL;
	if (b->err != 0) {
		/* Rule 8: this segment ends where it was good, and is neither written nor synced
		 * again. */
		w->failures++;
		tell_failure(b);
		give_up_lease(w);
		answer_all(w, letters,
		    b->err == -ENOSPC || b->err == -EDQUOT ? LETTER_NO_SPACE : LETTER_TROUBLE,
		    NULL);
	} else {
		struct commit_token proof = { .durable = b->end };

		w->batches++;
		w->records += b->n;
		l->end = b->end;
		ring(w, l);
		ask_for_leases(w);
		answer_all(w, letters, LETTER_DURABLE, &proof);
	}
}

void
writer_submit(struct writer *w, struct letter *l)
{
	const struct lease *lease = next_lease(w);

	assert(l->id != 0 && l->nrcpt > 0 && l->head_bytes <= l->content.n);
	/* Rule 10: a body in large/ is durable before its record enters a batch. */
	assert(
	    l->stream == NULL || (l->content.n == l->head_bytes && stream_is_finished(l->stream)));
	l->room = room_of(l);
	l->segment = lease == NULL ? 0 : lease->segment;
	l->next = NULL;
	*w->waiting_end = l;
	w->waiting_end = &l->next;
	w->nwaiting++;
}

void
writer_look(const struct writer *w, struct writer_state *out)
{
	*out = (struct writer_state){ .leases = w->nleases,
		.waiting = w->nwaiting,
		.batches = w->batches,
		.records = w->records,
		.failures = w->failures };
	if (w->nleases > 0) {
		out->segment = w->leases[0].segment;
		out->end = w->leases[0].end;
	}
	for (const struct seal *s = w->seals; s != NULL; s = s->next)
		out->seals_open++;
}
