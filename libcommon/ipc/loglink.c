/* SPDX-License-Identifier: ISC */
#include "ipc/loglink.h"

#include "base/log.h"

enum { SLOW_BYTES = 1024 * 1024, CHUNK_MAX = 32 * 1024 };

static struct {
	struct peer *logd;
	struct loop *loop;
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
turn_end(void *arg)
{
	struct slice all;
	uint64_t lost;

	(void)arg;
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

static const struct peer_ops ops = { .in = in };

static void
attach(struct loop *l, struct peer *p)
{
	link_.logd = p;
	link_.loop = l;
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
