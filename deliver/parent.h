/* SPDX-License-Identifier: ISC */
#ifndef DELIVER_PARENT_H
#define DELIVER_PARENT_H

#include "deliver/worker.h"

/*
 * The main of deliver and of local: a parent that forks workers, connects them, and tells qmgr
 * which of them live: the jobs of the others are interrupted.
 */
struct parent_kind {
	const struct carrier_ops *carrier;
	enum profile profile;
	/* As root, with the configuration: what else is to be opened; how many workers. */
	unsigned (*workers)(struct daemon *d);
};
int parent_main(const struct parent_kind *kind, int argc, char *argv[]);

#endif
