/* SPDX-License-Identifier: ISC */
#include "smtpd/line.h"

enum line_result
line_next(struct slice in, size_t max, struct slice *line, size_t *len)
{
	struct slice head = slice_head(in, max);
	ptrdiff_t lf = slice_find(head, '\n'), cr;

	if (lf < 0) {
		/* A CR that is followed by something else can be told before the line ends. */
		cr = slice_find(head, '\r');
		if (cr >= 0 && (size_t)cr + 1 < head.n)
			return LINE_BROKEN;
		return head.n < max ? LINE_PART : LINE_LONG;
	}
	*line = slice_head(head, (size_t)lf);
	*len = (size_t)lf + 1;
	cr = slice_find(*line, '\r');
	if (cr < 0 || cr != lf - 1)
		return LINE_BROKEN;
	line->n--;
	return LINE_WHOLE;
}

bool
line_skip(struct slice in, bool *cr, size_t *len)
{
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] == '\n' && *cr) {
			*len = i + 1;
			return true;
		}
		*cr = in.p[i] == '\r';
	}
	*len = in.n;
	return false;
}
