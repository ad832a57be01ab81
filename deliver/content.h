/* SPDX-License-Identifier: ISC */
#ifndef DELIVER_CONTENT_H
#define DELIVER_CONTENT_H

#include "deliver/job.h"

/*
 * The message of a job, read from its segment and verified whole. Up to 256 KiB at once, larger
 * ones in a thread; at most LOADED_MAX bytes are held at a time, more waits in line.
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
/* Gives the memory back: the results need it no more. */
void loader_unload(struct loader *ld, struct delivery *d);

#endif
