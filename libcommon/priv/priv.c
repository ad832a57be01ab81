/* SPDX-License-Identifier: ISC */
#include "priv/priv.h"

#include "base/die.h"
#include "priv/sanitizer.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The bounding set, so that nothing an exec might bring can come. Needs CAP_SETPCAP, so before the
 * user goes.
 */
static int
drop_bounding_set(void)
{
	for (int cap = 0; cap < 64; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (has < 0)
			return 0; /* beyond the last one of this kernel */
		if (has > 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			return -errno;
	}
	return 0;
}

/* What a drop leaves. */
static uint64_t kept_caps;

void
priv_keep_caps(uint64_t caps)
{
	kept_caps = caps;
}

static int
set_capabilities(uint64_t caps)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = { 0 };

	for (unsigned i = 0; i < 2; i++)
		d[i].effective = d[i].permitted = (uint32_t)(caps >> i * 32);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
		return -errno;
	return syscall(SYS_capset, &head, d) != 0 ? -errno : 0;
}

/* The one supplementary group that a drop leaves; -1: none. */
static gid_t kept_group = -1U;

void
priv_keep_group(gid_t gid)
{
	kept_group = gid;
}

static bool
has_only_kept_group(void)
{
	gid_t one;

	if (kept_group == -1U)
		return getgroups(0, NULL) == 0;
	return getgroups(0, NULL) == 1 && getgroups(1, &one) == 1 && one == kept_group;
}

/* Believes nothing: a step may have said 0 and done nothing (a filter around us, an odd kernel). */
static bool
is_only(uid_t uid, gid_t gid)
{
	uid_t r, e, s;
	gid_t gr, ge, gs;

	return getresuid(&r, &e, &s) == 0 && r == uid && e == uid && s == uid &&
	       getresgid(&gr, &ge, &gs) == 0 && gr == gid && ge == gid && gs == gid;
}

static bool
has_only_caps(uint64_t caps)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &head, d) != 0)
		return false;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t want = (uint32_t)(caps >> i * 32);

		if (d[i].effective != want || d[i].permitted != want || d[i].inheritable != 0)
			return false;
	}
	return true;
}

/* The kernel keeps them in an order of its own. */
static bool
has_only_groups(const gid_t *groups, size_t n)
{
	gid_t has[PRIV_GROUPS_MAX];
	int got = getgroups(PRIV_GROUPS_MAX, has);

	if (got < 0 || (size_t)got != n)
		return false;
	for (int i = 0; i < got; i++) {
		size_t k = 0;

		while (k < n && groups[k] != has[i])
			k++;
		if (k == n)
			return false;
	}
	return true;
}

static bool
root_comes_back(void)
{
	return setresuid(-1U, 0, -1U) == 0 || setuid(0) == 0 || setresgid(-1U, 0, -1U) == 0 ||
	       setgid(0) == 0;
}

int
priv_try_drop(uid_t uid, gid_t gid, bool chroot_here, const char **step)
{
	int err;

	sanitizer_no_leak_check();
	*step = "find a user that is not root";
	if (uid == 0 || gid == 0 || uid == -1U || gid == -1U)
		return -EPERM;
	/*
	 * The working directory is the new root, so no descriptor of ours points out of it by
	 * "..".
	 */
	*step = "chroot";
	if (chroot_here && (chroot(".") != 0 || chdir("/") != 0))
		return -errno;
	*step = "setgroups";
	if (kept_group == 0 || setgroups(kept_group != -1U, &kept_group) != 0)
		return kept_group == 0 ? -EPERM : -errno;
	*step = "drop the bounding set";
	err = drop_bounding_set();
	if (err != 0)
		return err;
	*step = "setresgid";
	if (setresgid(gid, gid, gid) != 0)
		return -errno;
	*step = "setresuid";
	if (kept_caps != 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
		return -errno;
	if (setresuid(uid, uid, uid) != 0)
		return -errno;
	if (kept_caps != 0 && prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0)
		return -errno;
	*step = "drop capabilities";
	err = set_capabilities(kept_caps);
	if (err != 0)
		return err;
	*step = "be that user and nobody else";
	if (!is_only(uid, gid) || !has_only_kept_group() || !has_only_caps(kept_caps) ||
	    (kept_caps == 0 && root_comes_back()))
		return -EPERM;
	return 0;
}

int
priv_become(uid_t uid, gid_t gid, const gid_t *groups, size_t n, const char **step)
{
	gid_t some[PRIV_GROUPS_MAX];
	size_t kept = 0;
	int err;

	*step = "find a user that is not root";
	if (uid == 0 || gid == 0 || uid == -1U || gid == -1U)
		return -EPERM;
	for (size_t i = 0; i < n && kept < PRIV_GROUPS_MAX; i++)
		if (groups[i] != 0)
			some[kept++] = groups[i];
	*step = "setgroups";
	if (setgroups(kept, some) != 0)
		return -errno;
	*step = "setresgid";
	if (setresgid(gid, gid, gid) != 0)
		return -errno;
	*step = "setresuid";
	if (setresuid(uid, uid, uid) != 0)
		return -errno;
	*step = "drop capabilities";
	err = set_capabilities(0);
	if (err != 0)
		return err;
	*step = "be that user and nobody else";
	if (!is_only(uid, gid) || !has_only_groups(some, kept) || !has_only_caps(0) ||
	    root_comes_back())
		return -EPERM;
	return 0;
}

void
priv_drop(uid_t uid, gid_t gid, bool chroot_here)
{
	const char *step;
	int err = priv_try_drop(uid, gid, chroot_here, &step);

	if (err != 0)
		die(EXIT_TEMP, "cannot drop privileges: %s: %s", step, strerror(-err));
}

static int
peer_cred(int fd, struct ucred *c)
{
	socklen_t n = sizeof *c;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, c, &n) != 0)
		return -errno;
	/* An unconnected socket answers with nobody at all. */
	return n != sizeof *c || c->uid == -1U ? -ENOTCONN : 0;
}

int
priv_peer_uid(int fd, uid_t *uid)
{
	struct ucred c;
	int err = peer_cred(fd, &c);

	if (err == 0)
		*uid = c.uid;
	return err;
}

bool
priv_peer_in_group(int fd, gid_t gid)
{
	struct ucred c;
	gid_t groups[1024];
	socklen_t n = sizeof groups;

	if (gid == -1U || peer_cred(fd, &c) != 0)
		return false;
	if (c.gid == gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) != 0)
		return false; /* more than we look at, or an older kernel */
	for (size_t i = 0; i < n / sizeof *groups; i++)
		if (groups[i] == gid)
			return true;
	return false;
}
