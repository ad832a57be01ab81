/* SPDX-License-Identifier: ISC */
#ifndef LOGD_MAILLINE_H
#define LOGD_MAILLINE_H

#include "base/log.h"

/* One line of a log as Postfix has it. */
struct mailline {
	const char *program; /* "smtpd", "qmgr": behind the name and a slash */
	uint32_t pid;
	enum log_level level;
	uint64_t wall_us;
	struct slice text; /* without a newline; lives until the callee returns */
};

struct mailline_head {
	const char *host, *name;
	bool rfc3339;
};

/*
 * For a file, with its newline: "Nov 21 14:05:09 host name/smtpd[7]: text" or, rfc3339,
 * "2026-11-21T14:05:09.123456+01:00 host name/smtpd[7]: text". In the local time, whose rules are
 * read by the first call of tzset(3): before the root directory changes.
 */
void mailline_put(struct buf *out, const struct mailline_head *h, const struct mailline *line);
/* For a datagram to /dev/log, RFC 3164, facility mail, without a host:
 * "<22>Nov 21 14:05:09 name/smtpd[7]: text" */
void mailline_put_syslog(
    struct buf *out, const struct mailline_head *h, const struct mailline *line);

#endif
