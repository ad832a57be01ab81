/* SPDX-License-Identifier: ISC */
#include "qmgr/resolve_impl.h"

#include "base/clock.h"
#include "base/die.h"
#include "qmgr/dispatch.h"
#include "qmgr/schedule.h"
#include "qmgr/state.h"

#include <assert.h>
#include <stdlib.h>

enum {
	ASKING_AT_ONCE =
	    100, /* queues whose hops are being looked up; dnscache has its own bound */
	DNS_PAUSE_FIRST_MS = 60 * 1000,
	DNS_PAUSE_MAX_MS = 30 * 60 * 1000,
	AWAY_PAUSE_FIRST_MS = 2 * 1000,
	AWAY_PAUSE_MAX_MS = 60 * 1000,
};
_Static_assert((int)MX_HOSTS_MAX <= (int)JOB_HOSTS_MAX, "a job takes what a look-up gives");

struct question {
	TAILQ_ENTRY(question) link;
	struct resolve *of;
	unsigned hop, number;
	uint64_t token;
};

struct resolver {
	TAILQ_HEAD(, resolve) line;
	unsigned nasking;
	struct addr *local;
	size_t nlocal;
};

struct resolver *
resolver_new(void)
{
	struct resolver *r = xcalloc(1, sizeof *r);

	TAILQ_INIT(&r->line);
	return r;
}

void
resolver_free(struct resolver *r)
{
	free(r->local);
	free(r);
}

void
resolver_local(struct qmgr *q, const struct addr *at, size_t n)
{
	struct resolver *r = q->resolver;

	free(r->local);
	r->local = xmalloc(n * sizeof *at);
	if (n > 0)
		memcpy(r->local, at, n * sizeof *at);
	r->nlocal = n;
}

static void
forget(struct resolve *r)
{
	conf_unref(r->conf);
	r->conf = NULL;
	free(r->text);
	free(r->host);
	free(r->names);
	r->text = r->names = NULL;
	r->host = NULL;
	r->nhosts = 0;
	r->partial = false;
}

static void
stop_asking(struct resolve *r)
{
	struct question *next;

	for (struct question *a = TAILQ_FIRST(&r->open); a != NULL; a = next) {
		next = TAILQ_NEXT(a, link);
		r->q->dns.cancel(r->q->dns.arg, a->token);
		free(a);
	}
	TAILQ_INIT(&r->open);
	for (unsigned i = 0; i < r->nhops; i++) {
		mx_free(r->mx[i]);
		r->mx[i] = NULL;
	}
	r->nhops = 0;
	if (r->asking)
		r->q->resolver->nasking--;
	if (r->in_line)
		TAILQ_REMOVE(&r->q->resolver->line, r, line);
	r->asking = r->in_line = false;
}

void
resolve_free(struct resolve *r)
{
	if (r == NULL)
		return;
	stop_asking(r);
	forget(r);
	free(r);
}

/* ---- asking ---- */

static void conclude(struct resolve *r);
static void ask(struct resolve *r);

static bool
all_done(const struct resolve *r)
{
	for (unsigned i = 0; i < r->nhops; i++)
		if (r->mx[i] != NULL && !mx_done(r->mx[i]))
			return false;
	return true;
}

static void
next_in_line(struct qmgr *q)
{
	struct resolve *r = TAILQ_FIRST(&q->resolver->line);

	if (r == NULL || q->resolver->nasking >= ASKING_AT_ONCE)
		return;
	TAILQ_REMOVE(&q->resolver->line, r, line);
	r->in_line = false;
	r->asking = true;
	q->resolver->nasking++;
	ask(r);
}

static void
on_answer(void *arg, const struct dnsq_answer *a)
{
	struct question *question = arg;
	struct resolve *r = question->of;
	struct qmgr *q = r->q;

	TAILQ_REMOVE(&r->open, question, link);
	mx_answer(r->mx[question->hop], question->number,
	    &(const struct mx_answer){ .status = a->status,
		.ttl_s = a->ttl_s,
		.cname = a->cname,
		.records = a->records,
		.text = a->text });
	free(question);
	ask(r);
	if (!all_done(r))
		return;
	conclude(r);
	next_in_line(q);
	qmgr_again(q);
}

