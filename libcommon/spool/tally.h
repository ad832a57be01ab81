/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_TALLY_H
#define SPOOL_TALLY_H

#include "spool/journal.h"

/*
 * What the journal says about messages and segments, summed up for check.c: the steps of spool.h
 * without scheduling. Zero-initialised is empty.
 */
struct tally_rcpt {
	uint8_t state, owed;
};

struct tally_message {
	uint64_t id; /* 0: the slot is free */
	uint64_t offset, total;
	uint32_t segment, nrcpt;
	bool seen;     /* its record has been found: the caller's mark */
	bool bodiless; /* but not its body in large/ */
	struct tally_rcpt *rcpt;
};

struct tally_segment {
	uint32_t number;
	bool freed;
	uint64_t seed;
	uint64_t filed;
	uint64_t durable;
	uint64_t sealed; /* JOURNAL_NONE: not */
};

/* A MESSAGE or EXPANDED that waits for its MORE. */
struct tally_part {
	struct tally_message m; /* EXPANDED: the new recipients only; id 0: nothing waits */
	uint32_t want;		/* entries */
	bool expanded;
	uint32_t rcpt; /* EXPANDED: the one that is */
	uint8_t owed;
};

struct tally {
	struct tally_message *slots;
	size_t nslots, nmessages;
	struct tally_segment *segments; /* ascending */
	size_t nsegments;
	struct tally_part part;
	uint32_t large_highest; /* number ever given to a file in large/ */
	uint64_t records;
	const char *odd; /* the last record that made no sense, as text; NULL: all did */
	uint64_t odd_id;
};

/* Applies the next record in order. 0, or -EBADMSG: t->odd and odd_id. May go on after. */
int tally_apply(struct tally *t, const struct journal_rec *r);
struct tally_message *tally_message(struct tally *t, uint64_t id); /* NULL: not known */
struct tally_segment *tally_segment(struct tally *t, uint32_t number);
bool tally_live(const struct tally_message *m); /* a recipient open or a notice owed */
uint64_t tally_open(const struct tally_message *m);
void tally_fini(struct tally *t);

#endif
