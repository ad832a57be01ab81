/* SPDX-License-Identifier: ISC */
#ifndef ROUTER_DECIDE_H
#define ROUTER_DECIDE_H

#include "ipc/route.h"
#include "qmgr/router/expand.h"

/*
 * Where mail for an address goes, or why it does not: a function of the configuration, the tables
 * (directory.h) and the question. First whether the asker may send there; the first rule that
 * speaks wins:
 *
 *	bad-address         not an address                                   refuse 501 5.1.3
 *	again               relaying was granted before (asked by qmgr)      goes on
 *	local               class local or bounced                           goes on
 *	submission          class submission, client in submission_networks  goes on
 *	submission-denied   class submission otherwise                       refuse 550 5.7.1
 *	local-domains       domain in local_domains                          goes on
 *	virtual-domains     domain in virtual_domains                        goes on
 *	relay-networks      client in relay_networks                         goes on
 *	relay-domains       domain in relay_domains                          goes on
 *	postmaster          postmaster of this host (RFC 5321 4.5.1)         goes on
 *	relay-denied        anything else                                    refuse 554 5.7.1
 *
 * Then where to. Each of these names itself as the rule; where none does, the one above stays:
 *
 *	virtual, alias      what the tables say (expand.h)                   expand
 *	alias-loop          names that lead nowhere but back                 refuse 550 5.4.6
 *	alias-trouble       a table cannot be read, or says too much         temp 451 4.3.5
 *	alias-kind          a command, file or list in a file                temp 451 4.3.5
 *	unknown-user        no such user of a local or virtual domain        refuse 550 5.1.1
 *	no-mailbox          a user below local_uid_min without an alias      temp 451 4.3.5
 *	users               the users cannot be looked up now                temp 451 4.3.5
 *	route-table         what the table of routes says
 *	no-route            an empty route                                   refuse 550 5.1.2
 *
 * Next hops: the table of routes, else the domain's route, else relay_host, else the domain's mail
 * exchangers.
 *
 * Class local hears no refusal of an unknown user at RCPT, nor anybody one of a user without a
 * mailbox: such mail is accepted as an expansion yet to be made, and qmgr hears the truth
 * (sendmail(8) has a bounce follow, as its callers expect).
 */
enum { QUESTION_RCPT = 0, QUESTION_AGAIN = 1, QUESTION_RESULT = 2 };

struct question {
	uint8_t class;
	/* QUESTION_: at RCPT; by qmgr; by qmgr, and it is what an expansion came to */
	uint8_t again;
	bool has_client;
	uint8_t client[16];
	struct slice login, sender, rcpt;
};

struct decision {
	bool later; /* a thread was asked: nothing is decided yet */
	enum route_action action;
	uint16_t code;
	uint8_t enh[3];
	const char *text;   /* constant, or in the arena */
	const char *rule;   /* constant, or as long as the configuration */
	struct route route; /* ROUTE_DELIVER; slices in the arena or the configuration */
	struct slice *list; /* ROUTE_EXPAND; none where it is left to qmgr's question */
	size_t nlist;
};

void decide(const struct conf *c, const struct directory *dir, const struct question *q,
    struct arena *a, struct decision *out);

#endif
