/* SPDX-License-Identifier: ISC */
#include "qmgr/resolve_impl.h"

#include "base/log.h"
#include "qmgr/dispatch.h"
#include "qmgr/queue_policy.h"
#include "qmgr/schedule.h"

enum { REASONS_MAX = 4 }; /* hosts of which it is told why they rest */

/* "mx1.example[192.0.2.1] (Connection refused)": of the first ones; of the others the names. */
static void
say_rests(const struct resolve *r, unsigned i, uint64_t now, struct buf *out)
{
	const struct mx_host *x = &r->host[i];
	const struct host_rest *h = hosts_resting(&r->q->hosts, x->ip, x->port, now);
	char ip[46];

	if (i < REASONS_MAX) {
		addr_text(x->ip, ip);
		buf_printf(out, "%s%s[%s] (%s)", i > 0 ? ", " : "", x->name, ip,
		    h == NULL || h->why == NULL ? "not known" : h->why);
	} else if (x->exchanger != x[-1].exchanger) {
		buf_printf(out, ", %s", x->name);
	}
}

/* All rest: until the first one may be tried. */
enum resolve_says
resolve_awake(struct resolve *r)
{
	uint64_t now = qclock_ms(&r->q->clock), first = UINT64_MAX;
	struct buf reason = { 0 };

	for (unsigned i = 0; i < r->nhosts; i++) {
		uint64_t until = hosts_until_ms(&r->q->hosts, r->host[i].ip, r->host[i].port, now);

		if (until == 0)
			return RESOLVE_GO;
		if (until < first)
			first = until;
	}
	buf_puts(&reason, "did not answer lately: ");
	for (unsigned i = 0; i < r->nhosts; i++)
		say_rests(r, i, now, &reason);
	schedule_pause(r->q, r->queue, first, WAIT_REST, slice_buf(&reason));
	buf_fini(&reason);
	return RESOLVE_LATER;
}

static uint64_t
next_random(void *arg)
{
	return rng_next(arg);
}

void
resolve_put(
    struct qmgr *q, struct queue *queue, struct slice source, struct buf *out, bool *partial)
{
	struct resolve *r = queue->resolve;
	uint64_t now = qclock_ms(&q->clock);

	*partial = false;
	if (r == NULL)
		return;
	*partial = r->partial;
	mx_shuffle(r->host, r->nhosts, next_random, &q->rng);
	for (unsigned i = 0; i < r->nhosts; i++) {
		const struct mx_host *h = &r->host[i];
		struct job_host put = { .name = slice_z(h->name), .port = h->port };

		if (hosts_until_ms(&q->hosts, h->ip, h->port, now) != 0 ||
		    (source.n > 0 && addr_is_v4(h->ip) != addr_is_v4((const uint8_t *)source.p))) {
			*partial = true;
			continue;
		}
		memcpy(put.ip, h->ip, sizeof put.ip);
		job_host_put(out, &put);
	}
}

/* NULL: it is not one of the queue's. */
static const struct mx_host *
host_of(const struct queue *queue, const uint8_t ip[static 16], uint16_t port)
{
	const struct resolve *r = queue->resolve;

	for (unsigned i = 0; r != NULL && i < r->nhosts; i++)
		if (r->host[i].port == port && memcmp(r->host[i].ip, ip, 16) == 0)
			return &r->host[i];
	return NULL;
}

void
resolve_failed(struct qmgr *q, struct queue *queue, const struct job_failed *f)
{
	const struct scope_values *v = queue_limits(q, queue);
	uint64_t first = q->conf->host_rest_ms, max = q->conf->host_rest_max_ms;
	const struct mx_host *host = host_of(queue, f->ip, f->port);

	if (host == NULL)
		return;
	/* No longer than the queue itself would wait: a retry that is due shall find a host. */
	hosts_failed(&q->hosts, f->ip, f->port, qclock_ms(&q->clock),
	    first < v->retry_first_ms ? first : v->retry_first_ms,
	    max < v->retry_max_ms ? max : v->retry_max_ms);
	hosts_say(&q->hosts, f->ip, f->port, slice_z(host->name), f->text);
}

void
resolve_answered(struct qmgr *q, struct queue *queue, const uint8_t ip[static 16], uint16_t port)
{
	if (host_of(queue, ip, port) != NULL)
		hosts_answered(&q->hosts, ip, port);
}

void
resolve_wake(struct qmgr *q, const struct queue *queue)
{
	const struct resolve *r = queue->resolve;

	for (unsigned i = 0; r != NULL && i < r->nhosts; i++)
		hosts_wake_one(&q->hosts, r->host[i].ip, r->host[i].port);
}

bool
resolve_has_awake(struct qmgr *q, const struct queue *queue)
{
	const struct resolve *r = queue->resolve;
	uint64_t now = qclock_ms(&q->clock);

	for (unsigned i = 0; r != NULL && q->conf->host_rest_ms > 0 && i < r->nhosts; i++)
		if (hosts_until_ms(&q->hosts, r->host[i].ip, r->host[i].port, now) == 0)
			return true;
	return false;
}
