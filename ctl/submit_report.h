/* SPDX-License-Identifier: ISC */
#ifndef CTL_SUBMIT_REPORT_H
#define CTL_SUBMIT_REPORT_H

#include "ctl/submit_smtp.h"

/*
 * The notice of what was not taken, mailed to the sender (RFC 3464), when the program that called
 * sendmail(8) is told that all is well, or wants errors by mail (-oem).
 */
struct submit_report {
	struct slice sender; /* who gets it; not empty */
	struct slice origin;
	const struct submit_refusal *items; /* code 0: not asked, text says why */
	size_t n_items;
	struct slice original; /* header of the message, with or without its empty line */
	struct slice envid;    /* xtext, or empty */
	uint64_t wall_us;
	int zone_min;
	uint64_t unique;
};

void submit_report_print(const struct submit_report *r, struct buf *header, struct buf *body);

#endif
