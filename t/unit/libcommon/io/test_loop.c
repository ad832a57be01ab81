/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "base/buf.h"
#include "io/loop.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop *loop;
static struct buf seen; /* a letter for each thing that ran */

static void
setup(void)
{
	loop = loop_new();
	buf_reset(&seen);
}

static void
teardown(void)
{
	loop_free(loop);
	buf_fini(&seen);
}

static void
saw(const char *want)
{
	ck_assert_msg(slice_is(slice_buf(&seen), want), "saw %.*s, not %s",
	    SLICE_ARG(slice_buf(&seen)), want);
	buf_reset(&seen);
}

static void
note(void *arg)
{
	buf_puts(&seen, arg);
}

static char A[] = "a", B[] = "b", C[] = "c";

/* An eventfd stays readable and writable as long as nobody touches it. */
static int
ready_fd(void)
{
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static void
note_ready(int fd, int ready, void *arg)
{
	(void)fd;
	note(arg);
	buf_puts(&seen, ready == (WATCH_READ | WATCH_WRITE) ? "3"
			: ready == WATCH_READ		    ? "1"
							    : "2");
}

/* However long it stays ready, it is told once a turn, and the turn ends. */
START_TEST(a_turn_ends_although_something_stays_ready)
{
	int fd = ready_fd();
	struct watch *w = watch_new(loop, fd, note_ready, A);

	loop_at_turn_end(loop, 0, note, C);
	watch_want(w, WATCH_READ);
	for (int i = 0; i < 3; i++) {
		loop_turn(loop, i == 1);
		saw("a1c");
	}
	watch_free(w);
	loop_turn(loop, false);
	saw("c");
	close(fd);
}
END_TEST

START_TEST(wishes)
{
	static const struct {
		int wishes;
		const char *saw;
	} rows[] = { { 0, "" }, { WATCH_READ, "a1" }, { WATCH_WRITE, "a2" },
		{ WATCH_READ | WATCH_WRITE, "a3" }, { 0, "" }, { WATCH_WRITE, "a2" },
		{ WATCH_WRITE, "a2" } };
	int fd = ready_fd();
	struct watch *w = watch_new(loop, fd, note_ready, A);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		watch_want(w, rows[i].wishes);
		loop_turn(loop, false);
		saw(rows[i].saw);
	}
	watch_free(w);
	watch_free(NULL);
	close(fd);
}
END_TEST

static struct watch *two[2];

static void
free_both(int fd, int ready, void *arg)
{
	(void)fd;
	(void)ready;
	note(arg);
	watch_free(two[0]);
	watch_free(two[1]);
	two[0] = two[1] = NULL;
}

