/* SPDX-License-Identifier: ISC */
#include "deliver/feed.h"

#include "base/die.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct feed {
	struct job job;
	struct loader *loader;
	struct content_body body; /* body.fd is ours */
	uint64_t at;
	size_t n;
	int error;
	bool reading, gone;
	void (*ready)(void *arg);
	void *arg;
	char piece[FEED_PIECE_BYTES];
};

struct feed *
feed_new(struct loader *ld, const struct delivery *d, void (*ready)(void *arg), void *arg)
{
	struct feed *f;
	int fd = fcntl(d->body.fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return NULL;
	f = xmalloc(sizeof *f);
	f->loader = ld;
	f->body = d->body;
	f->body.fd = fd;
	f->at = 0;
	f->n = 0;
	f->error = 0;
	f->reading = f->gone = false;
	f->ready = ready;
	f->arg = arg;
	return f;
}

static void
destroy(struct feed *f)
{
	close(f->body.fd);
	free(f);
}

static void
read_run(struct job *j)
{
	struct feed *f = (struct feed *)j; /* its first member */
	uint64_t left = f->body.bytes - f->at;

	f->n = left < FEED_PIECE_BYTES ? (size_t)left : FEED_PIECE_BYTES;
	f->error = content_body_read(&f->body, f->at, f->piece, f->n);
}

static void
read_done(struct job *j)
{
	struct feed *f = (struct feed *)j;

	f->reading = false;
	if (f->gone) {
		destroy(f);
		return;
	}
	if (f->error == 0)
		f->at += f->n;
	f->ready(f->arg);
}

void
feed_next(struct feed *f)
{
	assert(!f->reading && !f->gone);
	f->reading = true;
	f->job = (struct job){ .run = read_run, .done = read_done };
	loader_submit(f->loader, &f->job);
}

bool
feed_is_reading(const struct feed *f)
{
	return f->reading;
}

struct slice
feed_piece(const struct feed *f, int *error)
{
	assert(!f->reading);
	*error = f->error;
	return slice_of(f->piece, f->error == 0 ? f->n : 0);
}

bool
feed_at_end(const struct feed *f)
{
	return f->at == f->body.bytes;
}

void
feed_free(struct feed *f)
{
	if (f == NULL)
		return;
	f->gone = true;
	if (!f->reading)
		destroy(f);
}
