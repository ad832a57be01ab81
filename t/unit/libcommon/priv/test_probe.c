/* SPDX-License-Identifier: ISC */
#include "priv/probe.h"

#include "../../check_main.h"
#include "jail.h"

#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Enters each profile for real, with its parent's around it, and lets the probe try everything. */

static const char segment_text[] = "what was acknowledged";
static char abstract[32];

struct run {
	enum profile profile;
	bool sandbox;
	struct probe_env env;
	int listener;
};

static void
prepare(struct run *r, int out)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len;
	int fd = open("segment", O_CREAT | O_EXCL | O_WRONLY | O_APPEND, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, segment_text, sizeof segment_text), sizeof segment_text);
	ck_assert_int_eq(fchown(fd, JAIL_UID, JAIL_UID), 0);
	r->env = (struct probe_env){ .profile = r->profile,
		.out = out,
		.segment = fd,
		.victim = "victim",
		.landlock_abi = sandbox_landlock_abi(),
		.abstract = abstract };
	fd = open("victim", O_CREAT | O_EXCL | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fchown(fd, JAIL_UID, JAIL_UID), 0);
	close(fd);
	len = (size_t)snprintf(abstract, sizeof abstract, "angarium-test-%d", (int)getpid());
	memcpy(sun.sun_path + 1, abstract, len);
	r->listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	ck_assert_int_eq(bind(r->listener, (struct sockaddr *)&sun,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)),
	    0);
	ck_assert_int_eq(listen(r->listener, 5), 0);
	r->env.outsider = fork();
	ck_assert_int_ge(r->env.outsider, 0);
	if (r->env.outsider == 0) {
		priv_drop(JAIL_UID, JAIL_UID, false);
		for (;;)
			pause();
	}
}

static void
probe(void *arg)
{
	struct run *r = arg;
	struct sandbox s = SANDBOX_INIT;

	if (r->sandbox)
		jail_enter(r->profile, &s, true);
	else
		priv_drop(JAIL_UID, JAIL_UID, false);
	_exit(probe_run(&r->env) ? 0 : 1);
}

static char said[16384];

