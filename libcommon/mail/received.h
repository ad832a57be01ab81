/* SPDX-License-Identifier: ISC */
#ifndef MAIL_RECEIVED_H
#define MAIL_RECEIVED_H

#include "base/buf.h"
#include "mail/date.h"

/*
 * The trace field that we put on top (RFC 5321 section 4.4). Bytes in helo and for_ that could not
 * stand in a comment, a word or a path come out as "?".
 *
 *	Received: from HELO ([ADDR])
 *		by HOST with PROTO id ID
 *		for <RCPT> PRIORITY N; DATE
 *
 * and for mail that came from a user of this host:
 *
 *	Received: by HOST (Angarium, from userid UID)
 *		id ID
 *		for <RCPT> PRIORITY N; DATE
 */
struct received {
	struct slice helo;   /* empty: the address literal stands there */
	const uint8_t *addr; /* 16 bytes; NULL: local, uid counts */
	uint32_t uid;
	struct slice host; /* ours */
	const char *proto; /* "ESMTP", "SMTP", "LMTP", "ESMTPS" (RFC 3848); NULL: not said */
	struct slice id;   /* the queue id's text */
	struct slice for_; /* the one recipient; empty: several, or it shall not be told */
	bool has_priority; /* the client said one (RFC 6710 section 4.5) */
	int priority;
	struct slice date; /* date_text() */
};

void received_print(struct buf *out, const struct received *r);

/* A host as somebody wrote it: a name, or an address. */
struct received_host {
	struct slice text; /* empty: none */
	bool is_addr;	   /* text is an address without brackets, in addr */
	uint8_t addr[16];
};

/* What another host says in its Received field. Empty, NULL, false: it does not say. */
struct received_trace {
	struct received_host from; /* as the client called itself, mostly */
	struct received_host peer; /* its address, as its TCP connection had it */
	struct slice peer_name;	   /* and the name that the DNS gives that, without final dot */
	struct received_host helo; /* where it is told apart from `from` */
	const char *greeting;	   /* "HELO", "EHLO", "LHLO": the verb that helo came with */
	struct slice ident;	   /* who: of RFC 1413, an account, an envelope sender */
	struct received_host by;
	struct slice via;
	const char *with; /* a registered name (RFC 3848, 6531): "ESMTPS"; also "HTTP", "local" */
	const char *tls;  /* "TLSv1.3" */
	struct slice cipher;
	struct slice id;   /* without brackets */
	struct slice for_; /* the first; likewise */
	bool dated;
	struct date date;
};

/*
 * Reads the body of a Received field: the clauses of RFC 5321 section 4.4 in any order and case,
 * and, since no two mailers write the same, what is known of their comments. Never fails: what
 * makes no sense is passed over. Slices point into value. It is what a stranger wrote.
 */
void received_read(struct slice value, struct received_trace *out);

#endif
