/* SPDX-License-Identifier: ISC */
/*
 * spoolids FOLDER [MAILDIR PART]...: what is there after a power cut, one a line, by X-Test-Id.
 *
 *	ID		a message in the spool that will still be delivered: its record verifies to the last
 *			byte, and the journal holds it for unfiled, or filed and open
 *	ID*N		the same, expanded, of which N recipients are open
 *	ID>notes	a notice in the spool that speaks of it
 *	ID>PART		a file in that Maildir that is whole
 *
 * Exit 1 with the findings when the checker has found an error: a cut may leave a torn tail, never
 * that. A folder that no service has opened yet is an empty spool.
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
#include "spool/envelope.h"
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

/* The first line of this name in the text; empty: there is none. */
static struct slice
test_id(struct slice text)
{
	struct slice line;

	while (slice_next(&text, '\n', &line)) {
		if (!slice_istarts(line, "X-Test-Id:"))
			continue;
		line = slice_trim(slice_from(line, 10));
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		return line;
	}
	return SLICE_NONE;
}

static void
print_open(struct slice id, const struct tally_message *m)
{
	unsigned open = 0;
	bool expanded = false;

	for (uint32_t i = 0; m != NULL && i < m->nrcpt; i++) {
		expanded = expanded || m->rcpt[i].state == SPOOL_EXPANDED;
		open += spool_is_open(m->rcpt[i].state, m->rcpt[i].owed) || m->rcpt[i].owed != 0;
	}
	printf("%.*s", SLICE_ARG(id));
	if (expanded)
		printf("*%u", open);
	putchar('\n');
}

/* Of whom it speaks stands in its body: the header of the message that failed. */
static void
print_notice(int fd, uint64_t seed, const struct record *r)
{
	struct buf bytes = { 0 };
	struct record whole;
	const char *why;
	struct slice id = SLICE_NONE;

	if (scan_record(fd, r->segment, r->offset, seed, true, &bytes, &whole, &why) == 0)
		id = test_id(whole.body);
	if (id.n > 0)
		printf("%.*s>notes\n", SLICE_ARG(id));
	buf_fini(&bytes);
}

static void
print_record(int fd, uint64_t seed, const struct record *r)
{
	struct slice id = test_id(r->head);
	struct envelope e;

	if (id.n > 0)
		print_open(id, tally_message(&tally, r->id));
	else if (envelope_message(r->envelope, &e) == 0 && e.notice_of != 0)
		print_notice(fd, seed, r);
}

/* What a cut leaves of data that was not synced are zeros, or a shorter file than its name says. */
static bool
is_whole(const char *name, struct slice text)
{
	const char *size = strstr(name, ",S=");

	return size != NULL && strtoull(size + 3, NULL, 10) == text.n && slice_find(text, '\0') < 0;
}

static void
mail_print(int dirfd, const char *name, const char *part)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	struct buf text = { 0 };
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		die(EXIT_UNAVAILABLE, "%s: %s", name, strerror(errno));
	while ((n = read(fd, buf_room(&text, 65536), 65536)) > 0)
		text.n += (size_t)n;
	if (is_whole(name, slice_buf(&text)))
		printf("%.*s>%s\n", SLICE_ARG(test_id(slice_buf(&text))), part);
	else
		fprintf(stderr, "%s: not whole\n", name);
	buf_fini(&text);
	close(fd);
}

static void
maildir_print(const char *maildir, const char *part)
{
	char path[4096];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof path, "%s/new", maildir);
	dir = opendir(path);
	while (dir != NULL && (e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.')
			mail_print(dirfd(dir), e->d_name, part);
	if (dir != NULL)
		closedir(dir);
}

static void
segment_print(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	struct segment seg;
	struct scan_item item;
	enum scan_got got;
	const char *why;
	struct stat st;
	struct scan s;

	if (fd < 0 || fstat(fd, &st) < 0)
		die(EXIT_UNAVAILABLE, "%s: %s", name, strerror(errno));
	if (scan_segment(fd, &seg, &why) == 0) {
		/* durable 0: all is taken that is whole, as recovery does. */
		scan_init(&s, fd, &seg, SEGMENT_HEADER, 0, (uint64_t)st.st_size);
		while ((got = scan_next(&s, &item)) == SCAN_RECORD || got == SCAN_DAMAGE)
			if (got == SCAN_RECORD && will_be_delivered(&item.record) &&
			    has_body(dirfd, &item.record))
				print_record(fd, seg.seed, &item.record);
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

/* 0, or the exit code. */
static int
spool_print(const char *folder)
{
	struct spool_identity identity;
	struct spool_report report;
	struct dirent *e;
	int dirfd, error;
	DIR *data;

	dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return errno == ENOENT ? 0 : 1;
	error = spool_check(dirfd, &report, on_finding, NULL);
	if (error == -ENOENT)
		return 0;
	if (error != 0)
		die(EXIT_UNAVAILABLE, "%s: %s", folder, strerror(-error));
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

int
main(int argc, char *argv[])
{
	if (argc < 2 || argc % 2 != 0)
		die(EXIT_USAGE, "usage: spoolids folder [maildir part]...");
	for (int i = 2; i < argc; i += 2)
		maildir_print(argv[i], argv[i + 1]);
	return spool_print(argv[1]);
}
