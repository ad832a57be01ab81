/* SPDX-License-Identifier: ISC */
#include "qmgr/bucket.h"

#include "qmgr/queue_policy.h"

const char *
bucket_limit_word(enum bucket_limit l)
{
	static const char *const words[] = { "connections", "connection_rate", "message_rate" };

	return words[l];
}

static uint32_t
line_before(const struct site *s, const struct queue *queue)
{
	uint32_t n = 0;

	for (const struct queue *at = s->wait_first; at != NULL && at != queue; at = at->line_next)
		n++;
	return n;
}

bool
bucket_holds(struct qmgr *q, struct queue *queue, struct bucket_hold *out)
{
	uint64_t connections = queue_limits(q, queue)->connections;

	*out = (struct bucket_hold){ .bucket = "", .limit = BUCKET_CONNECTIONS };
	if (queue->site == NULL || queue->nready == 0)
		return false;
	out->before = queue->in_line ? line_before(queue->site, queue) : 0;
	return queue->site->njobs >= connections;
}
