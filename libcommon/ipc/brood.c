/* SPDX-License-Identifier: ISC */
#include "ipc/brood.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	WORKERS_MAX = 256,
	KEEP_MAX = 64,
	LINK_FIRST_MS = 20,
	LINK_LAST_MS = 2000,
	BIRTH_LAST_MS = 5000,
	LIVED_MS = 10000,
	OVERSTAY_MS = 2000,
};

struct wish {
	struct worker *worker;
	enum service service;
	struct timer *timer;
	uint32_t pause_ms;
};

struct worker {
	struct brood *brood;
	unsigned number;
	uint8_t class;
	pid_t pid; /* 0: not running */
	uint64_t born_ms, instance;
	struct peer *pair;
	struct timer *birth;
	uint32_t pause_ms;
	struct wish wishes[SERVICE_COUNT];
};

struct brood {
	struct loop *loop;
	const struct brood_ops *ops;
	uid_t (*uid_of)(enum service, void *);
	void *arg;
	struct worker *workers[WORKERS_MAX];
	unsigned nworkers;
	int keep[KEEP_MAX];
	unsigned nkeep;
	uint32_t generation;
	int conf_fd;
	struct timer *end;
	void (*done)(void *);
	void *done_arg;
	bool finishing;
};

static void birth(void *arg);

static void
send_with_fd(struct peer *to, const struct buf *frame, int fd)
{
	peer_send_fd(to, frame, fd);
}

static void
send_config(struct worker *w)
{
	struct buf frame = { 0 };

	if (w->brood->conf_fd < 0)
		return;
	msg_config_put(&frame, &(struct msg_config){ .generation = w->brood->generation });
	send_with_fd(w->pair, &frame, w->brood->conf_fd);
	buf_fini(&frame);
}

/* Connects for a worker and passes what it got; tries again until the server is there. */
static void
grant(void *arg)
{
	struct wish *wish = arg;
	struct worker *w = wish->worker;
	struct buf frame = { 0 };
	int fd;

	if (!peer_is_up(w->pair) || w->brood->finishing)
		return;
	fd = peer_connect_edge(wish->service, w->brood->uid_of(wish->service, w->brood->arg));
	if (fd < 0) {
		timer_set(wish->timer, wish->pause_ms / 2 + arc4random_uniform(wish->pause_ms));
		wish->pause_ms =
		    wish->pause_ms * 2 < LINK_LAST_MS ? wish->pause_ms * 2 : LINK_LAST_MS;
		return;
	}
	wish->pause_ms = LINK_FIRST_MS;
	msg_link_put(&frame, &(struct msg_link){ .service = (uint8_t)wish->service });
	send_with_fd(w->pair, &frame, fd);
	buf_fini(&frame);
	close(fd);
}

static bool
on_link_want(struct worker *w, const struct msg_link_want *m)
{
	struct wish *wish;

	if (m->service >= SERVICE_COUNT)
		return false;
	wish = &w->wishes[m->service];
	if (wish->timer == NULL) {
		*wish = (struct wish){
			.worker = w, .service = (enum service)m->service, .pause_ms = LINK_FIRST_MS
		};
		wish->timer = timer_new(w->brood->loop, grant, wish);
	}
	if (!timer_is_set(wish->timer))
		grant(wish);
	return true;
}

static bool
pair_in(struct peer *p, const struct msg_row *row, struct ipc_in *in)
{
	struct worker *w = peer_arg(p);
	struct msg_link_want want;
	struct msg_answer answer;

	(void)row;
	switch (in->type) {
	case MSG_LINK_WANT:
		return msg_link_want_get(in->payload, &want) && on_link_want(w, &want);
	case MSG_ANSWER:
		if (!msg_answer_get(in->payload, &answer))
			return false;
		if (w->brood->ops->answer != NULL)
			w->brood->ops->answer(w->number, &answer, w->brood->arg);
		return true;
	}
	return false;
}

static void
pair_up(struct peer *p)
{
	struct worker *w = peer_arg(p);

	w->instance = peer_hello(p)->instance;
	send_config(w);
	if (w->brood->ops->up != NULL)
		w->brood->ops->up(w->number, w->instance, w->brood->arg);
}

/* A pair that broke: the worker misspoke (then it has been cut off) or is about to be reaped. */
static void
pair_down(struct peer *p)
{
	struct worker *w = peer_arg(p);

	if (w->pid > 0)
		kill(w->pid, SIGKILL);
}

static const struct peer_ops pair_ops = { .in = pair_in, .up = pair_up, .down = pair_down };

