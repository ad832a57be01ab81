/* SPDX-License-Identifier: ISC */
#include "qmgr/control.h"

#include "base/die.h"
#include "base/json.h"
#include "base/log.h"
#include "qmgr/qmgr.h"

#include <stdlib.h>

enum { PIECE = 32 * 1024, BUCKETS_SLICE = 4096 };

struct walk {
	struct qmgr *q;
	struct buf *out;
	size_t bucket;
	uint64_t now;
};

static void
host_json(void *arg, const struct host_rest *h)
{
	struct walk *w = arg;
	char ip[46];

	addr_text(h->ip, ip);
	json_open(w->out, '{');
	json_kz(w->out, "host", h->name == NULL ? "" : h->name);
	json_kz(w->out, "address", ip);
	json_ku64(w->out, "port", h->port);
	json_ku64(w->out, "rest_ms", h->until_ms > w->now ? h->until_ms - w->now : 0);
	json_ku64(w->out, "failures", h->count);
	json_kz(w->out, "reason", h->why == NULL ? "" : h->why);
	json_close(w->out, '}');
	buf_putc(w->out, '\n');
}

static void
more(struct ctl_call *c, void *state)
{
	struct walk *w = state;

	w->out = ctl_out(c);
	w->now = qclock_ms(&w->q->clock);
	for (unsigned n = 0; n < BUCKETS_SLICE && w->out->n < PIECE; n++)
		if (!hosts_each(&w->q->hosts, &w->bucket, host_json, w)) {
			ctl_end(c, 0, NULL);
			return;
		}
}

void
control_hosts(struct ctl_call *c, struct slice args)
{
	struct walk *w = xcalloc(1, sizeof *w);

	(void)args;
	w->q = ctl_arg(c);
	ctl_more(c, more, w, free);
}
