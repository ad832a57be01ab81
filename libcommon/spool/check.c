/* SPDX-License-Identifier: ISC */
#include "spool/check.h"

#include "base/die.h"
#include "spool/envelope.h"
#include "spool/journal_file.h"
#include "spool/large.h"
#include "spool/scan.h"
#include "spool/tally.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct checker {
	int dirfd;
	struct spool_identity identity;
	struct spool_report *report;
	spool_finding_fn *fn;
	void *ctx;
	struct tally tally;
	uint32_t *larges; /* that a record refers to which is live or not filed */
	size_t nlarges, larges_room;
};

static void
finding(struct checker *c, enum spool_level level, const struct spool_finding *f)
{
	struct spool_finding whole = *f;

	whole.level = level;
	if (level == SPOOL_ERROR)
		c->report->errors++;
	if (c->fn != NULL)
		c->fn(c->ctx, &whole);
}

/* Opens a segment and reads its header: a descriptor, -ENOENT when it has gone, or an error. */
static int
segment_open(int dirfd, uint32_t number, struct segment *seg, uint64_t *size, const char **why)
{
	char name[SPOOL_NAME];
	struct stat st;
	int fd, error;

	*seg = (struct segment){ 0 };
	*size = 0;
	*why = "cannot be opened";
	spool_segment_name(number, name);
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	error = fstat(fd, &st) != 0 ? -errno : 0;
	if (error == 0 && !S_ISREG(st.st_mode)) {
		*why = "is no regular file";
		error = -EBADMSG;
	}
	if (error == 0) {
		*size = (uint64_t)st.st_size;
		error = scan_segment(fd, seg, why);
	}
	if (error == 0 && seg->number != number) {
		*why = "has another number in its header";
		error = -EBADMSG;
	}
	if (error == 0)
		return fd;
	close(fd);
	return error;
}

/* The journal */

static int
on_journal(void *ctx, uint32_t file, const struct journal_rec *r)
{
	struct checker *c = ctx;
	char name[SPOOL_NAME];

	c->report->journal_records++;
	if (tally_apply(&c->tally, r) == 0)
		return 0;
	spool_journal_name(file, name);
	finding(c, SPOOL_ERROR,
	    &(struct spool_finding){ .file = name,
		.offset = r->offset,
		.length = r->size,
		.id = c->tally.odd_id,
		.what = c->tally.odd });
	return 0;
}

static int
on_gap(void *ctx, uint32_t file, uint64_t expected, uint64_t found)
{
	struct checker *c = ctx;
	char name[SPOOL_NAME], what[96];

	spool_journal_name(file, name);
	snprintf(what, sizeof what, "journal records %llu to %llu are damaged or missing",
	    (unsigned long long)expected, (unsigned long long)found - 1);
	finding(c, SPOOL_ERROR, &(struct spool_finding){ .file = name, .what = what });
	return 0;
}

static int
journal_check(struct checker *c)
{
	struct journal_replay r = { .each = on_journal, .gap = on_gap, .ctx = c };
	uint32_t errors = c->report->errors;
	enum spool_level level = SPOOL_ERROR;
	char name[SPOOL_NAME];
	uint32_t *numbers;
	size_t count, nsegments = 1;
	int error =
	    spool_folder_list(c->dirfd, SPOOL_STATE, spool_journal_number, &numbers, &count);

	if (error != 0)
		return error;
	free(numbers);
	c->report->journals = (uint32_t)count;
	memcpy(r.spool_id, c->identity.id, SPOOL_ID);
	/* A running qmgr may take an old file away while it is read: then once more from the front.
	 */
	for (int tries = 0; tries < 3; tries++) {
		tally_fini(&c->tally);
		c->report->journal_records = 0;
		c->report->errors = errors;
		error = journal_file_replay(c->dirfd, &r);
		if (error != -ENOENT)
			break;
	}
	if (error == -ENODATA && count == 0)
		return 0; /* a spool that no qmgr has opened yet */
	if (error == 0)
		return 0;
	/* The first file's start is synced before any segment is made: a cut may come between. */
	if (error == -ENODATA && spool_folder_list(c->dirfd, SPOOL_DATA, spool_segment_number,
				     &numbers, &nsegments) == 0)
		free(numbers);
	if (nsegments == 0)
		level = SPOOL_NOTE;
	spool_journal_name(r.at, name);
	finding(c, level,
	    &(struct spool_finding){ .file = error == -ENODATA ? SPOOL_STATE : name,
		.what = error == -ENODATA ? "no journal file begins with a FILE_START that verifies"
			: r.why != NULL	  ? r.why
					  : "cannot be read" });
	return 0;
}

