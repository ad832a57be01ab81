/* SPDX-License-Identifier: ISC */
#include "qmgr/router/answer.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/json.h"

#include <bsd/stdlib.h>
#include <stdio.h>
#include <xxhash.h>

enum { REFRESH_MS = 1000 };

/* A question that a thread works for. */
struct waiting {
	TAILQ_ENTRY(waiting) next;
	struct peer *peer; /* NULL: of a control call */
	uint64_t call;
	uint32_t token, from;
	struct question q;
	struct buf text; /* what q's slices point into */
	uint64_t deadline_ms;
};

static void on_answered(void *arg, struct slice name);
static void on_timer(void *arg);

static void
look_later(struct router *r)
{
	timer_set(r->timer, REFRESH_MS);
	r->look_ms = clock_mono_ms() + REFRESH_MS;
}

void
answer_init(struct router *r, const struct conf *conf, struct loop *loop)
{
	*r = (struct router){ .loop = loop };
	TAILQ_INIT(&r->waits);
	arc4random_buf(r->key, sizeof r->key);
	r->sealer = route_sealer_new(r->key);
	r->accounts = accounts_new(loop, on_answered, r);
	answer_conf(r, conf);
	if (loop == NULL)
		return;
	r->timer = timer_new(loop, on_timer, r);
	look_later(r);
}

static void
kept_drop(struct router *r)
{
	r->kept.rcpt = SLICE_NONE;
	arena_reset(&r->kept.arena);
}

void
answer_conf(struct router *r, const struct conf *conf)
{
	kept_drop(r);
	tables_free(r->tables);
	r->conf = conf;
	r->tables = tables_new(conf, r->accounts);
	r->directory = tables_directory(r->tables);
}

static void
waiting_free(struct router *r, struct waiting *w)
{
	TAILQ_REMOVE(&r->waits, w, next);
	r->nwaits--;
	buf_fini(&w->text);
	free(w);
}

void
answer_fini(struct router *r)
{
	struct waiting *w, *next;

	TAILQ_FOREACH_SAFE(w, &r->waits, next, next)
	waiting_free(r, w);
	timer_free(r->timer);
	accounts_free(r->accounts);
	tables_free(r->tables);
	route_sealer_free(r->sealer);
	arena_fini(&r->arena);
	arena_fini(&r->kept.arena);
}

/* ---- an answer as a message ---- */

/* The part of the list from `from` on; qmgr asks for the next one. */
static void
put_list(struct buf *out, const struct decision *d, uint32_t from)
{
	for (size_t i = from; i < d->nlist && i - from < ANSWER_LIST_MAX; i++) {
		uint16_t n = (uint16_t)d->list[i].n;

		if (out->n + 2 + n > ANSWER_LIST_BYTES)
			break;
		buf_put(out, &n, sizeof n);
		buf_slice(out, d->list[i]);
	}
}

static uint64_t
hash_of(const struct decision *d)
{
	uint64_t h = 0;

	for (size_t i = 0; i < d->nlist; i++)
		h = XXH3_64bits_withSeed(d->list[i].p, d->list[i].n, h + 1);
	return h;
}

static uint16_t
holds_ms(const struct router *r)
{
	uint64_t now = clock_mono_ms();

	return r->look_ms > now ? (uint16_t)(r->look_ms - now) : 0;
}

static void
put_answer(struct router *r, const struct question *q, uint32_t token, uint32_t from,
    const struct decision *d, struct buf *out)
{
	uint8_t seal[ROUTE_SEAL];
	struct buf route = { 0 }, list = { 0 };
	struct msg_route answer = { .token = token,
		.action = (uint8_t)d->action,
		.code = d->code,
		.enh_class = d->enh[0],
		.enh_subject = d->enh[1],
		.enh_detail = d->enh[2],
		.text = slice_z(d->text),
		.rule = slice_z(d->rule),
		.generation = r->conf->generation,
		.holds_ms = holds_ms(r) };

	if (d->action == ROUTE_DELIVER) {
		route_put(&route, &d->route);
		answer.route = slice_buf(&route);
		route_seal(
		    r->sealer, answer.generation, answer.action, answer.route, q->rcpt, seal);
		answer.seal = slice_of(seal, sizeof seal);
	}
	if (d->action == ROUTE_EXPAND && q->again != QUESTION_RCPT) {
		put_list(&list, d, from);
		answer.total = (uint32_t)d->nlist;
		answer.first = from;
		answer.list = slice_buf(&list);
		answer.whole = hash_of(d);
	}
	msg_route_put(out, &answer);
	buf_fini(&route);
	buf_fini(&list);
	r->answered++;
	r->refused += d->action == ROUTE_REFUSE;
	r->temp += d->action == ROUTE_TEMP;
}

