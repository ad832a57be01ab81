/* SPDX-License-Identifier: ISC */
/* Connections over a pair of sockets, one end held by hand. */
#include "../../check_main.h"

#include "base/clock.h"
#include "io/conn.h"
#include "io/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE = 8 };

enum act { NOTHING, LINES, TAKE_ALL, FREE, FINISH };

struct world {
	struct loop *loop;
	struct conn *conn;
	int near, far;
	unsigned fds;
	/* what the callbacks do, and what they saw */
	enum act on_input, on_closed, on_expired, on_drained, on_connected;
	unsigned inputs, closes, expiries, drains, connects;
	int err;
	struct buf seen;
};

static uint64_t now_ms;

static uint64_t
fake_now(void)
{
	return now_ms;
}

static const struct clock_source fake = {
	.mono_ms = fake_now, .boot_ms = fake_now, .wall_ms = fake_now
};

static unsigned
open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Lines as words: [text], bare, long. */
static void
take_lines(struct world *w)
{
	struct slice line;

	for (;;)
		switch (conn_line(w->conn, LINE, &line)) {
		case LINE_PARTIAL:
			return;
		case LINE_OK:
			buf_putc(&w->seen, '[');
			buf_slice(&w->seen, line);
			buf_putc(&w->seen, ']');
			break;
		case LINE_TOO_LONG:
			buf_puts(&w->seen, "long ");
			break;
		case LINE_BARE:
			buf_puts(&w->seen, "bare ");
			break;
		}
}

static void
act(struct world *w, enum act what)
{
	switch (what) {
	case NOTHING:
		break;
	case LINES:
		take_lines(w);
		break;
	case TAKE_ALL:
		buf_slice(&w->seen, conn_in(w->conn));
		conn_take(w->conn, conn_in(w->conn).n);
		break;
	case FREE:
		conn_free(w->conn);
		w->conn = NULL;
		break;
	case FINISH:
		conn_put(w->conn, "bye", 3);
		conn_finish(w->conn);
		w->conn = NULL;
		break;
	}
}

static void
on_input(struct conn *c, void *arg)
{
	struct world *w = arg;

	ck_assert_ptr_eq(c, w->conn);
	w->inputs++;
	act(w, w->on_input);
}

static void
on_closed(struct conn *c, int err, void *arg)
{
	struct world *w = arg;

	ck_assert_ptr_eq(c, w->conn);
	w->closes++;
	w->err = err;
	act(w, w->on_closed == NOTHING ? FREE : w->on_closed);
}

static void
on_expired(struct conn *c, void *arg)
{
	struct world *w = arg;

	ck_assert_ptr_eq(c, w->conn);
	w->expiries++;
	act(w, w->on_expired);
}

static void
on_drained(struct conn *c, void *arg)
{
	struct world *w = arg;

	ck_assert_ptr_eq(c, w->conn);
	ck_assert_uint_eq(conn_pending(c), 0);
	w->drains++;
	act(w, w->on_drained);
}

static void
on_connected(struct conn *c, void *arg)
{
	struct world *w = arg;

	ck_assert_ptr_eq(c, w->conn);
	w->connects++;
	act(w, w->on_connected);
}

static const struct conn_ops ops = { .connected = on_connected,
	.input = on_input,
	.closed = on_closed,
	.expired = on_expired,
	.drained = on_drained };

static void
open_loop(struct world *w)
{
	*w = (struct world){ .near = -1, .far = -1 };
	w->fds = open_fds();
	w->loop = loop_new();
}

static void
open_world(struct world *w)
{
	int pair[2];

	open_loop(w);
	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	w->near = pair[0];
	w->far = pair[1];
	w->conn = conn_new(w->loop, w->near, &ops, w);
}

static void
turns(struct world *w)
{
	for (int i = 0; i < 4; i++)
		loop_turn(w->loop, false);
}

/* Nothing is left open, whoever freed it. */
static void
close_world(struct world *w)
{
	conn_free(w->conn);
	turns(w);
	loop_free(w->loop);
	if (w->far >= 0)
		close(w->far);
	buf_fini(&w->seen);
	clock_set_source(NULL);
	ck_assert_uint_eq(open_fds(), w->fds);
}

