/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_TEST_H
#define SPOOL_TEST_H

/* What the tests of the spool share: a repeatable source of bytes, a spool folder, a small record.
 */
#include "spool/envelope.h"
#include "spool/lease.h"
#include "spool/record.h"

#include "t/unit/check_main.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static uint64_t test_random_state = 88172645463325252U;

static inline uint64_t
test_random(void)
{
	test_random_state ^= test_random_state << 13;
	test_random_state ^= test_random_state >> 7;
	test_random_state ^= test_random_state << 17;
	return test_random_state;
}

static inline struct slice
test_bytes(char *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (char)test_random();
	return slice_of(to, n);
}

/* Bytes of their own on the heap, exactly as many: a read beyond them is seen by a sanitizer. */
static inline char *
test_copy(const void *p, size_t n)
{
	char *c = malloc(n > 0 ? n : 1);

	ck_assert_ptr_nonnull(c);
	if (n > 0)
		memcpy(c, p, n);
	return c;
}

static inline int
test_folder(char path[static 64])
{
	int fd;

	snprintf(path, 64, "/tmp/spooltest.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static inline void
test_folder_remove(const char *path)
{
	char name[4096];
	struct dirent *e;
	DIR *d = opendir(path);

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (snprintf(name, sizeof name, "%s/%s", path, e->d_name) >= (int)sizeof name)
			continue;
		if (unlink(name) != 0)
			test_folder_remove(name);
	}
	if (d != NULL)
		closedir(d);
	rmdir(path);
}

static const uint64_t TEST_SEED = 0x1122334455667788U;

static inline struct segment
test_segment(uint32_t number)
{
	struct segment s = { .number = number,
		.version = SPOOL_VERSION,
		.class = 1,
		.instance = 7,
		.floor_ms = 1000,
		.seed = TEST_SEED + number,
		.made_ms = 5 };

	memcpy(s.spool_id, "0123456789abcdef", SPOOL_ID);
	return s;
}

static inline void
test_envelope(struct buf *env, const char *sender, uint32_t nrcpt)
{
	envelope_put_text(env, ENVELOPE_SENDER, slice_z(sender));
	for (uint32_t i = 0; i < nrcpt; i++) {
		char to[32];

		snprintf(to, sizeof to, "u%u@example.org", (unsigned)i);
		envelope_put_text(env, ENVELOPE_RECIPIENT, slice_z(to));
	}
}

/* A sealed record appended to *b, for `offset` of the segment. */
static inline void
test_record(struct buf *b, const struct segment *seg, uint64_t offset, uint64_t id, uint32_t nrcpt,
    struct slice body)
{
	struct buf env = { 0 };
	struct record_parts p = { .head = SLICE_LIT("Subject: x\r\n"),
		.body = body,
		.id = id,
		.arrival_ms = 99,
		.nrcpt = nrcpt };
	size_t at = b->n;

	test_envelope(&env, "a@example.org", nrcpt);
	p.envelope = slice_buf(&env);
	ck_assert_int_eq(record_build(b, &p, seg->seed), 0);
	record_seal(b->p + at, seg->number, offset, seg->seed);
	buf_fini(&env);
}

#endif
