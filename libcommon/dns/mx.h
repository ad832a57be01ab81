/* SPDX-License-Identifier: ISC */
#ifndef DNS_MX_H
#define DNS_MX_H

#include "base/addr.h"
#include "base/outcome.h"
#include "dns/dns.h"

/*
 * Where mail for a name goes (RFC 5321 5.1, RFC 7505): answers come in, a list of addresses or a
 * verdict comes out. It asks nobody itself:
 *
 *	m = mx_new(...);
 *	while (mx_ask(m, &question))	put it; each answer to mx_answer(), in any order,
 *					after which there may be further questions
 *	when mx_done(m)			mx_conclude()
 *
 * Doubt is TEMP. PERM only where every question that matters was answered, and the name is the
 * recipient's own: next hops that somebody configured are never a reason to give mail up.
 */
enum {
	MX_EXCHANGERS_MAX = 32, /* the best so many of a domain */
	MX_ADDRS_MAX = 8,	/* of one exchanger and family */
	MX_HOSTS_MAX = 32,
	MX_TEXT_MAX = 400,
};

/* Who we are: mail is not sent to ourselves, nor to those that would send it back to us. */
struct mx_self {
	const char *hostname;
	const struct addr *at; /* where we listen */
	size_t n;
};

enum mx_flag {
	MX_LOOK = 1 << 0, /* the name may have mail exchangers; else its addresses are it */
	MX_OWN = 1 << 1,  /* the recipient's own domain */
	MX_IPV4 = 1 << 2, /* families that may be used */
	MX_IPV6 = 1 << 3,
	MX_IPV6_FIRST = 1 << 4, /* of a host that has both */
};

struct mx_host {
	const char *name; /* of the exchanger; lives as long as the struct mx */
	uint8_t ip[16];
	uint16_t port;
	uint8_t rank;	   /* rises with the preference; equal ones are to be rotated */
	uint8_t exchanger; /* which of them, from 0 */
	uint8_t family;	   /* 0 before 1, within one exchanger */
};

struct mx_question {
	unsigned number;
	enum dns_type type;
	const char *name;
};

struct mx_answer {
	enum dns_status status;
	uint32_t ttl_s;
	struct slice cname, records, text; /* as in DNS_ANSWER */
};

struct mx_result {
	enum outcome_kind kind; /* OK: there are hosts */
	uint16_t code;
	uint8_t enh[3];
	char text[MX_TEXT_MAX + 1];
	uint32_t ttl_s; /* the shortest heard */
	bool partial;	/* there may be more hosts than these */
	unsigned nhosts;
	struct mx_host host[MX_HOSTS_MAX]; /* by rank, exchanger, family */
};

struct mx;
/* name: a domain name. self: only looked at with MX_LOOK; both are copied or used at once. */
struct mx *mx_new(struct slice name, uint16_t port, unsigned flags, const struct mx_self *self);
void mx_free(struct mx *m);
bool mx_ask(struct mx *m, struct mx_question *out); /* the next one; false: none for now */
/* Each question once. */
void mx_answer(struct mx *m, unsigned number, const struct mx_answer *a);
bool mx_done(const struct mx *m);
void mx_conclude(struct mx *m, struct mx_result *out);

/* Brings hosts of equal rank into random order: exchangers, then the addresses of each. */
void mx_shuffle(struct mx_host *host, unsigned n, uint64_t (*random)(void *arg), void *arg);

#endif
