/* SPDX-License-Identifier: ISC */
#include "qmgr/from_router.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/outcome.h"
#include "qmgr/address.h"
#include "qmgr/expand.h"
#include "qmgr/expanded.h"
#include "qmgr/schedule.h"
#include "qmgr/state.h"

#include <stdlib.h>

enum { TOKEN_BITS = 9, TEXT_MAX = 1900, REASON_MAX = 1000, BACKLOG_MAX = 256 * 1024 };
_Static_assert(1 << TOKEN_BITS == ASKING_MAX, "a token's low bits are its place");

struct asking {
	struct {
		uint64_t id; /* 0: free */
		uint32_t token, rcpt;
	} open[ASKING_MAX];
	uint32_t nopen, serial;
	uint16_t free[ASKING_MAX];
	unsigned nfree;
};

struct asking *
asking_new(void)
{
	struct asking *a = xcalloc(1, sizeof *a);

	for (unsigned i = 0; i < ASKING_MAX; i++)
		a->free[a->nfree++] = (uint16_t)i;
	return a;
}

void
asking_free(struct asking *a)
{
	free(a);
}

static void
cannot_ask(struct qmgr *q, struct message *m, unsigned rcpt, const char *text)
{
	const struct attempt_end end = {
		.kind = OUTCOME_TEMP, .enh = { 4, 3, 0 }, .text = slice_z(text)
	};

	schedule_result(q, m, rcpt, message_rcpts(m)[rcpt].attempts + 1U, &end);
}

/* Its address: of the envelope, or of the journal, where it may be on its way to the disk. */
static void
cannot_read(struct qmgr *q, struct message *m, unsigned rcpt)
{
	struct journal_rcpt e;
	int error = expanded_has(q, m, rcpt) ? expanded_read(q, m, rcpt, &e) : 0;

	if (error != 0)
		expanded_pause(q, m, rcpt, error);
	else
		cannot_ask(q, m, rcpt, "the record cannot be read");
}

static void
ask(struct qmgr *q, struct message *m, unsigned rcpt, uint32_t from)
{
	struct asking *a = q->asking;
	const struct seg *s = seg_at(&q->segtab, m->seg);
	const struct envelope_rcpt *to = address_rcpt(q, m, rcpt);
	const struct envelope *e = &q->address->envelope;
	unsigned at;

	rcpt_leave(q, m, rcpt);
	if (to == NULL) {
		cannot_read(q, m, rcpt);
		return;
	}
	at = a->free[--a->nfree];
	a->open[at].id = m->id;
	a->open[at].rcpt = rcpt;
	a->open[at].token = ++a->serial << TOKEN_BITS | at;
	a->nopen++;
	rcpt_enter(q, m, rcpt, RCPT_ASKED);
	peer_send(q->router, resolve, .token = a->open[at].token, .class = s->class,
	    .login = e->login, .sender = e->sender, .rcpt = to->recipient,
	    .again = expanded_has(q, m, rcpt) ? 2 : 1, .from = from);
}

void
routes_run(struct qmgr *q)
{
	struct queue *waiting = queue_at(&q->queues, QUEUE_ROUTING);
	uint32_t msg;
	unsigned rcpt;

	if (!peer_is_up(q->router))
		return;
	while (q->asking->nfree > 0 && peer_backlog(q->router) < BACKLOG_MAX &&
	       ready_first(waiting, &msg, &rcpt)) {
		ready_taken(waiting, message_at(&q->messages, msg));
		ask(q, message_at(&q->messages, msg), rcpt, 0);
	}
}

void
routes_renewed(struct qmgr *q, uint32_t generation)
{
	if (generation <= q->router_generation)
		return;
	q->router_generation = generation;
	qmgr_wake_down(q); /* they may lead elsewhere now */
}

static void
end_of(const struct msg_route *r, uint8_t kind, struct attempt_end *end)
{
	*end = (struct attempt_end){ .kind = kind,
		.code = r->code,
		.enh = { r->enh_class, r->enh_subject, r->enh_detail },
		.text = slice_head(r->text, TEXT_MAX) };
	if (end->text.n == 0)
		end->text = slice_z(kind == OUTCOME_PERM ? "refused by a rule of the router"
							 : "the router cannot tell now");
}

static void
delivered_to(struct qmgr *q, struct message *m, unsigned rcpt, const struct msg_route *r)
{
	struct queue *queue = queue_intern(q, seg_at(&q->segtab, m->seg)->class, r->route);

	if (queue == NULL) {
		cannot_ask(q, m, rcpt, "the router's answer cannot be read");
		return;
	}
	if (r->generation > queue->generation)
		queue->generation = r->generation;
	commit(q, routed, .id = m->id, .rcpt = rcpt, .queue = queue->number);
}

static void
hold(struct qmgr *q, struct message *m, unsigned rcpt, const struct msg_route *r)
{
	struct slice reason = r->text.n > 0 ? slice_head(r->text, REASON_MAX)
					    : SLICE_LIT("held by a rule of the router");

	rcpt_leave(q, m, rcpt);
	rcpt_enter(q, m, rcpt, RCPT_DEFERRED);
	if (m->flags & MESSAGE_HELD)
		return;
	log_begin(LOG_HELD);
	log_id(m->id);
	log_str(LOGK_RULE, r->rule);
	log_str(LOGK_REASON, reason);
	log_end();
	commit(q, hold, .id = m->id, .holder = SLICE_LIT("router"), .reason = reason,
	    .wall_ms = clock_wall_ms());
}