static void
far_says(struct world *w, const char *p, size_t n)
{
	ck_assert_int_eq(send(w->far, p, n, MSG_NOSIGNAL), (ssize_t)n);
	turns(w);
}

static void
far_hears(struct world *w, struct buf *all)
{
	ssize_t n;

	while ((n = recv(w->far, buf_room(all, 65536), 65536, MSG_DONTWAIT)) > 0)
		all->n += (size_t)n;
}

static void
saw(struct world *w, const char *want)
{
	ck_assert_msg(slice_is(slice_buf(&w->seen), want), "saw %.*s, not %s",
	    SLICE_ARG(slice_buf(&w->seen)), want);
}

static const struct {
	struct slice in;
	const char *out;
} lines[] = {
	{ SLICE_LIT("a\r\n"), "[a]" },
	{ SLICE_LIT("\r\n\r\n"), "[][]" },
	{ SLICE_LIT("one\r\ntwo\r\nrest"), "[one][two]" },
	{ SLICE_LIT("a\nb\r\n"), "bare [b]" },
	{ SLICE_LIT("\nb\r\n"), "bare [b]" },
	{ SLICE_LIT("a\rb\r\nc\r\n"), "bare [c]" },
	{ SLICE_LIT("a\r\r\nc\r\n"), "bare [c]" },
	{ SLICE_LIT("\r\r\n\r\n"), "bare []" },
	{ SLICE_LIT("123456\r\n"), "[123456]" },
	{ SLICE_LIT("1234567\r\nok\r\n"), "long [ok]" },
	{ SLICE_LIT("12345678\r\nok\r\n"), "long [ok]" },
	{ SLICE_LIT("123456789\r\nok\r\n"), "long [ok]" },
	{ SLICE_LIT("1234567890123456789\r\n\r\nok\r\n"), "long [][ok]" },
	{ SLICE_LIT("12345678\nno\r\nok\r\n"), "long [ok]" },
	{ SLICE_LIT("1234567\rno\r\nok\r\n"), "long [ok]" },
	{ SLICE_LIT("12345678\r\r\nok\r\n"), "long [ok]" },
	{ SLICE_LIT("1234567\r\r\r\nok\r\n"), "long [ok]" },
	{ SLICE_LIT("123456789\rx\n\r\nok\r\n"), "long [ok]" },
	{ SLICE_LIT("12345\n78\r\nok\r\n"), "bare [78][ok]" },
};

START_TEST(lines_at_every_split)
{
	struct slice in = lines[_i].in;

	for (size_t cut = 0; cut <= in.n; cut++) {
		struct world w;

		open_world(&w);
		w.on_input = LINES;
		if (cut == 0)
			for (size_t i = 0; i < in.n; i++)
				far_says(&w, in.p + i, 1);
		else {
			far_says(&w, in.p, cut);
			if (cut < in.n)
				far_says(&w, in.p + cut, in.n - cut);
		}
		saw(&w, lines[_i].out);
		close_world(&w);
	}
}
END_TEST

/* What is taken when an answer comes, not in a callback, is not offered again. */
START_TEST(taken_outside_of_a_callback)
{
	struct world w;
	struct slice line;

	open_world(&w);
	far_says(&w, "a\r\nb\r\nc\r\nd", 10);
	ck_assert_uint_eq(w.inputs, 1);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(conn_line(w.conn, LINE, &line), LINE_OK);
		ck_assert_int_eq(line.p[0], 'a' + i);
	}
	w.on_input = LINES;
	far_says(&w, "\r\ne\r\n", 5);
	saw(&w, "[c][d][e]");
	/* All of it, and then more. */
	w.on_input = NOTHING;
	far_says(&w, "f\r\n", 3);
	ck_assert_int_eq(conn_line(w.conn, LINE, &line), LINE_OK);
	turns(&w);
	ck_assert_uint_eq(conn_in(w.conn).n, 0);
	w.on_input = LINES;
	far_says(&w, "g\r\n", 3);
	saw(&w, "[c][d][e][g]");
	close_world(&w);
}
END_TEST

