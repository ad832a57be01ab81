/* SPDX-License-Identifier: ISC */
#include "base/die.h"
#include "priv/landlock.h"

#include "../../check_main.h"
#include "jail.h"

#include <malloc.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>

/* What rows must still be able to do, how entering fails, and what the table promises of itself. */

/* Each row may do a worker's daily work, and its threads theirs. */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done = PTHREAD_COND_INITIALIZER;
static unsigned ndone;

static void *
thread_main(void *arg)
{
	char *big = xmalloc(1 << 20);

	memset(big, 1, 1 << 20);
	free(big);
	pthread_mutex_lock(&lock);
	ndone++;
	pthread_cond_signal(&done);
	pthread_mutex_unlock(&lock);
	return arg;
}

static void
use_threads(void)
{
	pthread_t t[4];

	for (unsigned i = 0; i < 4; i++)
		JAIL_CHECK(pthread_create(&t[i], NULL, thread_main, NULL) == 0);
	pthread_mutex_lock(&lock);
	while (ndone < 4)
		pthread_cond_wait(&done, &lock);
	pthread_mutex_unlock(&lock);
	for (unsigned i = 0; i < 4; i++)
		JAIL_CHECK(pthread_join(t[i], NULL) == 0);
}

static void
use_events(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC), bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	eventfd_t v;

	JAIL_CHECK(ep >= 0 && bell >= 0);
	JAIL_CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, bell, &ev) == 0);
	JAIL_CHECK(eventfd_write(bell, 1) == 0);
	JAIL_CHECK(epoll_wait(ep, &ev, 1, 1000) == 1);
	JAIL_CHECK(eventfd_read(bell, &v) == 0);
	JAIL_CHECK(fcntl(bell, F_GETFL) >= 0 && fcntl(bell, F_DUPFD_CLOEXEC, 3) >= 0);
	close(ep);
	close(bell);
}

static void
use_memory_and_time(void)
{
	char *p = xmalloc(100);
	char random[16];
	struct tm tm;
	struct stat st;
	time_t now = time(NULL);

	for (size_t n = 100; n < 64 << 20; n *= 3) {
		p = xrealloc(p, n);
		memset(p, 1, n);
	}
	free(p);
	malloc_trim(0);
	JAIL_CHECK(
	    localtime_r(&now, &tm) != NULL && strftime(random, sizeof random, "%z", &tm) > 0);
	JAIL_CHECK(getentropy(random, sizeof random) == 0);
	JAIL_CHECK(fstat(0, &st) == 0);
}

/* A descriptor that comes after lock-down works, though no path leads to it. */
static void
receive(int link, int *fd)
{
	char data[1], control[CMSG_SPACE(sizeof(int))];
	struct iovec v = { data, 1 };
	struct msghdr m = { .msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control };

	JAIL_CHECK(recvmsg(link, &m, MSG_CMSG_CLOEXEC) == 1);
	JAIL_CHECK(CMSG_FIRSTHDR(&m) != NULL);
	memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof *fd);
}

static void
use_segment(int link)
{
	struct iovec v[2] = { { (void *)(uintptr_t) "re", 2 }, { (void *)(uintptr_t) "cord", 4 } };
	struct statfs fs;
	int fd;

	receive(link, &fd);
	JAIL_CHECK(writev(fd, v, 2) == 6);
	JAIL_CHECK(fdatasync(fd) == 0);
	JAIL_CHECK(fstatfs(fd, &fs) == 0);
}

struct job {
	enum profile p;
	struct sandbox s;
	int link;
};

static void
work(void *arg)
{
	struct job *j = arg;
	unsigned calls = profile_row(j->p)->calls;

	jail_enter(j->p, &j->s, true);
	use_memory_and_time();
	use_events();
	if (calls & CALLS_THREAD)
		use_threads();
	if (calls & CALLS_APPEND)
		use_segment(j->link);
	_exit(0);
}

