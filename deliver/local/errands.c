/* SPDX-License-Identifier: ISC */
#include "deliver/local/errands.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/json.h"
#include "base/log.h"
#include "conf/conf.h"
#include "deliver/local/child.h"
#include "deliver/local/mbox.h"
#include "deliver/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROOM = 200, CHILDREN_MAX = 1000, LATE_MS = 5000, FORK_PAUSE_MS = 1000 };

struct errand {
	struct errand *next;
	struct errands *all;
	struct delivery *d; /* NULL: concluded, but its process does not end */
	struct job_rcpt *rcpt;
	char user[USERS_NAME_MAX + 1]; /* whom it keeps from others; not looked up */
	pid_t pid;
	bool stopped;
	int report;
	struct timer *late;
};

struct errands {
	struct carrier_env env;
	struct pool *pool;
	struct users_file *users; /* NULL: NSS */
	char *users_path;
	struct errand *first, **last; /* wait, in order */
	struct errand *child[CHILDREN_MAX];
	unsigned nchildren;
	struct timer *again;
	bool going, go_again; /* what ends lets what waits for memory begin: one at a time */
	uint64_t jobs, delivered, deferred, failed, lost;
};

static gid_t mail_gid;

void
errands_mail_gid(gid_t gid)
{
	mail_gid = gid;
}

static char lock_mark[MBOX_MARK_MAX + 1];

void
errands_lock_mark(const char *mark)
{
	slice_copy(slice_z(mark), lock_mark, sizeof lock_mark);
}

static void go_on(struct errands *all);

/* ---- conclusions ---- */

static void
job_ended(struct errands *all, struct delivery *d)
{
	loader_unload(all->env.loader, d);
	d->state = JOB_ENDED;
	all->env.ended(d, all->env.arg);
}

static void
conclude(struct errands *all, struct delivery *d, struct job_rcpt *r, enum outcome_kind kind,
    uint16_t code, const uint8_t enh[3], struct slice text)
{
	all->delivered += kind == OUTCOME_OK;
	all->deferred += kind == OUTCOME_TEMP;
	all->failed += kind == OUTCOME_PERM;
	delivery_end_rcpt(d, r, kind, PHASE_LOCAL, code, enh, text);
	if (d->nopen == 0)
		job_ended(all, d);
}

static void
errand_free(struct errand *e)
{
	if (e->report >= 0)
		close(e->report);
	timer_free(e->late);
	free(e);
}

/* False: the child told nothing that can be believed. */
static bool
read_report(struct errand *e, struct child_report *r)
{
	ssize_t n = read(e->report, r, sizeof *r);

	return n == sizeof *r && r->kind <= OUTCOME_PERM && r->text_n < sizeof r->text &&
	       r->enh[0] == (r->kind == OUTCOME_OK	  ? 2
				: r->kind == OUTCOME_TEMP ? 4
							  : 5);
}

static void
ended(struct errands *all, struct errand *e, int status)
{
	static const uint8_t broken[3] = { 4, 3, 0 };
	struct child_report r;
	char text[128];

	if (e->d == NULL)
		return; /* it was too late to be heard */
	if (read_report(e, &r)) {
		conclude(all, e->d, e->rcpt, (enum outcome_kind)r.kind, r.code, r.enh,
		    slice_of(r.text, r.text_n));
		return;
	}
	all->lost++;
	if (e->stopped)
		snprintf(
		    text, sizeof text, "the delivery process was stopped by its user, and ended");
	else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(text, sizeof text, "the delivery took longer than local_time_max");
	else if (WIFSIGNALED(status))
		snprintf(text, sizeof text, "the delivery process was killed by signal %d",
		    WTERMSIG(status));
	else
		snprintf(text, sizeof text,
		    "the delivery process ended with status %d and no result", WEXITSTATUS(status));
	conclude(all, e->d, e->rcpt, OUTCOME_TEMP, 0, broken, slice_z(text));
}

/* The table, or NULL with *why where it cannot be read. */
static bool
users_now(struct errands *all, const struct users **table, struct buf *why)
{
	*table = NULL;
	return all->users == NULL || users_file_get(all->users, clock_mono_ms(), table, why) == 0;
}

