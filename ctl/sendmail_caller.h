/* SPDX-License-Identifier: ISC */
#ifndef CTL_SENDMAIL_CALLER_H
#define CTL_SENDMAIL_CALLER_H

#include "base/buf.h"

#include <sys/types.h>

/* Who calls: by the real uid, never by the environment. */
struct sendmail_caller {
	uid_t uid;
	struct buf login; /* "uid-N" where the uid has no name */
	struct buf name;  /* full name: given, else $NAME, else of the passwd entry; may be empty */
};
void sendmail_caller_look(struct sendmail_caller *c, const char *given_name);
void sendmail_caller_fini(struct sendmail_caller *c);

/* The domain of bare addresses while smtpd cannot be asked: /etc/mailname, else the node's name. */
void sendmail_caller_origin(struct buf *out);

/* Minutes east of UTC, by TZ, at that time. */
int sendmail_caller_zone_min(uint64_t wall_us);

/* 64 random bits. */
uint64_t sendmail_caller_random(void);

#endif
