/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_TELL_H
#define SMTPD_TELL_H

#include "base/buf.h"
#include "smtp/command.h"
#include "smtp/replies.h"

/*
 * What the log is told of a session: each refusal, and at its end what it had said. Verbs that no
 * row stands for here count as unknown.
 */
enum { TELL_VERBS = VERB_STARTTLS + 1 };

struct tell {
	uint16_t said[TELL_VERBS], failed[TELL_VERBS]; /* stay at their highest value */
	uint8_t verb;				       /* the last one */
	bool any, dot;	 /* a command was read; the last was DATA or BDAT, and its end came */
	const char *end; /* why it ended; NULL: as it should, or not yet */
};

void tell_said(struct tell *t, enum verb verb); /* a command line was read */
void tell_failed(struct tell *t, enum verb verb);
/* "MAIL", "END-OF-MESSAGE", "CONNECT" before any command, "UNKNOWN" */
const char *tell_where(const struct tell *t);
/* "ehlo=1 mail=1 rcpt=1/3 quit=1 commands=4/6": those that succeeded / all, where they differ */
void tell_counts(const struct tell *t, struct buf *out);

struct session;
/* Event "reject": what the client was refused, with the reply as it got it. */
void tell_reject(struct session *s, enum reply reply, struct slice to);
/* The same for a recipient, in the words of router. where: its verb; rule may be empty. */
void tell_refused(struct session *s, struct slice to, struct slice text, struct slice rule);
void tell_connect(const struct session *s);
void tell_disconnect(const struct session *s);

#endif
