/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_JOURNAL_H
#define SPOOL_JOURNAL_H

#include "base/buf.h"
#include "spool/spool.h"

/*
 * The journal: what became of the records. Files of a fixed size, numbered upwards, zero-filled
 * ahead or taken over from an older number, written from the front. A journal record:
 *
 *	u64 XXH3-64 of all that follows, zeros included, seeded by spool id and file number
 *	u32 length of the payload, u16 kind (bit 15: critical), u16 zero
 *	u64 sequence: one more than that of the record before, across files
 *	payload, zeros to a multiple of 8
 *
 * So bytes of the file's former life never verify, and the first record that does not ends the
 * file. The first record of a file is FILE_START. Rules of the writer (qmgr):
 *
 *  - a record is never split: what does not fit goes to the next file (journal_seal says how much
 *    fits);
 *  - after a restart or a failed sync it begins a new file and never adds to the old: what stood
 *    half-written there could otherwise verify behind new records. FILE_START's own sequence
 *    number rules: records of earlier files with that sequence or a later one are void;
 *  - all of a file is synced before the FILE_START of the next is written, so a gap between two
 *    files is damage and never a crash;
 *  - what belongs together is one record, so recovery needs no transactions. The one exception:
 *    where the entries of a MESSAGE or EXPANDED would make it too long (JOURNAL_RCPTS_MAX), it
 *    holds the first of them and MORE records follow at once, until its nrcpt are there. It takes
 *    effect with the last; where they do not follow at once, it is void.
 *
 * Payloads are rows of fields in the order below. Fields are only appended; one that is missing
 * at the end reads as zero, what is more than known is skipped. Types: u8 u16 u32 u64
 * little-endian; text u32 length and bytes; id16 sixteen bytes. Times named clock_ms, due_ms,
 * expiry_ms, arrival_ms are in the queue clock, wall_ms in the wall clock. `rcpts` hold entries,
 * see struct journal_rcpt.
 */
#define JOURNAL_FILE_START(F)                                   \
	F(u32, version, "SPOOL_VERSION")                        \
	F(id16, spool_id, "as in state/spool")                  \
	F(u32, file, "number, as in the name")                  \
	F(u32, oldest, "lowest file that recovery still needs") \
	F(u64, clock_ms, "queue clock")                         \
	F(u64, wall_ms, "wall clock at that time")
#define JOURNAL_OLDEST(F) F(u32, oldest, "files below are no longer needed")
#define JOURNAL_CLOCK(F)                \
	F(u64, clock_ms, "queue clock") \
	F(u64, wall_ms, "wall clock at that time")
#define JOURNAL_LEASE(F)                                            \
	F(u32, segment, "number, never used before")                \
	F(u8, class, "enum origin_class: authority of its records") \
	F(u16, version, "of the records to be written")             \
	F(u32, worker, "of the writer, within its service")         \
	F(u64, instance, "of the writer")                           \
	F(u64, floor_ms, "id floor")                                \
	F(u64, seed, "of its checksums")
#define JOURNAL_SEGMENT(F)                                       \
	F(u32, segment, "number")                                \
	F(u8, class, "as in LEASE")                              \
	F(u16, version, "as in LEASE")                           \
	F(u32, worker, "as in LEASE")                            \
	F(u64, instance, "as in LEASE")                          \
	F(u64, floor_ms, "as in LEASE")                          \
	F(u64, seed, "as in LEASE")                              \
	F(u8, state, "enum journal_segment_state")               \
	F(u64, filed, "everything before is filed or set aside") \
	F(u64, durable, "highest offset rung")                   \
	F(u64, sealed, "nothing beyond is served; JOURNAL_NONE: not sealed")
#define JOURNAL_SEAL(F)           \
	F(u32, segment, "number") \
	F(u64, offset, "nothing beyond is served")
#define JOURNAL_SEGMENT_END(F)                                       \
	F(u32, segment, "its writer is gone and all of it is filed") \
	F(u64, offset, "where its last record ends")
#define JOURNAL_SEGMENT_FREED(F) F(u32, segment, "all done; the file may go")
#define JOURNAL_QUEUE(F)                     \
	F(u32, queue, "number for this key") \
	F(u8, class, "enum origin_class")    \
	F(text, transport, "")               \
	F(text, pool, "")                    \
	F(text, tenant, "")                  \
	F(text, domain, "routing domain")    \
	F(text, route, "next hops as router answered them")
#define JOURNAL_QUEUE_FREED(F) F(u32, queue, "the number may mean another key from here on")
#define JOURNAL_SUSPEND(F)      \
	F(u32, queue, "number") \
	F(text, holder, "who")  \
	F(text, reason, "why")  \
	F(u64, wall_ms, "when")
