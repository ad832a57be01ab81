/* SPDX-License-Identifier: ISC */
/*
 * Preloaded, this takes every sync out of a program. The power-cut test must then go red: that is
 * how it is known to see anything.
 */
#include <unistd.h>

int
fsync(int fd)
{
	(void)fd;
	return 0;
}

int
fdatasync(int fd)
{
	(void)fd;
	return 0;
}

int
syncfs(int fd)
{
	(void)fd;
	return 0;
}
