/* SPDX-License-Identifier: ISC */
/*
 * smtpsource: a load generator with a memory. Many SMTP sessions in one process; each message has
 * a name of its own in the header field X-Test-Id (RUN-NUMBER), and each name that was answered 250
 * is appended to a file before its session goes on. What is in that file was promised.
 *
 *	smtpsource [-IPTkq] -h HOST:PORT [-s sessions] [-m messages] [-n messages a session]
 *	    [-l bytes] [-r recipients a message] [-R messages a second] [-f sender] [-t recipient]
 *	    [-u count] [-c connections] [-a file] [-M file] [-i RUN] [-w seconds] [-H helo]
 *
 *	-t	a %d in it becomes the number of the recipient, counted over the whole run
 *	-u	these numbers begin again at 0 after so many
 *	-T	a field X-Test-Sent with the microseconds of the monotonic clock when the end of the
 *		message was handed to the kernel: smtpsink -T tells how long it was under way
 *	-I	idle: -s sessions say EHLO and no more, and are held. One line "held N" when all
 *		are there, or "held N of M" when one was refused or ended; goes on until SIGTERM
 *	-c	so many connections at most that wait for a greeting: a server with a short queue of
 *		those to accept forgets what is beyond it
 *	-P	pipelining: MAIL, RCPT, DATA in one write
 *	-k	keep trying: connect again after a disconnect, try until -m messages were
 *		acknowledged, each try under a new name. Without it a message that was refused or
 *		cut off is counted and over, and a failed connection ends the run.
 *	-a	one name a line, for each 250 to the end of a message
 *	-M	the same as "A NAME": marks for the crash recorder
 *	-w	give up after so many seconds (600)
 *
 * Prints one line of name=value: among them failed_connects, which broke before EHLO was answered, and
 * turned_away, where the answer to one of those was a no; exit 0 when every message was acknowledged, 1 when not.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/die.h"
#include "t/tool/net.h"
#include "t/tool/sourceopt.h"

enum { RETRY_US = 50000, EVENTS = 256, READ_MAX = 16384 };

/* What the session waits for; WAIT_DUE and WAIT_RETRY wait for the clock, the others for a reply.
 */
enum phase {
	WAIT_RETRY,
	WAIT_GREETING,
	WAIT_HELO,
	WAIT_DUE,
	WAIT_MAIL,
	WAIT_RCPT,
	WAIT_DATA,
	WAIT_DOT,
	WAIT_RSET,
	WAIT_QUIT,
	OVER,
};

struct session {
	int fd;
	enum phase phase;
	bool want_write, refused;
	uint64_t due_us, dot_us; /* waits until; end of the message was written */
	long seq;		 /* of the message under way */
	long first_rcpt;
	int rcpts_left, sent; /* replies to RCPT that are due; messages in this session */
	struct buf in, out;
	size_t out_done;
};

static struct sourceopt opt;

static struct {
	long begun, acked, refused, broken, rcpts, live, connects, failed_connects, turned_away;
	long opening; /* wait for a greeting */
	long held;    /* idle sessions that were greeted */
	bool told;    /* how many are */
	uint64_t start_us;
	uint32_t *latency_us;
	long latencies;
} run;

static int epfd;
static struct buf filler; /* the body all messages share */
static volatile sig_atomic_t stopped;

static void message_next(struct session *s);

static void
make_filler(void)
{
	static const char line[] =
	    "The quick brown fox jumps over the lazy dog, 0123456789 times.\r\n";

	while (filler.n + sizeof line - 1 <= opt.size)
		buf_put(&filler, line, sizeof line - 1);
	while (filler.n + 2 < opt.size)
		buf_putc(&filler, 'x');
	buf_put(&filler, "\r\n", 2);
}

static void
watch(struct session *s, int op)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = s };

	if (s->want_write)
		ev.events |= EPOLLOUT;
	if (epoll_ctl(epfd, op, s->fd, &ev) < 0)
		die(EXIT_SOFTWARE, "epoll_ctl: %s", strerror(errno));
}

/* No message is left to begin: with -k those under way count, as they may yet fail. */
static bool
enough(void)
{
	return run.begun - (opt.keep ? run.refused + run.broken : 0) >= opt.messages;
}

