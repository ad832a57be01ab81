/* SPDX-License-Identifier: ISC */
#ifndef CTL_SUBMIT_DROP_H
#define CTL_SUBMIT_DROP_H

#include "ctl/submit_smtp.h"

/*
 * Leaves the message in the drop folder (mail/dropfile.h), on stable storage when it returns 0:
 * written under a name with a leading dot, renamed, synced. Else -errno, and nothing is left
 * behind. *name, when not NULL, gets the file's name.
 */
enum { SUBMIT_DROP_NAME = 40 };
int submit_drop_write(const char *folder, uint32_t uid, const struct submit_request *r,
    char name[static SUBMIT_DROP_NAME]);

#endif
