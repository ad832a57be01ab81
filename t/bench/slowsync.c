/* SPDX-License-Identifier: ISC */
/*
 * Preloaded, this makes each sync of a program longer by the microseconds of SLOWSYNC_US: the disk of a
 * customer, on a machine whose own is quick. The wait is a futex that nobody wakes, a call that every sandbox
 * with threads allows.
 */
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct timespec pause_for;

static void __attribute__((constructor)) read_environment(void)
{
	const char *us = getenv("SLOWSYNC_US");
	long n = us == NULL ? 0 : strtol(us, NULL, 10);

	pause_for = (struct timespec){ .tv_sec = n / 1000000, .tv_nsec = n % 1000000 * 1000 };
}

static int
slowly(long call, int fd)
{
	int nobody = 0, result = (int)syscall(call, fd);

	syscall(SYS_futex, &nobody, FUTEX_WAIT_PRIVATE, 0, &pause_for, NULL, 0);
	return result;
}

int
fsync(int fd)
{
	return slowly(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	return slowly(SYS_fdatasync, fd);
}

int
syncfs(int fd)
{
	return slowly(SYS_syncfs, fd);
}