/* ---- an answer for people ---- */

static void
put_route(struct buf *b, const struct route *route)
{
	json_kstr(b, "transport", route->transport);
	json_kstr(b, "domain", route->domain);
	if (route->pool.n > 0)
		json_kstr(b, "pool", route->pool);
	json_key(b, "hops");
	json_open(b, '[');
	for (unsigned i = 0; i < route->nhops; i++) {
		json_open(b, '{');
		json_kstr(b, "host", route->hops[i].host);
		json_ku64(b, "port", route->hops[i].port);
		json_kbool(b, "mx", route->hops[i].mx);
		json_close(b, '}');
	}
	json_close(b, ']');
}

static void
put_json(struct buf *b, const struct question *q, const struct decision *d, uint32_t generation)
{
	static const char *const words[] = { "?", "deliver", "expand", "hold", "drop", "refuse",
		"temp" };
	char status[16];

	json_open(b, '{');
	json_kstr(b, "address", q->rcpt);
	json_kz(b, "action", words[d->action]);
	json_kz(b, "rule", d->rule);
	json_ku64(b, "generation", generation);
	if (d->action == ROUTE_DELIVER) {
		put_route(b, &d->route);
	} else if (d->action == ROUTE_EXPAND) {
		json_ku64(b, "total", d->nlist);
		json_key(b, "list");
		json_open(b, '[');
		for (size_t i = 0; i < d->nlist && i < ANSWER_LIST_MAX; i++)
			json_str(b, d->list[i]);
		json_close(b, ']');
	} else {
		json_ku64(b, "code", d->code);
		snprintf(status, sizeof status, "%u.%u.%u", d->enh[0], d->enh[1], d->enh[2]);
		json_kz(b, "status", status);
		json_kz(b, "text", d->text);
	}
	json_close(b, '}');
	buf_putc(b, '\n');
}

/* ---- now or later ---- */

static void
give_up(struct decision *d, const char *text)
{
	*d = (struct decision){
		.action = ROUTE_TEMP, .code = 451, .enh = { 4, 3, 5 }, .text = text, .rule = "users"
	};
}

static struct slice
keep(struct buf *b, struct slice s)
{
	buf_slice(b, s);
	return slice_of(b->p + b->n - s.n, s.n);
}

/* False: too many wait. */
static bool
wait_for(struct router *r, const struct waiting *like)
{
	struct waiting *w;

	if (r->loop == NULL || r->nwaits == ANSWER_WAITING_MAX)
		return false;
	w = xcalloc(1, sizeof *w);
	*w = *like;
	w->text = (struct buf){ 0 };
	buf_room(&w->text, w->q.rcpt.n + w->q.sender.n + w->q.login.n + 1);
	w->q.rcpt = keep(&w->text, w->q.rcpt);
	w->q.sender = keep(&w->text, w->q.sender);
	w->q.login = keep(&w->text, w->q.login);
	w->deadline_ms =
	    clock_mono_ms() + (r->conf->ask_timeout_ms > 2000 ? r->conf->ask_timeout_ms - 1000
							      : r->conf->ask_timeout_ms / 2);
	TAILQ_INSERT_TAIL(&r->waits, w, next);
	r->nwaits++;
	return true;
}

