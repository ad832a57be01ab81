/* SPDX-License-Identifier: ISC */
#ifndef LOCAL_MAILBOX_H
#define LOCAL_MAILBOX_H

#include "deliver/local/mbox.h"
#include "deliver/local/user.h"

/*
 * Where a user's mail goes: the table's word for this user, then the configuration's, then the mbox
 * of his name in mail_dir.
 *
 * Root says where `base` is (the home, mail_dir, or what an absolute path begins with): links are
 * followed on the way there. Whatever comes beneath is the user's: no link is followed.
 */
struct mailbox {
	char base[USERS_PATH_MAX + 1];
	/* folders between base and the mbox, or to the Maildir; "": none */
	char below[USERS_PATH_MAX + 1];
	char name[MBOX_NAME_MAX + 1]; /* of the mbox */
	bool maildir, in_mail_dir, in_home;
};

/* configured: a path below home, or NULL. 0, or -errno with *why. */
int mailbox_find(struct mailbox *m, const struct user *u, const char *configured,
    const char *mail_dir, const char **why);

/*
 * As the user: the folder in which the mbox lies, or the Maildir, which is made, 0700, where it
 * alone is missing. A descriptor for reading, or -errno with *why; -EBADF: *why says what is odd.
 */
int mailbox_open(const struct mailbox *m, uid_t owner, const char **why);

#endif
