/* SPDX-License-Identifier: ISC */
#include "smtpd/parent.h"

#include "base/die.h"
#include "base/json.h"
#include "base/log.h"
#include "conf/generation.h"
#include "io/listen.h"
#include "ipc/brood.h"
#include "ipc/ctl.h"
#include "ipc/loglink.h"
#include "smtpd/rates.h"
#include "smtpd/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BACKLOG = 4096, QUESTIONS_MAX = 16, ANSWER_MS = 2000, ANSWERS_MAX = 64 * 1024 };

/* A `status` whose workers have not all answered. */
struct question {
	uint64_t token; /* 0: free */
	unsigned left;
	struct buf workers; /* their JSON objects, commas between */
	struct timer *timer;
};

static struct {
	struct daemon *daemon;
	struct loop *loop;
	struct brood *brood;
	struct ctl_server *ctl;
	int ctl_fd;
	struct worker_birth birth;
	unsigned mx_workers;
	struct question questions[QUESTIONS_MAX];
} parent = { .ctl_fd = -1 };

/*
 * Sockets
 */

static void
add_listener(int fd, uint8_t class, const char *name)
{
	struct worker_birth *b = &parent.birth;

	if (b->nlisten == WORKER_LISTEN_MAX - 2)
		die(EXIT_CONFIG, "more than %d listening sockets", WORKER_LISTEN_MAX - 2);
	b->listen[b->nlisten++] = (struct worker_listen){ .fd = fd,
		.class = class,
		.is_socket = name == NULL,
		.name = name == NULL ? NULL : xstrdup(name) };
}

/* Sockets that init holds under the section's name come before those we could bind. */
static void
bind_section(struct daemon *d, const struct conf_listen *at)
{
	int fd = daemon_listen_fd(d, at->name);
	char text[46];

	if (fd >= 0) {
		for (; fd >= 0; fd = daemon_listen_fd(d, at->name))
			add_listener(fd, (uint8_t)at->origin, at->name);
		return;
	}
	for (size_t i = 0; i < at->at.n; i++) {
		const struct addr *a = &at->at.at[i];

		fd = listen_tcp(a, BACKLOG);
		if (fd < 0) {
			addr_text(a->host, text);
			die(EXIT_TEMP, "listener %s: cannot listen at %s port %u: %s", at->name,
			    text, a->port, strerror(-fd));
		}
		add_listener(fd, (uint8_t)at->origin, at->name);
	}
}

static unsigned
workers_wished(const struct conf *conf)
{
	long cores;

	if (conf->mx_workers > 0)
		return (unsigned)conf->mx_workers;
	cores = sysconf(_SC_NPROCESSORS_ONLN);
	/* Two cores are one worker's: a second one would halve the commit groups and triple the
	 * syncs. */
	return cores < 4 ? 1 : cores < 512 ? (unsigned)cores / 2 : 256;
}

void
parent_bind(struct daemon *d)
{
	const struct conf *conf = d->conf;

	parent.daemon = d;
	parent.birth.daemon = d;
	parent.birth.conf = conf;
	for (size_t i = 0; i < conf->nlisten; i++)
		bind_section(d, &conf->listen[i]);
	add_listener(daemon_bind_submit(d), CLASS_LOCAL, NULL);
	parent.ctl_fd = daemon_bind_ctl(d);
	parent.birth.drop_fd = daemon_open_dir(d, SANDBOX_DROP);
	parent.mx_workers = workers_wished(conf);
	parent.birth.workers = parent.mx_workers + 2;
	parent.birth.limits = limits_new(parent.birth.workers);
	parent.birth.rates = rates_new();
}

/*
 * Workers
 */

static _Noreturn void
worker_born(unsigned number, uint8_t class, int pair_fd, void *arg)
{
	(void)arg;
	worker_run(&parent.birth, number, class, pair_fd);
}

static void
worker_gone(unsigned number, uint64_t instance, void *arg)
{
	(void)instance;
	(void)arg;
	limits_clear(parent.birth.limits, number);
}

static void
print_status(struct ctl_call *c, const struct question *q)
{
	struct buf *b = ctl_out(c);
	struct limits_tally sum;
	char instance[17];

	limits_sum(parent.birth.limits, &sum);
	snprintf(instance, sizeof instance, "%016llx", (unsigned long long)peer_self_instance());
	json_open(b, '{');
	json_kz(b, "service", "smtpd");
	json_ku64(b, "pid", (uint64_t)getpid());
	json_ku64(b, "generation", parent.birth.conf->generation);
	json_kz(b, "instance", instance);
	json_ku64(b, "sessions", sum.sessions);
	json_ku64(b, "accepted", sum.accepted);
	json_ku64(b, "refused", sum.refused);
	json_key(b, "workers");
	json_open(b, '[');
	buf_put(b, q->workers.p, q->workers.n);
	json_close(b, ']');
	json_close(b, '}');
	buf_putc(b, '\n');
}

static void
question_end(struct question *q)
{
	struct ctl_call *c = ctl_by_token(parent.ctl, q->token);

	q->token = 0;
	timer_stop(q->timer);
	if (c != NULL) {
		print_status(c, q);
		ctl_end(c, 0, NULL);
	}
	buf_fini(&q->workers);
}

static void
question_late(void *arg)
{
	question_end(arg);
}

/* A worker is not believed: what does not look like one line of an object is left out. */
static bool
is_object(struct slice s)
{
	if (s.n < 2 || s.n > ANSWERS_MAX || s.p[0] != '{' || s.p[s.n - 1] != '}')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || (unsigned char)s.p[i] > '~')
			return false;
	return true;
}

