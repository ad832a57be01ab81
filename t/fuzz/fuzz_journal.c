/* SPDX-License-Identifier: ISC */
/*
 * The journal as recovery meets it: the bytes as they are, or (first byte odd) with the checks
 * and sequence numbers made right along the row of records, so that payloads are reached.
 */
#include "spool/journal.h"
#include "spool/tally.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEED = 42, AT_LEN = 8, AT_SEQ = 16 };

static void
make_right(char *p, size_t n)
{
	uint64_t seq = 1;

	while (n >= JOURNAL_HEADER) {
		uint64_t size, check;
		uint32_t len;

		memcpy(&len, p + AT_LEN, sizeof len);
		size = (JOURNAL_HEADER + (uint64_t)len + 7) & ~UINT64_C(7);
		if (size > n)
			return;
		memcpy(p + AT_SEQ, &seq, sizeof seq);
		check = XXH3_64bits_withSeed(p + AT_LEN, size - AT_LEN, SEED);
		memcpy(p, &check, sizeof check);
		seq++;
		p += size;
		n -= size;
	}
}

static void
on_field(void *ctx, const char *name, const char *type, uint64_t number, struct slice bytes)
{
	uint64_t *sum = ctx;

	*sum += number + (unsigned char)name[0] + (unsigned char)type[0];
	for (size_t i = 0; i < bytes.n; i++)
		*sum += (unsigned char)bytes.p[i];
}

static void
use_rcpts(struct slice rest)
{
	struct journal_rcpt entry;
	uint64_t sum = 0;

	while (journal_rcpt_next(&rest, &entry) == 1) {
		on_field(&sum, "h", "t", 0, entry.host);
		on_field(&sum, "r", "t", 0, entry.reply);
		on_field(&sum, "a", "t", 0, entry.address);
		on_field(&sum, "o", "t", 0, entry.orcpt);
	}
}

static void
use(struct slice rest)
{
	struct tally tally = { 0 };
	struct journal_rec r;
	enum journal_status got;
	const char *why;
	uint64_t seq = 1, sum = 0;

	while (
	    (got = journal_next(&rest, SEED, seq, &r, &why)) == JOURNAL_OK || got == JOURNAL_SKIP) {
		assert(r.seq == seq);
		seq++;
		if (got == JOURNAL_SKIP)
			continue;
		journal_each(&r, on_field, &sum);
		if (r.kind == JOURNAL_KIND_FILED)
			use_rcpts(r.filed.rcpts);
		if (r.kind == JOURNAL_KIND_MESSAGE)
			use_rcpts(r.message.rcpts);
		if (r.kind == JOURNAL_KIND_EXPANDED)
			use_rcpts(r.expanded.rcpts);
		tally_apply(&tally, &r);
	}
	tally_fini(&tally);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n = size > 0 ? size - 1 : 0;
	char *copy;

	if (size == 0)
		return 0;
	copy = malloc(n);
	if (n > 0)
		memcpy(copy, data + 1, n);
	if (data[0] % 2 == 1)
		make_right(copy, n);
	use(slice_of(copy, n));
	free(copy);
	return 0;
}
