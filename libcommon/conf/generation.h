/* SPDX-License-Identifier: ISC */
#ifndef CONF_GENERATION_H
#define CONF_GENERATION_H

#include "conf/conf.h"

/*
 * Generations: run_dir/conf/N, complete and checked texts, mode 0444, never changed. A service
 * loads the newest one at its start and on SIGHUP. Behind the administrator's text stand lines that
 * the publisher adds, so that all services see the same and none needs a file outside of the run
 * folder: which file it was, the node's name, the content of /etc/mailname.
 *
 * All functions return 0 or a negative errno and put a line without a newline into `err`:
 * -EINVAL is a configuration that is wrong (exit 78), others a system that does not comply (exit
 * 75). The run folder is given as a descriptor; AT_FDCWD where the process stands in it.
 */
enum { CONF_GENERATIONS_KEPT = 16, CONF_FILE_MAX = 16 * 1024 * 1024 };

/*
 * The run folder that `file` names, for finding the generations in it. Answers also where the file
 * is gone or wrong (then by looking for the line, or with the default): a service must come up
 * again on the generation that holds while an administrator is at work on the file.
 */
void conf_run_dir(const char *file, struct buf *out);

/* Reads and checks a file, publishes nothing: `angctl config check`. */
int conf_check(const char *file, struct conf **out, struct buf *err);

/*
 * Checks `file` as a whole and makes it the newest generation, unless the newest one says the same
 * already. *number: the generation that says it now. Older ones beyond CONF_GENERATIONS_KEPT are
 * removed. Any number of processes may do so at a time.
 */
int conf_publish(int run_dirfd, const char *file, struct buf *err, uint32_t *number);

/* The newest generation, opened for reading, or -ENOENT when there is none. */
int conf_newest(int run_dirfd, uint32_t *number);

/*
 * Reads an open generation from its start, wherever its offset stands. Fit for a sandbox: besides
 * memory it calls pread64(2), and, from inside libconfuse's scanner, ioctl(-1, TCGETS), which
 * fails.
 */
int conf_load(int fd, uint32_t number, struct conf **out, struct buf *err);

/* conf_newest(), then conf_load(). */
int conf_load_newest(int run_dirfd, struct conf **out, struct buf *err);

/*
 * What a service does at its start: load the newest generation, or, when there is none yet, publish
 * `file`. Services that start together get one generation between them.
 */
int conf_start(int run_dirfd, const char *file, struct conf **out, struct buf *err);

#endif