static void
send_fd(int link, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec v = { (void *)(uintptr_t) "!", 1 };
	struct msghdr m = { .msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	*c = (struct cmsghdr){
		.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS
	};
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	ck_assert_int_eq(sendmsg(link, &m, 0), 1);
}

START_TEST(each_row_can_work)
{
	struct job j = { (enum profile)_i, SANDBOX_INIT, -1 };
	char folder[64], text[16] = "";
	int sv[2], fd, status;

	jail_folder(folder);
	fd = open("segment", O_CREAT | O_RDWR | O_APPEND, 0600);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	send_fd(sv[0], fd);
	j.link = sv[1];
	status = jail_child(work, &j);
	ck_assert_msg(status == 0, "%s: status %x", profile_row(j.p)->word, (unsigned)status);
	if (profile_row(j.p)->calls & CALLS_APPEND) {
		ck_assert_int_eq(pread(fd, text, sizeof text, 0), 6);
		ck_assert_str_eq(text, "record");
	}
	close(fd);
	jail_folder_remove(folder);
}
END_TEST

/* A failed assertion ends in SIGABRT, so that it is told from a refusal. */
static void
fail_assertion(void *arg)
{
	struct job *j = arg;

	jail_quiet();
	jail_enter(j->p, &j->s, true);
	abort();
}

START_TEST(an_assertion_still_aborts)
{
	struct job j = { PROFILE_QMGR, SANDBOX_INIT, -1 };
	int status = jail_child(fail_assertion, &j);

	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGABRT);
	ck_assert(!WCOREDUMP(status));
}
END_TEST

#ifdef ANG_SAN
/* In variant san a finding is still told from inside, and ends the process. */
static void
overflow(void *arg)
{
	struct job *j = arg;
	volatile size_t at = 10;
	char *p;

	dup2(j->link, STDERR_FILENO);
	jail_enter(j->p, &j->s, true);
	p = xmalloc(10);
	((volatile char *)p)[at] = 1;
	free(p);
	_exit(0);
}

START_TEST(findings_are_told)
{
	struct job j = { (enum profile)_i, SANDBOX_INIT, -1 };
	char said[4096] = "";
	int p[2], status;
	ssize_t n;

	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(fcntl(p[1], F_SETPIPE_SZ, 65536), 65536);
	j.link = p[1];
	status = jail_child(overflow, &j);
	ck_assert(status != 0);
	n = read(p[0], said, sizeof said - 1);
	ck_assert_int_gt(n, 0);
	ck_assert_msg(strstr(said, "heap-buffer-overflow") != NULL, "%s", said);
}
END_TEST
#endif

/* Folders. */