static void
ask(struct resolve *r)
{
	struct mx_question put;

	for (unsigned i = 0; i < r->nhops; i++)
		while (r->mx[i] != NULL && mx_ask(r->mx[i], &put)) {
			struct question *a = xcalloc(1, sizeof *a);

			*a = (struct question){ .of = r, .hop = i, .number = put.number };
			TAILQ_INSERT_TAIL(&r->open, a, link);
			a->token =
			    r->q->dns.ask(r->q->dns.arg, slice_z(put.name), put.type, on_answer, a);
		}
}

/* Where we listen; for "all addresses" those that the machine has. */
static size_t
listens(const struct qmgr *q, struct addr *out, size_t room)
{
	static const uint8_t any4[16] = { [10] = 0xff, [11] = 0xff }, any6[16];
	const struct resolver *r = q->resolver;
	size_t n = 0;

	for (size_t s = 0; s < q->conf->nlisten; s++)
		for (size_t i = 0; i < q->conf->listen[s].at.n; i++) {
			const struct addr *a = &q->conf->listen[s].at.at[i];
			bool all = memcmp(a->host, any4, 16) == 0 || memcmp(a->host, any6, 16) == 0;

			if (!all && n < room)
				out[n++] = *a;
			for (size_t k = 0; all && k < r->nlocal && n < room; k++) {
				out[n] = r->local[k];
				out[n++].port = a->port;
			}
		}
	return n;
}

static unsigned
mx_flags(struct qmgr *q, const struct queue *queue, const struct scope_values *v,
    const struct route_hop *hop)
{
	unsigned flags =
	    (v->ipv4 ? MX_IPV4 : 0) | (v->ipv6 ? MX_IPV6 : 0) | (v->ipv6_first ? MX_IPV6_FIRST : 0);

	/* What comes from an address goes to one of its kind. */
	if (!queue_has_family(q, queue, true))
		flags &= ~(unsigned)MX_IPV4;
	if (!queue_has_family(q, queue, false))
		flags &= ~(unsigned)MX_IPV6;
	if (hop->mx)
		flags |= MX_LOOK;
	if (hop->mx && slice_ieq(hop->host, queue->route.domain))
		flags |= MX_OWN;
	return flags;
}

static uint16_t
port_of(const struct route_hop *hop, const struct scope_values *v)
{
	return hop->port != 0 ? hop->port : (uint16_t)v->smtp_port;
}

static void
begin(struct resolve *r)
{
	struct qmgr *q = r->q;
	const struct scope_values *v = queue_limits(q, r->queue);
	static struct addr at[256]; /* too large for a stack that is deep already; used up below */
	struct mx_self self = { q->conf->hostname, at, listens(q, at, sizeof at / sizeof *at) };
	struct route route;
	uint8_t ip[16];

	queue_hops(r->queue, &route);
	r->nhops = route.nhops;
	for (unsigned i = 0; i < route.nhops; i++)
		r->mx[i] = addr_host_parse(route.hops[i].host, ip)
			       ? NULL
			       : mx_new(route.hops[i].host, port_of(&route.hops[i], v),
				     mx_flags(q, r->queue, v, &route.hops[i]), &self);
	if (all_done(r)) { /* addresses alone */
		conclude(r);
		return;
	}
	r->queue->resolving = true;
	r->in_line = true;
	TAILQ_INSERT_TAIL(&q->resolver->line, r, line);
	next_in_line(q);
}

/* ---- what came out ---- */

/* Appends; host names are copied below, once all are there. */
static void
add_hosts(
    struct mx_host *all, unsigned *n, bool *partial, const struct mx_host *more, unsigned nmore)
{
	uint8_t rank = *n == 0 ? 0 : (uint8_t)(all[*n - 1].rank + 1);
	uint8_t exchanger = 0;

	for (unsigned i = 0; i < *n; i++)
		if (all[i].exchanger >= exchanger)
			exchanger = (uint8_t)(all[i].exchanger + 1);
	for (unsigned i = 0; i < nmore && *n < MX_HOSTS_MAX; i++) {
		all[*n] = more[i];
		all[*n].rank = (uint8_t)(all[*n].rank + rank);
		all[(*n)++].exchanger = (uint8_t)(more[i].exchanger + exchanger);
	}
	if (*n == MX_HOSTS_MAX)
		*partial = true;
}

