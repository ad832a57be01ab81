/* SPDX-License-Identifier: ISC */
#ifndef LOGD_TRACE_H
#define LOGD_TRACE_H

#include "ipc/ctl.h"

/*
 * trace ID: the whole story of one message in the order of time: all lines with its id, and those
 * of the session that brought it in. The log files are read in pieces between the loop's turns: the
 * newest, and those that rotation left beside it (angarium.log.1 to .9). Beyond 10,000 lines the
 * rest is counted in a last line,
 * {"event":"missed","count":N}.
 */
void trace_start(struct ctl_call *c, int log_dirfd, struct slice args);

#endif
