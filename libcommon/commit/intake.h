/* SPDX-License-Identifier: ISC */
#ifndef COMMIT_INTAKE_H
#define COMMIT_INTAKE_H

#include "base/addr.h"
#include "base/buf.h"
#include "spool/record.h"

#include <bsd/sys/queue.h>

/*
 * Messages in memory, from DATA until they are durable, and how much of them there may be: what one
 * worker holds is bounded over all its sessions. Beyond the bound sessions wait; those that wait
 * too long give up what they hold.
 */
struct commit_token; /* proof of a sync that returned 0: see writer.h */
struct letter;
struct stream; /* stream.h */

/* Why a message did not become durable. */
enum letter_fate { LETTER_DURABLE, LETTER_TROUBLE, LETTER_NO_SPACE };

/* proof is NULL unless fate is LETTER_DURABLE. Called from the loop, then the letter is freed. */
typedef void letter_done_fn(
    struct letter *l, enum letter_fate fate, const struct commit_token *proof);

struct letter {
	struct letter *next;
	struct intake *intake;
	struct buf content;  /* as received, CRLF, dots not doubled */
	struct buf envelope; /* spool/envelope.h */
	size_t head_bytes;   /* of content: its header section */
	/* not NULL: the body goes to large/, content is the header section */
	struct stream *stream;
	size_t flow_at; /* content of so many bytes is looked at again: may it go there? */
	uint64_t id, arrival_ms;
	uint32_t nrcpt, flags; /* flags: enum record_flag */
	uint64_t charged;
	TAILQ_ENTRY(letter) age; /* in the intake's `charged`, while charged is not 0 */
	letter_done_fn *done;	 /* NULL: nobody waits any more */
	void *arg;
	/* For the event that tells of it; slices into envelope and content. */
	uint64_t session;
	struct addr client;
	uint32_t uid;
	uint8_t class;
	const char *proto;
	struct slice from, to, msgid;
	/* The writer's: */
	struct record_frame frame;
	uint64_t room;	  /* bytes of the record, at most */
	uint32_t segment; /* whose lease gave the id */
};

/* Embedded in who may have to wait for room. */
struct intake_wait {
	struct intake_wait *next, **prev; /* prev NULL: does not wait */
	void (*go)(void *arg);		  /* room there is again; from intake_wake() */
	void *arg;
};

struct intake {
	uint64_t limit_bytes, used_bytes;
	unsigned letters;	      /* in use */
	TAILQ_HEAD(, letter) charged; /* the oldest first */
	struct letter *pool;
	unsigned npool;
	uint64_t pool_bytes; /* of their content */
	struct intake_wait *waiting, **waiting_end;
	void (*freed)(
	    void *arg); /* room came back while somebody waits: call intake_wake() from the loop */
	void *arg;
};

void intake_init(struct intake *in, uint64_t limit_bytes, void (*freed)(void *), void *arg);
void intake_fini(struct intake *in); /* no letter may be in use */

struct letter *letter_new(struct intake *in) __attribute__((returns_nonnull));
void letter_free(struct letter *l);	       /* NULL allowed */
uint64_t letter_bytes(const struct letter *l); /* header section and body, wherever it is */

/*
 * The letter is going to hold this many bytes. False: the bound is reached and nothing was charged.
 * The oldest letter in memory is never refused: so a small bound slows mail and does not stop it,
 * and letters that fill the memory together do not wait for each other. Beyond the bound there is
 * one message at most.
 */
bool intake_charge(struct letter *l, uint64_t bytes);
/* Gives up the content of a letter that will not be stored. */
void intake_discard(struct letter *l);

void intake_wait(struct intake *in, struct intake_wait *w);
void intake_unwait(struct intake *in, struct intake_wait *w); /* no matter whether it waits */
/* Calls each that waits, once: who finds no room waits again. */
void intake_wake(struct intake *in);

#endif