/* Left over in part again and again, larger than what is read at once. */
START_TEST(what_is_left_is_kept)
{
	struct world w;
	struct buf all = { 0 };
	size_t sent = 0, at = 0;

	open_world(&w);
	for (unsigned i = 0; i < 300000; i++)
		buf_putc(&all, (char)(i * 7 + i / 251));
	while (at < all.n) {
		ssize_t n =
		    sent == all.n ? 0 : send(w.far, all.p + sent, all.n - sent, MSG_NOSIGNAL);
		struct slice in;

		sent += n > 0 ? (size_t)n : 0;
		loop_turn(w.loop, false);
		in = conn_in(w.conn);
		if (in.n > 1)
			in.n = in.n / 2 + 1;
		ck_assert(memcmp(in.p, all.p + at, in.n) == 0);
		conn_take(w.conn, in.n);
		at += in.n;
	}
	buf_fini(&all);
	close_world(&w);
}
END_TEST

START_TEST(pause_and_go_on)
{
	struct world w;

	open_world(&w);
	far_says(&w, "a\r\n", 3);
	ck_assert_uint_eq(w.inputs, 1);
	conn_pause(w.conn, true);
	far_says(&w, "b\r\n", 3);
	ck_assert_uint_eq(w.inputs, 1);
	w.on_input = LINES;
	conn_pause(w.conn, false);
	turns(&w);
	saw(&w, "[a][b]");
	/* Paused and released without anything new: what stands there is offered again. */
	w.on_input = NOTHING;
	far_says(&w, "c\r\n", 3);
	conn_pause(w.conn, true);
	conn_pause(w.conn, false);
	w.on_input = LINES;
	loop_turn(w.loop, false);
	saw(&w, "[a][b][c]");
	/* Paused again before it was offered: not then. */
	w.on_input = NOTHING;
	far_says(&w, "d\r\n", 3);
	w.inputs = 0;
	conn_pause(w.conn, true);
	conn_pause(w.conn, false);
	conn_pause(w.conn, true);
	turns(&w);
	ck_assert_uint_eq(w.inputs, 0);
	close_world(&w);
}
END_TEST

/* An end while paused waits; the bytes before it are not lost. */
START_TEST(the_end_comes_after_the_bytes)
{
	struct world w;

	open_world(&w);
	w.on_input = TAKE_ALL;
	conn_pause(w.conn, true);
	ck_assert_int_eq(send(w.far, "last", 4, 0), 4);
	close(w.far);
	w.far = -1;
	turns(&w);
	ck_assert_uint_eq(w.closes, 0);
	conn_pause(w.conn, false);
	turns(&w);
	saw(&w, "last");
	ck_assert_uint_eq(w.closes, 1);
	ck_assert_int_eq(w.err, 0);
	close_world(&w);
}
END_TEST

START_TEST(deadlines)
{
	struct world w;

	open_world(&w);
	now_ms = 1000;
	clock_set_source(&fake);
	/* The clock has not come there when the timer fires: it looks again. */
	conn_deadline(w.conn, 3);
	loop_turn(w.loop, true);
	ck_assert_uint_eq(w.expiries, 0);
	now_ms += 3;
	loop_turn(w.loop, true);
	ck_assert_uint_eq(w.expiries, 1);
	/* Moved away for each line, then near. */
	conn_deadline(w.conn, 2);
	conn_deadline(w.conn, 100000);
	loop_turn(w.loop, true);
	now_ms += 50000;
	conn_deadline(w.conn, 4);
	now_ms += 4;
	loop_turn(w.loop, true);
	ck_assert_uint_eq(w.expiries, 2);
	/* Unset, then set again while the old timer still runs. */
	conn_deadline(w.conn, 2);
	conn_deadline(w.conn, 0);
	now_ms += 10;
	loop_turn(w.loop, true);
	ck_assert_uint_eq(w.expiries, 2);
	conn_deadline(w.conn, 60000);
	conn_deadline(w.conn, 0);
	conn_deadline(w.conn, 1);
	now_ms += 1;
	loop_turn(w.loop, true);
	ck_assert_uint_eq(w.expiries, 3);
	close_world(&w);
}
END_TEST

