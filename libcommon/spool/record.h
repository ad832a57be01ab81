/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_RECORD_H
#define SPOOL_RECORD_H

#include "base/buf.h"
#include "spool/spool.h"

#include <sys/uio.h>

/*
 * A record: one message with its envelope, in a segment.
 *
 *	header        128 bytes
 *	envelope      env_len     fields (envelope.h)
 *	header        head_len    the message's header as received: whole lines, CRLF, without the
 *	  section                 empty line behind it
 *	body          body_len    from that empty line on (or the first line that is no header
 *	                          field), CRLF, dots not doubled
 *	end mark      8 bytes
 *	zeros         to the next multiple of 64
 *
 * Three hashes, XXH3-64 seeded with the segment's seed: `front` over envelope and header section,
 * `body` over the body, and `check` over the header, which holds the other two, its own place in
 * the file (segment and offset) and the id. Without the seed no body can contain what passes for
 * a record, and a true record copied to another place does not pass either. Header, envelope and
 * header section (the *front*) can be verified without the body.
 *
 * With RECORD_LARGE the body stands in the file large/ of that number (large.h), alone and from its
 * first byte; the record has none. The header tells the file's number and the body's length and
 * hash, which is seeded with that number: so it stays right when compaction copies the record.
 */
enum {
	RECORD_HEADER = 128,
	RECORD_END = 8,
	RECORD_ENV_MAX = 8 << 20,
	RECORD_HEAD_MAX = 16 << 20,
	RECORD_FRONT_MAX = RECORD_HEADER + RECORD_ENV_MAX + RECORD_HEAD_MAX,
	RECORD_RCPT_MAX = 50000,
};
#define RECORD_MAX_BYTES (UINT64_C(4) << 30)

/* Bits 16 and above are critical: a reader that does not know one refuses the record. */
enum record_flag {
	RECORD_HAS_DOT = 1 << 0,	/* a line of header section or body begins with a dot */
	RECORD_LONG_LINE = 1 << 1,	/* a line has more than 998 bytes before its CRLF */
	RECORD_EIGHT_BIT = 1 << 2,	/* a byte above 127 in header section or body */
	RECORD_NUL = 1 << 3,		/* a NUL byte */
	RECORD_BARE = 1 << 4,		/* a CR or LF that is not part of a CRLF (BDAT only) */
	RECORD_NO_END = 1 << 5,		/* the last line has no CRLF (BDAT only) */
	RECORD_EIGHT_BIT_HEAD = 1 << 6, /* the byte above 127 stands in the header section */
	RECORD_LARGE = 1 << 16,		/* the body stands in large/ */
};
#define RECORD_FLAGS_KNOWN 0x1007f

/* A body in large/: number of the file (0: none), its length and hash (large.h). */
struct record_large {
	uint32_t number;
	uint64_t bytes, hash;
};

/* What a writer brings. Slices are borrowed. */
struct record_parts {
	struct slice envelope, head, body;
	uint32_t flags; /* enum record_flag */
	uint32_t nrcpt; /* RECIPIENT fields in the envelope */
	uint64_t id;
	uint64_t arrival_ms; /* wall clock */
	/* number not 0: body is empty, and RECORD_LARGE is set by itself */
	struct record_large large;
};

/*
 * One writer batches many records and learns the offset of each only when its batch is written.
 * So a record is built in two steps: building hashes the content with the seed of the lease then
 * held, record_seal() binds it to its place and is cheap (one hash of 120 bytes), and needs no
 * more than the header. When the lease changed in between, the seed did too: build again
 * (record_frame_build) or record_reseed() first; a record sealed with another seed than it was
 * built with never verifies.
 *
 * The frame is for writers that keep envelope and content in buffers of their own: header and
 * tail are made here, record_frame_iov() gives the five pieces for writev.
 */
