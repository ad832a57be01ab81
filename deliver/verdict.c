/* SPDX-License-Identifier: ISC */
#include "deliver/verdict.h"

#include <assert.h>

#define NOBODY ABOUT_NOBODY, OUTCOME_OK
#define RCPT_TEMP ABOUT_RCPT, OUTCOME_TEMP
#define RCPT_PERM ABOUT_RCPT, OUTCOME_PERM
#define OPEN_OK ABOUT_OPEN, OUTCOME_OK
#define OPEN_TEMP ABOUT_OPEN, OUTCOME_TEMP
#define OPEN_PERM ABOUT_OPEN, OUTCOME_PERM

#define WEIRD "the server's reply makes no sense here"
#define GARBAGE "the server's reply cannot be read"
#define LOST(where) "the connection was lost " where
#define LATE(where) "no reply in time " where

/*
 * When the next host is tried (RFC 5321 5.1): where a host could not be reached, greeted with
 * anything but 220, or broke off before content was under way. A 4xx to MAIL, RCPT or DATA is the
 * word of a host that works, about this sender or recipient (greylisting, a full mailbox): its
 * equals would say the same, and asking them all at once is what such policies count. The message
 * waits.
 */
/* A whole row of phase P where silence, loss and nonsense mean the same: TEMP, and the next hop may
 * try. */
#define BROKEN(P, where)                                                         \
	[P][SAID_GARBAGE] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 5, 0 }, GARBAGE },  \
	[P][CONN_LOST] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 4, 2 }, LOST(where) }, \
	[P][CONN_TIMEOUT] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 4, 2 }, LATE(where) }

/* Once content is under way another hop would make a duplicate certain where it is now only
 * possible. */
#define BROKEN_LATE(P, where)                                                 \
	[P][SAID_GARBAGE] = { OPEN_TEMP, THEN_CLOSE, { 4, 5, 0 }, GARBAGE },  \
	[P][CONN_LOST] = { OPEN_TEMP, THEN_CLOSE, { 4, 4, 2 }, LOST(where) }, \
	[P][CONN_TIMEOUT] = { OPEN_TEMP, THEN_CLOSE, { 4, 4, 2 }, LATE(where) }

