/* SPDX-License-Identifier: ISC */
#include "qmgr/control.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/json.h"
#include "qmgr/qmgr.h"

#include <stdlib.h>

enum { PIECE = 32 * 1024, QUEUES_SLICE = 4096 };

struct walk {
	struct qmgr *q;
	size_t named;	/* buckets shown */
	uint32_t queue; /* looked at for rates of their own */
};

static void
rate_json(
    struct buf *b, const char *key, const char *left_key, const struct gcra_rate *r, uint64_t due)
{
	struct buf text = { 0 };

	conf_rate_put(&text, r);
	json_kstr(b, key, slice_buf(&text));
	buf_fini(&text);
	if (r->count != 0)
		json_ku64(b, left_key, gcra_left(due, r, clock_mono_ms()));
}

static void
bucket_json(struct buf *b, const char *kind, struct slice name, const struct bucket *of)
{
	json_open(b, '{');
	json_kz(b, "kind", kind);
	json_kstr(b, "name", name);
	json_ku64(b, "queues", of->refs);
	json_ku64(b, "waiting", of->nline);
	json_ku64(b, "connections", of->jobs);
	json_ku64(b, "connections_idle", of->idle);
	if (of->rates.connections != 0)
		json_ku64(b, "connections_max", of->rates.connections);
	rate_json(
	    b, "connection_rate", "connections_left", &of->rates.connection, of->connection_due);
	rate_json(b, "message_rate", "messages_left", &of->rates.message, of->message_due);
	json_ku64(b, "messages", of->messages);
	json_ku64(b, "waits", of->waits);
	json_close(b, '}');
	buf_putc(b, '\n');
}

/* Named ones, then the destinations that have rates of their own. */
static void
more(struct ctl_call *c, void *state)
{
	struct walk *w = state;
	const struct queues *all = &w->q->queues;
	struct buf *out = ctl_out(c);

	for (; w->named < all->buckets->n && out->n < PIECE; w->named++) {
		const struct bucket *b = all->buckets->at[w->named];

		bucket_json(out, "bucket", slice_z(b->name), b);
	}
	for (unsigned n = 0; n < QUEUES_SLICE && out->n < PIECE; n++) {
		const struct queue *queue;

		if (w->queue >= all->n) {
			ctl_end(c, 0, NULL);
			return;
		}
		queue = all->at[w->queue++];
		if (queue != NULL && queue->site != NULL && queue->site->own != NULL)
			bucket_json(out, "destination", queue->route.domain, queue->site->own);
	}
}

void
control_limits(struct ctl_call *c, struct slice args)
{
	struct walk *w = xcalloc(1, sizeof *w);

	(void)args;
	w->q = ctl_arg(c);
	ctl_more(c, more, w, free);
}
