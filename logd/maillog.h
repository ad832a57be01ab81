/* SPDX-License-Identifier: ISC */
#ifndef LOGD_MAILLOG_H
#define LOGD_MAILLOG_H

#include "logd/mailline.h"

/*
 * Events as the lines that Postfix would write, for those who read such lines: pflogsumm, logwatch,
 * fail2ban, grep. One event becomes no line, one, or several; all that a line tells stands in its
 * event, so nothing is remembered of a message.
 *
 * Pure: no descriptor, no clock. Whatever bytes an event holds, a text has no control character, is
 * valid ASCII or UTF-8 as far as it was, and no address within <> can end them.
 */
enum { MAILLOG_TEXT_MAX = 4096 }; /* a longer text is cut */

typedef void maillog_fn(void *arg, const struct mailline *line);

struct maillog {
	maillog_fn *out;
	void *arg;
	uint32_t qmgr_pid;   /* of its last event: it says "queue active" of what smtpd received */
	uint64_t expired_id; /* the message last told to have expired, which is said once */
	struct buf text;
};

/* r is valid (log_record_valid). */
void maillog_event(struct maillog *m, enum service from, const struct log_record *r);
void maillog_fini(struct maillog *m);

#endif
