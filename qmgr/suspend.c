/* SPDX-License-Identifier: ISC */
#include "qmgr/suspend.h"

#include "qmgr/queue_policy.h"

/* How a kind is called, and the transport in the key of its markers; a queue needs none. */
static const struct {
	const char *word, *transport;
} kinds[SUSPEND_KINDS] = {
	[SUSPEND_ALL] = { "all", "suspend" },
	[SUSPEND_QUEUE] = { "queue", "" },
	[SUSPEND_DOMAIN] = { "domain", "suspend" },
	[SUSPEND_POOL] = { "pool", "suspend-pool" },
	[SUSPEND_BINDING] = { "binding", "suspend-binding" },
};

const char *
suspend_word(enum suspend_kind kind)
{
	return kinds[kind].word;
}

bool
suspend_is_marker(const struct queue *queue)
{
	return queue->defined && queue->class == 0;
}

enum suspend_kind
suspend_kind_of(const struct queue *by)
{
	if (!suspend_is_marker(by))
		return SUSPEND_QUEUE;
	if (slice_is(by->route.domain, "*"))
		return SUSPEND_ALL;
	for (unsigned k = SUSPEND_POOL; k < SUSPEND_KINDS; k++)
		if (slice_is(by->route.transport, kinds[k].transport))
			return (enum suspend_kind)k;
	return SUSPEND_DOMAIN;
}

/* Names are compared in lower case, which is how they stand in the key. */
static void
marker_key(enum suspend_kind kind, struct slice name, struct buf *out)
{
	char lower[ROUTE_TEXT_MAX + 1];
	const struct route r = { .transport = slice_z(kinds[kind].transport),
		.domain = slice_of(lower, name.n) };

	for (size_t i = 0; i < name.n; i++)
		lower[i] = ascii_lower(name.p[i]);
	route_put(out, &r);
}

struct queue *
suspend_holder(struct qmgr *q, const struct suspend *what, bool make)
{
	struct buf key = { 0 };
	struct queue *found;

	if (what->kind == SUSPEND_QUEUE)
		return what->queue;
	if (what->name.n == 0 || what->name.n > ROUTE_TEXT_MAX)
		return NULL;
	marker_key(what->kind, what->name, &key);
	found =
	    make ? queue_intern(q, 0, slice_buf(&key)) : queue_find(&q->queues, 0, slice_buf(&key));
	buf_fini(&key);
	return found;
}

/* NULL: it is not stopped. */
static struct queue *
stopped(struct qmgr *q, enum suspend_kind kind, struct slice name)
{
	struct queue *by = suspend_holder(q, &(const struct suspend){ kind, name, NULL }, false);

	return by != NULL && by->suspended ? by : NULL;
}

bool
suspend_has_binding(struct qmgr *q, const char *binding)
{
	return q->nsuspended > 0 && stopped(q, SUSPEND_BINDING, slice_z(binding)) != NULL;
}

/* Of a group, only where no member is left to connect from; the last of them is named then. */
static struct queue *
stopped_source(struct qmgr *q, struct slice pool)
{
	const struct conf_group *group = conf_group(q->conf, pool);
	struct queue *by = NULL;

	if (group == NULL)
		return stopped(q, SUSPEND_BINDING, pool);
	for (size_t i = 0; i < group->nmember; i++) {
		by = stopped(q, SUSPEND_BINDING, slice_z(group->member[i]->name));
		if (by == NULL)
			return NULL;
	}
	return by;
}

/* The widest is named first: it is what has to be resumed before anything else helps. */
static struct queue *
look(struct qmgr *q, struct queue *queue)
{
	struct queue *by = stopped(q, SUSPEND_ALL, SLICE_LIT("*"));

	if (by == NULL && queue->route.pool.n > 0)
		by = stopped(q, SUSPEND_POOL, queue->route.pool);
	if (by == NULL && queue->route.pool.n > 0)
		by = stopped_source(q, queue->route.pool);
	if (by == NULL)
		by = stopped(q, SUSPEND_DOMAIN, queue->route.domain);
	return by == NULL && queue->suspended ? queue : by;
}

