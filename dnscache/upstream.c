/* SPDX-License-Identifier: ISC */
#include "dnscache/upstream.h"

#include "base/clock.h"
#include "base/die.h"

#include <ares.h>
#include <assert.h>
#include <bsd/sys/queue.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * c-ares 1.18 is used for what it does well, sockets, retransmission over TCP, matching of answers
 * to questions, and kept from the rest:
 *
 *	one server a channel, one try: which server failed is known, and the choice is ours
 *	a channel is renewed after CHANNEL_USES questions, so that its UDP port does not stay
 *	sockets are made by us: born non-blocking, connected to the one address of the channel
 *	all options are given, so that it reads no file and no variable
 *	ids are ours (answer_question_put), its own generator would read /dev/urandom
 *	in its callbacks nothing is done but noting the answer; it is never called from there
 */
enum {
	CHANNEL_USES = 500,
	WATCHES_MAX = 16, /* a channel has one socket for UDP and one for TCP */
	TICK_MS = 100,
	FAILURES_MAX = 3,
	REST_MS = 10000,
};

struct request {
	TAILQ_ENTRY(request) link; /* in u->open, then in u->ended */
	struct upstream *u;
	struct channel *channel;
	upstream_fn *fn;
	void *arg;
	enum upstream_end end;
	unsigned char *packet;
	size_t n;
};
TAILQ_HEAD(request_list, request);

struct channel {
	LIST_ENTRY(channel) link; /* in its server's list: the first one takes questions */
	struct server *server;
	ares_channel ares;
	unsigned uses, open;
	struct {
		int fd; /* -1: free */
		struct watch *watch;
	} watches[WATCHES_MAX];
};

struct server {
	struct upstream *u;
	LIST_HEAD(, channel) channels;
	struct upstream_stats stats;
	uint64_t rest_until_ms;
};

struct upstream {
	struct loop *loop;
	struct timer *tick;
	struct deferred tell;
	struct server servers[UPSTREAM_MAX];
	unsigned n, nopen;
	uint64_t timeout_ms;
	struct request_list open, ended;
	bool inside; /* c-ares is running: it may not be entered again */
};

static int
make_socket(int family, int type, int protocol, void *arg)
{
	struct channel *c = arg;
	int one = 1, fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	if (fd >= 0 && type == SOCK_STREAM) {
		c->server->stats.over_tcp++;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	}
	return fd;
}

static int
close_socket(ares_socket_t fd, void *arg)
{
	(void)arg;
	return close(fd);
}

/* To the server of this channel, whatever c-ares believes. */
static int
connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t n, void *arg)
{
	const struct channel *c = arg;
	struct sockaddr_storage at;
	socklen_t len = addr_sockaddr(&c->server->stats.addr, &at);

	(void)to;
	(void)n;
	return connect(fd, (const struct sockaddr *)&at, len);
}

static ares_ssize_t
receive(ares_socket_t fd, void *p, size_t n, int flags, struct sockaddr *from,
    ares_socklen_t *nfrom, void *arg)
{
	(void)arg;
	return recvfrom(fd, p, n, flags, from, nfrom);
}

static ares_ssize_t
send_vector(ares_socket_t fd, const struct iovec *iov, int n, void *arg)
{
	(void)arg;
	return writev(fd, iov, n);
}

static const struct ares_socket_functions socket_functions = { make_socket, close_socket,
	connect_socket, receive, send_vector };

static void
enter(struct upstream *u)
{
	assert(!u->inside);
	u->inside = true;
}

static void
leave(struct upstream *u)
{
	u->inside = false;
	if (!TAILQ_EMPTY(&u->ended))
		loop_defer(u->loop, &u->tell);
	if (u->nopen > 0 && !timer_is_set(u->tick))
		timer_set(u->tick, TICK_MS);
}

static void
on_socket(int fd, int ready, void *arg)
{
	struct channel *c = arg;
	struct upstream *u = c->server->u;

	enter(u);
	ares_process_fd(c->ares, ready & WATCH_READ ? fd : ARES_SOCKET_BAD,
	    ready & WATCH_WRITE ? fd : ARES_SOCKET_BAD);
	leave(u);
}