struct record_frame {
	uint64_t total; /* bytes of the whole record, a multiple of 64 */
	uint64_t seed;	/* built with */
	char header[RECORD_HEADER];
	char tail[RECORD_END + SPOOL_ALIGN]; /* end mark and zeros */
	uint32_t tail_len;
};

enum { RECORD_IOV = 5 };

/*
 * 0; -EMSGSIZE: a part is above its limit; -EINVAL: no id, no recipient or too many, unknown
 * flags, a header section that does not end in CRLF, or a body here and in large/.
 */
int record_frame_build(struct record_frame *f, const struct record_parts *p, uint64_t seed);
/* Pieces live as long as *f and what *p borrows. Empty ones are there too (iov_len 0). */
void record_frame_iov(
    struct record_frame *f, const struct record_parts *p, struct iovec iov[static RECORD_IOV]);
/* The same into one buffer, appended: one whole record. Errors as above, *b unchanged. */
int record_build(struct buf *b, const struct record_parts *p, uint64_t seed);
/* Hashes a whole unsealed or sealed record (n bytes at rec) anew for another seed. Seal it after.
 */
void record_reseed(char *rec, uint64_t n, uint64_t seed);
/* Last step: writes segment, offset and check into the header. May be repeated. */
void record_seal(
    char header[static RECORD_HEADER], uint32_t segment, uint64_t offset, uint64_t seed);

/* The flags of this content, by looking at every byte; a writer that sees the bytes pass anyway
 * sets them itself. */
uint32_t record_flags_of(struct slice head, struct slice body);

/* A record as read. Slices point into the bytes it was parsed from. */
struct record {
	uint32_t flags, nrcpt, segment;
	uint16_t version;
	uint32_t env_len, head_len;
	uint64_t body_len, total;  /* total: from its first byte to the next record */
	struct record_large large; /* number not 0: the body is there, body_len is 0 */
	uint64_t id, arrival_ms, offset;
	uint64_t body_hash;
	struct slice envelope, head;
	struct slice
	    body; /* only when the bytes given reach that far; else p == NULL. Not verified. */
	uint64_t body_at; /* first byte of the body, from the record's first byte */
	uint64_t need;	  /* RECORD_SHORT: bytes from the record's first byte that are needed */
	const char *why;  /* RECORD_BAD: constant text */
};

enum record_status {
	RECORD_OK,    /* the front verifies */
	RECORD_SHORT, /* so far good, out->need bytes are needed: 128 first, then the front */
	RECORD_BAD,   /* not a record, or damaged: out->why */
};

/*
 * Parses and verifies the front of the record whose bytes begin at `bytes` and which stands at
 * `offset` of `segment`. Lengths are checked against their limits before anything is believed.
 * On RECORD_SHORT with need > 128 the header has been verified and its fields are in *out.
 */
enum record_status record_parse(
    struct slice bytes, uint32_t segment, uint64_t offset, uint64_t seed, struct record *out);

/* Verifies body, end mark and zeros of a whole record in memory: whole.n >= r->total. */
bool record_body_verify(const struct record *r, struct slice whole, uint64_t seed);

/*
 * The same in pieces: feed everything from r->body_at to r->total in order, then ask. One
 * verifier may serve many records.
 */
struct record_verifier;
struct record_verifier *record_verifier_new(void);
void record_verifier_free(struct record_verifier *v);
void record_verifier_start(struct record_verifier *v, const struct record *r, uint64_t seed);
/* The same for a body in large/: feed all of its file. */
void record_verifier_start_large(struct record_verifier *v, const struct record_large *large);
void record_verifier_feed(struct record_verifier *v, const void *p, size_t n);
bool record_verifier_end(struct record_verifier *v); /* true: all was fed and all is as written */

/* Bytes of the whole body, wherever it stands. */
uint64_t record_body_bytes(const struct record *r);

/* Digest of an envelope, the same wherever the record is copied: what FILED remembers. */
uint64_t record_digest(struct slice envelope);

#endif
