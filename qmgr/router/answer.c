/* SPDX-License-Identifier: ISC */
#include "qmgr/router/answer.h"

#include "qmgr/router/names.h"

#include <bsd/stdlib.h>

void
answer_init(struct router *r, const struct conf *conf, struct names *names)
{
	*r = (struct router){ .conf = conf, .names = names };
	arc4random_buf(r->key, sizeof r->key);
	r->sealer = route_sealer_new(r->key);
}

void
answer_fini(struct router *r)
{
	route_sealer_free(r->sealer);
	arena_fini(&r->arena);
}

bool
answer_question(struct router *r, const struct msg_resolve *m, struct buf *out)
{
	struct question q = { .class = m->class,
		.again = m->again != 0,
		.login = m->login,
		.sender = m->sender,
		.rcpt = m->rcpt };
	uint8_t seal[ROUTE_SEAL];
	struct buf route = { 0 };
	struct decision d;
	struct msg_route answer;

	if (m->client.n != 0 && m->client.n != sizeof q.client)
		return false;
	q.has_client = m->client.n != 0;
	if (q.has_client)
		memcpy(q.client, m->client.p, sizeof q.client);
	decide(r->conf, r->names, &q, &r->arena, &d);
	answer = (struct msg_route){ .token = m->token,
		.action = (uint8_t)d.action,
		.code = d.code,
		.enh_class = d.enh[0],
		.enh_subject = d.enh[1],
		.enh_detail = d.enh[2],
		.text = slice_z(d.text),
		.rule = slice_z(d.rule),
		.generation = r->conf->generation };
	if (d.action == ROUTE_DELIVER) {
		route_put(&route, &d.route);
		answer.route = slice_buf(&route);
		route_seal(
		    r->sealer, answer.generation, answer.action, answer.route, m->rcpt, seal);
		answer.seal = slice_of(seal, sizeof seal);
	}
	msg_route_put(out, &answer);
	buf_fini(&route);
	arena_reset(&r->arena);
	r->answered++;
	r->refused += d.action == ROUTE_REFUSE;
	r->temp += d.action == ROUTE_TEMP;
	return true;
}
