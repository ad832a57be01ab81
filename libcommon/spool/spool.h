/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_SPOOL_H
#define SPOOL_SPOOL_H

#include "base/slice.h"

/*
 * The spool on one page
 * =====================
 *
 *	data/NNNNNNNNNN.seg     segments: records of mail, one writer each, append-only
 *	state/lock              held while qmgr runs
 *	state/spool             format version and spool id
 *	state/journal.NNNNNNNNNN  what became of the records, qmgr's alone
 *	large/NNNNNNNNNN        bodies too big for a segment, one each (large.h)
 *	damaged/                copies of what failed its checksum, with a note why
 *
 * A message is where the two tables below say it is, whatever a socket said, and one step, one
 * durable write, lies between two neighbours. Every step may be cut before or after, never
 * within.
 *
 * Message              how it shows on disk                         next step
 * -------              --------------------                         ---------
 * absent               -                                            record written
 * written, not         record past the last synced offset (may be   fdatasync of the segment
 *   durable            torn or gone after a power cut; no 250 has
 *                      been said)
 * durable, not filed   whole record at or past the segment's filed  FILED
 *                      offset (250 may be said; qmgr finds it by
 *                      its doorbell or by itself)
 * open                 FILED or MESSAGE; a recipient below is open  the recipients' steps
 * held                 open, and HOLD later than any RELEASE        RELEASE, expiry, OPERATOR
 * moved                open, and MOVED: the copy is the record now  the recipients' steps
 * done                 no recipient open, no notice owed            SEGMENT_FREED, with the
 *                                                                   last of its segment
 * damaged              DAMAGED covers it; damaged/ has a copy       SEGMENT_FREED
 * freed                SEGMENT_FREED, then the file is unlinked     absent
 *
 * Body in large/       how it shows on disk                         next step
 * --------------       --------------------                         ---------
 * absent               -                                            LARGE (its number is taken)
 * leased               LARGE; the file may be there or not, its     written, synced; then the
 *                      writer fills it                              record that refers to it
 * complete             the file synced, no record on disk yet       the record durable
 * referred to          a record names it: unfiled, or FILED with    the message is done
 *                      its number
 * dead                 the message is done; or the writer gave it   unlinked
 *                      up; or no writer holds it and all segments
 *                      of its writer are filed to their ends
 *
 * Recipient              from                   by the journal record
 * ---------              ----                   ---------------------
 * queued (a timer or     absent                 FILED (of the envelope), EXPANDED (a new one)
 *   an owner holds it)   started                RESULT deferred, RESULT interrupted
 * started                queued                 STARTED (not waited for)
 * delivered              started                RESULT delivered
 * bounced, notice owed   started, queued        RESULT failed, OPERATOR fail; owed has FAILED
 * bounced                started, queued        the same, nothing owed (null sender, NEVER)
 *                        bounced, notice owed   FILED of the notice, SETTLED
 * expired, notice owed   queued                 RESULT expired, owed has FAILED
 * expired                queued                 RESULT expired with nothing owed
 *                        expired, notice owed   FILED of the notice, SETTLED
 * expanded               started, queued        EXPANDED (its followers in the same record)
 * dropped                started, queued        RESULT dropped, OPERATOR delete (named rule)
 * damaged                started, queued        RESULT damaged (its body failed its checksum)
 *
 * A recipient is open (its message and record are kept) while it is queued, started, or has a
 * failure notice owed; the ledger counts the last as bounced or expired at once. A delivered one
 * with a success notice owed, or a queued one with a delay notice owed, counts as what it is; its
 * message is not done before the notice of success is settled. A delay notice that is owed when
 * the recipient ends is owed no more.
 *
 * Order: result durable -> notice durable -> settled durable -> space freed.
 *
 * Versions: a reader reads every version up to its own and refuses later ones by name. Unknown
 * envelope fields and journal records are skipped unless their critical bit is set; fields of
 * journal records are only appended, and one that is missing is zero or empty; unknown critical
 * flags of a segment or a record refuse it. A writer writes the version its lease names: the one
 * in state/spool, which only `angctl spool upgrade` raises.
 */

enum {
	SPOOL_VERSION = 1,
	SPOOL_ID = 16,	  /* bytes of the random spool id */
	SPOOL_ALIGN = 64, /* records begin at multiples of this */
};