static void
worker_answered(unsigned number, const struct msg_answer *m, void *arg)
{
	(void)number;
	(void)arg;
	for (int i = 0; i < QUESTIONS_MAX; i++) {
		struct question *q = &parent.questions[i];

		if (q->token == 0 || q->token != m->token)
			continue;
		if (is_object(m->data)) {
			if (q->workers.n > 0)
				buf_putc(&q->workers, ',');
			buf_slice(&q->workers, m->data);
		}
		if (--q->left == 0)
			question_end(q);
		return;
	}
}

static const struct brood_ops brood_ops = {
	.worker = worker_born, .gone = worker_gone, .answer = worker_answered
};

static void
begin_brood(void)
{
	struct worker_birth *b = &parent.birth;
	unsigned n;

	parent.brood = brood_new(parent.loop, &brood_ops, daemon_uid_of, parent.daemon);
	for (unsigned i = 0; i < b->nlisten; i++)
		brood_keep(parent.brood, &b->listen[i].fd, 1);
	brood_keep(parent.brood, &b->drop_fd, 1);
	for (n = 1; n <= parent.mx_workers; n++)
		brood_add(parent.brood, n, CLASS_MX);
	brood_add(parent.brood, n, CLASS_SUBMISSION);
	brood_add(parent.brood, n + 1, CLASS_LOCAL);
}

/*
 * Control
 */

static void
ctl_status(struct ctl_call *c, struct slice args)
{
	struct question *q = NULL;

	(void)args;
	for (int i = 0; i < QUESTIONS_MAX && q == NULL; i++)
		if (parent.questions[i].token == 0)
			q = &parent.questions[i];
	if (q == NULL) {
		ctl_end(c, EXIT_TEMP, "too many questions at a time");
		return;
	}
	q->token = ctl_token(c);
	if (q->timer == NULL)
		q->timer = timer_new(parent.loop, question_late, q);
	q->left = brood_ask(
	    parent.brood, &(struct msg_ask){ .token = q->token, .verb = SLICE_LIT("status") });
	if (q->left == 0)
		question_end(q);
	else
		timer_set(q->timer, ANSWER_MS);
}

static void
ctl_pids(struct ctl_call *c, struct slice args)
{
	pid_t pids[WORKER_LISTEN_MAX * 8];
	unsigned n = brood_pids(parent.brood, pids, sizeof pids / sizeof *pids);
	struct buf *b = ctl_out(c);

	(void)args;
	json_open(b, '{');
	json_kz(b, "service", "smtpd");
	json_ku64(b, "pid", (uint64_t)getpid());
	json_key(b, "workers");
	json_open(b, '[');
	for (unsigned i = 0; i < n; i++)
		json_u64(b, (uint64_t)pids[i]);
	json_close(b, ']');
	json_close(b, '}');
	buf_putc(b, '\n');
	ctl_end(c, 0, NULL);
}

static const struct ctl_verb verbs[] = {
	{ "status", CTL_ANYONE, true, ctl_status, "what the service and its workers do" },
	{ "pids", CTL_ANYONE, true, ctl_pids, "process ids of the parent and its workers" },
	{ NULL, CTL_ADMIN, false, NULL, NULL },
};

/*
 * Signals
 */

static void
pass_conf(void)
{
	uint32_t generation;
	int fd = conf_newest(AT_FDCWD, &generation);

	if (fd < 0) {
		log_trouble(-fd, "the configuration cannot be passed to workers");
		return;
	}
	brood_config(parent.brood, generation, fd);
	close(fd);
}

static void
take_conf(struct conf *fresh, void *arg)
{
	(void)arg;
	parent.birth.conf = fresh;
	peer_self_generation(fresh->generation);
	pass_conf();
}

static void
on_hangup(int signo, void *arg)
{
	(void)signo;
	(void)arg;
	daemon_reloading(parent.daemon);
	daemon_reload(parent.daemon, take_conf, NULL);
	daemon_ready(parent.daemon);
}

static void
all_ended(void *arg)
{
	(void)arg;
	loop_stop(parent.loop);
}

/* The sockets close at once, so that who connects now meets the next instance, not us. */
static void
on_terminate(int signo, void *arg)
{
	static bool told;

	(void)signo;
	(void)arg;
	if (told)
		return;
	told = true;
	daemon_stopping(parent.daemon);
	for (unsigned i = 0; i < parent.birth.nlisten; i++)
		close(parent.birth.listen[i].fd);
	brood_finish(
	    parent.brood, (uint32_t)parent.birth.conf->shutdown_data_grace_ms, all_ended, NULL);
}

void
parent_run(struct daemon *d)
{
	parent.loop = loop_new();
	peer_self(SERVICE_SMTPD, 0, 0, 0);
	peer_self_generation(parent.birth.conf->generation);
	log_set_generation(parent.birth.conf->generation);
	loop_signal(parent.loop, SIGHUP, on_hangup, NULL);
	loop_signal(parent.loop, SIGTERM, on_terminate, NULL);
	loop_signal(parent.loop, SIGINT, on_terminate, NULL);
	begin_brood();
	parent.ctl = ctl_serve(parent.loop, parent.ctl_fd, verbs, d->ids.gid[GROUP_ADM], NULL);
	loglink_dial(parent.loop, daemon_uid_of(SERVICE_LOGD, d));
	daemon_ready(d);
	loop_run(parent.loop);
	ctl_server_free(parent.ctl);
}