#define JOURNAL_RESUME(F)       \
	F(u32, queue, "number") \
	F(text, holder, "who")  \
	F(u64, wall_ms, "when")
#define JOURNAL_LARGE(F)                                     \
	F(u32, large, "number in large/, never used before") \
	F(u64, instance, "of the writer it is for; 0: only the number counts")
#define JOURNAL_FILED_FIRST(F)                                                      \
	F(u64, id, "")                                                              \
	F(u32, segment, "where the record is")                                      \
	F(u64, offset, "")                                                          \
	F(u64, total, "bytes, with padding: filed goes on to offset + total")       \
	F(u64, digest, "record_digest() of its envelope")                           \
	F(u64, arrival_ms, "")                                                      \
	F(u64, expiry_ms, "")                                                       \
	F(u64, wall_ms, "arrival")                                                  \
	F(u32, flags, "enum journal_message_flag")                                  \
	F(u8, priority, "two's complement")                                         \
	F(u64, origin, "a notice: the message it speaks of")                        \
	F(u8, notice, "a notice: its enum spool_notice")                            \
	F(text, settled, "a notice: recipients of the origin it settles, u32 each") \
	F(u32, nrcpt, "entries in rcpts")                                           \
	F(text, rcpts, "of the envelope, in its order")
#define JOURNAL_FILED(F)       \
	JOURNAL_FILED_FIRST(F) \
	F(u32, large, "its body stands in large/ under this number; 0: in the record")
#define JOURNAL_MESSAGE(F)                               \
	JOURNAL_FILED_FIRST(F)                           \
	F(text, holder, "held by; empty: not held")      \
	F(text, reason, "")                              \
	F(u64, held_wall_ms, "")                         \
	F(u8, suspicion, "workers it has taken with it") \
	F(u32, large, "as in FILED")
#define JOURNAL_EXPANDED(F)                                  \
	F(u64, id, "")                                       \
	F(u32, rcpt, "this one is expanded now")             \
	F(u32, attempt, "0: before any")                     \
	F(u8, owed, "bits of enum spool_notice")             \
	F(u32, first, "number of the first new recipient")   \
	F(u32, nrcpt, "new recipients, numbered from first") \
	F(text, rcpts, "entries, with addresses")            \
	F(text, rule, "that expanded it")
#define JOURNAL_STARTED(F)           \
	F(u64, id, "")               \
	F(u32, rcpt, "")             \
	F(u32, attempt, "1, 2, ...") \
	F(u32, worker, "")           \
	F(u64, instance, "of the worker")
#define JOURNAL_RESULT(F)                                                     \
	F(u64, id, "")                                                        \
	F(u32, rcpt, "")                                                      \
	F(u32, attempt, "key with id and rcpt: a second one changes nothing") \
	F(u8, result, "enum spool_result")                                    \
	F(u8, owed, "bits of enum spool_notice now owed")                     \
	F(u8, suspicion, "interrupted: count of the message so far")          \
	F(u64, due_ms, "deferred, interrupted: next try")                     \
	F(u16, code, "SMTP reply code, 0: none")                              \
	F(u8, enh0, "enhanced status code")                                   \
	F(u8, enh1, "")                                                       \
	F(u8, enh2, "")                                                       \
	F(text, host, "that said so")                                         \
	F(text, reply, "what it said")                                        \
	F(text, rule, "dropped: the rule's name; held: also")                 \
	F(u64, wall_ms, "")
#define JOURNAL_ROUTED(F)                                \
	F(u64, id, "")                                   \
	F(u32, rcpt, "JOURNAL_ALL: all that are queued") \
	F(u32, queue, "it waits in now")
#define JOURNAL_DUE(F)                                        \
	F(u64, id, "")                                        \
	F(u32, rcpt, "JOURNAL_ALL: all that are queued")      \
	F(u64, due_ms, "next try, by an operator or by ETRN") \
	F(text, holder, "who asked")
#define JOURNAL_HOLD(F)     \
	F(u64, id, "")      \
	F(text, holder, "") \
	F(text, reason, "") \
	F(u64, wall_ms, "")
#define JOURNAL_RELEASE(F)  \
	F(u64, id, "")      \
	F(text, holder, "") \
	F(u64, wall_ms, "")