static void
expanded_to(struct qmgr *q, struct message *m, unsigned rcpt, const struct msg_route *r)
{
	const char *why;
	uint32_t from;

	switch (expand_answered(q, m, rcpt, r, &from, &why)) {
	case EXPAND_MORE: /* the place of the question just answered is free */
		ask(q, m, rcpt, from);
		break;
	case EXPAND_DONE:
		break;
	case EXPAND_FAILED:
		cannot_ask(q, m, rcpt, why);
		break;
	}
}

static bool
answered(struct qmgr *q, struct message *m, unsigned rcpt, const struct msg_route *r)
{
	uint32_t attempt = message_rcpts(m)[rcpt].attempts + 1U;
	struct attempt_end end;

	switch ((enum route_action)r->action) {
	case ROUTE_DELIVER:
		delivered_to(q, m, rcpt, r);
		return true;
	case ROUTE_EXPAND:
		expanded_to(q, m, rcpt, r);
		return true;
	case ROUTE_HOLD:
		hold(q, m, rcpt, r);
		return true;
	case ROUTE_DROP:
		schedule_dropped(q, m, rcpt,
		    r->rule.n > 0 ? slice_head(r->rule, TEXT_MAX) : SLICE_LIT("router"));
		return true;
	case ROUTE_REFUSE:
		end_of(r, OUTCOME_PERM, &end);
		schedule_result(q, m, rcpt, attempt, &end);
		return true;
	case ROUTE_TEMP:
		end_of(r, OUTCOME_TEMP, &end);
		schedule_result(q, m, rcpt, attempt, &end);
		return true;
	}
	return false;
}

bool
routes_answered(struct qmgr *q, const struct msg_route *r)
{
	struct asking *a = q->asking;
	unsigned at = r->token & (ASKING_MAX - 1);
	struct message *m;
	uint64_t id = a->open[at].id;
	uint32_t rcpt = a->open[at].rcpt;

	routes_renewed(q, r->generation);
	if (r->token == 0)
		return true; /* the question of routes_slow() */
	if (id == 0 || a->open[at].token != r->token || r->action < ROUTE_DELIVER ||
	    r->action > ROUTE_TEMP)
		return false;
	a->open[at].id = 0;
	a->free[a->nfree++] = (uint16_t)at;
	a->nopen--;
	m = message_find(&q->messages, id);
	if (m == NULL || rcpt >= m->nrcpt || message_rcpts(m)[rcpt].phase != RCPT_ASKED)
		return true; /* deleted, expired or held meanwhile */
	qmgr_again(q);
	return answered(q, m, rcpt, r);
}

void
routes_unanswered(struct qmgr *q)
{
	struct asking *a = q->asking;

	for (unsigned at = 0; at < ASKING_MAX; at++) {
		struct message *m;
		uint32_t rcpt = a->open[at].rcpt;

		if (a->open[at].id == 0)
			continue;
		m = message_find(&q->messages, a->open[at].id);
		a->open[at].id = 0;
		a->free[a->nfree++] = (uint16_t)at;
		a->nopen--;
		if (m == NULL || rcpt >= m->nrcpt || message_rcpts(m)[rcpt].phase != RCPT_ASKED)
			continue;
		rcpt_leave(q, m, rcpt);
		rcpt_enter(q, m, rcpt, RCPT_ROUTING);
	}
}

bool
routes_key(struct qmgr *q, struct slice key)
{
	if (key.n != ROUTE_KEY)
		return false;
	if (q->sealer[0] != NULL && memcmp(q->sealer_key[0], key.p, ROUTE_KEY) == 0)
		return true;
	route_sealer_free(q->sealer[1]);
	q->sealer[1] = q->sealer[0];
	memcpy(q->sealer_key[1], q->sealer_key[0], ROUTE_KEY);
	memcpy(q->sealer_key[0], key.p, ROUTE_KEY);
	q->sealer[0] = route_sealer_new(q->sealer_key[0]);
	return true;
}

void
routes_slow(struct qmgr *q)
{
	if (q->conf->generation > q->router_generation)
		peer_send(q->router, resolve, .token = 0, .class = CLASS_LOCAL,
		    .rcpt = SLICE_LIT("postmaster"), .again = 1);
}

static void
up(struct peer *p)
{
	struct qmgr *q = peer_arg(p);

	routes_renewed(q, peer_hello(p)->generation);
	qmgr_again(q);
}

static void
down(struct peer *p)
{
	routes_unanswered(peer_arg(p));
}

static bool
in(struct peer *p, const struct msg_row *row, struct ipc_in *msg)
{
	struct qmgr *q = peer_arg(p);
	struct msg_route_key key;
	struct msg_route route;

	(void)row;
	switch (msg->type) {
	case MSG_ROUTE_KEY:
		return msg_route_key_get(msg->payload, &key) && routes_key(q, key.key);
	case MSG_ROUTE:
		return msg_route_get(msg->payload, &route) && routes_answered(q, &route);
	}
	return false;
}

const struct peer_ops from_router_ops = { .in = in, .up = up, .down = down };