static void
on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct channel *c = arg;
	int wishes = (readable ? WATCH_READ : 0) | (writable ? WATCH_WRITE : 0);
	unsigned i = 0, free_one = WATCHES_MAX;

	for (; i < WATCHES_MAX && c->watches[i].fd != fd; i++)
		if (c->watches[i].fd < 0 && free_one == WATCHES_MAX)
			free_one = i;
	if (i == WATCHES_MAX) {
		if (wishes == 0 || free_one == WATCHES_MAX)
			return; /* no room: what is asked there times out */
		i = free_one;
		c->watches[i].fd = fd;
		c->watches[i].watch = watch_new(c->server->u->loop, fd, on_socket, c);
	}
	if (wishes != 0) {
		watch_want(c->watches[i].watch, wishes);
		return;
	}
	watch_free(c->watches[i].watch);
	c->watches[i].watch = NULL;
	c->watches[i].fd = -1;
}

static struct channel *
channel_new(struct server *s)
{
	struct channel *c = xcalloc(1, sizeof *c);
	char lookups[] = "b";
	struct ares_addr_port_node node = { .family = AF_INET };
	struct ares_options o = { .flags = ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH |
					   ARES_FLAG_NOALIASES,
		.timeout = (int)s->u->timeout_ms,
		.tries = 1,
		.ndots = 1,
		.lookups = lookups,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = c };
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
		   ARES_OPT_LOOKUPS | ARES_OPT_DOMAINS | ARES_OPT_SERVERS | ARES_OPT_SORTLIST |
		   ARES_OPT_SOCK_STATE_CB | ARES_OPT_NOROTATE;

	c->server = s;
	for (unsigned i = 0; i < WATCHES_MAX; i++)
		c->watches[i].fd = -1;
	if (ares_init_options(&c->ares, &o, mask) != ARES_SUCCESS)
		die(EXIT_TEMP, "no memory for a channel");
	ares_set_socket_functions(c->ares, &socket_functions, c);
	node.udp_port = node.tcp_port = s->stats.addr.port;
	if (addr_is_v4(s->stats.addr.host))
		memcpy(&node.addr.addr4, s->stats.addr.host + 12, 4);
	else {
		node.family = AF_INET6;
		memcpy(&node.addr.addr6, s->stats.addr.host, 16);
	}
	if (ares_set_servers_ports(c->ares, &node) != ARES_SUCCESS)
		die(EXIT_TEMP, "no memory for a channel");
	LIST_INSERT_HEAD(&s->channels, c, link);
	return c;
}

static void
channel_free(struct channel *c)
{
	struct upstream *u = c->server->u;

	assert(!u->inside);
	u->inside = true;
	ares_destroy(c->ares);
	u->inside = false;
	for (unsigned i = 0; i < WATCHES_MAX; i++)
		watch_free(c->watches[i].watch);
	LIST_REMOVE(c, link);
	free(c);
}

/* Notes what came, no more: see above. */
static void
on_answer(void *arg, int status, int timeouts, unsigned char *p, int n)
{
	struct request *r = arg;

	(void)timeouts;
	assert(r->u->inside);
	if (status == ARES_SUCCESS && p != NULL && n > 0) {
		r->end = UPSTREAM_ANSWER;
		r->n = (size_t)n;
		r->packet = memcpy(xmalloc(r->n), p, r->n);
	} else if (status == ARES_ETIMEOUT)
		r->end = UPSTREAM_TIMEOUT;
	else
		r->end = UPSTREAM_UNREACHABLE;
	TAILQ_REMOVE(&r->u->open, r, link);
	TAILQ_INSERT_TAIL(&r->u->ended, r, link);
	r->u->nopen--;
}

static void
failed(struct server *s)
{
	s->stats.failures++;
	s->rest_until_ms = clock_mono_ms() + REST_MS;
}

static void
count(struct server *s, enum upstream_end end)
{
	switch (end) {
	case UPSTREAM_ANSWER:
		s->stats.answered++;
		return; /* upstream_judge() says whether it was good */
	case UPSTREAM_TIMEOUT:
		s->stats.timeouts++;
		break;
	case UPSTREAM_UNREACHABLE:
		s->stats.unreachable++;
		break;
	}
	failed(s);
}