#define SPOOL_DATA "data"
#define SPOOL_STATE "state"
#define SPOOL_LARGE "large"
#define SPOOL_DAMAGED "damaged"
#define SPOOL_LOCK "state/lock"
#define SPOOL_IDENTITY "state/spool"

/* Names of files within the spool folder; enough for "state/journal.4294967295". */
enum { SPOOL_NAME = 32 };
void spool_segment_name(uint32_t number, char out[static SPOOL_NAME]); /* "data/0000000001.seg" */
void spool_journal_name(
    uint32_t number, char out[static SPOOL_NAME]); /* "state/journal.0000000001" */
/* The last component back into a number; false: not such a name. */
bool spool_segment_number(const char *name, uint32_t *number);
bool spool_journal_number(const char *name, uint32_t *number);
void spool_large_name(uint32_t number, char out[static SPOOL_NAME]); /* "large/0000000001" */
bool spool_large_number(const char *name, uint32_t *number);

/*
 * Numbers of the files in a folder of the spool, ascending; other names are passed over. 0, or -errno:
 * never half of them. The caller frees.
 */
int spool_folder_list(int spool_dirfd, const char *folder,
    bool (*number_of)(const char *name, uint32_t *number), uint32_t **numbers, size_t *count);
/* For qsort(3), bsearch(3): of what begins with a uint32_t. */
int spool_number_cmp(const void *a, const void *b);
/* What was made, renamed or unlinked in it lasts. 0 or -errno. */
int spool_folder_sync(int spool_dirfd, const char *folder);

/* State of a recipient. Numbers are on disk. */
enum spool_state {
	SPOOL_QUEUED = 1,
	SPOOL_STARTED = 2,
	SPOOL_DELIVERED = 3,
	SPOOL_BOUNCED = 4,
	SPOOL_EXPIRED = 5,
	SPOOL_EXPANDED = 6,
	SPOOL_DROPPED = 7,
	SPOOL_LOST = 8, /* "damaged" in the ledger */
};

/* What an attempt came to. Numbers are on disk and in messages. */
enum spool_result {
	SPOOL_RESULT_DELIVERED = 1,
	SPOOL_RESULT_DEFERRED = 2,
	SPOOL_RESULT_FAILED = 3,
	SPOOL_RESULT_EXPIRED = 4,
	SPOOL_RESULT_EXPANDED = 5, /* only as the word for it: the record is EXPANDED */
	SPOOL_RESULT_DROPPED = 6,
	SPOOL_RESULT_INTERRUPTED = 7,
	SPOOL_RESULT_DAMAGED = 8,
};

/* Notices, as bits of `owed` and as the kind that a notice's envelope names. Numbers are on disk.
 */
enum spool_notice {
	SPOOL_NOTICE_FAILED = 1,
	SPOOL_NOTICE_DELAYED = 2,
	SPOOL_NOTICE_DELIVERED = 4, /* delivered, relayed or expanded with NOTIFY=SUCCESS */
	/* beside `owed` of what is queued: its delay has been told; none is owed */
	SPOOL_NOTICE_TOLD = 8,
};

const char *spool_state_word(uint8_t state);   /* "queued"; "?" out of range */
const char *spool_result_word(uint8_t result); /* "delivered"; "?" out of range */
/* The state a recipient has after this result; 0 out of range. */
uint8_t spool_state_after(uint8_t result);
/* Queued, started, or a failure notice owed: the message is kept. */
bool spool_is_open(uint8_t state, uint8_t owed);

/* Who the spool is: state/spool, text of two lines. */
struct spool_identity {
	uint32_t version; /* what writers are told to write */
	uint8_t id[SPOOL_ID];
};

/*
 * dirfd: the spool folder. Each returns 0 or -errno.
 *
 * spool_make: makes what is missing of the folders and state/spool (with a new random id), all of
 * it synced; what is there stays. spool_identity_read: -ENOENT where there is no spool, -EBADMSG
 * where the file is not one, -ENOTSUP where the version is later than ours. spool_lock: opens
 * state/lock and takes it for as long as the descriptor returned lives. With `wait` it waits for
 * another holder, else -EWOULDBLOCK.
 */
int spool_make(int dirfd, struct spool_identity *out);
int spool_identity_read(int dirfd, struct spool_identity *out);
int spool_lock(int dirfd, bool wait);

#endif
