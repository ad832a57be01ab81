/* SPDX-License-Identifier: ISC */
#include "deliver/local/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

enum { NSS_BYTES = 65536 };

bool
user_local_part(struct slice address, char out[USERS_NAME_MAX + 1])
{
	bool quoted = address.n > 0 && address.p[0] == '"';
	size_t n = 0, i = quoted;

	for (; i < address.n; i++) {
		char c = address.p[i];

		if (quoted ? c == '"' : c == '@')
			break;
		if (quoted && c == '\\' && ++i < address.n)
			c = address.p[i];
		if (n == USERS_NAME_MAX || c <= ' ' || c == '/' || c == ':' || c == 127)
			return false;
		out[n++] = ascii_lower(c);
	}
	out[n] = '\0';
	return n > 0 && strcmp(out, ".") != 0 && strcmp(out, "..") != 0;
}

static bool
keep(const char *from, char *to, size_t size)
{
	return slice_copy(slice_z(from), to, size);
}

/* 1 found, 0 not there, -errno. */
static int
by_table(const struct users *t, const char *name, struct user *u)
{
	const struct users_row *row = users_find(t, slice_z(name));

	if (row == NULL)
		return 0;
	*u =
	    (struct user){ .uid = row->uid, .gid = row->gid, .groups = { row->gid }, .ngroups = 1 };
	return keep(row->name, u->name, sizeof u->name) &&
		       keep(row->home, u->home, sizeof u->home) &&
		       keep(row->mailbox, u->mailbox, sizeof u->mailbox)
		   ? 1
		   : -EINVAL;
}

static int
by_nss(const char *name, struct user *u)
{
	char *bytes = malloc(NSS_BYTES);
	struct passwd pw, *got = NULL;
	int err = bytes == NULL ? ENOMEM : getpwnam_r(name, &pw, bytes, NSS_BYTES, &got);

	if (err == 0 && got != NULL) {
		*u =
		    (struct user){ .uid = pw.pw_uid, .gid = pw.pw_gid, .ngroups = PRIV_GROUPS_MAX };
		if (!keep(pw.pw_name, u->name, sizeof u->name) ||
		    !keep(pw.pw_dir, u->home, sizeof u->home) || strchr(u->name, '/') != NULL)
			err = EINVAL;
		/* More groups than fit: the first ones. */
		else if (getgrouplist(pw.pw_name, pw.pw_gid, u->groups, &u->ngroups) < 0)
			u->ngroups = PRIV_GROUPS_MAX;
	}
	free(bytes);
	return err != 0 ? -err : got != NULL;
}

static int
find(const char *local_part, const struct user_how *how, struct user *u)
{
	char base[USERS_NAME_MAX + 1];
	size_t n;
	int rc;

	rc = how->table != NULL ? by_table(how->table, local_part, u) : by_nss(local_part, u);
	if (rc != 0 || how->delimiters == NULL)
		return rc;
	n = strcspn(local_part, how->delimiters);
	if (n == 0 || local_part[n] == '\0')
		return 0;
	slice_copy(slice_of(local_part, n), base, sizeof base);
	return how->table != NULL ? by_table(how->table, base, u) : by_nss(base, u);
}

static enum outcome_kind
say(enum outcome_kind kind, uint8_t b, uint8_t c, uint8_t enh[3])
{
	enh[0] = kind == OUTCOME_PERM ? 5 : 4;
	enh[1] = b;
	enh[2] = c;
	return kind;
}

enum outcome_kind
user_find(const char *local_part, const struct user_how *how, struct user *u, uint8_t enh[3],
    struct buf *why)
{
	int rc = find(local_part, how, u);

	if (rc < 0) {
		buf_printf(why, "the users of the system cannot be asked for %s: %s", local_part,
		    strerror(-rc));
		return say(OUTCOME_TEMP, 3, 0, enh);
	}
	if (rc == 0) {
		buf_printf(why, "there is no user %s", local_part);
		return say(OUTCOME_PERM, 1, 1, enh);
	}
	if (u->uid == 0 || u->gid == 0 || u->uid < how->uid_min) {
		buf_printf(why,
		    "user %s has uid %lu and gid %lu: no mailbox is written for root or below "
		    "local_uid_min; an alias says where such mail goes",
		    u->name, (unsigned long)u->uid, (unsigned long)u->gid);
		return say(OUTCOME_TEMP, 2, 0, enh);
	}
	if (u->home[0] != '/') {
		buf_printf(why, "user %s has no home folder", u->name);
		return say(OUTCOME_TEMP, 2, 0, enh);
	}
	return OUTCOME_OK;
}
