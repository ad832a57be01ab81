/* SPDX-License-Identifier: ISC */
#include "priv/daemon.h"

#include "base/die.h"
#include "base/log.h"
#include "conf/conf.h"

#include "../../check_main.h"
#include "jail.h"

#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/*
 * The start of a service from its options to its sandbox, each in a child, in a house below a
 * temporary folder.
 */

enum { ID_BASE = 61900 };
static char top[64], conf_file[128];

static void
write_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

static void
write_conf(const char *more)
{
	char text[1024];

	snprintf(text, sizeof text,
	    "hostname = \"mx.example.org\"\nid_base = %d\nrun_dir = \"%s/run\"\nspool_dir = "
	    "\"%s/var/spool/queue\"\n"
	    "drop_dir = \"%s/var/drop\"\nlog_dir = \"%s/var/log\"\n%s",
	    ID_BASE, top, top, top, top, more);
	write_file(conf_file, text);
}

static void
house(void)
{
	jail_folder(top);
	/*
	 * A clone may lie below a folder that nobody else may enter: services do not walk from the
	 * top.
	 */
	ck_assert_int_eq(chmod(top, 0700), 0);
	snprintf(conf_file, sizeof conf_file, "%s/angarium.conf", top);
	write_conf("");
}

static void
raze(void)
{
	jail_folder_remove(top);
}

/* daemon_start() with these words after the name and -c. */
static void
start(struct daemon *d, enum service self, char *const *words)
{
	char name[] = "service", c[] = "-c";
	char *argv[12] = { name, c, conf_file };
	int argc = 3;

	for (; words != NULL && *words != NULL; words++)
		argv[argc++] = *words;
	daemon_start(d, self, argc, argv);
}

struct how {
	enum service self;
	char *words[6];
	int fd;
};

static void
just_start(void *arg)
{
	struct how *h = arg;
	struct daemon d;

	start(&d, h->self, h->words);
	_exit(0);
}

static void
just_start_unprivileged(void *arg)
{
	jail_quiet();
	priv_drop(JAIL_UID, JAIL_UID, false);
	just_start(arg);
}

static void
just_start_quiet(void *arg)
{
	jail_quiet();
	just_start(arg);
}

#define WORD(z) (char *)(uintptr_t)(z)

START_TEST(options_and_exits)
{
	static const struct {
		const char *word, *conf;
		int status;
	} rows[] = {
		{ NULL, "", 0 },
		{ "-n", "", 0 },
		{ "-n", "no_such_key = 1\n", EXIT_CONFIG },
		{ NULL, "no_such_key = 1\n", EXIT_CONFIG },
		{ "-V", "", 0 },
		{ "-x", "", EXIT_USAGE },
		{ "operand", "", EXIT_USAGE },
		{ "-rx", "", EXIT_USAGE },
		{ "-r999", "", EXIT_USAGE },
	};
	struct how h = { SERVICE_QMGR, { WORD(rows[_i].word) }, -1 };
	int status;

	house();
	write_conf(rows[_i].conf);
	status = jail_child(just_start_quiet, &h);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), rows[_i].status);
	raze();
}
END_TEST

START_TEST(only_root_starts)
{
	struct how h = { SERVICE_QMGR, { NULL }, -1 };
	int status;

	house();
	chmod(top, 0755);
	status = jail_child(just_start_unprivileged, &h);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), EXIT_NOPERM);
	raze();
}
END_TEST

START_TEST(a_run_folder_of_others_is_refused)
{
	struct how h = { SERVICE_QMGR, { NULL }, -1 };
	int status;

	house();
	ck_assert_int_eq(mkdir("run", 0755), 0);
	if (_i == 0)
		ck_assert_int_eq(chmod("run", 0775), 0);
	else
		ck_assert_int_eq(chown("run", JAIL_UID, 0), 0);
	status = jail_child(just_start_quiet, &h);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), EXIT_CONFIG);
	raze();
}
END_TEST

/* An edge, from both ends. */

static int
dial(const char *name, int type)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", name);
	if (connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0)
		return fd;
	close(fd);
	return -errno;
}

