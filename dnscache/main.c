/* SPDX-License-Identifier: ISC */
/*
 * dnscache: asks name servers for the house, and remembers.
 *
 * User	_angdns
 * Asked by	smtpd, qmgr, router, deliver (edge/dnscache.NAME); commands (ctl/dnscache)
 * Reaches	name servers, UDP and TCP; logd
 * Holds	cache_dir, where the cache is while it does not run
 * Sandbox	PROFILE_DNSCACHE: sockets of the Internet, connected to the listed name servers; the
 *		cache folder; reads generations
 *
 * It is the only one that has c-ares, and expendable: dead, it is TEMP for its askers; started
 * again, it answers from what it had written. resolv.conf and hosts are read before its drop, they
 * are out of its reach later.
 */
#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/metrics.h"
#include "conf/generation.h"
#include "dnscache/control.h"
#include "ipc/loglink.h"
#include "priv/daemon.h"

#include <ares.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { SAVE_EVERY_MS = 60000, FILE_MAX = 1024 * 1024 };

static const enum service askers_of[] = { SERVICE_SMTPD, SERVICE_QMGR, SERVICE_ROUTER,
	SERVICE_DELIVER };
enum { ASKERS = sizeof askers_of / sizeof *askers_of };

struct main {
	struct daemon d;
	struct loop *loop;
	struct askers askers;
	struct control control;
	struct timer *save;
};

/* A file of the system; nothing where it is not there. */
static void
read_system(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	while (fd >= 0 && n > 0 && out->n < FILE_MAX) {
		n = read(fd, buf_room(out, 4096), 4096);
		if (n > 0)
			out->n += (size_t)n;
	}
	if (fd >= 0)
		close(fd);
}

static struct resolver *
make_resolver(struct loop *loop, const struct conf *conf, struct cache *cache)
{
	struct buf servers = { 0 }, hosts = { 0 };
	struct addr at[UPSTREAM_MAX] = { { .host = { 0 } } };
	struct resolver *r;
	unsigned n;

	read_system("/etc/resolv.conf", &servers);
	if (conf->dns_hosts)
		read_system("/etc/hosts", &hosts);
	n = known_servers(slice_buf(&servers), at, UPSTREAM_MAX);
	if (n == 0) { /* resolv.conf(5): the one on this machine */
		addr_host_parse(SLICE_LIT("127.0.0.1"), at[0].host);
		at[n++].port = CONF_PORT_DNS;
	}
	r = resolver_new(loop, conf, cache, known_new(slice_buf(&hosts)), at, n);
	buf_fini(&servers);
	buf_fini(&hosts);
	return r;
}

static struct cache_limits
limits_of(const struct conf *c)
{
	return (struct cache_limits){ .entries = c->dns_cache_entries,
		.bytes = c->dns_cache_bytes,
		.ttl_min_ms = c->dns_ttl_min_ms,
		.ttl_max_ms = c->dns_ttl_max_ms,
		.negative_max_ms = c->dns_negative_ttl_max_ms };
}

static void
count(void *arg)
{
	const struct main *m = arg;
	struct resolver_stats s;

	resolver_stats(m->control.resolver, &s);
	metric_set(METRIC_DNS_ASKED, s.asked);
	metric_set(METRIC_DNS_KNOWN, s.known);
	metric_set(METRIC_DNS_SENT, s.sent);
	metric_set(METRIC_DNS_RUNNING, s.running);
}

/* What the cache is now, as one number: another one where anything was learnt. */
static uint64_t
changes(const struct main *m)
{
	struct resolver_stats s;

	resolver_stats(m->control.resolver, &s);
	return s.ended[DNS_OK] + s.ended[DNS_NODATA] + s.ended[DNS_NXDOMAIN];
}

static void
on_save(void *arg)
{
	struct main *m = arg;

	warm_save(m->control.warm, changes(m));
	timer_set(m->save, SAVE_EVERY_MS);
}

static void
take_conf(struct conf *fresh, void *arg)
{
	struct cache_limits limits = limits_of(fresh);
	struct main *m = arg;

	m->control.generation = fresh->generation;
	cache_set_limits(m->control.cache, &limits);
	resolver_reload(m->control.resolver, fresh);
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

static void
serve(struct main *m, const int edges[ASKERS], int ctl, int dirfd)
{
	peer_self(SERVICE_DNSCACHE, 0, 0, 0);
	peer_self_generation(m->d.generation);
	loglink_dial(m->loop, m->d.ids.uid[SERVICE_LOGD]);
	metrics_refresh(count, m);
	m->control.warm = warm_new(m->loop, m->control.cache, dirfd);
	for (unsigned i = 0; i < ASKERS; i++)
		peer_listen(m->loop, edges[i], askers_of[i], m->d.ids.uid[askers_of[i]],
		    &askers_ops, &m->askers);
	m->control.server =
	    ctl_serve(m->loop, ctl, control_verbs, m->d.ids.gid[GROUP_ADM], &m->control);
	loop_signal(m->loop, SIGHUP, on_hup, m);
	loop_signal(m->loop, SIGTERM, on_term, m);
	m->save = timer_new(m->loop, on_save, m);
	timer_set(m->save, SAVE_EVERY_MS);
	daemon_ready(&m->d);
	loop_run(m->loop);
	warm_finish(m->control.warm, changes(m));
}

int
main(int argc, char *argv[])
{
	static struct main m;
	struct cache_limits limits;
	int edges[ASKERS], ctl, dirfd;

	daemon_start(&m.d, SERVICE_DNSCACHE, argc, argv);
	for (unsigned i = 0; i < ASKERS; i++)
		edges[i] = daemon_bind_edge(&m.d, askers_of[i]);
	ctl = daemon_bind_ctl(&m.d);
	dirfd = daemon_open_dir(&m.d, SANDBOX_CACHE);
	m.loop = loop_new();
	limits = limits_of(m.d.conf);
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		die(EXIT_TEMP, "c-ares cannot be used");
	m.control = (struct control){ .cache = cache_new(&limits),
		.askers = &m.askers,
		.generation = m.d.generation,
		.started_ms = clock_mono_ms() };
	m.control.resolver = m.askers.resolver = make_resolver(m.loop, m.d.conf, m.control.cache);
	daemon_drop(&m.d, PROFILE_DNSCACHE);
	serve(&m, edges, ctl, dirfd);
	return daemon_stop(&m.d);
}
