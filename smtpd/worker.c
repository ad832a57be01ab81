/* SPDX-License-Identifier: ISC */
#include "smtpd/worker.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "commit/stream.h"
#include "conf/generation.h"
#include "io/listen.h"
#include "io/offload.h"
#include "ipc/brood.h"
#include "ipc/loglink.h"
#include "priv/priv.h"
#include "smtpd/client.h"
#include "smtpd/letter.h"
#include "smtpd/pickup.h"
#include "smtpd/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * A worker: serves the listeners of one class. It opens nothing: sockets and links are handed to
 * it, and what it appends to the queue goes through a descriptor that qmgr leased to it.
 */
enum { TICK_MS = 1000, LISTEN_AT_LEAST_MS = 3000, BODY_THREADS = 2 };

struct worker {
	unsigned number;
	struct loop *loop;
	struct offload *threads;
	struct intake intake;
	struct offload *body_threads; /* large bodies delay no record */
	struct writer *writer;
	struct streams *streams;
	struct policy *policy;
	struct session_world world;
	struct clients clients;
	struct pickup *pickup; /* class local only */
	struct peer *qmgr, *router;
	struct timer *tick, *lease_retry, *open_anyway, *grace;
	struct deferred wake;
	struct worker_birth *birth;
	struct listener *listeners[WORKER_LISTEN_MAX];
	struct door {
		struct worker *worker;
		const char *name; /* of its listen section; NULL: the local socket */
	} door[WORKER_LISTEN_MAX];
	unsigned nlisteners;
	bool open, finishing;
	uint64_t accepted;
};

/*
 * qmgr
 */

static bool
ask_leases(void *arg, unsigned count)
{
	struct worker *w = arg;

	return peer_send(w->qmgr, lease_want, .count = (uint8_t)count, .version = SPOOL_VERSION);
}

static bool
ring(void *arg, uint32_t segment, uint64_t durable)
{
	struct worker *w = arg;

	return peer_send(w->qmgr, doorbell, .segment = segment, .durable = durable);
}

static bool
seal(void *arg, uint32_t segment, uint64_t end)
{
	struct worker *w = arg;

	return peer_send(w->qmgr, seal, .segment = segment, .end = end);
}

static void
submit_job(void *arg, struct job *j)
{
	struct worker *w = arg;

	offload_submit(w->threads, j);
}

static bool
ask_large(void *arg, unsigned count)
{
	struct worker *w = arg;

	return peer_send(w->qmgr, large_want, .count = (uint8_t)count);
}

static bool
drop_large(void *arg, uint32_t large)
{
	struct worker *w = arg;

	return peer_send(w->qmgr, large_drop, .large = large);
}

static void
submit_body(void *arg, struct job *j)
{
	struct worker *w = arg;

	offload_submit(w->body_threads, j);
}

static const struct streams_ops streams_ops = {
	.want = ask_large, .drop = drop_large, .submit = submit_body
};

static void
durable(void *arg, const struct letter *l)
{
	struct worker *w = arg;

	w->accepted++;
	letter_tell(l);
}

/* Clients are let in when there is somebody to ask and something to write to, or when that takes
 * too long. */
static void
open_if_ready(void *arg)
{
	struct worker *w = arg;
	struct writer_state state;

	writer_look(w->writer, &state);
	if (w->open || w->finishing || state.leases == 0 || !peer_is_up(w->router))
		return;
	w->open = true;
	for (unsigned i = 0; i < w->nlisteners; i++)
		listen_pause(w->listeners[i], false);
}

static void
open_anyway(void *arg)
{
	struct worker *w = arg;

	if (!w->open && !w->finishing)
		for (unsigned i = 0; i < w->nlisteners; i++)
			listen_pause(w->listeners[i], false);
	w->open = true;
}

static const struct writer_ops writer_ops = { .want = ask_leases,
	.ring = ring,
	.seal = seal,
	.submit = submit_job,
	.leased = open_if_ready,
	.durable = durable };

static bool
on_lease(struct worker *w, struct ipc_in *in)
{
	struct msg_lease m;
	int fd = ipc_take_fd(in);

	if (msg_lease_get(in->payload, &m) && writer_lease(w->writer, &m, fd, w->world.class))
		return true;
	if (fd >= 0)
		close(fd);
	return false;
}

static bool
on_large(struct worker *w, struct ipc_in *in)
{
	struct msg_large m;
	int fd = ipc_take_fd(in);

	if (msg_large_get(in->payload, &m) && streams_given(w->streams, &m, fd))
		return true;
	if (fd >= 0)
		close(fd);
	return false;
}

