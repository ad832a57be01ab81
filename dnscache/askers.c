/* SPDX-License-Identifier: ISC */
#include "dnscache/askers.h"

#include "base/die.h"

#include <bsd/sys/queue.h>
#include <stdlib.h>

enum { OPEN_MAX = 8192 };

struct open {
	LIST_ENTRY(open) link;
	struct asker *asker;
	struct wish *wish;
	uint32_t token;
};

struct asker {
	struct askers *all;
	struct peer *peer;
	unsigned nopen;
	LIST_HEAD(, open) open;
};

static void
answer(struct peer *p, uint32_t token, const struct reply *reply)
{
	peer_send(p, dns_answer, .token = token, .status = (uint8_t)reply->status,
	    .ttl_s = reply->ttl_s, .flags = (uint8_t)reply->flags, .cname = reply->cname,
	    .records = reply->records, .text = slice_z(reply->text));
}

static void
close_one(struct open *o)
{
	LIST_REMOVE(o, link);
	o->asker->nopen--;
	o->asker->all->open--;
	free(o);
}

static void
answered(void *arg, const struct reply *reply)
{
	struct open *o = arg;

	answer(o->asker->peer, o->token, reply);
	close_one(o);
}

static void
refuse(struct asker *a, uint32_t token, const char *why)
{
	answer(a->peer, token, &(struct reply){ .status = DNS_TEMP, .text = why });
	a->all->refused++;
}

static void
ask(struct asker *a, uint32_t token, const char *name, enum dns_type type)
{
	struct open *o;

	if (a->nopen == OPEN_MAX) {
		refuse(a, token, "too many DNS questions are open");
		return;
	}
	o = xcalloc(1, sizeof *o);
	*o = (struct open){ .asker = a, .token = token };
	o->wish = resolver_ask(a->all->resolver, name, type, peer_service(a->peer), answered, o);
	if (o->wish == NULL) {
		free(o);
		refuse(a, token, "too many DNS questions are open");
		return;
	}
	LIST_INSERT_HEAD(&a->open, o, link);
	a->nopen++;
	a->all->open++;
}

static bool
in(struct peer *p, const struct msg_row *row, struct ipc_in *msg)
{
	struct asker *a = peer_arg(p);
	struct msg_dns_ask m;
	char name[DNS_NAME_MAX + 1];
	struct reply reply;

	(void)row;
	if (msg->type != MSG_DNS_ASK || !msg_dns_ask_get(msg->payload, &m) ||
	    !dns_name_clean(m.name, name))
		return false;
	if (dns_type_word(m.type) == NULL)
		refuse(a, m.token, "questions of this type are not known here");
	else if (resolver_knows(a->all->resolver, name, (enum dns_type)m.type, &reply))
		answer(p, m.token, &reply);
	else
		ask(a, m.token, name, (enum dns_type)m.type);
	return true;
}

static void
up(struct peer *p)
{
	struct asker *a = xcalloc(1, sizeof *a);

	*a = (struct asker){ .all = peer_arg(p), .peer = p };
	LIST_INIT(&a->open);
	a->all->links++;
	peer_set_arg(p, a);
}

static void
down(struct peer *p)
{
	struct asker *a = peer_arg(p);
	struct open *o, *next;

	for (o = LIST_FIRST(&a->open); o != NULL; o = next) {
		next = LIST_NEXT(o, link);
		resolver_forget(o->wish);
		close_one(o);
	}
	a->all->links--;
	free(a);
}

const struct peer_ops askers_ops = { .in = in, .up = up, .down = down };