/* All hops together: hosts where any has some; else doubt, if any is in doubt. */
static void
gather(struct resolve *r, struct mx_result *out)
{
	const struct scope_values *v = queue_limits(r->q, r->queue);
	static char literal[ROUTE_HOPS_MAX][64];
	struct mx_host all[MX_HOSTS_MAX];
	struct route route;
	bool partial = false, names = false;
	unsigned n = 0;
	uint32_t ttl_s = UINT32_MAX;

	*out = (struct mx_result){ .kind = OUTCOME_PERM };
	queue_hops(r->queue, &route);
	for (unsigned i = 0; i < r->nhops; i++) {
		const struct route_hop *hop = &route.hops[i];
		struct mx_result one;

		if (r->mx[i] == NULL) {
			struct mx_host h = { .name = literal[i], .port = port_of(hop, v) };

			slice_copy(hop->host, literal[i], sizeof literal[i]);
			addr_host_parse(hop->host, h.ip);
			add_hosts(all, &n, &partial, &h, 1);
			continue;
		}
		mx_conclude(r->mx[i], &one);
		names = true;
		add_hosts(all, &n, &partial, one.host, one.nhosts);
		partial |= one.partial || one.kind == OUTCOME_TEMP;
		if (one.kind != OUTCOME_TEMP && one.ttl_s < ttl_s)
			ttl_s = one.ttl_s;
		if (out->text[0] == '\0' || (one.kind == OUTCOME_TEMP && out->kind == OUTCOME_PERM))
			*out = one;
	}
	out->ttl_s = names ? ttl_s : UINT32_MAX;
	out->partial = partial;
	out->nhosts = n;
	memcpy(out->host, all, n * sizeof *all);
	if (n > 0)
		out->kind = OUTCOME_OK;
}

static void
keep(struct resolve *r, const struct mx_result *result)
{
	const struct conf *c = r->q->conf;
	uint64_t ms = (uint64_t)result->ttl_s * 1000;
	size_t bytes = 0;
	char *at;

	forget(r);
	r->conf = conf_ref(c);
	ms = ms < c->dns_keep_min_ms   ? c->dns_keep_min_ms
	     : ms > c->dns_keep_max_ms ? c->dns_keep_max_ms
				       : ms;
	r->until_ms = result->ttl_s == UINT32_MAX ? UINT64_MAX : qclock_ms(&r->q->clock) + ms;
	r->kind = result->kind;
	r->code = result->code;
	memcpy(r->enh, result->enh, sizeof r->enh);
	r->text = slice_dup(slice_z(result->text));
	r->partial = result->partial;
	r->nhosts = result->nhosts;
	for (unsigned i = 0; i < r->nhosts; i++)
		bytes += strlen(result->host[i].name) + 1;
	r->names = at = xmalloc(bytes);
	r->host = xmalloc(r->nhosts * sizeof *r->host);
	for (unsigned i = 0; i < r->nhosts; i++) {
		size_t n = strlen(result->host[i].name) + 1;

		memcpy(at, result->host[i].name, n);
		r->host[i] = result->host[i];
		r->host[i].name = at;
		at += n;
	}
}

static int
by_name(const void *a, const void *b)
{
	const struct mx_host *x = *(const struct mx_host *const *)a,
			     *y = *(const struct mx_host *const *)b;
	int names = strcmp(x->name, y->name);

	return names != 0 ? names : (int)x->port - (int)y->port;
}

/* The queue joins those with the same exchangers: there the receiver counts our connections. */
static void
join_site(struct resolve *r)
{
	struct queue *queue = r->queue, *next;
	const struct queue_name *route = &queue->route;
	const struct mx_host *host[MX_HOSTS_MAX];
	struct buf key = { 0 };

	for (unsigned i = 0; i < r->nhosts; i++)
		host[i] = &r->host[i];
	qsort(host, r->nhosts, sizeof *host, by_name);
	buf_printf(&key, "%zu:%.*s,%zu:%.*s,%zu:%.*s", route->transport.n,
	    SLICE_ARG(route->transport), route->pool.n, SLICE_ARG(route->pool), route->tenant.n,
	    SLICE_ARG(route->tenant));
	for (unsigned i = 0; i < r->nhosts; i++)
		if (i == 0 || by_name(&host[i], &host[i - 1]) != 0)
			buf_printf(&key, ",%s:%u", host[i]->name, host[i]->port);
	/* Whoever waits for a place where it leaves may have one now. */
	while ((next = site_next(queue->site)) != NULL)
		active_push(&r->q->queues, next);
	queue_to_site(&r->q->queues, queue, slice_buf(&key));
	buf_fini(&key);
}

