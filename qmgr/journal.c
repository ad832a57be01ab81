/* SPDX-License-Identifier: ISC */
#include "qmgr/journal.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	LAZY_HOLDS = 2,
	EARLY_PERCENT = 40,
	LAZY_MIN_MS = 20,
	PAUSE_FIRST_MS = 100,
	PAUSE_LAST_MS = 5000,
	BUF_KEEP = 1 << 20
};

static void start(struct journal *j);

static void
on_timer(void *arg)
{
	start(arg);
}

void
journal_init(struct journal *j, int dirfd, const uint8_t id[static SPOOL_ID], struct loop *loop,
    struct offload *writer, struct offload *disk)
{
	*j = (struct journal){ .dirfd = dirfd,
		.loop = loop,
		.writer = writer,
		.disk = disk,
		.hold_ms = 5,
		.want_ms = UINT64_MAX,
		.fd = -1,
		.read_fd = -1 };
	memcpy(j->spool_id, id, SPOOL_ID);
	STAILQ_INIT(&j->pending);
	STAILQ_INIT(&j->group);
	STAILQ_INIT(&j->waits);
	if (loop != NULL)
		j->timer = timer_new(loop, on_timer, j);
}

static void
batches_free(struct batch_list *list)
{
	struct batch *b;

	while ((b = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, next);
		buf_fini(&b->buf);
		free(b);
	}
}

void
journal_fini(struct journal *j)
{
	batches_free(&j->pending);
	batches_free(&j->group);
	if (j->timer != NULL)
		timer_free(j->timer);
	if (j->fd >= 0)
		close(j->fd);
	if (j->read_fd >= 0)
		close(j->read_fd);
	free(j->remap);
	buf_fini(&j->begun);
}

static struct batch *
batch_new(struct journal *j, uint32_t file, uint64_t at, bool fresh)
{
	struct batch *b = xcalloc(1, sizeof *b);

	b->file = file;
	b->at = at;
	b->fresh = fresh;
	STAILQ_INSERT_TAIL(&j->pending, b, next);
	return b;
}

/* An OLDEST that is not durable may be lost with what it counts on: the next file does not speak of it. */
static void
put_file_start(struct journal *j, struct buf *b, uint32_t file)
{
	struct journal_file_start start = { .version = SPOOL_VERSION,
		.file = file,
		.oldest = j->oldest_waits ? j->oldest_gone : j->oldest,
		.clock_ms = j->clock_ms == NULL ? 0 : j->clock_ms(j->clock_arg),
		.wall_ms = clock_wall_ms() };

	memcpy(start.spool_id.b, j->spool_id, SPOOL_ID);
	journal_put_file_start(b, &start);
	j->oldest_said = start.oldest;
}

static struct batch *
next_file(struct journal *j)
{
	struct batch *b = batch_new(j, ++j->last_file, 0, true);

	j->file = b->file;
	if (j->begun.n == 0) /* none holds anything: this is going to be the first */
		j->oldest = j->file;
	put_file_start(j, &b->buf, b->file);
	j->at = b->buf.n;
	return b;
}

