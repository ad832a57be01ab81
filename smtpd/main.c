/* SPDX-License-Identifier: ISC */
/*
 * smtpd: takes mail in.
 *
 * User _angsmtpd. The parent holds the listening sockets (from init, or bound as root),
 * run/submit/s, the control socket, and connects its workers to qmgr, router and logd; it reads
 * from nobody but its workers. Workers: mx (numbers 1 and up), submission, local; each serves
 * listeners of one class, has no way to open anything, and writes mail through an append-only
 * descriptor that qmgr leases to it. The local one may read and unlink in the drop folder.
 *
 * Sandbox: PROFILE_SMTPD_PARENT; in workers PROFILE_SMTPD_WORKER or PROFILE_SMTPD_LOCAL within it
 * (libcommon/priv/profiles.h).
 */
#include "smtpd/parent.h"

#include <time.h>

int
main(int argc, char *argv[])
{
	static struct daemon d;

	daemon_start(&d, SERVICE_SMTPD, argc, argv);
	tzset(); /* while the zone's file can be read: Received fields tell local time */
	parent_bind(&d);
	daemon_drop(&d, PROFILE_SMTPD_PARENT);
	parent_run(&d);
	return daemon_stop(&d);
}
