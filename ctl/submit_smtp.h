/* SPDX-License-Identifier: ISC */
#ifndef CTL_SUBMIT_SMTP_H
#define CTL_SUBMIT_SMTP_H

#include "base/arena.h"
#include "ctl/submit_link.h"
#include "ctl/submit_rest.h"

/* A message to be handed over, by socket or drop folder. All of it is borrowed. */
struct submit_request {
	struct slice sender; /* without brackets; empty: the null sender */
	const struct slice *rcpt;
	size_t n_rcpt;
	struct slice header, body;	/* CR LF lines; one goes straight behind the other */
	const struct submit_rest *rest; /* and this behind both; NULL: nothing */
	bool utf8;			/* addresses beyond ASCII */
	bool eight_bit, seven_bit;	/* the content is, or was said to be */
	struct slice ret;		/* FULL, HDRS or empty */
	struct slice notify;		/* for each recipient, or empty */
	struct slice envid;		/* xtext, or empty */
};

enum { SUBMIT_PIECE_BYTES = 64 * 1024 }; /* of the rest, read at a time */

/* What the server said of itself. */
struct submit_server {
	unsigned ext; /* smtp/ext.h */
	uint64_t size_bytes;
	struct buf origin; /* empty: it did not say */
};

struct submit_refusal {
	struct slice rcpt, text; /* text without the code */
	uint16_t code;
	uint8_t enh[3];
};

enum submit_result {
	SUBMIT_ACCEPTED,   /* 250 to the dot: the message is on stable storage */
	SUBMIT_NONE_TAKEN, /* 5xx to each recipient */
	SUBMIT_REFUSED,	   /* 5xx to the message, or it is beyond the server's limit */
	SUBMIT_TEMPORARY,  /* a clear no for now: storage is full, or 4xx to the dot */
	SUBMIT_UNREACHED,  /* nothing was stored and nobody can take it: the drop folder may */
	SUBMIT_DOUBT,	   /* the end came between the dot and its reply: it may be stored */
};

/* The outcome and the words for it. A zeroed one is ready; texts stand in its arena. */
struct submit_answer {
	enum submit_result result;
	uint16_t code; /* of the deciding reply; 0: there was none */
	uint8_t enh[3];
	struct slice text;
	struct submit_refusal *refused; /* recipients refused with 5xx */
	size_t n_refused;
	struct arena arena;
};

/* Connects, hears the greeting, says EHLO. 0, or -errno: nobody serves there. The link is then
 * closed. */
int submit_smtp_open(struct submit_link *l, struct submit_server *server, const char *folder);
void submit_smtp_quit(struct submit_link *l); /* and close */
void submit_server_fini(struct submit_server *s);

/* One transaction, after which the link is to be closed: behind the dot QUIT was said already. */
void submit_smtp_send(struct submit_link *l, const struct submit_server *server,
    const struct submit_request *r, struct submit_answer *out);
void submit_answer_fini(struct submit_answer *a);

/*
 * Asks for one recipient (RSET, MAIL, RCPT), without a message; may be repeated. *out holds RCPT's
 * reply, or the first that was not 250; its text lives until the next reply. 0 or -errno.
 */
int submit_smtp_verify(
    struct submit_link *l, struct slice sender, struct slice rcpt, struct reply_in *out);

#endif
