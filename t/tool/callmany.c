/* SPDX-License-Identifier: ISC */
/*
 * callmany: calls a command again and again, so many at a time, each with a message of its own on standard
 * input: a few header fields, X-Test-Id RUN-NUMBER among them, and filler.
 *
 *	callmany [-p parallel] [-n calls] [-l bytes] [-i RUN] [-a file] COMMAND...
 *
 *	-a	one name a line for each call that ended with 0
 *
 * Prints one line of name=value: calls, failed, seconds, rate, p50_ms and p99_ms of a call, and own_us, its own
 * CPU time for a call, which is no part of the command's. Exit 1 when a call failed.
 */
#include <bsd/stdlib.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/die.h"
#include "t/tool/net.h"

enum { PARALLEL_MAX = 256 };

extern char **environ;

static struct {
	int parallel, acks;
	long calls;
	size_t size;
	const char *run;
} opt = { .parallel = 4, .acks = -1, .calls = 100, .size = 4096, .run = "call" };

static struct {
	pid_t pid;
	long number;
	uint64_t begun_us;
} under_way[PARALLEL_MAX];

static long failed, ended;
static uint32_t *took_us;

/* A descriptor at the start of message `number`. */
static int
message(long number)
{
	static const char line[] =
	    "The quick brown fox jumps over the lazy dog, 0123456789 times.\n";
	struct buf b = { 0 };
	int fd = memfd_create("message", MFD_CLOEXEC);

	buf_printf(&b, "From: <caller@test.example>\nTo: <sink@test.example>\nSubject: call %ld\n",
	    number);
	buf_printf(&b, "X-Test-Id: %s-%ld\n\n", opt.run, number);
	while (b.n < opt.size)
		buf_put(&b, line, sizeof line - 1);
	if (fd < 0 || write(fd, b.p, b.n) != (ssize_t)b.n || lseek(fd, 0, SEEK_SET) != 0)
		die(EXIT_SOFTWARE, "memfd: %s", strerror(errno));
	buf_fini(&b);
	return fd;
}

static void
call(char *argv[], int at, long number)
{
	posix_spawn_file_actions_t actions;
	int in = message(number), err;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, 0);
	under_way[at].number = number;
	under_way[at].begun_us = net_now_us();
	err = posix_spawnp(&under_way[at].pid, argv[0], &actions, NULL, argv, environ);
	if (err != 0)
		die(EXIT_SOFTWARE, "%s: %s", argv[0], strerror(err));
	posix_spawn_file_actions_destroy(&actions);
	close(in);
}

/* Waits for one; returns its place. */
static int
reap(void)
{
	int status, at = 0;
	pid_t pid = wait(&status);
	char line[128];

	if (pid < 0)
		die(EXIT_SOFTWARE, "wait: %s", strerror(errno));
	while (under_way[at].pid != pid)
		at++;
	under_way[at].pid = 0;
	took_us[ended++] = (uint32_t)(net_now_us() - under_way[at].begun_us);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		failed++;
	} else if (opt.acks >= 0) {
		int n = snprintf(line, sizeof line, "%s-%ld\n", opt.run, under_way[at].number);

		net_append_line(opt.acks, line, (size_t)n);
	}
	return at;
}

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double
percentile_ms(long p)
{
	long at = (ended - 1) * p / 100;

	return ended == 0 ? 0 : took_us[at] / 1000.0;
}

static void
report(double seconds)
{
	struct rusage own;
	double own_us;

	getrusage(RUSAGE_SELF, &own);
	own_us = (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) * 1e6 +
		 (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec);
	qsort(took_us, (size_t)ended, sizeof *took_us, by_size);
	printf("calls=%ld failed=%ld seconds=%.3f rate=%.1f p50_ms=%.2f p99_ms=%.2f own_us=%.1f\n",
	    ended, failed, seconds, (double)ended / seconds, percentile_ms(50), percentile_ms(99),
	    own_us / (double)ended);
}

static void
options(int argc, char *argv[])
{
	const char *err = NULL;
	int c;

	while ((c = getopt(argc, argv, "+a:i:l:n:p:")) != -1) {
		switch (c) {
		case 'a':
			opt.acks = net_append_open(optarg);
			break;
		case 'i':
			opt.run = optarg;
			break;
		case 'l':
			opt.size = (size_t)strtonum(optarg, 0, 1L << 30, &err);
			break;
		case 'n':
			opt.calls = (long)strtonum(optarg, 1, 100000000, &err);
			break;
		case 'p':
			opt.parallel = (int)strtonum(optarg, 1, PARALLEL_MAX, &err);
			break;
		default:
			err = "wrong";
		}
	}
	if (err != NULL || optind == argc)
		die(EXIT_USAGE, "see the head of t/tool/callmany.c");
}

int
main(int argc, char *argv[])
{
	uint64_t start_us;
	long begun = 0;

	options(argc, argv);
	took_us = xcalloc((size_t)opt.calls, sizeof *took_us);
	start_us = net_now_us();
	while (begun < opt.parallel && begun < opt.calls) {
		call(argv + optind, (int)begun, begun);
		begun++;
	}
	while (ended < opt.calls) {
		int at = reap();

		if (begun < opt.calls)
			call(argv + optind, at, begun++);
	}
	report((double)(net_now_us() - start_us) / 1e6);
	free(took_us);
	return failed == 0 ? 0 : 1;
}
