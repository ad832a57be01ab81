/* SPDX-License-Identifier: ISC */
/*
 * A spool record as a reader meets it. The first byte chooses: the bytes as they are; with the
 * checksums made right, so that lengths and fields are reached; or as an envelope alone. Whatever
 * passes must be safe to use to its last byte and must come out the same when written again.
 */
#include "spool/content.h"
#include "spool/record.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENT = 1, OFFSET = 256, SEED = 42, AT_ENV = 16, AT_HEAD = 20, AT_FRONT = 80 };

static uint64_t
sum(struct slice s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += (unsigned char)s.p[i];
	return n;
}

static void
use_content(struct slice head, struct slice body, struct slice fields)
{
	struct arena arena = { 0 };
	struct content c;
	uint64_t n = 0;

	if (content_make(&c, head, body, 0, fields, &arena) == 0) {
		for (size_t i = 0; i < c.niov; i++) {
			sum(slice_of(c.iov[i].iov_base, c.iov[i].iov_len));
			n += c.iov[i].iov_len;
		}
		assert(n == c.bytes && c.bytes == c.head_bytes + body.n);
	}
	arena_fini(&arena);
}

static void
use_envelope(struct slice env, struct slice head, struct slice body)
{
	struct envelope_iter it;
	struct envelope_rcpt r;
	struct envelope e;
	struct slice key, value, rest;
	struct envelope_edit edit;
	const char *why;
	uint32_t n, count = 0;
	int checked = envelope_check(env, &n, &why);

	if (envelope_message(env, &e) != 0) {
		assert(checked != 0);
		return;
	}
	sum(e.sender), sum(e.login), sum(e.helo), sum(e.notice_rcpts);
	for (size_t i = 0; i < e.notice_rcpts.n / 4; i++)
		envelope_u32(e.notice_rcpts, i);
	rest = e.fields;
	for (uint32_t i = 0; i < e.context; i++)
		assert(envelope_pair_next(&rest, ENVELOPE_CONTEXT, &key, &value));
	rest = e.fields;
	for (uint32_t i = 0; i < e.edit; i++)
		assert(envelope_edit_next(&rest, &edit) && edit.n > 0 && sum(edit.bytes) + 1 > 0);
	envelope_rcpts(&e, &it);
	while (envelope_rcpt_next(&it, &r) == 1) {
		sum(r.recipient), sum(r.orcpt), sum(r.route.bytes);
		count++;
	}
	assert(checked != 0 || count == n);
	use_content(head, body, e.fields);
}

static void
use_record(struct slice bytes)
{
	struct record r;

	if (record_parse(bytes, SEGMENT, OFFSET, SEED, &r) != RECORD_OK)
		return;
	assert(r.total % SPOOL_ALIGN == 0 && r.body_at <= r.total);
	use_envelope(r.envelope, r.head, r.body.p != NULL ? r.body : SLICE_NONE);
	if (r.body.p == NULL)
		return;
	sum(r.body);
	if (record_body_verify(&r, bytes, SEED)) {
		struct record_parts p = { .envelope = r.envelope,
			.head = r.head,
			.body = r.body,
			.flags = r.flags & RECORD_FLAGS_KNOWN,
			.nrcpt = r.nrcpt,
			.id = r.id,
			.arrival_ms = r.arrival_ms,
			.large = r.large };
		struct buf again = { 0 };

		if (r.flags == p.flags && record_build(&again, &p, SEED) == 0) {
			record_seal(again.p, SEGMENT, OFFSET, SEED);
			assert(slice_eq(slice_buf(&again), slice_head(bytes, r.total)));
		}
		buf_fini(&again);
	}
}

static void
make_right(char *p, size_t n)
{
	uint32_t env, head;

	if (n < RECORD_HEADER)
		return;
	memcpy(&env, p + AT_ENV, sizeof env);
	memcpy(&head, p + AT_HEAD, sizeof head);
	if ((uint64_t)env + head <= n - RECORD_HEADER) {
		uint64_t front = XXH3_64bits_withSeed(p + RECORD_HEADER, (size_t)env + head, SEED);

		memcpy(p + AT_FRONT, &front, sizeof front);
	}
	record_seal(p, SEGMENT, OFFSET, SEED);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n = size > 0 ? size - 1 : 0;
	char *copy;

	if (size == 0)
		return 0;
	copy = malloc(n); /* exact: a read past the end is seen */
	if (n > 0)
		memcpy(copy, data + 1, n);
	switch (data[0] % 3) {
	case 0:
		use_record(slice_of(copy, n));
		break;
	case 1:
		make_right(copy, n);
		use_record(slice_of(copy, n));
		break;
	case 2:
		use_envelope(
		    slice_of(copy, n), SLICE_LIT("A: 1\r\nB: 2\r\n 3\r\n"), SLICE_LIT("\r\n"));
		break;
	}
	free(copy);
	return 0;
}
