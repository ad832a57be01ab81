/* SPDX-License-Identifier: ISC */
#ifndef QMGR_DISPATCH_H
#define QMGR_DISPATCH_H

#include "ipc/msg.h"
#include "qmgr/journal.h"
#include "qmgr/queue.h"

/*
 * Jobs: one message and some of its recipients in one queue, given to one worker of deliver or
 * local. A job counts until its results are durable; how many there are is the bound of what a
 * crash can double (QUEUE.md rule 16), so it is capped (jobs_max) and shown.
 */
struct qmgr;
struct seg;

enum { WORKERS_MAX = 256, JOBS_MAX = 1 << 20, ENDED_KEPT = 8192 };

enum job_state {
	JOB_FREE,
	JOB_RUNNING,
	JOB_ENDED, /* all results are in; waits for the journal */
};

struct qjob {
	uint64_t number; /* low 20 bits: its slot, where it is ours */
	enum job_state state;
	uint32_t slot, queue; /* queue QUEUE_NOWHERE: of a qmgr before us */
	uint16_t worker;      /* slot */
	bool foreign;	      /* of a qmgr before us */
	bool listed;	      /* named by RUNNING since its worker linked */
	bool alone;
	bool reached;  /* a server answered: the host is up */
	bool borrowed; /* counts on a connection that its worker keeps (bucket_idle.c) */
	bool partial;  /* it had not all hosts that there are, or may be */
	bool unknown;  /* foreign, and its message is not filed yet */
	bool over;     /* unknown, and nothing more will be said of it */
	uint64_t id;
	uint32_t nrcpt, nopen; /* recipients; of them without result */
	uint64_t sent_ms;      /* wall; 0: by a qmgr before us */
	uint32_t *rcpt;	       /* numbers; points to `one` for one */
	uint32_t one;
	struct buf results; /* RESULT frames: applied at JOB_DONE, which says whose they are */
	struct buf pairs;   /* unknown: what RUNNING named */
	uint64_t since_ms;  /* unknown: since when, mono */
	struct journal_wait wait;
	struct qmgr *q;
};

/* Where jobs go. What sends is behind functions, so that tests and the simulation put another bus
 * in. */
struct worker {
	bool used, linked, ready; /* ready: RUNNING was complete */
	uint8_t courier;	  /* enum courier_kind */
	uint16_t number;
	uint64_t instance;
	uint32_t room, njobs;
	bool alone;		/* runs a job that shares with no other (rule 17) */
	uint64_t drain_mono_ms; /* until then it gets no jobs: one waits to have it alone */
	uint64_t sent;
	void *bus; /* the peer */
};

struct bus {
	void (*segment)(struct worker *w, uint32_t number, uint64_t seed, int fd);
	void (*forget)(struct worker *w, uint32_t number);
	void (*job)(struct worker *w, const struct msg_job *m);
	void (*ack)(struct worker *w, uint64_t job);
	void (*large)(struct worker *w, uint32_t number, int fd); /* for the job that follows */
	void (*close)(struct worker *w, uint32_t queue); /* a connection kept for the queue */
};

struct dispatch {
	const struct bus *bus;
	struct worker worker[WORKERS_MAX];
	unsigned nworkers; /* highest slot + 1 */
	struct qjob **job;
	uint32_t nfree, *free;
	uint32_t window;  /* jobs without durable result */
	uint32_t running; /* of them with a worker still at it */
	uint32_t waiting; /* of them only the journal is waited for */
	bool ending;	  /* none is given out any more: window falls to 0 */
	uint64_t serial;
	uint64_t alone_id; /* a suspect that waits for a worker of its own (rule 17); 0: none */
	uint32_t alone_rcpt;
	uint64_t alone_since_ms;
	uint32_t njob, nforeign;     /* slots ever made; jobs of a qmgr before us */
	uint32_t nunknown;	     /* of those, with a message that is not filed */
	uint64_t ended[ENDED_KEPT];  /* messages that are no more, the last of them */
	uint32_t nended;	     /* ever; modulo */
	void *parent[SERVICE_COUNT]; /* its link; only one says which workers live */
	struct alive {
		uint64_t *instance; /* that the parent named last */
		size_t n;
		bool told;
	} alive[COURIER_COUNT];
	struct buf pairs, limits, hosts, addresses;
};

void dispatch_init(struct dispatch *d, const struct bus *bus, uint64_t serial);
void dispatch_fini(struct dispatch *d);

/* A queue may have something to dispatch. */
void dispatch_wake(struct qmgr *q, struct queue *queue);
bool dispatch_has_room(const struct worker *w, const struct queue *queue);
void dispatch_run(struct qmgr *q); /* gives out what room and window allow */

/* A worker linked; what it already knows is told by dispatch_running(). NULL: too many. */
struct worker *dispatch_linked(
    struct qmgr *q, enum service s, uint16_t number, uint64_t instance, void *bus);
void dispatch_unlinked(struct qmgr *q, struct worker *w);
void dispatch_room(struct qmgr *q, struct worker *w, uint32_t jobs);
/* False: the message makes no sense and the worker is to be cut off. */
bool dispatch_running(struct qmgr *q, struct worker *w, const struct msg_running *m);
bool dispatch_result(struct qmgr *q, struct worker *w, const struct msg_result *m);
bool dispatch_done(struct qmgr *q, struct worker *w, const struct msg_job_done *m);
/* Their parent named all that live (u64 each): of the others, jobs are interrupted. False:
 * malformed. */
bool dispatch_workers(struct qmgr *q, enum service s, struct slice instances);
/* A message was filed that a job of a qmgr before us may have: then it runs, or its results count.
 */
void dispatch_filed(struct qmgr *q, uint64_t id);
/* A message is no more: what a worker says of it again is nothing new. */
void dispatch_ended(struct dispatch *d, uint64_t id);
/* A segment goes: every worker that holds it forgets it. */
void dispatch_forget(struct qmgr *q, struct seg *s);

#endif