static void
serve(void *arg)
{
	struct how *h = arg;
	struct daemon d;
	int edge, ctl, submit, fd;
	char byte = 'r';

	start(&d, h->self, NULL);
	edge = daemon_bind_edge(&d, SERVICE_SMTPD);
	ctl = daemon_bind_ctl(&d);
	submit = daemon_bind_submit(&d);
	/* Nobody is served before we are who we shall be. */
	JAIL_CHECK(dial("edge/qmgr.smtpd/s", SOCK_SEQPACKET) == -ECONNREFUSED);
	daemon_drop(&d, PROFILE_QMGR);
	JAIL_CHECK(getuid() == ID_BASE + SERVICE_QMGR && getgid() == ID_BASE + SERVICE_QMGR);
	JAIL_CHECK(accept4(edge, NULL, NULL, 0) < 0 && errno == EAGAIN);
	JAIL_CHECK(accept4(ctl, NULL, NULL, 0) < 0 && errno == EAGAIN);
	JAIL_CHECK(accept4(submit, NULL, NULL, 0) < 0 && errno == EAGAIN);
	fd = open("conf/1", O_RDONLY); /* relative names go on */
	JAIL_CHECK(fd >= 0);
	JAIL_CHECK(write(h->fd, &byte, 1) == 1);
	JAIL_CHECK(read(h->fd, &byte, 1) == 1);
	_exit(0);
}

static void
ask_as_smtpd(void *arg)
{
	uid_t uid;
	int fd;

	(void)arg;
	priv_drop(ID_BASE + SERVICE_SMTPD, ID_BASE + SERVICE_SMTPD, false);
	fd = dial("edge/qmgr.smtpd/s", SOCK_SEQPACKET);
	JAIL_CHECK(fd >= 0);
	/* Not root, who bound it: who listens is who serves. */
	JAIL_CHECK(priv_peer_uid(fd, &uid) == 0 && uid == ID_BASE + SERVICE_QMGR);
	JAIL_CHECK(dial("ctl/qmgr", SOCK_SEQPACKET) >= 0);
}

static void
ask_as_other(void *arg)
{
	(void)arg;
	priv_drop(ID_BASE + SERVICE_ROUTER, ID_BASE + SERVICE_ROUTER, false);
	JAIL_CHECK(dial("edge/qmgr.smtpd/s", SOCK_SEQPACKET) == -EACCES);
	JAIL_CHECK(dial("ctl/qmgr", SOCK_SEQPACKET) >= 0);
	JAIL_CHECK(dial("submit/s", SOCK_STREAM) >= 0);
	JAIL_CHECK(
	    unlink("ctl/qmgr") != 0 && unlink("submit/s") != 0 && rename("edge", "edge2") != 0);
}

static void
is(const char *name, mode_t mode, uid_t uid, gid_t gid)
{
	struct stat st;

	ck_assert_int_eq(lstat(name, &st), 0);
	ck_assert_msg((st.st_mode & 07777) == mode && st.st_uid == uid && st.st_gid == gid,
	    "%s: mode %o uid %u gid %u", name, st.st_mode, st.st_uid, st.st_gid);
}

START_TEST(edges_are_for_two)
{
	struct how h = { SERVICE_QMGR, { NULL }, -1 };
	int sv[2], status;
	char byte;
	pid_t pid;

	house();
	for (unsigned round = 0; round < 2;
	     round++) { /* the second one finds the names of the first */
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
		fflush(NULL);
		pid = fork();
		if (pid == 0) {
			h.fd = dup2(sv[1], 0); /* 0-2 are kept, others closed */
			serve(&h);
		}
		close(sv[1]);
		ck_assert_int_eq(read(sv[0], &byte, 1), 1);
		ck_assert_int_eq(chdir("run"), 0);
		is(".", 0755, 0, 0);
		is("conf", 0755, 0, 0);
		is("ctl", 0755, 0, 0);
		is("edge", 0755, 0, 0);
		is("edge/qmgr.smtpd", 0710, ID_BASE + SERVICE_QMGR, ID_BASE + SERVICE_SMTPD);
		is("edge/qmgr.smtpd/s", 0666, 0, 0);
		is("ctl/qmgr", 0666, 0, 0);
		is("submit/s", 0666, 0, 0);
		ck_assert_int_eq(jail_child(ask_as_smtpd, NULL), 0);
		ck_assert_int_eq(jail_child(ask_as_other, NULL), 0);
		ck_assert_int_eq(chdir(".."), 0);
		ck_assert_int_eq(write(sv[0], "x", 1), 1);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
		close(sv[0]);
	}
	raze();
}
END_TEST

/* What the process is after daemon_start(). */

