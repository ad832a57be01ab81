/* SPDX-License-Identifier: ISC */
#ifndef LOGD_FOLLOW_H
#define LOGD_FOLLOW_H

#include "ipc/ctl.h"

/*
 * Those who look on (angctl log follow). Each may name conditions KEY=VALUE that a line must meet,
 * all of them. Who reads too slowly misses lines and is told how many.
 */
struct followers;
struct followers *followers_new(void);
void followers_free(struct followers *f);
void followers_set_server(struct followers *f, struct ctl_server *server);
bool followers_any(const struct followers *f);
/* Verb `follow`: never ends by itself. */
void followers_add(struct followers *f, struct ctl_call *c, struct slice args);
void followers_line(struct followers *f, struct slice line);

/* Does the JSON line hold "key":"value" or "key":value? Exact, whole values. */
bool line_has(struct slice line, struct slice key, struct slice value);

#endif
