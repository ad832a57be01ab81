/* SPDX-License-Identifier: ISC */
#ifndef MAIL_DSN_H
#define MAIL_DSN_H

#include "base/arena.h"
#include "base/buf.h"

/*
 * Delivery status notifications: a report of RFC 6522 with the fields of RFC 3464 (and RFC 6533
 * where addresses are not ASCII), written and read.
 */
struct dsn_rcpt {
	struct slice final_type, final;	      /* "rfc822", address */
	struct slice original_type, original; /* empty: not given; decoded */
	/* "failed", "delayed", "delivered", "relayed", "expanded" */
	struct slice action;
	struct slice status;		     /* "5.1.1" */
	struct slice remote_mta;	     /* without its type; empty: none */
	struct slice diagnostic;	     /* without its type */
	uint64_t attempt_ms, retry_until_ms; /* writing only; 0: not said */
	/* of the bounce, "10 invalid-recipient"; empty: none */
	struct slice class;
	/* Reading only: types, and the whole of Status with what stands behind the code. */
	struct slice remote_type, diagnostic_type, status_text;
};

/* ---- writing ---- */

enum dsn_kind { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED };

struct dsn_facts {
	enum dsn_kind kind;
	bool to_postmaster;  /* of a double bounce */
	bool utf8;	     /* the message was SMTPUTF8: addresses are UTF-8 here too (RFC 6533) */
	bool cut;	     /* the header section returned is not whole */
	struct slice to;     /* address */
	struct slice host;   /* ours */
	struct slice envid;  /* decoded; empty: not given */
	struct slice sender; /* of the message; empty: null */
	struct slice id;     /* its queue id, as text */
	struct slice received_from;
	struct slice references; /* its Message-ID with brackets; empty: none */
	struct slice message_id; /* of the report, with brackets */
	struct slice boundary;	 /* unique; characters that need no quotes */
	struct slice date;	 /* date_text(), now */
	uint64_t arrival_ms;
	int zone_min; /* for the other dates */
	const struct dsn_rcpt *rcpts;
	size_t nrcpt;
	struct slice head, body; /* of the message; body empty: only headers are returned */
};

struct dsn_made {
	size_t head_bytes; /* of *out: the header section, without the empty line */
	bool eight_bit;
};

/*
 * Appends the whole report, lines in CRLF and no longer than 998 bytes. What strangers said is
 * made harmless: controls become "?", long lines are folded or broken; a body that holds a line
 * above 998 bytes, a bare CR or LF, or NUL is left out.
 */
void dsn_print(struct buf *out, const struct dsn_facts *f, struct dsn_made *made);

/* ---- reading ---- */

struct dsn {
	struct slice reporting_mta, envid, arrival; /* without types */
	const struct dsn_rcpt *rcpts;		    /* in the arena */
	size_t nrcpt;
	struct slice returned; /* the third part's content, header section first; empty: none */
};

enum { DSN_RCPTS_MAX = 1000, DSN_DEPTH_MAX = 8 };

/*
 * Finds the first message/delivery-status part of a message (lines in CRLF or LF) and reads it:
 * fields unfolded, ORCPT's xtext decoded. Values point into the message or the arena. False: there
 * is none, or it has no recipient. Takes what real mailers write: fields in any order and case,
 * blocks without Action, content in base64 is not looked into.
 */
bool dsn_read(struct slice message, struct arena *a, struct dsn *out);

#endif
