/* SPDX-License-Identifier: ISC */
#ifndef QMGR_DISPATCH_IMPL_H
#define QMGR_DISPATCH_IMPL_H

#include "qmgr/qmgr.h"

/*
 * Shared by dispatch.c (who gets a place), dispatch_job.c (a job's life) and dispatch_worker.c (who
 * is there to do it).
 */
enum { SLOT_BITS = 20 };
_Static_assert(JOBS_MAX == 1 << SLOT_BITS, "a job's low bits are its slot");

/* NULL: a million are under way. */
struct qjob *dispatch_job_new(struct qmgr *q, struct worker *w);
void dispatch_job_free(struct qjob *j);
struct qjob *dispatch_job_find(struct dispatch *d, const struct worker *w, uint64_t number);
void dispatch_job_rcpts(struct qjob *j, const uint32_t *rcpt, uint32_t n); /* copied */
/* The recipient, where this job still has it. */
struct recipient *dispatch_job_has(
    struct qmgr *q, const struct qjob *j, uint32_t rcpt, struct message **m);
/* What its worker said becomes state. done: NULL when the worker could not say whose words they are. */
void dispatch_job_apply(struct qmgr *q, struct qjob *j, const struct msg_job_done *done);
/*
 * Its worker is through with it, alive or not. What is in the journal now must be durable before it
 * counts no more.
 */
void dispatch_job_end(struct qmgr *q, struct qjob *j);
void dispatch_job_interrupted(struct qmgr *q, struct qjob *j);
/* It is through: what was said counts, who is left without a result has a temporary one. */
void dispatch_job_over(struct qmgr *q, struct qjob *j, const struct msg_job_done *done);
/* Jobs whose message nobody has filed for long enough are over: it was concluded long ago. */
void dispatch_unknown_tick(struct qmgr *q);

/* A place in the queue and at its site; given back, it goes to the first in line that can use it. */
void dispatch_take_place(struct queue *queue);
void dispatch_free_place(struct qmgr *q, struct queue *queue);

#endif
