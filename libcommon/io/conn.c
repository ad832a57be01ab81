/* SPDX-License-Identifier: ISC */
#include "io/conn.h"

#include "base/clock.h"
#include "base/die.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SCRATCH = 64 * 1024, KEEP_OUT = 4 * 1024, FINISH_MS = 5000 };

struct conn {
	struct loop *loop;
	int fd;
	const struct conn_ops *ops;
	void *arg;
	struct watch *watch;
	struct timer *timer;
	uint64_t deadline; /* monotonic ms, 0: none */
	struct slice in;   /* unread: in scratch during a callback, else in kept */
	struct buf kept;
	struct buf out;
	size_t out_sent; /* of out, already with the kernel */
	struct deferred flush, offer;
	bool connecting, paused, blocked, in_call, dead, finishing, skip_line, was_pending;
	bool bare_cr_pending;
	bool held;	/* what was put out waits for more */
	bool again;	/* what stands in `in` is to be offered anew */
	bool undrained; /* drained() is owed */
};

/* All connections of a thread's loop read here: only one is read at a time. */
static char scratch[SCRATCH];

static void on_ready(int fd, int ready, void *arg);
static void flush_deferred(void *arg);
static void offer_deferred(void *arg);

static void
want(struct conn *c)
{
	int wishes = 0;

	if (c->connecting)
		wishes = WATCH_WRITE;
	else {
		if (!c->paused && !c->finishing)
			wishes |= WATCH_READ;
		if (c->blocked)
			wishes |= WATCH_WRITE;
	}
	watch_want(c->watch, wishes);
}

static void
destroy(struct conn *c)
{
	watch_free(c->watch);
	timer_free(c->timer);
	close(c->fd);
	buf_fini(&c->kept);
	buf_fini(&c->out);
	free(c);
}

/* A callback may free the connection: what was freed during a call or waits in the loop's list goes
 * later. */
static void
unless_busy_destroy(struct conn *c)
{
	if (!c->in_call && !c->flush.set && !c->offer.set)
		destroy(c);
}

void
conn_free(struct conn *c)
{
	if (c == NULL || c->dead)
		return;
	c->dead = true;
	watch_want(c->watch, 0);
	if (c->timer != NULL)
		timer_stop(c->timer);
	unless_busy_destroy(c);
}

/* What a callback left unread is kept; the common case, nothing left, gives the memory back. */
static void
keep_rest(struct conn *c)
{
	if (c->in.n == 0) {
		buf_fini(&c->kept);
		c->in = SLICE_NONE;
	} else if (c->in.p != c->kept.p) {
		struct buf rest = { 0 };

		buf_slice(&rest, c->in);
		buf_fini(&c->kept);
		c->kept = rest;
		c->in = slice_buf(&c->kept);
	} else
		c->kept.n = c->in.n;
}

/* After each callback. */
static void
called(struct conn *c)
{
	c->in_call = false;
	if (c->dead)
		unless_busy_destroy(c);
	else
		keep_rest(c);
}

static void
tell_closed(struct conn *c, int err)
{
	if (c->finishing) {
		conn_free(c);
		return;
	}
	c->in_call = true;
	c->ops->closed(c, err, c->arg);
	called(c);
}

static void
offer(struct conn *c)
{
	c->in_call = true;
	c->ops->input(c, c->arg);
	called(c);
}

static void
read_some(struct conn *c)
{
	ssize_t n = recv(c->fd, scratch, sizeof scratch, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		tell_closed(c, n == 0 ? 0 : errno);
		return;
	}
	if (c->finishing)
		return;
	keep_rest(c); /* some of it may have been taken since, by who was not called from here */
	if (c->in.n == 0)
		c->in = slice_of(scratch, (size_t)n);
	else {
		buf_put(&c->kept, scratch, (size_t)n);
		c->in = slice_buf(&c->kept);
	}
	offer(c);
}

static int
write_out(struct conn *c)
{
	while (c->out_sent < c->out.n) {
		ssize_t n =
		    send(c->fd, c->out.p + c->out_sent, c->out.n - c->out_sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : errno;
		c->out_sent += (size_t)n;
	}
	c->out_sent = 0;
	if (c->out.cap > KEEP_OUT || !c->was_pending)
		buf_fini(&c->out);
	else
		buf_reset(&c->out);
	return 0;
}

static void
after_write(struct conn *c, int err)
{
	bool pending = c->out.n > c->out_sent;

	if (err != 0) {
		tell_closed(c, err);
		return;
	}
	if (c->blocked != pending) {
		c->blocked = pending;
		want(c);
	}
	if (pending) {
		c->was_pending = true;
		return;
	}
	if (c->finishing) {
		shutdown(c->fd, SHUT_WR);
		conn_free(c);
		return;
	}
	if (c->undrained && c->ops->drained != NULL) {
		c->undrained = false;
		c->in_call = true;
		c->ops->drained(c, c->arg);
		called(c);
	}
}

static void
on_connected(struct conn *c)
{
	int err = 0;
	socklen_t n = sizeof err;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &n) < 0)
		err = errno;
	if (err != 0) {
		tell_closed(c, err);
		return;
	}
	c->connecting = false;
	want(c);
	if (c->out.n > 0)
		loop_defer(c->loop, &c->flush);
	c->in_call = true;
	c->ops->connected(c, c->arg);
	called(c);
}

