/* SPDX-License-Identifier: ISC */
#ifndef QMGR_MESSAGE_H
#define QMGR_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What is queued, in memory: a message and its first recipient are one object of 80 bytes in a
 * slab, found by index or by id (QUEUE.md rule 25: at most 100 bytes a queued recipient, index
 * included). No text is kept: addresses stand in the segment, the last reply in the journal.
 *
 * Times are ticks of the queue clock (qclock.h).
 */

/* Where a recipient stands now. What it came to is `state`, an enum spool_state. */
enum rcpt_phase {
	RCPT_DEFERRED, /* waits for its `due`: the message's wheel timer is set for it */
	RCPT_READY,    /* in the ready list of its queue */
	RCPT_RUNNING,  /* in a job: next_msg is the job's slot */
	RCPT_ROUTING,  /* in the list of queue 0: router is to be asked */
	RCPT_ASKED,    /* router was asked */
	RCPT_ORPHAN,   /* started before we were: its worker has not reported yet (rule 15) */
	/* failed or expired, its notice is owed (rule 18): `due` is when it is settled by rule */
	RCPT_OWED,
	RCPT_CLOSED,
};

struct recipient {
	uint32_t queue; /* index in queues; 0: not routed */
	uint32_t due;
	uint32_t reply_file, reply_at; /* journal place of the last reply; file 0: none */
	uint32_t next_msg, prev_msg;   /* ready list */
	uint16_t next_rcpt, prev_rcpt;
	uint16_t attempts;
	uint8_t phase : 4, state : 4;
	uint8_t notify : 4, owed : 4; /* enum envelope_notify, enum spool_notice */
};

enum message_flag {
	MESSAGE_HELD = 1 << 0,
	MESSAGE_NULL_SENDER = 1 << 1,
	MESSAGE_URGENT = 1 << 2, /* MT-PRIORITY above 0 */
	MESSAGE_NOTICE = 1 << 3,
	MESSAGE_NO_TIMER = 1 << 4, /* recovered, not armed yet */
	MESSAGE_LARGE = 1 << 5,	   /* its body stands in large/: large.h knows where */
	MESSAGE_EXPANDED = 1 << 6, /* has recipients that do not stand in its envelope: expand.h */
	MESSAGE_LOW = 1 << 7,	   /* MT-PRIORITY below 0 */
};

enum { MESSAGE_NONE = UINT32_MAX, MESSAGE_MORE_MAX = 65535 };
/* As many as the index can name, some 12 GB of memory: what comes beyond stays in its segment. */
enum { MESSAGES_BITS = 27, MESSAGES_MAX = (1 << MESSAGES_BITS) - 2 };

struct message {
	uint64_t id;
	uint32_t seg;	  /* slot in the segment table */
	uint32_t at64;	  /* offset / 64 */
	uint32_t len64;	  /* total / 64 */
	uint32_t arrival; /* tick */
	uint32_t wake;	  /* tick the wheel timer is set for */
	uint32_t wheel_next, wheel_prev;
	uint32_t base_file;    /* journal file of its FILED or newest MESSAGE */
	uint16_t wheel_bucket; /* WHEEL_OUT: in none */
	uint16_t nrcpt;
	uint16_t nopen; /* recipients that are not RCPT_CLOSED */
	uint8_t flags;
	uint8_t suspicion; /* workers that died over it (rule 17) */
	union {
		struct recipient one;
		struct recipient *more; /* nrcpt > 1: all of them */
	} to;
};

struct messages_chunk;

struct messages {
	struct messages_chunk **chunk;
	uint32_t nchunk, used; /* slots ever taken */
	uint32_t free;	       /* chained by wheel_next */
	uint32_t count;	       /* messages */
	uint64_t recipients;   /* queued ones, counted one by one: the ledger's other side */
	/* open addressing: index, and above it bits of the id's hash; MESSAGE_NONE: empty */
	uint32_t *slot;
	uint32_t nslot;
	uint32_t found; /* index of the one asked for last: questions come in runs */
};

/* Chunks are aligned to their size, so that a message knows its index. */
enum {
	MESSAGES_CHUNK_BYTES = 2 << 20,
	MESSAGES_CHUNK_HEAD = 16,
	MESSAGES_CHUNK = (MESSAGES_CHUNK_BYTES - MESSAGES_CHUNK_HEAD) / sizeof(struct message)
};

struct messages_chunk {
	uint32_t number, unused[3];
	struct message at[];
};

void messages_init(struct messages *all);
void messages_fini(struct messages *all);

/* A message without recipients' details (all zero); its id must not be there yet (asserted). */
struct message *message_new(struct messages *all, uint64_t id, unsigned nrcpt);
/* More recipients behind those it has, all zero. Pointers to its recipients are void afterwards. */
void message_grow(struct message *m, unsigned more);
void message_free(struct messages *all, struct message *m);
struct message *message_find(struct messages *all, uint64_t id); /* NULL: not queued */

static inline struct message *
message_at(const struct messages *all, uint32_t i)
{
	return &all->chunk[i / MESSAGES_CHUNK]->at[i % MESSAGES_CHUNK];
}

static inline uint32_t
message_index(const struct message *m)
{
	uintptr_t base = (uintptr_t)m & ~(uintptr_t)(MESSAGES_CHUNK_BYTES - 1);
	const struct messages_chunk *chunk = (const struct messages_chunk *)base;

	return chunk->number * (uint32_t)MESSAGES_CHUNK + (uint32_t)(m - chunk->at);
}

/* It is going to be asked for by its id: then nothing has to be looked up. */
static inline void
message_expect(struct messages *all, const struct message *m)
{
	all->found = message_index(m);
}

static inline struct recipient *
message_rcpts(struct message *m)
{
	return m->nrcpt > 1 ? m->to.more : &m->to.one;
}

static inline uint64_t
message_offset(const struct message *m)
{
	return (uint64_t)m->at64 * 64;
}

static inline uint64_t
message_bytes(const struct message *m)
{
	return (uint64_t)m->len64 * 64;
}

/* Walks all: starts with *cursor 0; NULL at the end. Messages made or freed between calls do no harm. */
struct message *messages_next(const struct messages *all, uint32_t *cursor);

#endif
