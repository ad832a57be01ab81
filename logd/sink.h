/* SPDX-License-Identifier: ISC */
#ifndef LOGD_SINK_H
#define LOGD_SINK_H

#include "base/buf.h"
#include "io/loop.h"

/*
 * A log file in the log folder: lines gather for 20 ms or 16 KiB, then one write. A
 * line that cannot be written is kept (up to 4 MiB, then the oldest are counted as lost) and tried
 * again each second; whole lines only: after a short write the rest follows first, or, where the
 * file was moved away, is counted as lost.
 */
#define SINK_FILE "angarium.log"
#define SINK_MAIL_FILE "mail.log"

struct sink;
/* name: a literal */
struct sink *sink_new(struct loop *l, int log_dirfd, const char *name);
void sink_free(struct sink *s);	      /* writes what waits */
struct buf *sink_buf(struct sink *s); /* to put a line into */
void sink_line_done(struct sink *s, bool urgent);
void sink_reopen(struct sink *s);
void sink_flush(struct sink *s);
uint64_t sink_lines(const struct sink *s);
uint64_t sink_lost(const struct sink *s);
int sink_error(const struct sink *s); /* errno of the last failed write, 0 when it goes well */

#endif
