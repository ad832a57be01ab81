/* SPDX-License-Identifier: ISC */
#ifndef UNIT_PRIV_JAIL_H
#define UNIT_PRIV_JAIL_H

#include "priv/priv.h"
#include "priv/sandbox.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A user that no machine has; its group has the same number. */
enum { JAIL_UID = 61999 };

/* These tests need root to give it up: without, they say so and are not run. */
static inline bool
jail_possible(const char *what)
{
	if (geteuid() == 0)
		return true;
	printf("%s: # SKIP not root\n", what);
	return false;
}

/*
 * A folder of its own for the test, entered; anybody may write there, so that only the sandbox
 * refuses.
 */
static inline void
jail_folder(char path[64])
{
	snprintf(path, 64, "/tmp/ang-jail-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	ck_assert_int_eq(chmod(path, 0777), 0);
	ck_assert_int_eq(chdir(path), 0);
}

static inline void
jail_folder_remove(const char *path)
{
	char cmd[96];

	ck_assert_int_eq(chdir("/"), 0);
	snprintf(cmd, sizeof cmd, "rm -rf %s", path);
	ck_assert_int_eq(system(cmd), 0);
}

/* From here on `nr` gives this errno (0: pretends to have worked) in this process. */
static inline void
jail_inject(int nr, int err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	if (ctx == NULL || seccomp_rule_add(ctx, SCMP_ACT_ERRNO((unsigned)err), nr, 0) != 0 ||
	    seccomp_load(ctx) != 0)
		_exit(99);
	seccomp_release(ctx);
}

/* The same where the first argument is `arg`. */
static inline void
jail_inject_arg(int nr, unsigned long arg, int err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	if (ctx == NULL ||
	    seccomp_rule_add(
		ctx, SCMP_ACT_ERRNO((unsigned)err), nr, 1, SCMP_A0(SCMP_CMP_EQ, arg, 0)) != 0 ||
	    seccomp_load(ctx) != 0)
		_exit(99);
	seccomp_release(ctx);
}

/* Runs fn(arg) in a child and gives its wait status. */
static inline int
jail_child(void (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		fn(arg);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

/* For children whose last words are expected. */
static inline void
jail_quiet(void)
{
	int fd = open("/dev/null", O_WRONLY);

	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(98);
	close(fd);
}

/* In a child: the check that ends it. Not dprintf(3), which asks lseek(2) first. */
#define JAIL_CHECK(cond)                                                                      \
	do {                                                                                  \
		if (!(cond)) {                                                                \
			char jail_[256];                                                      \
			int jail_n_ = snprintf(jail_, sizeof jail_, "%s:%d: %s (errno %d)\n", \
			    __FILE__, __LINE__, #cond, errno);                                \
			if (write(2, jail_, (size_t)jail_n_) < 0)                             \
				_exit(2);                                                     \
			_exit(1);                                                             \
		}                                                                             \
	} while (0)

/*
 * Drops to JAIL_UID and enters the sandbox of p; for a worker's row first its parent's, then a
 * fork: what returns is the worker, and its end is the end of the parent.
 */
static inline void
jail_enter(enum profile p, const struct sandbox *s, bool chroot_here)
{
	enum profile parent = profile_row(p)->parent;
	int status;
	pid_t pid;

	tzset(); /* as daemon_start() does: not found from within */
	priv_drop(JAIL_UID, JAIL_UID, chroot_here);
	sandbox_enter(parent, s);
	if (parent == p)
		return;
	pid = fork();
	JAIL_CHECK(pid >= 0);
	if (pid > 0) {
		JAIL_CHECK(wait4(pid, &status, 0, NULL) == pid);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
	sandbox_enter(p, s);
}

#endif