static int
compare_fd(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* In the child: nothing of the parent's stays open but what was named. */
static void
close_others(const struct brood *b, int pair_fd)
{
	int fds[KEEP_MAX + 4] = { 0, 1, 2, pair_fd };
	unsigned n = 4;

	for (unsigned i = 0; i < b->nkeep; i++)
		fds[n++] = b->keep[i];
	qsort(fds, n, sizeof *fds, compare_fd);
	for (unsigned i = 0; i < n; i++) {
		unsigned from = (unsigned)fds[i] + 1;
		unsigned to = i + 1 < n ? (unsigned)fds[i + 1] - 1 : ~0U;

		if (from <= to && (i + 1 == n || fds[i + 1] > fds[i]))
			close_range(from, to, 0);
	}
}

static void
birth(void *arg)
{
	struct worker *w = arg;
	struct brood *b = w->brood;
	int pair[2];
	sigset_t all, old;

	if (b->finishing)
		return;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
		log_trouble(errno, "no pair for worker %u", w->number);
		timer_set(w->birth, BIRTH_LAST_MS);
		return;
	}
	/* The child must not run the parent's handlers before it has its own. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	w->pid = fork();
	if (w->pid == 0) {
		signal(SIGTERM, SIG_DFL);
		signal(SIGHUP, SIG_IGN);
		signal(SIGCHLD, SIG_DFL);
		sigprocmask(SIG_SETMASK, &old, NULL);
		close_others(b, pair[1]);
		loop_abandon(b->loop);
		b->ops->worker(w->number, w->class, pair[1], b->arg);
		_exit(EXIT_SOFTWARE); /* a worker's main does not return */
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(pair[1]);
	if (w->pid < 0) {
		w->pid = 0;
		close(pair[0]);
		log_trouble(errno, "worker %u cannot be started", w->number);
		timer_set(w->birth, BIRTH_LAST_MS);
		return;
	}
	w->born_ms = clock_mono_ms();
	w->instance = 0;
	w->pair = peer_pair(b->loop, pair[0], IPC_WORKER, &pair_ops, w);
}

static void
check_finished(struct brood *b)
{
	if (!b->finishing)
		return;
	for (unsigned i = 0; i < b->nworkers; i++)
		if (b->workers[i]->pid != 0)
			return;
	timer_stop(b->end);
	if (b->done != NULL)
		b->done(b->done_arg);
}

static void
bury(struct worker *w, int status)
{
	struct brood *b = w->brood;
	bool young = clock_mono_ms() - w->born_ms < LIVED_MS;

	w->pid = 0;
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		if (w->wishes[i].timer != NULL)
			timer_stop(w->wishes[i].timer);
	peer_free(w->pair);
	w->pair = NULL;
	if (w->instance != 0 && b->ops->gone != NULL)
		b->ops->gone(w->number, w->instance, b->arg);
	if (b->finishing) {
		check_finished(b);
		return;
	}
	log_begin(LOG_WORKER_LOST);
	log_u64(LOGK_WORKER, w->number);
	log_z(LOGK_REASON, WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : "exit");
	log_u64(LOGK_CODE, WIFEXITED(status) ? (uint64_t)WEXITSTATUS(status) : 0);
	log_end();
	w->pause_ms = !young ? 0 : w->pause_ms == 0 ? 100 : w->pause_ms * 2;
	if (w->pause_ms > BIRTH_LAST_MS)
		w->pause_ms = BIRTH_LAST_MS;
	/* The first death of a young worker costs no pause: it may have been killed, not broken. */
	timer_set(w->birth, w->pause_ms <= 100 ? 0 : w->pause_ms);
}

static void
on_child(int signo, void *arg)
{
	struct brood *b = arg;
	int status;
	pid_t pid;

	(void)signo;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (unsigned i = 0; i < b->nworkers; i++)
			if (b->workers[i]->pid == pid)
				bury(b->workers[i], status);
}

static void
overstayed(void *arg)
{
	struct brood *b = arg;

	for (unsigned i = 0; i < b->nworkers; i++)
		if (b->workers[i]->pid != 0)
			kill(b->workers[i]->pid, SIGKILL);
}

struct brood *
brood_new(
    struct loop *l, const struct brood_ops *ops, uid_t (*uid_of)(enum service, void *), void *arg)
{
	struct brood *b = xcalloc(1, sizeof *b);

	*b = (struct brood){ .loop = l, .ops = ops, .uid_of = uid_of, .arg = arg, .conf_fd = -1 };
	b->end = timer_new(l, overstayed, b);
	loop_signal(l, SIGCHLD, on_child, b);
	return b;
}

void
brood_keep(struct brood *b, const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (b->nkeep == KEEP_MAX)
			die(EXIT_CONFIG, "more than %d listening sockets", KEEP_MAX);
		b->keep[b->nkeep++] = fds[i];
	}
}

