/* SPDX-License-Identifier: ISC */
/*
 * local: takes jobs from qmgr and puts mail into the mailboxes of local users, or gives it to a
 * server of LMTP.
 *
 * User	_anglocal, with CAP_SETUID and CAP_SETGID; a child for each delivery is the recipient
 * Asked by	commands (ctl/local)
 * Reaches	qmgr (edge/qmgr.local), logd; its worker LMTP servers, its children one folder each
 * Holds	read-only descriptors of the segments it was handed
 * Sandbox	PROFILE_LOCAL_PARENT, worker PROFILE_LOCAL_WORKER: any folder, as far as modes let
 *		_anglocal, but no devices, and the system's own for reading; no user below
 *		local_uid_min. Children PROFILE_LOCAL_CHILD: one mailbox. Root folder not changed:
 *		homes and sockets may lie anywhere.
 *
 * One worker: the order of an mbox is its order. It is told addresses, never a command, path or
 * uid.
 */
#include "conf/conf.h"
#include "deliver/local/errands.h"
#include "deliver/local/mbox.h"
#include "deliver/parent.h"
#include "priv/priv.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * What name services load is loaded now: later nothing can be mapped. The answers do not matter,
 * but for the group of mail_dir.
 */
static void
warm_up(const struct conf *c)
{
	struct passwd pw, *user;
	struct group gr, *group;
	struct stat st;
	gid_t groups[8];
	int n = 8;
	static char bytes[65536];

	getpwnam_r("nobody", &pw, bytes, sizeof bytes, &user);
	getgrouplist("nobody", 65534, groups, &n);
	if (getgrnam_r("mail", &gr, bytes, sizeof bytes, &group) == 0 && group != NULL &&
	    stat(c->mail_dir, &st) == 0 && st.st_gid == group->gr_gid)
		errands_mail_gid(group->gr_gid);
}

static bool
read_word(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return out[0] != '\0';
}

/* This machine: by what stands in a lock it may be told to be that of a dead process, see mbox.h. */
static void
mark_locks(void)
{
	char id[37], node[31] = "", mark[MBOX_MARK_MAX + 1];

	gethostname(node, sizeof node - 1);
	if (!read_word("/etc/machine-id", id, sizeof id) &&
	    !read_word("/proc/sys/kernel/random/boot_id", id, sizeof id))
		return;
	snprintf(mark, sizeof mark, "0 angarium %s %s\n", id, node);
	errands_lock_mark(mark);
}

static unsigned
workers(struct daemon *d)
{
	warm_up(d->conf);
	mark_locks();
	priv_keep_caps(1U << CAP_SETUID | 1U << CAP_SETGID);
	daemon_open_dir(d, SANDBOX_HOME);
	if (d->conf->local_users != NULL)
		daemon_open_more(d, d->conf->local_users);
	return 1;
}

int
main(int argc, char *argv[])
{
	static const struct parent_kind kind = { &errands_ops, PROFILE_LOCAL_PARENT, workers };

	return parent_main(&kind, argc, argv);
}
