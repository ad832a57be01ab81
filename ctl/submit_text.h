/* SPDX-License-Identifier: ISC */
#ifndef CTL_SUBMIT_TEXT_H
#define CTL_SUBMIT_TEXT_H

#include "base/buf.h"

/*
 * What programs pipe into sendmail(8), made into lines that all end in CR LF: LF and CR LF may be
 * mixed, every CR before an LF goes, a CR within a line becomes a blank, a last line without an end
 * gets one. Leading "From " and ">From " lines (mbox, UUCP) are taken off. NUL and 8-bit bytes
 * pass. A line that grows beyond SUBMIT_TEXT_HELD is text, and is put out before its end is known.
 */
enum { SUBMIT_TEXT_HELD = 64 << 10 };

struct submit_text {
	bool dots_literal; /* in: -i, a line of one dot is text; else it ends the message */
	bool started;	   /* a line has been written: "From " lines are text from here on */
	bool done;	   /* the dot was seen: what follows is ignored */
	bool within;	   /* the beginning of a long line has been written, */
	size_t crs;	   /* but for so many CRs behind it */
	struct buf part;   /* a line that has not ended */
	/* the first lines taken off, each with LF: rmail reads the sender there */
	struct buf from_lines;
};

/* Zeroed, with dots_literal set, is ready. Finished lines are appended to *out. */
void submit_text_feed(struct submit_text *t, struct slice chunk, struct buf *out);
void submit_text_end(struct submit_text *t, struct buf *out);
void submit_text_fini(struct submit_text *t);

/*
 * The sender named by UUCP's "From user date remote from host" lines, as "host!user" for the last
 * host; appended to *out. False: the lines name none.
 */
bool submit_text_uucp_sender(struct slice from_lines, struct buf *out);

#endif
