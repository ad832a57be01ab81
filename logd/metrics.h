/* SPDX-License-Identifier: ISC */
#ifndef LOGD_METRICS_H
#define LOGD_METRICS_H

#include "base/log.h"
#include "base/metrics.h"

#include <sys/types.h>

/*
 * What the processes count (base/metrics.h), and what their events tell by their number. Each
 * process is known by service and instance: its link may come again. What an ended process had
 * counted stays in the sums; gauges are those of processes whose link stands.
 *
 * A service speaks for itself only: rows of another are passed over, and so are numbers that this
 * release does not know.
 */
struct metrics;
struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

void metrics_up(struct metrics *m, enum service s, uint64_t instance); /* its link stands */
/* Of one that is up. False: `rows` are none; the peer is to be cut off. */
bool metrics_take(struct metrics *m, enum service s, uint64_t instance, struct slice rows);
void metrics_down(struct metrics *m, enum service s, uint64_t instance);
void metrics_event(struct metrics *m, enum service s, const struct log_record *r);

/* Lines of name, labels ("" or name="value") and value, in the text format of Prometheus 0.0.4. */
void metrics_type(struct buf *out, const char *name, const char *type, const char *help);
void metrics_line(struct buf *out, const char *name, const char *labels, uint64_t value);
void metrics_put(const struct metrics *m, struct buf *out);

#endif
