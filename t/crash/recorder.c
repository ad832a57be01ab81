/* SPDX-License-Identifier: ISC */
/*
 * recorder BASE LOG FOLDER: a disk that remembers. FOLDER/image begins as the bytes of the file
 * BASE, which stays as it is; every write to it and every flush goes to LOG, in order, with the
 * lines written to FOLDER/marks in between. SIGTERM ends it; LOG is whole then.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/die.h"
#include "t/crash/blockfs.h"

static char *disk;
static FILE *record;

static void
append(enum log_type type, uint64_t at, const char *p, size_t n)
{
	struct log_entry e = { .type = type, .n = (uint32_t)n, .at = at };

	if (fwrite(&e, sizeof e, 1, record) != 1 || (n > 0 && fwrite(p, n, 1, record) != 1))
		die(EXIT_CANTCREAT, "the log was not written: %s", strerror(errno));
}

static void
on_read(uint64_t at, char *p, size_t n)
{
	memcpy(p, disk + at, n);
}

static void
on_write(uint64_t at, const char *p, size_t n)
{
	memcpy(disk + at, p, n);
	append(LOG_WRITE, at, p, n);
}

static void
on_flush(void)
{
	append(LOG_FLUSH, 0, NULL, 0);
}

static void
on_mark(const char *p, size_t n)
{
	append(LOG_MARK, 0, p, n);
}

int
main(int argc, char *argv[])
{
	struct blockfs fs = {
		.read = on_read, .write = on_write, .flush = on_flush, .mark = on_mark
	};
	struct stat st;
	int fd;

	if (argc != 4)
		die(EXIT_USAGE, "usage: recorder base log folder");
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		die(EXIT_UNAVAILABLE, "%s: %s", argv[1], strerror(errno));
	fs.size = (uint64_t)st.st_size;
	disk = mmap(NULL, fs.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
	record = fopen(argv[2], "we");
	if (disk == MAP_FAILED || record == NULL)
		die(EXIT_UNAVAILABLE, "%s: %s", argv[2], strerror(errno));
	blockfs_serve(blockfs_mount(&fs, argv[3]));
	return fclose(record) == 0 ? 0 : EXIT_CANTCREAT;
}
