/* SPDX-License-Identifier: ISC */
/* The log file when the disk is not as one would wish; a limit of file size stands for a full disk.
 */
#include "ask.h"

#include "logd/sink.h"

#include <signal.h>
#include <sys/resource.h>

enum { LINE = 100 };

static struct ask_world w;
static struct sink *sink;
static struct buf file;
static unsigned said;

static void
limit(rlim_t bytes)
{
	struct rlimit r = { bytes, RLIM_INFINITY };

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void
setup(void)
{
	static const struct ctl_verb none[] = { { NULL, CTL_ADMIN, false, NULL, NULL } };

	ask_open(&w, none, NULL);
	sink = sink_new(w.loop, w.dirfd, SINK_FILE);
	ck_assert_int_eq(sink_error(sink), 0);
	said = 0;
}

static void
teardown(void)
{
	limit(RLIM_INFINITY);
	sink_free(sink);
	buf_fini(&file);
	ask_close(&w);
}

/* Numbered lines of the same length. */
static void
say(unsigned n, bool urgent)
{
	while (n-- > 0) {
		char line[LINE + 1];

		snprintf(line, sizeof line, "%08u%*s\n", said++, LINE - 9, "x");
		buf_put(sink_buf(sink), line, LINE);
		sink_line_done(sink, urgent);
	}
}

/* The file holds whole lines in order; returns how many of those said are missing. */
static unsigned
check_file(const char *name, unsigned first, unsigned *last)
{
	unsigned missing = 0, next = first;
	bool good = true;

	file_get(&w, name, &file);
	ck_assert_uint_eq(file.n % LINE, 0);
	for (size_t at = 0; at < file.n; at += LINE) {
		unsigned number = (unsigned)strtoul(file.p + at, NULL, 10);

		good &=
		    number >= next && file.p[at + LINE - 1] == '\n' && file.p[at + LINE - 2] == 'x';
		missing += number - next;
		next = number + 1;
	}
	ck_assert(good);
	*last = next;
	return missing;
}

static void
all_there(void)
{
	unsigned end;

	ck_assert_uint_eq(check_file(SINK_FILE, 0, &end), 0);
	ck_assert_uint_eq(end, said);
	ck_assert_uint_eq(sink_lines(sink), said);
	ck_assert_uint_eq(sink_lost(sink), 0);
}

START_TEST(lines_gather)
{
	say(3, false);
	file_get(&w, SINK_FILE, &file);
	ck_assert_uint_eq(file.n, 0);
	/* For so long only. */
	while (file.n == 0) {
		loop_turn(w.loop, true);
		file_get(&w, SINK_FILE, &file);
	}
	all_there();
	/* Or until there are many. */
	say(16 * 1024 / LINE + 1, false);
	all_there();
	/* Or one that cannot wait. */
	say(2, false);
	say(1, true);
	all_there();
}
END_TEST

START_TEST(the_end_writes_what_waits)
{
	say(3, false);
	sink_free(sink);
	sink = NULL;
	file_get(&w, SINK_FILE, &file);
	ck_assert_uint_eq(file.n, 3 * LINE);
	sink = sink_new(w.loop, w.dirfd, SINK_FILE);
}
END_TEST

/* In the middle of a line or not: what follows continues where it broke off. */
START_TEST(retried)
{
	static const rlim_t sizes[] = { 0, LINE * 5, LINE * 5 + 1, LINE * 6 - 1 };

	limit(sizes[_i]);
	say(10, true);
	ck_assert_int_eq(sink_error(sink), EFBIG);
	file_get(&w, SINK_FILE, &file);
	ck_assert_uint_eq(file.n, sizes[_i]);
	say(10, true);
	/* By the timer, not before. */
	limit(RLIM_INFINITY);
	file_get(&w, SINK_FILE, &file);
	ck_assert_uint_eq(file.n, sizes[_i]);
	while (sink_error(sink) != 0)
		loop_turn(w.loop, true);
	say(1, true);
	all_there();
}
END_TEST

/* Beyond 4 MiB the oldest lines are lost, and counted; never a part of one. */
START_TEST(shed)
{
	static const rlim_t sizes[] = { 0, LINE * 7, LINE * 7 + 50 };
	unsigned end, missing;

	limit(sizes[_i]);
	say(50000, false);
	ck_assert_uint_ge(sink_lost(sink), 50000 - 4 * 1024 * 1024 / LINE - 10);
	ck_assert_uint_le(sink_buf(sink)->n, 4 * 1024 * 1024 + LINE);
	limit(RLIM_INFINITY);
	sink_flush(sink);
	ck_assert_int_eq(sink_error(sink), 0);
	say(1, true);
	missing = check_file(SINK_FILE, 0, &end);
	ck_assert_uint_eq(end, said);
	ck_assert_uint_eq(missing, sink_lost(sink));
	ck_assert_uint_ge(missing, 50000 - 4 * 1024 * 1024 / LINE - 10);
}
END_TEST

START_TEST(reopened)
{
	unsigned end;

	say(5, false);
	ck_assert_int_eq(renameat(w.dirfd, SINK_FILE, w.dirfd, "moved"), 0);
	say(5, false);
	sink_reopen(sink); /* what was said before goes into the old one */
	ck_assert_uint_eq(check_file("moved", 0, &end), 0);
	ck_assert_uint_eq(end, 10);
	say(5, true);
	ck_assert_uint_eq(check_file(SINK_FILE, 10, &end), 0);
	ck_assert_uint_eq(end, 15);
}
END_TEST

/* With a line half written: the same file goes on, another begins with a whole one. */
START_TEST(reopened_within_a_line)
{
	unsigned end;

	limit(LINE * 3 + 10);
	say(5, true);
	if (_i == 1)
		ck_assert_int_eq(renameat(w.dirfd, SINK_FILE, w.dirfd, "moved"), 0);
	limit(_i == 1 ? 0 : LINE * 3 + 10);
	sink_reopen(sink);
	limit(RLIM_INFINITY);
	sink_flush(sink);
	say(1, true);
	if (_i == 0)
		all_there();
	else {
		ck_assert_uint_eq(check_file(SINK_FILE, 4, &end), 0);
		ck_assert_uint_eq(end, 6);
		ck_assert_uint_eq(sink_lost(sink), 1);
	}
}
END_TEST

/* A file that cannot be opened is tried again. */
START_TEST(no_file)
{
	ck_assert_int_eq(unlinkat(w.dirfd, SINK_FILE, 0), 0);
	ck_assert_int_eq(symlinkat("/dev/null", w.dirfd, SINK_FILE), 0);
	sink_reopen(sink);
	ck_assert_int_eq(sink_error(sink), ELOOP);
	say(3, true);
	ck_assert_int_eq(sink_error(sink), ELOOP);
	ck_assert_int_eq(unlinkat(w.dirfd, SINK_FILE, 0), 0);
	sink_flush(sink);
	ck_assert_int_eq(sink_error(sink), 0);
	all_there();
}
END_TEST

/* Half a line, of a process that was killed, does not become one with the next. */
START_TEST(half_a_line)
{
	unsigned last;
	int fd;

	say(2, true);
	sink_free(sink);
	fd = openat(w.dirfd, SINK_FILE, O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert_int_eq(write(fd, "00000002 x", 10), 10);
	close(fd);
	sink = sink_new(w.loop, w.dirfd, SINK_FILE);
	ck_assert_uint_eq(sink_lost(sink), 1);
	say(1, true);
	file_get(&w, SINK_FILE, &file);
	ck_assert_uint_eq(file.n, 3 * LINE + 11);
	ck_assert_int_eq(memcmp(file.p + 2 * LINE, "00000002 x\n00000002 ", 20), 0);
	/* A file that ends as it should is left alone. */
	sink_reopen(sink);
	ck_assert_uint_eq(sink_lost(sink), 1);
	unlinkat(w.dirfd, SINK_FILE, 0);
	sink_reopen(sink);
	say(3, true);
	ck_assert_uint_eq(check_file(SINK_FILE, 3, &last), 0);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, half_a_line);
	tcase_add_test(tc, lines_gather);
	tcase_add_test(tc, the_end_writes_what_waits);
	tcase_add_loop_test(tc, retried, 0, 4);
	tcase_add_loop_test(tc, shed, 0, 3);
	tcase_add_test(tc, reopened);
	tcase_add_loop_test(tc, reopened_within_a_line, 0, 2);
	tcase_add_test(tc, no_file);
}
CHECK_MAIN("sink", cases)
