/* SPDX-License-Identifier: ISC */
#include "spool/journal_file.h"

#include "base/die.h"
#include "spool/le.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 20 };

static int
zeros_write(int fd)
{
	char *zeros = xcalloc(1, CHUNK);
	int error = 0;

	for (off_t at = 0; at < JOURNAL_FILE_BYTES && error == 0; at += CHUNK) {
		ssize_t n = pwrite(fd, zeros, CHUNK, at);

		if (n != CHUNK)
			error = n < 0 ? -errno : -ENOSPC;
	}
	free(zeros);
	if (error == 0 && fsync(fd) != 0)
		error = -errno;
	return error;
}

int
journal_file_make(int dirfd, uint32_t file)
{
	char name[SPOOL_NAME];
	int fd, error;

	spool_journal_name(file, name);
	fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	error = zeros_write(fd);
	if (error == 0)
		error = spool_folder_sync(dirfd, SPOOL_STATE);
	if (error == 0)
		return fd;
	close(fd);
	unlinkat(dirfd, name, 0);
	return error;
}

int
journal_file_recycle(int dirfd, uint32_t old, uint32_t file)
{
	char from[SPOOL_NAME], to[SPOOL_NAME];
	int fd, error;

	spool_journal_name(old, from);
	spool_journal_name(file, to);
	fd = openat(dirfd, from, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	error = renameat2(dirfd, from, dirfd, to, RENAME_NOREPLACE) != 0 ? -errno : 0;
	if (error == 0)
		error = spool_folder_sync(dirfd, SPOOL_STATE);
	if (error == 0)
		return fd;
	close(fd);
	return error;
}

/* A file read from the front, record by record. */
struct cursor {
	int fd;
	struct buf window; /* bytes of the file from window_at on */
	uint64_t window_at, at;
	bool eof;
};

/* Reads on until the window holds `need` bytes from c->at, or the file ends. 0 or -errno. */
static int
cursor_fill(struct cursor *c, uint64_t need)
{
	struct slice held = slice_from(slice_buf(&c->window), c->at - c->window_at);

	if (held.n >= need || c->eof)
		return 0;
	buf_drop(&c->window, c->window.n - held.n);
	c->window_at = c->at;
	while (c->window.n < need && !c->eof) {
		size_t want = need - c->window.n > CHUNK ? need - c->window.n : CHUNK;
		ssize_t got = pread(
		    c->fd, buf_room(&c->window, want), want, (off_t)(c->window_at + c->window.n));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			c->eof = true;
		c->window.n += (size_t)got;
	}
	return 0;
}

/* The record at c->at: *status as journal_next() says, SHORT at the end of the file made END. */
static int
cursor_next(struct cursor *c, uint64_t seed, uint64_t seq, struct journal_rec *r,
    enum journal_status *status, const char **why)
{
	uint64_t need = JOURNAL_HEADER;

	for (;;) {
		int error = cursor_fill(c, need);
		struct slice rest;

		if (error != 0)
			return error;
		rest = slice_from(slice_buf(&c->window), c->at - c->window_at);
		*status = journal_next(&rest, seed, seq, r, why);
		r->offset = c->at;
		if (*status != JOURNAL_SHORT)
			return 0;
		if (c->eof) {
			*status = JOURNAL_END;
			return 0;
		}
		need = r->size;
	}
}

/*
 * Past a damaged place: the next one where a later record verifies, if there is one. The sequence
 * is looked at first: bytes that are none would have a hash of megabytes taken at each step.
 */
static int
cursor_resync(struct cursor *c, const struct journal_scan *s, uint64_t seed, bool *found,
    struct journal_rec *r)
{
	enum journal_status status;
	const char *why;
	int error;

	*found = false;
	for (;;) {
		struct slice rest;

		c->at += 8;
		error = cursor_fill(c, JOURNAL_HEADER);
		rest = slice_from(slice_buf(&c->window), c->at - c->window_at);
		if (error != 0 || rest.n < JOURNAL_HEADER)
			return error;
		r->seq = le_u64(rest.p + 16);
		if (r->seq <= s->next_seq || r->seq >= s->before_seq)
			continue;
		error = cursor_next(c, seed, r->seq, r, &status, &why);
		if (error != 0)
			return error;
		if (status != JOURNAL_END)
			break;
	}
	*found = true;
	return 0;
}

static int
first_check(const struct journal_scan *s, const struct journal_rec *r, const char **why)
{
	*why = "does not begin with its FILE_START";
	if (r->kind != JOURNAL_KIND_FILE_START || r->file_start.file != s->file ||
	    memcmp(r->file_start.spool_id.b, s->spool_id, SPOOL_ID) != 0)
		return -EBADMSG;
	*why = "is of a later version of the spool format";
	if (r->file_start.version == 0 || r->file_start.version > SPOOL_VERSION)
		return -ENOTSUP;
	*why = NULL;
	return 0;
}

static int
gap_pass(struct cursor *c, struct journal_scan *s, uint64_t seed, bool *found)
{
	uint64_t at = c->at;
	struct journal_rec r;
	int error = cursor_resync(c, s, seed, found, &r);

	if (error != 0 || !*found)
		return error;
	error = s->gap(s->ctx, at, s->next_seq, r.seq);
	s->next_seq = r.seq;
	return error;
}

/* One record on. 1: go on; 0: the end; else the error. */
static int
scan_step(struct cursor *c, struct journal_scan *s, uint64_t seed)
{
	enum journal_status status;
	struct journal_rec r;
	bool found = false;
	int error;

	error = cursor_next(c, seed, s->next_seq, &r, &status, &s->why);
	if (error != 0)
		return error;
	if (status == JOURNAL_END) {
		if (s->gap == NULL || s->first_seq == 0 || s->next_seq >= s->before_seq)
			return 0;
		error = gap_pass(c, s, seed, &found);
		return error != 0 ? error : found;
	}
	if (s->before_seq != 0 && r.seq >= s->before_seq)
		return 0;
	if (status == JOURNAL_BAD)
		return journal_kind_word((uint16_t)r.kind) == NULL ? -ENOTSUP : -EBADMSG;
	if (s->first_seq == 0) {
		error = first_check(s, &r, &s->why);
		if (error != 0)
			return error;
		s->first_seq = r.seq;
	}
	c->at += r.size;
	s->end = c->at;
	s->next_seq = r.seq + 1;
	error = status == JOURNAL_OK && s->each != NULL ? s->each(s->ctx, &r) : 0;
	return error != 0 ? error : 1;
}

int
journal_file_scan(int fd, struct journal_scan *s)
{
	struct cursor c = { .fd = fd };
	uint64_t seed = journal_seed(s->spool_id, s->file);
	int got;

	s->end = s->first_seq = s->next_seq = 0;
	s->why = NULL;
	do
		got = scan_step(&c, s, seed);
	while (got == 1);
	buf_fini(&c.window);
	return got;
}

int
journal_file_start(
    int fd, const uint8_t spool_id[static SPOOL_ID], uint32_t file, struct journal_rec *out)
{
	struct journal_scan s = { .file = file };
	struct buf bytes = { 0 };
	const char *why;
	int error;

	memcpy(s.spool_id, spool_id, SPOOL_ID);
	error = journal_file_read(fd, spool_id, file, 0, &bytes, out);
	buf_fini(&bytes); /* FILE_START has no slices */
	if (error != 0)
		return error == -EBADMSG ? -ENODATA : error;
	return first_check(&s, out, &why);
}

int
journal_file_read(int fd, const uint8_t spool_id[static SPOOL_ID], uint32_t file, uint64_t offset,
    struct buf *bytes, struct journal_rec *out)
{
	size_t need = 1024; /* most records, in one read */
	enum journal_status status;
	const char *why;

	*out = (struct journal_rec){ .offset = offset };
	do {
		struct slice rest;
		ssize_t got;

		buf_reset(bytes);
		got = pread(fd, buf_room(bytes, need), need, (off_t)offset);

		if (got < 0)
			return -errno;
		bytes->n = (size_t)got;
		rest = slice_buf(bytes);
		status = journal_next(&rest, journal_seed(spool_id, file), 0, out, &why);
		if (status == JOURNAL_SHORT && (bytes->n < need || out->size <= need))
			return -EBADMSG;
		need = out->size;
	} while (status == JOURNAL_SHORT);
	return status == JOURNAL_OK ? 0 : -EBADMSG;
}

/* Replay: what is known of each file before the first record is read. */
struct file {
	uint32_t number;
	bool valid;
	uint64_t first_seq, before_seq;
	uint32_t oldest;
};

static int
file_open(int dirfd, uint32_t number)
{
	char name[SPOOL_NAME];
	int fd;

	spool_journal_name(number, name);
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static int
file_look(int dirfd, struct journal_replay *r, struct file *f)
{
	struct journal_rec start;
	int fd, error;

	r->at = f->number;
	r->why = "cannot be read";
	fd = file_open(dirfd, f->number);
	if (fd < 0)
		return fd;
	if (r->resume && fdatasync(fd) != 0) {
		error = -errno;
		close(fd);
		r->why = "cannot be synced";
		return error;
	}
	/*
	 * After a failed sync, of ours or of one before us, memory has what the disk has not:
	 * nothing of it may count, the word on the oldest file needed least of all.
	 */
	if (r->resume)
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	error = journal_file_start(fd, r->spool_id, f->number, &start);
	close(fd);
	if (error == -ENODATA)
		return 0;
	if (error == -ENOTSUP)
		r->why = "is of a later version of the spool format";
	if (error != 0)
		return error;
	f->valid = true;
	f->first_seq = start.seq;
	f->oldest = start.file_start.oldest;
	return 0;
}

static int
on_oldest(void *ctx, const struct journal_rec *rec)
{
	uint32_t *oldest = ctx;

	if (rec->kind == JOURNAL_KIND_OLDEST && rec->oldest.oldest > *oldest)
		*oldest = rec->oldest.oldest;
	return 0;
}

/* The newest file's word on what is needed: files below may have been taken over already. */
static int
oldest_find(int dirfd, struct journal_replay *r, const struct file *newest)
{
	struct journal_scan s = { .file = newest->number, .each = on_oldest, .ctx = &r->oldest };
	int fd, error;

	r->oldest = newest->oldest;
	r->at = newest->number;
	memcpy(s.spool_id, r->spool_id, SPOOL_ID);
	fd = file_open(dirfd, newest->number);
	if (fd < 0)
		return fd;
	error = journal_file_scan(fd, &s);
	close(fd);
	r->why = s.why;
	return error;
}

struct passing {
	struct journal_replay *r;
	uint32_t file;
};

static int
pass_each(void *ctx, const struct journal_rec *rec)
{
	struct passing *p = ctx;

	return p->r->each(p->r->ctx, p->file, rec);
}

static int
pass_gap(void *ctx, uint64_t offset, uint64_t expected, uint64_t found)
{
	struct passing *p = ctx;

	(void)offset;
	return p->r->gap(p->r->ctx, p->file, expected, found);
}

static int
file_replay(int dirfd, struct journal_replay *r, const struct file *f)
{
	struct passing p = { r, f->number };
	struct journal_scan s = { .file = f->number,
		.before_seq = f->before_seq,
		.each = pass_each,
		.gap = r->gap != NULL && f->before_seq != 0 ? pass_gap : NULL,
		.ctx = &p };
	int fd, error = 0;

	r->at = f->number;
	r->why = "records before this file are missing";
	if (r->next_seq != 0 && r->next_seq != f->first_seq)
		error = r->gap == NULL ? -EBADMSG
				       : r->gap(r->ctx, f->number, r->next_seq, f->first_seq);
	if (error != 0)
		return error;
	memcpy(s.spool_id, r->spool_id, SPOOL_ID);
	r->why = "cannot be read";
	fd = file_open(dirfd, f->number);
	if (fd < 0)
		return fd;
	error = journal_file_scan(fd, &s);
	close(fd);
	r->why = s.why;
	if (s.next_seq != 0)
		r->next_seq = s.next_seq;
	return error;
}

/* The disk reads it while the one before is being decoded. */
static void
file_ahead(int dirfd, uint32_t number)
{
	int fd = file_open(dirfd, number);

	if (fd < 0)
		return;
	posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
	close(fd);
}

/* From the oldest needed on; f[count - 1] is the newest valid one. */
static int
files_replay(int dirfd, struct journal_replay *r, struct file *f, size_t count)
{
	uint64_t before = 0;
	size_t first = 0;
	int error = 0;

	for (size_t i = count; i-- > 0;) {
		f[i].before_seq = before;
		if (f[i].valid && (before == 0 || f[i].first_seq < before))
			before = f[i].first_seq;
	}
	for (; first < count && f[first].number < r->oldest; first++)
		if (r->resume)
			buf_put(&r->stale, &f[first].number, sizeof f[first].number);
	if (first == count || f[first].number != r->oldest || !f[first].valid) {
		r->at = r->oldest;
		r->why = "is missing: recovery needs it";
		return -ENOENT;
	}
	for (size_t i = first; i < count && error == 0; i++)
		if (f[i].valid && (f[i].before_seq == 0 || f[i].first_seq < f[i].before_seq)) {
			if (i + 1 < count)
				file_ahead(dirfd, f[i + 1].number);
			error = file_replay(dirfd, r, &f[i]);
			if (r->resume && error == 0)
				buf_put(&r->files, &f[i].number, sizeof f[i].number);
		}
	return error;
}

int
journal_file_replay(int dirfd, struct journal_replay *r)
{
	uint32_t *numbers = NULL;
	struct file *f;
	size_t count = 0, valid = 0;
	int error;

	r->newest = r->oldest = r->at = 0;
	r->next_seq = 0;
	r->why = NULL;
	error = spool_folder_list(dirfd, SPOOL_STATE, spool_journal_number, &numbers, &count);
	if (error != 0)
		return error;
	f = xcalloc(count + 1, sizeof *f);
	for (size_t i = 0; i < count && error == 0; i++) {
		f[i].number = r->newest = numbers[i];
		error = file_look(dirfd, r, &f[i]);
		if (f[i].valid)
			valid = i + 1;
	}
	if (error == 0 && valid == 0)
		error = -ENODATA;
	if (error == 0)
		error = oldest_find(dirfd, r, &f[valid - 1]);
	if (error == 0)
		error = files_replay(dirfd, r, f, valid);
	if (error == 0)
		r->why = NULL;
	free(numbers);
	free(f);
	return error;
}
