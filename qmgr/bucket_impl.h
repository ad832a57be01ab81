/* SPDX-License-Identifier: ISC */
#ifndef QMGR_BUCKET_IMPL_H
#define QMGR_BUCKET_IMPL_H

#include "qmgr/bucket.h"

/* Shared by bucket.c (who may), bucket_line.c (who waits) and bucket_list.c (what is said of it). */

/* The bucket is looked at again at this time (mono), or is not. */
void bucket_timer_at(struct buckets *all, struct bucket *b, uint64_t until_ms);
void bucket_timer_off(struct buckets *all, struct bucket *b);
/* The queue waits there, by its ticket, which it gets where it has none. */
void bucket_line_enter(struct buckets *all, struct bucket *b, struct queue *queue);
void bucket_line_leave(struct queue *queue); /* wherever it waits */

/* What of a bucket says no; *until_ms: when that ends, 0 where no time does. */
bool bucket_refuses(const struct bucket *b, bool connects, uint64_t now, enum bucket_limit *which,
    uint64_t *until_ms);

#endif
