/* SPDX-License-Identifier: ISC */
#include "qmgr/router/names.h"

#include "base/die.h"
#include "base/log.h"
#include "conf/scope.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

struct entry {
	struct entry *next;
	char *host;
	unsigned n;
	char addr[NAMES_ADDRS_MAX][46];
};

struct names {
	struct entry *first;
};

struct names *
names_new(void)
{
	return xcalloc(1, sizeof(struct names));
}

void
names_free(struct names *n)
{
	struct entry *e, *next;

	if (n == NULL)
		return;
	for (e = n->first; e != NULL; e = next) {
		next = e->next;
		free(e->host);
		free(e);
	}
	free(n);
}

static struct entry *
find(const struct names *n, const char *host)
{
	struct entry *e = n->first;

	while (e != NULL && strcasecmp(e->host, host) != 0)
		e = e->next;
	return e;
}

static struct entry *
entry_of(struct names *n, const char *host)
{
	struct entry *e = find(n, host);

	if (e == NULL) {
		e = xcalloc(1, sizeof *e);
		e->host = xstrdup(host);
		e->next = n->first;
		n->first = e;
	}
	return e;
}

void
names_add(struct names *n, const char *host, const char *addr)
{
	struct entry *e = entry_of(n, host);

	if (e->n < NAMES_ADDRS_MAX)
		slice_copy(slice_z(addr), e->addr[e->n++], sizeof e->addr[0]);
}

static void
look_up(struct names *n, const char *host)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *at;
	struct sockaddr_storage ss;
	struct addr a;
	char text[46];
	int err;

	if (find(n, host) != NULL)
		return;
	err = getaddrinfo(host, NULL, &hints, &list);
	if (err != 0) {
		log_trouble(0, "next hop %s has no address: %s", host, gai_strerror(err));
		return;
	}
	for (at = list; at != NULL; at = at->ai_next) {
		ss = (struct sockaddr_storage){ 0 };
		memcpy(&ss, at->ai_addr, at->ai_addrlen < sizeof ss ? at->ai_addrlen : sizeof ss);
		if (!addr_of(&ss, &a))
			continue;
		addr_text(a.host, text);
		names_add(n, host, text);
	}
	freeaddrinfo(list);
}

static void
look_up_hops(void *names, const struct conf_hops *hops)
{
	struct names *n = names;

	for (size_t i = 0; i < hops->n; i++)
		if (!hops->at[i].literal)
			look_up(n, hops->at[i].host);
}

void
names_look_up(struct names *n, const struct conf *c)
{
	look_up_hops(n, &c->relay_host);
	conf_each_route(c, look_up_hops, n);
}

unsigned
names_get(const struct names *n, const char *host, struct slice out[static NAMES_ADDRS_MAX])
{
	const struct entry *e = find(n, host);

	for (unsigned i = 0; e != NULL && i < e->n; i++)
		out[i] = slice_z(e->addr[i]);
	return e == NULL ? 0 : e->n;
}
