/* SPDX-License-Identifier: ISC */
#include "qmgr/qmgr.h"

#include "base/clock.h"
#include "base/log.h"
#include "qmgr/address.h"
#include "qmgr/clean.h"
#include "qmgr/compact.h"
#include "qmgr/from_deliver.h"
#include "qmgr/expand.h"
#include "qmgr/expanded.h"
#include "qmgr/from_router.h"
#include "qmgr/from_smtpd.h"
#include "qmgr/intake.h"
#include "qmgr/large.h"
#include "qmgr/notice.h"
#include "qmgr/recover.h"
#include "qmgr/schedule.h"
#include "qmgr/segments.h"
#include "qmgr/state.h"
#include "qmgr/suspend.h"

#include <bsd/stdlib.h>
#include <stdlib.h>

enum {
	SLOW_MS = 1000,
	CHECKPOINT_SLOW = 60,
	ARM_SLICE = 20000,
	DISK_THREADS = 2,
	TICK_MAX_MS = 60000
};

static void
turn_end(void *arg)
{
	qmgr_turn(arg);
}

static void
on_tick(void *arg)
{
	(void)arg; /* the turn's end does the work */
}

static void
nothing(void *arg)
{
	(void)arg;
}

static uint64_t
clock_of(void *arg)
{
	return qclock_ms(arg);
}

/* Queues that nobody names: their numbers are free again. */
static void
queues_slow(struct qmgr *q)
{
	for (uint32_t i = 1; i < q->queues.n; i++) {
		struct queue *queue = q->queues.at[i];

		if (queue == NULL || queue->nrcpt > 0 || queue->njobs > 0 || queue->active ||
		    queue->suspended || queue->down_until != 0 || bucket_is_warm(queue))
			continue;
		if (queue->idle)
			commit(q, queue_freed, .queue = i);
		else
			queue->idle = true;
	}
}

static void
slow(struct qmgr *q)
{
	segments_slow(q);
	larges_slow(q);
	routes_slow(q);
	expand_slow(q);
	clean_consider(q, false);
	compact_consider(q, COMPACT_MIN_BYTES);
	if (++q->slow_count % CHECKPOINT_SLOW != 0)
		return;
	queues_slow(q);
	hosts_sweep(&q->hosts, qclock_ms(&q->clock), q->conf->host_rest_max_ms);
	commit(q, clock, .clock_ms = qclock_ms(&q->clock), .wall_ms = clock_wall_ms());
}

static void
on_slow(void *arg)
{
	struct qmgr *q = arg;

	slow(q);
	timer_set(q->slow, SLOW_MS);
}

static void
after_group(void *arg)
{
	segments_sweep(arg);
	larges_sweep(arg);
}

void
qmgr_init(struct qmgr *q, struct loop *loop, int dirfd, const struct conf *conf, bool threads)
{
	*q = (struct qmgr){ .loop = loop, .dirfd = dirfd, .lockfd = -1, .conf = conf_ref(conf) };
	q->rng.state = (uint64_t)arc4random() << 32 | arc4random();
	suspend_changed(q);
	messages_init(&q->messages);
	queues_init(&q->queues);
	buckets_set_conf(q);
	segtab_init(&q->segtab);
	TAILQ_INIT(&q->intake);
	dispatch_init(&q->dispatch, &from_deliver_bus, (uint64_t)arc4random() << 32 | arc4random());
	q->resolver = resolver_new();
	q->address = address_cache_new();
	q->asking = asking_new();
	q->notices = notices_new();
	q->expand = expand_new();
	q->expanded = expanded_new();
	q->clean = clean_new();
	q->compact = compact_new();
	q->larges = larges_new();
	from_smtpd_init(q);
	q->started_mono_ms = clock_mono_ms();
	q->again = (struct deferred){ .fn = nothing };
	wheel_init(&q->wheel, &q->messages, 0);
	if (threads) {
		q->journal_thread = offload_new(loop, 1);
		q->disk = offload_new(loop, DISK_THREADS);
	}
	journal_init(&q->journal, dirfd, q->identity.id, loop, q->journal_thread, q->disk);
	q->journal.hold_ms = conf->journal_hold_ms;
	q->journal.clock_ms = clock_of;
	q->journal.clock_arg = &q->clock;
	q->journal.after = after_group;
	q->journal.after_arg = q;
	if (loop == NULL)
		return;
	q->tick = timer_new(loop, on_tick, q);
	q->slow = timer_new(loop, on_slow, q);
	timer_set(q->slow, SLOW_MS);
	loop_at_turn_end(loop, TURN_DAEMON, turn_end, q);
}