static void
narrow(struct world *w)
{
	int small = 4096;

	ck_assert_int_eq(setsockopt(w->near, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
}

/* Content in pieces to a socket that takes little: all of it, in order, behind what was put before.
 */
START_TEST(putv_with_a_full_socket)
{
	static const int counts[] = { 1, 3, 16, 17, 40 };
	struct world w;
	struct buf all = { 0 }, got = { 0 };
	struct iovec v[40];
	size_t piece;
	int n = counts[_i];

	open_world(&w);
	narrow(&w);
	for (unsigned i = 0; i < 400000; i++)
		buf_putc(&all, (char)(i * 13 + i / 255));
	piece = (all.n - 10) / (size_t)n;
	for (int i = 0; i < n; i++)
		v[i] = (struct iovec){ all.p + 10 + (size_t)i * piece, piece };
	v[n - 1].iov_len = all.n - 10 - (size_t)(n - 1) * piece;
	conn_put(w.conn, all.p, 10);
	conn_putv(w.conn, v, n);
	ck_assert_uint_gt(conn_pending(w.conn), 0);
	for (int i = 0; i < 100000 && got.n < all.n; i++) {
		far_hears(&w, &got);
		loop_turn(w.loop, false);
	}
	ck_assert_uint_eq(got.n, all.n);
	ck_assert(memcmp(got.p, all.p, all.n) == 0);
	turns(&w);
	ck_assert_uint_eq(w.drains, 1);
	/* Again, while the socket is full of the first: nothing overtakes. */
	buf_reset(&got);
	conn_putv(w.conn, v, n);
	conn_put(w.conn, "between", 7);
	conn_putv(w.conn, v, n);
	for (int i = 0; i < 100000 && got.n < 2 * (all.n - 10) + 7; i++) {
		far_hears(&w, &got);
		loop_turn(w.loop, false);
	}
	ck_assert_uint_eq(got.n, 2 * (all.n - 10) + 7);
	ck_assert(memcmp(got.p, all.p + 10, all.n - 10) == 0);
	ck_assert(memcmp(got.p + all.n - 10, "between", 7) == 0);
	ck_assert(memcmp(got.p + all.n - 3, all.p + 10, all.n - 10) == 0);
	buf_fini(&all);
	buf_fini(&got);
	close_world(&w);
}
END_TEST

/* Whichever way the bytes go to the kernel, drained() says it once, at the turn's end or later. */
START_TEST(drained_is_told)
{
	struct world w;
	struct iovec v = { .iov_base = (void *)(uintptr_t) "content", .iov_len = 7 };
	struct buf got = { 0 };

	open_world(&w);
	if (_i == 0)
		conn_put(w.conn, "content", 7);
	else if (_i == 1)
		conn_putv(w.conn, &v, 1);
	else {
		conn_put(w.conn, "content", 7);
		conn_flush(w.conn);
	}
	ck_assert_uint_eq(w.drains, 0);
	turns(&w);
	ck_assert_uint_eq(w.drains, 1);
	far_hears(&w, &got);
	ck_assert(slice_is(slice_buf(&got), "content"));
	buf_fini(&got);
	close_world(&w);
}
END_TEST

/* One packet for what was put out in several turns; the end lets everything go. */
START_TEST(what_is_held_goes_with_the_rest)
{
	struct world w;
	struct buf got = { 0 };

	open_world(&w);
	conn_put(w.conn, "one ", 4);
	conn_hold(w.conn, true);
	turns(&w);
	conn_put(w.conn, "two ", 4);
	turns(&w);
	far_hears(&w, &got);
	ck_assert_uint_eq(got.n, 0);
	ck_assert_uint_eq(w.drains, 0);
	if (_i == 0) {
		conn_hold(w.conn, false);
		turns(&w);
		ck_assert_uint_eq(w.drains, 1);
	} else {
		conn_finish(w.conn);
		w.conn = NULL;
	}
	far_hears(&w, &got);
	ck_assert(slice_is(slice_buf(&got), "one two "));
	buf_fini(&got);
	close_world(&w);
}
END_TEST

START_TEST(broken_pipe_is_told_once)
{
	struct world w;
	struct iovec v = { .iov_base = (void *)(uintptr_t) "content", .iov_len = 7 };

	open_world(&w);
	close(w.far);
	w.far = -1;
	if (_i == 0)
		conn_put(w.conn, "content", 7);
	else if (_i == 1)
		conn_putv(w.conn, &v, 1);
	else {
		conn_put(w.conn, "content", 7);
		conn_flush(w.conn);
	}
	turns(&w);
	ck_assert_uint_eq(w.closes, 1);
	ck_assert_ptr_null(w.conn);
	close_world(&w);
}
END_TEST

/* Each callback may free or finish its connection. */
START_TEST(end_inside_callbacks)
{
	enum act how = _i % 2 == 0 ? FREE : FINISH;
	struct world w;
	struct buf got = { 0 };

	open_world(&w);
	switch (_i / 2) {
	case 0:
		w.on_input = how;
		far_says(&w, "x", 1);
		break;
	case 1:
		w.on_drained = how;
		conn_put(w.conn, "x", 1);
		break;
	case 2:
		w.on_expired = how;
		conn_deadline(w.conn, 1);
		while (w.expiries == 0)
			loop_turn(w.loop, true);
		break;
	case 3:
		w.on_closed = how;
		shutdown(w.far, SHUT_WR);
		break;
	case 4: /* with bytes that wait, and offered again */
		far_says(&w, "x", 1);
		conn_put(w.conn, "y", 1);
		conn_pause(w.conn, true);
		conn_pause(w.conn, false);
		w.on_input = how;
		break;
	}
	turns(&w);
	ck_assert_ptr_null(w.conn);
	far_hears(&w, &got);
	ck_assert_int_eq(recv(w.far, buf_room(&got, 1), 1, MSG_DONTWAIT), 0);
	if (how == FINISH)
		ck_assert(got.n >= 3 && memcmp(got.p + got.n - 3, "bye", 3) == 0);
	buf_fini(&got);
	close_world(&w);
}
END_TEST

/* What was put out is sent before the end; nothing is told any more. */
START_TEST(finish_sends_all)
{
	struct world w;
	struct buf all = { 0 }, got = { 0 };

	open_world(&w);
	narrow(&w);
	for (unsigned i = 0; i < 200000; i++)
		buf_putc(&all, (char)i);
	conn_put(w.conn, all.p, all.n);
	conn_finish(w.conn);
	w.conn = NULL;
	ck_assert_int_eq(send(w.far, "more", 4, MSG_NOSIGNAL), 4);
	for (int i = 0; i < 100000 && got.n < all.n; i++) {
		far_hears(&w, &got);
		loop_turn(w.loop, false);
	}
	ck_assert_uint_eq(got.n, all.n);
	ck_assert(memcmp(got.p, all.p, all.n) == 0);
	turns(&w);
	ck_assert_uint_eq(w.inputs + w.closes + w.drains + w.expiries, 0);
	buf_fini(&all);
	buf_fini(&got);
	close_world(&w);
}
END_TEST

/* A far end that does not read cannot keep a finished connection for ever. */
START_TEST(finish_has_an_end)
{
	struct world w;
	char block[8192] = { 0 };

	open_world(&w);
	narrow(&w);
	now_ms = 1000;
	clock_set_source(&fake);
	conn_deadline(w.conn, 1); /* the timer will look soon, and then again */
	for (int i = 0; i < 100; i++)
		conn_put(w.conn, block, sizeof block);
	conn_finish(w.conn);
	w.conn = NULL;
	now_ms += 4999;
	loop_turn(w.loop, true);
	ck_assert_int_ge(fcntl(w.near, F_GETFD), 0);
	now_ms += 1;
	loop_turn(w.loop, true);
	ck_assert_int_lt(fcntl(w.near, F_GETFD), 0);
	ck_assert_uint_eq(w.expiries, 0);
	close_world(&w);
}
END_TEST

static int
listening(struct addr *at)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof ss;
	int fd;

	ck_assert(addr_host_parse(SLICE_LIT("127.0.0.1"), at->host));
	at->port = 0;
	fd = listen_tcp(at, 10);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
	ck_assert(addr_of(&ss, at));
	return fd;
}

START_TEST(connecting)
{
	struct world w;
	struct addr to, from;
	struct buf got = { 0 };
	int fd;

	open_loop(&w);
	fd = listening(&to);
	from = to;
	from.port = 0;
	w.conn = conn_connect(w.loop, &to, &from, &ops, &w);
	ck_assert_ptr_nonnull(w.conn);
	conn_put(w.conn, "early", 5);
	while (w.connects == 0)
		loop_turn(w.loop, true);
	w.far = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(w.far, 0);
	turns(&w);
	far_hears(&w, &got);
	ck_assert(slice_is(slice_buf(&got), "early"));
	ck_assert_uint_eq(w.drains, 1);
	close(fd);
	buf_fini(&got);
	close_world(&w);
}
END_TEST

/* A listener whose backlog is full: the next connection hangs until someone is accepted. */
static int
full_listener(struct addr *at, int waiting[8])
{
	struct sockaddr_storage ss;
	socklen_t n;
	int fd = listening(at);

	ck_assert_int_eq(listen(fd, 0), 0);
	n = addr_sockaddr(at, &ss);
	for (int i = 0; i < 8; i++) {
		waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		ck_assert(
		    connect(waiting[i], (struct sockaddr *)&ss, n) == 0 || errno == EINPROGRESS);
	}
	return fd;
}

/* Put before it was connected, in another turn: sent when it is. */
START_TEST(slow_to_connect)
{
	struct world w;
	struct addr to;
	int waiting[8], fd, c;

	open_loop(&w);
	fd = full_listener(&to, waiting);
	w.conn = conn_connect(w.loop, &to, NULL, &ops, &w);
	ck_assert_ptr_nonnull(w.conn);
	conn_put(w.conn, "early", 5);
	turns(&w);
	ck_assert_uint_eq(w.connects, 0);
	if (_i == 1) {
		act(&w, FINISH);
		turns(&w);
	}
	for (int i = 0; i < 8; i++)
		close(waiting[i]);
	while ((c = accept(fd, NULL, NULL)) >= 0)
		close(c);
	if (_i == 0) {
		while (w.drains == 0 && w.closes == 0)
			loop_turn(w.loop, true);
		ck_assert_uint_eq(w.connects, 1);
		ck_assert_uint_eq(w.drains, 1);
	} else
		ck_assert_uint_eq(w.connects + w.closes, 0);
	close(fd);
	close_world(&w);
}
END_TEST

START_TEST(refused)
{
	struct world w;
	struct addr to;

	open_loop(&w);
	close(listening(&to));
	w.conn = conn_connect(w.loop, &to, NULL, &ops, &w);
	if (w.conn != NULL) {
		while (w.closes == 0)
			loop_turn(w.loop, true);
		ck_assert_int_eq(w.err, ECONNREFUSED);
	} else
		ck_assert_int_eq(errno, ECONNREFUSED);
	ck_assert_uint_eq(w.connects, 0);
	close_world(&w);
}
END_TEST

START_TEST(end_while_connecting)
{
	struct world w;
	struct addr to;
	int fd;

	open_loop(&w);
	fd = listening(&to);
	w.conn = conn_connect(w.loop, &to, NULL, &ops, &w);
	ck_assert_ptr_nonnull(w.conn);
	if (_i < 2)
		act(&w, _i == 0 ? FREE : FINISH);
	else {
		w.on_connected = _i == 2 ? FREE : FINISH;
		while (w.connects == 0)
			loop_turn(w.loop, true);
	}
	turns(&w);
	ck_assert_uint_eq(w.connects, _i < 2 ? 0 : 1);
	ck_assert_uint_eq(w.closes, 0);
	close(fd);
	close_world(&w);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, lines_at_every_split, 0, sizeof lines / sizeof *lines);
	tcase_add_test(tc, taken_outside_of_a_callback);
	tcase_add_test(tc, what_is_left_is_kept);
	tcase_add_test(tc, pause_and_go_on);
	tcase_add_test(tc, the_end_comes_after_the_bytes);
	tcase_add_test(tc, deadlines);
	tcase_add_loop_test(tc, putv_with_a_full_socket, 0, 5);
	tcase_add_loop_test(tc, drained_is_told, 0, 3);
	tcase_add_loop_test(tc, what_is_held_goes_with_the_rest, 0, 2);
	tcase_add_loop_test(tc, broken_pipe_is_told_once, 0, 3);
	tcase_add_loop_test(tc, end_inside_callbacks, 0, 10);
	tcase_add_test(tc, finish_sends_all);
	tcase_add_test(tc, finish_has_an_end);
	tcase_add_test(tc, connecting);
	tcase_add_loop_test(tc, slow_to_connect, 0, 2);
	tcase_add_test(tc, refused);
	tcase_add_loop_test(tc, end_while_connecting, 0, 4);
}
CHECK_MAIN("conn", cases)
