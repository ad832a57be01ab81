/* SPDX-License-Identifier: ISC */
#ifndef CTL_SUBMIT_MESSAGE_H
#define CTL_SUBMIT_MESSAGE_H

#include "base/arena.h"
#include "base/buf.h"

/*
 * The message that sendmail(8) submits, made of what was on stdin and on the command line: bytes
 * in, envelope and message out. Asks no clock, file or process for anything: all that stands in the
 * rules.
 */
struct submit_rules {
	bool extract;	     /* -t: recipients from the header too */
	bool complete;	     /* add what is missing, complete addresses; not for -G */
	bool origin_sure;    /* smtpd said it; else the envelope is left for smtpd to complete */
	struct slice origin; /* the domain of bare addresses */
	struct slice login;  /* of the caller, or "uid-N" */
	struct slice name;   /* full name; may be empty, any bytes */
	bool sender_given;   /* -f */
	struct slice sender; /* its argument */
	const struct slice *words; /* operands: each an address list */
	size_t n_words;
	uint64_t wall_us;
	int zone_min;	 /* east of UTC */
	uint64_t unique; /* random, for the Message-ID */
};

struct submit_message {
	struct slice sender;	  /* without brackets; empty: the null sender */
	bool sender_bare;	  /* it waits for smtpd to complete it */
	const struct slice *rcpt; /* each once */
	size_t n_rcpt;
	const struct slice *bad; /* what no address could be made of, as it was written */
	size_t n_bad;
	bool utf8;	   /* some address of the envelope is not ASCII */
	bool eight_bit;	   /* header or body is not */
	struct buf header; /* with the empty line, CR LF */
	struct slice body; /* of the text; CR LF */
	struct arena arena;
};

enum submit_verdict {
	SUBMIT_OK,	     /* at least one recipient */
	SUBMIT_BAD_SENDER,   /* the argument of -f is no address */
	SUBMIT_NO_RECIPIENT, /* none was named */
	SUBMIT_ALL_BAD,	     /* some were named, all in bad */
};

/* Whether login or name will stand in it: to ask who the caller is costs as much as the rest. */
bool submit_message_names_caller(struct slice text, const struct submit_rules *rules);

/*
 * text: from submit_text.h; *out borrows its body. *out is to be given back whatever the verdict
 * is; header and body are set by SUBMIT_OK and SUBMIT_ALL_BAD.
 */
enum submit_verdict submit_message_build(
    struct slice text, const struct submit_rules *rules, struct submit_message *out);
void submit_message_fini(struct submit_message *m);

/* The same reading of an operand, for -bv: each address of the words, completed, in rcpt and bad.
 */
void submit_message_operands(const struct submit_rules *rules, struct submit_message *out);

#endif