static void
look_around(void *arg)
{
	struct daemon d;
	char cwd[128], want[128];
	struct sigaction sa;

	(void)arg;
	JAIL_CHECK(dup2(1, 77) == 77 && dup2(1, 500) == 500);
	signal(SIGPIPE, SIG_DFL);
	close(0);
	umask(0);
	start(&d, SERVICE_ROUTER, NULL);
	JAIL_CHECK(fcntl(77, F_GETFD) < 0 && fcntl(500, F_GETFD) < 0); /* strays are closed */
	JAIL_CHECK(fcntl(0, F_GETFD) >= 0);			       /* and 0 is something */
	JAIL_CHECK(umask(0) == 077);
	JAIL_CHECK(sched_getscheduler(0) == SCHED_BATCH);
	JAIL_CHECK(sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN);
	snprintf(want, sizeof want, "%s/run", top);
	JAIL_CHECK(getcwd(cwd, sizeof cwd) != NULL && strcmp(cwd, want) == 0);
	JAIL_CHECK(d.generation == 1 && strcmp(d.conf->hostname, "mx.example.org") == 0);
	JAIL_CHECK(daemon_uid_of(SERVICE_LOGD, &d) == ID_BASE + SERVICE_LOGD);
	JAIL_CHECK(daemon_uid_of(SERVICE_NONE, &d) == IDS_NONE);
}

START_TEST(start_settles_the_process)
{
	house();
	ck_assert_int_eq(jail_child(look_around, NULL), 0);
	raze();
}
END_TEST

/* Folders. */

static void
open_dirs(void *arg)
{
	struct how *h = arg;
	struct daemon d;
	static const enum sandbox_dir slot[] = { [SERVICE_SMTPD] = SANDBOX_DROP,
		[SERVICE_QMGR] = SANDBOX_SPOOL,
		[SERVICE_LOGD] = SANDBOX_LOG };

	jail_quiet();
	start(&d, h->self, NULL);
	JAIL_CHECK(daemon_open_dir(&d, slot[h->self]) >= 0 && d.sandbox.dir[slot[h->self]] >= 0);
}

START_TEST(folders_get_owner_and_mode)
{
	static const enum service who[] = { SERVICE_QMGR, SERVICE_SMTPD, SERVICE_LOGD };
	struct how h = { SERVICE_NONE, { NULL }, -1 };
	int status;

	house();
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 3; i++) {
			h.self = who[i];
			ck_assert_int_eq(jail_child(open_dirs, &h), 0);
		}
	is("var", 0755, 0, 0);
	is("var/spool/queue", 0700, ID_BASE + SERVICE_QMGR, ID_BASE + SERVICE_QMGR);
	is("var/drop", 03733, ID_BASE + SERVICE_SMTPD, ID_BASE + GROUP_DROP);
	is("var/log", 0750, ID_BASE + SERVICE_LOGD, ID_BASE + GROUP_ADM);
	/* Somebody else's, and in use: not taken. A link: not followed. */
	ck_assert_int_eq(chown("var/spool/queue", 12345, 12345), 0);
	write_file("var/spool/queue/mail", "mail");
	h.self = SERVICE_QMGR;
	status = jail_child(open_dirs, &h);
	ck_assert_int_eq(WEXITSTATUS(status), EXIT_CONFIG);
	is("var/spool/queue", 0700, 12345, 12345);
	ck_assert_int_eq(rename("var/spool/queue", "elsewhere"), 0);
	ck_assert_int_eq(symlink("../../elsewhere", "var/spool/queue"), 0);
	status = jail_child(open_dirs, &h);
	ck_assert_int_eq(WEXITSTATUS(status), EXIT_TEMP);
	raze();
}
END_TEST

/* Readiness and sockets from init. */

static void
be_ready(void *arg)
{
	struct how *h = arg;
	char fd[16], r[] = "-r";
	char *words[] = { r, fd, NULL };
	struct daemon d;

	snprintf(fd, sizeof fd, "%d", h->fd);
	start(&d, SERVICE_ROUTER, words);
	daemon_drop(&d, PROFILE_ROUTER);
	daemon_ready(&d);
	daemon_reloading(&d);
	daemon_ready(&d);
	_exit(daemon_stop(&d));
}

START_TEST(readiness_is_told_from_the_sandbox)
{
	struct how h = { SERVICE_ROUTER, { NULL }, -1 };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	static const char *const said[] = { "READY=1", "RELOADING=1\nMONOTONIC_USEC=", "READY=1",
		"STOPPING=1" };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0), p[2];
	char name[128], buf[128];
	ssize_t n;

	house();
	snprintf(name, sizeof name, "%s/notify", top);
	ck_assert(slice_copy(slice_z(name), sun.sun_path, sizeof sun.sun_path));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	h.fd = p[1];
	ck_assert_int_eq(jail_child(be_ready, &h), 0);
	for (unsigned i = 0; i < 4; i++) {
		n = recv(fd, buf, sizeof buf - 1, MSG_DONTWAIT);
		ck_assert_int_gt(n, 0);
		buf[n] = '\0';
		ck_assert_msg(strncmp(buf, said[i], strlen(said[i])) == 0, "%s", buf);
	}
	ck_assert_int_eq(read(p[0], buf, sizeof buf), 1);
	close(fd);
	unsetenv("NOTIFY_SOCKET");
	raze();
}
END_TEST

