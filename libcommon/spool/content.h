/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_CONTENT_H
#define SPOOL_CONTENT_H

#include "base/arena.h"
#include "spool/envelope.h"

#include <sys/uio.h>

/*
 * What goes on the wire: the header section with the envelope's edits applied, then the body.
 * Nothing is copied: the pieces point into the record's bytes. Dots are not doubled; `flags` says
 * whether that is needed.
 *
 * The body begins with the empty line that ended the header. Where it does not (the message went
 * on with a line that is no header field, or has no body), an empty line is put between.
 */
struct content {
	struct iovec *iov; /* in the arena */
	size_t niov;
	size_t nhead;	/* the first of them: header section and empty line; the body is the rest */
	uint64_t bytes; /* of all */
	uint64_t head_bytes; /* of the first nhead, where the body stands apart (sendfile) */
	uint32_t flags;	     /* the record's enum record_flag, with what the edits add */
};

/*
 * head, body, flags: of a verified record; fields: envelope.fields. 0, or -EBADMSG: an edit is
 * malformed or beyond the end.
 */
int content_make(struct content *c, struct slice head, struct slice body, uint32_t flags,
    struct slice fields, struct arena *a);
/*
 * For bodies that are sent by sendfile: no body in iov (bytes == head_bytes). body_first: the
 * first two bytes of the body, or as many as it has.
 */
int content_make_head(struct content *c, struct slice head, struct slice body_first, uint32_t flags,
    struct slice fields, struct arena *a);

/*
 * Takes the next header field off the front of *head: its lines with their CRLF. The ordinals of
 * edits count these. False when none is left.
 */
bool content_field_next(struct slice *head, struct slice *field);

/* Whether these bytes may stand in an edit: whole CRLF lines, none empty, no bare CR, LF, no NUL.
 */
bool content_edit_ok(struct slice bytes);

#endif
