/* SPDX-License-Identifier: ISC */
#ifndef IO_OFFLOAD_H
#define IO_OFFLOAD_H

#include "io/loop.h"

/*
 * Threads for what blocks (writes and syncs, scans). A job belongs to the threads between submit
 * and done; what it touches in between nobody else may touch. done() runs in the loop.
 */
struct job {
	void (*run)(struct job *);  /* in a thread: no log, no loop */
	void (*done)(struct job *); /* in the loop */
	struct job *next;
};

struct offload;
struct offload *offload_new(struct loop *l, unsigned threads);
void offload_submit(struct offload *o, struct job *j);
/* Waits for all jobs under way, those that their done() submits too. */
void offload_free(struct offload *o);

#endif
