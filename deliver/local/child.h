/* SPDX-License-Identifier: ISC */
#ifndef LOCAL_CHILD_H
#define LOCAL_CHILD_H

#include "deliver/job.h"
#include "deliver/local/user.h"
#include "priv/sandbox.h"

/*
 * The process of one delivery: looks the user up, becomes it for good, opens the one folder it
 * needs, enters its sandbox, writes, and tells how it went by one packet into a pipe. It trusts
 * nothing but the order it was forked with.
 */
enum { CHILD_TEXT = 400 };

/* Read by a process that does not trust the writer: all of it is checked. */
struct child_report {
	uint8_t kind; /* enum outcome_kind */
	uint8_t enh[3];
	uint16_t code, text_n;
	char text[CHILD_TEXT];
};

struct child_order {
	const struct delivery *d;
	const struct job_rcpt *rcpt;
	const struct conf *conf;
	const struct users *table; /* NULL: NSS */
	const char *lock_mark;	   /* see mbox.h */
	gid_t mail_gid;		   /* of mail_dir's deliveries; 0: none */
	const int *held;	   /* folders for place_name(), see base/place.h */
	unsigned nheld;
	bool sandbox_off;
	int report_fd;
	pid_t stopped; /* child_end(): the process of this delivery */
};

/* In the forked child. */
_Noreturn void child_run(const struct child_order *o);
/*
 * Likewise, for a delivery whose process its user has stopped, which only this user may end: with
 * his rights to signal, but a process of ours, which he cannot stop.
 */
_Noreturn void child_end(const struct child_order *o);

/* The deadline of the child, and what the kernel adds until it ends it. */
enum { CHILD_GRACE_S = 30 };

#endif
