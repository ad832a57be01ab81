/* SPDX-License-Identifier: ISC */
#ifndef QMGR_SEGTAB_H
#define QMGR_SEGTAB_H

#include "base/buf.h"
#include "qmgr/journal.h"
#include "spool/scan.h"

/*
 * The segments that are there, by slot (messages name the slot) and by number.
 *
 * A segment's life: leased (its writer may write; read up to the offset it rang), ending (the
 * writer is gone: we sync and read on to the last whole record), ended, freed. See rules 6 to 8 and
 * 19.
 */
enum seg_state {
	SEG_UNKNOWN, /* only its number was seen yet: while replaying */
	SEG_MAKING,  /* LEASE is journalled, the file is not handed over yet */
	SEG_LIVE,
	SEG_ENDING, /* a thread syncs it, or the rest is being filed */
	SEG_ENDED,
	SEG_FREED, /* SEGMENT_FREED is journalled, the file goes when that is durable */
};

enum { SEG_NONE = UINT32_MAX, SEG_WORKERS = 256, SEG_OWN_WORKER = UINT32_MAX, SEG_NUMBERS = 4096 };
#define SEG_OPEN_END UINT64_MAX

struct seg {
	uint32_t slot, number;
	enum seg_state state;
	uint8_t class;
	uint16_t version;
	/* SEG_OWN_WORKER: compaction wrote it, nothing in it is filed by reading */
	uint32_t worker;
	uint64_t instance; /* of the writer */
	uint64_t floor_ms, seed;
	uint64_t filed;	  /* all before is filed or set aside */
	uint64_t durable; /* highest offset rung */
	uint64_t limit;	  /* of a dead writer's file: read up to here */
	uint64_t sealed;  /* SEG_OPEN_END: no seal */
	uint64_t live;	  /* messages */
	uint64_t live_bytes;
	uint64_t done_lsn;  /* the last record that freed something in it */
	uint32_t base_file; /* journal file of its LEASE or newest SEGMENT */
	int fd;		    /* -1: none */
	bool writer_linked; /* a link of its writer's instance stands */
	bool superseded;    /* its writer holds a newer one */
	bool busy;	    /* a thread works on it */
	bool listed;	    /* in the intake's list */
	bool no_compact, compacting;
	uint8_t told[SEG_WORKERS / 8]; /* deliver workers that hold a descriptor */

	struct scan *scan;
	uint64_t acked, ack_filed, ack_lsn; /* FILED: told; to be told when durable */
	struct journal_wait wait;
	struct lease_call *call; /* who waits for the lease */
	TAILQ_ENTRY(seg) intake;
};
TAILQ_HEAD(seg_list, seg);

struct segtab {
	struct seg **slot;
	uint32_t nslot, count;
	/* slot + 1 by the low bits of the number: no two live ones share them (rule 12) */
	uint32_t by_number[SEG_NUMBERS];
	uint32_t noutside; /* those that stand only in `slot`: of before, while replaying */
	uint32_t highest;  /* number ever leased */
	uint64_t floor_ms; /* highest id time ever seen */
	uint64_t unfiled;  /* bytes rung and not filed: kept by the intake */
};

void segtab_init(struct segtab *t);
void segtab_fini(struct segtab *t);
struct seg *seg_at(const struct segtab *t, uint32_t slot);     /* must be there */
struct seg *seg_find(const struct segtab *t, uint32_t number); /* NULL: none */
struct seg *seg_make(struct segtab *t, uint32_t number);       /* or the one that is there */
void seg_free(struct segtab *t, struct seg *s);
struct seg *segtab_next(const struct segtab *t, uint32_t *cursor);
/* A number that no segment had, whose 12 low bits no live one has (rule 12); 0: 4096 are live. */
uint32_t segtab_number(const struct segtab *t);
uint64_t seg_unfiled(const struct seg *s);

static inline bool
seg_told(const struct seg *s, unsigned worker)
{
	return (s->told[worker / 8] >> worker % 8 & 1) != 0;
}

#endif
