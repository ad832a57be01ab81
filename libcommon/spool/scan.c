/* SPDX-License-Identifier: ISC */
#include "spool/scan.h"

#include "base/die.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { WINDOW = 64 << 10, PIECE = 256 << 10 };

void
scan_init(struct scan *s, int fd, const struct segment *seg, uint64_t from, uint64_t durable,
    uint64_t limit)
{
	*s = (struct scan){
		.fd = fd,
		.segment = seg->number,
		.seed = seg->seed,
		.at = from < SEGMENT_HEADER ? SEGMENT_HEADER : from,
		.durable = durable,
		.limit = limit < durable ? durable : limit,
	};
}

void
scan_fini(struct scan *s)
{
	buf_fini(&s->window);
	record_verifier_free(s->verifier);
	s->verifier = NULL;
}

/* All of n bytes at `at`, or as many as the file has: their count, or -errno. */
static ssize_t
read_at(int fd, char *to, size_t n, uint64_t at)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = pread(fd, to + done, n - done, (off_t)(at + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

/*
 * Makes *out the bytes at `at`, at least `need` of them where the file and the limit allow, and
 * whatever more the window holds. 0 or -errno.
 */
static int
window_get(struct scan *s, uint64_t at, uint64_t need, struct slice *out)
{
	uint64_t left = s->limit - at;
	ssize_t got;

	if (need > left)
		need = left;
	if (at < s->window_at || at - s->window_at > s->window.n ||
	    s->window.n - (at - s->window_at) < need) {
		uint64_t want = need > WINDOW ? need : WINDOW;

		if (want > left)
			want = left;
		s->window.n = 0;
		s->window_at = at;
		got = read_at(s->fd, buf_room(&s->window, want), want, at);
		if (got < 0)
			return (int)got;
		s->window.n = (size_t)got;
	}
	*out = slice_from(slice_buf(&s->window), at - s->window_at);
	if (out->n > left)
		out->n = left;
	return 0;
}

/* Body and tail of a record that is larger than the window: its front stays where it is. */
static int
verify_long(struct scan *s, uint64_t at, const struct record *r)
{
	uint64_t from = r->body_at;
	char *piece = xmalloc(PIECE);
	ssize_t got = 1;

	if (s->verifier == NULL)
		s->verifier = record_verifier_new();
	record_verifier_start(s->verifier, r, s->seed);
	while (from < r->total && got > 0) {
		uint64_t want = r->total - from < PIECE ? r->total - from : PIECE;

		got = read_at(s->fd, piece, want, at + from);
		if (got > 0)
			record_verifier_feed(s->verifier, piece, (size_t)got);
		from += got > 0 ? (uint64_t)got : 0;
	}
	free(piece);
	if (got < 0)
		return (int)got;
	return record_verifier_end(s->verifier);
}

/* 1: a record stands at `at`; 0: none, *why; -errno. */
static int
record_at(struct scan *s, uint64_t at, struct record *r, const char **why)
{
	uint64_t need = RECORD_HEADER;
	enum record_status status;
	struct slice bytes;
	int error;

	do {
		error = window_get(s, at, need, &bytes);
		if (error != 0)
			return error;
		*why = "is cut short";
		if (bytes.n < need)
			return 0;
		status = record_parse(bytes, s->segment, at, s->seed, r);
		need = r->need;
	} while (status == RECORD_SHORT);
	*why = r->why;
	if (status == RECORD_BAD)
		return 0;
	*why = "is cut short";
	if (r->total > s->limit - at)
		return 0;
	if (!s->verify_bodies && at + r->total <= s->durable)
		return 1;
	*why = "body fails its checksum";
	return r->body.p != NULL ? record_body_verify(r, bytes, s->seed) : verify_long(s, at, r);
}

static enum scan_got
failed(struct scan_item *item, int error)
{
	item->error = error;
	return SCAN_ERROR;
}

/*
 * From a damaged place to the next one where a record verifies, or to the durable offset. Beyond
 * that, without such a record, it is the tail.
 */
static enum scan_got
damage(struct scan *s, struct scan_item *item)
{
	const char *ignored;
	uint64_t at = (s->at / SPOOL_ALIGN + 1) * SPOOL_ALIGN, end = s->durable;
	int got = 0;

	item->doubtful = s->at >= s->durable;
	if (item->doubtful)
		end = s->limit;
	for (; at < end; at += SPOOL_ALIGN) {
		got = record_at(s, at, &item->record, &ignored);
		if (got < 0)
			return failed(item, got);
		if (got > 0)
			break;
	}
	if (at > end)
		at = end;
	item->length = at - s->at;
	if (item->doubtful && got == 0)
		return SCAN_TAIL;
	s->at = at;
	return SCAN_DAMAGE;
}

enum scan_got
scan_next(struct scan *s, struct scan_item *item)
{
	int got;

	item->error = 0;
	item->why = NULL;
	item->doubtful = false;
	item->offset = s->at;
	item->length = 0;
	if (s->at >= s->limit)
		return SCAN_END;
	got = record_at(s, s->at, &item->record, &item->why);
	if (got < 0)
		return failed(item, got);
	if (got > 0) {
		item->length = item->record.total;
		s->at += item->length;
		return SCAN_RECORD;
	}
	return damage(s, item);
}

int
scan_segment(int fd, struct segment *out, const char **why)
{
	char header[SEGMENT_HEADER];
	ssize_t got = read_at(fd, header, sizeof header, 0);

	*why = NULL;
	if (got < 0)
		return (int)got;
	return segment_decode(slice_of(header, (size_t)got), out, why);
}

/* Bytes of the file from `at` on, at least `need` of them: 0, -EBADMSG where it is shorter, -errno.
 */
static int
bytes_get(int fd, uint64_t at, uint64_t need, struct buf *bytes)
{
	uint64_t want = need < 4096 ? 4096 : need; /* the usual front, in one read */
	ssize_t got;

	if (bytes->n >= need)
		return 0;
	bytes->n = 0;
	got = read_at(fd, buf_room(bytes, want), want, at);
	if (got < 0)
		return (int)got;
	bytes->n = (size_t)got;
	return bytes->n < need ? -EBADMSG : 0;
}

int
scan_record(int fd, uint32_t segment, uint64_t offset, uint64_t seed, bool whole, struct buf *bytes,
    struct record *out, const char **why)
{
	uint64_t need = RECORD_HEADER;
	enum record_status status;
	int error;

	buf_reset(bytes);
	do {
		*why = "is cut short";
		error = bytes_get(fd, offset, need, bytes);
		if (error != 0)
			return error;
		status = record_parse(slice_buf(bytes), segment, offset, seed, out);
		need = status == RECORD_OK && whole ? out->total : out->need;
		*why = out->why;
		if (status == RECORD_BAD)
			return -EBADMSG;
	} while (bytes->n < need);
	*why = "body fails its checksum";
	if (whole && !record_body_verify(out, slice_buf(bytes), seed))
		return -EBADMSG;
	*why = NULL;
	return 0;
}