static struct child_order
order_of(const struct errand *e)
{
	const struct daemon *d = e->all->env.daemon;

	return (struct child_order){ .d = e->d,
		.rcpt = e->rcpt,
		.conf = d->conf,
		.lock_mark = lock_mark[0] != '\0' ? lock_mark : NULL,
		.mail_gid = mail_gid,
		.held = d->sandbox.more,
		.nheld = d->sandbox.nmore,
		.sandbox_off = d->sandbox_off,
		.report_fd = e->report };
}

/*
 * No alarm ends a process that is stopped, and it would hold its place for ever. We may not signal
 * the user's processes; who becomes the user may.
 */
static void
end_stopped(struct errand *e)
{
	struct child_order o;
	struct buf why = { 0 };

	if (e->d == NULL || e->stopped)
		return;
	e->stopped = true;
	o = order_of(e);
	o.stopped = e->pid;
	if (users_now(e->all, &o.table, &why) && fork() == 0)
		child_end(&o);
	buf_fini(&why);
}

static void
on_child(int signo, void *arg)
{
	struct errands *all = arg;
	int status;
	pid_t pid;

	(void)signo;
	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0)
		for (unsigned i = 0; i < all->nchildren; i++) {
			struct errand *e = all->child[i];

			if (e->pid != pid)
				continue;
			if (WIFSTOPPED(status)) {
				end_stopped(e);
				break;
			}
			all->child[i] = all->child[--all->nchildren];
			ended(all, e, status);
			errand_free(e);
			break;
		}
	go_on(all);
}

/*
 * Not even the kernel's alarm ended it: it hangs in a file system. The recipient is tried again
 * later; until the process ends its user has no other.
 */
static void
late(void *arg)
{
	static const uint8_t hangs[3] = { 4, 3, 0 };
	struct errand *e = arg;
	struct delivery *d = e->d;

	if (d == NULL)
		return;
	e->d = NULL;
	log_trouble(0, "delivery process %d for %s does not end", (int)e->pid, e->user);
	conclude(e->all, d, e->rcpt, OUTCOME_TEMP, 0, hangs,
	    SLICE_LIT("the delivery process hangs in the file system"));
}

/* ---- children ---- */

static bool
user_is_busy(const struct errands *all, const struct errand *e)
{
	for (unsigned i = 0; i < all->nchildren; i++)
		if (strcmp(all->child[i]->user, e->user) == 0)
			return true;
	return false;
}

/* False: it could not be started now, and waits. */
static bool
birth(struct errands *all, struct errand *e)
{
	static const uint8_t no_table[3] = { 4, 3, 0 };
	struct child_order o = order_of(e);
	struct buf why = { 0 };
	int ends[2];

	if (!users_now(all, &o.table, &why)) {
		conclude(all, e->d, e->rcpt, OUTCOME_TEMP, 0, no_table, slice_buf(&why));
		buf_fini(&why);
		errand_free(e);
		return true;
	}
	buf_fini(&why);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
		log_trouble(errno, "no pipe for a delivery");
		return false;
	}
	o.report_fd = ends[1];
	e->pid = fork();
	if (e->pid == 0)
		child_run(&o);
	close(ends[1]);
	if (e->pid < 0) {
		log_trouble(errno, "no process for a delivery");
		close(ends[0]);
		return false;
	}
	e->report = ends[0];
	e->late = timer_new(all->env.loop, late, e);
	timer_set(e->late, o.conf->local_time_ms + CHILD_GRACE_S * 1000 + LATE_MS);
	all->child[all->nchildren++] = e;
	return true;
}

/* As many as may run, the first come first, but one for each user. */
static void
start_some(struct errands *all)
{
	struct errand **at = &all->first;

	while (*at != NULL && all->nchildren < all->env.daemon->conf->local_children_max) {
		struct errand *e = *at;

		if (user_is_busy(all, e)) {
			at = &e->next;
			continue;
		}
		*at = e->next;
		if (all->first == NULL || *at == NULL)
			all->last = at;
		if (!birth(all, e)) {
			e->next = *at;
			*at = e;
			if (e->next == NULL)
				all->last = &e->next;
			timer_set(all->again, FORK_PAUSE_MS);
			return;
		}
	}
}

