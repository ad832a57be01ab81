/* SPDX-License-Identifier: ISC */
#include "io/offload.h"

#include "base/die.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { THREADS_MAX = 16 };

struct list {
	struct job *first, **last;
};

struct offload {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct list todo, done; /* under lock */
	bool ending;		/* under lock */
	unsigned threads;
	pthread_t thread[THREADS_MAX];
	int bell; /* eventfd: something is in done */
	struct watch *watch;
};

static void
list_put(struct list *l, struct job *j)
{
	j->next = NULL;
	*l->last = j;
	l->last = &j->next;
}

static struct job *
list_take_all(struct list *l)
{
	struct job *j = l->first;

	l->first = NULL;
	l->last = &l->first;
	return j;
}

static void
ring(int bell)
{
	uint64_t one = 1;

	while (write(bell, &one, sizeof one) < 0 && errno == EINTR)
		;
}

static void *
thread_main(void *arg)
{
	struct offload *o = arg;
	struct job *j;
	bool first;

	pthread_mutex_lock(&o->lock);
	for (;;) {
		while (o->todo.first == NULL && !o->ending)
			pthread_cond_wait(&o->work, &o->lock);
		if (o->todo.first == NULL)
			break;
		j = o->todo.first;
		o->todo.first = j->next;
		if (o->todo.first == NULL)
			o->todo.last = &o->todo.first;
		pthread_mutex_unlock(&o->lock);
		j->run(j);
		pthread_mutex_lock(&o->lock);
		first = o->done.first == NULL;
		list_put(&o->done, j);
		if (!first)
			continue;
		pthread_mutex_unlock(&o->lock); /* the loop will want it as soon as it hears */
		ring(o->bell);
		pthread_mutex_lock(&o->lock);
	}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

static void
tell_done(struct offload *o)
{
	struct job *j, *next;

	pthread_mutex_lock(&o->lock);
	j = list_take_all(&o->done);
	pthread_mutex_unlock(&o->lock);
	for (; j != NULL; j = next) {
		next = j->next;
		j->done(j);
	}
}

static void
on_bell(int fd, int ready, void *arg)
{
	uint64_t n;

	(void)ready;
	if (read(fd, &n, sizeof n) < 0)
		return;
	tell_done(arg);
}

/* What a done() submits when no thread is left. */
static void
run_here(struct offload *o)
{
	struct job *j = list_take_all(&o->todo), *next;

	for (; j != NULL; j = next) {
		next = j->next;
		j->run(j);
		list_put(&o->done, j);
	}
}

/* Signals belong to the loop's thread. */
static void
start_threads(struct offload *o)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned i = 0; i < o->threads; i++) {
		int err = pthread_create(&o->thread[i], NULL, thread_main, o);

		if (err != 0)
			die(EXIT_TEMP, "a thread cannot be started: %s", strerror(err));
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

struct offload *
offload_new(struct loop *l, unsigned threads)
{
	struct offload *o = xcalloc(1, sizeof *o);

	o->threads = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->work, NULL);
	list_take_all(&o->todo);
	list_take_all(&o->done);
	o->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (o->bell < 0)
		die(EXIT_TEMP, "eventfd: %s", strerror(errno));
	o->watch = watch_new(l, o->bell, on_bell, o);
	watch_want(o->watch, WATCH_READ);
	start_threads(o);
	return o;
}

void
offload_submit(struct offload *o, struct job *j)
{
	pthread_mutex_lock(&o->lock);
	list_put(&o->todo, j);
	pthread_mutex_unlock(&o->lock);
	/* Not before: who is woken would stand at the lock at once. */
	pthread_cond_signal(&o->work);
}

void
offload_free(struct offload *o)
{
	if (o == NULL)
		return;
	pthread_mutex_lock(&o->lock);
	o->ending = true;
	pthread_cond_broadcast(&o->work);
	pthread_mutex_unlock(&o->lock);
	for (unsigned i = 0; i < o->threads; i++)
		pthread_join(o->thread[i], NULL);
	for (tell_done(o); o->todo.first != NULL; tell_done(o))
		run_here(o);
	watch_free(o->watch);
	close(o->bell);
	pthread_cond_destroy(&o->work);
	pthread_mutex_destroy(&o->lock);
	free(o);
}
