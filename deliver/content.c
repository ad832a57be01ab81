/* SPDX-License-Identifier: ISC */
#include "deliver/content.h"

#include "base/die.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define LOADED_MAX (UINT64_C(64) << 20)

struct loader {
	struct offload *threads;
	uint64_t held;
	struct delivery *first, **last; /* wait for room */
};

struct loader *
loader_new(struct loop *l)
{
	struct loader *ld = xcalloc(1, sizeof *ld);

	ld->threads = offload_new(l, 1);
	ld->last = &ld->first;
	return ld;
}

void
loader_free(struct loader *ld)
{
	if (ld == NULL)
		return;
	offload_free(ld->threads);
	free(ld);
}

static bool
read_all(struct delivery *d)
{
	char *to = buf_room(&d->bytes, d->length);
	uint64_t done = 0;

	while (done < d->length) {
		ssize_t n =
		    pread(d->segment->fd, to + done, d->length - done, (off_t)(d->offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (uint64_t)n;
	}
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

/* In the thread for large ones: touches nothing but the delivery. */
static void
load(struct delivery *d)
{
	struct slice all;

	if (!read_all(d)) {
		d->damage = "the record cannot be read";
		return;
	}
	all = slice_buf(&d->bytes);
	if (record_parse(all, d->segment->number, d->offset, d->segment->seed, &d->record) !=
		RECORD_OK ||
	    d->record.total != d->length || d->record.id != d->id)
		d->damage = "the record does not verify";
	else if (!record_body_verify(&d->record, all, d->segment->seed))
		d->damage = "the body does not verify";
	else if (envelope_message(d->record.envelope, &d->envelope) != 0 ||
		 !fits_a_line(d->envelope.sender) || !fits_a_line(d->envelope.envid) ||
		 !find_rcpts(d))
		d->damage = "the envelope does not fit the job";
	else if (content_make(&d->content, d->record.head, d->record.body, d->record.flags,
		     d->envelope.fields, &d->arena) != 0)
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
	if (d->length <= CONTENT_AT_ONCE) {
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
	buf_fini(&d->bytes);
	arena_reset(&d->arena);
	while (ld->first != NULL && (ld->held == 0 || ld->held + ld->first->length <= LOADED_MAX)) {
		struct delivery *next = ld->first;

		ld->first = next->next;
		if (ld->first == NULL)
			ld->last = &ld->first;
		start(ld, next);
	}
}
