/* SPDX-License-Identifier: ISC */
#ifndef DELIVER_CONTENT_H
#define DELIVER_CONTENT_H

#include "deliver/job.h"

/*
 * The message of a job, read from its segment and verified whole. Up to 256 KiB at once, into
 * memory. Beyond that, and where the body stands in large/, a thread verifies all of it, and
 * d->body tells where it can be read; in memory is only what goes before it: d->content has the
 * header section and the empty line, but counts the body in `bytes`. At most LOADED_MAX bytes are
 * held at a time, more waits in line.
 */
enum { CONTENT_AT_ONCE = 256 * 1024 };

struct loader;
struct loader *loader_new(struct loop *l);
void loader_free(struct loader *ld);
/*
 * Calls done(d) now or later; then d->loaded, and d->damage tells whether it can be used.
 * Recipients have their addresses then.
 */
void loader_load(struct loader *ld, struct delivery *d, void (*done)(struct delivery *));
/*
 * n bytes of the body from `at` on. It blocks on the disk: call it from a thread, or a child. 0, or
 * a negative errno; -EIO: it is shorter than it was when it was verified.
 */
int content_body_read(const struct content_body *b, uint64_t at, char *to, size_t n);
/* In a thread beside those that verify. */
void loader_submit(struct loader *ld, struct job *j);
/* Gives the memory back: the results need it no more. */
void loader_unload(struct loader *ld, struct delivery *d);

#endif