static void
on_ready(int fd, int ready, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	if (c->connecting) {
		on_connected(c);
		return;
	}
	if (ready & WATCH_WRITE) {
		int err = write_out(c);

		if (err != 0 || c->out.n == 0) {
			/* Input that is ready too is told by the next turn. */
			after_write(c, err);
			return;
		}
	}
	if (ready & WATCH_READ)
		read_some(c);
}

struct conn *
conn_new(struct loop *l, int fd, const struct conn_ops *ops, void *arg)
{
	struct conn *c = xcalloc(1, sizeof *c);
	int one = 1;

	*c = (struct conn){ .loop = l, .fd = fd, .ops = ops, .arg = arg };
	c->watch = watch_new(l, fd, on_ready, c);
	c->flush = (struct deferred){ .fn = flush_deferred, .arg = c };
	c->offer = (struct deferred){ .fn = offer_deferred, .arg = c };
	/* Fails on Unix sockets, where there is nothing to switch. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	want(c);
	return c;
}

struct conn *
conn_connect(struct loop *l, const struct addr *to, const struct addr *from,
    const struct conn_ops *ops, void *arg)
{
	struct sockaddr_storage ss;
	socklen_t n = addr_sockaddr(to, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;
	struct conn *c;

	if (fd < 0)
		return NULL;
	if (from != NULL) {
		struct sockaddr_storage own;
		socklen_t m = addr_sockaddr(from, &own);

		if (bind(fd, (struct sockaddr *)&own, m) < 0)
			goto fail;
	}
	if (connect(fd, (struct sockaddr *)&ss, n) < 0 && errno != EINPROGRESS && errno != EINTR)
		goto fail;
	c = conn_new(l, fd, ops, arg);
	c->connecting = true;
	want(c);
	return c;
fail:
	err = errno;
	close(fd);
	errno = err;
	return NULL;
}

struct conn *
conn_connect_path(struct loop *l, struct slice path, const struct conn_ops *ops, void *arg)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct conn *c;
	int fd, err;

	if (!slice_copy(path, sun.sun_path, sizeof sun.sun_path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	/* EAGAIN: its queue is full. */
	if (connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0) {
		err = errno;
		close(fd);
		errno = err;
		return NULL;
	}
	c = conn_new(l, fd, ops, arg);
	c->connecting = true;
	want(c);
	return c;
}

void
conn_finish(struct conn *c)
{
	int err;

	if (c->connecting) {
		conn_free(c);
		return;
	}
	c->finishing = true;
	c->in = SLICE_NONE;
	conn_deadline(c, FINISH_MS);
	err = write_out(c);
	if (err != 0 || c->out.n == 0) {
		if (err == 0)
			shutdown(c->fd, SHUT_WR);
		conn_free(c);
		return;
	}
	c->blocked = true;
	want(c);
}

int
conn_fd(const struct conn *c)
{
	return c->fd;
}

struct slice
conn_in(const struct conn *c)
{
	return c->in;
}

void
conn_take(struct conn *c, size_t n)
{
	c->in = slice_from(c->in, n);
	if (!c->in_call)
		loop_defer(c->loop, &c->offer); /* the memory of what was taken goes then */
}

static void
offer_deferred(void *arg)
{
	struct conn *c = arg;
	bool again = c->again;

	c->again = false;
	if (c->dead)
		unless_busy_destroy(c);
	else if (again && !c->paused && !c->finishing && c->in.n > 0)
		offer(c);
	else
		keep_rest(c);
}

void
conn_pause(struct conn *c, bool pause)
{
	if (c->paused == pause)
		return;
	c->paused = pause;
	want(c);
	if (!pause && c->in.n > 0) {
		c->again = true;
		loop_defer(c->loop, &c->offer);
	}
}

/* Takes the rest of a line that was too long. False: its end has not come. */
static bool
skip_rest(struct conn *c)
{
	while (c->in.n > 0) {
		ptrdiff_t lf = slice_find(c->in, '\n');
		bool after_cr;

		if (lf < 0) {
			c->bare_cr_pending = c->in.p[c->in.n - 1] == '\r';
			conn_take(c, c->in.n);
			return false;
		}
		after_cr = lf > 0 ? c->in.p[lf - 1] == '\r' : c->bare_cr_pending;
		conn_take(c, (size_t)lf + 1);
		c->bare_cr_pending = false;
		if (after_cr) {
			c->skip_line = false;
			return true;
		}
	}
	return false;
}