static bool
qmgr_in(struct peer *p, const struct msg_row *row, struct ipc_in *in)
{
	struct worker *w = peer_arg(p);
	struct msg_filed filed;
	struct msg_sealed sealed;
	struct msg_lease_none none;
	struct msg_large_dropped dropped;

	(void)row;
	switch (in->type) {
	case MSG_LEASE:
		return on_lease(w, in);
	case MSG_FILED:
		return msg_filed_get(in->payload, &filed) && writer_filed(w->writer, &filed);
	case MSG_SEALED:
		return msg_sealed_get(in->payload, &sealed) && writer_sealed(w->writer, &sealed);
	case MSG_LARGE:
		return on_large(w, in);
	case MSG_LARGE_DROPPED:
		return msg_large_dropped_get(in->payload, &dropped) &&
		       streams_dropped(w->streams, &dropped);
	case MSG_LARGE_NONE:
		streams_refused(w->streams);
		return true;
	case MSG_LEASE_NONE:
		if (!msg_lease_none_get(in->payload, &none))
			return false;
		writer_refused(w->writer);
		timer_set(w->lease_retry, none.retry_ms < 100 ? 100 : none.retry_ms);
		return true;
	}
	return false;
}

static void
qmgr_up(struct peer *p)
{
	struct worker *w = peer_arg(p);

	writer_up(w->writer);
	streams_up(w->streams);
}

static void
qmgr_down(struct peer *p)
{
	struct worker *w = peer_arg(p);

	writer_down(w->writer);
	streams_down(w->streams);
	timer_stop(w->lease_retry);
}

static void
lease_retry(void *arg)
{
	struct worker *w = arg;

	if (peer_is_up(w->qmgr))
		writer_up(w->writer);
}

static const struct peer_ops qmgr_ops = { .in = qmgr_in, .up = qmgr_up, .down = qmgr_down };

/*
 * router
 */

static bool
router_in(struct peer *p, const struct msg_row *row, struct ipc_in *in)
{
	struct worker *w = peer_arg(p);

	(void)row;
	return policy_in(w->policy, in);
}

static void
router_up(struct peer *p)
{
	struct worker *w = peer_arg(p);

	policy_up(w->policy);
	open_if_ready(w);
}

static void
router_down(struct peer *p)
{
	(void)p; /* what is open waits for its return, or for its deadline */
}

static const struct peer_ops router_ops = { .in = router_in, .up = router_up, .down = router_down };

/*
 * The world of the sessions
 */

static bool
world_ask(void *arg, struct session *s, struct rcpt *r)
{
	struct worker *w = arg;

	return policy_ask(w->policy, s, r);
}

static void
world_forget(void *arg, struct rcpt *r)
{
	struct worker *w = arg;

	policy_forget(w->policy, r);
}

static enum writer_room
world_room(void *arg, uint64_t bytes, uint64_t floor_bytes)
{
	struct worker *w = arg;

	return writer_room(w->writer, bytes, floor_bytes);
}

static uint64_t
world_next_id(void *arg)
{
	struct worker *w = arg;

	return writer_next_id(w->writer, clock_wall_ms());
}

static void
world_submit(void *arg, struct letter *l)
{
	struct worker *w = arg;

	writer_submit(w->writer, l);
}

static void
wake_sessions(void *arg)
{
	struct worker *w = arg;

	intake_wake(&w->intake);
}

static void
room_freed(void *arg)
{
	struct worker *w = arg;

	loop_defer(w->loop, &w->wake);
}

/*
 * The worker itself
 */

static void
on_client(int fd, const struct addr *peer, void *arg)
{
	const struct door *at = arg;

	client_accept(&at->worker->clients, fd, peer, NULL, at->name);
}

static void
on_user(int fd, const struct addr *peer, void *arg)
{
	const struct door *at = arg;
	struct worker *w = at->worker;
	uid_t uid;

	if (priv_peer_uid(fd, &uid) != 0) {
		close(fd);
		return;
	}
	client_accept(&w->clients, fd, peer, &uid, NULL);
	if (w->pickup != NULL)
		pickup_soon(w->pickup);
}

static void
take_conf(struct worker *w, const struct conf *conf)
{
	conf_unref(w->clients.conf);
	w->clients.conf = conf;
	rates_config(w->birth->rates, conf);
	w->intake.limit_bytes = conf->in_flight_bytes / w->birth->workers;
	log_set_generation(conf->generation);
	peer_self_generation(conf->generation);
}

