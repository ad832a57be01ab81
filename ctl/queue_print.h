/* SPDX-License-Identifier: ISC */
#ifndef CTL_QUEUE_PRINT_H
#define CTL_QUEUE_PRINT_H

#include "base/buf.h"

/*
 * The list of the queue as mailq(1) shows it, in the layout that Postfix's users and their scripts
 * know. In: qmgr's answer to the control verb "mailq", lines of fields parted by TAB,
 *
 *	M <id> <state> <size> <arrival ms since 1970> <sender>
 *	R <recipient> <state> <reason>
 *
 * recipients behind their message; state: active, hold, expired or another word; the sender may be
 * empty; "\t", "\n", "\\" within a field stand for what they would break. Lines of other letters
 * are passed over. Times are shown by TZ.
 */
struct queue_print {
	struct buf part;   /* a line that has not ended */
	struct buf reason; /* the one shown last */
	uint64_t messages, bytes;
	unsigned malformed; /* lines that could not be read */
};

/* Zeroed is ready. Pieces may be cut anywhere. */
void queue_print_feed(struct queue_print *q, struct slice piece, struct buf *out);
/* The last line: "-- 3 Kbytes in 2 Requests." or "Mail queue is empty". */
void queue_print_end(struct queue_print *q, struct buf *out);
void queue_print_fini(struct queue_print *q);

/* The same line for a field, ready for the list: TAB, then the text with its escapes. */
void queue_print_field(struct buf *line, struct slice value);

#endif
