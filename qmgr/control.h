/* SPDX-License-Identifier: ISC */
#ifndef QMGR_CONTROL_H
#define QMGR_CONTROL_H

#include "ipc/ctl.h"

/* The verbs of run/ctl/qmgr; `arg` of the server: the struct qmgr. */
extern const struct ctl_verb control_verbs[];
/* Some of them. Hosts that gave no greeting: */
void control_hosts(struct ctl_call *c, struct slice args);
/* Queues, and what is suspended: */
void control_queue(struct ctl_call *c, struct slice args);
void control_suspend(struct ctl_call *c, struct slice args);
void control_resume(struct ctl_call *c, struct slice args);
/* And what shared limits there are, and how much of each is used. */
void control_limits(struct ctl_call *c, struct slice args);
/* Sets what base/metrics.h has of qmgr; arg: the struct qmgr. */
void control_count(void *arg);

#endif
