/* SPDX-License-Identifier: ISC */
#include "priv/landlock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
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
add_beneath(int fd, uint64_t access, int folder)
{
	struct path_beneath rule = { access, folder };

	if (access == 0 || folder < 0)
		return 0;
	return syscall(SYS_landlock_add_rule, fd, RULE_PATH_BENEATH, &rule, 0) != 0 ? -errno : 0;
}

static bool
is_root(int folder)
{
	struct stat here, above;

	return fstat(folder, &here) == 0 && fstatat(folder, "..", &above, 0) == 0 &&
	       here.st_dev == above.st_dev && here.st_ino == above.st_ino;
}

/* In the tree of the system: where nobody's mail lies, and who writes there, or to a device, is root. */
static uint64_t
access_in_root(const char *name, uint64_t access)
{
	static const char *const none[] = { "dev", "proc", "sys", "boot" };
	static const char *const reading[] = { "etc", "usr", "bin", "sbin", "lib", "lib32", "lib64",
		"libx32" };

	for (unsigned i = 0; i < sizeof none / sizeof *none; i++)
		if (strcmp(name, none[i]) == 0)
			return 0;
	for (unsigned i = 0; i < sizeof reading / sizeof *reading; i++)
		if (strcmp(name, reading[i]) == 0)
			return access & beneath[BENEATH_READ];
	return access;
}

/* The system's root, given as a folder: each of its folders, as they are now. */
static int
add_root(int fd, uint64_t access, int root)
{
	int list = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;
	DIR *d = list < 0 ? NULL : fdopendir(list);
	struct dirent *e;

	if (d == NULL) {
		err = -errno;
		if (list >= 0)
			close(list);
		return err;
	}
	err = add_beneath(fd, access & FS_READ_DIR, root);
	while (err == 0 && (e = readdir(d)) != NULL) {
		int folder =
		    e->d_name[0] == '.'
			? -1
			: openat(root, e->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		err = add_beneath(fd, access_in_root(e->d_name, access), folder);
		if (folder >= 0)
			close(folder);
	}
	closedir(d);
	return err;
}

static int
add_rules(int fd, const struct ruleset *r, const struct profile_row *row, const int dir[],
    const int more[], unsigned nmore)
{
	/* A source address is bound with port 0. */
	const struct net_port any = { NET_BIND_TCP, 0 };

	int err = 0;

	for (unsigned i = 0; i < SANDBOX_DIR_COUNT && err == 0; i++) {
		uint64_t access = beneath[row->beneath[i]] & r->fs;

		if (access != 0 && i == SANDBOX_HOME && dir[i] >= 0 && is_root(dir[i]))
			err = add_root(fd, access, dir[i]);
		else
			err = add_beneath(fd, access, dir[i]);
	}
	for (unsigned i = 0; i < nmore && err == 0; i++)
		err = add_beneath(fd, beneath[BENEATH_READ] & r->fs, more[i]);
	if (err != 0)
		return err;
	if (r->net != 0 && row->tcp == TCP_CONNECT &&
	    syscall(SYS_landlock_add_rule, fd, RULE_NET_PORT, &any, 0) != 0)
		return -errno;
	return 0;
}

int
landlock_enter(const struct profile_row *row, const int dir[SANDBOX_DIR_COUNT], const int more[],
    unsigned nmore, int abi)
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
