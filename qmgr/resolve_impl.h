/* SPDX-License-Identifier: ISC */
#ifndef QMGR_RESOLVE_IMPL_H
#define QMGR_RESOLVE_IMPL_H

#include "dns/mx.h"
#include "qmgr/qmgr.h"
#include "qmgr/resolve.h"

#include <sys/queue.h>

/* Shared by resolve.c, which finds out a queue's hosts, and resolve_hosts.c, which says which of them may be tried. */
struct question;
struct resolve {
	struct qmgr *q;
	struct queue *queue;
	bool in_line, asking;
	TAILQ_ENTRY(resolve) line;
	/* While asking: */
	unsigned nhops;
	struct mx *mx[ROUTE_HOPS_MAX];
	TAILQ_HEAD(, question) open;
	/* What is known: */
	const struct conf *conf; /* by which it was asked; NULL: nothing is known */
	uint64_t until_ms;
	enum outcome_kind kind;
	uint16_t code;
	uint8_t enh[3];
	char *text;
	bool partial;
	unsigned nhosts, fails;
	struct mx_host *host;
	char *names;
};

/* There are hosts: GO, or LATER where all of them rest. */
enum resolve_says resolve_awake(struct resolve *r);

#endif