static void
tell(void *arg)
{
	struct upstream *u = arg;
	struct request_list now = TAILQ_HEAD_INITIALIZER(now);
	struct request *r, *next;

	TAILQ_CONCAT(&now, &u->ended, link);
	for (r = TAILQ_FIRST(&now); r != NULL; r = next) {
		struct channel *c = r->channel;

		next = TAILQ_NEXT(r, link);
		count(c->server, r->end);
		r->fn(r->arg, r->end, slice_of(r->packet, r->n));
		if (--c->open == 0 && c->uses >= CHANNEL_USES)
			channel_free(c);
		free(r->packet);
		free(r);
	}
}

static void
on_tick(void *arg)
{
	struct upstream *u = arg;

	enter(u);
	for (unsigned i = 0; i < u->n; i++) {
		struct channel *c;

		LIST_FOREACH(c, &u->servers[i].channels, link)
		if (c->open > 0)
			ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	}
	leave(u);
}

struct upstream *
upstream_new(struct loop *l, const struct addr *at, unsigned n, uint64_t timeout_ms)
{
	struct upstream *u = xcalloc(1, sizeof *u);

	assert(n > 0 && n <= UPSTREAM_MAX);
	*u = (struct upstream){ .loop = l, .n = n, .timeout_ms = timeout_ms };
	u->tell = (struct deferred){ .fn = tell, .arg = u };
	u->tick = timer_new(l, on_tick, u);
	TAILQ_INIT(&u->open);
	TAILQ_INIT(&u->ended);
	for (unsigned i = 0; i < n; i++) {
		u->servers[i].u = u;
		u->servers[i].stats.addr = at[i];
		LIST_INIT(&u->servers[i].channels);
	}
	return u;
}

void
upstream_free(struct upstream *u)
{
	struct request *r;
	struct channel *c;

	if (u == NULL)
		return;
	/* A deferred call cannot be taken back; freed only where none waits (see resolver.c). */
	assert(!u->tell.set);
	for (unsigned i = 0; i < u->n; i++)
		while ((c = LIST_FIRST(&u->servers[i].channels)) != NULL)
			channel_free(c); /* its requests end, into u->ended */
	while ((r = TAILQ_FIRST(&u->ended)) != NULL) {
		TAILQ_REMOVE(&u->ended, r, link);
		free(r->packet);
		free(r);
	}
	timer_free(u->tick);
	free(u);
}

unsigned
upstream_count(const struct upstream *u)
{
	return u->n;
}

static bool
resting(const struct server *s)
{
	return s->stats.failures >= FAILURES_MAX && clock_mono_ms() < s->rest_until_ms;
}

int
upstream_pick(const struct upstream *u, unsigned told, const uint8_t asked[UPSTREAM_MAX])
{
	int best = -1;
	unsigned best_cost = UINT32_MAX;

	for (unsigned i = 0; i < u->n; i++) {
		/* Asked before weighs more than resting: each is tried once before one is again. */
		unsigned cost = asked[i] * 2U + resting(&u->servers[i]);

		if ((told >> i & 1) == 0 && cost < best_cost) {
			best = (int)i;
			best_cost = cost;
		}
	}
	return best;
}

void
upstream_ask(struct upstream *u, unsigned server, struct slice query, upstream_fn *fn, void *arg)
{
	struct server *s = &u->servers[server];
	struct channel *c = LIST_FIRST(&s->channels);
	struct request *r = xcalloc(1, sizeof *r);

	assert(server < u->n);
	if (c == NULL || c->uses >= CHANNEL_USES)
		c = channel_new(s);
	*r = (struct request){ .u = u, .channel = c, .fn = fn, .arg = arg };
	TAILQ_INSERT_TAIL(&u->open, r, link);
	u->nopen++;
	c->uses++;
	c->open++;
	s->stats.asked++;
	if (s->stats.failures >= FAILURES_MAX)
		s->rest_until_ms = clock_mono_ms() + REST_MS; /* the others wait for this one */
	enter(u);
	ares_send(c->ares, (const unsigned char *)query.p, (int)query.n, on_answer, r);
	leave(u);
}

void
upstream_judge(struct upstream *u, unsigned server, bool good)
{
	struct server *s = &u->servers[server];

	if (good) {
		s->stats.failures = 0;
		return;
	}
	s->stats.bad++;
	failed(s);
}

void
upstream_stats(const struct upstream *u, unsigned server, struct upstream_stats *out)
{
	*out = u->servers[server].stats;
	out->resting = resting(&u->servers[server]);
}
