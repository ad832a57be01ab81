/* SPDX-License-Identifier: ISC */
#include "qmgr/queue_policy.h"

#include "base/addr.h"
#include "qmgr/state.h"
#include "qmgr/suspend.h"

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
	bucket_join(q, queue);
	queue->job_limits.tell = queue->bucket.nshare > 0;
	return queue->limits;
}

static struct slice
address_of(const struct conf_binding *b)
{
	return b == NULL || !b->source.set ? SLICE_NONE
					   : slice_of(b->source.host, sizeof b->source.host);
}

/* NULL: it is no group; *one is its binding then, or NULL. */
static const struct conf_group *
pool_of(struct qmgr *q, const struct queue *queue, const struct conf_binding **one)
{
	struct slice pool = queue->route.pool;
	const struct conf_group *group = pool.n == 0 ? NULL : conf_group(q->conf, pool);

	*one = pool.n == 0 || group != NULL ? NULL : conf_binding(q->conf, pool);
	return group;
}

unsigned
queue_nsources(struct qmgr *q, const struct queue *queue)
{
	const struct conf_binding *one;
	const struct conf_group *group = pool_of(q, queue, &one);

	return group == NULL || group->nmember == 0 ? 1 : (unsigned)group->nmember;
}

struct slice
queue_source(struct qmgr *q, struct queue *queue)
{
	const struct conf_binding *one;
	const struct conf_group *group = pool_of(q, queue, &one);

	if (group == NULL)
		return address_of(one);
	for (size_t i = 0; i < group->nmember; i++) {
		one = group->member[queue->source_turn++ % group->nmember];
		if (!suspend_has_binding(q, one->name))
			return address_of(one);
	}
	return SLICE_NONE;
}

bool
queue_has_family(struct qmgr *q, const struct queue *queue, bool v4)
{
	const struct conf_binding *one;
	const struct conf_group *group = pool_of(q, queue, &one);
	bool any = false;

	for (size_t i = 0; group != NULL && i < group->nmember && !any; i++)
		any = !group->member[i]->source.set ||
		      addr_is_v4(group->member[i]->source.host) == v4;
	return group != NULL && group->nmember > 0
		   ? any
		   : one == NULL || !one->source.set || addr_is_v4(one->source.host) == v4;
}

const char *
queue_wait_word(enum queue_wait w)
{
	static const char *const words[] = { "host", "rest", "dns", "dnscache" };

	return words[w];
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
