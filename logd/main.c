/* SPDX-License-Identifier: ISC */
/*
 * logd: takes events from all services and writes them as lines of JSON.
 *
 * User	_anglog
 * Asked by	every service (edge/logd.NAME); commands (ctl/logd)
 * Reaches	nobody
 * Holds	the log folder
 * Sandbox	PROFILE_LOGD: creates and appends in the log folder, reads generations
 *
 * Nobody waits for it: while it is away events wait in their services, then they are dropped and
 * counted.
 */
#include "base/clock.h"
#include "base/die.h"
#include "base/json.h"
#include "conf/generation.h"
#include "ipc/ctl.h"
#include "ipc/peer.h"
#include "logd/events.h"
#include "logd/trace.h"
#include "priv/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

struct main {
	struct daemon d;
	struct loop *loop;
	struct events events;
	int log_dirfd;
	uint64_t started_ms;
};

static bool
from_service(struct peer *p, const struct msg_row *row, struct ipc_in *in)
{
	struct main *m = peer_arg(p);
	struct msg_events ev;
	struct msg_metrics counted;

	(void)row;
	switch (in->type) {
	case MSG_EVENTS:
		return msg_events_get(in->payload, &ev) &&
		       events_take(&m->events, peer_service(p), ev.lost, ev.data);
	case MSG_METRICS:
		return msg_metrics_get(in->payload, &counted) &&
		       metrics_take(m->events.metrics, peer_service(p), peer_hello(p)->instance,
			   counted.rows);
	}
	return false;
}

static void
gone(struct peer *p)
{
	struct main *m = peer_arg(p);

	metrics_down(m->events.metrics, peer_service(p), peer_hello(p)->instance);
}

static const struct peer_ops ops = { .in = from_service, .down = gone };

static void
verb_status(struct ctl_call *c, struct slice args)
{
	struct main *m = ctl_arg(c);
	struct buf *b = ctl_out(c);
	uint64_t lost = sink_lost(m->events.sink);

	(void)args;
	json_open(b, '{');
	json_kz(b, "service", "logd");
	json_ku64(b, "pid", (uint64_t)getpid());
	json_ku64(b, "generation", m->d.generation);
	json_ku64(b, "uptime_ms", clock_mono_ms() - m->started_ms);
	json_ku64(b, "lines", sink_lines(m->events.sink));
	json_key(b, "events");
	json_open(b, '{');
	for (unsigned i = 0; i < SERVICE_COUNT; i++) {
		lost += m->events.lost[i];
		if (m->events.taken[i] > 0)
			json_ku64(b, service_word((enum service)i), m->events.taken[i]);
	}
	json_close(b, '}');
	json_ku64(b, "lost", lost);
	json_ku64(b, "bad", m->events.bad);
	json_kz(b, "error",
	    sink_error(m->events.sink) == 0 ? "" : strerrorname_np(sink_error(m->events.sink)));
	json_close(b, '}');
	buf_putc(b, '\n');
	ctl_end(c, 0, NULL);
}

static void
verb_follow(struct ctl_call *c, struct slice args)
{
	struct main *m = ctl_arg(c);

	followers_add(m->events.followers, c, args);
}

static void
verb_trace(struct ctl_call *c, struct slice args)
{
	struct main *m = ctl_arg(c);

	events_take_own(&m->events);
	sink_flush(m->events.sink);
	trace_start(c, m->log_dirfd, args);
}

static void
verb_reopen(struct ctl_call *c, struct slice args)
{
	struct main *m = ctl_arg(c);

	(void)args;
	sink_reopen(m->events.sink);
	ctl_end(c, sink_error(m->events.sink) == 0 ? 0 : EXIT_CANTCREAT,
	    "the log file cannot be opened");
}

static const struct ctl_verb verbs[] = {
	{ "status", CTL_ANYONE, true, verb_status, "how the service is" },
	{ "follow", CTL_ADMIN, true, verb_follow, "[KEY=VALUE ...]: lines as they come" },
	{ "trace", CTL_ADMIN, true, verb_trace, "ID: the story of one message" },
	{ "reopen", CTL_ADMIN, false, verb_reopen, "the file was moved away" },
	{ NULL, CTL_ADMIN, false, NULL, NULL },
};

static void
on_turn_end(void *arg)
{
	struct main *m = arg;

	events_take_own(&m->events);
}

static void
reload(struct main *m)
{
	struct conf *fresh;
	struct buf err = { 0 };

	if (conf_load_newest(AT_FDCWD, &fresh, &err) != 0) {
		log_begin(LOG_RELOAD_FAILED);
		log_str(LOGK_ERROR, slice_buf(&err));
		log_end();
	} else {
		conf_unref(m->d.conf);
		m->d.conf = fresh;
		m->d.generation = fresh->generation;
		m->events.level = (enum log_level)fresh->log_level;
		log_set_generation(fresh->generation);
		peer_self_generation(fresh->generation);
		log_begin(LOG_RELOADED);
		log_end();
	}
	buf_fini(&err);
}

static void
on_hup(int signo, void *arg)
{
	struct main *m = arg;

	(void)signo;
	daemon_reloading(&m->d);
	sink_reopen(m->events.sink);
	reload(m);
	daemon_ready(&m->d);
}

static void
on_term(int signo, void *arg)
{
	struct main *m = arg;

	(void)signo;
	daemon_stopping(&m->d);
	loop_stop(m->loop);
}

int
main(int argc, char *argv[])
{
	static struct main m;
	int edges[SERVICE_COUNT], ctl;
	struct ctl_server *server;

	daemon_start(&m.d, SERVICE_LOGD, argc, argv);
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		edges[i] = i == SERVICE_LOGD ? -1 : daemon_bind_edge(&m.d, (enum service)i);
	ctl = daemon_bind_ctl(&m.d);
	m.log_dirfd = daemon_open_dir(&m.d, SANDBOX_LOG);
	m.started_ms = clock_mono_ms();
	m.loop = loop_new();
	daemon_drop(&m.d, PROFILE_LOGD);

	peer_self(SERVICE_LOGD, 0, 0, 0);
	peer_self_generation(m.d.generation);
	m.events.sink = sink_new(m.loop, m.log_dirfd);
	if (sink_error(m.events.sink) != 0)
		die(EXIT_CANTCREAT, "%s: %s", SINK_FILE,
		    strerrorname_np(sink_error(m.events.sink)));
	m.events.followers = followers_new();
	m.events.metrics = metrics_new();
	m.events.level = (enum log_level)m.d.conf->log_level;
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		if (edges[i] >= 0)
			peer_listen(m.loop, edges[i], (enum service)i, m.d.ids.uid[i], &ops, &m);
	server = ctl_serve(m.loop, ctl, verbs, m.d.ids.gid[GROUP_ADM], &m);
	followers_set_server(m.events.followers, server);
	loop_at_turn_end(m.loop, TURN_LOG, on_turn_end, &m);
	loop_signal(m.loop, SIGHUP, on_hup, &m);
	loop_signal(m.loop, SIGTERM, on_term, &m);
	daemon_ready(&m.d);
	loop_run(m.loop);
	events_take_own(&m.events);
	sink_free(m.events.sink);
	return daemon_stop(&m.d);
}
