/* SPDX-License-Identifier: ISC */
#include "qmgr/from_dnscache.h"

#include "base/die.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>

enum { LOCAL_MAX = 128, SLACK_MS = 2000 };

static struct qmgr *self; /* the one of this process */
static struct dnsq *questions;
static struct peer *link_to;
static struct addr local[LOCAL_MAX];
static size_t nlocal;

void
from_dnscache_local(void)
{
	struct ifaddrs *all;

	if (getifaddrs(&all) != 0)
		return; /* listeners on single addresses are known anyway */
	for (struct ifaddrs *i = all; i != NULL && nlocal < LOCAL_MAX; i = i->ifa_next) {
		struct sockaddr_storage ss = { 0 };
		size_t n;

		if (i->ifa_addr == NULL)
			continue;
		switch (i->ifa_addr->sa_family) {
		case AF_INET:
			n = sizeof(struct sockaddr_in);
			break;
		case AF_INET6:
			n = sizeof(struct sockaddr_in6);
			break;
		default:
			continue;
		}
		memcpy(&ss, i->ifa_addr, n);
		if (addr_of(&ss, &local[nlocal]))
			nlocal++;
	}
	freeifaddrs(all);
}

static uint64_t
ask(void *arg, struct slice name, enum dns_type type, dnsq_fn *fn, void *fn_arg)
{
	return dnsq_ask(arg, name, type, fn, fn_arg);
}

static void
cancel(void *arg, uint64_t question)
{
	dnsq_cancel(arg, question);
}

static bool
is_up(void *arg)
{
	(void)arg;
	return peer_is_up(link_to);
}

/* dnscache's own time for a question, and some for the way. */
static uint64_t
timeout_ms(const struct conf *c)
{
	return c->dns_try_timeout_ms * c->dns_tries + SLACK_MS;
}

static void
up(struct peer *p)
{
	dnsq_timeout(questions, timeout_ms(self->conf));
	dnsq_peer_ops.up(p);
	resolver_up(self);
}

static void
down(struct peer *p)
{
	dnsq_peer_ops.down(p);
}

static bool
in(struct peer *p, const struct msg_row *row, struct ipc_in *msg)
{
	return dnsq_peer_ops.in(p, row, msg);
}

static const struct peer_ops ops = { .in = in, .up = up, .down = down };

void
from_dnscache_start(struct qmgr *q, uid_t uid)
{
	self = q;
	questions = dnsq_new(q->loop, timeout_ms(q->conf));
	q->dns = (struct resolve_dns){ ask, cancel, is_up, questions };
	resolver_local(q, local, nlocal);
	link_to = peer_dial(q->loop, SERVICE_DNSCACHE, uid, &ops, questions);
}
