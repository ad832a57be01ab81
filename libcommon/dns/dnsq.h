/* SPDX-License-Identifier: ISC */
#ifndef DNS_DNSQ_H
#define DNS_DNSQ_H

#include "dns/dns.h"
#include "io/loop.h"
#include "ipc/msg.h"
#include "ipc/peer.h"

/*
 * The questions that a process has put to dnscache. Each ends in exactly one call of its function,
 * from the loop and never from within dnsq_ask(); identical open questions share one message. When
 * dnscache is late or goes away the answer is DNS_TEMP; what is asked while it is away waits for it
 * up to DNSQ_AWAY_MS. The functions called may ask and cancel, and may not dnsq_free().
 */
struct dnsq;
enum { DNSQ_AWAY_MS = 2000 };

struct dnsq_answer {
	enum dns_status status;
	uint32_t ttl_s;
	unsigned flags;			   /* enum dns_flag */
	struct slice cname, records, text; /* until the function returns */
};
typedef void dnsq_fn(void *arg, const struct dnsq_answer *a);

/* There is no link before dnsq_up(). timeout_ms: for an answer, from the question on. */
struct dnsq *dnsq_new(struct loop *loop, uint64_t timeout_ms);
void dnsq_free(struct dnsq *q); /* open questions are dropped without a call */
void dnsq_timeout(struct dnsq *q, uint64_t timeout_ms);

/* Never 0: a name for dnsq_cancel(). `name` that is no domain name: DNS_NXDOMAIN. */
uint64_t dnsq_ask(struct dnsq *q, struct slice name, enum dns_type type, dnsq_fn *fn, void *arg);
void dnsq_cancel(struct dnsq *q, uint64_t question); /* no matter whether it is still open */

/* For the peer's callbacks: up, down, and DNS_ANSWER (false: it makes no sense, cut the peer). */
void dnsq_up(struct dnsq *q, struct peer *link);
void dnsq_down(struct dnsq *q);
bool dnsq_answered(struct dnsq *q, const struct msg_dns_answer *m);
/* All of it where the link serves nothing else; arg: the struct dnsq. */
extern const struct peer_ops dnsq_peer_ops;

#endif
