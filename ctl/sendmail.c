/* SPDX-License-Identifier: ISC */
#include "ctl/sendmail.h"

#include "base/die.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * sendmail, send-mail, mailq, newaliases, rmail, hoststat, purgestat, runq.
 *
 * User: the caller's; no set-id bit, no capability, no configuration, no name server, no network.
 * Sockets: connects to run/submit/s (stream, SMTP) and run/ctl/qmgr (control). Files: writes one
 * file into the drop folder when nothing listens, and one without a name, there or in /var/tmp,
 * while a message is a large one; reads /etc/mailname and the passwd entry of the caller where
 * there are such. Called by anything: with descriptors closed or left open, in a folder that it may
 * not read; and often, so that it is a static program where it can be (rules.mk): the loader and
 * the start of a large C library cost more than its work. What such a library alone has is called
 * by syscall() here.
 */

static void
fix_descriptors(void)
{
	int fd;

	/* The lowest free number is taken: what is closed of 0, 1, 2 is filled in order. */
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	/* Whoever waits for the end of a pipe must not wait for us. */
	syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0);
}

static void
set_places(struct sendmail_places *at)
{
	const char *root = getenv("ANGARIUM_ROOT");
	char run[3072] = "/run/angarium", drop[3072] = "/var/spool/angarium/drop";

	if (root != NULL && root[0] != '\0') {
		if (root[0] != '/' || strlen(root) > 3000)
			die(EXIT_USAGE, "ANGARIUM_ROOT is no absolute path");
		snprintf(run, sizeof run, "%s/run", root);
		snprintf(drop, sizeof drop, "%s/drop", root);
	}
	snprintf(at->submit, sizeof at->submit, "%s/submit", run);
	snprintf(at->ctl, sizeof at->ctl, "%s/ctl", run);
	snprintf(at->drop, sizeof at->drop, "%s", drop);
}

/* newaliases stands beside us, or where the commands for all are. It knows the configuration; we do not. */
static int
rebuild_aliases(const struct sendmail_options *o)
{
	static const char *const names[] = { "newaliases", "../bin/newaliases" };
	char self[3000], path[3072];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *slash;

	if (getuid() != 0) {
		complain("only root may rebuild the alias database");
		return EXIT_NOPERM;
	}
	self[n < 0 ? 0 : n] = '\0';
	slash = strrchr(self, '/');
	for (unsigned i = 0; slash != NULL && i < sizeof names / sizeof *names; i++) {
		struct stat there, here;

		snprintf(path, sizeof path, "%.*s/%s", (int)(slash - self), self, names[i]);
		/* In an older installation it is another name of ours. */
		if (stat(path, &there) != 0 || stat(self, &here) != 0 ||
		    there.st_ino == here.st_ino)
			continue;
		if (o->aliases != NULL)
			execl(path, "newaliases", "-A", o->aliases, (char *)NULL);
		else
			execl(path, "newaliases", (char *)NULL);
	}
	complain("newaliases is not installed beside sendmail");
	return EXIT_UNAVAILABLE;
}

static int
no_daemon(void)
{
	if (getuid() != 0) {
		complain("only root may start the mail system");
		return EXIT_NOPERM;
	}
	complain("the services are started by the system's service manager");
	return EXIT_UNAVAILABLE;
}

static int
run(const struct sendmail_options *o, const struct sendmail_places *at)
{
	switch (o->mode) {
	case SENDMAIL_SUBMIT:
		return sendmail_submit(o, at);
	case SENDMAIL_SMTP:
		return sendmail_smtp(at);
	case SENDMAIL_VERIFY:
		return sendmail_verify(o, at);
	case SENDMAIL_QUEUE:
		return sendmail_queue(at);
	case SENDMAIL_FLUSH:
		return sendmail_flush(o, at);
	case SENDMAIL_ALIASES:
		return rebuild_aliases(o);
	case SENDMAIL_DAEMON:
		return no_daemon();
	case SENDMAIL_HOST_STATUS: /* none is kept */
	case SENDMAIL_NOTHING:
		return 0;
	case SENDMAIL_VERSION:
		printf("Version Angarium\n");
		return 0;
	}
	abort();
}

int
main(int argc, char *argv[])
{
	static struct sendmail_places at;
	struct sendmail_options o;
	char why[300];
	int code;

	fix_descriptors();
	/* A file size limit and a closed pipe are errors to be told, not ends to be died of. */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (sendmail_options_parse(argc, argv, &o, why, sizeof why) < 0)
		die(EXIT_USAGE, "%s", why);
	set_places(&at);
	code = run(&o, &at);
	if (fflush(stdout) != 0 && code == 0 && o.mode != SENDMAIL_SUBMIT)
		code = EXIT_TEMP;
	return code;
}
