/* SPDX-License-Identifier: ISC */
/*
 * deliver: takes jobs from qmgr and carries them to the next hop by SMTP.
 *
 * User	_angdeliver
 * Asked by	commands (ctl/deliver)
 * Reaches	qmgr (edge/qmgr.deliver), logd; its workers the network
 * Holds	read-only descriptors of the segments it was handed
 * Sandbox	PROFILE_DELIVER_PARENT; workers PROFILE_DELIVER_WORKER: no path, TCP outwards
 *
 * The parent forks workers, connects them, and tells qmgr which of them live: the jobs of the
 * others are interrupted.
 */
#include "base/json.h"
#include "conf/conf.h"
#include "deliver/parent.h"
#include "deliver/pool.h"

#include <unistd.h>

static void *
smtp_open(const struct carrier_env *env)
{
	struct pool *p =
	    pool_new(env->loop, env->loader, env->daemon->conf->hostname, env->ended, env->arg);

	pool_tell(p, env->gone);
	return p;
}

static void
smtp_start(void *pool, struct delivery *d)
{
	pool_start(pool, d);
}

static void
smtp_config(void *pool, const struct conf *c)
{
	pool_set_helo(pool, c->hostname);
}

static void
smtp_quit(void *pool)
{
	pool_quit_idle(pool);
}

static void
smtp_close(void *pool, uint32_t queue)
{
	pool_close(pool, queue);
}

static void
smtp_status(void *pool, struct buf *json)
{
	const struct pool_stats *st = pool_stats(pool);

	json_ku64(json, "jobs", st->jobs);
	json_ku64(json, "opened", st->opened);
	json_ku64(json, "reused", st->reused);
	json_ku64(json, "idle", st->idle);
}

static const struct carrier_ops smtp = {
	.self = SERVICE_DELIVER,
	.profile = PROFILE_DELIVER_WORKER,
	.room = 2000,
	.open = smtp_open,
	.start = smtp_start,
	.config = smtp_config,
	.quit = smtp_quit,
	.close = smtp_close,
	.status = smtp_status,
};

static unsigned
workers(struct daemon *d)
{
	return d->conf->deliver_workers != 0 ? (unsigned)d->conf->deliver_workers
					     : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
}

int
main(int argc, char *argv[])
{
	static const struct parent_kind kind = { &smtp, PROFILE_DELIVER_PARENT, workers };

	return parent_main(&kind, argc, argv);
}
