/* SPDX-License-Identifier: ISC */
/*
 * crashtoy: the simplest thing that keeps a promise, to prove the harness with.
 *
 *	crashtoy [-u] FOLDER MARKS COUNT	append records, sync, then mark each;
 *						-u: do not sync
 *	crashtoy -v FOLDER			print the name of each whole record
 *
 * A new file every 25 records; its folder is synced before the first promise from it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/die.h"
#include "base/slice.h"

enum { RECORDS_A_FILE = 25, FILES = 1000 };

struct head {
	uint32_t magic, n;
	uint64_t sum; /* over number and body */
	uint64_t number;
};
static const uint32_t MAGIC = 0x21796f74;

static uint64_t
sum_of(uint64_t number, const char *p, size_t n)
{
	uint64_t h = 14695981039346656037ULL ^ number;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 1099511628211ULL;
	return h;
}

static int
open_file(const char *folder, long number, int flags)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/toy.%ld", folder, number);
	return open(path, flags | O_CLOEXEC, 0600);
}

static void
sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		die(EXIT_UNAVAILABLE, "%s: %s", folder, strerror(errno));
	close(fd);
}

static void
append(int fd, uint64_t number)
{
	struct buf b = { 0 };
	struct head h = { .magic = MAGIC, .number = number };

	h.n = (uint32_t)(100 + number * 7919 % 6000);
	buf_put(&b, &h, sizeof h);
	for (uint32_t i = 0; i < h.n; i++)
		buf_putc(&b, (char)('a' + (i + number) % 26));
	h.sum = sum_of(number, b.p + sizeof h, h.n);
	memcpy(b.p, &h, sizeof h);
	if (write(fd, b.p, b.n) != (ssize_t)b.n)
		die(EXIT_UNAVAILABLE, "write: %s", strerror(errno));
	buf_fini(&b);
}

static void
promise(const char *folder, const char *marks, long count, bool sync)
{
	int out = open(marks, O_WRONLY | O_APPEND | O_CLOEXEC), fd = -1;
	char line[64];

	for (long i = 0; i < count; i++) {
		if (i % RECORDS_A_FILE == 0) {
			if (fd >= 0)
				close(fd);
			fd = open_file(
			    folder, i / RECORDS_A_FILE, O_WRONLY | O_CREAT | O_EXCL | O_APPEND);
			if (fd < 0)
				die(EXIT_UNAVAILABLE, "%s: %s", folder, strerror(errno));
			if (sync)
				sync_folder(folder);
		}
		append(fd, (uint64_t)i);
		if (sync && fdatasync(fd) < 0)
			die(EXIT_UNAVAILABLE, "fdatasync: %s", strerror(errno));
		snprintf(line, sizeof line, "A toy-%ld\n", i);
		if (write(out, line, strlen(line)) != (ssize_t)strlen(line))
			die(EXIT_UNAVAILABLE, "%s: %s", marks, strerror(errno));
	}
}

static void
verify_file(struct slice s)
{
	while (s.n >= sizeof(struct head)) {
		struct head h;

		memcpy(&h, s.p, sizeof h);
		if (h.magic != MAGIC || h.n > s.n - sizeof h ||
		    h.sum != sum_of(h.number, s.p + sizeof h, h.n))
			return;
		printf("toy-%llu\n", (unsigned long long)h.number);
		s = slice_from(s, sizeof h + h.n);
	}
}

static void
verify(const char *folder)
{
	for (long i = 0; i < FILES; i++) {
		int fd = open_file(folder, i, O_RDONLY);
		struct buf b = { 0 };
		ssize_t n;

		if (fd < 0)
			continue;
		while ((n = read(fd, buf_room(&b, 65536), 65536)) > 0)
			b.n += (size_t)n;
		verify_file(slice_buf(&b));
		buf_fini(&b);
		close(fd);
	}
}

int
main(int argc, char *argv[])
{
	bool unsynced = argc > 1 && strcmp(argv[1], "-u") == 0;
	uint64_t count;

	if (argc == 3 && strcmp(argv[1], "-v") == 0)
		verify(argv[2]);
	else if (argc == 4 + unsynced && slice_u64(slice_z(argv[3 + unsynced]), &count) &&
		 count <= INT32_MAX)
		promise(argv[1 + unsynced], argv[2 + unsynced], (long)count, !unsynced);
	else
		die(EXIT_USAGE, "usage: crashtoy [-u] folder marks count | crashtoy -v folder");
	return 0;
}
