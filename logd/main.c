/* SPDX-License-Identifier: ISC */
/*
 * logd: takes events from all services and writes them as lines of JSON, and as lines that Postfix
 * would write; sums up what services count.
 *
 * User	_anglog
 * Asked by	every service (edge/logd.NAME); commands (ctl/logd); HTTP for /metrics, if configured
 * Reaches	a syslog daemon's socket, if configured
 * Holds	the log folder
 * Sandbox	PROFILE_LOGD: creates and appends in the log folder, reads generations; no file is
 *		written over, cut, renamed or removed
 *
 * Nobody waits for it: while it is away events wait in their services, then they are dropped and
 * counted.
 */
#include "base/clock.h"
#include "base/die.h"
#include "base/json.h"
#include "conf/generation.h"
#include "io/listen.h"
#include "ipc/ctl.h"
#include "ipc/peer.h"
#include "logd/events.h"
#include "logd/http.h"
#include "logd/trace.h"
#include "priv/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	HTTP_MAX = 4, /* as many as metrics_listen may name */
	HTTP_BACKLOG = 64,
	NAP_MS = 100,
	NAP_EVENTS = 64, /* where more are said in that time, nobody naps */
};

struct main {
	struct daemon d;
	struct loop *loop;
	struct events events;
	int log_dirfd;
	uint64_t started_ms;
	struct sysout *sys;
	unsigned nhttp;
	int http_fd[HTTP_MAX];
	struct http *http[HTTP_MAX];
	struct deferred look;
	uint64_t heard, rested; /* events, at the end of the last turn and of the last nap */
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
come(struct peer *p)
{
	struct main *m = peer_arg(p);

	metrics_up(m->events.metrics, peer_service(p), peer_hello(p)->instance);
}

static void
gone(struct peer *p)
{
	struct main *m = peer_arg(p);

	metrics_down(m->events.metrics, peer_service(p), peer_hello(p)->instance);
}

static const struct peer_ops ops = { .in = from_service, .up = come, .down = gone };

static const char *
error_word(int err)
{
	return err == 0 ? "" : strerrorname_np(err);
}

static void
status_outputs(const struct main *m, struct buf *b)
{
	const struct sink *file = outputs_file(m->events.outputs);
	const struct sysout *sys = outputs_syslog(m->events.outputs);

	if (file != NULL) {
		json_ku64(b, "mail_lines", sink_lines(file));
		json_ku64(b, "mail_lost", sink_lost(file));
		json_kz(b, "mail_error", error_word(sink_error(file)));
	}
	if (sys != NULL) {
		json_ku64(b, "syslog_lost", sysout_lost(sys));
		json_kz(b, "syslog_error", error_word(sysout_error(sys)));
	}
}

static void
verb_status(struct ctl_call *c, struct slice args)
{
	struct main *m = ctl_arg(c);
	struct buf *b = ctl_out(c);
	uint64_t lost = sink_lost(m->events.sink);

	(void)args;
	peer_hear(m->loop);
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
	status_outputs(m, b);
	json_kz(b, "error", error_word(sink_error(m->events.sink)));
	json_close(b, '}');
	buf_putc(b, '\n');
	ctl_end(c, 0, NULL);
}

static void
verb_follow(struct ctl_call *c, struct slice args)
{
	struct main *m = ctl_arg(c);

	peer_hear(m->loop);
	followers_add(m->events.followers, c, args);
}

static void
verb_trace(struct ctl_call *c, struct slice args)
{
	struct main *m = ctl_arg(c);

	peer_hear(m->loop);
	events_take_own(&m->events);
	sink_flush(m->events.sink);
	trace_start(c, m->log_dirfd, args);
}

static void
reopen(struct main *m)
{
	sink_reopen(m->events.sink);
	outputs_reopen(m->events.outputs);
}

static void
verb_reopen(struct ctl_call *c, struct slice args)
{
	struct main *m = ctl_arg(c);
	const struct sink *file = outputs_file(m->events.outputs);

	(void)args;
	reopen(m);
	if (sink_error(m->events.sink) == 0 && (file == NULL || sink_error(file) == 0))
		ctl_end(c, 0, NULL);
	else
		ctl_end(c, EXIT_CANTCREAT, "a log file cannot be opened");
}

static const struct ctl_verb verbs[] = {
	{ "status", CTL_ANYONE, true, verb_status, "how the service is" },
	{ "follow", CTL_ADMIN, true, verb_follow, "[KEY=VALUE ...]: lines as they come" },
	{ "trace", CTL_ADMIN, true, verb_trace, "ID: the story of one message" },
	{ "reopen", CTL_ADMIN, false, verb_reopen, "the file was moved away" },
	{ NULL, CTL_ADMIN, false, NULL, NULL },
};

static void
nothing(void *arg)
{
	(void)arg;
}

/*
 * Where little is said, it is not heard word by word: to be woken costs more than the lines that
 * follow.
 */
static void
nap(struct main *m)
{
	if (sink_error(m->events.sink) == 0)
		sink_flush(m->events.sink);
	outputs_look(m->events.outputs);
	peer_rest(m->loop, NAP_MS);
}

static void
on_turn_end(void *arg)
{
	struct main *m = arg;

	events_take_own(&m->events);
	if (m->heard != m->events.count) {
		m->heard = m->events.count;
		loop_defer(m->loop, &m->look); /* perhaps there is more */
		return;
	}
	if (m->heard != m->rested && m->heard - m->rested <= NAP_EVENTS)
		nap(m);
	m->rested = m->heard;
}

static void
take_conf(struct conf *fresh, void *arg)
{
	struct main *m = arg;

	m->events.level = (enum log_level)fresh->log_level;
	outputs_configure(m->events.outputs, fresh);
	peer_self_generation(fresh->generation);
}

static void
on_hup(int signo, void *arg)
{
	struct main *m = arg;

	(void)signo;
	daemon_reloading(&m->d);
	reopen(m);
	daemon_reload(&m->d, take_conf, m);
	daemon_ready(&m->d);
}

static void
on_term(int signo, void *arg)
{
	struct main *m = arg;

	(void)signo;
	daemon_stopping(&m->d);
	peer_hear(m->loop);
	loop_stop(m->loop);
}

static void
page(struct buf *out, void *arg)
{
	const struct main *m = arg;
	const struct sink *file = outputs_file(m->events.outputs);
	const struct sysout *sys = outputs_syslog(m->events.outputs);
	uint64_t lost = 0;

	peer_hear(m->loop);
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		lost += m->events.lost[i];
	metrics_put(m->events.metrics, out);
	metrics_type(out, "log_lines_total", "counter", "Lines of angarium.log.");
	metrics_line(out, "log_lines_total", "", sink_lines(m->events.sink));
	metrics_type(out, "log_lost_total", "counter",
	    "What could not be written, or was dropped before logd was told.");
	metrics_line(out, "log_lost_total", "output=\"events\"", lost);
	metrics_line(out, "log_lost_total", "output=\"angarium.log\"", sink_lost(m->events.sink));
	metrics_line(
	    out, "log_lost_total", "output=\"mail.log\"", file == NULL ? 0 : sink_lost(file));
	metrics_line(
	    out, "log_lost_total", "output=\"syslog\"", sys == NULL ? 0 : sysout_lost(sys));
	metrics_type(out, "uptime_seconds", "gauge", "Since logd began.");
	metrics_line(out, "uptime_seconds", "", (clock_mono_ms() - m->started_ms) / 1000);
}

/* As root: ports, and the socket of a syslog daemon, which may lie outside of the root to come. */
static void
open_outputs(struct main *m)
{
	const struct conf *conf = m->d.conf;
	const char *path = conf->syslog_socket;
	size_t n = strlen(conf->run_dir);
	bool inside;

	tzset(); /* the zone's file lies outside as well */
	for (size_t i = 0; i < conf->metrics_listen.n; i++) {
		int fd = listen_tcp(&conf->metrics_listen.at[i], HTTP_BACKLOG);

		if (fd < 0)
			die(EXIT_TEMP, "metrics_listen: %s", strerrorname_np(-fd));
		m->http_fd[m->nhttp++] = fd;
	}
	if (path == NULL)
		return;
	inside = strncmp(path, conf->run_dir, n) == 0 && path[n] == '/';
	path += inside ? n + 1 : 0;
	m->sys = sysout_new(m->loop, inside ? path : NULL, sysout_connect(path));
}

static void
start_http(struct main *m)
{
	for (unsigned i = 0; i < m->nhttp; i++) {
		m->http[i] = http_new(m->loop, m->http_fd[i], page, m);
		if (m->http[i] == NULL)
			die(EXIT_TEMP, "metrics_listen: the HTTP server does not start");
	}
}

static const char *
host_name(void)
{
	static char name[HOST_NAME_MAX + 1];

	if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0')
		return "localhost";
	return name;
}

int
main(int argc, char *argv[])
{
	static struct main m;
	int edges[SERVICE_COUNT], ctl;
	struct ctl_server *server;
	const char *host;

	daemon_start(&m.d, SERVICE_LOGD, argc, argv);
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		edges[i] = i == SERVICE_LOGD ? -1 : daemon_bind_edge(&m.d, (enum service)i);
	ctl = daemon_bind_ctl(&m.d);
	m.log_dirfd = daemon_open_dir(&m.d, SANDBOX_LOG);
	m.started_ms = clock_mono_ms();
	m.loop = loop_new();
	host = host_name();
	open_outputs(&m);
	daemon_drop(&m.d, PROFILE_LOGD);

	peer_self(SERVICE_LOGD, 0, 0, 0);
	peer_self_generation(m.d.generation);
	m.events.sink = sink_new(m.loop, m.log_dirfd, SINK_FILE);
	if (sink_error(m.events.sink) != 0)
		die(EXIT_CANTCREAT, "%s: %s", SINK_FILE,
		    strerrorname_np(sink_error(m.events.sink)));
	m.events.followers = followers_new();
	m.events.metrics = metrics_new();
	m.events.outputs = outputs_new(m.loop, m.log_dirfd, host, m.sys, m.d.conf);
	start_http(&m);
	m.events.level = (enum log_level)m.d.conf->log_level;
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		if (edges[i] >= 0)
			peer_listen(m.loop, edges[i], (enum service)i, m.d.ids.uid[i], &ops, &m);
	server = ctl_serve(m.loop, ctl, verbs, m.d.ids.gid[GROUP_ADM], &m);
	followers_set_server(m.events.followers, server);
	m.look = (struct deferred){ .fn = nothing };
	loop_at_turn_end(m.loop, TURN_LOG, on_turn_end, &m);
	loop_signal(m.loop, SIGHUP, on_hup, &m);
	loop_signal(m.loop, SIGTERM, on_term, &m);
	daemon_ready(&m.d);
	loop_run(m.loop);
	events_take_own(&m.events);
	for (unsigned i = 0; i < m.nhttp; i++)
		http_free(m.http[i]);
	sink_free(m.events.sink);
	outputs_free(m.events.outputs);
	return daemon_stop(&m.d);
}
