/* SPDX-License-Identifier: ISC */
#ifndef IPC_ROUTE_H
#define IPC_ROUTE_H

#include "base/addr.h"
#include "base/buf.h"

/* What router answers (ROUTE), smtpd stores in the envelope, qmgr queues by and deliver follows. */
enum route_action {
	ROUTE_DELIVER = 1,
	ROUTE_EXPAND = 2,
	ROUTE_HOLD = 3,
	ROUTE_DROP = 4,
	ROUTE_REFUSE = 5,
	ROUTE_TEMP = 6
};

enum {
	ROUTE_HOPS_MAX = 8,
	ROUTE_TEXT_MAX = 255,
	ROUTE_MAX = 4096,
	ROUTE_SEAL = 16,
	ROUTE_KEY = 32
};

struct route_hop {
	struct slice host; /* a name, or an address as text without brackets */
	uint16_t port;
	bool mx; /* look up mail exchangers of `host`; false: its addresses */
};

/*
 * Encoded: u8 version 1, then transport, pool, tenant, domain as u8 length and bytes, u8 number of
 * hops, each u8 flags (1: mx), u16 port, u8 length and host. Equal routes have equal bytes.
 */
struct route {
	struct slice transport; /* "smtp" */
	struct slice pool;	/* binding or group; empty: default */
	struct slice tenant;
	struct slice domain; /* routing domain, lower case: the queue's key */
	unsigned nhops;
	struct route_hop hops[ROUTE_HOPS_MAX];
};

void route_put(struct buf *out, const struct route *r); /* too long text is a bug (assert) */
bool route_get(struct slice in, struct route *r);	/* slices point into `in` */

/*
 * The seal: first 16 bytes of HMAC-SHA-256 with a key that only router and qmgr hold, over
 * generation, action, route and the recipient as smtpd will store it.
 */
struct route_sealer;
struct route_sealer *route_sealer_new(const uint8_t key[static ROUTE_KEY]);
void route_sealer_free(struct route_sealer *s);
/* Constant time. */
void route_seal(struct route_sealer *s, uint32_t generation, uint8_t action, struct slice route,
    struct slice rcpt, uint8_t seal[static ROUTE_SEAL]);
/* Where a delivery attempt was when it ended. */
bool route_seal_ok(struct route_sealer *s, uint32_t generation, uint8_t action, struct slice route,
    struct slice rcpt, struct slice seal);
#define DELIVERY_PHASES(P)    \
	P(NONE, "none")       \
	P(CONNECT, "connect") \
	P(BANNER, "banner")   \
	P(EHLO, "ehlo")       \
	P(MAIL, "mail")       \
	P(RCPT, "rcpt")       \
	P(DATA, "data")       \
	P(BODY, "body")       \
	P(DOT, "dot")         \
	P(RSET, "rset")       \
	P(LOCAL, "local")
enum delivery_phase {
#define P(NAME, word) PHASE_##NAME,
	DELIVERY_PHASES(P)
#undef P
	    PHASE_COUNT
};
const char *phase_word(uint8_t phase);

#endif
