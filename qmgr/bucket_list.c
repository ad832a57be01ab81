/* SPDX-License-Identifier: ISC */
/* What is said of buckets: who is held by which, and how much of each is used. */
#include "qmgr/bucket_impl.h"

#include "base/clock.h"
#include "qmgr/queue_policy.h"

const char *
bucket_limit_word(enum bucket_limit l)
{
	static const char *const words[] = { "connections", "connection_rate", "message_rate" };

	return words[l];
}

static uint32_t
site_before(const struct site *s, const struct queue *queue)
{
	uint32_t n = 0;

	for (const struct queue *at = s->wait_first; at != NULL && at != queue; at = at->line_next)
		n++;
	return n;
}

static uint32_t
line_before(const struct bucket *b, const struct queue *queue)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->nline; i++)
		n += queue->bucket.ticket == 0 || b->line[i]->bucket.ticket < queue->bucket.ticket;
	return n;
}

bool
bucket_holds(struct qmgr *q, struct queue *queue, struct bucket_hold *out)
{
	uint64_t connections = queue_limits(q, queue)->connections;
	const struct bucket_member *m = &queue->bucket;
	uint64_t now = clock_mono_ms(), until;

	*out = (struct bucket_hold){ .bucket = "", .limit = BUCKET_CONNECTIONS };
	if (queue->nready == 0)
		return false;
	if (queue->site != NULL && queue->site->njobs >= connections) {
		out->before = queue->in_line ? site_before(queue->site, queue) : 0;
		return true;
	}
	for (unsigned i = 0; i < m->nshare; i++) {
		const struct bucket *b = m->share[i].b;
		bool full = bucket_refuses(
		    b, bucket_idle_worker(q, queue) == NULL, now, &out->limit, &until);

		if (!full && m->waits_at != b)
			continue;
		out->bucket = b->name == NULL ? "" : b->name;
		out->wait_ms = full && until != 0 ? until - now : 0;
		out->before = line_before(b, queue);
		return true;
	}
	return false;
}
