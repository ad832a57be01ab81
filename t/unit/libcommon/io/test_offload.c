/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "io/offload.h"

#include <pthread.h>
#include <signal.h>

enum { JOBS = 500 };

struct work {
	struct job job;
	unsigned number, ran, done;
	pthread_t where;
	bool signals_blocked;
	struct work *then; /* submitted by done() */
};

static struct loop *loop;
static struct offload *threads;
static struct work works[JOBS];
static unsigned ndone, order[JOBS];
static pthread_t loop_thread;

static void
run(struct job *j)
{
	struct work *w = (struct work *)j;
	sigset_t now;

	w->ran++;
	w->where = pthread_self();
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	w->signals_blocked = sigismember(&now, SIGTERM) == 1 && sigismember(&now, SIGCHLD) == 1;
}

static void
done(struct job *j)
{
	struct work *w = (struct work *)j;

	ck_assert(pthread_equal(pthread_self(), loop_thread));
	ck_assert_uint_eq(w->ran, 1);
	w->done++;
	order[ndone++] = w->number;
	if (w->then != NULL)
		offload_submit(threads, &w->then->job);
}

static void
open_threads(unsigned n)
{
	loop = loop_new();
	loop_thread = pthread_self();
	threads = offload_new(loop, n);
	for (unsigned i = 0; i < JOBS; i++)
		works[i] = (struct work){ .job = { .run = run, .done = done }, .number = i };
	ndone = 0;
}

static void
each_once(void)
{
	ck_assert_uint_eq(ndone, JOBS);
	for (unsigned i = 0; i < JOBS; i++) {
		ck_assert_uint_eq(works[i].done, 1);
		ck_assert(!pthread_equal(works[i].where, loop_thread));
		ck_assert(works[i].signals_blocked);
	}
}

/* Each is run once in a thread and told once in the loop; one thread keeps the order. */
START_TEST(jobs_are_done)
{
	static const unsigned counts[] = { 0, 1, 4, 99 };

	open_threads(counts[_i]);
	for (unsigned i = 0; i < JOBS; i++)
		offload_submit(threads, &works[i].job);
	while (ndone < JOBS)
		loop_turn(loop, true);
	each_once();
	if (counts[_i] <= 1)
		for (unsigned i = 0; i < JOBS; i++)
			ck_assert_uint_eq(order[i], i);
	offload_free(threads);
	loop_free(loop);
}
END_TEST

/* done() may submit: each begets the next. */
START_TEST(jobs_beget_jobs)
{
	open_threads(2);
	for (unsigned i = 0; i + 1 < JOBS; i++)
		works[i].then = &works[i + 1];
	offload_submit(threads, &works[0].job);
	while (ndone < JOBS)
		loop_turn(loop, true);
	each_once();
	offload_free(threads);
	loop_free(loop);
}
END_TEST

/* Freed while jobs wait, run, or beget others: all are run and told before it returns. */
START_TEST(free_waits)
{
	open_threads(3);
	if (_i == 0)
		for (unsigned i = 0; i < JOBS; i++)
			offload_submit(threads, &works[i].job);
	else {
		for (unsigned i = 0; i + 1 < JOBS; i++)
			works[i].then = &works[i + 1];
		offload_submit(threads, &works[0].job);
	}
	offload_free(threads);
	ck_assert_uint_eq(ndone, JOBS);
	for (unsigned i = 0; i < JOBS; i++)
		ck_assert(works[i].ran == 1 && works[i].done == 1);
	loop_free(loop);
}
END_TEST

START_TEST(free_nothing)
{
	open_threads(1);
	offload_free(threads);
	offload_free(NULL);
	loop_free(loop);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, jobs_are_done, 0, 4);
	tcase_add_test(tc, jobs_beget_jobs);
	tcase_add_loop_test(tc, free_waits, 0, 2);
	tcase_add_test(tc, free_nothing);
}
CHECK_MAIN("offload", cases)
