/* SPDX-License-Identifier: ISC */
#ifndef BENCH_STAGE_H
#define BENCH_STAGE_H

#include "base/id.h"
#include "qmgr/qmgr.h"

/*
 * A queue manager in this process, for measuring: the real modules over a real spool folder, without
 * loop and threads, with a clock that stands until it is moved, a writer that appends whole batches,
 * and a deliver worker that answers as it is told.
 */
enum stage_answer { STAGE_OK, STAGE_TEMP };

struct stage_pen {
	int fd;
	uint32_t segment;
	uint64_t seed, at, rung;
	struct id_source ids;
	struct buf bytes; /* written, not appended yet */
};

struct stage_stats {
	uint64_t jobs, acked;
};

struct stage {
	struct qmgr q;
	struct conf *conf;
	int dirfd;
	struct stage_pen pen;
	uint8_t key[32];
	struct route_sealer *sealer;
	struct worker *worker;
	struct stage_stats stats;
	uint64_t serial, instance;
	struct rng rng;
};

/* What a letter goes to: recipient i at domain number first + (domain + i) mod domains. */
struct stage_letter {
	unsigned nrcpt, first, domain, domains;
	bool by_name;  /* the next hop is a name that the DNS is asked for */
	unsigned body; /* bytes */
};

extern uint64_t stage_now_ms;
/* Before stage_open(): the real clocks, for a spool that others are going to open. */
extern bool stage_by_the_clock;

/* Opens the spool in a folder, made where it is missing; dies where that fails. conf: more lines. */
void stage_open(struct stage *s, const char *dir, const char *conf);
void stage_close(struct stage *s);
void stage_settle(struct stage *s); /* turns until nothing is left to do at this instant */

/* Into the writer's memory; from there to the segment, and rung, by stage_ring(). */
void stage_write(struct stage *s, const struct stage_letter *l);
void stage_append(struct stage *s);
void stage_ring(struct stage *s);

/* The worker: how many jobs it takes, and what it says to those it has. */
void stage_room(struct stage *s, uint32_t room);
uint64_t stage_answer(struct stage *s, enum stage_answer how); /* recipients answered for */
/* Of 1,000 first attempts so many succeed, and of later ones; the others are deferred. */
uint64_t stage_answer_mixed(struct stage *s, unsigned first, unsigned later, uint64_t *delivered);
unsigned stage_jobs(const struct stage *s);

#endif
