/* SPDX-License-Identifier: ISC */
#include "deliver/worker.h"

#include "base/die.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "conf/generation.h"
#include "ipc/brood.h"
#include "ipc/loglink.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { HELD_MAX = 1 << 20, BUCKETS = 4096 };

struct worker {
	const struct carrier_ops *ops;
	void *carrier;
	struct daemon *daemon;
	struct loop *loop;
	struct peer *qmgr;
	struct segments segments;
	int large_fd; /* of LARGE_BODY, for the JOB that follows; -1: none */
	struct loader *loader;
	struct delivery *jobs[BUCKETS]; /* by number: running, or ended and not acknowledged */
	unsigned njobs, nrunning;
	bool finishing;
	struct timer *end;
};

static struct delivery **
job_at(struct worker *w, uint64_t number)
{
	struct delivery **at = &w->jobs[number % BUCKETS];

	while (*at != NULL && (*at)->number != number)
		at = &(*at)->hash_next;
	return at;
}

static void
job_free(struct worker *w, struct delivery **at)
{
	struct delivery *d = *at;
	uint32_t forgotten = 0;

	*at = d->hash_next;
	w->njobs--;
	delivery_free(d, &w->segments, &forgotten);
	if (forgotten != 0 && peer_is_up(w->qmgr))
		peer_send(w->qmgr, forgotten, .segment = forgotten);
}

static void
check_finished(struct worker *w)
{
	if (w->finishing && w->njobs == 0)
		loop_stop(w->loop);
}

static void
count(void *arg)
{
	const struct worker *w = arg;

	metric_set(w->ops->self == SERVICE_LOCAL ? METRIC_LOCAL_RUNNING : METRIC_DELIVER_RUNNING,
	    w->nrunning);
}

static void
job_ended(struct delivery *d, void *arg)
{
	struct worker *w = arg;
	struct buf *out = peer_is_up(w->qmgr) ? peer_out(w->qmgr) : NULL;

	w->nrunning--;
	metric_add(w->ops->self == SERVICE_LOCAL ? METRIC_LOCAL_JOBS : METRIC_DELIVER_JOBS, 1);
	if (out != NULL)
		delivery_put_results(d, out);
}

static void
conn_gone(uint32_t queue, void *arg)
{
	struct worker *w = arg;

	if (peer_is_up(w->qmgr))
		peer_send(w->qmgr, conn_gone, .queue = queue);
}

static void
on_segment(struct worker *w, const struct msg_segment *m, int fd)
{
	segments_add(&w->segments, m->segment, fd, m->seed);
}

static void
on_large_body(struct worker *w, int fd)
{
	if (w->large_fd >= 0)
		close(w->large_fd);
	w->large_fd = fd;
}

static bool
on_job(struct worker *w, const struct msg_job *m)
{
	struct delivery **at = job_at(w, m->job), *d;

	if (*at != NULL || w->nrunning >= w->ops->room || w->njobs >= HELD_MAX)
		return false;
	d = delivery_new(m, &w->segments);
	if (d == NULL)
		return false;
	*at = d;
	d->large_fd = w->large_fd;
	w->large_fd = -1;
	w->njobs++;
	w->nrunning++;
	w->ops->start(w->carrier, d);
	return true;
}

static bool
on_ack(struct worker *w, const struct msg_result_ack *m)
{
	struct delivery **at = job_at(w, m->job);

	if (*at == NULL || (*at)->state != JOB_ENDED)
		return false;
	job_free(w, at);
	check_finished(w);
	return true;
}

static bool
from_qmgr(struct peer *p, const struct msg_row *row, struct ipc_in *in)
{
	struct worker *w = peer_arg(p);
	struct msg_segment segment;
	struct msg_job job;
	struct msg_result_ack ack;
	struct msg_forget forget;
	struct msg_large_body body;
	struct msg_conn_close close_one;

	(void)row;
	switch (in->type) {
	case MSG_SEGMENT:
		if (!msg_segment_get(in->payload, &segment))
			return false;
		on_segment(w, &segment, ipc_take_fd(in));
		return true;
	case MSG_LARGE_BODY:
		if (!msg_large_body_get(in->payload, &body))
			return false;
		on_large_body(w, ipc_take_fd(in));
		return true;
	case MSG_JOB:
		return msg_job_get(in->payload, &job) && on_job(w, &job);
	case MSG_RESULT_ACK:
		return msg_result_ack_get(in->payload, &ack) && on_ack(w, &ack);
	case MSG_CONN_CLOSE:
		if (!msg_conn_close_get(in->payload, &close_one))
			return false;
		if (w->ops->close != NULL)
			w->ops->close(w->carrier, close_one.queue);
		return true;
	case MSG_FORGET:
		if (!msg_forget_get(in->payload, &forget))
			return false;
		if (segments_forget(&w->segments, forget.segment))
			peer_send(p, forgotten, .segment = forget.segment);
		return true;
	}
	return false;
}