enum conn_line
conn_line(struct conn *c, size_t max, struct slice *line)
{
	struct slice head;
	ptrdiff_t lf, cr;

	if (c->skip_line && !skip_rest(c))
		return LINE_PARTIAL;
	head = slice_head(c->in, max);
	lf = slice_find(head, '\n');
	if (lf < 0) {
		if (head.n < max)
			return LINE_PARTIAL;
		c->bare_cr_pending = head.p[head.n - 1] == '\r';
		conn_take(c, max);
		c->skip_line = true;
		return LINE_TOO_LONG;
	}
	*line = slice_head(head, (size_t)lf);
	conn_take(c, (size_t)lf + 1);
	cr = slice_find(*line, '\r');
	if (cr < 0 || cr != lf - 1)
		return LINE_BARE;
	line->n--;
	return LINE_OK;
}

static void
flush_deferred(void *arg)
{
	struct conn *c = arg;

	if (c->dead)
		unless_busy_destroy(c);
	else if (!c->held && !c->blocked && !c->connecting && (c->out.n > 0 || c->undrained))
		after_write(c, write_out(c));
}

struct buf *
conn_out(struct conn *c)
{
	c->undrained = true;
	if (!c->blocked)
		loop_defer(c->loop, &c->flush);
	return &c->out;
}

void
conn_put(struct conn *c, const void *p, size_t n)
{
	buf_put(conn_out(c), p, n);
}

void
conn_hold(struct conn *c, bool hold)
{
	c->held = hold;
	if (!hold && c->out.n > 0)
		loop_defer(c->loop, &c->flush);
}

void
conn_flush(struct conn *c)
{
	/* The error, if any, and drained() are told at the turn's end: a caller does not expect to
	 * be freed here. */
	if (!c->blocked && !c->connecting && c->out.n > 0)
		write_out(c);
	loop_defer(c->loop, &c->flush);
}

void
conn_putv(struct conn *c, const struct iovec *v, int n)
{
	struct iovec all[17];
	size_t total = 0, done = 0;
	ssize_t wrote = 0;

	if (n > 16 || c->blocked || c->connecting) {
		for (int i = 0; i < n; i++)
			conn_put(c, v[i].iov_base, v[i].iov_len);
		return;
	}
	c->undrained = true;
	all[0] = c->out.n == 0 ? (struct iovec){ 0 }
			       : (struct iovec){ c->out.p + c->out_sent, c->out.n - c->out_sent };
	for (int i = 0; i < n; i++)
		all[i + 1] = v[i];
	for (int i = 0; i <= n; i++)
		total += all[i].iov_len;
	wrote = sendmsg(
	    c->fd, &(struct msghdr){ .msg_iov = all, .msg_iovlen = (size_t)n + 1 }, MSG_NOSIGNAL);
	if (wrote < 0)
		wrote = 0; /* the flush at the turn's end meets the error again and tells it */
	done = (size_t)wrote < all[0].iov_len ? (size_t)wrote : all[0].iov_len;
	c->out_sent += done;
	if (c->out_sent == c->out.n) {
		c->out_sent = 0;
		buf_reset(&c->out);
	}
	if ((size_t)wrote == total) {
		loop_defer(c->loop, &c->flush);
		return;
	}
	wrote -= (ssize_t)done;
	for (int i = 0; i < n; i++) {
		size_t skip = (size_t)wrote < v[i].iov_len ? (size_t)wrote : v[i].iov_len;

		conn_put(c, (const char *)v[i].iov_base + skip, v[i].iov_len - skip);
		wrote -= (ssize_t)skip;
	}
}

size_t
conn_pending(const struct conn *c)
{
	return c->out.n - c->out_sent;
}

/*
 * The timer is left where it is while the deadline moves away from it, and looks again when it
 * fires: a deadline for each line then costs a store.
 */
static void
on_timer(void *arg)
{
	struct conn *c = arg;
	uint64_t now = clock_mono_ms();

	if (c->deadline == 0)
		return;
	if (c->deadline > now) {
		timer_set(c->timer, c->deadline - now);
		return;
	}
	c->deadline = 0;
	if (c->finishing) {
		conn_free(c);
		return;
	}
	c->in_call = true;
	c->ops->expired(c, c->arg);
	called(c);
}

void
conn_deadline(struct conn *c, uint64_t ms)
{
	uint64_t before = c->deadline;

	c->deadline = ms == 0 ? 0 : clock_mono_ms() + ms;
	if (ms == 0)
		return;
	if (c->timer == NULL)
		c->timer = timer_new(c->loop, on_timer, c);
	if (!timer_is_set(c->timer) || before == 0 || c->deadline < before)
		timer_set(c->timer, ms);
}
