/* SPDX-License-Identifier: ISC */
/*
 * router: says where an address goes, or why not.
 *
 * User	_angroute
 * Asked by	smtpd (edge/router.smtpd), qmgr (edge/router.qmgr); commands (ctl/router)
 * Reaches	logd
 * Holds	the configuration; the key that seals its answers, shared with qmgr only
 * Files	reads tables (the database of aliases, virtual, routes, users) and what the C library
 *		looks users up in; its root stays, since these are anywhere
 * Sandbox	PROFILE_ROUTER: reads generations, /etc and the folders of the tables, nothing else
 * Threads	users of the system are looked up by them
 *
 * It keeps no state: dead, it is TEMP for its askers; started again it answers as before, under a
 * new key (qmgr asks again where a seal is older than that).
 */
#include "base/clock.h"
#include "base/die.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "conf/generation.h"
#include "ipc/ctl.h"
#include "ipc/loglink.h"
#include "priv/daemon.h"
#include "qmgr/router/answer.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

struct main {
	struct daemon d;
	struct router router;
	struct loop *loop;
	uint64_t started_ms;
};

static bool
from_asker(struct peer *p, const struct msg_row *row, struct ipc_in *in)
{
	struct main *m = peer_arg(p);
	struct msg_resolve ask;
	struct buf *out;

	(void)row;
	if (in->type != MSG_RESOLVE || !msg_resolve_get(in->payload, &ask))
		return false;
	out = peer_out(p);
	return out != NULL && answer_question(&m->router, p, &ask, out);
}

static void
asker_up(struct peer *p)
{
	struct main *m = peer_arg(p);

	if (peer_service(p) == SERVICE_QMGR)
		peer_send(p, route_key, .key = slice_of(m->router.key, sizeof m->router.key));
}

static void
asker_down(struct peer *p)
{
	struct main *m = peer_arg(p);

	answer_forget(&m->router, p);
}

static const struct peer_ops ops = { .in = from_asker, .up = asker_up, .down = asker_down };

static void
count(void *arg)
{
	const struct main *m = arg;

	metric_set(METRIC_ROUTER_ANSWERS, m->router.answered);
	metric_set(METRIC_ROUTER_REFUSED, m->router.refused);
	metric_set(METRIC_ROUTER_TEMP, m->router.temp);
}

static void
verb_status(struct ctl_call *c, struct slice args)
{
	struct main *m = ctl_arg(c);
	struct buf *b = ctl_out(c);

	(void)args;
	json_open(b, '{');
	json_kz(b, "service", "router");
	json_ku64(b, "pid", (uint64_t)getpid());
	json_ku64(b, "generation", m->router.conf->generation);
	json_ku64(b, "uptime_ms", clock_mono_ms() - m->started_ms);
	json_ku64(b, "answered", m->router.answered);
	json_ku64(b, "refused", m->router.refused);
	json_ku64(b, "temp", m->router.temp);
	json_ku64(b, "waiting", m->router.nwaits);
	json_ku64(b, "users_asked", accounts_asked(m->router.accounts));
	json_close(b, '}');
	buf_putc(b, '\n');
	ctl_end(c, 0, NULL);
}

/* route ADDRESS [CLIENT]: where its mail goes; with CLIENT, what such a client of class mx would hear
 * at RCPT. */
static void
verb_route(struct ctl_call *c, struct slice args)
{
	struct main *m = ctl_arg(c);
	struct question q = { .class = CLASS_LOCAL };
	struct slice client;

	if (!ctl_word(&args, &q.rcpt)) {
		ctl_end(c, EXIT_USAGE, "route ADDRESS [CLIENT]");
		return;
	}
	if (ctl_word(&args, &client)) {
		q.class = CLASS_MX;
		q.has_client = addr_host_parse(client, q.client);
		if (!q.has_client) {
			ctl_end(c, EXIT_USAGE, "CLIENT is not an address");
			return;
		}
	}
	/* Without a client: what qmgr would hear, who knows that relaying is granted. */
	if (!q.has_client)
		q.again = QUESTION_AGAIN;
	answer_call(&m->router, c, &q);
}

static const struct ctl_verb verbs[] = {
	{ "status", CTL_ANYONE, true, verb_status, "how the service is" },
	{ "route", CTL_ANYONE, true, verb_route,
	    "ADDRESS [CLIENT]: where mail goes and by which rule" },
	{ NULL, CTL_ADMIN, false, NULL, NULL },
};

static void
take_conf(struct conf *fresh, void *arg)
{
	struct main *m = arg;

	answer_conf(&m->router, fresh);
	peer_self_generation(fresh->generation);
}

static void
on_hup(int signo, void *arg)
{
	struct main *m = arg;

	(void)signo;
	daemon_reloading(&m->d);
	daemon_reload(&m->d, take_conf, m);
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

/* The tables' folders: a new table comes into its folder by a rename, so the file alone would not do. */
static void
open_folders(struct daemon *d)
{
	const char *files[] = { d->conf->alias_database, d->conf->alias_file,
		d->conf->virtual_table, d->conf->route_table, d->conf->local_users };

	daemon_open_more(d, "/etc/passwd");
	for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
		if (files[i] != NULL)
			daemon_open_more(d, files[i]);
}

int
main(int argc, char *argv[])
{
	static struct main m;
	int smtpd, qmgr, ctl;

	daemon_start(&m.d, SERVICE_ROUTER, argc, argv);
	smtpd = daemon_bind_edge(&m.d, SERVICE_SMTPD);
	qmgr = daemon_bind_edge(&m.d, SERVICE_QMGR);
	ctl = daemon_bind_ctl(&m.d);
	m.started_ms = clock_mono_ms();
	open_folders(&m.d);
	m.loop = loop_new();
	answer_init(&m.router, m.d.conf, m.loop);
	accounts_prepare(m.router.accounts);
	daemon_drop(&m.d, PROFILE_ROUTER);

	peer_self(SERVICE_ROUTER, 0, 0, 0);
	peer_self_generation(m.d.generation);
	loglink_dial(m.loop, m.d.ids.uid[SERVICE_LOGD]);
	metrics_refresh(count, &m);
	peer_listen(m.loop, smtpd, SERVICE_SMTPD, m.d.ids.uid[SERVICE_SMTPD], &ops, &m);
	peer_listen(m.loop, qmgr, SERVICE_QMGR, m.d.ids.uid[SERVICE_QMGR], &ops, &m);
	m.router.ctl = ctl_serve(m.loop, ctl, verbs, m.d.ids.gid[GROUP_ADM], &m);
	loop_signal(m.loop, SIGHUP, on_hup, &m);
	loop_signal(m.loop, SIGTERM, on_term, &m);
	daemon_ready(&m.d);
	loop_run(m.loop);
	return daemon_stop(&m.d);
}
