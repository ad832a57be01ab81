/* SPDX-License-Identifier: ISC */
#ifndef ROUTER_ANSWER_H
#define ROUTER_ANSWER_H

#include "ipc/ctl.h"
#include "ipc/peer.h"
#include "qmgr/router/decide.h"
#include "qmgr/router/tables.h"

#include <bsd/sys/queue.h>

/*
 * Questions and their answers. Most are answered at once; one that waits for a thread is kept, with
 * a deadline (ask_timeout, less a second: the asker has the same), and decided anew when it may.
 */
enum { ANSWER_WAITING_MAX = 1024, ANSWER_LIST_MAX = 256, ANSWER_LIST_BYTES = 32 * 1024 };

struct waiting;

struct router {
	const struct conf *conf;
	struct accounts *accounts;
	struct tables *tables;
	const struct directory *directory; /* tables', or a test's */
	struct route_sealer *sealer;
	uint8_t key[ROUTE_KEY];
	struct arena arena;
	/* The last list that does not fit into one answer, so that its other parts cost nothing. */
	struct {
		struct slice rcpt; /* in its arena, as all of it; p == NULL: none */
		struct decision decision;
		struct arena arena;
	} kept;
	struct loop *loop; /* NULL: nothing waits (tests) */
	struct timer *timer;
	uint64_t look_ms; /* when the tables are looked at again, which answers hold until */
	struct ctl_server *ctl;
	TAILQ_HEAD(, waiting) waits;
	unsigned nwaits;
	uint64_t answered, refused, temp;
};

/* Makes the key. loop may be NULL: for tests. */
void answer_init(struct router *r, const struct conf *conf, struct loop *loop);
void answer_fini(struct router *r);
/* A new generation: its tables. What waits is decided by it. */
void answer_conf(struct router *r, const struct conf *conf);

/* One question of a peer (NULL: to `out` only, where nothing waits). False: malformed. */
bool answer_question(
    struct router *r, struct peer *p, const struct msg_resolve *m, struct buf *out);
/* The same for `angctl route`. */
void answer_call(struct router *r, struct ctl_call *c, const struct question *q);
/* The peer is gone, and its questions with it. */
void answer_forget(struct router *r, const struct peer *p);

#endif
