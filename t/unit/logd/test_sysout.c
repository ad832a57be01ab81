/* SPDX-License-Identifier: ISC */
/* Lines to a syslog daemon that is slow, away, gone for good, or new. */
#include "../check_main.h"

#include "base/buf.h"
#include "logd/sysout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct loop *loop;
static struct sysout *out;
static char dir[64];
static int back, daemon_fd;
static unsigned said, next;

static int
daemon_new(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "log" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	unlink("log");
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	return fd;
}

static void
setup(void)
{
	slice_copy(SLICE_LIT("/tmp/test_sysout.XXXXXX"), dir, sizeof dir);
	back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert(mkdtemp(dir) != NULL && chdir(dir) == 0);
	loop = loop_new();
	said = next = 0;
	daemon_fd = daemon_new();
}

static void
teardown(void)
{
	sysout_free(out);
	loop_free(loop);
	if (daemon_fd >= 0)
		close(daemon_fd);
	unlink("log");
	ck_assert_int_eq(fchdir(back), 0);
	rmdir(dir);
	close(back);
}

static void
say(unsigned n, size_t bytes)
{
	char line[4096];

	while (n-- > 0) {
		memset(line, 'x', bytes);
		snprintf(line, 10, "%08u ", said++);
		sysout_line(out, slice_of(line, bytes));
	}
}

/* What the daemon has got, in order. */
static unsigned
hear(void)
{
	char line[4096];
	unsigned n = 0;
	ssize_t got;

	while ((got = recv(daemon_fd, line, sizeof line - 1, 0)) >= 0) {
		unsigned number;

		line[got] = '\0';
		ck_assert_int_eq(sscanf(line, "%8u", &number), 1);
		ck_assert_uint_ge(number, next);
		next = number + 1;
		n++;
	}
	ck_assert_int_eq(errno, EAGAIN);
	return n;
}

START_TEST(a_slow_daemon_gets_all_in_order)
{
	unsigned heard = 0;

	out = sysout_new(loop, "log", sysout_connect("log"));
	say(5000, 100); /* more than a socket's queue holds */
	for (unsigned i = 0; heard < 5000 && i < 10000; i++) {
		loop_turn(loop, false);
		heard += hear();
	}
	ck_assert_uint_eq(heard, 5000);
	say(3, 50);
	ck_assert_uint_eq(hear(), 3); /* at once, when nothing waits */
	ck_assert_uint_eq(sysout_lost(out), 0);
	ck_assert_int_eq(sysout_error(out), 0);
}
END_TEST

START_TEST(a_dead_one_costs_memory_to_a_bound)
{
	out = sysout_new(loop, "log", sysout_connect("log"));
	say(1500, 1000);
	ck_assert_uint_gt(sysout_lost(out), 400);
	ck_assert_uint_lt(sysout_lost(out), 500);
	loop_turn(loop, false);
}
END_TEST

/* The queue is full when it dies; a new one at the same place hears what waited. */
START_TEST(a_new_daemon_is_found)
{
	unsigned heard = 0;

	out = sysout_new(loop, "log", sysout_connect("log"));
	say(2000, 100);
	heard = hear();
	close(daemon_fd);
	loop_turn(loop, false);
	say(1, 100);
	loop_turn(loop, false);
	ck_assert_int_ne(sysout_error(out), 0);
	daemon_fd = daemon_new();
	while (heard < 2001) {
		loop_turn(loop, true); /* it tries again each second */
		heard += hear();
	}
	ck_assert_int_eq(sysout_error(out), 0);
	ck_assert_uint_eq(sysout_lost(out), 0);
}
END_TEST

START_TEST(out_of_reach)
{
	out = sysout_new(loop, NULL, sysout_connect("log"));
	say(3, 100);
	ck_assert_uint_eq(hear(), 3);
	close(daemon_fd);
	daemon_fd = -1;
	say(4, 100);
	ck_assert_uint_eq(sysout_lost(out), 4);
	ck_assert_int_ne(sysout_error(out), 0);
}
END_TEST

START_TEST(never_there)
{
	close(daemon_fd);
	unlink("log");
	out = sysout_new(loop, "log", sysout_connect("log"));
	ck_assert_int_eq(sysout_error(out), ENOENT);
	say(2, 100);
	daemon_fd = daemon_new();
	while (hear() == 0)
		loop_turn(loop, true);
	ck_assert_uint_eq(next, 2);
	ck_assert_int_eq(sysout_connect("/nowhere/log"), -ENOENT);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_slow_daemon_gets_all_in_order);
	tcase_add_test(tc, a_dead_one_costs_memory_to_a_bound);
	tcase_add_test(tc, a_new_daemon_is_found);
	tcase_add_test(tc, out_of_reach);
	tcase_add_test(tc, never_there);
}
CHECK_MAIN("sysout", cases)