static void
session_end(struct session *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->phase = OVER;
	run.live--;
}

/* Connect now or, after a failure, in a moment. */
static void
session_open(struct session *s)
{
	buf_reset(&s->in);
	buf_reset(&s->out);
	s->out_done = 0;
	s->sent = 0;
	s->fd = net_connect(&opt.to);
	if (s->fd >= 0) {
		s->phase = WAIT_GREETING;
		s->want_write = false;
		watch(s, EPOLL_CTL_ADD);
		run.opening++;
		run.connects++;
		return;
	}
	run.failed_connects++;
	s->phase = WAIT_RETRY;
	s->due_us = net_now_us() + RETRY_US;
	if (!opt.keep)
		session_end(s);
}

/* The connection is gone, or is not worth keeping. */
static void
session_over(struct session *s, bool said_no)
{
	bool in_message = s->phase >= WAIT_MAIL && s->phase <= WAIT_RSET;

	if (in_message)
		run.broken++;
	if (s->phase == WAIT_GREETING)
		run.opening--;
	if (s->phase == WAIT_GREETING || s->phase == WAIT_HELO) {
		if (said_no)
			run.turned_away++;
		else
			run.failed_connects++;
	}
	close(s->fd);
	s->fd = -1;
	if (enough() || (!opt.keep && !in_message && s->phase != WAIT_QUIT)) {
		session_end(s);
		return;
	}
	s->due_us = net_now_us() + (opt.keep && s->phase != WAIT_QUIT ? RETRY_US : 0);
	s->phase = WAIT_RETRY;
}

static void
session_broken(struct session *s)
{
	session_over(s, false);
}

static void
flush(struct session *s)
{
	bool left;

	while (s->out_done < s->out.n) {
		ssize_t n = write(s->fd, s->out.p + s->out_done, s->out.n - s->out_done);

		if (n < 0)
			break; /* EAGAIN, or an error that the next read tells */
		s->out_done += (size_t)n;
	}
	left = s->out_done < s->out.n;
	if (!left) {
		buf_reset(&s->out);
		s->out_done = 0;
	}
	if (left != s->want_write) {
		s->want_write = left;
		watch(s, EPOLL_CTL_MOD);
	}
}

static void
put_rcpt(struct session *s, long number)
{
	const char *d = strstr(opt.rcpt, "%d");

	if (opt.rcpt_wrap != 0)
		number %= opt.rcpt_wrap;
	buf_puts(&s->out, "RCPT TO:<");
	if (d == NULL)
		buf_puts(&s->out, opt.rcpt);
	else
		buf_printf(&s->out, "%.*s%ld%s", (int)(d - opt.rcpt), opt.rcpt, number, d + 2);
	buf_puts(&s->out, ">\r\n");
}

static void
message_start(struct session *s)
{
	s->seq = run.begun++;
	s->refused = false;
	s->rcpts_left = opt.rcpts;
	s->first_rcpt = run.rcpts;
	run.rcpts += opt.rcpts;
	s->phase = WAIT_MAIL;
	buf_printf(&s->out, "MAIL FROM:<%s>\r\n", opt.from);
	if (opt.pipelining) {
		for (int i = 0; i < opt.rcpts; i++)
			put_rcpt(s, s->first_rcpt + i);
		buf_puts(&s->out, "DATA\r\n");
	}
}

static void
put_body(struct session *s)
{
	buf_printf(&s->out, "From: <%s>\r\nTo: undisclosed-recipients:;\r\n", opt.from);
	buf_puts(&s->out, "Date: Sat, 21 Nov 2026 12:00:00 +0000\r\n");
	buf_printf(&s->out, "Message-ID: <%s-%ld@source.test.example>\r\n", opt.run, s->seq);
	buf_printf(&s->out, "Subject: message %ld of %s\r\nX-Test-Id: %s-%ld\r\n", s->seq, opt.run,
	    opt.run, s->seq);
	s->dot_us = net_now_us();
	if (opt.stamp)
		buf_printf(&s->out, "X-Test-Sent: %llu\r\n", (unsigned long long)s->dot_us);
	buf_puts(&s->out, "\r\n");
	buf_put(&s->out, filler.p, filler.n);
	buf_puts(&s->out, ".\r\n");
	s->phase = WAIT_DOT;
}