/* A file that nobody will read again: it serves again, or goes. */
static void
file_retire(struct journal *j, uint32_t file)
{
	char name[SPOOL_NAME];
	struct stat st;

	spool_journal_name(file, name);
	if (fstatat(j->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return; /* a number that was skipped */
	if (j->nspare < sizeof j->spare / sizeof *j->spare)
		j->spare[j->nspare++] = file;
	else
		unlinkat(j->dirfd, name, 0);
}

void
journal_open(struct journal *j, const struct journal_replay *found)
{
	j->last_file = found->newest;
	j->seq = found->next_seq == 0 ? 1 : found->next_seq;
	buf_put(&j->begun, found->files.p, found->files.n);
	j->oldest = journal_begun_after(j, 0);
	for (size_t at = 0; at < found->stale.n; at += sizeof j->file) {
		uint32_t file;

		memcpy(&file, found->stale.p + at, sizeof file);
		file_retire(j, file);
	}
	next_file(j);
}

struct buf *
journal_buf(struct journal *j)
{
	struct batch *b = STAILQ_LAST(&j->pending, batch, next);

	if (b == NULL)
		b = batch_new(j, j->file, j->at, false);
	return &b->buf;
}

struct journal_place
journal_put(struct journal *j, size_t from)
{
	struct batch *b = STAILQ_LAST(&j->pending, batch, next);
	size_t n = b->buf.n - from;
	struct journal_place place;

	assert(n > 0 && n % 8 == 0);
	if (j->at + n > JOURNAL_FILE_BYTES) {
		struct batch *f = next_file(j);

		buf_put(&f->buf, b->buf.p + from, n);
		b->buf.n = from;
	}
	place = (struct journal_place){ j->file, (uint32_t)j->at };
	j->at += n;
	j->lsn++;
	j->stats.records++;
	j->stats.bytes += n;
	journal_hurry(j, JOURNAL_LAZY);
	return place;
}

void
journal_together(struct journal *j, uint64_t n)
{
	assert(n <= JOURNAL_FILE_BYTES / 2);
	if (j->at + n > JOURNAL_FILE_BYTES)
		next_file(j);
}

void
journal_hurry(struct journal *j, enum journal_haste haste)
{
	uint64_t now = clock_mono_ms(), when = now, lazy;

	switch (haste) {
	case JOURNAL_LAZY:
		if (j->want_ms != UINT64_MAX)
			return;
		lazy = j->hold_ms * LAZY_HOLDS;
		when += lazy > LAZY_MIN_MS ? lazy : LAZY_MIN_MS;
		break;
	case JOURNAL_GROUP:
		/* Not back to back: the hold also counts from the end of the last sync. */
		when += j->hold_ms;
		break;
	case JOURNAL_NOW:
		break;
	}
	if (when < j->want_ms)
		j->want_ms = when;
}

void
journal_after(struct journal *j, struct journal_wait *w, enum journal_haste haste)
{
	w->lsn = j->lsn;
	STAILQ_INSERT_TAIL(&j->waits, w, next);
	journal_hurry(j, haste);
}

void
journal_cancel(struct journal *j, struct journal_wait *w)
{
	STAILQ_REMOVE(&j->waits, w, journal_wait, next);
}

/* A file for this number: one that is no longer needed, or a new one. In the thread. */
static int
file_take(struct journal *j, uint32_t file)
{
	int fd = -1;

	if (j->taken_spare == file) {
		char name[SPOOL_NAME];

		spool_journal_name(file, name);
		fd = openat(j->dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		fd = fd < 0 ? -errno : fd;
	} else if (j->taken_spare != 0) {
		fd = journal_file_recycle(j->dirfd, j->taken_spare, file);
	}
	j->taken_spare = 0;
	if (fd < 0)
		fd = journal_file_make(j->dirfd, file);
	/* Its pages came in large pieces; small writes into those are accounted as megabytes each. */
	if (fd >= 0)
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return fd;
}

static int
write_all(int fd, const char *p, size_t n, uint64_t at)
{
	while (n > 0) {
		ssize_t done = pwrite(fd, p, n, (off_t)at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -ENOSPC;
		p += done;
		n -= (size_t)done;
		at += (uint64_t)done;
	}
	return 0;
}

static int
batch_write(struct journal *j, struct batch *b)
{
	uint64_t seed = journal_seed(j->spool_id, b->file);
	size_t sealed = journal_seal(b->buf.p, b->buf.n, JOURNAL_FILE_BYTES - b->at, seed, &j->seq);

	assert(sealed == b->buf.n);
	if (b->fresh) {
		/* The file before is durable whole before the next one begins. */
		if (j->fd >= 0 && fdatasync(j->fd) != 0)
			return -errno;
		if (j->fd >= 0)
			close(j->fd);
		j->fd = file_take(j, b->file);
		if (j->fd < 0)
			return j->fd;
		j->fd_file = b->file;
	}
	if (j->fd_file != b->file)
		return -EIO; /* its beginning failed */
	return write_all(j->fd, b->buf.p, b->buf.n, b->at);
}

static void
group_write(struct job *job)
{
	struct journal *j = (struct journal *)((char *)job - offsetof(struct journal, job));
	uint64_t seq = j->seq;
	struct batch *b;

	j->error = 0;
	STAILQ_FOREACH(b, &j->group, next)
	{
		j->error = batch_write(j, b);
		if (j->error != 0)
			break;
	}
	if (j->error == 0 && fdatasync(j->fd) != 0)
		j->error = -errno;
	if (j->error == 0)
		return;
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
	j->fd_file = 0;
	j->seq = seq;
}

static void
remap_add(struct journal *j, uint32_t from_file, uint64_t from_at, uint32_t to_file, uint64_t to_at)
{
	j->remap = xrealloc(j->remap, (j->nremap + 1) * sizeof *j->remap);
	j->remap[j->nremap++] =
	    (struct journal_remap){ from_file, (uint32_t)from_at, to_file, (uint32_t)to_at };
}

/* What failed goes to new files, before what has gathered since. Places that were given out are translated. */
static void
group_again(struct journal *j)
{
	struct batch_list again = STAILQ_HEAD_INITIALIZER(again);
	struct batch *b;

	STAILQ_CONCAT(&again, &j->group);
	STAILQ_CONCAT(&again, &j->pending);
	j->file = 0;
	while ((b = STAILQ_FIRST(&again)) != NULL) {
		struct batch *f;
		size_t head = 0;
		uint32_t skip;

		STAILQ_REMOVE_HEAD(&again, next);
		if (b->fresh) { /* its FILE_START names the old number */
			memcpy(&skip, b->buf.p + 8, 4);
			head = (JOURNAL_HEADER + skip + 7U) & ~7U;
		}
		f = STAILQ_LAST(&j->pending, batch, next);
		if (f == NULL || b->fresh || j->at + b->buf.n > JOURNAL_FILE_BYTES)
			f = next_file(j);
		remap_add(j, b->file, b->at + head, j->file, j->at);
		buf_put(&f->buf, b->buf.p + head, b->buf.n - head);
		j->at += b->buf.n - head;
		buf_fini(&b->buf);
		free(b);
	}
}

static void
group_failed(struct journal *j)
{
	j->stats.failures++;
	j->pause_ms = j->failing ? j->pause_ms * 2 : PAUSE_FIRST_MS;
	if (j->pause_ms > PAUSE_LAST_MS)
		j->pause_ms = PAUSE_LAST_MS;
	j->failing = true;
	log_trouble(-j->error, "the journal cannot be written; tried again in a new file");
	group_again(j);
	j->want_ms = clock_mono_ms() + j->pause_ms;
	if (j->timer != NULL)
		timer_set(j->timer, j->pause_ms);
}

static void
call_waits(struct journal *j)
{
	struct journal_wait *w;

	while ((w = STAILQ_FIRST(&j->waits)) != NULL && w->lsn <= j->durable) {
		STAILQ_REMOVE_HEAD(&j->waits, next);
		w->durable(w->arg);
	}
}

static void
group_written(struct job *job)
{
	struct journal *j = (struct journal *)((char *)job - offsetof(struct journal, job));
	const struct batch *b;

	j->writing = false;
	j->last_end_ms = clock_mono_ms();
	if (j->error != 0) {
		group_failed(j);
		return;
	}
	if (j->failing)
		log_note("the journal can be written again");
	j->failing = false;
	j->stats.syncs++;
	STAILQ_FOREACH(b, &j->group, next)
	if (b->fresh)
		buf_put(&j->begun, &b->file, sizeof b->file);
	batches_free(&j->group);
	j->durable = j->group_lsn;
	call_waits(j);
	if (j->after != NULL)
		j->after(j->after_arg);
}

static void
spare_make(struct job *job)
{
	struct journal *j = (struct journal *)((char *)job - offsetof(struct journal, spare_job));

	j->spare_error = journal_file_make(j->dirfd, j->making_file);
	if (j->spare_error >= 0)
		close(j->spare_error);
}

static void
spare_made(struct job *job)
{
	struct journal *j = (struct journal *)((char *)job - offsetof(struct journal, spare_job));

	j->making = false;
	if (j->spare_error >= 0)
		j->spare[j->nspare++] = j->making_file;
}

/* One file is kept ready, so that no group waits for 16 MiB of zeros. */
static void
spare_ahead(struct journal *j)
{
	if (j->nspare > 0 || j->making || j->disk == NULL || j->at < JOURNAL_FILE_BYTES / 4)
		return;
	j->making = true;
	j->making_file = ++j->last_file;
	j->spare_job = (struct job){ .run = spare_make, .done = spare_made };
	offload_submit(j->disk, &j->spare_job);
}

static void
start(struct journal *j)
{
	struct batch *b;

	if (j->writing)
		return;
	if (STAILQ_EMPTY(&j->pending)) { /* all is durable, so nobody has to wait for more */
		j->want_ms = UINT64_MAX;
		call_waits(j);
		if (j->want_ms != UINT64_MAX && j->timer != NULL)
			timer_set(j->timer, 0);
		return;
	}
	j->writing = true;
	j->want_ms = UINT64_MAX;
	j->group_lsn = j->lsn;
	STAILQ_CONCAT(&j->group, &j->pending);
	STAILQ_FOREACH(b, &j->group, next)
	if (b->fresh && j->taken_spare == 0 && j->nspare > 0)
		j->taken_spare = j->spare[--j->nspare];
	j->job = (struct job){ .run = group_write, .done = group_written };
	if (j->writer != NULL) {
		offload_submit(j->writer, &j->job);
		return;
	}
	group_write(&j->job);
	group_written(&j->job);
}

void
journal_commit(struct journal *j)
{
	uint64_t now, due;

	if (j->writing || j->want_ms == UINT64_MAX)
		return;
	if (j->loop == NULL) {
		start(j);
		return;
	}
	spare_ahead(j);
	now = clock_mono_ms();
	due = j->want_ms;
	/* We are awake: what would be due soon need not wake us again. */
	if (due <= now + (j->failing ? 0 : j->hold_ms * EARLY_PERCENT / 100)) {
		start(j);
	} else if (!timer_is_set(j->timer) || j->rings_ms != due) {
		j->rings_ms = due;
		timer_set(j->timer, due - now);
	}
}

static struct journal_place
mapped(const struct journal *j, struct journal_place at)
{
	for (size_t i = 0; i < j->nremap; i++) {
		const struct journal_remap *r = &j->remap[i];

		if (at.file == r->from_file && at.at >= r->from_at) {
			at.at = at.at - r->from_at + r->to_at;
			at.file = r->to_file;
		}
	}
	return at;
}

int
journal_read(struct journal *j, struct journal_place at, struct buf *bytes, struct journal_rec *out)
{
	char name[SPOOL_NAME];
	int error;

	at = mapped(j, at);
	if (j->read_fd < 0 || j->read_file != at.file) {
		if (j->read_fd >= 0)
			close(j->read_fd);
		spool_journal_name(at.file, name);
		j->read_fd = openat(j->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		j->read_file = at.file;
		if (j->read_fd < 0)
			return errno == ENOENT ? -EAGAIN : -errno;
	}
	error = journal_file_read(j->read_fd, j->spool_id, at.file, at.at, bytes, out);
	return error == -EBADMSG && j->durable < j->lsn ? -EAGAIN : error;
}

static void oldest_durable(void *arg);

static void
say_oldest(struct journal *j)
{
	JOURNAL_ADD(j, oldest, &(const struct journal_oldest){ .oldest = j->oldest });
	j->oldest_said = j->oldest;
	j->oldest_wait.durable = oldest_durable;
	j->oldest_wait.arg = j;
	journal_after(j, &j->oldest_wait, JOURNAL_GROUP);
}

/* OLDEST is durable: nobody will read the files before. They serve again, or go. */
static void
oldest_durable(void *arg)
{
	struct journal *j = arg;
	size_t kept = 0;

	/* recovery asks the newest file, and one was begun meanwhile */
	if (j->oldest_said != j->oldest) {
		say_oldest(j);
		return;
	}
	for (uint32_t file = j->oldest_gone; file < j->oldest; file++)
		file_retire(j, file);
	for (size_t i = 0; i < j->nremap; i++)
		if (j->remap[i].to_file >= j->oldest)
			j->remap[kept++] = j->remap[i];
	j->nremap = kept;
	j->oldest_gone = j->oldest;
	j->oldest_waits = false;
}

uint32_t
journal_begun_after(const struct journal *j, uint32_t file)
{
	for (size_t at = 0; at < j->begun.n; at += sizeof file) {
		uint32_t number;

		memcpy(&number, j->begun.p + at, sizeof number);
		if (number > file)
			return number;
	}
	return 0;
}

void
journal_set_oldest(struct journal *j, uint32_t oldest)
{
	size_t before = 0;

	assert(
	    oldest > j->oldest && oldest == journal_begun_after(j, oldest - 1) && !j->oldest_waits);
	while (before < j->begun.n && memcmp(j->begun.p + before, &oldest, sizeof oldest) != 0)
		before += sizeof oldest;
	buf_drop(&j->begun, before);
	j->oldest_gone = j->oldest;
	j->oldest = oldest;
	j->oldest_waits = true;
	say_oldest(j);
}

uint32_t
journal_files(const struct journal *j)
{
	return j->file - j->oldest + 1;
}