const struct queue *
suspend_of(struct qmgr *q, struct queue *queue)
{
	if (q->nsuspended == 0 || queue->number == QUEUE_ROUTING || !queue->defined)
		return NULL;
	if (queue->suspend_seen != q->suspend_serial) {
		queue->suspend_by = look(q, queue);
		queue->suspend_seen = q->suspend_serial;
	}
	return queue->suspend_by;
}

void
suspend_changed(struct qmgr *q)
{
	if (++q->suspend_serial == 0)
		q->suspend_serial = 1; /* 0: of a queue that has never looked */
}

/* ---- what operators write ---- */

void
suspend_key_put(const struct queue *queue, struct buf *out)
{
	const struct slice parts[] = { queue->route.transport, queue->route.pool,
		queue->route.tenant, slice_z(class_word(queue->class)), queue->route.domain };

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		if (i > 0)
			buf_putc(out, '/');
		buf_slice(out, parts[i]);
	}
}

static const char *
by_key(struct qmgr *q, struct slice name, struct queue **out)
{
	struct buf key = { 0 };
	const char *why = NULL;

	*out = NULL;
	for (uint32_t i = 1; i < q->queues.n && why == NULL; i++) {
		struct queue *queue = q->queues.at[i];

		if (queue == NULL || !queue->defined || suspend_is_marker(queue))
			continue;
		buf_reset(&key);
		suspend_key_put(queue, &key);
		if (!slice_ieq(slice_buf(&key), name))
			continue;
		if (*out != NULL)
			why = "several queues have this key: name one by its number";
		*out = queue;
	}
	buf_fini(&key);
	return why != NULL ? why : *out == NULL ? "there is no such queue" : NULL;
}

static const char *
find_queue(struct qmgr *q, struct slice name, struct queue **out)
{
	uint64_t number;

	if (!slice_u64(name, &number))
		return by_key(q, name, out);
	*out = number > QUEUE_MAX ? NULL : queue_at(&q->queues, (uint32_t)number);
	if (*out == NULL || number == QUEUE_ROUTING || !(*out)->defined || suspend_is_marker(*out))
		return "there is no such queue";
	return NULL;
}

/* A domain may look like anything but KIND=NAME. */
static enum suspend_kind
take_kind(struct slice *word)
{
	ptrdiff_t eq = slice_find(*word, '=');

	for (unsigned k = SUSPEND_QUEUE; eq > 0 && k < SUSPEND_KINDS; k++)
		if (slice_is(slice_head(*word, (size_t)eq), kinds[k].word)) {
			*word = slice_from(*word, (size_t)eq + 1);
			return (enum suspend_kind)k;
		}
	return SUSPEND_KINDS;
}

const char *
suspend_parse(struct qmgr *q, struct slice word, bool now, struct suspend *out)
{
	enum suspend_kind kind = take_kind(&word);

	if (kind == SUSPEND_KINDS && slice_find(word, '=') >= 0)
		return "which? queue=, domain=, pool=, binding=, or * for all";
	if (kind == SUSPEND_KINDS)
		kind = slice_is(word, "*") ? SUSPEND_ALL : SUSPEND_DOMAIN;
	if (word.n == 0 || word.n > ROUTE_TEXT_MAX)
		return "its name is empty or too long";
	*out = (struct suspend){ .kind = kind, .name = word };
	switch (kind) {
	case SUSPEND_QUEUE:
		return find_queue(q, word, &out->queue);
	case SUSPEND_POOL:
		return !now || conf_group(q->conf, word) != NULL ||
			       conf_binding(q->conf, word) != NULL
			   ? NULL
			   : "the configuration has no binding or group of this name";
	case SUSPEND_BINDING:
		return !now || conf_binding(q->conf, word) != NULL
			   ? NULL
			   : "the configuration has no binding of this name";
	case SUSPEND_ALL:
	case SUSPEND_DOMAIN:
	case SUSPEND_KINDS:
		break;
	}
	return NULL;
}
