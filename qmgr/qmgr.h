/* SPDX-License-Identifier: ISC */
#ifndef QMGR_QMGR_H
#define QMGR_QMGR_H

#include "base/id.h"
#include "base/outcome.h"
#include "conf/conf.h"
#include "ipc/ctl.h"
#include "ipc/peer.h"
#include "qmgr/dispatch.h"
#include "qmgr/hosts.h"
#include "qmgr/journal.h"
#include "qmgr/ledger.h"
#include "qmgr/message.h"
#include "qmgr/qclock.h"
#include "qmgr/queue.h"
#include "qmgr/resolve.h"
#include "qmgr/retry.h"
#include "qmgr/segtab.h"
#include "qmgr/wheel.h"

/*
 * The queue manager's whole state. The modules see each other in this order:
 *
 *	qclock retry message wheel queue segtab journal   data structures and the journal's writer
 *	rcpt        a recipient in memory: the queue it counts in, the list it stands in, its end
 *	state       what each journal record does to them: run when it is written and when replayed
 *	expand      what stands in an alias's place
 *	recover     the journal read, segments opened, messages armed
 *	schedule    deferred, ready, expired: the wheel and what it fires
 *	resolve     next hops to addresses, by dnscache; hosts: those that rest
 *	dispatch    jobs and their window; from_deliver is its bus
 *	notice      what senders are owed
 *	suspend     what operators have stopped; why: what a recipient waits for
 *	segments intake compact clean large   segments and journal files come, are read, and go
 *	from_smtpd from_router control        the other edges
 *
 * Nothing in it is global, time comes from base/clock.h, chance from `rng`, threads may be left
 * out: so the whole runs in one process, for tests and simulation.
 */
struct hold {
	uint32_t msg; /* index; MESSAGE_NONE: free */
	uint64_t wall_ms;
	char *holder, *reason;
};

/* Recipients that an instance had started before we were, and has not reported on. */
struct orphans {
	uint64_t instance;
	uint32_t count;
	bool gone; /* reported or gone: what is left is being put back */
};

/* While replaying: a MESSAGE whose entries go on in MORE. */
struct partial {
	struct journal_message head;
	bool expanded; /* it is an EXPANDED: this, and `head` has its id and count */
	struct journal_expanded expansion;
	struct buf rcpts, texts;
	uint32_t entries;
	size_t nchunk;
	struct {
		uint32_t first;
		struct journal_place at;
	} * chunk;
};

struct clean;	      /* clean.c */
struct compact;	      /* compact.c */
struct larges;	      /* large.c */
struct asking;	      /* from_router.c */
struct address_cache; /* address.c */
struct notices;	      /* notice.c */
struct expand;	      /* expand.c */
struct expanded_all;  /* expanded.c */

struct qmgr {
	struct loop *loop;		       /* NULL: none, for the simulation */
	struct offload *journal_thread, *disk; /* NULL: inline */
	const struct conf *conf;
	int dirfd;
	int lockfd;
	struct spool_identity identity;
	struct rng rng;

	struct qclock clock;
	struct messages messages;
	struct wheel wheel;
	struct queues queues;
	struct segtab segtab;
	struct journal journal;
	struct ledger ledger;

	bool replaying; /* the journal is read: nothing is linked, armed, logged */
	bool arming;	/* its messages are armed in slices */
	uint32_t arm_cursor;
	uint64_t checkpoint_ms, checkpoint_wall_ms; /* while replaying: the newest CLOCK */
	struct partial partial;
	struct hold *holds;
	uint32_t nholds, nheld; /* room; holds in it */
	struct orphans *orphans;
	uint32_t norphans;

	struct dispatch dispatch;
	struct resolver *resolver;
	struct resolve_dns dns; /* to be set before the first turn */
	struct hosts hosts;
	struct seg_list intake;
	struct asking *asking;
	struct expand *expand;
	struct expanded_all *expanded;
	struct clean *clean;
	struct compact *compact;
	struct larges *larges;

	/* to the writer: s->acked is journalled */
	void (*tell_filed)(struct qmgr *q, struct seg *s);

	struct peer *router;
	uint32_t router_generation;
	struct route_sealer *sealer[2]; /* newest first */
	uint8_t sealer_key[2][ROUTE_KEY];

	TAILQ_HEAD(, writer) writers; /* from_smtpd.c */
	struct ctl_server *ctl;
	struct timer *tick, *slow;
	struct deferred again; /* slices that are not done */
	bool more;
	uint64_t started_mono_ms, tick_mono_ms;
	uint64_t slow_count;
	uint64_t disk_free_bytes;
	uint64_t duplicates_bound; /* highest window ever seen */
	struct look_call *looks;   /* records under examination, see damage.c */
	uint64_t damaged_ranges;
	uint32_t nsuspended;	 /* queues and markers that are (suspend.h) */
	uint32_t suspend_serial; /* of the last change to any of them */
	struct address_cache *address;
	struct notices *notices;
};

/* An empty one over an open spool folder; conf is referenced. threads: with a loop only. */
void qmgr_init(struct qmgr *q, struct loop *loop, int dirfd, const struct conf *conf, bool threads);
void qmgr_fini(struct qmgr *q);
void qmgr_set_identity(struct qmgr *q, const struct spool_identity *id);
/* A round of everything that is due, and the journal's commit. The loop calls it at each turn's end; tests too. */
void qmgr_turn(struct qmgr *q);
/* What is looked at once a second: writers, workers, space. By a timer where there is a loop. */
void qmgr_slow(struct qmgr *q);
/* There is more to do than one turn does: another follows at once (q->more, where there is no loop). */
void qmgr_again(struct qmgr *q);
void qmgr_set_conf(struct qmgr *q, const struct conf *conf);
/* The host of any queue may be back: those that are down are tried at once (flush, new routes). */
void qmgr_wake_down(struct qmgr *q);

#endif
