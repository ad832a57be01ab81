/* SPDX-License-Identifier: ISC */
#include "io/loop.h"

#include "base/die.h"

#include <event2/event.h>
#include <stdlib.h>

enum { HOOKS_MAX = 16, SIGNALS_MAX = 8 };

struct hook {
	int rank;
	void (*fn)(void *);
	void *arg;
};

struct signal_note {
	struct event *ev;
	loop_signal_fn *fn;
	void *arg;
};

struct loop {
	struct event_base *base;
	struct deferred *first, **last;
	struct hook hooks[HOOKS_MAX];
	unsigned nhooks, nsignals;
	struct signal_note signals[SIGNALS_MAX];
	bool begun, stopped;
};

struct watch {
	struct loop *loop;
	struct event *ev;
	watch_fn *fn;
	void *arg;
	int fd, wishes;
};

struct timer {
	struct event *ev;
	timer_fn *fn;
	void *arg;
	bool set; /* asked for each line of a session, each event of a log */
};

struct loop *
loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof *l);
	struct event_config *cfg = event_config_new();

	if (cfg == NULL || event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK) != 0)
		die(EXIT_TEMP, "event loop cannot be configured");
	l->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (l->base == NULL)
		die(EXIT_TEMP, "event loop cannot be made");
	l->last = &l->first;
	return l;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	for (unsigned i = 0; i < l->nsignals; i++)
		event_free(l->signals[i].ev);
	event_base_free(l->base);
	free(l);
}

void
loop_abandon(struct loop *l)
{
	for (unsigned i = 0; i < l->nsignals; i++)
		event_free(l->signals[i].ev);
	l->nsignals = 0;
}

/* What is deferred while this runs waits for the next turn, so that a turn always ends. */
static void
run_deferred(struct loop *l)
{
	struct deferred *d = l->first, *next;

	l->first = NULL;
	l->last = &l->first;
	for (; d != NULL; d = next) {
		next = d->next;
		d->set = false;
		d->fn(d->arg);
	}
}

void
loop_turn(struct loop *l, bool wait)
{
	int how = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;

	/*
	 * The first turn does not wait: what was put before it goes out at its end. Never NONBLOCK
	 * alone: that goes on while anything is ready, and what is handled at the turn's end stays
	 * ready until then.
	 */
	if (!wait || l->first != NULL || !l->begun)
		how |= EVLOOP_NONBLOCK;
	l->begun = true;
	if (event_base_loop(l->base, how) < 0)
		die(EXIT_SOFTWARE, "event loop failed");
	run_deferred(l);
	for (unsigned i = 0; i < l->nhooks; i++)
		l->hooks[i].fn(l->hooks[i].arg);
}

void
loop_run(struct loop *l)
{
	l->stopped = false;
	while (!l->stopped)
		loop_turn(l, true);
}

void
loop_stop(struct loop *l)
{
	l->stopped = true;
}

bool
loop_is_stopping(const struct loop *l)
{
	return l->stopped;
}

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	w->fn((int)fd, (what & EV_READ ? WATCH_READ : 0) | (what & EV_WRITE ? WATCH_WRITE : 0),
	    w->arg);
}

struct watch *
watch_new(struct loop *l, int fd, watch_fn *fn, void *arg)
{
	struct watch *w = xcalloc(1, sizeof *w);

	*w = (struct watch){ .loop = l, .fn = fn, .arg = arg, .fd = fd };
	w->ev = event_new(l->base, fd, 0, on_ready, w);
	if (w->ev == NULL)
		die(EXIT_TEMP, "no memory for an event");
	return w;
}

void
watch_want(struct watch *w, int wishes)
{
	short what = EV_PERSIST;

	if (w->wishes == wishes)
		return;
	if (w->wishes != 0)
		event_del(w->ev);
	w->wishes = wishes;
	if (wishes == 0)
		return;
	if (wishes & WATCH_READ)
		what |= EV_READ;
	if (wishes & WATCH_WRITE)
		what |= EV_WRITE;
	if (event_assign(w->ev, w->loop->base, w->fd, what, on_ready, w) != 0 ||
	    event_add(w->ev, NULL) != 0)
		die(EXIT_SOFTWARE, "descriptor %d cannot be watched", w->fd);
}

void
watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	if (w->wishes != 0)
		event_del(w->ev);
	event_free(w->ev);
	free(w);
}

static void
on_time(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;

	(void)fd;
	(void)what;
	t->set = false;
	t->fn(t->arg);
}

struct timer *
timer_new(struct loop *l, timer_fn *fn, void *arg)
{
	struct timer *t = xcalloc(1, sizeof *t);

	t->fn = fn;
	t->arg = arg;
	t->ev = evtimer_new(l->base, on_time, t);
	if (t->ev == NULL)
		die(EXIT_TEMP, "no memory for a timer");
	return t;
}

void
timer_set(struct timer *t, uint64_t ms)
{
	struct timeval tv = { .tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000) };

	if (evtimer_add(t->ev, &tv) != 0)
		die(EXIT_SOFTWARE, "a timer cannot be set");
	t->set = true;
}

void
timer_stop(struct timer *t)
{
	evtimer_del(t->ev);
	t->set = false;
}

bool
timer_is_set(const struct timer *t)
{
	return t->set;
}

void
timer_free(struct timer *t)
{
	if (t == NULL)
		return;
	event_free(t->ev);
	free(t);
}

static void
on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct signal_note *n = arg;

	(void)what;
	n->fn((int)signo, n->arg);
}

void
loop_signal(struct loop *l, int signo, loop_signal_fn *fn, void *arg)
{
	struct signal_note *n;

	if (l->nsignals == SIGNALS_MAX)
		die(EXIT_SOFTWARE, "too many signals");
	n = &l->signals[l->nsignals++];
	*n = (struct signal_note){ .fn = fn, .arg = arg };
	n->ev = evsignal_new(l->base, signo, on_signal, n);
	if (n->ev == NULL || evsignal_add(n->ev, NULL) != 0)
		die(EXIT_SOFTWARE, "signal %d cannot be handled", signo);
}

void
loop_defer(struct loop *l, struct deferred *d)
{
	if (d->set)
		return;
	d->set = true;
	d->next = NULL;
	*l->last = d;
	l->last = &d->next;
}

void
loop_at_turn_end(struct loop *l, int rank, void (*fn)(void *arg), void *arg)
{
	unsigned i = l->nhooks;

	if (i == HOOKS_MAX)
		die(EXIT_SOFTWARE, "too many ends of a turn");
	for (; i > 0 && l->hooks[i - 1].rank > rank; i--)
		l->hooks[i] = l->hooks[i - 1];
	l->hooks[i] = (struct hook){ rank, fn, arg };
	l->nhooks++;
}

void
loop_at_turn_end_remove(struct loop *l, void (*fn)(void *arg), void *arg)
{
	for (unsigned i = 0; i < l->nhooks; i++)
		if (l->hooks[i].fn == fn && l->hooks[i].arg == arg) {
			l->nhooks--;
			for (; i < l->nhooks; i++)
				l->hooks[i] = l->hooks[i + 1];
			return;
		}
}
