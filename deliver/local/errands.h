/* SPDX-License-Identifier: ISC */
#ifndef LOCAL_ERRANDS_H
#define LOCAL_ERRANDS_H

#include "deliver/worker.h"

/*
 * Jobs of transport local: an errand for each recipient, a child process for each errand, so many
 * at a time as the configuration says and one for each user, in the order in which they came: that
 * is the order in which an mbox has its mail. Jobs of transport lmtp go to deliver's connections.
 */
extern const struct carrier_ops errands_ops;

/* The group that deliveries to mail_dir have; 0: none. Once, before there are workers. */
void errands_mail_gid(gid_t gid);
/* What is to stand in locks of mboxes, see mbox.h. Likewise. */
void errands_lock_mark(const char *mark);

#endif
