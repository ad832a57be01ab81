/* SPDX-License-Identifier: ISC */
#ifndef TOOL_SOURCEOPT_H
#define TOOL_SOURCEOPT_H

#include "t/tool/net.h"

/* The words of smtpsource's command line: its head says what each is. */
struct sourceopt {
	struct net_addr to;
	int sessions, per_session, rcpts, limit_s;
	long messages, rate, rcpt_wrap, opening; /* rate, wrap, opening 0: none */
	size_t size;
	const char *from, *rcpt, *run, *helo;
	bool pipelining, keep, quiet, idle, stamp;
	int acks, marks; /* descriptors, or -1 */
};

/* Ends the program where they are wrong. Texts are those of argv, or live for ever. */
void sourceopt_read(struct sourceopt *o, int argc, char *argv[]);

#endif
