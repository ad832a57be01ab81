/* SPDX-License-Identifier: ISC */
#include "priv/notify.h"

#include "../../check_main.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int
supervisor(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	memcpy(sun.sun_path, name, strlen(name));
	if (name[0] == '@')
		sun.sun_path[0] = '\0';
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
	    0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

static void
told(int fd, const char *what)
{
	char buf[64];
	ssize_t n = recv(fd, buf, sizeof buf - 1, 0);

	ck_assert_int_ge(n, 0);
	buf[n] = '\0';
	ck_assert_str_eq(buf, what);
}

START_TEST(readiness_is_told)
{
	char names[2][64];
	struct notify n;
	int fd;

	snprintf(names[0], sizeof names[0], "/tmp/ang-notify-%d", (int)getpid());
	snprintf(names[1], sizeof names[1], "@ang-notify-%d", (int)getpid());
	fd = supervisor(names[_i]);
	ck_assert_int_eq(notify_open(&n, -1), 0);
	ck_assert_ptr_null(getenv("NOTIFY_SOCKET")); /* nobody after us shall speak for us */
	if (_i == 0)
		unlink(names[0]); /* it is connected: the name is not needed any more */
	notify_ready(&n);
	told(fd, "READY=1");
	notify_say(&n, "STOPPING=1");
	told(fd, "STOPPING=1");
	close(fd);
	notify_say(&n, "READY=1"); /* a supervisor that went away is no reason to fail */
	notify_close(&n);
	ck_assert_int_eq(n.socket, -1);
}
END_TEST

/* Eight services that reload at once say more than its queue holds. */
START_TEST(a_busy_supervisor_is_waited_for)
{
	char name[64];
	struct notify n, others;
	struct pollfd end = { .events = POLLIN };
	int fd, status;
	pid_t pid;

	snprintf(name, sizeof name, "@ang-notify-%d", (int)getpid());
	fd = supervisor(name);
	ck_assert_int_eq(notify_open(&others, -1), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	ck_assert_int_eq(notify_open(&n, -1), 0);
	while (send(others.socket, "X=1", 3, MSG_DONTWAIT) == 3)
		;
	pid = fork();
	if (pid == 0) {
		notify_ready(&n);
		_exit(0);
	}
	end.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	ck_assert_int_ge(end.fd, 0);
	ck_assert_int_eq(poll(&end, 1, 300), 0);
	told(fd, "X=1");
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	for (char buf[16]; recv(fd, buf, sizeof buf, MSG_PEEK) == 3;)
		told(fd, "X=1");
	told(fd, "READY=1");
	close(end.fd);
	close(fd);
	notify_close(&n);
	notify_close(&others);
}
END_TEST

START_TEST(readiness_by_descriptor)
{
	struct notify n;
	char buf[4];
	int p[2];

	ck_assert_int_eq(pipe(p), 0);
	unsetenv("NOTIFY_SOCKET");
	ck_assert_int_eq(notify_open(&n, p[1]), 0);
	notify_ready(&n);
	ck_assert_int_eq(read(p[0], buf, sizeof buf), 1);
	ck_assert_int_eq(buf[0], '\n');
	ck_assert_int_eq(read(p[0], buf, sizeof buf), 0); /* closed: s6 wants it so */
	notify_ready(&n); /* again, after a reload: nothing left to write to */
	close(p[0]);
}
END_TEST

START_TEST(a_bad_name_is_said)
{
	static const struct {
		const char *name;
		int err;
	} rows[] = {
		{ "relative", -EINVAL },
		{ "", -EINVAL },
		{ "@", -EINVAL },
		{ "vsock:2:1234", -EINVAL },
		{ "/nowhere/at/all", -ENOENT },
	};
	char name[256];
	struct notify n;

	setenv("NOTIFY_SOCKET", rows[_i].name, 1);
	ck_assert_int_eq(notify_open(&n, -1), rows[_i].err);
	ck_assert_int_eq(n.socket, -1);
	memset(name, 'a', sizeof name - 1);
	name[0] = '/';
	name[sizeof name - 1] = '\0';
	setenv("NOTIFY_SOCKET", name, 1);
	ck_assert_int_eq(notify_open(&n, -1), -ENAMETOOLONG);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, readiness_is_told, 0, 2);
	tcase_add_test(tc, a_busy_supervisor_is_waited_for);
	tcase_add_test(tc, readiness_by_descriptor);
	tcase_add_loop_test(tc, a_bad_name_is_said, 0, 5);
}

CHECK_MAIN("notify", cases)
