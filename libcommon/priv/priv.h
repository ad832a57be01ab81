/* SPDX-License-Identifier: ISC */
#ifndef PRIV_PRIV_H
#define PRIV_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Privilege only falls. In order: root directory (the working one, where `chroot_here` says so),
 * supplementary groups, bounding set, group, user, capabilities; then it is verified that none of
 * it comes back. Uid and gid 0 are refused.
 *
 * priv_try_drop(): 0, or -errno with *step naming what failed; the process must end then, it may
 * stand half way. priv_drop() does that: exit 75 and a line with the step.
 */
int priv_try_drop(uid_t uid, gid_t gid, bool chroot_here, const char **step);
void priv_drop(uid_t uid, gid_t gid, bool chroot_here);
/*
 * A later drop leaves this one supplementary group, never 0: what users leave in the drop folder is
 * readable for its group only.
 */
void priv_keep_group(gid_t gid);
/*
 * A later drop leaves these capabilities (bits 1 << CAP_...), permitted and in effect, none else.
 * For who becomes others; it must not be able to become root (sandbox.h).
 */
enum { PRIV_GROUPS_MAX = 256 };
void priv_keep_caps(uint64_t caps);

/*
 * In a child of a process that kept CAP_SETUID and CAP_SETGID: becomes a user for good, with these
 * supplementary groups and no capability, and verifies it. uid and gid 0 are refused, a group 0 is
 * left out. 0, or -errno with *step: the process must end then.
 */
int priv_become(uid_t uid, gid_t gid, const gid_t *groups, size_t n, const char **step);

/* Who is at the other end of a connected Unix socket, as of its connect or listen. 0 or -errno. */
int priv_peer_uid(int fd, uid_t *uid);
/* Is gid its primary or a supplementary group? False also when that cannot be told. */
bool priv_peer_in_group(int fd, gid_t gid);

#endif
