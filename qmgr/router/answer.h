/* SPDX-License-Identifier: ISC */
#ifndef ROUTER_ANSWER_H
#define ROUTER_ANSWER_H

#include "ipc/peer.h"
#include "qmgr/router/decide.h"

/* What router holds while it serves. */
struct router {
	const struct conf *conf;
	struct names *names;
	struct route_sealer *sealer;
	uint8_t key[ROUTE_KEY];
	struct arena arena;
	uint64_t answered, refused, temp;
};

void answer_init(
    struct router *r, const struct conf *conf, struct names *names); /* makes the key */
void answer_fini(struct router *r);
/* One question to one answer, sealed; `out` gets a ROUTE frame. False: malformed. */
bool answer_question(struct router *r, const struct msg_resolve *m, struct buf *out);

#endif