/* Runs the probe; its lines are in said[]. Returns its exit status. */
static int
run_probe(enum profile p, bool sandbox)
{
	struct run r = { .profile = p, .sandbox = sandbox };
	char folder[64], start[sizeof segment_text] = "";
	int pipe_fd[2], status, fd;
	ssize_t n;

	jail_folder(folder);
	ck_assert_int_eq(pipe(pipe_fd), 0);
	ck_assert_int_eq(fcntl(pipe_fd[1], F_SETPIPE_SZ, 65536), 65536);
	prepare(&r, pipe_fd[1]);
	status = jail_child(probe, &r);
	close(pipe_fd[1]);
	n = read(pipe_fd[0], said, sizeof said - 1);
	ck_assert_int_gt(n, 0);
	said[n] = '\0';
	close(pipe_fd[0]);
	kill(r.env.outsider, SIGKILL);
	waitpid(r.env.outsider, NULL, 0);
	close(r.env.segment);
	close(r.listener);
	fd = open("segment", O_RDONLY);
	ck_assert_int_gt(read(fd, start, sizeof start), 0);
	close(fd);
	jail_folder_remove(folder);
	if (sandbox && (profile_row(p)->calls & CALLS_KEEP) == 0)
		ck_assert_str_eq(start, segment_text);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static unsigned
count(const char *verdict)
{
	unsigned n = 0;

	for (const char *p = said; p != NULL && *p != '\0'; p = strchr(p, '\n'), p += p != NULL)
		n += strncmp(p, verdict, strlen(verdict)) == 0;
	return n;
}

START_TEST(nothing_stands_open)
{
	int status = run_probe((enum profile)_i, true);

	ck_assert_msg(status == 0 && count("ALLOWED ") == 0, "%s:\n%s",
	    profile_row((enum profile)_i)->word, said);
	ck_assert_uint_ge(count("refused "), 90);
}
END_TEST

/*
 * The probe sees what it should: without a sandbox most of it is open, above all the hole in
 * O_APPEND.
 */
START_TEST(probe_sees_an_open_house)
{
	ck_assert_int_eq(run_probe(PROFILE_SMTPD_WORKER, false), 1);
	ck_assert_msg(count("ALLOWED ") >= 60, "%s", said);
	ck_assert_ptr_nonnull(strstr(said, "ALLOWED segment-pwritev2-noappend\n"));
	ck_assert_ptr_nonnull(strstr(said, "ALLOWED segment-reopen\n"));
	ck_assert_ptr_nonnull(strstr(said, "ALLOWED unlink-file\n"));
	ck_assert_ptr_nonnull(strstr(said, "ALLOWED kill\n"));
	ck_assert_ptr_nonnull(strstr(said, "ALLOWED abstract-socket\n"));
}
END_TEST

/* What a row needs and another does not: the table is looked at, not only the sum. */
START_TEST(rows_differ)
{
	static const struct {
		enum profile p;
		const char *line;
	} rows[] = {
		{ PROFILE_SMTPD_WORKER, "refused socket-unix EPERM\n" },
		{ PROFILE_SMTPD_WORKER, "refused socket-inet EPERM\n" },
		{ PROFILE_SMTPD_WORKER, "refused fork EPERM\n" },
		{ PROFILE_SMTPD_LOCAL, "refused open-root EACCES\n" },
		{ PROFILE_SMTPD_LOCAL, "refused unlink-file EACCES\n" },
		{ PROFILE_SMTPD_LOCAL, "refused segment-lseek EPERM\n" },
		{ PROFILE_SMTPD_PARENT, "permitted fork\n" },
		{ PROFILE_SMTPD_PARENT, "refused kill EPERM\n" },
		{ PROFILE_SMTPD_PARENT, "permitted socket-unix\n" },
		{ PROFILE_SMTPD_PARENT, "refused abstract-socket EPERM\n" },
		{ PROFILE_DELIVER_WORKER, "permitted tcp-connect ECONNREFUSED\n" },
		{ PROFILE_DELIVER_WORKER, "refused tcp-bind EACCES\n" },
		{ PROFILE_DELIVER_WORKER, "permitted tcp-bind-any\n" },
		{ PROFILE_DELIVER_WORKER, "refused socket-udp EPERM\n" },
		{ PROFILE_QMGR, "permitted segment-pwrite\n" },
		{ PROFILE_QMGR, "refused segment-pwritev2-noappend EPERM\n" },
		{ PROFILE_QMGR, "refused create-file EACCES\n" },
		{ PROFILE_QMGR, "refused rename-file EACCES\n" },
		{ PROFILE_LOCAL_WORKER, "refused become-root EPERM\n" },
		{ PROFILE_LOCAL_WORKER, "refused become-root-low EPERM\n" },
		{ PROFILE_LOCAL_WORKER, "refused become-group-root EPERM\n" },
		{ PROFILE_LOCAL_CHILD, "refused setresuid EPERM\n" },
		{ PROFILE_LOCAL_CHILD, "refused create-file EACCES\n" },
		{ PROFILE_LOCAL_CHILD, "refused fork EPERM\n" },
		{ PROFILE_LOGD, "refused open-file-rw EPERM\n" },
		{ PROFILE_LOGD, "refused create-file EPERM\n" },
		{ PROFILE_LOGD, "refused rename-file EPERM\n" },
		{ PROFILE_LOGD, "refused unlink-file EPERM\n" },
		{ PROFILE_LOGD, "refused segment-pwritev2-noappend EPERM\n" },
		{ PROFILE_LOGD, "refused socket-inet EPERM\n" },
	};

	run_probe(rows[_i].p, true);
	ck_assert_msg(strstr(said, rows[_i].line) != NULL, "%s: no %s in\n%s",
	    profile_row(rows[_i].p)->word, rows[_i].line, said);
}
END_TEST

static void
cases(TCase *tc)
{
	if (!jail_possible("probe"))
		return;
	tcase_add_loop_test(tc, nothing_stands_open, 0, PROFILE_COUNT);
	tcase_add_test(tc, probe_sees_an_open_house);
	tcase_add_loop_test(tc, rows_differ, 0, 25);
}

CHECK_MAIN("probe", cases)
