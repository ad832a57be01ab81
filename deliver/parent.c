/* SPDX-License-Identifier: ISC */
#include "deliver/parent.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/json.h"
#include "base/log.h"
#include "conf/generation.h"
#include "ipc/brood.h"
#include "ipc/ctl.h"
#include "ipc/loglink.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORKERS_MAX = 256, FINISH_MS = 10000, ANSWER_MS = 2000 };

struct main {
	struct daemon d;
	const struct parent_kind *kind;
	struct loop *loop;
	struct brood *brood;
	struct peer *qmgr;
	struct ctl_server *server;
	unsigned nworkers;
	uint64_t live[WORKERS_MAX + 1]; /* instances by worker number, 0: none */
	uint64_t started_ms;
	/* The status call under way: one at a time. */
	uint64_t asked_token;
	unsigned awaited;
	struct buf answers;
	struct timer *answer_timer;
};

/* Which workers live; all others are gone, whoever their parent was. */
static void
tell_workers(struct main *m)
{
	uint64_t live[WORKERS_MAX];
	unsigned n = 0;

	for (unsigned i = 1; i <= m->nworkers; i++)
		if (m->live[i] != 0)
			live[n++] = m->live[i];
	if (peer_is_up(m->qmgr))
		peer_send(m->qmgr, workers, .instances = slice_of(live, n * sizeof *live));
}

static bool
from_qmgr(struct peer *p, const struct msg_row *row, struct ipc_in *in)
{
	(void)p;
	(void)row;
	(void)in;
	return false; /* jobs are for workers */
}

static void
qmgr_up(struct peer *p)
{
	tell_workers(peer_arg(p));
}

static const struct peer_ops qmgr_ops = { .in = from_qmgr, .up = qmgr_up };

static void
worker_up(unsigned number, uint64_t instance, void *arg)
{
	struct main *m = arg;

	m->live[number] = instance;
}

static void
worker_gone(unsigned number, uint64_t instance, void *arg)
{
	struct main *m = arg;

	(void)instance;
	m->live[number] = 0;
	tell_workers(m);
}

static void
end_status(struct main *m)
{
	struct ctl_call *c = ctl_by_token(m->server, m->asked_token);
	struct buf *b;

	timer_stop(m->answer_timer);
	m->asked_token = 0;
	if (c == NULL)
		return;
	b = ctl_out(c);
	json_open(b, '{');
	json_kz(b, "service", service_word(m->kind->carrier->self));
	json_ku64(b, "pid", (uint64_t)getpid());
	json_ku64(b, "generation", m->d.generation);
	json_ku64(b, "uptime_ms", clock_mono_ms() - m->started_ms);
	json_kbool(b, "qmgr", peer_is_up(m->qmgr));
	json_key(b, "workers");
	buf_putc(b, '[');
	buf_slice(b, slice_buf(&m->answers));
	buf_puts(b, "]}\n");
	ctl_end(c, 0, NULL);
}

static void
answered(unsigned number, const struct msg_answer *a, void *arg)
{
	struct main *m = arg;

	(void)number;
	if (a->token != m->asked_token || m->asked_token == 0)
		return;
	if (m->answers.n > 0)
		buf_putc(&m->answers, ',');
	buf_slice(&m->answers, a->data);
	if (--m->awaited == 0)
		end_status(m);
}

static void
late(void *arg)
{
	end_status(arg);
}

static void
verb_status(struct ctl_call *c, struct slice args)
{
	struct main *m = ctl_arg(c);

	(void)args;
	if (m->asked_token != 0)
		end_status(m);
	buf_reset(&m->answers);
	m->asked_token = ctl_token(c);
	m->awaited = brood_ask(
	    m->brood, &(struct msg_ask){ .token = m->asked_token, .verb = SLICE_LIT("status") });
	timer_set(m->answer_timer, ANSWER_MS);
	if (m->awaited == 0)
		end_status(m);
}

static const struct ctl_verb verbs[] = {
	{ "status", CTL_ANYONE, true, verb_status, "how the service is" },
	{ NULL, CTL_ADMIN, false, NULL, NULL },
};

static void
pass_config(struct main *m)
{
	uint32_t number;
	int fd = conf_newest(AT_FDCWD, &number);

	if (fd < 0)
		return;
	brood_config(m->brood, number, fd);
	close(fd);
}

static void
take_conf(struct conf *fresh, void *arg)
{
	struct main *m = arg;

	pass_config(m);
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
finished(void *arg)
{
	struct main *m = arg;

	loop_stop(m->loop);
}

static void
on_term(int signo, void *arg)
{
	struct main *m = arg;

	(void)signo;
	daemon_stopping(&m->d);
	brood_finish(m->brood, FINISH_MS, finished, m);
}

static void
worker(unsigned number, uint8_t class, int pair_fd, void *arg)
{
	struct main *m = arg;

	(void)class;
	worker_main(m->kind->carrier, &m->d, number, pair_fd);
}

static const struct brood_ops brood_ops = {
	.worker = worker, .up = worker_up, .gone = worker_gone, .answer = answered
};

int
parent_main(const struct parent_kind *kind, int argc, char *argv[])
{
	static struct main m;
	int ctl;

	m.kind = kind;
	daemon_start(&m.d, kind->carrier->self, argc, argv);
	ctl = daemon_bind_ctl(&m.d);
	m.started_ms = clock_mono_ms();
	m.nworkers = kind->workers(&m.d);
	if (m.nworkers > WORKERS_MAX)
		m.nworkers = WORKERS_MAX;
	m.loop = loop_new();
	daemon_drop(&m.d, kind->profile);

	peer_self(kind->carrier->self, 0, 0, 0);
	peer_self_generation(m.d.generation);
	loglink_dial(m.loop, m.d.ids.uid[SERVICE_LOGD]);
	m.answer_timer = timer_new(m.loop, late, &m);
	m.brood = brood_new(m.loop, &brood_ops, daemon_uid_of, &m.d);
	brood_keep(m.brood, m.d.sandbox.more, m.d.sandbox.nmore);
	for (unsigned i = 1; i <= m.nworkers; i++)
		brood_add(m.brood, i, 0);
	m.qmgr = peer_dial(m.loop, SERVICE_QMGR, m.d.ids.uid[SERVICE_QMGR], &qmgr_ops, &m);
	m.server = ctl_serve(m.loop, ctl, verbs, m.d.ids.gid[GROUP_ADM], &m);
	loop_signal(m.loop, SIGHUP, on_hup, &m);
	loop_signal(m.loop, SIGTERM, on_term, &m);
	daemon_ready(&m.d);
	loop_run(m.loop);
	return daemon_stop(&m.d);
}