void
brood_add(struct brood *b, unsigned number, uint8_t class)
{
	struct worker *w = xcalloc(1, sizeof *w);

	if (b->nworkers == WORKERS_MAX)
		die(EXIT_CONFIG, "more than %d workers", WORKERS_MAX);
	*w = (struct worker){ .brood = b, .number = number, .class = class };
	w->birth = timer_new(b->loop, birth, w);
	b->workers[b->nworkers++] = w;
	birth(w);
}

void
brood_config(struct brood *b, uint32_t generation, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0) {
		log_trouble(errno, "configuration cannot be passed on");
		return;
	}
	if (b->conf_fd >= 0)
		close(b->conf_fd);
	b->conf_fd = copy;
	b->generation = generation;
	for (unsigned i = 0; i < b->nworkers; i++)
		if (peer_is_up(b->workers[i]->pair))
			send_config(b->workers[i]);
}

unsigned
brood_ask(struct brood *b, const struct msg_ask *m)
{
	unsigned asked = 0;

	for (unsigned i = 0; i < b->nworkers; i++) {
		struct buf *out =
		    peer_is_up(b->workers[i]->pair) ? peer_out(b->workers[i]->pair) : NULL;

		if (out != NULL) {
			msg_ask_put(out, m);
			asked++;
		}
	}
	return asked;
}

void
brood_finish(struct brood *b, uint32_t grace_ms, void (*done)(void *arg), void *arg)
{
	b->finishing = true;
	b->done = done;
	b->done_arg = arg;
	for (unsigned i = 0; i < b->nworkers; i++) {
		struct worker *w = b->workers[i];

		timer_stop(w->birth);
		if (w->pid == 0)
			continue;
		if (!peer_is_up(w->pair) || !peer_send(w->pair, finish, .grace_ms = grace_ms))
			kill(w->pid, SIGTERM);
	}
	timer_set(b->end, (uint64_t)grace_ms + OVERSTAY_MS);
	check_finished(b);
}

unsigned
brood_pids(const struct brood *b, pid_t *out, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->nworkers && n < max; i++)
		if (b->workers[i]->pid != 0)
			out[n++] = b->workers[i]->pid;
	return n;
}

/* The worker's side. */
static struct {
	struct peer *pair;
	const struct nest_ops *ops;
	void *arg;
	struct peer *links[SERVICE_COUNT];
} nest;

static bool
nest_in(struct peer *p, const struct msg_row *row, struct ipc_in *in)
{
	struct msg_link link;
	struct msg_config config;
	struct msg_finish finish;
	struct msg_ask ask;

	(void)p;
	(void)row;
	switch (in->type) {
	case MSG_LINK:
		if (!msg_link_get(in->payload, &link) || link.service >= SERVICE_COUNT ||
		    nest.links[link.service] == NULL)
			return false;
		peer_give(nest.links[link.service], ipc_take_fd(in));
		return true;
	case MSG_CONFIG:
		if (!msg_config_get(in->payload, &config))
			return false;
		nest.ops->config(config.generation, ipc_take_fd(in), nest.arg);
		return true;
	case MSG_FINISH:
		if (!msg_finish_get(in->payload, &finish))
			return false;
		nest.ops->finish(finish.grace_ms, nest.arg);
		return true;
	case MSG_ASK:
		if (!msg_ask_get(in->payload, &ask))
			return false;
		if (nest.ops->ask != NULL)
			nest.ops->ask(&ask, nest.arg);
		return true;
	}
	return false;
}

static void
nest_want(enum service server, void *arg)
{
	(void)arg;
	if (peer_is_up(nest.pair))
		peer_send(nest.pair, link_want, .service = (uint8_t)server);
}

static void
nest_up(struct peer *p)
{
	(void)p;
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		if (nest.links[i] != NULL)
			nest_want((enum service)i, NULL);
}

static void
nest_down(struct peer *p)
{
	(void)p;
	nest.ops->finish(0, nest.arg);
}

static const struct peer_ops nest_peer_ops = { .in = nest_in, .up = nest_up, .down = nest_down };

void
nest_open(struct loop *l, int pair_fd, const struct nest_ops *ops, void *arg)
{
	nest.ops = ops;
	nest.arg = arg;
	peer_on_want(nest_want, NULL);
	nest.pair = peer_pair(l, pair_fd, IPC_PARENT, &nest_peer_ops, NULL);
}

void
nest_link(struct peer *supplied)
{
	nest.links[peer_service(supplied)] = supplied;
	nest_want(peer_service(supplied), NULL);
}

void
nest_answer(uint64_t token, struct slice json)
{
	if (peer_is_up(nest.pair))
		peer_send(nest.pair, answer, .token = token, .data = json);
}