/* Between two messages: begin the next, wait for its time, or leave. */
static void
message_next(struct session *s)
{
	uint64_t due =
	    opt.rate == 0 ? 0 : run.start_us + (uint64_t)run.begun * 1000000 / (uint64_t)opt.rate;

	if (opt.idle) {
		s->phase = WAIT_DUE;
		s->due_us = UINT64_MAX;
		run.held++;
		return;
	}
	if (enough() || stopped || (opt.per_session != 0 && s->sent >= opt.per_session)) {
		buf_puts(&s->out, "QUIT\r\n");
		s->phase = WAIT_QUIT;
	} else if (due > net_now_us()) {
		s->phase = WAIT_DUE;
		s->due_us = due;
	} else {
		s->sent++;
		message_start(s);
	}
}

static void
message_acked(struct session *s)
{
	char line[128];
	int n = snprintf(line, sizeof line, "A %s-%ld\n", opt.run, s->seq);

	if (opt.marks >= 0)
		net_append_line(opt.marks, line, (size_t)n);
	if (opt.acks >= 0)
		net_append_line(opt.acks, line + 2, (size_t)n - 2);
	if (run.latencies < opt.messages)
		run.latency_us[run.latencies++] = (uint32_t)(net_now_us() - s->dot_us);
	run.acked++;
	message_next(s);
}

static void
message_refused(struct session *s)
{
	run.refused++;
	if (opt.keep && opt.rate == 0) {
		/* No spinning on a server that says 4xx to everything. */
		s->phase = WAIT_DUE;
		s->due_us = net_now_us() + RETRY_US / 5;
		return;
	}
	message_next(s);
}

/* The reply to DATA: all of a pipelined group is answered now. */
static void
data_answered(struct session *s, int code)
{
	if (code == 354 && !s->refused)
		put_body(s);
	else if (code == 354)
		session_broken(s); /* some recipients refused: this tool sends to all or none */
	else
		message_refused(s);
}

/* A refusal within a message: a pipelined group is answered to its end, else start afresh. */
static void
step_refused(struct session *s)
{
	s->refused = true;
	if (!opt.pipelining) {
		buf_puts(&s->out, "RSET\r\n");
		s->phase = WAIT_RSET;
	}
}

static void
rcpt_next(struct session *s)
{
	if (s->rcpts_left == 0) {
		s->phase = WAIT_DATA;
		if (!opt.pipelining)
			buf_puts(&s->out, "DATA\r\n");
		return;
	}
	s->phase = WAIT_RCPT;
	if (!opt.pipelining)
		put_rcpt(s, s->first_rcpt + opt.rcpts - s->rcpts_left);
}

static void
on_reply(struct session *s, int code)
{
	bool ok = code >= 200 && code < 300;

	switch (s->phase) {
	case WAIT_GREETING:
		run.opening--;
		buf_printf(&s->out, "EHLO %s\r\n", opt.helo);
		s->phase = WAIT_HELO;
		if (!ok)
			session_over(s, true);
		break;
	case WAIT_HELO:
		if (ok)
			message_next(s);
		else
			session_over(s, true);
		break;
	case WAIT_MAIL:
	case WAIT_RCPT:
		if (s->phase == WAIT_RCPT)
			s->rcpts_left--;
		if (!ok)
			step_refused(s);
		if (s->phase != WAIT_RSET)
			rcpt_next(s);
		break;
	case WAIT_DATA:
		data_answered(s, code);
		break;
	case WAIT_DOT:
		if (ok)
			message_acked(s);
		else
			message_refused(s);
		break;
	case WAIT_RSET:
		message_refused(s);
		break;
	case WAIT_QUIT:
		if (enough() || stopped)
			session_end(s);
		else
			session_broken(s); /* only -n is reached: a new connection */
		break;
	case WAIT_RETRY:
	case WAIT_DUE:
	case OVER:
		session_broken(s); /* 421 while idle, or a reply to nothing */
		break;
	}
}

