/* SPDX-License-Identifier: ISC */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The event loop of a process: one, without locks, used by one thread. loop.c is the only file that
 * knows libevent. A turn: wait, run all that is ready, run what was deferred, run the turn's ends
 * (links send their packets, connections their replies, the log its events).
 */
struct loop;

struct loop *loop_new(void);
void loop_free(struct loop *l);
void loop_run(struct loop *l);		   /* until loop_stop() */
void loop_turn(struct loop *l, bool wait); /* one turn, for tests */
void loop_stop(struct loop *l);
bool loop_is_stopping(const struct loop *l); /* this turn's end is the last */

/*
 * In a forked child that will have a loop of its own: lets go of the parent's signals. Its
 * descriptors must be closed already, since the kernel's interest list is shared with the parent.
 */
void loop_abandon(struct loop *l);

/* Readiness of a descriptor (not owned). Level-triggered; a watch without wishes sleeps. */
enum { WATCH_READ = 1, WATCH_WRITE = 2 };
struct watch;
typedef void watch_fn(int fd, int ready, void *arg);
struct watch *watch_new(struct loop *l, int fd, watch_fn *fn, void *arg);
void watch_want(struct watch *w, int wishes);
void watch_free(struct watch *w); /* before its descriptor is closed; allowed in its own call */

/* One shot each time it is set; setting again moves it. */
struct timer;
typedef void timer_fn(void *arg);
struct timer *timer_new(struct loop *l, timer_fn *fn, void *arg);
void timer_set(struct timer *t, uint64_t ms);
void timer_stop(struct timer *t);
bool timer_is_set(const struct timer *t);
void timer_free(struct timer *t);

/* A signal, handled in the loop (the handler itself only notes it). Until loop_free(). */
typedef void loop_signal_fn(int signo, void *arg);
void loop_signal(struct loop *l, int signo, loop_signal_fn *fn, void *arg);

/* Embedded: run once, after all that is ready in this turn; may be set from anywhere in the loop's
 * thread. */
struct deferred {
	struct deferred *next;
	void (*fn)(void *arg);
	void *arg;
	bool set;
};
void loop_defer(struct loop *l, struct deferred *d);
/* At the end of each turn, in the order of `rank` (low first). Until loop_free(). */
enum { TURN_DAEMON = 0, TURN_LINKS = 10, TURN_CONNS = 20, TURN_LOG = 30 };
void loop_at_turn_end(struct loop *l, int rank, void (*fn)(void *arg), void *arg);
void loop_at_turn_end_remove(struct loop *l, void (*fn)(void *arg), void *arg);

#endif