static void
take_listeners(void *arg)
{
	struct daemon d;
	char pid[16];

	(void)arg;
	for (int fd = 3; fd < 6; fd++) {
		int s = socket(AF_UNIX, SOCK_STREAM, 0);

		JAIL_CHECK(s == fd || dup2(s, fd) == fd);
	}
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "3", 1);
	setenv("LISTEN_FDNAMES", "mx:submission:mx", 1);
	start(&d, SERVICE_ROUTER, NULL);
	JAIL_CHECK(daemon_listen_fd(&d, "mx") == 3 && daemon_listen_fd(&d, "mx") == 5);
	JAIL_CHECK(daemon_listen_fd(&d, "mx") == -1 && daemon_listen_fd(&d, "submission") == 4);
	JAIL_CHECK((fcntl(4, F_GETFL) & O_NONBLOCK) != 0 && fcntl(4, F_GETFD) == FD_CLOEXEC);
	JAIL_CHECK(getenv("LISTEN_FDS") == NULL);
}

static void
leave_listeners(void *arg)
{
	struct daemon d;

	(void)arg;
	setenv("LISTEN_PID", "1", 1); /* meant for somebody else */
	setenv("LISTEN_FDS", "3", 1);
	start(&d, SERVICE_ROUTER, NULL);
	JAIL_CHECK(d.nlisten == 0 && daemon_listen_fd(&d, "unknown") == -1);
}

/* The socket of sendmail: served as our user though somebody else, root, listened first. */
static void
take_submit(void *arg)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "given" };
	int s = socket(AF_UNIX, SOCK_STREAM, 0), before, after;
	struct daemon d;
	char pid[16];
	uid_t uid;

	(void)arg;
	JAIL_CHECK(s == 3 || dup2(s, 3) == 3);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_FDNAMES", "submit", 1);
	start(&d, SERVICE_ROUTER, NULL);
	JAIL_CHECK(bind(3, (struct sockaddr *)&sun, sizeof sun) == 0 && listen(3, 5) == 0 &&
		   chmod("given", 0666) == 0);
	JAIL_CHECK(daemon_bind_submit(&d) == 3 && access("submit/s", F_OK) != 0);
	before = socket(AF_UNIX, SOCK_STREAM, 0);
	after = socket(AF_UNIX, SOCK_STREAM, 0);
	JAIL_CHECK(connect(before, (struct sockaddr *)&sun, sizeof sun) == 0);
	daemon_drop(&d, PROFILE_ROUTER);
	JAIL_CHECK(connect(after, (struct sockaddr *)&sun, sizeof sun) == 0);
	JAIL_CHECK(priv_peer_uid(before, &uid) == 0 && uid == 0);
	JAIL_CHECK(priv_peer_uid(after, &uid) == 0 && uid == ID_BASE + SERVICE_ROUTER);
	JAIL_CHECK(accept4(3, NULL, NULL, SOCK_CLOEXEC) >= 0); /* who came early is not lost */
}

START_TEST(sockets_from_init)
{
	house();
	ck_assert_int_eq(jail_child(take_listeners, NULL), 0);
	ck_assert_int_eq(jail_child(take_submit, NULL), 0);
	ck_assert_int_eq(jail_child(leave_listeners, NULL), 0);
	raze();
}
END_TEST

/* The sandbox, on and off. */

static unsigned
logged(enum log_event event)
{
	uint64_t lost;
	struct slice in = log_pending(&lost);
	struct log_record r;
	unsigned n = 0;

	while (log_record_next(&in, &r))
		n += r.event == event;
	return n;
}

