/* SPDX-License-Identifier: ISC */
#include "qmgr/from_deliver.h"

#include "base/die.h"

#include <stdlib.h>

struct courier {
	struct qmgr *q;
	enum service service;
	struct worker *worker; /* NULL: the parent, or nobody */
	bool is_parent;
};

static void
bus_segment(struct worker *w, uint32_t number, uint64_t seed, int fd)
{
	struct buf frame = { 0 };

	msg_segment_put(&frame, &(const struct msg_segment){ .segment = number, .seed = seed });
	peer_send_fd(w->bus, &frame, fd);
	buf_fini(&frame);
}

static void
bus_forget(struct worker *w, uint32_t number)
{
	peer_send(w->bus, forget, .segment = number);
}

static void
bus_job(struct worker *w, const struct msg_job *m)
{
	struct buf *out = peer_out(w->bus);

	if (out != NULL)
		msg_job_put(out, m);
}

static void
bus_ack(struct worker *w, uint64_t job)
{
	/* A worker that ends waits for it; any other only remembers a result for longer. */
	if (w->room == 0)
		peer_send(w->bus, result_ack, .job = job);
	else
		peer_send_later(w->bus, result_ack, .job = job);
}

static void
bus_large(struct worker *w, uint32_t number, int fd)
{
	struct buf frame = { 0 };

	msg_large_body_put(&frame, &(const struct msg_large_body){ .large = number });
	peer_send_fd(w->bus, &frame, fd);
	buf_fini(&frame);
}

static void
bus_close(struct worker *w, uint32_t queue)
{
	peer_send(w->bus, conn_close, .queue = queue);
}

const struct bus from_deliver_bus = { bus_segment, bus_forget, bus_job, bus_ack, bus_large,
	bus_close };

static void
up(struct peer *p)
{
	struct courier *c = xcalloc(1, sizeof *c);
	const struct msg_hello *h = peer_hello(p);

	c->q = peer_arg(p);
	c->service = (enum service)h->service;
	peer_set_arg(p, c);
	if (h->role == 0) {
		/* Only one may say who lives: a worker that calls itself the parent comes too late. */
		if (c->q->dispatch.parent[h->service] != NULL)
			peer_drop(p, "one parent too many");
		else {
			c->q->dispatch.parent[h->service] = p;
			c->is_parent = true;
		}
		return;
	}
	c->worker = dispatch_linked(c->q, (enum service)h->service, h->worker, h->instance, p);
	if (c->worker == NULL)
		peer_drop(p, "one worker too many");
}

static void
down(struct peer *p)
{
	struct courier *c = peer_arg(p);

	if (c->worker != NULL)
		dispatch_unlinked(c->q, c->worker);
	if (c->is_parent)
		c->q->dispatch.parent[peer_hello(p)->service] = NULL;
	free(c);
}

static bool
on_result(struct courier *c, const struct msg_result *m)
{
	return c->worker != NULL && dispatch_result(c->q, c->worker, m);
}

static bool
on_job_done(struct courier *c, const struct msg_job_done *m)
{
	return c->worker != NULL && dispatch_done(c->q, c->worker, m);
}

static bool
on_running(struct courier *c, const struct msg_running *m)
{
	return c->worker != NULL && dispatch_running(c->q, c->worker, m);
}

static bool
on_worker_room(struct courier *c, const struct msg_worker_room *m)
{
	if (c->worker == NULL)
		return false;
	dispatch_room(c->q, c->worker, m->jobs);
	(void)peer_out(c->worker->bus); /* what it may wait for goes now */
	return true;
}

/* Only a parent knows who lives: it waits for the processes. */
static bool
on_workers(struct courier *c, const struct msg_workers *m)
{
	return c->is_parent && dispatch_workers(c->q, c->service, m->instances);
}

static bool
on_forgotten(struct courier *c, const struct msg_forgotten *m)
{
	(void)m; /* numbers are never used again, so nothing waits for it */
	return c->worker != NULL;
}

static bool
on_conn_gone(struct courier *c, const struct msg_conn_gone *m)
{
	if (c->worker != NULL)
		bucket_idle_gone(c->q, c->worker, m->queue);
	return c->worker != NULL;
}

static bool
in(struct peer *p, const struct msg_row *row, struct ipc_in *msg)
{
	struct courier *c = peer_arg(p);

	(void)row;
	switch (msg->type) {
#define ON(NAME, name)                                                         \
	case MSG_##NAME: {                                                     \
		struct msg_##name m;                                           \
		return msg_##name##_get(msg->payload, &m) && on_##name(c, &m); \
	}
		ON(RESULT, result)
		ON(JOB_DONE, job_done)
		ON(RUNNING, running)
		ON(WORKER_ROOM, worker_room)
		ON(WORKERS, workers)
		ON(FORGOTTEN, forgotten)
		ON(CONN_GONE, conn_gone)
#undef ON
	}
	return false;
}

const struct peer_ops from_deliver_ops = { .in = in, .up = up, .down = down };
