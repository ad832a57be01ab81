/* SPDX-License-Identifier: ISC */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H

#include "base/slice.h"

/*
 * A command line, split into its verb and the rest (RFC 5321 section 4.1.1). Verbs that some
 * extension defines are known by name even where nobody offers them: 502 is then the true answer,
 * 500 for a word that is none (section 4.2.4).
 */
#define COMMAND_VERBS(V) \
	V(HELO)          \
	V(EHLO)          \
	V(MAIL)          \
	V(RCPT)          \
	V(DATA)          \
	V(RSET)          \
	V(NOOP)          \
	V(VRFY)          \
	V(QUIT)          \
	V(HELP)          \
	V(BDAT)          \
	V(AUTH)          \
	V(STARTTLS)      \
	V(EXPN)          \
	V(ETRN)          \
	V(ATRN)          \
	V(TURN)          \
	V(BURL)          \
	V(LHLO)          \
	V(SEND)          \
	V(SOML)          \
	V(SAML)          \
	V(XCLIENT)       \
	V(XFORWARD)

enum verb {
	VERB_UNKNOWN,
#define V(name) VERB_##name,
	COMMAND_VERBS(V)
#undef V
	    VERB_COUNT,
};

enum {
	COMMAND_LINE_MAX =
	    2048, /* with CRLF: 512 of RFC 5321 and what SIZE, DSN, AUTH, SMTPUTF8 add */
};

struct command {
	enum verb verb;
	struct slice word; /* the verb as it was sent */
	struct slice arg;  /* without blanks at both ends; empty: none */
};

/*
 * Takes a line without its CRLF. False, and VERB_UNKNOWN, where the first word is no verb we know;
 * word and arg are set all the same. The slices point into the line.
 */
bool command_parse(struct slice line, struct command *out);

/* Takes `word` ("FROM:", "TO:") off the front of *arg, whatever its case. False: not there. */
bool command_take(struct slice *arg, const char *word);

/* String of RFC 5321 section 4.1.2 (atom or quoted string), as VRFY, EXPN and HELP take it. */
bool command_string_valid(struct slice arg);

const char *command_verb_word(enum verb verb); /* "MAIL"; "?" for VERB_UNKNOWN */

#endif
