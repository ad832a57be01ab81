/* SPDX-License-Identifier: ISC */
#include "ctl/angctl.h"

#include "base/id.h"
#include "base/json.h"
#include "conf/generation.h"
#include "spool/check.h"
#include "spool/envelope.h"
#include "spool/large.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The spool folder: as named, or the configuration's. -errno after a complaint. */
static int
open_spool(const struct angctl *a, const char *dir)
{
	struct buf err = { 0 };
	struct conf *c = NULL;
	int fd;

	if (dir == NULL) {
		if ((a->run_dirfd < 0 || conf_load_newest(a->run_dirfd, &c, &err) != 0) &&
		    conf_check(a->config, &c, &err) != 0) {
			complain("%.*s", (int)err.n, err.p);
			buf_fini(&err);
			return -EINVAL;
		}
		dir = c->spool_dir;
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		int e = errno;

		complain("%s: %s", dir, strerror(e));
		errno = e;
	}
	conf_unref(c);
	buf_fini(&err);
	return fd < 0 ? -errno : fd;
}

static void
print_finding(void *ctx, const struct spool_finding *f)
{
	const struct angctl *a = ctx;
	char id[ID_TEXT + 1] = "";
	struct buf b = { 0 };

	if (f->id != 0)
		id_text(f->id, id);
	if (!a->json) {
		printf("%s: %s", f->level == SPOOL_ERROR ? "error" : "note", f->file);
		if (f->length != 0)
			printf(" at %llu, %llu bytes", (unsigned long long)f->offset,
			    (unsigned long long)f->length);
		printf("%s%s: %s\n", f->id != 0 ? ", id " : "", id, f->what);
		return;
	}
	json_open(&b, '{');
	json_kz(&b, "level", f->level == SPOOL_ERROR ? "error" : "note");
	json_kz(&b, "file", f->file);
	json_ku64(&b, "offset", f->offset);
	json_ku64(&b, "length", f->length);
	json_kz(&b, "id", id);
	json_kz(&b, "what", f->what);
	json_close(&b, '}');
	printf("%.*s\n", (int)b.n, b.p);
	buf_fini(&b);
}

static void
print_report(const struct angctl *a, const struct spool_report *r)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{ "segments", r->segments },
		{ "journals", r->journals },
		{ "records", r->records },
		{ "live", r->live },
		{ "done", r->done },
		{ "unfiled", r->unfiled },
		{ "open_rcpts", r->open_rcpts },
		{ "bytes", r->bytes },
		{ "live_bytes", r->live_bytes },
		{ "tail_bytes", r->tail_bytes },
		{ "damaged", r->damaged },
		{ "damaged_bytes", r->damaged_bytes },
		{ "missing", r->missing },
		{ "large", r->large },
		{ "large_bytes", r->large_bytes },
		{ "orphans", r->orphans },
		{ "journal_records", r->journal_records },
		{ "errors", r->errors },
	};
	struct buf b = { 0 };

	json_open(&b, '{');
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		json_ku64(&b, rows[i].name, rows[i].value);
		if (!a->json)
			printf("%-16s %llu\n", rows[i].name, (unsigned long long)rows[i].value);
	}
	json_close(&b, '}');
	if (a->json)
		printf("%.*s\n", (int)b.n, b.p);
	buf_fini(&b);
}

int
cmd_spool_check(const struct angctl *a, int argc, char *argv[])
{
	struct spool_report r = { 0 };
	int fd, err;

	if (argc > 1) {
		complain("usage: angctl spool check [DIR]");
		return EXIT_USAGE;
	}
	fd = open_spool(a, argc > 0 ? argv[0] : NULL);
	if (fd < 0)
		return EXIT_UNAVAILABLE;
	err = spool_check(fd, &r, print_finding, (void *)(uintptr_t)a);
	close(fd);
	if (err != 0) {
		complain("the spool cannot be read: %s", strerror(-err));
		return EXIT_UNAVAILABLE;
	}
	print_report(a, &r);
	return r.errors == 0 ? 0 : EXIT_DATA;
}