/*
 * A qmgr that is new, or that we lost for a while: it is told of everything that it may have handed
 * out, before it hands out more (QUEUE.md rule 15).
 */
static void
qmgr_up(struct peer *p)
{
	struct worker *w = peer_arg(p);
	struct buf rcpts = { 0 };

	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct delivery *d = w->jobs[i]; d != NULL; d = d->hash_next) {
			buf_reset(&rcpts);
			delivery_put_rcpts(d, &rcpts);
			peer_send(
			    p, running, .job = d->number, .id = d->id, .rcpts = slice_buf(&rcpts));
		}
	peer_send(p, running, .last = 1);
	buf_fini(&rcpts);
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct delivery *d = w->jobs[i]; d != NULL; d = d->hash_next)
			if (d->state == JOB_ENDED)
				delivery_put_results(d, peer_out(p));
	peer_send(p, worker_room, .jobs = w->finishing ? 0 : w->ops->room);
}

static const struct peer_ops qmgr_ops = { .in = from_qmgr, .up = qmgr_up };

static void
on_config(uint32_t generation, int fd, void *arg)
{
	struct worker *w = arg;
	struct conf *fresh;
	struct buf err = { 0 };

	if (conf_load(fd, generation, &fresh, &err) != 0) {
		log_begin(LOG_RELOAD_FAILED);
		log_str(LOGK_ERROR, slice_buf(&err));
		log_end();
	} else {
		conf_unref(w->daemon->conf);
		w->daemon->conf = fresh;
		w->daemon->generation = generation;
		log_set_generation(generation);
		peer_self_generation(generation);
		w->ops->config(w->carrier, fresh);
	}
	buf_fini(&err);
	close(fd);
}

static void
overstayed(void *arg)
{
	struct worker *w = arg;

	loop_stop(w->loop);
}

/* Running jobs may end and be acknowledged; what does not is found again by qmgr as interrupted. */
static void
on_finish(uint32_t grace_ms, void *arg)
{
	struct worker *w = arg;

	if (grace_ms == 0)
		_exit(0);
	w->finishing = true;
	if (peer_is_up(w->qmgr))
		peer_send(w->qmgr, worker_room, .jobs = 0);
	w->ops->quit(w->carrier);
	timer_set(w->end, grace_ms);
	check_finished(w);
}

static void
on_ask(const struct msg_ask *m, void *arg)
{
	struct worker *w = arg;
	struct buf b = { 0 };

	json_open(&b, '{');
	json_ku64(&b, "pid", (uint64_t)getpid());
	json_ku64(&b, "generation", w->daemon->generation);
	json_ku64(&b, "running", w->nrunning);
	json_ku64(&b, "unacknowledged", w->njobs - w->nrunning);
	w->ops->status(w->carrier, &b);
	json_kbool(&b, "qmgr", peer_is_up(w->qmgr));
	json_close(&b, '}');
	nest_answer(m->token, slice_buf(&b));
	buf_fini(&b);
}

static const struct nest_ops nest_ops = { .config = on_config, .finish = on_finish, .ask = on_ask };

static void
on_term(int signo, void *arg)
{
	(void)signo;
	on_finish(10000, arg);
}

void
worker_main(const struct carrier_ops *ops, struct daemon *d, unsigned number, int pair_fd)
{
	static struct worker w;

	/* No worker outlives its parent: a new parent then knows that the old one's jobs have
	 * ended. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ops->prepare != NULL)
		ops->prepare(d);
	daemon_worker_enter(d, ops->profile);
	w.ops = ops;
	w.daemon = d;
	w.large_fd = -1;
	w.loop = loop_new();
	peer_self(ops->self, 1, (uint16_t)number, 0);
	peer_self_generation(d->generation);
	w.loader = loader_new(w.loop);
	w.carrier = ops->open(&(const struct carrier_env){ .daemon = d,
	    .loop = w.loop,
	    .loader = w.loader,
	    .ended = job_ended,
	    .gone = conn_gone,
	    .arg = &w });
	w.end = timer_new(w.loop, overstayed, &w);
	w.qmgr = peer_supplied(w.loop, SERVICE_QMGR, d->ids.uid[SERVICE_QMGR], &qmgr_ops, &w);
	nest_open(w.loop, pair_fd, &nest_ops, &w);
	nest_link(loglink_supplied(w.loop, d->ids.uid[SERVICE_LOGD]));
	metrics_refresh(count, &w);
	nest_link(w.qmgr);
	loop_signal(w.loop, SIGTERM, on_term, &w);
	loop_run(w.loop);
	_exit(0);
}