#define JOURNAL_OPERATOR(F)                                                      \
	F(u64, id, "")                                                           \
	F(u32, rcpt, "JOURNAL_ALL: all that are open")                           \
	F(u8, result, "SPOOL_RESULT_DROPPED: delete, SPOOL_RESULT_FAILED: fail") \
	F(u8, owed, "fail: bits of enum spool_notice")                           \
	F(text, holder, "who")                                                   \
	F(text, reason, "")                                                      \
	F(u64, wall_ms, "")
#define JOURNAL_NOTICE(F)                                                    \
	F(u64, id, "origin")                                                 \
	F(u8, notice, "enum spool_notice, owed from now on (delay notices)") \
	F(text, rcpts, "u32 each")
#define JOURNAL_SETTLED(F)                                    \
	F(u64, id, "origin")                                  \
	F(u8, notice, "enum spool_notice: not owed any more") \
	F(text, rcpts, "u32 each")                            \
	F(text, rule, "why no notice was sent, if so")
#define JOURNAL_MOVED(F)                      \
	F(u64, id, "compaction: the copy is") \
	F(u32, segment, "")                   \
	F(u64, offset, "")
#define JOURNAL_MORE(F)                                 \
	F(u64, id, "of the MESSAGE or EXPANDED before") \
	F(u32, first, "entries of it so far")           \
	F(text, rcpts, "more of them")
#define JOURNAL_TOTALS(F)                                \
	F(u64, accepted, "the ledger as of this record") \
	F(u64, notices, "")                              \
	F(u64, expanded_out, "")                         \
	F(u64, expanded_in, "")                          \
	F(u64, delivered, "")                            \
	F(u64, bounced, "")                              \
	F(u64, expired, "")                              \
	F(u64, dropped, "")                              \
	F(u64, damaged, "")
#define JOURNAL_DAMAGED(F)                                 \
	F(u32, segment, "")                                \
	F(u64, offset, "filed goes on to offset + length") \
	F(u64, length, "")                                 \
	F(u64, id, "if known, else 0")                     \
	F(text, reason, "")

/* NAME, name, number (never reused), critical: recovery without it would be wrong */
#define JOURNAL_KINDS(K)                      \
	K(FILE_START, file_start, 1, 1)       \
	K(OLDEST, oldest, 2, 1)               \
	K(CLOCK, clock, 3, 0)                 \
	K(LEASE, lease, 4, 1)                 \
	K(SEGMENT, segment, 5, 1)             \
	K(SEAL, seal, 6, 1)                   \
	K(SEGMENT_END, segment_end, 7, 1)     \
	K(SEGMENT_FREED, segment_freed, 8, 1) \
	K(LARGE, large, 9, 1)                 \
	K(QUEUE, queue, 10, 1)                \
	K(QUEUE_FREED, queue_freed, 11, 1)    \
	K(SUSPEND, suspend, 12, 1)            \
	K(RESUME, resume, 13, 1)              \
	K(FILED, filed, 20, 1)                \
	K(MESSAGE, message, 21, 1)            \
	K(EXPANDED, expanded, 22, 1)          \
	K(STARTED, started, 23, 1)            \
	K(RESULT, result, 24, 1)              \
	K(ROUTED, routed, 25, 1)              \
	K(DUE, due, 26, 1)                    \
	K(HOLD, hold, 27, 1)                  \
	K(RELEASE, release, 28, 1)            \
	K(OPERATOR, operator, 29, 1)          \
	K(NOTICE, notice, 30, 1)              \
	K(SETTLED, settled, 31, 1)            \
	K(MOVED, moved, 32, 1)                \
	K(MORE, more, 33, 1)                  \
	K(TOTALS, totals, 40, 1)              \
	K(DAMAGED, damaged, 41, 1)

enum journal_kind {
#define K(NAME, name, number, critical) JOURNAL_KIND_##NAME = number,
	JOURNAL_KINDS(K)
#undef K
};

enum {
	JOURNAL_FILE_BYTES = 16 << 20,
	JOURNAL_HEADER = 24,
	JOURNAL_REC_MAX = 8 << 20,   /* header, payload and padding */
	JOURNAL_RCPTS_MAX = 4 << 20, /* bytes of entries in one record; the rest goes into MORE */
	JOURNAL_CRITICAL = 0x8000,
};
#define JOURNAL_ALL UINT32_MAX
#define JOURNAL_NONE UINT64_MAX

enum journal_segment_state {
	JOURNAL_SEGMENT_LIVE = 1,  /* leased, its writer may write */
	JOURNAL_SEGMENT_ENDED = 2, /* SEGMENT_END has been written */
};

