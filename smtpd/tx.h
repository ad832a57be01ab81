/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_TX_H
#define SMTPD_TX_H

#include "base/arena.h"
#include "ipc/route.h"
#include "smtp/body.h"
#include "smtp/param.h"
#include "smtp/replies.h"
#include "commit/intake.h"

/* A mail transaction: what is between MAIL and the reply that ends it. */
enum tx_state {
	TX_NONE,  /* no greeting yet */
	TX_READY, /* EHLO or HELO was said */
	TX_MAIL,  /* MAIL was taken */
	TX_RCPT,  /* and a recipient */
	TX_CHUNK, /* and BDAT, but not yet the last one */
};

struct rcpt {
	struct rcpt *next;
	struct slice address;  /* as it is stored, and as router was asked about it */
	struct slice original; /* as the client gave it; p NULL: the same */
	struct slice orcpt;    /* p NULL: not said */
	uint8_t notify;	       /* enum param_notify */
	/* What router answered. route is kept only where it says *deliver*: for all else qmgr asks
	 * itself. */
	struct slice route; /* p NULL: none */
	uint64_t generation;
	uint8_t seal[ROUTE_SEAL];
	/* While it is asked: */
	struct session *session;
	uint32_t token;
	bool asked;
};

struct tx {
	enum tx_state state;
	struct arena arena; /* of all below; empty between transactions */
	struct slice sender;
	struct mail_params params;
	struct rcpt *rcpts, **rcpts_end;
	uint32_t nrcpt;	 /* accepted */
	uint32_t tried;	 /* RCPT commands seen */
	uint32_t *index; /* hash table of the accepted, by address: nindex slots of number + 1 */
	struct rcpt **by_number;
	uint32_t nindex;
	struct letter *letter; /* from DATA to its commit */
	struct body_decoder body;
	uint64_t chunk_left; /* bytes of this BDAT that have not come */
	bool last_chunk;
	enum reply refusal; /* for the end of data; REPLY_COUNT: none yet */
};

/*
 * THE reset of a transaction: afterwards it equals a fresh one in which the greeting was said or
 * not. Whoever waits for an answer about it forgets that first (session.c does).
 */
void tx_reset(struct tx *tx);

/* Has this address been accepted already? Letters of the domain in any case. */
bool tx_has(const struct tx *tx, struct slice address);
/* Accepts a recipient, which stands in the arena. */
void tx_accept(struct tx *tx, struct rcpt *r);

#endif
