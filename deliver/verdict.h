/* SPDX-License-Identifier: ISC */
#ifndef DELIVER_VERDICT_H
#define DELIVER_VERDICT_H

#include "base/outcome.h"
#include "ipc/route.h"

/*
 * What an event in a phase of the client's dialogue means. One row for each way in which a server
 * can answer or break; t/unit/deliver/test_session.c plays each. Doubt is TEMP; PERM only where the
 * remote 5xx or an RFC says so.
 */
enum happened {
	SAID_2XX,
	SAID_3XX,
	SAID_4XX,
	SAID_421, /* "closing": whatever the phase (RFC 5321 3.8) */
	SAID_5XX,
	SAID_521,     /* 521 and 556: does not take mail at all (RFC 7504) */
	SAID_552,     /* for RCPT: too many recipients, TEMP (RFC 5321 4.5.3.1.10) */
	SAID_GARBAGE, /* no reply by the grammar, or beyond its limits */
	CONN_LOST,
	CONN_TIMEOUT,
	HAPPENED_COUNT,
};

/* Whom the conclusion is about. */
enum about {
	ABOUT_NOBODY, /* go on */
	ABOUT_RCPT,   /* the recipient that was asked about */
	ABOUT_OPEN,   /* all recipients of the transaction without a conclusion */
};

/* What becomes of the connection. */
enum then {
	THEN_GO_ON,
	THEN_RESET,    /* the transaction is over: RSET where one stands open, then the next */
	THEN_HELO,     /* EHLO is not known: try HELO */
	THEN_NEXT_HOP, /* close; the next hop may do better; without one the conclusion holds */
	THEN_CLOSE,
};

struct verdict {
	enum about about;
	enum outcome_kind kind;
	enum then then;
	uint8_t enh[3];	  /* where the server gave none */
	const char *text; /* where it said nothing */
};

const struct verdict *verdict(enum delivery_phase phase, enum happened what);
/* Code of a whole reply to what it is. */
enum happened happened_of(uint16_t code);
const char *happened_word(enum happened what);

#endif
