/* SPDX-License-Identifier: ISC */
#ifndef DELIVER_FEED_H
#define DELIVER_FEED_H

#include "deliver/content.h"

/*
 * A body that is not held in memory, piece by piece: a thread reads one, the loop takes it. It has
 * a descriptor of its own, so it may outlive the job it was begun for.
 */
enum { FEED_PIECE_BYTES = 128 << 10 };

struct feed;
/* ready() is called from the loop, once for each feed_next(). NULL: no descriptor can be had. */
struct feed *feed_new(
    struct loader *ld, const struct delivery *d, void (*ready)(void *arg), void *arg);
/* Reads the next piece. Not while another is being read. */
void feed_next(struct feed *f);
bool feed_is_reading(const struct feed *f);
/* The piece that was read; *error: 0, or a negative errno (a body that became shorter is -EIO). */
struct slice feed_piece(const struct feed *f, int *error);
bool feed_at_end(const struct feed *f); /* all of it has been read */
void feed_free(struct feed *f);		/* any time; NULL allowed */

#endif
