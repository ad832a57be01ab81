/* SPDX-License-Identifier: ISC */
#include "qmgr/queue_policy.h"

#include "qmgr/state.h"

const struct scope_values *
queue_limits(struct qmgr *q, struct queue *queue)
{
	struct slice pool, none = SLICE_NONE;
	bool group;

	if (queue == NULL)
		queue = queue_at(&q->queues, QUEUE_ROUTING);
	if (queue->limits != NULL && queue->conf == q->conf)
		return queue->limits;
	conf_unref(queue->conf);
	queue->conf = conf_ref(q->conf);
	pool = queue->route.pool;
	group = pool.n > 0 && conf_group(q->conf, pool) != NULL;
	queue->limits =
	    scope_values(q->conf, group ? pool : none, group ? none : pool, queue->route.domain);
	queue->job_limits =
	    (struct job_limits){ .connections = (uint32_t)queue->limits->connections,
		    .rcpts = (uint32_t)queue->limits->rcpts,
		    .messages = (uint32_t)queue->limits->messages,
		    .connect_ms = (uint32_t)queue->limits->connect_ms,
		    .banner_ms = (uint32_t)queue->limits->banner_ms,
		    .helo_ms = (uint32_t)queue->limits->helo_ms,
		    .mail_ms = (uint32_t)queue->limits->mail_ms,
		    .rcpt_ms = (uint32_t)queue->limits->rcpt_ms,
		    .data_ms = (uint32_t)queue->limits->data_ms,
		    .body_ms = (uint32_t)queue->limits->body_ms,
		    .dot_ms = (uint32_t)queue->limits->dot_ms,
		    .tries = (uint32_t)queue->limits->host_tries };
	return queue->limits;
}

struct slice
queue_source(struct qmgr *q, const struct queue *queue)
{
	const struct conf_binding *b =
	    queue->route.pool.n == 0 ? NULL : conf_binding(q->conf, queue->route.pool);

	return b == NULL || !b->source.set ? SLICE_NONE
					   : slice_of(b->source.host, sizeof b->source.host);
}

const char *
queue_wait_word(enum queue_wait w)
{
	static const char *const words[] = { "host", "rest", "dns", "dnscache" };

	return words[w];
}

bool
queue_is_marker(const struct queue *queue)
{
	return queue->defined && queue->class == 0;
}

static void
marker_key(struct slice domain, struct buf *out)
{
	const struct route r = { .transport = SLICE_LIT("suspend"), .domain = domain };

	route_put(out, &r);
}

struct queue *
queue_marker(struct qmgr *q, struct slice domain, bool make)
{
	struct buf key = { 0 };
	struct queue *found;

	if (domain.n > ROUTE_TEXT_MAX)
		return NULL;
	marker_key(domain, &key);
	found =
	    make ? queue_intern(q, 0, slice_buf(&key)) : queue_find(&q->queues, 0, slice_buf(&key));
	buf_fini(&key);
	return found;
}

bool
queue_is_blocked(struct qmgr *q, const struct queue *queue)
{
	struct queue *all, *one;

	if (q->nsuspended == 0)
		return false;
	all = queue_marker(q, SLICE_LIT("*"), false);
	one = queue_marker(q, queue->route.domain, false);
	return (all != NULL && all->suspended) || (one != NULL && one->suspended);
}

struct queue *
queue_intern(struct qmgr *q, uint8_t class, struct slice route)
{
	struct queue *queue = queue_find(&q->queues, class, route);
	struct route r;
	uint32_t number;

	if (queue != NULL)
		return queue;
	number = queue_number(&q->queues);
	if (!route_get(route, &r) || number > QUEUE_MAX)
		return NULL;
	commit(q, queue, .queue = number, .class = class, .transport = r.transport, .pool = r.pool,
	    .tenant = r.tenant, .domain = r.domain, .route = route);
	queue = queue_at(&q->queues, number);
	queue->generation = q->router_generation;
	return queue;
}