/* Takes whole replies off the input; the last line of one is "NNN " or "NNN". */
static void
read_replies(struct session *s)
{
	size_t from = 0;
	char *nl;

	while (s->fd >= 0 && (nl = memchr(s->in.p + from, '\n', s->in.n - from)) != NULL) {
		const char *line = s->in.p + from;
		size_t n = (size_t)(nl - line);

		from += n + 1;
		if (n < 3 || line[3] == '-')
			continue;
		on_reply(s, (line[0] - '0') * 100 + (line[1] - '0') * 10 + line[2] - '0');
		if (s->phase == OVER || s->phase == WAIT_RETRY)
			return;
	}
	if (s->fd >= 0)
		buf_drop(&s->in, from);
}

static void
on_event(struct session *s, uint32_t events)
{
	if (s->fd < 0)
		return;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		char *p = buf_room(&s->in, READ_MAX);

		if (net_read(s->fd, p, &s->in.n, READ_MAX) < 0) {
			session_broken(s);
			return;
		}
		read_replies(s);
	}
	if (s->fd >= 0 && (s->out.n > 0 || s->want_write))
		flush(s);
}

/* Sessions that wait for the clock; returns ms until the next, at most 100. */
static int
run_due(struct session *all)
{
	uint64_t now = net_now_us(), next = now + 100000;

	for (int i = 0; i < opt.sessions; i++) {
		struct session *s = &all[i];

		if (s->phase != WAIT_RETRY && s->phase != WAIT_DUE)
			continue;
		if (s->phase == WAIT_RETRY && opt.opening != 0 && run.opening >= opt.opening)
			continue; /* a greeting ends the wait, and this looks again */
		if (s->due_us > now) {
			next = s->due_us < next ? s->due_us : next;
		} else if (s->phase == WAIT_DUE) {
			message_next(s);
			flush(s);
			next = now;
		} else if (enough() || stopped) {
			session_end(s);
		} else {
			session_open(s);
			next = now;
		}
	}
	return next <= now ? 0 : (int)((next - now + 999) / 1000);
}

/* Once: all idle sessions there are to be are there. */
static void
tell_held(void)
{
	if (!opt.idle || run.told || run.held < run.live)
		return;
	if (run.live == opt.sessions)
		printf("held %ld\n", run.live);
	else
		printf("held %ld of %d\n", run.live, opt.sessions);
	fflush(stdout);
	run.told = true;
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
	long at = (run.latencies - 1) * p / 100;

	return run.latencies == 0 ? 0 : run.latency_us[at] / 1000.0;
}

static void
report(void)
{
	double s = (double)(net_now_us() - run.start_us) / 1e6;

	qsort(run.latency_us, (size_t)run.latencies, sizeof *run.latency_us, by_size);
	printf("messages=%ld acked=%ld refused=%ld broken=%ld connects=%ld failed_connects=%ld "
	       "turned_away=%ld seconds=%.3f rate=%.1f p50_ms=%.2f p99_ms=%.2f\n",
	    run.begun, run.acked, run.refused, run.broken, run.connects, run.failed_connects,
	    run.turned_away, s, (double)run.acked / s, percentile_ms(50), percentile_ms(99));
}

static void
on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

int
main(int argc, char *argv[])
{
	struct epoll_event events[EVENTS];
	struct session *all;

	sourceopt_read(&opt, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	make_filler();
	epfd = epoll_create1(EPOLL_CLOEXEC);
	run.latency_us = xcalloc((size_t)opt.messages, sizeof *run.latency_us);
	run.start_us = net_now_us();
	run.live = opt.sessions;
	all = xcalloc((size_t)opt.sessions, sizeof *all);
	for (int i = 0; i < opt.sessions; i++)
		if (opt.opening == 0)
			session_open(&all[i]);
	while (run.live > 0) {
		int n = epoll_wait(epfd, events, EVENTS, run_due(all));

		for (int i = 0; i < n; i++)
			on_event(events[i].data.ptr, events[i].events);
		tell_held();
		if (stopped || net_now_us() - run.start_us > (uint64_t)opt.limit_s * 1000000)
			break;
	}
	if (!opt.quiet && !opt.idle)
		report();
	for (int i = 0; i < opt.sessions; i++) {
		buf_fini(&all[i].in);
		buf_fini(&all[i].out);
	}
	free(all);
	free(run.latency_us);
	buf_fini(&filler);
	if (opt.idle)
		return run.live == opt.sessions ? 0 : 1;
	return run.acked >= opt.messages ? 0 : 1;
}
