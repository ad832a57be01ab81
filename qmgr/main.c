/* SPDX-License-Identifier: ISC */
/*
 * qmgr: the queue. Files what writers append, gives it to deliver, remembers what became of it.
 *
 * User _angqmgr. Files: the spool folder, whole and alone (state/lock is held while it runs);
 * configuration generations, read. Sockets: listens on the edges from smtpd, deliver and bounced,
 * and on ctl/qmgr; connects to router, dnscache and logd. Sandbox: PROFILE_QMGR; no network at all.
 * Threads: one writes the journal, two do what else blocks (segments made, synced, copied,
 * unlinked).
 */
#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/metrics.h"
#include "conf/generation.h"
#include "ipc/loglink.h"
#include "priv/daemon.h"
#include "qmgr/control.h"
#include "qmgr/from_dnscache.h"
#include "qmgr/from_deliver.h"
#include "qmgr/from_router.h"
#include "qmgr/from_smtpd.h"
#include "qmgr/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct daemon self;
static struct qmgr queue;

enum { ENDING_MS = 2000 };

static void
overdue(void *arg)
{
	loop_stop(arg);
}

static void
end_if_quiet(void *arg)
{
	if (queue.dispatch.window == 0)
		loop_stop(arg);
}

/*
 * The disk is the whole truth, a kill loses nothing; but each job under way might be done twice
 * (rule 16). Told to end, there is time for those that are short.
 */
static void
on_term(int signo, void *arg)
{
	(void)signo;
	daemon_stopping(&self);
	if (queue.dispatch.ending) {
		loop_stop(arg);
		return;
	}
	queue.dispatch.ending = true;
	journal_hurry(&queue.journal, JOURNAL_NOW);
	timer_set(timer_new(arg, overdue, arg), ENDING_MS);
	loop_at_turn_end(arg, TURN_DAEMON + 1, end_if_quiet, arg);
}

static void
take_conf(struct conf *fresh, void *arg)
{
	(void)arg;
	qmgr_set_conf(&queue, fresh);
	peer_self_generation(fresh->generation);
}

static void
on_hup(int signo, void *arg)
{
	(void)signo;
	(void)arg;
	daemon_reloading(&self);
	daemon_reload(&self, take_conf, NULL);
	daemon_ready(&self);
}

/* One at a time: a second one waits here, before it has read anything (rule 1). */
static void
open_spool(int dirfd)
{
	struct spool_identity id;
	const char *why = "";
	int error = spool_make(dirfd, &id);

	if (error != 0)
		die(error == -ENOTSUP ? EXIT_CONFIG : EXIT_TEMP, "the spool cannot be opened: %s",
		    strerror(-error));
	queue.lockfd = spool_lock(dirfd, true);
	if (queue.lockfd < 0)
		die(EXIT_TEMP, "the spool cannot be locked: %s", strerror(-queue.lockfd));
	error = spool_identity_read(dirfd, &id);
	if (error != 0)
		die(error == -ENOTSUP ? EXIT_CONFIG : EXIT_TEMP, "state/spool cannot be read: %s",
		    strerror(-error));
	qmgr_set_identity(&queue, &id);
	error = recover_open(&queue, &why);
	if (error != 0)
		die(EXIT_TEMP, "the queue cannot be recovered: %s: %s", why, strerror(-error));
}

int
main(int argc, char *argv[])
{
	int smtpd, deliver, local, bounced, ctl, spool;
	struct loop *loop;

	/* As the user init started us with: read, bind. */
	daemon_start(&self, SERVICE_QMGR, argc, argv);
	smtpd = daemon_bind_edge(&self, SERVICE_SMTPD);
	deliver = daemon_bind_edge(&self, SERVICE_DELIVER);
	local = daemon_bind_edge(&self, SERVICE_LOCAL);
	bounced = daemon_bind_edge(&self, SERVICE_BOUNCED);
	ctl = daemon_bind_ctl(&self);
	spool = daemon_open_dir(&self, SANDBOX_SPOOL);
	from_dnscache_local();
	loop = loop_new();

	/* From here on: own user, own root directory, own system calls. */
	daemon_drop(&self, PROFILE_QMGR);
	peer_self(SERVICE_QMGR, 0, 0, 0);
	peer_self_generation(self.generation);
	loop_signal(loop, SIGTERM, on_term, loop);
	loop_signal(loop, SIGINT, on_term, loop);
	loop_signal(loop, SIGHUP, on_hup, loop);
	qmgr_init(&queue, loop, spool, self.conf, true);
	open_spool(spool);
	loglink_dial(loop, daemon_uid_of(SERVICE_LOGD, &self));
	metrics_refresh(control_count, &queue);
	from_dnscache_start(&queue, daemon_uid_of(SERVICE_DNSCACHE, &self));
	queue.router = peer_dial(
	    loop, SERVICE_ROUTER, daemon_uid_of(SERVICE_ROUTER, &self), &from_router_ops, &queue);
	peer_listen(loop, smtpd, SERVICE_SMTPD, daemon_uid_of(SERVICE_SMTPD, &self),
	    &from_smtpd_ops, &queue);
	peer_listen(loop, bounced, SERVICE_BOUNCED, daemon_uid_of(SERVICE_BOUNCED, &self),
	    &from_smtpd_ops, &queue);
	peer_listen(loop, deliver, SERVICE_DELIVER, daemon_uid_of(SERVICE_DELIVER, &self),
	    &from_deliver_ops, &queue);
	peer_listen(loop, local, SERVICE_LOCAL, daemon_uid_of(SERVICE_LOCAL, &self),
	    &from_deliver_ops, &queue);
	queue.ctl = ctl_serve(loop, ctl, control_verbs, self.ids.gid[GROUP_ADM], &queue);

	daemon_ready(&self);
	loop_run(loop); /* messages are armed in slices: new mail is served meanwhile */
	return daemon_stop(&self);
}
