/* SPDX-License-Identifier: ISC */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "base/buf.h"

/*
 * Replies as a client hears them (RFC 5321 section 4.2.1, enhanced codes RFC 2034 and 3463), read
 * as the bytes come in. A line may end in LF alone: nothing can be smuggled past a client so.
 */
enum { REPLY_LINES_MAX = 64, REPLY_BYTES_MAX = 64 * 1024 };

struct reply_in {
	uint16_t code;	   /* 200 to 599 */
	uint8_t enh[3];	   /* of the first line that has one; {0,0,0}: none */
	struct slice text; /* lines parted by "\n", codes taken off, control bytes shown as "?" */
	unsigned lines;
};

struct reply_parser {
	struct buf text; /* what reply_in.text borrows */
	struct buf part; /* a line that has not ended */
	uint16_t code;
	uint8_t enh[3];
	unsigned lines;
	size_t bytes;
	bool done; /* the last reply was handed out: the next byte begins a new one */
};

enum reply_step {
	REPLY_MORE, /* all input used, the reply goes on */
	REPLY_DONE, /* *used bytes end it; *out is set, its text lives until the next feed */
	REPLY_BAD,  /* no reply, or beyond the limits: the connection is worth nothing any more */
};

/* A zeroed parser is ready. Bytes behind *used belong to the next reply. */
enum reply_step reply_feed(
    struct reply_parser *p, struct slice in, size_t *used, struct reply_in *out);
void reply_parser_reset(struct reply_parser *p); /* for a new connection; memory is kept */
void reply_parser_fini(struct reply_parser *p);

/*
 * Takes "5.7.1 " off the front of *text. A number beyond 255 (some say 5.7.509) counts as 0 and
 * the text is left whole, so that nothing is lost. False: there is none, or not of class `class`
 * (2, 4 or 5).
 */
bool reply_take_enh(struct slice *text, unsigned class, uint8_t enh[3]);

#endif
