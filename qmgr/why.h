/* SPDX-License-Identifier: ISC */
#ifndef QMGR_WHY_H
#define QMGR_WHY_H

#include "qmgr/qmgr.h"

/*
 * What an open recipient waits for: always one cause, the one that would hold it longest as things
 * stand. angctl(8) explains each. NAME, word
 */
#define WHY_CAUSES(C)                                                             \
	C(NOT_DUE, "not-due")	  /* deferred: its next try is to come */         \
	C(HELD, "held")		  /* its message, by an operator, a rule or us */ \
	C(SUSPENDED, "suspended") /* by an operator: suspend.h */                 \
	C(LIMIT, "limit")	  /* a limit is reached; which */                 \
	C(UNREACHABLE, "unreachable")                                             \
	C(DNS, "dns")	      /* what its hosts are cannot be told now */         \
	C(RUNNING, "running") /* in delivery now */                               \
	C(BEHIND, "behind")   /* others in its queue come first */                \
	C(LOOKUP, "lookup")   /* its hosts are being looked up */                 \
	C(ROUTING, "routing") /* router is being asked where it goes */           \
	C(ROUTER, "router")   /* router does not answer */                        \
	C(WORKER, "worker")   /* no delivery process is there */                  \
	C(REPORT, "report")   /* given out by a qmgr before us; not reported */   \
	C(NOTICE, "notice")   /* it has ended, and its sender is owed a notice */ \
	C(OVER, "over")	      /* it has ended */

enum why_cause {
#define C(NAME, word) WHY_##NAME,
	WHY_CAUSES(C)
#undef C
};

struct why {
	enum why_cause cause;
	/* what holds it: of a limit its name, of a suspension KIND=NAME or "*", of a hold who; else empty */
	struct buf by;
	uint64_t next_ms; /* when it is tried, as far as is known; UINT64_MAX: that is not known */
	struct buf text;  /* all of it for people, one line */
};

const char *why_word(enum why_cause cause);
/* Zero it first, and give it back with why_fini(). */
void why_find(struct qmgr *q, struct message *m, unsigned rcpt, struct why *out);
void why_fini(struct why *w);
/* One JSON object and a newline: rcpt, address, attempts, cause, by, next_ms, why. */
void why_json(struct qmgr *q, struct message *m, unsigned rcpt, struct buf *out);

#endif