enum journal_message_flag {
	JOURNAL_NULL_SENDER = 1 << 0,
	JOURNAL_IS_NOTICE = 1 << 1,
	JOURNAL_DELAY_TOLD = 1 << 2, /* MESSAGE: the delay notice has been sent */
	JOURNAL_ALONE = 1 << 3,	     /* MESSAGE: to be tried alone */
};

/* struct journal_filed, journal_result, ...: a member per field. Slices are borrowed. */
#define JOURNAL_C_u8 uint8_t
#define JOURNAL_C_u16 uint16_t
#define JOURNAL_C_u32 uint32_t
#define JOURNAL_C_u64 uint64_t
#define JOURNAL_C_text struct slice
#define JOURNAL_C_id16 struct journal_id16
struct journal_id16 {
	uint8_t b[16];
};
#define F(type, name, what) JOURNAL_C_##type name;
#define K(NAME, name, number, critical) \
	struct journal_##name {         \
		JOURNAL_##NAME(F)       \
	};
JOURNAL_KINDS(K)
#undef K
#undef F

struct journal_rec {
	enum journal_kind kind;
	uint64_t seq;
	uint64_t size;	 /* bytes it takes in the file */
	uint64_t offset; /* in the file; set by journal_file_scan() and journal_file_read() */
	union {
#define K(NAME, name, number, critical) struct journal_##name name;
		JOURNAL_KINDS(K)
#undef K
	};
};

/*
 * An entry of `rcpts`. In FILED: queue and notify only. EXPANDED: with addresses. MESSAGE: as
 * needed. Entries: u32 queue, u8 notify, u8 mask of the parts that follow.
 */
struct journal_rcpt {
	uint32_t queue;
	uint8_t notify; /* enum envelope_notify */
	/* mask 1; without it a queued recipient that was never tried and is due at once */
	uint8_t state, owed; /* enum spool_state, bits of enum spool_notice */
	uint32_t attempts;
	uint64_t due_ms;
	/* mask 2: the last reply; there when any is set */
	uint16_t code;
	uint8_t enh[3];
	struct slice host, reply;
	/* mask 4: of a recipient that does not stand in the envelope; there when address.p != NULL
	 */
	struct slice address, original, orcpt;
	uint32_t parent; /* the recipient it was expanded from */
};
void journal_rcpt_put(struct buf *b, const struct journal_rcpt *r);
/* 1, 0 at the end, -EBADMSG. Slices point into *rest's bytes. */
int journal_rcpt_next(struct slice *rest, struct journal_rcpt *out);

/*
 * Appends one record to *b, not yet sealed: journal_put_filed(b, &(struct journal_filed){ .id =
 * ... }). Returns where it begins in b, so that the place of its fields can be remembered. A
 * record above JOURNAL_REC_MAX is a bug (asserted): limits stand at the door.
 */
#define K(NAME, name, number, critical) \
	size_t journal_put_##name(struct buf *b, const struct journal_##name *r);
JOURNAL_KINDS(K)
#undef K

/* The seed of a file's checksums. */
uint64_t journal_seed(const uint8_t spool_id[static SPOOL_ID], uint32_t file);

/*
 * Sequence numbers begin at 1. Gives the records that stand in n bytes at p their sequence
 * numbers, from *seq on, and their checks, as long as they fit into `room` bytes. Returns how
 * many bytes are ready to be written to the file with this seed, and has raised *seq; the rest
 * goes to the next file. May be repeated with another seed or sequence.
 */
size_t journal_seal(char *p, size_t n, uint64_t room, uint64_t seed, uint64_t *seq);

enum journal_status {
	JOURNAL_OK,
	JOURNAL_END,   /* zeros, stale or torn bytes, another sequence: the file ends here */
	JOURNAL_SHORT, /* out->size bytes are needed to tell */
	JOURNAL_BAD,   /* verifies, but cannot be understood: *why */
	JOURNAL_SKIP,  /* verifies, of a kind not known and not critical: go on */
};

/*
 * Takes the next record off the front of *rest. seq: the sequence expected, 0: any (the first of
 * a file). Slices of *out point into the bytes. Never reads beyond them. At OK and SKIP *rest is
 * moved on.
 */
enum journal_status journal_next(
    struct slice *rest, uint64_t seed, uint64_t seq, struct journal_rec *out, const char **why);

const char *journal_kind_word(uint16_t kind); /* "filed"; NULL for a number without a kind */

/* For people and tests: one call per field in order. Numbers come as decimal digits. */
typedef void journal_field_fn(
    void *ctx, const char *name, const char *type, uint64_t number, struct slice bytes);
void journal_each(const struct journal_rec *r, journal_field_fn *fn, void *ctx);

#endif