/* The segments */

/* Bodies in large/ */

static void
large_note(struct checker *c, uint32_t number)
{
	if (c->nlarges == c->larges_room) {
		c->larges_room = c->larges_room == 0 ? 64 : c->larges_room * 2;
		c->larges = xrealloc(c->larges, c->larges_room * sizeof *c->larges);
	}
	c->larges[c->nlarges++] = number;
}

/* The body of a record that is wanted. m: NULL where it is not filed. */
static void
large_check(struct checker *c, const struct record *r, struct tally_message *m)
{
	int fd = large_open(c->dirfd, r->large.number), error;
	struct spool_finding f = { .length = r->large.bytes, .id = r->id };
	char name[SPOOL_NAME];
	const char *why = NULL;

	large_note(c, r->large.number);
	spool_large_name(r->large.number, name);
	f.file = name;
	if (fd == -ENOENT && m != NULL) {
		m->bodiless = true; /* or done meanwhile: the journal is asked once more */
		return;
	}
	error = fd < 0 ? fd : large_verify(fd, &r->large, &why);
	if (fd >= 0)
		close(fd);
	if (error == 0) {
		c->report->large++;
		c->report->large_bytes += r->large.bytes;
		return;
	}
	f.what = why != NULL ? why : strerror(-error);
	if (error == -EBADMSG)
		c->report->damaged++;
	finding(c, fd == -ENOENT ? SPOOL_NOTE : SPOOL_ERROR, &f);
}

