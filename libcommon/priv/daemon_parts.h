/* SPDX-License-Identifier: ISC */
#ifndef PRIV_DAEMON_PARTS_H
#define PRIV_DAEMON_PARTS_H

#include "priv/daemon.h"

/* Between the files of daemon.h only. */

/* Closes all but 0-2, what init passed and ready_fd (-1: none); fills d->listen. */
void daemon_take_fds(struct daemon *d, int ready_fd);

/*
 * Makes and enters the run folder that the configuration names, and loads a generation: d->conf.
 * With --probe the file alone is read.
 */
void daemon_load(struct daemon *d);

/*
 * Makes a folder and those above it (mode 0755, root's); an open descriptor. Ends the process on
 * trouble.
 */
int daemon_make_dir(const char *path, const char *what);

/*
 * A folder of root's in the run folder, for all to walk through: nobody else renames or plants
 * what is in it.
 */
int daemon_run_part(const char *name);

_Noreturn void daemon_probe(struct daemon *d);

#endif