static int
folder_for(const char *name)
{
	int fd;

	ck_assert_int_eq(mkdir(name, 0700), 0);
	ck_assert_int_eq(chown(name, JAIL_UID, JAIL_UID), 0);
	fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static void
keep_house(void *arg)
{
	struct job *j = arg;
	int dir = j->s.dir[j->p == PROFILE_QMGR ? SANDBOX_SPOOL : SANDBOX_CACHE], fd;

	jail_enter(j->p, &j->s, true);
	fd = openat(dir, "a", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	JAIL_CHECK(fd >= 0);
	JAIL_CHECK(pwrite(fd, "text", 4, 0) == 4 && fsync(fd) == 0 && fdatasync(fd) == 0);
	JAIL_CHECK(ftruncate(fd, 2) == 0);
	JAIL_CHECK(mkdirat(dir, "sub", 0700) == 0);
	JAIL_CHECK(renameat2(dir, "a", dir, "sub/b", RENAME_NOREPLACE) == 0);
	JAIL_CHECK(renameat(dir, "sub/b", dir, "c") == 0);
	if (j->p == PROFILE_QMGR) {
		JAIL_CHECK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 65536) == 0);
		close(fd);
		fd = openat(dir, "c", O_RDONLY | O_CLOEXEC);
		JAIL_CHECK(
		    fcntl(fd, F_SETLEASE, F_RDLCK) == 0 && fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
	}
	JAIL_CHECK(unlinkat(dir, "c", 0) == 0);
	/* "..", or a name above, is not beneath. */
	JAIL_CHECK(openat(dir, "../victim", O_RDONLY) < 0 && errno == EACCES);
	JAIL_CHECK(openat(dir, "../new", O_CREAT | O_WRONLY, 0600) < 0 && errno == EACCES);
	_exit(0);
}

START_TEST(owners_keep_their_folder)
{
	struct job j = { _i == 0 ? PROFILE_QMGR : PROFILE_DNSCACHE, SANDBOX_INIT, -1 };
	char folder[64];

	jail_folder(folder);
	close(open("victim", O_CREAT | O_WRONLY, 0666));
	j.s.dir[_i == 0 ? SANDBOX_SPOOL : SANDBOX_CACHE] = folder_for("owned");
	ck_assert_int_eq(jail_child(keep_house, &j), 0);
	jail_folder_remove(folder);
}
END_TEST

/* Lines are added; what was written stays as it was written, and where. */
static void
keep_log(void *arg)
{
	static const int flags[] = { O_WRONLY, O_RDWR, O_WRONLY | O_APPEND,
		O_RDWR | O_APPEND | O_CREAT, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC,
		O_WRONLY | O_CREAT, O_RDONLY | O_TRUNC };
	struct job *j = arg;
	int dir = j->s.dir[SANDBOX_LOG], fd;
	char text[8];

	jail_enter(j->p, &j->s, true);
	fd = openat(dir, "log", O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	JAIL_CHECK(fd >= 0 && write(fd, "text", 4) == 4);
	JAIL_CHECK(pwrite(fd, "X", 1, 0) < 0 && errno == EPERM);
	JAIL_CHECK(ftruncate(fd, 0) < 0 && errno == EPERM);
	JAIL_CHECK(fcntl(fd, F_SETFL, 0) < 0 && errno == EPERM);
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		JAIL_CHECK(openat(dir, "log", flags[i] | O_CLOEXEC, 0600) < 0 && errno == EPERM);
	JAIL_CHECK(unlinkat(dir, "log", 0) < 0 && errno == EPERM);
	JAIL_CHECK(renameat(dir, "log", dir, "old") < 0 && errno == EPERM);
	JAIL_CHECK(mkdirat(dir, "sub", 0700) < 0 && errno == EPERM);
	close(fd);
	fd = openat(dir, "log", O_RDONLY | O_CLOEXEC);
	JAIL_CHECK(read(fd, text, sizeof text) == 4 && memcmp(text, "text", 4) == 0);
	_exit(0);
}

START_TEST(a_log_is_only_added_to)
{
	struct job j = { PROFILE_LOGD, SANDBOX_INIT, -1 };
	char folder[64];

	jail_folder(folder);
	j.s.dir[SANDBOX_LOG] = folder_for("owned");
	ck_assert_int_eq(jail_child(keep_log, &j), 0);
	jail_folder_remove(folder);
}
END_TEST

static void
take_drops(void *arg)
{
	struct job *j = arg;
	int dir = j->s.dir[SANDBOX_DROP], fd;
	char text[8], list[1024];

	jail_enter(j->p, &j->s, true);
	JAIL_CHECK(syscall(SYS_getdents64, dir, list, sizeof list) > 0);
	fd = openat(dir, "mail", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	JAIL_CHECK(fd >= 0 && read(fd, text, sizeof text) == 4);
	JAIL_CHECK(openat(dir, "mail", O_RDWR) < 0 && errno == EPERM);
	JAIL_CHECK(openat(dir, "new", O_CREAT | O_RDONLY, 0600) < 0 && errno == EPERM);
	JAIL_CHECK(openat(dir, "..", O_RDONLY) < 0 && errno == EACCES);
	JAIL_CHECK(unlinkat(dir, "mail", 0) == 0);
	_exit(0);
}

START_TEST(the_local_worker_takes_drops)
{
	struct job j = { PROFILE_SMTPD_LOCAL, SANDBOX_INIT, -1 };
	char folder[64];
	int fd;

	jail_folder(folder);
	j.s.dir[SANDBOX_DROP] = folder_for("drop");
	fd = open("drop/mail", O_CREAT | O_WRONLY, 0644);
	ck_assert_int_eq(write(fd, "mail", 4), 4);
	close(fd);
	ck_assert_int_eq(jail_child(take_drops, &j), 0);
	jail_folder_remove(folder);
}
END_TEST

/* Workers of other rows were given the same descriptors: no rule, no way in. */
static void
lack_drops(void *arg)
{
	struct job *j = arg;

	jail_enter(j->p, &j->s, true);
	JAIL_CHECK(openat(j->s.dir[SANDBOX_DROP], "mail", O_RDONLY) < 0);
	JAIL_CHECK(unlinkat(j->s.dir[SANDBOX_DROP], "mail", 0) < 0);
	_exit(0);
}

START_TEST(no_other_row_takes_drops)
{
	struct job j = { (enum profile)_i, SANDBOX_INIT, -1 };
	char folder[64];

	jail_folder(folder);
	j.s.dir[SANDBOX_DROP] = folder_for("drop");
	close(open("drop/mail", O_CREAT | O_WRONLY, 0666));
	if (profile_row(j.p)->beneath[SANDBOX_DROP] == BENEATH_NO)
		ck_assert_int_eq(jail_child(lack_drops, &j), 0);
	jail_folder_remove(folder);
}
END_TEST

/* The network of a delivery worker: out, and not in. */

static void
deliver(void *arg)
{
	struct job *j = arg;
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } },
			   to;
	socklen_t n = sizeof to;
	char text[8] = "";
	int fd, seg = open("segment", O_RDONLY);

	getsockname(j->link, (struct sockaddr *)&to, &n);
	jail_enter(j->p, &j->s, true);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	JAIL_CHECK(fd >= 0);
	JAIL_CHECK(
	    bind(fd, (struct sockaddr *)&sin, sizeof sin) == 0); /* a source address, any port */
	JAIL_CHECK(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
	JAIL_CHECK(pread(seg, text, 4, 0) == 4);
	JAIL_CHECK(sendfile(fd, seg, NULL, 4) == 4);
	_exit(0);
}

START_TEST(deliver_connects_out)
{
	struct job j = { PROFILE_DELIVER_WORKER, SANDBOX_INIT, socket(AF_INET, SOCK_STREAM, 0) };
	char folder[64], text[8] = "";
	int fd;

	jail_folder(folder);
	ck_assert_int_eq(listen(j.link, 5), 0);
	fd = open("segment", O_CREAT | O_WRONLY, 0644);
	ck_assert_int_eq(write(fd, "mail", 4), 4);
	close(fd);
	ck_assert_int_eq(jail_child(deliver, &j), 0);
	fd = accept(j.link, NULL, NULL);
	ck_assert_int_eq(read(fd, text, sizeof text), 4);
	close(fd);
	close(j.link);
	jail_folder_remove(folder);
}
END_TEST

/* Entering fails. */

static const struct {
	int nr;
	long arg; /* -1: any */
	int err;  /* what becomes of EACCES */
	const char *step;
} failures[] = {
	{ SYS_prlimit64, 0, -EACCES, "setrlimit" },
	{ SYS_prctl, PR_SET_NO_NEW_PRIVS, -EACCES, "no_new_privs" },
	{ SYS_prctl, PR_SET_DUMPABLE, -EACCES, "not dumpable" },
	{ SYS_landlock_create_ruleset, -1, -EOPNOTSUPP, "landlock" },
	{ SYS_landlock_restrict_self, -1, -EACCES, "landlock" },
	{ SYS_seccomp, 1, -EACCES, "seccomp" },
	{ SYS_unshare, -1, -EACCES, "have one thread" },
};

static void
fail_to_enter(void *arg)
{
	unsigned i = *(unsigned *)arg % 7;
	struct sandbox s = SANDBOX_INIT;
	const char *step = "";

	priv_drop(JAIL_UID, JAIL_UID, false);
	if (failures[i].arg < 0)
		jail_inject(failures[i].nr, EACCES);
	else
		jail_inject_arg(failures[i].nr, (unsigned long)failures[i].arg, EACCES);
	if (*(unsigned *)arg < 7) {
		JAIL_CHECK(sandbox_try(PROFILE_QMGR, &s, &step) == failures[i].err);
		JAIL_CHECK(strcmp(step, failures[i].step) == 0);
		return;
	}
	jail_quiet();
	sandbox_enter(PROFILE_QMGR, &s); /* must not return */
}

START_TEST(each_failing_step_ends_the_process)
{
	unsigned i = (unsigned)_i;
	int status = jail_child(fail_to_enter, &i);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == (i < 7 ? 0 : EXIT_TEMP),
	    "%s: status %x", failures[i % 7].step, (unsigned)status);
}
END_TEST

static void
enter_as_root(void *arg)
{
	struct sandbox s = SANDBOX_INIT;
	const char *step;

	(void)arg;
	JAIL_CHECK(sandbox_try(PROFILE_QMGR, &s, &step) == -EPERM);
}

static void *
sleeper(void *arg)
{
	pause();
	return arg;
}

static void
enter_with_thread(void *arg)
{
	struct sandbox s = SANDBOX_INIT;
	const char *step;
	pthread_t t;

	(void)arg;
	priv_drop(JAIL_UID, JAIL_UID, false);
	JAIL_CHECK(pthread_create(&t, NULL, sleeper, NULL) == 0);
	JAIL_CHECK(sandbox_try(PROFILE_QMGR, &s, &step) == -EINVAL);
	JAIL_CHECK(strcmp(step, "have one thread") == 0);
}

static void
enter_bad_folder(void *arg)
{
	struct sandbox s = SANDBOX_INIT;
	const char *step;

	(void)arg;
	s.dir[SANDBOX_SPOOL] = 987; /* no such descriptor */
	priv_drop(JAIL_UID, JAIL_UID, false);
	JAIL_CHECK(sandbox_try(PROFILE_QMGR, &s, &step) == -EBADF);
}

START_TEST(entering_asks_for_one_thread_and_no_root)
{
	ck_assert_int_eq(jail_child(enter_as_root, NULL), 0);
	ck_assert_int_eq(jail_child(enter_with_thread, NULL), 0);
	ck_assert_int_eq(jail_child(enter_bad_folder, NULL), 0);
}
END_TEST

static void
break_out(void *arg)
{
	struct sandbox s = SANDBOX_INIT;

	(void)arg;
	s.kill = true;
	jail_enter(PROFILE_QMGR, &s, false);
	use_memory_and_time();
	use_events();
	use_threads();
	JAIL_CHECK(syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS);
	syscall(SYS_execve, "/bin/true", NULL, NULL);
}

START_TEST(strict_kills)
{
	int status = jail_child(break_out, NULL);

	ck_assert_msg(
	    WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "status %x", (unsigned)status);
}
END_TEST

/* Kernels that know less of Landlock: what their ABI has still holds. */

static void
enter_abi(void *arg)
{
	int abi = *(int *)arg, none[SANDBOX_DIR_COUNT] = { -1, -1, -1, -1, -1 }, fd;
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(41026),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };

	priv_drop(JAIL_UID, JAIL_UID, false);
	JAIL_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	JAIL_CHECK(landlock_enter(profile_row(PROFILE_ROUTER), none, NULL, 0, abi) ==
		   (abi == 0 ? -EOPNOTSUPP : 0));
	if (abi == 0)
		return;
	JAIL_CHECK(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	JAIL_CHECK((bind(fd, (struct sockaddr *)&sin, sizeof sin) == 0) == (abi < 4));
}

START_TEST(older_landlocks_hold_what_they_can)
{
	int abi = _i;

	if (abi <= sandbox_landlock_abi())
		ck_assert_int_eq(jail_child(enter_abi, &abi), 0);
}
END_TEST

/* Limits. */

static void
look_at_limits(void *arg)
{
	struct job *j = arg;
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	priv_drop(JAIL_UID, JAIL_UID, false);
	sandbox_enter(PROFILE_SMTPD_PARENT, &j->s);
	JAIL_CHECK(getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur <= 4096 && r.rlim_max > 4096);
	JAIL_CHECK(getrlimit(RLIMIT_CORE, &r) == 0 && r.rlim_max == 0);
	/* A worker in it has its own, for good. */
	if (fork() == 0) {
		sandbox_enter(PROFILE_SMTPD_WORKER, &j->s);
		JAIL_CHECK(syscall(SYS_dup3, 0, 18999, 0) <
			   0); /* not in the list, to be sure of the next line */
		JAIL_CHECK(fcntl(0, F_DUPFD_CLOEXEC, 4200) >= 4200);
		JAIL_CHECK(fcntl(0, F_DUPFD_CLOEXEC, 19000) < 0 && errno == EINVAL);
		_exit(0);
	} else {
		int status;

		JAIL_CHECK(wait4(-1, &status, 0, NULL) > 0 && status == 0);
	}
}

START_TEST(limits_of_parent_and_worker)
{
	struct job j = { PROFILE_SMTPD_WORKER, SANDBOX_INIT, -1 };
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	if (r.rlim_max >= 19000)
		ck_assert_int_eq(jail_child(look_at_limits, &j), 0);
}
END_TEST

/* The table. */

START_TEST(a_parent_contains_its_workers)
{
	const struct profile_row *w = profile_row((enum profile)_i), *p = profile_row(w->parent);

	ck_assert_uint_eq(w->calls & ~p->calls, 0);
	ck_assert_int_eq(w->service, p->service);
	ck_assert_int_le(w->tcp, p->tcp);
	for (unsigned i = 0; i < SANDBOX_DIR_COUNT; i++)
		ck_assert_int_le(w->beneath[i], p->beneath[i]);
	ck_assert(w == p || (p->calls & CALLS_FORK) != 0);
	ck_assert(w == p || (p->calls & CALLS_ENTER) != 0);
	/* local's worker has a child for each delivery. */
	ck_assert(w == p || w->service == SERVICE_LOCAL ||
		  (w->calls & (CALLS_FORK | CALLS_ENTER | CALLS_BECOME)) == 0);
	ck_assert_int_eq(profile_of_service(w->service), w->parent);
}
END_TEST

/*
 * What no list may hold, ever; and who appends has nothing that seeks, cuts, punches or moves
 * pages.
 */
START_TEST(lists_lack_what_they_must)
{
	static const int never[] = { SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv,
		SYS_process_vm_writev, SYS_io_uring_setup, SYS_io_uring_enter, SYS_bpf,
		SYS_userfaultfd, SYS_mount, SYS_open_by_handle_at, SYS_keyctl, SYS_personality,
		SYS_pwritev2, SYS_preadv2, SYS_setuid, SYS_setgid, SYS_chroot, SYS_chmod,
		SYS_fchmod, SYS_fchown, SYS_perf_event_open, SYS_vfork, SYS_clone3, SYS_splice,
		SYS_tee, SYS_vmsplice, SYS_copy_file_range, SYS_listen, SYS_dup3 };
	static const int becoming[] = { SYS_setresuid, SYS_capset };
	static const int not_on_segments[] = { SYS_pwrite64, SYS_pwritev, SYS_lseek, SYS_ftruncate,
		SYS_fallocate, SYS_sendfile, SYS_rename, SYS_renameat2, SYS_unlink };
	enum profile p = (enum profile)_i;

	for (size_t i = 0; i < sizeof never / sizeof *never; i++)
		ck_assert_msg(
		    !sandbox_lists(p, never[i]), "%s: call %d", profile_row(p)->word, never[i]);
	/* What nothing can be executed from, and only qmgr hands over. */
	ck_assert(!sandbox_lists(p, SYS_memfd_create) || p == PROFILE_QMGR);
	for (size_t i = 0; i < 2; i++)
		ck_assert_int_eq(
		    sandbox_lists(p, becoming[i]), (profile_row(p)->calls & CALLS_BECOME) != 0);
	if (profile_row(p)->calls & CALLS_APPEND)
		for (size_t i = 0; i < sizeof not_on_segments / sizeof *not_on_segments; i++)
			ck_assert_msg(!sandbox_lists(p, not_on_segments[i]), "%s: call %d",
			    profile_row(p)->word, not_on_segments[i]);
#ifndef ANG_SAN
	if (p == PROFILE_SMTPD_WORKER)
		ck_assert_uint_le(sandbox_list_length(p), 50);
#endif
	printf("calls_%s %u\n", profile_row(p)->word, sandbox_list_length(p));
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, a_parent_contains_its_workers, 0, PROFILE_COUNT);
	tcase_add_loop_test(tc, lists_lack_what_they_must, 0, PROFILE_COUNT);
	if (!jail_possible("sandbox"))
		return;
	tcase_add_loop_test(tc, each_row_can_work, 0, PROFILE_COUNT);
	tcase_add_test(tc, an_assertion_still_aborts);
#ifdef ANG_SAN
	tcase_add_loop_test(tc, findings_are_told, 0, PROFILE_COUNT);
#endif
	tcase_add_loop_test(tc, owners_keep_their_folder, 0, 2);
	tcase_add_test(tc, a_log_is_only_added_to);
	tcase_add_test(tc, the_local_worker_takes_drops);
	tcase_add_loop_test(tc, no_other_row_takes_drops, 0, PROFILE_COUNT);
	tcase_add_test(tc, deliver_connects_out);
	tcase_add_loop_test(tc, each_failing_step_ends_the_process, 0, 14);
	tcase_add_test(tc, entering_asks_for_one_thread_and_no_root);
	tcase_add_test(tc, strict_kills);
	tcase_add_loop_test(tc, older_landlocks_hold_what_they_can, 0, 8);
	tcase_add_test(tc, limits_of_parent_and_worker);
}

CHECK_MAIN("sandbox", cases)
