/* SPDX-License-Identifier: ISC */
#ifndef QMGR_QUEUE_H
#define QMGR_QUEUE_H

#include "base/service.h"
#include "conf/scope.h"
#include "ipc/job.h"
#include "ipc/route.h"
#include "qmgr/bucket.h"
#include "qmgr/message.h"
#include "qmgr/site.h"

/*
 * Queues: one for each (transport, pool, tenant, class, routing domain, next hops), interned; a
 * recipient names its queue by number. Each has its ready recipients in FIFO order, one list a
 * priority. What is deferred waits in the wheel, and the queue knows only how many.
 *
 * Queue 0 holds those that router is to be asked about.
 */
/* Who carries a queue's mail: by its transport. Each has workers and a ring of its own. */
enum courier_kind { COURIER_DELIVER, COURIER_LOCAL, COURIER_COUNT };
enum courier_kind courier_of(enum service s);

enum { QUEUE_ROUTING = 0, QUEUE_NOWHERE = UINT32_MAX };

/*
 * The ready lists of a queue, most urgent first. A more urgent one is not taken from for ever: of
 * any QUEUE_TURNS jobs in a row at least one comes from each list that has something.
 */
enum queue_priority { QUEUE_URGENT, QUEUE_NORMAL, QUEUE_LOW, QUEUE_PRIORITIES };
enum { QUEUE_TURNS = 8 };

/* What a queue that is down waits for. */
enum queue_wait {
	WAIT_HOST,     /* no host could be reached */
	WAIT_REST,     /* the same, as other queues found out */
	WAIT_DNS,      /* the DNS does not tell where its hosts are */
	WAIT_DNSCACHE, /* the service that asks the DNS is away */
};

struct ready {
	uint32_t head_msg, tail_msg;
	uint16_t head_rcpt, tail_rcpt;
};

/* A route without its hops, which are asked for seldom: queue_hops(). */
struct queue_name {
	struct slice transport, pool, tenant, domain;
	unsigned nhops;
};

struct queue {
	uint32_t number;
	bool defined; /* its QUEUE record is known (while replaying, names may come first) */
	uint8_t class;
	uint8_t courier; /* enum courier_kind */
	char *key;	 /* class, then the encoded route: what is interned */
	size_t key_n;
	struct queue_name route; /* points into key */
	uint32_t generation;	 /* of router, when it last said so */
	uint32_t base_file;	 /* journal file of its QUEUE record */
	uint32_t next_hash;

	struct ready ready[QUEUE_PRIORITIES];
	uint8_t passed[QUEUE_PRIORITIES]; /* jobs in a row that others got while it had something */
	uint32_t nrcpt;			  /* recipients that name it, closed ones apart */
	uint32_t nready;
	uint32_t njobs; /* running: connections, as far as we know */
	bool idle;	/* was seen empty by the slow timer */
	bool active;	/* in the ring of those that may be dispatched from */
	struct queue *active_next;

	struct site *site;	 /* NULL: not defined yet, or the queue that asks router */
	uint32_t site_jobs;	 /* of njobs, counted at the site */
	bool in_line;		 /* waits for a place at its site */
	bool resolving;		 /* its hops are being looked up */
	struct resolve *resolve; /* what is known of them; NULL: nothing yet (resolve.h) */
	struct queue *line_next;

	struct bucket_member bucket; /* what it shares, bucket.h */

	bool suspended;
	char *suspend_holder, *suspend_reason;
	uint64_t suspend_wall_ms;
	uint32_t suspend_seen; /* qmgr's serial when suspend_by was found (suspend.h) */
	struct queue *suspend_by;
	uint32_t source_turn; /* of its pool's members */

	uint32_t down_until; /* tick; 0: its host answers as far as known */
	uint32_t down_count; /* times in a row */
	uint32_t heap_at;    /* index + 1 in the heap of down ones; 0: not there */
	uint8_t wait;	     /* enum queue_wait: why it is down */
	bool probing;	     /* was down: one job first */
	char *down_reason;

	const struct conf *conf; /* limits belong to it */
	const struct scope_values *limits;
	struct job_limits job_limits;
};

struct queues {
	struct queue **at; /* by number */
	uint32_t n, free_from;
	uint32_t *bucket;
	uint32_t nbucket, count;
	struct queue **heap;
	uint32_t nheap;
	struct queue *active_first[COURIER_COUNT], *active_last[COURIER_COUNT];
	uint32_t last_found;
	struct sites sites;
	struct buckets *buckets;
};

void queues_init(struct queues *all);
void queues_fini(struct queues *all);

/* The queue of this key, or NULL. route: encoded, valid. */
struct queue *queue_find(struct queues *all, uint8_t class, struct slice route);
/* A free number; the caller journals QUEUE, then queue_define(). */
uint32_t queue_number(struct queues *all);
/* By number; while replaying, one not defined yet is made. Numbers beyond QUEUE_MAX: NULL. */
enum { QUEUE_MAX = 16 * 1024 * 1024 };
struct queue *queue_at(struct queues *all, uint32_t number);
struct queue *queue_make(struct queues *all, uint32_t number);
/* False: the route cannot be read. A number that had another key gets this one. */
bool queue_define(struct queues *all, struct queue *q, uint8_t class, struct slice route);
void queue_free(struct queues *all, struct queue *q); /* nothing names it */

static inline struct slice
queue_route(const struct queue *q)
{
	return slice_of(q->key + 1, q->key_n - 1);
}

/* The whole of its route; points into the key. */
static inline void
queue_hops(const struct queue *q, struct route *out)
{
	route_get(queue_route(q), out);
}

/* It is counted at the site of this key from now on (site.h). */
void queue_to_site(struct queues *all, struct queue *q, struct slice key);

/* The ready lists. A recipient is in at most one; `m` is its message. */
void ready_push(
    struct queues *all, struct messages *ms, struct queue *q, struct message *m, unsigned rcpt);
void ready_remove(
    struct queues *all, struct messages *ms, struct queue *q, struct message *m, unsigned rcpt);
/* The first of the list whose turn it is; false: none. It stays there. */
bool ready_first(const struct queue *q, uint32_t *msg, unsigned *rcpt);
/* A job, or a question, was made of the first message: the others have been passed over. */
void ready_taken(struct queue *q, const struct message *m);

/* The rings of queues to dispatch from. */
void active_push(struct queues *all, struct queue *q);
struct queue *active_pop(struct queues *all, enum courier_kind kind);

/* Down until a tick (0: up again). */
void down_set(struct queues *all, struct queue *q, uint32_t until);
struct queue *down_first(const struct queues *all); /* the one with the earliest tick, or NULL */

#endif