/* Both are ready; whichever is told first frees both, and the other is not told. */
START_TEST(a_watch_may_free_itself_and_others)
{
	int fds[2];

	for (int i = 0; i < 2; i++) {
		fds[i] = ready_fd();
		two[i] = watch_new(loop, fds[i], free_both, A);
		watch_want(two[i], WATCH_READ);
	}
	loop_turn(loop, false);
	loop_turn(loop, false);
	saw("a");
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(timers)
{
	struct timer *a = timer_new(loop, note, A), *b = timer_new(loop, note, B),
		     *c = timer_new(loop, note, C);

	ck_assert(!timer_is_set(a));
	/* Set first, due last, by more than a busy machine keeps us between two lines. */
	timer_set(b, 200);
	timer_set(a, 2);
	timer_set(c, 1);
	timer_stop(c);
	ck_assert(timer_is_set(a) && timer_is_set(b) && !timer_is_set(c));
	while (timer_is_set(b))
		loop_turn(loop, true);
	saw("ab");
	/* One shot; set again it moves. */
	loop_turn(loop, false);
	saw("");
	timer_set(a, 3600000);
	timer_set(b, 200);
	timer_set(a, 1);
	while (timer_is_set(b))
		loop_turn(loop, true);
	saw("ab");
	timer_set(a, 1);
	timer_free(a);
	timer_free(b);
	timer_free(c);
	timer_free(NULL);
	loop_turn(loop, false);
	saw("");
}
END_TEST

static struct timer *own;

static void
free_own(void *arg)
{
	note(arg);
	timer_free(own);
	own = NULL;
}

START_TEST(a_timer_may_free_itself)
{
	own = timer_new(loop, free_own, A);
	timer_set(own, 0);
	while (own != NULL)
		loop_turn(loop, true);
	saw("a");
}
END_TEST

static struct deferred da = { .fn = note, .arg = A }, db = { .fn = note, .arg = B }, again;
static int rounds;

static void
defer_again(void *arg)
{
	note(arg);
	if (--rounds > 0)
		loop_defer(loop, &again);
	loop_defer(loop, &da);
}

/* In the order set, once; what is deferred meanwhile waits for the next turn, which does not sleep
 * before it. */
START_TEST(deferred)
{
	loop_at_turn_end(loop, 0, note, C);
	loop_defer(loop, &db);
	loop_defer(loop, &da);
	loop_defer(loop, &db);
	loop_turn(loop, true);
	saw("bac");
	again = (struct deferred){ .fn = defer_again, .arg = B };
	rounds = 3;
	loop_defer(loop, &again);
	loop_turn(loop, true);
	saw("bc");
	loop_turn(loop, true);
	saw("bac"); /* A was set already, when B set it again */
	loop_turn(loop, true);
	saw("bc");
	loop_turn(loop, true);
	saw("ac");
	loop_turn(loop, false);
	saw("c");
}
END_TEST

/* From a turn's end too: nothing waits for the next thing to happen. */
static void
defer_at_end(void *arg)
{
	note(arg);
	if (rounds-- > 0)
		loop_defer(loop, &da);
}

START_TEST(deferred_at_the_end)
{
	rounds = 1;
	loop_at_turn_end(loop, 0, defer_at_end, C);
	loop_turn(loop, false);
	loop_turn(loop, true);
	saw("cac");
}
END_TEST

static void
stop_at_end(void *arg)
{
	note(arg);
	loop_stop(loop);
}

START_TEST(ends_have_ranks)
{
	loop_at_turn_end(loop, 20, note, C);
	loop_at_turn_end(loop, 0, note, A);
	loop_at_turn_end(loop, 10, note, B);
	loop_at_turn_end(loop, 10, note, A);
	loop_turn(loop, false);
	saw("abac");
	loop_at_turn_end_remove(loop, note, A);
	loop_at_turn_end_remove(loop, note, &rounds);
	loop_turn(loop, false);
	saw("bac");
}
END_TEST

/* What was put before the loop began goes out although nothing happens. */
START_TEST(the_first_turn_does_not_wait)
{
	loop_at_turn_end(loop, 0, stop_at_end, C);
	loop_run(loop);
	saw("c");
}
END_TEST

static void
stop(void *arg)
{
	note(arg);
	loop_stop(loop);
}

/* The turn in which it is stopped is run to its end. */
START_TEST(stopped)
{
	struct timer *t = timer_new(loop, stop, A);

	loop_at_turn_end(loop, 0, note, C);
	timer_set(t, 1);
	loop_run(loop);
	ck_assert(seen.n >= 2 && seen.p[seen.n - 2] == 'a' && seen.p[seen.n - 1] == 'c');
	timer_free(t);
}
END_TEST

static void
on_signal(int signo, void *arg)
{
	note(arg);
	ck_assert_int_eq(signo, SIGUSR1);
}

START_TEST(signals)
{
	int status;
	pid_t pid;

	loop_signal(loop, SIGUSR1, on_signal, A);
	raise(SIGUSR1);
	saw("");
	loop_turn(loop, true);
	saw("a");
	/* A child that lets go of the loop dies of it as anybody would. */
	pid = fork();
	if (pid == 0) {
		loop_abandon(loop);
		raise(SIGUSR1);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
	/* And the parent still has it. */
	raise(SIGUSR1);
	loop_turn(loop, true);
	saw("a");
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_turn_ends_although_something_stays_ready);
	tcase_add_test(tc, wishes);
	tcase_add_test(tc, a_watch_may_free_itself_and_others);
	tcase_add_test(tc, timers);
	tcase_add_test(tc, a_timer_may_free_itself);
	tcase_add_test(tc, deferred);
	tcase_add_test(tc, deferred_at_the_end);
	tcase_add_test(tc, ends_have_ranks);
	tcase_add_test(tc, the_first_turn_does_not_wait);
	tcase_add_test(tc, stopped);
	tcase_add_test(tc, signals);
}
CHECK_MAIN("loop", cases)