/* Files that no record wants. An empty one is a writer's spare. */
static int
orphans_check(struct checker *c)
{
	uint32_t *numbers;
	size_t count;
	int error = spool_folder_list(c->dirfd, SPOOL_LARGE, spool_large_number, &numbers, &count);

	if (c->nlarges > 1)
		qsort(c->larges, c->nlarges, sizeof *c->larges, spool_number_cmp);
	for (size_t i = 0; error == 0 && i < count; i++) {
		char name[SPOOL_NAME];
		struct stat st;

		spool_large_name(numbers[i], name);
		if ((c->nlarges > 0 && bsearch(&numbers[i], c->larges, c->nlarges,
					   sizeof *c->larges, spool_number_cmp)) ||
		    fstatat(c->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || st.st_size == 0)
			continue;
		c->report->orphans++;
		finding(c, SPOOL_NOTE,
		    &(struct spool_finding){ .file = name,
			.length = (uint64_t)st.st_size,
			.what = numbers[i] > c->tally.large_highest
				    ? "is not in the journal"
				    : "no record refers to it (yet, or any more)" });
	}
	free(numbers);
	return error == -ENOENT ? 0 : error;
}

static void
record_check(struct checker *c, const char *file, const struct tally_segment *known,
    const struct scan_item *item)
{
	struct tally_message *m = tally_message(&c->tally, item->record.id);
	struct spool_finding f = {
		.file = file, .offset = item->offset, .length = item->length, .id = item->record.id
	};
	uint32_t nrcpt;

	c->report->records++;
	c->report->bytes += item->length;
	if (envelope_check(item->record.envelope, &nrcpt, &f.what) != 0 ||
	    nrcpt != item->record.nrcpt) {
		if (f.what == NULL)
			f.what = "header and envelope differ in the number of recipients";
		finding(c, SPOOL_ERROR, &f);
	}
	if (m != NULL && m->segment == item->record.segment && m->offset == item->offset) {
		m->seen = true;
		if (tally_live(m)) {
			if (item->record.large.number != 0)
				large_check(c, &item->record, m);
			c->report->live++;
			c->report->live_bytes += item->length;
		} else {
			c->report->done++;
		}
	} else if (known == NULL || item->offset >= known->filed) {
		if (item->record.large.number != 0)
			large_check(c, &item->record, NULL);
		c->report->unfiled++;
	} else {
		c->report->done++; /* moved, or so long done that the journal has forgotten it */
	}
}

static void
records_check(struct checker *c, const char *file, int fd, const struct segment *seg, uint64_t size)
{
	const struct tally_segment *known = tally_segment(&c->tally, seg->number);
	uint64_t durable = known != NULL ? known->durable : 0;
	uint64_t limit = known != NULL && known->sealed < size ? known->sealed : size;
	enum scan_got got;
	struct scan_item item;
	struct scan s;

	/* What was filed and is beyond the end of the file is damage as well. */
	scan_init(&s, fd, seg, SEGMENT_HEADER, durable < limit ? durable : limit, limit);
	s.verify_bodies = true;
	while ((got = scan_next(&s, &item)) == SCAN_RECORD || got == SCAN_DAMAGE) {
		if (got == SCAN_RECORD) {
			record_check(c, file, known, &item);
			continue;
		}
		if (item.doubtful) {
			c->report->tail_bytes += item.length;
		} else {
			c->report->damaged++;
			c->report->damaged_bytes += item.length;
		}
		finding(c, item.doubtful ? SPOOL_NOTE : SPOOL_ERROR,
		    &(struct spool_finding){ .file = file,
			.offset = item.offset,
			.length = item.length,
			.what = item.why });
	}
	if (got == SCAN_TAIL) {
		c->report->tail_bytes += item.length;
		finding(c, SPOOL_NOTE,
		    &(struct spool_finding){ .file = file,
			.offset = item.offset,
			.length = item.length,
			.what = "not a whole record, past all that is known to be durable" });
	}
	if (got == SCAN_ERROR)
		finding(c, SPOOL_ERROR,
		    &(struct spool_finding){
			.file = file, .offset = item.offset, .what = strerror(-item.error) });
	if (durable > size)
		finding(c, SPOOL_ERROR,
		    &(struct spool_finding){ .file = file,
			.offset = size,
			.length = durable - size,
			.what = "the file ends before what was filed" });
	scan_fini(&s);
}

static uint64_t
known_filed(const struct tally_segment *known)
{
	return known != NULL ? known->durable : 0;
}

/*
 * No byte of a header. A segment is handed out when its header is synced, so a cut while it is made
 * leaves this, and no mail in it.
 */
static bool
segment_is_blank(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char bytes[SEGMENT_HEADER + 1], blank[SEGMENT_HEADER] = { 0 };
	ssize_t n = fd < 0 ? -1 : pread(fd, bytes, sizeof bytes, 0);

	if (fd >= 0)
		close(fd);
	return n >= 0 && n <= SEGMENT_HEADER && memcmp(bytes, blank, (size_t)n) == 0;
}

static void
segment_check(struct checker *c, uint32_t number)
{
	const struct tally_segment *known = tally_segment(&c->tally, number);
	char name[SPOOL_NAME];
	struct segment seg;
	const char *why;
	uint64_t size;
	int fd = segment_open(c->dirfd, number, &seg, &size, &why);

	if (fd == -ENOENT)
		return;
	spool_segment_name(number, name);
	c->report->segments++;
	if (fd < 0) {
		bool unborn = fd == -EBADMSG && known_filed(known) <= SEGMENT_HEADER &&
			      segment_is_blank(c->dirfd, name);

		finding(c, unborn ? SPOOL_NOTE : SPOOL_ERROR,
		    &(struct spool_finding){
			.file = name, .what = why != NULL ? why : strerror(-fd) });
		return;
	}
	if (memcmp(seg.spool_id, c->identity.id, SPOOL_ID) != 0)
		finding(c, SPOOL_ERROR,
		    &(struct spool_finding){ .file = name, .what = "belongs to another spool" });
	if (known == NULL && c->report->journal_records > 0)
		finding(c, SPOOL_NOTE,
		    &(struct spool_finding){ .file = name, .what = "is not in the journal" });
	if (known != NULL && known->freed)
		finding(c, SPOOL_NOTE,
		    &(struct spool_finding){ .file = name, .what = "all done; not removed yet" });
	records_check(c, name, fd, &seg, size);
	close(fd);
}

static int
on_second(void *ctx, uint32_t file, const struct journal_rec *r)
{
	(void)file;
	tally_apply(ctx, r);
	return 0;
}

static int
on_second_gap(void *ctx, uint32_t file, uint64_t expected, uint64_t found)
{
	(void)ctx, (void)file, (void)expected, (void)found;
	return 0;
}

/* Live, not met, and the journal still says the same: qmgr may have gone on since it was read. */
static bool
still_missing(struct tally *second, const struct tally_message *m)
{
	const struct tally_message *now = tally_message(second, m->id);

	return now != NULL && tally_live(now) && now->segment == m->segment &&
	       now->offset == m->offset;
}

static void
missing_check(struct checker *c)
{
	struct tally second = { 0 };
	struct journal_replay r = { .each = on_second, .gap = on_second_gap, .ctx = &second };
	bool asked = false;

	memcpy(r.spool_id, c->identity.id, SPOOL_ID);
	for (size_t i = 0; i < c->tally.nslots; i++) {
		const struct tally_message *m = &c->tally.slots[i];
		char name[SPOOL_NAME];

		if (m->id == 0 || !tally_live(m))
			continue;
		c->report->open_rcpts += tally_open(m);
		if (m->seen && !m->bodiless)
			continue;
		if (!asked)
			journal_file_replay(c->dirfd, &r);
		asked = true;
		if (!still_missing(&second, m))
			continue;
		c->report->missing++;
		spool_segment_name(m->segment, name);
		finding(c, SPOOL_ERROR,
		    &(struct spool_finding){ .file = name,
			.offset = m->offset,
			.length = m->total,
			.id = m->id,
			.what = m->seen ? "a live message's body in large/ is not there"
					: "a live message's record is not there" });
	}
	tally_fini(&second);
}

int
spool_check(int dirfd, struct spool_report *out, spool_finding_fn *fn, void *ctx)
{
	struct checker c = { .dirfd = dirfd, .report = out, .fn = fn, .ctx = ctx };
	uint32_t *numbers = NULL;
	size_t count = 0;
	int error;

	*out = (struct spool_report){ 0 };
	error = spool_identity_read(dirfd, &c.identity);
	if (error == 0)
		error = journal_check(&c);
	if (error == 0)
		error =
		    spool_folder_list(dirfd, SPOOL_DATA, spool_segment_number, &numbers, &count);
	if (error == 0) {
		for (size_t i = 0; i < count; i++)
			segment_check(&c, numbers[i]);
		missing_check(&c);
		error = orphans_check(&c);
	}
	free(numbers);
	free(c.larges);
	tally_fini(&c.tally);
	return error;
}

/* One record by its id */

static bool
large_is_whole(int dirfd, const struct record_large *large)
{
	int fd = large_open(dirfd, large->number);
	const char *why;
	bool ok = fd >= 0 && large_verify(fd, large, &why) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static int
segment_find(int dirfd, uint32_t number, uint64_t id, struct spool_found *out)
{
	struct scan_item item;
	enum scan_got got;
	struct scan s;
	const char *why;
	uint64_t size;
	int fd = segment_open(dirfd, number, &out->segment, &size, &why);
	int error = -ENOENT;

	if (fd < 0)
		return -ENOENT; /* a segment that cannot be read hides only its own records */
	/* Damage is passed over, to the very end. */
	scan_init(&s, fd, &out->segment, SEGMENT_HEADER, size, size);
	while (error == -ENOENT && (got = scan_next(&s, &item)) != SCAN_END && got != SCAN_ERROR)
		if (got == SCAN_RECORD && item.record.id == id)
			error = scan_record(fd, number, item.offset, out->segment.seed, false,
			    &out->bytes, &out->record, &why);
	scan_fini(&s);
	if (error == 0) {
		uint64_t offset = out->record.offset;

		/* Whole, for its body; damaged bodies are shown as well, and said to be. */
		out->body_ok = scan_record(fd, number, offset, out->segment.seed, true, &out->bytes,
				   &out->record, &why) == 0;
		if (out->body_ok && out->record.large.number != 0)
			out->body_ok = large_is_whole(dirfd, &out->record.large);
	}
	close(fd);
	return error;
}

int
spool_find(int dirfd, uint64_t id, struct spool_found *out)
{
	struct spool_identity identity;
	uint32_t *numbers = NULL;
	size_t count = 0;
	int error = spool_identity_read(dirfd, &identity);

	*out = (struct spool_found){ .body_ok = false };
	if (error == 0)
		error =
		    spool_folder_list(dirfd, SPOOL_DATA, spool_segment_number, &numbers, &count);
	if (error == 0) {
		error = -ENOENT;
		while (error == -ENOENT && count > 0)
			error = segment_find(dirfd, numbers[--count], id, out);
	}
	free(numbers);
	if (error != 0)
		spool_found_fini(out);
	return error;
}

void
spool_found_fini(struct spool_found *f)
{
	buf_fini(&f->bytes);
	*f = (struct spool_found){ .body_ok = false };
}