static void
on_config(uint32_t generation, int fd, void *arg)
{
	struct worker *w = arg;
	struct buf err = { 0 };
	struct conf *conf;

	if (w->clients.conf->generation == generation) {
		close(fd);
		return;
	}
	if (conf_load(fd, generation, &conf, &err) == 0)
		take_conf(w, conf);
	else
		log_trouble(0, "worker %u keeps generation %u: %.*s", w->number,
		    w->clients.conf->generation, SLICE_ARG(slice_buf(&err)));
	buf_fini(&err);
	close(fd);
}

static void
cut_off(void *arg)
{
	struct worker *w = arg;

	clients_cut(&w->clients);
}

static void
on_finish(uint32_t grace_ms, void *arg)
{
	struct worker *w = arg;

	if (!w->finishing) {
		w->finishing = true;
		for (unsigned i = 0; i < w->nlisteners; i++)
			listen_free(w->listeners[i]);
		w->nlisteners = 0;
		for (unsigned i = 0; i < w->birth->nlisten; i++)
			close(w->birth->listen[i].fd);
		if (w->pickup != NULL)
			pickup_stop(w->pickup);
		clients_finish(&w->clients);
	}
	timer_set(w->grace, grace_ms);
}

static void
count(void *arg)
{
	const struct worker *w = arg;

	metric_set(METRIC_SMTPD_SESSIONS, w->world.sessions);
	metric_set(METRIC_SMTPD_REFUSED, w->world.refused);
	metric_set(METRIC_SMTPD_MEMORY, w->intake.used_bytes);
}

static void
on_ask(const struct msg_ask *m, void *arg)
{
	struct worker *w = arg;
	struct writer_state state;
	struct buf b = { 0 };

	writer_look(w->writer, &state);
	limits_tell(w->birth->limits, w->number, w->accepted, w->world.refused);
	json_open(&b, '{');
	json_ku64(&b, "worker", w->number);
	json_kz(&b, "class", class_word(w->world.class));
	json_ku64(&b, "pid", (uint64_t)getpid());
	json_ku64(&b, "generation", w->clients.conf->generation);
	json_ku64(&b, "sessions", w->world.sessions);
	json_ku64(&b, "accepted", w->accepted);
	json_ku64(&b, "refused", w->world.refused);
	json_ku64(&b, "in_flight_bytes", w->intake.used_bytes);
	json_ku64(&b, "questions", policy_open(w->policy));
	json_ku64(&b, "segment", state.segment);
	json_ku64(&b, "segment_bytes", state.end);
	json_ku64(&b, "leases", state.leases);
	json_ku64(&b, "commits", state.batches);
	json_ku64(&b, "commit_failures", state.failures);
	json_kbool(&b, "qmgr", peer_is_up(w->qmgr));
	json_kbool(&b, "router", peer_is_up(w->router));
	json_close(&b, '}');
	nest_answer(m->token, slice_buf(&b));
	buf_fini(&b);
}

static bool
world_rate(void *arg, const struct session *s, enum rate_kind kind)
{
	static const enum metric metrics[] = { [RATE_CONNECTION] = METRIC_SMTPD_FAST_CONNECTIONS,
		[RATE_MESSAGE] = METRIC_SMTPD_FAST_MESSAGES,
		[RATE_RECIPIENT] = METRIC_SMTPD_FAST_RECIPIENTS };
	struct worker *w = arg;
	uint64_t client = s->by_user ? limits_uid(s->uid) : limits_client(s->client.host);

	if (client_is_exempt(s) || rates_take(w->birth->rates, kind, client, clock_mono_ms()))
		return true;
	metric_add(metrics[kind], 1);
	return false;
}

static const struct nest_ops nest_ops = { .config = on_config, .finish = on_finish, .ask = on_ask };

static void
on_tick(void *arg)
{
	struct worker *w = arg;

	writer_tick(w->writer);
	streams_tick(w->streams);
	limits_tell(w->birth->limits, w->number, w->accepted, w->world.refused);
	timer_set(w->tick, TICK_MS);
}

/* What became ready in this turn is one group for the disk. */
static void
on_turn_end(void *arg)
{
	struct worker *w = arg;

	writer_turn(w->writer);
	if (w->finishing && w->clients.n == 0 && w->intake.letters == 0)
		loop_stop(w->loop);
}

