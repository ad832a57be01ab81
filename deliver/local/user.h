/* SPDX-License-Identifier: ISC */
#ifndef LOCAL_USER_H
#define LOCAL_USER_H

#include "base/buf.h"
#include "base/outcome.h"
#include "priv/priv.h"
#include "table/users.h"

#include <sys/types.h>

/* Whose mailbox an address is: local is told no more than the address, and looks here itself. */
struct user {
	char name[USERS_NAME_MAX + 1];
	uid_t uid;
	gid_t gid;
	gid_t groups[PRIV_GROUPS_MAX];
	int ngroups;
	char home[USERS_PATH_MAX + 1];
	char mailbox[USERS_PATH_MAX + 1]; /* "": as the configuration says */
};

/* The local part of an address in lower case, unquoted. False: it can be nobody's name. */
bool user_local_part(struct slice address, char out[USERS_NAME_MAX + 1]);

/*
 * The user of the local part; where there is none, of what stands before the first of the
 * `delimiters` (may be NULL). table NULL: the users of the system, by NSS, which may wait for
 * others. OUTCOME_OK, or what the delivery came to, with `text` in *why. Below uid_min: TEMP, never
 * root.
 */
struct user_how {
	const struct users *table;
	const char *delimiters;
	uint64_t uid_min;
};
enum outcome_kind user_find(const char *local_part, const struct user_how *how, struct user *u,
    uint8_t enh[3], struct buf *why);

#endif
