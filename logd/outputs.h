/* SPDX-License-Identifier: ISC */
#ifndef LOGD_OUTPUTS_H
#define LOGD_OUTPUTS_H

#include "conf/conf.h"
#include "logd/maillog.h"
#include "logd/sink.h"
#include "logd/sysout.h"

/* Where Postfix's lines go: mail.log, as long as the configuration has it, and a syslog daemon. */
struct outputs;
/* host: of this machine, as lines have it. sys: NULL: none; owned from here on. */
struct outputs *outputs_new(
    struct loop *l, int log_dirfd, const char *host, struct sysout *sys, const struct conf *conf);
void outputs_free(struct outputs *o);
void outputs_configure(struct outputs *o, const struct conf *conf); /* a new generation */
void outputs_event(struct outputs *o, enum service from, const struct log_record *r);
/* Writes what is due; for who is awake anyway. Else that happens by itself a little later. */
void outputs_look(struct outputs *o);
void outputs_reopen(struct outputs *o);

/* For status: NULL where there is none. */
const struct sink *outputs_file(const struct outputs *o);
const struct sysout *outputs_syslog(const struct outputs *o);

#endif
