/* SPDX-License-Identifier: ISC */
#include "deliver/content.h"

#include "base/die.h"
#include "spool/large.h"
#include "spool/scan.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define LOADED_MAX (UINT64_C(64) << 20)
/* Buffers are used again: fresh ones cost more than what is read into them. */
enum { SPARES = 64, SPARE_BYTES = 64 * 1024 };

struct loader {
	struct offload *threads, *readers;
	uint64_t held;
	unsigned nspare;
	struct buf spare[SPARES];
	struct delivery *first, **last; /* wait for room */
};

struct loader *
loader_new(struct loop *l)
{
	struct loader *ld = xcalloc(1, sizeof *ld);

	ld->threads = offload_new(l, 1);
	ld->readers = offload_new(l, 1);
	ld->last = &ld->first;
	return ld;
}

void
loader_free(struct loader *ld)
{
	if (ld == NULL)
		return;
	offload_free(ld->threads);
	offload_free(ld->readers);
	while (ld->nspare > 0)
		buf_fini(&ld->spare[--ld->nspare]);
	free(ld);
}

void
loader_submit(struct loader *ld, struct job *j)
{
	offload_submit(ld->readers, j);
}

int
content_body_read(const struct content_body *b, uint64_t at, char *to, size_t n)
{
	size_t done = 0;

	if (at > b->bytes || n > b->bytes - at)
		return -EIO;
	while (done < n) {
		ssize_t got = pread(b->fd, to + done, n - done, (off_t)(b->from + at + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		done += (size_t)got;
	}
	return 0;
}

static bool
read_all(struct delivery *d)
{
	const struct content_body all = {
		.fd = d->segment->fd, .from = d->offset, .bytes = d->length
	};

	if (content_body_read(&all, 0, buf_room(&d->bytes, d->length), d->length) != 0)
		return false;
	d->bytes.n = d->length;
	return true;
}

/* Text that stands in a command: nothing in it may end the line (the disk is no more trusted than a
 * peer). */
static bool
fits_a_line(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 127)
			return false;
	return true;
}

/* Each recipient of the job gets what the envelope says of it. */
static bool
find_rcpts(struct delivery *d)
{
	struct envelope_iter it;
	struct envelope_rcpt r;
	uint32_t i = 0;

	envelope_rcpts(&d->envelope, &it);
	for (; i < d->nrcpts; i++) {
		struct job_rcpt *to = &d->rcpts[i];

		if (!to->given) {
			do
				if (envelope_rcpt_next(&it, &r) != 1)
					return false;
			while (r.number != to->number);
			to->address = r.recipient;
			to->original = r.original;
			to->orcpt = r.orcpt;
			to->notify = r.notify;
		}
		if (!fits_a_line(to->address) || !fits_a_line(to->orcpt) ||
		    !fits_a_line(to->original))
			return false;
	}
	return true;
}

/* The record whole in memory. NULL, or what is damaged. */
static const char *
read_whole(struct delivery *d)
{
	struct slice all;

	if (!read_all(d))
		return "the record cannot be read";
	all = slice_buf(&d->bytes);
	if (record_parse(all, d->segment->number, d->offset, d->segment->seed, &d->record) !=
	    RECORD_OK)
		return "the record does not verify";
	if (!record_body_verify(&d->record, all, d->segment->seed))
		return "the body does not verify";
	return NULL;
}

/* Body and end of a record in a segment, in pieces. */
static bool
verify_rest(struct delivery *d)
{
	const struct record *r = &d->record;
	const struct content_body rest = {
		.fd = d->segment->fd, .from = d->offset + r->body_at, .bytes = r->total - r->body_at
	};
	struct record_verifier *v = record_verifier_new();
	char *piece = xmalloc(LARGE_PIECE_BYTES);
	uint64_t at = 0;
	bool ok = true;

	record_verifier_start(v, r, d->segment->seed);
	while (ok && at < rest.bytes) {
		uint64_t n = rest.bytes - at;

		if (n > LARGE_PIECE_BYTES)
			n = LARGE_PIECE_BYTES;
		ok = content_body_read(&rest, at, piece, n) == 0;
		record_verifier_feed(v, piece, n);
		at += n;
	}
	ok = ok && record_verifier_end(v);
	free(piece);
	record_verifier_free(v);
	return ok;
}

/* The same where the body stays on the disk. */
static const char *
read_front(struct delivery *d)
{
	const struct record *r = &d->record;
	const char *why;

	if (scan_record(d->segment->fd, d->segment->number, d->offset, d->segment->seed, false,
		&d->bytes, &d->record, &why) != 0)
		return "the record does not verify";
	if (!verify_rest(d))
		return "the body does not verify";
	d->body = (struct content_body){
		.fd = d->segment->fd, .from = d->offset + r->body_at, .bytes = r->body_len
	};
	if (r->large.number == 0)
		return NULL;
	if (d->large_fd < 0)
		return "its body in large/ was not handed over";
	d->body = (struct content_body){ .fd = d->large_fd, .bytes = r->large.bytes };
	return large_verify(d->large_fd, &r->large, &why) == 0 ? NULL
	       : why != NULL				       ? why
							       : "the body cannot be read";
}

static int
make_content(struct delivery *d)
{
	const struct record *r = &d->record;
	char first[2];
	size_t n = d->body.bytes < sizeof first ? (size_t)d->body.bytes : sizeof first;
	int error;

	if (d->body.fd < 0)
		return content_make(
		    &d->content, r->head, r->body, r->flags, d->envelope.fields, &d->arena);
	error = content_body_read(&d->body, 0, first, n);
	if (error == 0)
		error = content_make_head(&d->content, r->head, slice_of(first, n), r->flags,
		    d->envelope.fields, &d->arena);
	if (error == 0)
		d->content.bytes += d->body.bytes;
	return error;
}

static bool
goes_apart(const struct delivery *d)
{
	return d->length > CONTENT_AT_ONCE || d->large_fd >= 0;
}

/* In the thread for large ones: touches nothing but the delivery. */
static void
load(struct delivery *d)
{
	d->damage = goes_apart(d) ? read_front(d) : read_whole(d);
	if (d->damage != NULL)
		return;
	if (d->record.total != d->length || d->record.id != d->id)
		d->damage = "the record does not verify";
	else if (d->record.large.number != 0 && d->body.fd < 0)
		d->damage = "its body in large/ was not handed over";
	else if (envelope_message(d->record.envelope, &d->envelope) != 0 ||
		 !fits_a_line(d->envelope.sender) || !fits_a_line(d->envelope.envid) ||
		 !find_rcpts(d))
		d->damage = "the envelope does not fit the job";
	else if (make_content(d) != 0)
		d->damage = "the header edits do not fit the message";
}

static void
load_in_thread(struct job *j)
{
	load((struct delivery *)((char *)j - offsetof(struct delivery, load)));
}

static void
loaded_in_thread(struct job *j)
{
	struct delivery *d = (struct delivery *)((char *)j - offsetof(struct delivery, load));

	d->loading = false;
	d->loaded = true;
	d->loaded_fn(d);
}

static void
start(struct loader *ld, struct delivery *d)
{
	ld->held += d->length;
	if (!goes_apart(d)) {
		if (ld->nspare > 0 && d->bytes.p == NULL)
			d->bytes = ld->spare[--ld->nspare];
		load(d);
		d->loading = false;
		d->loaded = true;
		d->loaded_fn(d);
		return;
	}
	d->load = (struct job){ .run = load_in_thread, .done = loaded_in_thread };
	offload_submit(ld->threads, &d->load);
}

void
loader_load(struct loader *ld, struct delivery *d, void (*done)(struct delivery *))
{
	d->loaded_fn = done;
	if (d->loading)
		return; /* for a connection that has ended since; this one gets it */
	d->loading = true;
	/* One that is larger than all there may be is let through when nothing else is held. */
	if (ld->first == NULL && (ld->held == 0 || ld->held + d->length <= LOADED_MAX)) {
		start(ld, d);
		return;
	}
	d->next = NULL;
	*ld->last = d;
	ld->last = &d->next;
}

void
loader_unload(struct loader *ld, struct delivery *d)
{
	if (!d->loaded)
		return;
	d->loaded = false;
	ld->held -= d->length;
	if (d->bytes.cap > 0 && d->bytes.cap <= SPARE_BYTES && ld->nspare < SPARES) {
		buf_reset(&d->bytes);
		ld->spare[ld->nspare++] = d->bytes;
		d->bytes = (struct buf){ 0 };
	} else
		buf_fini(&d->bytes);
	d->body.fd = -1;
	arena_reset(&d->arena);
	while (ld->first != NULL && (ld->held == 0 || ld->held + ld->first->length <= LOADED_MAX)) {
		struct delivery *next = ld->first;

		ld->first = next->next;
		if (ld->first == NULL)
			ld->last = &ld->first;
		start(ld, next);
	}
}
