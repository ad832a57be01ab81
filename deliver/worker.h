/* SPDX-License-Identifier: ISC */
#ifndef DELIVER_WORKER_H
#define DELIVER_WORKER_H

#include "priv/daemon.h"

/* A worker of deliver: jobs from qmgr, results back. Runs until it is told to finish. */
_Noreturn void worker_main(struct daemon *d, unsigned number, int pair_fd);

#endif
