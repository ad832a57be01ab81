/* SPDX-License-Identifier: ISC */
#ifndef CTL_SENDMAIL_H
#define CTL_SENDMAIL_H

#include "ctl/sendmail_options.h"

/* Where the suite is met. ANGARIUM_ROOT moves them all: nothing here runs with rights of its own.
 */
struct sendmail_places {
	char submit[4096]; /* folder of the submission socket */
	char ctl[4096];	   /* folder of the control sockets */
	char drop[4096];   /* drop folder */
};

/* One function a mode; each returns the exit code. */
int sendmail_submit(const struct sendmail_options *o, const struct sendmail_places *at);
int sendmail_smtp(const struct sendmail_places *at);
int sendmail_verify(const struct sendmail_options *o, const struct sendmail_places *at);
int sendmail_queue(const struct sendmail_places *at);
int sendmail_flush(const struct sendmail_options *o, const struct sendmail_places *at);

#endif
