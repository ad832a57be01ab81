/* SPDX-License-Identifier: ISC */
#ifndef ROUTER_ROUTE_TABLE_H
#define ROUTER_ROUTE_TABLE_H

#include "qmgr/router/decide.h"

/*
 * The table of routes. Keys, the first that is there: user+ext@domain, user@domain, domain,
 * .parent (the nearest first), *. Values:
 *
 *	smtp:host:port       the mail exchangers of host; [host] or an address: the host itself
 *	smtp:                as without the table
 *	local:               the local users
 *	lmtp:unix:/path      a server of LMTP
 *	lmtp:host:port
 *	error:text           refuse 550 5.1.2; with an own code in front: error:5.7.1 text
 *	retry:text           temp 451 4.3.0
 *	hold:text, discard:text
 *
 * relay: is another word for smtp:. A value that cannot be read is TEMP.
 */
enum route_found {
	ROUTES_NONE,	/* the table has nothing to say */
	ROUTES_DECIDED, /* *d */
	ROUTES_LOCAL,	/* the local users, as the configuration says */
};
enum route_found route_table_look(const struct conf *c, const struct directory *dir,
    struct slice local, struct slice domain, struct arena *a, struct decision *d);

/* What several say. enh: "5.1.2". */
void decision_say(struct decision *d, enum route_action action, uint16_t code, const char *enh,
    const char *text, const char *rule);
void decision_hop(struct decision *d, struct slice host, uint16_t port, bool mx);

#endif