static void
end_of(const struct resolve *r, enum outcome_kind kind, uint16_t code, const uint8_t enh[3],
    const char *text, struct attempt_end *end)
{
	(void)r;
	*end = (struct attempt_end){ .kind = (uint8_t)kind, .code = code, .text = slice_z(text) };
	memcpy(end->enh, enh, 3);
}

/* What is due of the first message there has this as its result. False: nothing is due. */
static bool
first_ends(struct qmgr *q, struct queue *queue, const struct attempt_end *end)
{
	uint32_t at;
	unsigned rcpt;
	struct message *m;
	uint64_t id;

	if (!ready_first(queue, &at, &rcpt))
		return false;
	id = message_at(&q->messages, at)->id;
	for (unsigned n = 0; n < SLICE_RCPTS && ready_first(queue, &at, &rcpt); n++) {
		m = message_at(&q->messages, at);
		if (m->id != id)
			break;
		schedule_result(q, m, rcpt, message_rcpts(m)[rcpt].attempts + 1U, end);
	}
	return true;
}

static uint64_t
dns_pause_ms(struct resolve *r, bool away)
{
	const struct scope_values *v = queue_limits(r->q, r->queue);
	struct retry how = { away ? AWAY_PAUSE_FIRST_MS : DNS_PAUSE_FIRST_MS,
		away ? AWAY_PAUSE_MAX_MS : DNS_PAUSE_MAX_MS, (unsigned)v->retry_jitter };

	if (how.first_ms > v->retry_first_ms)
		how.first_ms = v->retry_first_ms;
	if (how.max_ms > v->retry_max_ms)
		how.max_ms = v->retry_max_ms;
	return retry_wait_ms(&how, ++r->fails, &r->q->rng);
}

static void
put_off(struct resolve *r, const struct mx_result *result)
{
	struct qmgr *q = r->q;
	bool away = !q->dns.is_up(q->dns.arg);
	struct slice reason = away ? SLICE_LIT("dnscache is not there") : slice_z(result->text);
	struct attempt_end end;

	schedule_pause(q, r->queue, qclock_ms(&q->clock) + dns_pause_ms(r, away),
	    away ? WAIT_DNSCACHE : WAIT_DNS, reason);
	end_of(r, OUTCOME_TEMP, result->code, result->enh, result->text, &end);
	if (!away)
		first_ends(q, r->queue, &end);
}

static void
conclude(struct resolve *r)
{
	struct queue *queue = r->queue;
	struct mx_result result;

	gather(r, &result);
	if (result.kind == OUTCOME_TEMP) {
		forget(r);
		stop_asking(r);
		queue->resolving = false;
		put_off(r, &result);
		return;
	}
	r->fails = 0;
	keep(r, &result); /* names stand in r->mx */
	stop_asking(r);
	queue->resolving = false;
	if (result.kind == OUTCOME_OK && result.ttl_s != UINT32_MAX)
		join_site(r);
	dispatch_wake(r->q, queue);
}

/* ---- what a queue may do ---- */

static bool
is_fresh(const struct resolve *r)
{
	return r->conf == r->q->conf && qclock_ms(&r->q->clock) < r->until_ms;
}

enum resolve_says
resolve_look(struct qmgr *q, struct queue *queue)
{
	struct resolve *r = queue->resolve;
	struct attempt_end end;

	if (queue->courier != COURIER_DELIVER || queue->number == QUEUE_ROUTING ||
	    queue->route.nhops == 0)
		return RESOLVE_GO;
	if (r == NULL) {
		r = queue->resolve = xcalloc(1, sizeof *r);
		r->q = q;
		r->queue = queue;
		TAILQ_INIT(&r->open);
	}
	if (!queue->resolving && !is_fresh(r))
		begin(r);
	if (queue->resolving || r->conf == NULL)
		return RESOLVE_LATER;
	if (r->kind == OUTCOME_OK)
		return resolve_awake(r);
	end_of(r, r->kind, r->code, r->enh, r->text, &end);
	first_ends(q, queue, &end);
	return RESOLVE_SLICE;
}

void
resolver_up(struct qmgr *q)
{
	for (uint32_t i = 1; i < q->queues.n; i++) {
		struct queue *queue = q->queues.at[i];

		if (queue == NULL || queue->down_until == 0 || queue->wait != WAIT_DNSCACHE)
			continue;
		down_set(&q->queues, queue, 0);
		dispatch_wake(q, queue);
	}
	qmgr_again(q);
}
