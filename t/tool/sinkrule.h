/* SPDX-License-Identifier: ISC */
#ifndef TOOL_SINKRULE_H
#define TOOL_SINKRULE_H

#include "base/slice.h"

/* Where a rule of the sink may strike. */
enum sink_phase {
	SINK_CONNECT,
	SINK_EHLO,
	SINK_HELO,
	SINK_MAIL,
	SINK_RCPT,
	SINK_DATA,
	SINK_BODY, /* the first bytes of a message */
	SINK_DOT,
	SINK_RSET,
	SINK_NOOP,
	SINK_QUIT,
	SINK_PHASES,
};

/* What a rule makes of one step. */
struct sink_answer {
	const char *reply; /* to be said instead, "" for the usual one; CR LF not yet added */
	bool drop;	   /* close, after the reply where there is one */
	bool stall;	   /* say nothing, ever */
	unsigned delay_ms; /* before anything of this */
};

/*
 * PHASE[,p=0..1][,after=N][,times=N][,match=TEXT][,delay=MS]=REPLY
 *
 * Strikes with probability p, after N steps of that phase have passed, at most so many times, only
 * where the argument of the command holds TEXT. REPLY: "" leaves the usual one; "drop" closes at
 * once; "stall" never answers; "!421 text" answers and closes; anything else is said. A "\n" in it
 * starts a new line. Rules are tried in the order given; the first that strikes is it.
 * Returns 0 or -EINVAL. `text` must outlive the rules; it is written to.
 */
int sinkrule_add(char *text);
void sinkrule_seed(uint64_t seed);
/* True when a rule strikes. */
bool sinkrule_strikes(enum sink_phase phase, struct slice arg, struct sink_answer *a);

#endif
