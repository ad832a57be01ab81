/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_LINE_H
#define SMTPD_LINE_H

#include "base/slice.h"

/* Command lines, strictly ended by CR LF (RFC 5321 section 2.3.8). */
enum line_result {
	LINE_PART,   /* its end has not come */
	LINE_WHOLE,  /* *line is the line without CR LF, *len the bytes to take */
	LINE_LONG,   /* max bytes stand there without an end */
	LINE_BROKEN, /* a CR or LF stands alone in it */
};

/* Looks at the first line of `in`; max counts its CR LF. Takes nothing. */
enum line_result line_next(struct slice in, size_t max, struct slice *line, size_t *len);

/*
 * The rest of a line that was too long: *len bytes of `in` belong to it. True: and end it. *cr:
 * whether the last byte seen was a CR, from call to call.
 */
bool line_skip(struct slice in, bool *cr, size_t *len);

#endif
