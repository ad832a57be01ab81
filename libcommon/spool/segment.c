/* SPDX-License-Identifier: ISC */
#include "spool/segment.h"

#include "spool/le.h"

#include <errno.h>
#include <xxhash.h>

static const char magic[8] = { '\x89', 'A', 'N', 'G', 'S', 'E', 'G', '\n' };

/* Where things stand: spool.5 has the same table. */
enum {
	AT_VERSION = 8,
	AT_FLAGS = 12,
	AT_NUMBER = 16,
	AT_CLASS = 20,
	AT_INSTANCE = 24,
	AT_FLOOR = 32,
	AT_SEED = 40,
	AT_MADE = 48,
	AT_SPOOL = 56,
	AT_ZERO = AT_SPOOL + SPOOL_ID,
	AT_CHECK = SEGMENT_HEADER - 8,
};

void
segment_encode(const struct segment *s, char out[static SEGMENT_HEADER])
{
	memset(out, 0, SEGMENT_HEADER);
	memcpy(out, magic, sizeof magic);
	le_put_u16(out + AT_VERSION, s->version);
	le_put_u32(out + AT_FLAGS, s->flags);
	le_put_u32(out + AT_NUMBER, s->number);
	out[AT_CLASS] = (char)s->class;
	le_put_u64(out + AT_INSTANCE, s->instance);
	le_put_u64(out + AT_FLOOR, s->floor_ms);
	le_put_u64(out + AT_SEED, s->seed);
	le_put_u64(out + AT_MADE, s->made_ms);
	memcpy(out + AT_SPOOL, s->spool_id, SPOOL_ID);
	le_put_u64(out + AT_CHECK, XXH3_64bits(out, AT_CHECK));
}

int
segment_decode(struct slice bytes, struct segment *out, const char **why)
{
	const char *p = bytes.p;

	*why = "is shorter than a segment header";
	if (bytes.n < SEGMENT_HEADER)
		return -EBADMSG;
	*why = "does not begin like a segment";
	if (memcmp(p, magic, sizeof magic) != 0)
		return -EBADMSG;
	*why = "has a header that fails its checksum";
	if (le_u64(p + AT_CHECK) != XXH3_64bits(p, AT_CHECK))
		return -EBADMSG;
	out->version = le_u16(p + AT_VERSION);
	out->flags = le_u32(p + AT_FLAGS);
	out->number = le_u32(p + AT_NUMBER);
	out->class = (uint8_t)p[AT_CLASS];
	out->instance = le_u64(p + AT_INSTANCE);
	out->floor_ms = le_u64(p + AT_FLOOR);
	out->seed = le_u64(p + AT_SEED);
	out->made_ms = le_u64(p + AT_MADE);
	memcpy(out->spool_id, p + AT_SPOOL, SPOOL_ID);
	*why = "is of a later version of the spool format";
	if (out->version == 0 || out->version > SPOOL_VERSION)
		return -ENOTSUP;
	*why = "has a critical flag that this version does not know";
	if (out->flags != 0)
		return -ENOTSUP;
	*why = NULL;
	return 0;
}
