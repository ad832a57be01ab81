/* SPDX-License-Identifier: ISC */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include "base/buf.h"

/*
 * The header section of a message (RFC 5322 section 2.2), borrowed. Lines end in CRLF or LF (local
 * submission). The section ends at an empty line, at a line that is no field, or with the data.
 */
struct header_field {
	struct slice name;  /* without the colon and blanks before it */
	struct slice value; /* behind the colon, folded as it came, without the last line end */
	struct slice whole; /* the field's bytes with all line ends */
};

/*
 * Takes the next field off *in. False: the section has ended and in->p stands at what ended it.
 * Lines that begin with a blank and follow no field end the section too.
 */
bool header_next(struct slice *in, struct header_field *out);

/* Bits of header_scan: which fields there are. */
enum header_has {
	HEADER_FROM = 1 << 0,
	HEADER_SENDER = 1 << 1,
	HEADER_TO = 1 << 2,
	HEADER_CC = 1 << 3,
	HEADER_BCC = 1 << 4,
	HEADER_DATE = 1 << 5,
	HEADER_MESSAGE_ID = 1 << 6,
	HEADER_RESENT_FROM = 1 << 7,
	HEADER_RESENT_SENDER = 1 << 8,
	HEADER_RESENT_TO = 1 << 9,
	HEADER_RESENT_CC = 1 << 10,
	HEADER_RESENT_BCC = 1 << 11,
	HEADER_RESENT_DATE = 1 << 12,
	HEADER_RESENT_MESSAGE_ID = 1 << 13,
	HEADER_RECEIVED = 1 << 14,
	HEADER_RETURN_PATH = 1 << 15,
	HEADER_SUBJECT = 1 << 16,
	HEADER_DELIVERED_TO = 1 << 17,
	HEADER_CONTENT_LENGTH = 1 << 18,
};
/* One of the bits, or 0 for any other name. */
unsigned header_of(struct slice name);

struct header_summary {
	size_t bytes; /* of the fields */
	size_t body;  /* offset of the body: behind the empty line, or at what ended the fields */
	unsigned fields; /* how many */
	unsigned received;
	unsigned has;		 /* bits of enum header_has */
	struct slice message_id; /* value of the first, trimmed, as it came in between */
	bool ended; /* by an empty line; else by something that is no field, or by the data's end */
};
/* One pass over the section; stops after max_bytes of it (0: no limit), `ended` is then false. */
void header_scan(struct slice message, size_t max_bytes, struct header_summary *out);

/* The value up to the first line end that no blank follows: what stands behind is another line's. */
struct slice header_body(struct slice value);
/* Length of the comment at the front (RFC 5322 section 3.2.2: they nest), which begins with "(";
 * 0: it does not end. */
size_t header_comment(struct slice s);

/* Appends a value with its folding undone: line ends gone, blanks at both ends gone. */
void header_unfold(struct buf *out, struct slice value);

#endif
