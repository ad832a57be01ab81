/* SPDX-License-Identifier: ISC */
#include "priv/landlock.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's interface; its numbers are the same on every architecture. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

enum { CREATE_VERSION = 1, RULE_PATH_BENEATH = 1, RULE_NET_PORT = 2 };

#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_REMOVE_FILE (1ULL << 5)
#define FS_MAKE_DIR (1ULL << 7)
#define FS_MAKE_REG (1ULL << 8)
#define FS_ABI_1 ((1ULL << 13) - 1)
#define FS_REFER (1ULL << 13)	  /* ABI 2: rename between folders */
#define FS_TRUNCATE (1ULL << 14)  /* ABI 3 */
#define FS_IOCTL_DEV (1ULL << 15) /* ABI 5 */
#define NET_BIND_TCP 1ULL	  /* ABI 4 */
#define NET_CONNECT_TCP 2ULL
#define SCOPE_ABSTRACT_UNIX 1ULL /* ABI 6 */
#define SCOPE_SIGNAL 2ULL

struct ruleset {
	uint64_t fs, net, scoped;
};

struct path_beneath {
	uint64_t access;
	int32_t parent_fd;
} __attribute__((packed));

struct net_port {
	uint64_t access, port;
};

static const uint64_t beneath[] = {
	[BENEATH_NO] = 0,
	[BENEATH_READ] = FS_READ_FILE | FS_READ_DIR,
	[BENEATH_TAKE] = FS_READ_FILE | FS_READ_DIR | FS_REMOVE_FILE,
	[BENEATH_LOG] = FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_MAKE_REG,
	[BENEATH_KEEP] = FS_READ_FILE | FS_READ_DIR | FS_REMOVE_FILE | FS_WRITE_FILE | FS_MAKE_REG |
			 FS_MAKE_DIR | FS_REFER | FS_TRUNCATE,
};

int
landlock_abi(void)
{
	long v = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);

	return v > 0 ? (int)v : 0;
}

/*
 * All that can be refused is: a rule then gives back. Returns the size of what this kernel knows.
 */
static size_t
handled(struct ruleset *r, int abi, enum sandbox_tcp tcp)
{
	*r = (struct ruleset){ .fs = FS_ABI_1 };
	if (abi >= 2)
		r->fs |= FS_REFER;
	if (abi >= 3)
		r->fs |= FS_TRUNCATE;
	if (abi >= 5)
		r->fs |= FS_IOCTL_DEV;
	if (abi < 4)
		return offsetof(struct ruleset, net);
	r->net = tcp == TCP_CONNECT ? NET_BIND_TCP : NET_BIND_TCP | NET_CONNECT_TCP;
	if (abi < 6)
		return offsetof(struct ruleset, scoped);
	r->scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	return sizeof *r;
}

static int
add_rules(int fd, const struct ruleset *r, const struct profile_row *row, const int dir[],
    const int more[], unsigned nmore)
{
	/* A source address is bound with port 0. */
	const struct net_port any = { NET_BIND_TCP, 0 };

	for (unsigned i = 0; i < SANDBOX_DIR_COUNT; i++) {
		struct path_beneath rule = { beneath[row->beneath[i]] & r->fs, dir[i] };

		if (rule.access == 0 || dir[i] < 0)
			continue;
		if (syscall(SYS_landlock_add_rule, fd, RULE_PATH_BENEATH, &rule, 0) != 0)
			return -errno;
	}
	for (unsigned i = 0; i < nmore; i++) {
		struct path_beneath rule = { beneath[BENEATH_READ] & r->fs, more[i] };

		if (syscall(SYS_landlock_add_rule, fd, RULE_PATH_BENEATH, &rule, 0) != 0)
			return -errno;
	}
	if (r->net != 0 && row->tcp == TCP_CONNECT &&
	    syscall(SYS_landlock_add_rule, fd, RULE_NET_PORT, &any, 0) != 0)
		return -errno;
	return 0;
}

int
landlock_enter(const struct profile_row *row, const int dir[SANDBOX_DIR_COUNT],
    const int more[], unsigned nmore, int abi)
{
	struct ruleset r;
	int fd, err;
	size_t size;

	if (abi <= 0)
		return -EOPNOTSUPP;
	size = handled(&r, abi, row->tcp);
	fd = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
	if (fd < 0)
		return -errno;
	err = add_rules(fd, &r, row, dir, more, nmore);
	if (err == 0 && syscall(SYS_landlock_restrict_self, fd, 0) != 0)
		err = -errno;
	close(fd);
	return err;
}