static void
go_on(struct errands *all)
{
	all->go_again = true;
	if (all->going)
		return;
	all->going = true;
	while (all->go_again) {
		all->go_again = false;
		start_some(all);
	}
	all->going = false;
}

static void
again(void *arg)
{
	go_on(arg);
}

/* ---- jobs ---- */

/* The name without extension: the same mailbox, as far as can be told without asking. */
static void
name_user(const struct errands *all, struct errand *e)
{
	const char *delimiters = all->env.daemon->conf->recipient_delimiter;
	size_t n;

	if (!user_local_part(e->rcpt->address, e->user))
		e->user[0] = '\0';
	n = delimiters == NULL ? 0 : strcspn(e->user, delimiters);
	if (n > 0)
		e->user[n] = '\0';
}

static void
loaded(struct delivery *d)
{
	struct errands *all = d->owner;
	static const uint8_t damaged[3] = { 5, 6, 0 };

	d->state = JOB_ACTIVE;
	if (d->damage != NULL) {
		for (uint32_t i = 0; i < d->nrcpts; i++)
			d->rcpts[i].damaged = true;
		delivery_end_open(d, OUTCOME_PERM, PHASE_LOCAL, 0, damaged, slice_z(d->damage));
		job_ended(all, d);
		return;
	}
	for (uint32_t i = 0; i < d->nrcpts; i++) {
		struct errand *e = xcalloc(1, sizeof *e);

		*e = (struct errand){ .all = all, .d = d, .rcpt = &d->rcpts[i], .report = -1 };
		name_user(all, e);
		*all->last = e;
		all->last = &e->next;
	}
	go_on(all);
}

static void
errands_start(void *arg, struct delivery *d)
{
	struct errands *all = arg;

	all->jobs++;
	if (!slice_is(d->route.transport, "local")) {
		pool_start(all->pool, d);
		return;
	}
	d->owner = all;
	slice_copy(SLICE_LIT("local"), d->host, sizeof d->host);
	loader_load(all->env.loader, d, loaded);
}

static void
errands_config(void *arg, const struct conf *c)
{
	struct errands *all = arg;

	pool_set_helo(all->pool, c->hostname);
	if (all->users != NULL && c->local_users != NULL &&
	    strcmp(all->users_path, c->local_users) == 0)
		return;
	users_file_free(all->users);
	free(all->users_path);
	all->users = NULL;
	all->users_path = NULL;
	if (c->local_users == NULL)
		return;
	all->users_path = xstrdup(c->local_users);
	all->users = users_file_new(all->users_path, 0);
}

static void *
errands_open(const struct carrier_env *env)
{
	struct errands *all = xcalloc(1, sizeof *all);

	all->env = *env;
	all->last = &all->first;
	all->again = timer_new(env->loop, again, all);
	all->pool =
	    pool_new(env->loop, env->loader, env->daemon->conf->hostname, env->ended, env->arg);
	pool_tell(all->pool, env->gone);
	errands_config(all, env->daemon->conf);
	loop_signal(env->loop, SIGCHLD, on_child, all);
	return all;
}

static void
errands_quit(void *arg)
{
	struct errands *all = arg;

	pool_quit_idle(all->pool);
}

static void
errands_close(void *arg, uint32_t queue)
{
	struct errands *all = arg;

	pool_close(all->pool, queue);
}

static void
errands_status(void *arg, struct buf *json)
{
	const struct errands *all = arg;

	json_ku64(json, "jobs", all->jobs);
	json_ku64(json, "children", all->nchildren);
	json_ku64(json, "delivered", all->delivered);
	json_ku64(json, "deferred", all->deferred);
	json_ku64(json, "failed", all->failed);
	json_ku64(json, "lost", all->lost);
}

static void
prepare(struct daemon *d)
{
	daemon_open_dir(d, SANDBOX_HOME);
}

const struct carrier_ops errands_ops = {
	.self = SERVICE_LOCAL,
	.profile = PROFILE_LOCAL_WORKER,
	.room = ROOM,
	.prepare = prepare,
	.open = errands_open,
	.start = errands_start,
	.config = errands_config,
	.quit = errands_quit,
	.close = errands_close,
	.status = errands_status,
};