void
qmgr_set_identity(struct qmgr *q, const struct spool_identity *id)
{
	q->identity = *id;
	memcpy(q->journal.spool_id, id->id, SPOOL_ID);
}

void
qmgr_fini(struct qmgr *q)
{
	if (q->loop != NULL)
		loop_at_turn_end_remove(q->loop, turn_end, q);
	offload_free(q->disk);
	q->disk = NULL;
	offload_free(q->journal_thread);
	q->journal_thread = NULL;
	expand_free(q);
	journal_fini(&q->journal);
	dispatch_fini(&q->dispatch);
	larges_free(q->larges);
	compact_free(q->compact);
	clean_free(q->clean);
	asking_free(q->asking);
	notices_free(q->notices);
	address_cache_free(q->address);
	expanded_free(q->expanded);
	for (uint32_t i = 0; i < q->nholds; i++) {
		if (q->holds[i].msg == MESSAGE_NONE)
			continue;
		free(q->holds[i].holder);
		free(q->holds[i].reason);
	}
	free(q->holds);
	free(q->orphans);
	segtab_fini(&q->segtab);
	queues_fini(&q->queues);
	resolver_free(q->resolver);
	hosts_fini(&q->hosts);
	messages_fini(&q->messages);
	route_sealer_free(q->sealer[0]);
	route_sealer_free(q->sealer[1]);
	if (q->loop != NULL) {
		timer_free(q->tick);
		timer_free(q->slow);
	}
	conf_unref(q->conf);
}

void
qmgr_again(struct qmgr *q)
{
	if (q->loop != NULL)
		loop_defer(q->loop, &q->again);
	q->more = true;
}

/* The timer that wakes the loop for the wheel: set anew only where it would come too late. */
static void
set_tick(struct qmgr *q)
{
	uint64_t next;

	if (q->loop == NULL)
		return;
	next = schedule_next_ms(q);
	if (notices_next_ms(q) < next)
		next = notices_next_ms(q);
	if (next > TICK_MAX_MS)
		next = TICK_MAX_MS;
	if (next < QCLOCK_TICK_MS)
		next = QCLOCK_TICK_MS;
	if (buckets_next_ms(q) < next) /* rates are finer than ticks */
		next = buckets_next_ms(q) > 0 ? buckets_next_ms(q) : 1;
	if (!timer_is_set(q->tick) || clock_mono_ms() + next < q->tick_mono_ms) {
		q->tick_mono_ms = clock_mono_ms() + next;
		timer_set(q->tick, next);
	}
}

void
qmgr_turn(struct qmgr *q)
{
	q->more = false;
	if (q->arming)
		recover_arm(q, ARM_SLICE);
	schedule_run(q);
	buckets_run(q);
	intake_run(q);
	expand_run(q);
	routes_run(q);
	clean_run(q);
	compact_run(q);
	dispatch_run(q);
	notices_run(q);
	journal_commit(&q->journal);
	set_tick(q);
}

void
qmgr_slow(struct qmgr *q)
{
	slow(q);
}

void
qmgr_set_conf(struct qmgr *q, const struct conf *conf)
{
	conf_unref(q->conf);
	q->conf = conf_ref(conf);
	q->journal.hold_ms = conf->journal_hold_ms;
	suspend_changed(q);
	buckets_set_conf(q);
	for (uint32_t i = 0; i < q->queues.n; i++)
		if (q->queues.at[i] != NULL)
			dispatch_wake(q, q->queues.at[i]); /* its limits may be wider now */
}

void
qmgr_wake_down(struct qmgr *q)
{
	struct queue *queue;

	hosts_wake(&q->hosts);
	while ((queue = down_first(&q->queues)) != NULL) {
		down_set(&q->queues, queue, 0);
		dispatch_wake(q, queue);
	}
}
