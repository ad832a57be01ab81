/* SPDX-License-Identifier: ISC */
#ifndef CTL_SUBMIT_REST_H
#define CTL_SUBMIT_REST_H

#include "base/slice.h"

/*
 * What is beyond the first part of a message, in a file without a name: a message costs sendmail no
 * memory but for its beginning, and leaves nothing behind when the command is killed. Zeroed is
 * empty.
 */
struct submit_rest {
	bool open;
	int fd;
	uint64_t bytes;
};

/*
 * Adds to it. The file is made in the folder, which is on the mail system's disk, or else where
 * temporary files are. 0 or -errno.
 */
int submit_rest_put(struct submit_rest *r, const char *folder, struct slice bytes);
/* Exactly n bytes from `at`, all of which are there. 0 or -errno. */
int submit_rest_read(const struct submit_rest *r, uint64_t at, char *to, size_t n);
void submit_rest_fini(struct submit_rest *r);

#endif