static void
deliver_answer(struct router *r, const struct waiting *w, const struct decision *d)
{
	struct ctl_call *call;
	struct buf *out;

	if (w->peer != NULL) {
		out = peer_out(w->peer);
		if (out != NULL)
			put_answer(r, &w->q, w->token, w->from, d, out);
		return;
	}
	call = ctl_by_token(r->ctl, w->call);
	if (call == NULL)
		return;
	put_json(ctl_out(call), &w->q, d, r->conf->generation);
	ctl_end(call, 0, NULL);
}

static void
on_answered(void *arg, struct slice name)
{
	struct router *r = arg;
	struct waiting *w, *next;

	(void)name; /* few wait, and a name serves several */
	for (w = TAILQ_FIRST(&r->waits); w != NULL; w = next) {
		struct decision d;

		next = TAILQ_NEXT(w, next);
		decide(r->conf, r->directory, &w->q, &r->arena, &d);
		if (!d.later) {
			deliver_answer(r, w, &d);
			waiting_free(r, w);
		}
		arena_reset(&r->arena);
	}
}

static void
on_timer(void *arg)
{
	struct router *r = arg;
	uint64_t now = clock_mono_ms();
	struct waiting *w, *next;
	struct decision d;

	for (w = TAILQ_FIRST(&r->waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, next);
		if (w->deadline_ms > now)
			continue;
		give_up(&d, "The users could not be looked up in time");
		deliver_answer(r, w, &d);
		waiting_free(r, w);
	}
	tables_refresh(r->tables);
	look_later(r);
}

/* The list in *d, which is in r->arena: the question for its next part is answered from it. */
static void
keep_list(struct router *r, struct slice rcpt, const struct decision *d)
{
	arena_fini(&r->kept.arena);
	r->kept.arena = r->arena;
	r->arena = (struct arena){ 0 };
	r->kept.rcpt = arena_slice(&r->kept.arena, rcpt);
	r->kept.decision = *d;
}

bool
answer_question(struct router *r, struct peer *p, const struct msg_resolve *m, struct buf *out)
{
	struct waiting ask = { .peer = p,
		.token = m->token,
		.from = m->from,
		.q = { .class = m->class,
		    .again = m->again,
		    .login = m->login,
		    .sender = m->sender,
		    .rcpt = m->rcpt } };
	struct decision d;

	if ((m->client.n != 0 && m->client.n != sizeof ask.q.client) || m->again > QUESTION_RESULT)
		return false;
	ask.q.has_client = m->client.n != 0;
	if (ask.q.has_client)
		memcpy(ask.q.client, m->client.p, sizeof ask.q.client);
	if (m->from > 0 && m->again == QUESTION_AGAIN && r->kept.rcpt.p != NULL &&
	    slice_eq(r->kept.rcpt, m->rcpt)) {
		put_answer(r, &ask.q, ask.token, ask.from, &r->kept.decision, out);
		return true;
	}
	decide(r->conf, r->directory, &ask.q, &r->arena, &d);
	if (d.later && !wait_for(r, &ask)) {
		give_up(&d, "Too many users are being looked up");
		d.later = false;
	}
	if (!d.later)
		put_answer(r, &ask.q, ask.token, ask.from, &d, out);
	if (d.nlist > ANSWER_LIST_MAX && m->again == QUESTION_AGAIN)
		keep_list(r, m->rcpt, &d);
	else
		arena_reset(&r->arena);
	return true;
}

void
answer_call(struct router *r, struct ctl_call *c, const struct question *q)
{
	const struct waiting ask = { .call = ctl_token(c), .q = *q };
	struct decision d;

	decide(r->conf, r->directory, q, &r->arena, &d);
	if (d.later && !wait_for(r, &ask)) {
		give_up(&d, "Too many users are being looked up");
		d.later = false;
	}
	if (!d.later) {
		put_json(ctl_out(c), q, &d, r->conf->generation);
		ctl_end(c, 0, NULL);
	}
	arena_reset(&r->arena);
}

void
answer_forget(struct router *r, const struct peer *p)
{
	struct waiting *w, *next;

	for (w = TAILQ_FIRST(&r->waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, next);
		if (w->peer == p)
			waiting_free(r, w);
	}
}
