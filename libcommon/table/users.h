/* SPDX-License-Identifier: ISC */
#ifndef TABLE_USERS_H
#define TABLE_USERS_H

#include "base/buf.h"

/*
 * The table of local users where they do not come from NSS (key "local_users"): a text, one user
 * on a line,
 *
 *	name:uid:gid:home[:mailbox]
 *
 * Blank lines and lines that begin with # are skipped. A name is 1 to 64 printable ASCII bytes
 * without blanks, ':' and '/', not "." or ".."; names are told apart without regard to case and
 * stand there once. Ids are decimal, below 4294967295. `home` is an absolute path. `mailbox` is a
 * path, absolute or below home, without "..", with '/' at its end a Maildir, else an mbox; empty or
 * missing: what the configuration says. Router asks it who exists, local also for the ids and the
 * folders.
 */
enum { USERS_NAME_MAX = 64, USERS_PATH_MAX = 1024, USERS_TEXT_MAX = 16 << 20 };

struct users_row {
	const char *name; /* as written */
	uint32_t uid, gid;
	const char *home;
	const char *mailbox; /* "": none given */
};

struct users;

/* NULL: *line and *why say what is wrong. */
struct users *users_parse(struct slice text, unsigned *line, const char **why);
void users_free(struct users *u);
size_t users_count(const struct users *u);
/* NULL: no such user. Lives as long as the table. */
const struct users_row *users_find(const struct users *u, struct slice name);

/*
 * The table in a file, read again when it was replaced or changed. The file must be regular, not
 * above USERS_TEXT_MAX, owned by root or by `owner`, and writable by its owner only: it names uids.
 */
struct users_file;
struct users_file *users_file_new(const char *path, uint32_t owner);
void users_file_free(struct users_file *f);
/*
 * The table as it is now; the file is looked at once a second at most (`now_ms` of any clock that
 * does not go back). 0, or -errno (-EPERM: owner or mode, -EBADMSG: syntax) with one line in *err;
 * a file that cannot be read is never an empty table. *out lives until the next call.
 */
int users_file_get(
    struct users_file *f, uint64_t now_ms, const struct users **out, struct buf *err);

#endif
