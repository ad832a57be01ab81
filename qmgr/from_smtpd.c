/* SPDX-License-Identifier: ISC */
#include "qmgr/from_smtpd.h"

#include "base/die.h"
#include "base/log.h"
#include "qmgr/intake.h"
#include "qmgr/large.h"
#include "qmgr/notice.h"
#include "qmgr/segments.h"

#include <stdlib.h>
#include <unistd.h>

enum { WANT_MAX = 4, RETRY_MS = 1000 };

struct writer {
	TAILQ_ENTRY(writer) next;
	struct qmgr *q;
	struct peer *peer;
	uint8_t class;	 /* 0: it may not write */
	unsigned making; /* leases that were asked for over this link and are not made yet */
};

static struct writer *
by_instance(struct qmgr *q, uint64_t instance)
{
	struct writer *w;

	TAILQ_FOREACH(w, &q->writers, next)
	if (peer_hello(w->peer)->instance == instance)
		return w;
	return NULL;
}

/* The user that the socket shows decides what a class may be; HELLO only chooses among those. */
static uint8_t
class_of(const struct peer *p)
{
	uint8_t class = peer_hello(p)->class;

	if (peer_service(p) == SERVICE_BOUNCED)
		return class == CLASS_BOUNCED ? class : 0;
	return class == CLASS_MX || class == CLASS_SUBMISSION || class == CLASS_LOCAL ? class : 0;
}

static void
mark_linked(struct qmgr *q, uint64_t instance, bool linked)
{
	uint32_t cursor = 0;
	struct seg *s;

	while ((s = segtab_next(&q->segtab, &cursor)) != NULL) {
		if (s->instance != instance || s->worker == SEG_OWN_WORKER)
			continue;
		s->writer_linked = linked;
		if (!linked)
			segments_look(q, s); /* usually it is gone, and its mail should not wait */
	}
}

static void
up(struct peer *p)
{
	struct writer *w = xcalloc(1, sizeof *w);

	w->q = peer_arg(p);
	w->peer = p;
	w->class = class_of(p);
	TAILQ_INSERT_TAIL(&w->q->writers, w, next);
	peer_set_arg(p, w);
	mark_linked(w->q, peer_hello(p)->instance, true);
	if (peer_service(p) == SERVICE_BOUNCED)
		notice_linked(w->q, p);
}

static void
down(struct peer *p)
{
	struct writer *w = peer_arg(p);
	struct qmgr *q = w->q;
	uint64_t instance = peer_hello(p)->instance;

	TAILQ_REMOVE(&q->writers, w, next);
	free(w);
	notice_unlinked(q, p);
	if (by_instance(q, instance) == NULL)
		mark_linked(q, instance, false);
	larges_unlinked(q, instance);
}

bool
from_smtpd_linked(struct qmgr *q, uint64_t instance)
{
	return by_instance(q, instance) != NULL;
}

/* ---- leases ---- */

static void
supersede(struct qmgr *q, const struct seg *newest)
{
	uint32_t cursor = 0;
	struct seg *s;

	while ((s = segtab_next(&q->segtab, &cursor)) != NULL)
		if (s->instance == newest->instance && s->number < newest->number &&
		    s->worker != SEG_OWN_WORKER)
			s->superseded = true;
}

static void
lease_made(struct qmgr *q, struct seg *s, uint64_t instance, int fd)
{
	struct writer *w = by_instance(q, instance);
	struct buf frame = { 0 };

	if (w != NULL && w->making > 0) /* 0: asked for over a link that is gone */
		w->making--;
	if (fd < 0) {
		if (w != NULL)
			peer_send(w->peer, lease_none, .retry_ms = RETRY_MS);
		return;
	}
	if (w == NULL) {
		close(fd); /* nobody ever held it: its end is found like a dead writer's */
		return;
	}
	s->writer_linked = true;
	supersede(q, s);
	msg_lease_put(&frame, &(const struct msg_lease){ .segment = s->number,
				  .start = SEGMENT_HEADER,
				  .seed = s->seed,
				  .floor_ms = s->floor_ms,
				  .class = s->class,
				  .version = s->version,
				  .soft_bytes = SEGMENT_SOFT_BYTES,
				  .floor_bytes = q->conf->disk_floor });
	peer_send_fd(w->peer, &frame, fd);
	buf_fini(&frame);
	close(fd);
}

static bool
on_lease_want(struct writer *w, const struct msg_lease_want *m)
{
	const struct msg_hello *h = peer_hello(w->peer);

	if (w->class == 0 || m->count > WANT_MAX)
		return false;
	if (m->version < w->q->identity.version) {
		/* it cannot write what this spool holds */
		peer_send(w->peer, lease_none, .retry_ms = 60 * RETRY_MS);
		return true;
	}
	for (unsigned i = 0; i < m->count && w->making < WANT_MAX; i++) {
		if (!segments_lease(w->q, w->class, h->worker, h->instance, lease_made)) {
			peer_send(w->peer, lease_none, .retry_ms = RETRY_MS);
			break;
		}
		w->making++;
	}
	return true;
}

