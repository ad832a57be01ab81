/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_PICKUP_FLOW_H
#define SMTPD_PICKUP_FLOW_H

#include "io/offload.h"
#include "smtpd/session.h"

#include <sys/stat.h>

/*
 * A large file of the drop folder: read once, in pieces, by a thread; its message goes on into
 * large/ as one does that comes by SMTP. What it counts and hashes stands at its end, so only then
 * is it known whether it was whole; before that its letter is nobody's.
 */
enum { PICKUP_WHOLE_BYTES = 512 << 10 }; /* smaller files are read at once */

/* One of them: a letter ready for the writer; why the file is refused, constant text; or neither:
 * later. */
typedef void pickup_flow_done_fn(void *arg, struct letter *l, const char *why);

struct pickup_flow;
/* Takes fd, which stands at the file's beginning. conf is referenced. done() comes from the loop. */
struct pickup_flow *pickup_flow_begin(struct offload *threads, struct session_world *world,
    const struct conf *conf, int fd, const struct stat *st, pickup_flow_done_fn *done, void *arg);

#endif
