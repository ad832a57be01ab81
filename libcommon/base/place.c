/* SPDX-License-Identifier: ISC */
#include "base/place.h"

#include "base/die.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct {
	char *dir;
	size_t n;
	int fd;
} held[PLACES_MAX];
static unsigned nheld;

void
place_hold(const char *dir, int fd)
{
	if (nheld == PLACES_MAX)
		return;
	held[nheld].dir = xstrdup(dir);
	held[nheld].n = strlen(dir);
	held[nheld++].fd = fd;
}

/* Of those above it the nearest. */
static int
above(const char *path)
{
	int best = -1;

	for (unsigned i = 0; i < nheld; i++) {
		size_t n = held[i].n;

		if (strncmp(path, held[i].dir, n) == 0 && path[n] == '/' &&
		    (best < 0 || n > held[best].n))
			best = (int)i;
	}
	return best;
}

const char *
place_name(const char *path, char out[static PLACE_PATH_MAX])
{
	int i = above(path), n;
	struct stat st;

	/* Where the name serves it is used: the folder may be another one by now. */
	if (i < 0 || stat(held[i].dir, &st) == 0 || errno != EACCES)
		return path;
	n = snprintf(out, PLACE_PATH_MAX, "/proc/self/fd/%d%s", held[i].fd, path + held[i].n);
	return n < PLACE_PATH_MAX ? out : path;
}