static void
print_bytes(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= ' ' && s.p[i] < 127)
			putchar(s.p[i]);
		else
			printf("\\x%02x", (unsigned char)s.p[i]);
}

static void
print_field(void *ctx, uint16_t number, const char *name, struct slice bytes)
{
	(void)ctx;
	printf("  %-14s %3u  ", name != NULL ? name : "?", number & ~ENVELOPE_CRITICAL);
	print_bytes(bytes);
	putchar('\n');
}

static void
print_record(const struct angctl *a, const struct spool_found *f)
{
	const struct record *r = &f->record;
	char id[ID_TEXT + 1];
	struct buf b = { 0 };

	id_text(r->id, id);
	if (a->json) {
		json_open(&b, '{');
		json_kz(&b, "id", id);
		json_ku64(&b, "segment", r->segment);
		json_ku64(&b, "offset", r->offset);
		json_ku64(&b, "total", r->total);
		json_ku64(&b, "arrival_ms", r->arrival_ms);
		json_ku64(&b, "flags", r->flags);
		json_ku64(&b, "nrcpt", r->nrcpt);
		json_kz(&b, "class", class_word(f->segment.class));
		json_kbool(&b, "body_ok", f->body_ok);
		if (r->large.number != 0) {
			json_ku64(&b, "large", r->large.number);
			json_ku64(&b, "large_bytes", r->large.bytes);
		}
		json_kstr(&b, "head", r->head);
		json_kstr(&b, "body", r->body);
		json_close(&b, '}');
		printf("%.*s\n", (int)b.n, b.p);
		buf_fini(&b);
		return;
	}
	printf("record %s: segment %u, offset %llu, %llu bytes, class %s, %u recipients, flags "
	       "0x%x, body %s\n",
	    id, r->segment, (unsigned long long)r->offset, (unsigned long long)r->total,
	    class_word(f->segment.class), r->nrcpt, r->flags, f->body_ok ? "verifies" : "DAMAGED");
	if (r->large.number != 0)
		printf("body: in large/%010u, %llu bytes\n", r->large.number,
		    (unsigned long long)r->large.bytes);
	printf("envelope:\n");
	envelope_each(r->envelope, print_field, NULL);
	printf("message:\n");
	fwrite(r->head.p, 1, r->head.n, stdout);
	fwrite(r->body.p, 1, r->body.n, stdout);
}

/* A body that stands in large/, as far as it can be read. */
static void
print_large(int spool_fd, uint32_t number)
{
	int fd = large_open(spool_fd, number);
	static char piece[LARGE_PIECE_BYTES];
	ssize_t n;

	while (fd >= 0 && (n = read(fd, piece, sizeof piece)) > 0)
		fwrite(piece, 1, (size_t)n, stdout);
	if (fd >= 0)
		close(fd);
}

int
cmd_spool_show(const struct angctl *a, int argc, char *argv[])
{
	struct spool_found f = { 0 };
	uint64_t id;
	int fd, err;

	if (argc < 1 || argc > 2 || !id_parse(slice_z(argv[0]), &id)) {
		complain("usage: angctl spool show ID [DIR]");
		return EXIT_USAGE;
	}
	fd = open_spool(a, argc > 1 ? argv[1] : NULL);
	if (fd < 0)
		return EXIT_UNAVAILABLE;
	err = spool_find(fd, id, &f);
	if (err != 0) {
		close(fd);
		complain("%s: %s", argv[0],
		    err == -ENOENT ? "no such record in the spool" : strerror(-err));
		return err == -ENOENT ? EXIT_DATA : EXIT_UNAVAILABLE;
	}
	print_record(a, &f);
	if (f.record.large.number != 0 && !a->json)
		print_large(fd, f.record.large.number);
	close(fd);
	err = f.body_ok ? 0 : EXIT_DATA;
	spool_found_fini(&f);
	return err;
}