/* ---- files for large bodies ---- */

static void
large_made(struct qmgr *q, uint64_t instance, uint32_t number, int fd)
{
	struct writer *w = by_instance(q, instance);
	struct buf frame = { 0 };

	if (fd < 0) {
		if (w != NULL)
			peer_send(w->peer, large_none, .retry_ms = RETRY_MS);
		return;
	}
	if (w != NULL) {
		msg_large_put(&frame, &(const struct msg_large){
					  .large = number, .floor_bytes = q->conf->disk_floor });
		peer_send_fd(w->peer, &frame, fd);
		buf_fini(&frame);
	} else
		larges_unlinked(q, instance); /* nobody ever held it: it is empty, and found so */
	close(fd);
}

static bool
on_large_want(struct writer *w, const struct msg_large_want *m)
{
	if (w->class == 0 || m->count > WANT_MAX)
		return false;
	for (unsigned i = 0; i < m->count; i++)
		if (!larges_lease(w->q, peer_hello(w->peer)->instance, large_made)) {
			peer_send(w->peer, large_none, .retry_ms = RETRY_MS);
			break;
		}
	return true;
}

static bool
on_large_drop(struct writer *w, const struct msg_large_drop *m)
{
	return large_dropped(w->q, peer_hello(w->peer)->instance, m->large) &&
	       peer_send(w->peer, large_dropped, .large = m->large);
}

/* ---- doorbells and seals ---- */

static bool
holds(const struct writer *w, const struct seg *s)
{
	return s->instance == peer_hello(w->peer)->instance && s->worker != SEG_OWN_WORKER;
}

static bool
on_doorbell(struct writer *w, const struct msg_doorbell *m)
{
	struct seg *s = seg_find(&w->q->segtab, m->segment);

	if (s == NULL || s->state == SEG_FREED) {
		if (m->segment > w->q->segtab.highest)
			return false;
		/* All of it is done and gone: it may stop telling. */
		peer_send(w->peer, filed, .segment = m->segment, .filed = m->durable);
		return true;
	}
	/* No reply is awaited: 250 has been said, the disk holds the mail. */
	if (!holds(w, s) || !intake_rung(w->q, s, m->durable))
		return false;
	if (m->durable <= s->acked)
		peer_send(w->peer, filed, .segment = s->number, .filed = s->acked);
	return true;
}

struct seal_note {
	struct journal_wait wait;
	struct qmgr *q;
	uint64_t instance;
	uint32_t number;
};

static void
seal_durable(void *arg)
{
	struct seal_note *n = arg;
	struct writer *w = by_instance(n->q, n->instance);

	if (w != NULL)
		peer_send(w->peer, sealed, .segment = n->number);
	free(n);
}

static bool
on_seal(struct writer *w, const struct msg_seal *m)
{
	struct seg *s = seg_find(&w->q->segtab, m->segment);
	struct seal_note *n;

	if (s == NULL)
		return m->segment <= w->q->segtab.highest &&
		       peer_send(w->peer, sealed, .segment = m->segment);
	if (!holds(w, s) || !intake_sealed(w->q, s, m->end))
		return false;
	n = xcalloc(1, sizeof *n);
	*n = (struct seal_note){ .wait = { .durable = seal_durable, .arg = n },
		.q = w->q,
		.instance = peer_hello(w->peer)->instance,
		.number = s->number };
	journal_after(&w->q->journal, &n->wait, JOURNAL_NOW);
	return true;
}

static bool
on_notice_later(struct writer *w, const struct msg_notice_later *m)
{
	return notice_put_off(w->q, m);
}

static bool
in(struct peer *p, const struct msg_row *row, struct ipc_in *msg)
{
	struct writer *w = peer_arg(p);

	(void)row;
	switch (msg->type) {
#define ON(NAME, name)                                                         \
	case MSG_##NAME: {                                                     \
		struct msg_##name m;                                           \
		return msg_##name##_get(msg->payload, &m) && on_##name(w, &m); \
	}
		ON(LEASE_WANT, lease_want)
		ON(DOORBELL, doorbell)
		ON(SEAL, seal)
		ON(NOTICE_LATER, notice_later)
		ON(LARGE_WANT, large_want)
		ON(LARGE_DROP, large_drop)
#undef ON
	}
	return false;
}

static void
tell_filed(struct qmgr *q, struct seg *s)
{
	struct writer *w = by_instance(q, s->instance);

	/* Without it the writer would ring again after a second; nobody waits for it before. */
	if (w != NULL)
		peer_send_later(w->peer, filed, .segment = s->number, .filed = s->acked);
}

void
from_smtpd_init(struct qmgr *q)
{
	TAILQ_INIT(&q->writers);
	q->tell_filed = tell_filed;
}

const struct peer_ops from_smtpd_ops = { .in = in, .up = up, .down = down };
