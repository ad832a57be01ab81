/* SPDX-License-Identifier: ISC */
#include "ipc/loglink.h"

#include "base/log.h"
#include "base/metrics.h"

enum { SLOW_BYTES = 1024 * 1024, CHUNK_MAX = 32 * 1024, METRICS_MS = 1000, QUIET_MAX = 2 };

static struct {
	struct peer *logd;
	struct loop *loop;
	struct timer *timer; /* metrics go when it rings */
	struct buf metrics;
	unsigned quiet; /* so often it rang in a row and nothing had changed */
	bool rang;	/* in this turn */
} link_;

/* Whole events up to the chunk's size; a lone larger event cannot be (texts are cut). */
static size_t
whole_events(struct slice all)
{
	struct slice rest = all;
	struct log_record r;
	size_t end = 0;

	while (rest.n > 0 && log_record_next(&rest, &r)) {
		if (all.n - rest.n > CHUNK_MAX && end > 0)
			break;
		end = all.n - rest.n;
	}
	return end;
}

static void
on_time(void *arg)
{
	(void)arg;
	buf_reset(&link_.metrics);
	link_.rang = true;
	link_.quiet++;
	if (!peer_is_up(link_.logd) || !metrics_changed(&link_.metrics))
		return;
	link_.quiet = 0;
	peer_send(link_.logd, metrics, .rows = slice_buf(&link_.metrics));
}

/* A process that does nothing does not wake each second to tell so: after two rings without a change
 * the next turn for another reason sets the timer again. */
static void
metrics_wait(void)
{
	if (!link_.rang)
		link_.quiet = 0;
	link_.rang = false;
	if (link_.quiet < QUIET_MAX && !timer_is_set(link_.timer))
		timer_set(link_.timer, METRICS_MS);
}

static void
turn_end(void *arg)
{
	struct slice all;
	uint64_t lost;

	(void)arg;
	metrics_wait();
	all = log_pending(&lost);
	if (all.n == 0)
		return;
	if (!peer_is_up(link_.logd) || peer_backlog(link_.logd) > SLOW_BYTES) {
		log_to_stderr();
		return;
	}
	while (all.n > 0) {
		size_t n = whole_events(all);
		struct buf *out = peer_out(link_.logd);

		if (n == 0 || out == NULL)
			break;
		msg_events_put(
		    out, &(struct msg_events){ .lost = lost, .data = slice_head(all, n) });
		log_sent(n, lost);
		all = log_pending(&lost);
	}
}

static bool
in(struct peer *p, const struct msg_row *row, struct ipc_in *m)
{
	(void)p;
	(void)row;
	(void)m;
	return false; /* logd says nothing but HELLO */
}

static void
up(struct peer *p)
{
	(void)p;
	metrics_forget();
	link_.quiet = 0;
	timer_set(link_.timer, 0);
}

static const struct peer_ops ops = { .in = in, .up = up };

static void
attach(struct loop *l, struct peer *p)
{
	link_.logd = p;
	link_.loop = l;
	link_.timer = timer_new(l, on_time, NULL);
	/* Before the links' own end of the turn, so that events go out in the turn that said them.
	 */
	loop_at_turn_end(l, TURN_LINKS - 1, turn_end, NULL);
}

void
loglink_dial(struct loop *l, uid_t logd_uid)
{
	attach(l, peer_dial(l, SERVICE_LOGD, logd_uid, &ops, NULL));
}

struct peer *
loglink_supplied(struct loop *l, uid_t logd_uid)
{
	struct peer *p = peer_supplied(l, SERVICE_LOGD, logd_uid, &ops, NULL);

	attach(l, p);
	return p;
}