static void
begin_links(struct worker *w, int pair_fd)
{
	struct daemon *d = w->birth->daemon;

	peer_self(SERVICE_SMTPD, 1, (uint16_t)w->number, w->world.class);
	nest_open(w->loop, pair_fd, &nest_ops, w);
	w->qmgr =
	    peer_supplied(w->loop, SERVICE_QMGR, daemon_uid_of(SERVICE_QMGR, d), &qmgr_ops, w);
	w->router = peer_supplied(
	    w->loop, SERVICE_ROUTER, daemon_uid_of(SERVICE_ROUTER, d), &router_ops, w);
	policy_link(w->policy, w->router);
	nest_link(w->qmgr);
	nest_link(w->router);
	nest_link(loglink_supplied(w->loop, daemon_uid_of(SERVICE_LOGD, d)));
	metrics_refresh(count, w);
}

static void
begin_listening(struct worker *w)
{
	for (unsigned i = 0; i < w->birth->nlisten; i++) {
		const struct worker_listen *at = &w->birth->listen[i];
		struct door *door = &w->door[w->nlisteners];
		struct listener *ln;

		*door = (struct door){ w, at->name };
		ln = listen_new(w->loop, at->fd, at->is_socket ? on_user : on_client, door);
		listen_pause(ln, true);
		w->listeners[w->nlisteners++] = ln;
	}
}

static void
begin(struct worker *w)
{
	bool local = w->world.class == CLASS_LOCAL;

	w->threads = offload_new(w->loop, local ? 2 : 1);
	w->writer = writer_new(&writer_io_system, &writer_ops, w);
	w->body_threads = offload_new(w->loop, BODY_THREADS);
	w->streams = streams_new(&writer_io_system, &streams_ops, w);
	w->world.streams = w->streams;
	w->policy = policy_new(w->loop, w->world.class);
	intake_init(&w->intake, 0, room_freed, w);
	w->wake = (struct deferred){ .fn = wake_sessions, .arg = w };
	w->world.intake = &w->intake;
	w->world.ask = world_ask;
	w->world.forget = world_forget;
	w->world.room = world_room;
	w->world.rate = world_rate;
	w->world.next_id = world_next_id;
	w->world.submit = world_submit;
	w->world.arg = w;
	w->clients.loop = w->loop;
	w->clients.world = &w->world;
	w->clients.limits = w->birth->limits;
	w->clients.worker = w->number;
	w->tick = timer_new(w->loop, on_tick, w);
	w->lease_retry = timer_new(w->loop, lease_retry, w);
	w->open_anyway = timer_new(w->loop, open_anyway, w);
	w->grace = timer_new(w->loop, cut_off, w);
	timer_set(w->tick, TICK_MS);
	timer_set(w->open_anyway, LISTEN_AT_LEAST_MS);
	loop_at_turn_end(w->loop, TURN_DAEMON, on_turn_end, w);
	if (local && w->birth->drop_fd >= 0)
		w->pickup =
		    pickup_new(w->loop, w->threads, w->birth->drop_fd, &w->world, &w->clients.conf);
}

/* Of the listening sockets only those of the own class are kept. */
static void
keep_own_sockets(struct worker_birth *b, uint8_t class)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->nlisten; i++)
		if (b->listen[i].class == class)
			b->listen[n++] = b->listen[i];
		else
			close(b->listen[i].fd);
	b->nlisten = n;
	if (class != CLASS_LOCAL && b->drop_fd >= 0) {
		close(b->drop_fd);
		b->drop_fd = b->daemon->sandbox.dir[SANDBOX_DROP] = -1;
	}
}

_Noreturn void
worker_run(struct worker_birth *birth, unsigned number, uint8_t class, int pair_fd)
{
	static struct worker w;

	w = (struct worker){ .number = number, .birth = birth };
	w.world.class = class;
	keep_own_sockets(birth, class);
	daemon_worker_enter(
	    birth->daemon, class == CLASS_LOCAL ? PROFILE_SMTPD_LOCAL : PROFILE_SMTPD_WORKER);
	w.loop = loop_new();
	begin(&w);
	take_conf(&w, conf_ref(birth->conf));
	begin_links(&w, pair_fd);
	begin_listening(&w);
	loop_run(w.loop);
	offload_free(w.threads);
	offload_free(w.body_threads);
	pickup_free(w.pickup);
	writer_free(w.writer);
	streams_free(w.streams);
	exit(0);
}
