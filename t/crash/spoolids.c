/* SPDX-License-Identifier: ISC */
/*
 * spoolids FOLDER: after a power cut, the X-Test-Id of every message in the spool that will still
 * be delivered: its record verifies to the last byte, and the journal holds it for unfiled, or
 * filed and open. One a line. Exit 1 with the findings when the checker has found an error: a cut
 * may leave a torn tail, never that. A folder that no service has opened yet is an empty spool.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/die.h"
#include "spool/check.h"
#include "spool/journal_file.h"
#include "spool/large.h"
#include "spool/scan.h"
#include "spool/spool.h"
#include "spool/tally.h"

static struct tally tally;

static void
on_finding(void *ctx, const struct spool_finding *f)
{
	(void)ctx;
	if (f->level == SPOOL_ERROR)
		fprintf(stderr, "%s at %llu, %llu bytes: %s\n", f->file,
		    (unsigned long long)f->offset, (unsigned long long)f->length, f->what);
}

static int
on_journal(void *ctx, uint32_t file, const struct journal_rec *r)
{
	(void)ctx, (void)file;
	tally_apply(&tally, r);
	return 0;
}

/* As qmgr will see it: to be filed, or filed here and not yet settled. */
static bool
will_be_delivered(const struct record *r)
{
	const struct tally_message *m = tally_message(&tally, r->id);
	const struct tally_segment *seg = tally_segment(&tally, r->segment);

	if (m != NULL)
		return m->segment == r->segment && m->offset == r->offset && tally_live(m);
	return seg == NULL || r->offset >= seg->filed;
}

/* A body in large/ has to be there, to the last byte. */
static bool
has_body(int dirfd, const struct record *r)
{
	int fd = r->large.number == 0 ? -1 : large_open(dirfd, r->large.number);
	const char *why;
	bool ok = r->large.number == 0 || (fd >= 0 && large_verify(fd, &r->large, &why) == 0);

	if (fd >= 0)
		close(fd);
	return ok;
}

static void
print_id(struct slice head)
{
	struct slice line;

	while (slice_next(&head, '\n', &line))
		if (slice_istarts(line, "X-Test-Id:")) {
			struct slice id = slice_trim(slice_from(line, 10));

			if (id.n > 0 && id.p[id.n - 1] == '\r')
				id.n--;
			printf("%.*s\n", SLICE_ARG(id));
			return;
		}
}

static void
segment_print(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	struct segment seg;
	struct scan_item item;
	const char *why;
	struct stat st;
	struct scan s;

	if (fd < 0 || fstat(fd, &st) < 0)
		die(EXIT_UNAVAILABLE, "%s: %s", name, strerror(errno));
	if (scan_segment(fd, &seg, &why) == 0) {
		/* durable 0: the walk ends at the first record that is not whole, as recovery's
		 * does. */
		scan_init(&s, fd, &seg, SEGMENT_HEADER, 0, (uint64_t)st.st_size);
		while (scan_next(&s, &item) == SCAN_RECORD)
			if (will_be_delivered(&item.record) && has_body(dirfd, &item.record))
				print_id(item.record.head);
		scan_fini(&s);
	}
	close(fd);
}

static void
journal_load(int dirfd, const struct spool_identity *identity)
{
	struct journal_replay r = { .each = on_journal };

	memcpy(r.spool_id, identity->id, SPOOL_ID);
	journal_file_replay(dirfd, &r); /* what is wrong with it spool_check() has said */
}

int
main(int argc, char *argv[])
{
	struct spool_identity identity;
	struct spool_report report;
	struct dirent *e;
	int dirfd, error;
	DIR *data;

	if (argc != 2)
		die(EXIT_USAGE, "usage: spoolids folder");
	dirfd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return errno == ENOENT ? 0 : 1;
	error = spool_check(dirfd, &report, on_finding, NULL);
	if (error == -ENOENT)
		return 0;
	if (error != 0)
		die(EXIT_UNAVAILABLE, "%s: %s", argv[1], strerror(-error));
	if (spool_identity_read(dirfd, &identity) != 0)
		return 1;
	journal_load(dirfd, &identity);
	data = fdopendir(openat(dirfd, SPOOL_DATA, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	while (data != NULL && (e = readdir(data)) != NULL) {
		char name[SPOOL_NAME];
		uint32_t number;

		if (!spool_segment_number(e->d_name, &number))
			continue;
		spool_segment_name(number, name);
		segment_print(dirfd, name);
	}
	return report.errors == 0 ? 0 : 1;
}