static const struct verdict table[PHASE_COUNT][HAPPENED_COUNT] = {
	[PHASE_CONNECT][CONN_LOST] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 4, 1 }, "no connection" },
	[PHASE_CONNECT][CONN_TIMEOUT] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 4, 1 },
	    "no connection in time" },

	[PHASE_BANNER][SAID_2XX] = { NOBODY, THEN_GO_ON, { 0 }, "" },
	[PHASE_BANNER][SAID_3XX] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 5, 0 }, WEIRD },
	[PHASE_BANNER][SAID_4XX] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 3, 2 }, "" },
	[PHASE_BANNER][SAID_421] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 3, 2 }, "" },
	/* 554 says that there is no service here, not that the recipient is wrong (RFC 5321 3.1).
	 */
	[PHASE_BANNER][SAID_5XX] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 3, 2 }, "" },
	[PHASE_BANNER][SAID_552] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 3, 2 }, "" },
	[PHASE_BANNER][SAID_521] = { OPEN_PERM, THEN_NEXT_HOP, { 5, 3, 2 }, "" },
	BROKEN(PHASE_BANNER, "before the greeting"),

	[PHASE_EHLO][SAID_2XX] = { NOBODY, THEN_GO_ON, { 0 }, "" },
	[PHASE_EHLO][SAID_3XX] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 5, 0 }, WEIRD },
	[PHASE_EHLO][SAID_4XX] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 3, 0 }, "" },
	[PHASE_EHLO][SAID_421] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 3, 2 }, "" },
	/* To EHLO: the server is old. To HELO: session.c takes the next row, PHASE_NONE. */
	[PHASE_EHLO][SAID_5XX] = { NOBODY, THEN_HELO, { 0 }, "" },
	[PHASE_EHLO][SAID_552] = { NOBODY, THEN_HELO, { 0 }, "" },
	[PHASE_EHLO][SAID_521] = { OPEN_PERM, THEN_NEXT_HOP, { 5, 3, 2 }, "" },
	BROKEN(PHASE_EHLO, "after EHLO"),
	[PHASE_NONE][SAID_5XX] = { OPEN_PERM, THEN_NEXT_HOP, { 5, 0, 0 }, "" },

	[PHASE_MAIL][SAID_2XX] = { NOBODY, THEN_GO_ON, { 0 }, "" },
	[PHASE_MAIL][SAID_3XX] = { OPEN_TEMP, THEN_CLOSE, { 4, 5, 0 }, WEIRD },
	[PHASE_MAIL][SAID_4XX] = { OPEN_TEMP, THEN_RESET, { 4, 0, 0 }, "" },
	[PHASE_MAIL][SAID_421] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 3, 2 }, "" },
	[PHASE_MAIL][SAID_5XX] = { OPEN_PERM, THEN_RESET, { 5, 0, 0 }, "" },
	[PHASE_MAIL][SAID_552] = { OPEN_PERM, THEN_RESET, { 5, 3, 4 }, "" },
	[PHASE_MAIL][SAID_521] = { OPEN_PERM, THEN_RESET, { 5, 3, 2 }, "" },
	BROKEN(PHASE_MAIL, "after MAIL"),

	[PHASE_RCPT][SAID_2XX] = { NOBODY, THEN_GO_ON, { 0 }, "" },
	[PHASE_RCPT][SAID_3XX] = { RCPT_TEMP, THEN_CLOSE, { 4, 5, 0 }, WEIRD },
	[PHASE_RCPT][SAID_4XX] = { RCPT_TEMP, THEN_GO_ON, { 4, 0, 0 }, "" },
	[PHASE_RCPT][SAID_421] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 3, 2 }, "" },
	[PHASE_RCPT][SAID_5XX] = { RCPT_PERM, THEN_GO_ON, { 5, 0, 0 }, "" },
	[PHASE_RCPT][SAID_552] = { RCPT_TEMP, THEN_GO_ON, { 4, 5, 3 }, "" },
	[PHASE_RCPT][SAID_521] = { RCPT_PERM, THEN_GO_ON, { 5, 3, 2 }, "" },
	BROKEN(PHASE_RCPT, "after RCPT"),

	[PHASE_DATA][SAID_2XX] = { OPEN_TEMP, THEN_CLOSE, { 4, 5, 0 }, WEIRD },
	[PHASE_DATA][SAID_3XX] = { NOBODY, THEN_GO_ON, { 0 }, "" },
	[PHASE_DATA][SAID_4XX] = { OPEN_TEMP, THEN_RESET, { 4, 0, 0 }, "" },
	[PHASE_DATA][SAID_421] = { OPEN_TEMP, THEN_NEXT_HOP, { 4, 3, 2 }, "" },
	[PHASE_DATA][SAID_5XX] = { OPEN_PERM, THEN_RESET, { 5, 0, 0 }, "" },
	[PHASE_DATA][SAID_552] = { OPEN_PERM, THEN_RESET, { 5, 3, 4 }, "" },
	[PHASE_DATA][SAID_521] = { OPEN_PERM, THEN_RESET, { 5, 3, 2 }, "" },
	BROKEN(PHASE_DATA, "after DATA"),

	/* A reply while content is still going out: no stays no, a yes is none. */
	[PHASE_BODY][SAID_2XX] = { OPEN_TEMP, THEN_CLOSE, { 4, 5, 0 }, WEIRD },
	[PHASE_BODY][SAID_3XX] = { OPEN_TEMP, THEN_CLOSE, { 4, 5, 0 }, WEIRD },
	[PHASE_BODY][SAID_4XX] = { OPEN_TEMP, THEN_CLOSE, { 4, 0, 0 }, "" },
	[PHASE_BODY][SAID_421] = { OPEN_TEMP, THEN_CLOSE, { 4, 3, 2 }, "" },
	[PHASE_BODY][SAID_5XX] = { OPEN_PERM, THEN_CLOSE, { 5, 0, 0 }, "" },
	[PHASE_BODY][SAID_552] = { OPEN_PERM, THEN_CLOSE, { 5, 3, 4 }, "" },
	[PHASE_BODY][SAID_521] = { OPEN_PERM, THEN_CLOSE, { 5, 3, 2 }, "" },
	BROKEN_LATE(PHASE_BODY, "while the message was sent"),

	[PHASE_DOT][SAID_2XX] = { OPEN_OK, THEN_RESET, { 2, 0, 0 }, "" },
	[PHASE_DOT][SAID_3XX] = { OPEN_TEMP, THEN_CLOSE, { 4, 5, 0 }, WEIRD },
	[PHASE_DOT][SAID_4XX] = { OPEN_TEMP, THEN_RESET, { 4, 0, 0 }, "" },
	[PHASE_DOT][SAID_421] = { OPEN_TEMP, THEN_CLOSE, { 4, 3, 2 }, "" },
	[PHASE_DOT][SAID_5XX] = { OPEN_PERM, THEN_RESET, { 5, 0, 0 }, "" },
	[PHASE_DOT][SAID_552] = { OPEN_PERM, THEN_RESET, { 5, 3, 4 }, "" },
	[PHASE_DOT][SAID_521] = { OPEN_PERM, THEN_RESET, { 5, 3, 2 }, "" },
	BROKEN_LATE(PHASE_DOT, "after the end of the message; it may have been taken"),

	/* RSET speaks of no mail: any trouble costs the connection alone. */
	[PHASE_RSET][SAID_2XX] = { NOBODY, THEN_GO_ON, { 0 }, "" },
	[PHASE_RSET][SAID_3XX] = { NOBODY, THEN_CLOSE, { 0 }, "" },
	[PHASE_RSET][SAID_4XX] = { NOBODY, THEN_CLOSE, { 0 }, "" },
	[PHASE_RSET][SAID_421] = { NOBODY, THEN_CLOSE, { 0 }, "" },
	[PHASE_RSET][SAID_5XX] = { NOBODY, THEN_CLOSE, { 0 }, "" },
	[PHASE_RSET][SAID_552] = { NOBODY, THEN_CLOSE, { 0 }, "" },
	[PHASE_RSET][SAID_521] = { NOBODY, THEN_CLOSE, { 0 }, "" },
	[PHASE_RSET][SAID_GARBAGE] = { NOBODY, THEN_CLOSE, { 0 }, "" },
	[PHASE_RSET][CONN_LOST] = { NOBODY, THEN_CLOSE, { 0 }, "" },
	[PHASE_RSET][CONN_TIMEOUT] = { NOBODY, THEN_CLOSE, { 0 }, "" },
};

const struct verdict *
verdict(enum delivery_phase phase, enum happened what)
{
	const struct verdict *v = &table[phase][what];

	assert(v->text != NULL); /* a row that is missing is a bug of this table */
	return v;
}

enum happened
happened_of(uint16_t code)
{

	if (code == 421)
		return SAID_421;
	if (code == 521 || code == 556)
		return SAID_521;
	if (code == 552)
		return SAID_552;
	switch (code / 100) {
	case 2:
		return SAID_2XX;
	case 3:
		return SAID_3XX;
	case 4:
		return SAID_4XX;
	case 5:
		return SAID_5XX;
	}
	return SAID_GARBAGE;
}

const char *
happened_word(enum happened what)
{
	static const char *const words[] = { "2xx", "3xx", "4xx", "421", "5xx", "521", "552",
		"garbage", "lost", "timeout" };

	return words[what];
}