static void
enter_sandbox(void *arg)
{
	struct how *h = arg;
	struct daemon d;
	int status;
	pid_t pid;

	start(&d, SERVICE_SMTPD, h->words);
	daemon_drop(&d, PROFILE_SMTPD_PARENT);
	JAIL_CHECK(geteuid() == ID_BASE + SERVICE_SMTPD && setuid(0) != 0);
	JAIL_CHECK(open("/etc/passwd", O_RDONLY) < 0);
	JAIL_CHECK((open("/", O_RDONLY | O_DIRECTORY) < 0) == (h->fd == 0));
	JAIL_CHECK(logged(LOG_SANDBOX_OFF) == (unsigned)h->fd);
	pid = fork();
	if (pid == 0) {
		daemon_worker_enter(&d, PROFILE_SMTPD_WORKER);
		JAIL_CHECK((socket(AF_UNIX, SOCK_SEQPACKET, 0) < 0) == (h->fd == 0));
		JAIL_CHECK(logged(LOG_SANDBOX_OFF) == (unsigned)h->fd);
		_exit(0);
	}
	JAIL_CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	_exit(0);
}

START_TEST(sandbox_is_off_only_by_name)
{
	static const struct {
		const char *word, *conf;
		int off;
	} rows[] = {
		{ NULL, "", 0 },
		{ NULL, "sandbox_off = { \"qmgr\", \"logd\" }\n", 0 },
		{ NULL, "sandbox_off = { \"smtpd\" }\n", 1 },
		{ "--no-sandbox", "", 1 },
	};
	struct how h = { SERVICE_SMTPD, { WORD(rows[_i].word) }, rows[_i].off };

	house();
	write_conf(rows[_i].conf);
	ck_assert_int_eq(jail_child(enter_sandbox, &h), 0);
	raze();
}
END_TEST

static void
enter_no_landlock(void *arg)
{
	struct daemon d;

	(void)arg;
	jail_quiet();
	start(&d, SERVICE_QMGR, NULL);
	jail_inject(444, ENOSYS);
	daemon_drop(&d, PROFILE_QMGR);
	_exit(0);
}

START_TEST(no_sandbox_no_service)
{
	int status;

	house();
	status = jail_child(enter_no_landlock, NULL);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), EXIT_TEMP);
	raze();
}
END_TEST

/* A service that dies while somebody edits the file comes back. */

static void
restart(void *arg)
{
	struct how *h = arg;
	struct daemon d;

	start(&d, SERVICE_ROUTER, NULL);
	JAIL_CHECK(d.generation == 1 && strcmp(d.conf->hostname, "mx.example.org") == 0);
	JAIL_CHECK(logged(LOG_TROUBLE) == (unsigned)h->fd);
}

START_TEST(a_wrong_file_does_not_keep_it_down)
{
	struct how h = { SERVICE_ROUTER, { NULL }, 0 };

	house();
	ck_assert_int_eq(jail_child(restart, &h), 0);
	write_conf("hostname = {{{\n");
	h.fd = 1;
	ck_assert_int_eq(jail_child(restart, &h), 0);
	raze();
}
END_TEST

START_TEST(probe_of_each_service)
{
	static const enum service who[] = { SERVICE_SMTPD, SERVICE_QMGR, SERVICE_ROUTER,
		SERVICE_DELIVER, SERVICE_LOGD };
	struct how h = { who[_i], { WORD("--probe") }, -1 };
	struct stat st;
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), out = dup(1);

	house();
	fflush(stdout);
	dup2(null, 1);
	ck_assert_int_eq(jail_child(just_start, &h), 0);
	dup2(out, 1);
	ck_assert_int_ne(stat("run", &st), 0); /* nothing was made */
	/* It is the sandbox that refuses. */
	h.words[1] = WORD("--no-sandbox");
	dup2(null, 1);
	ck_assert_int_eq(WEXITSTATUS(jail_child(just_start, &h)), 1);
	dup2(out, 1);
	close(out);
	close(null);
	raze();
}
END_TEST

static void
cases(TCase *tc)
{
	if (!jail_possible("daemon"))
		return;
	tcase_add_loop_test(tc, options_and_exits, 0, 9);
	tcase_add_test(tc, only_root_starts);
	tcase_add_loop_test(tc, a_run_folder_of_others_is_refused, 0, 2);
	tcase_add_test(tc, edges_are_for_two);
	tcase_add_test(tc, start_settles_the_process);
	tcase_add_test(tc, folders_get_owner_and_mode);
	tcase_add_test(tc, readiness_is_told_from_the_sandbox);
	tcase_add_test(tc, sockets_from_init);
	tcase_add_loop_test(tc, sandbox_is_off_only_by_name, 0, 4);
	tcase_add_test(tc, no_sandbox_no_service);
	tcase_add_test(tc, a_wrong_file_does_not_keep_it_down);
	tcase_add_loop_test(tc, probe_of_each_service, 0, 5);
}

CHECK_MAIN("daemon", cases)
