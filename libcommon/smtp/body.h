/* SPDX-License-Identifier: ISC */
#ifndef SMTP_BODY_H
#define SMTP_BODY_H

#include "base/buf.h"

/*
 * Mail data between DATA and its end (RFC 5321 sections 2.3.8, 4.1.1.4, 4.5.2), both ways, as the
 * bytes come. Only CR LF ends a line; only CR LF . CR LF ends the data (the first CR LF may be that
 * of the DATA command), however the reads are cut.
 */
enum { BODY_LINE_MAX = 998 }; /* without its CRLF and without the dot that stuffing adds */

/* What was seen: of what was decoded, and stored with the message for those who send it on. */
enum body_seen {
	BODY_BARE_CR = 1, /* a CR without LF: such mail is refused */
	BODY_BARE_LF = 2, /* a LF without CR: refused too */
	BODY_NUL = 4,	  /* refused */
	BODY_HAS_DOT = 8, /* a line of the content begins with a dot: must be stuffed when sent */
	BODY_LONG_LINE = 16, /* a line beyond BODY_LINE_MAX: must be folded when sent */
	BODY_EIGHT_BIT = 32,
	BODY_MALFORMED = BODY_BARE_CR | BODY_BARE_LF | BODY_NUL,
	/* None of these, and the content ends in CRLF or is empty: it may go out as it is. */
	BODY_NEEDS_ENCODING = BODY_MALFORMED | BODY_HAS_DOT | BODY_LONG_LINE,
};

/* Zeroed is ready for the first byte behind the CRLF of DATA. */
struct body_decoder {
	uint64_t bytes; /* of content so far */
	size_t line;	/* bytes in the line so far */
	unsigned seen;	/* bits of enum body_seen */
	uint8_t state;	/* of body.c */
	bool done;
};

/*
 * Decodes in: content (lines with CRLF, dots unstuffed) is appended to *out; out == NULL: it is
 * only counted. True: the end was found and *used tells where the next command begins. False: all
 * of `in` was used. A CR or dot at the end of `in` may be held back until the next call.
 * Must not be called again after true.
 */
bool body_decode(struct body_decoder *d, struct slice in, size_t *used, struct buf *out);

/*
 * The content of BDAT (RFC 3030): as body_decode, but nothing in it ends the data and no dot was added. The end
 * completes a last line that has none, so that what is stored is lines.
 */
void body_take(struct body_decoder *d, struct slice in, struct buf *out);
void body_take_end(struct body_decoder *d, struct buf *out);

/* Zeroed is ready. */
struct body_encoder {
	size_t line; /* bytes in the line so far */
	bool cr;     /* a CR waits for what follows */
};

/*
 * The other way: what stands on the wire is clean whatever the content is. Leading dots are
 * doubled, NUL is dropped, a bare CR or LF becomes CR LF, lines beyond BODY_LINE_MAX are folded
 * (CR LF SP, not within a UTF-8 character). May be called as often as there are pieces.
 */
void body_encode(struct body_encoder *e, struct slice content, struct buf *out);
/* Ends the last line where it has not ended, and the data: "." CR LF. */
void body_encode_end(struct body_encoder *e, struct buf *out);

/* Looks content over that did not come through a decoder: bits of enum body_seen. */
unsigned body_look(struct slice content);

#endif
