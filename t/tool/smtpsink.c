/* SPDX-License-Identifier: ISC */
/*
 * smtpsink: an SMTP server that takes everything, remembers what it took, and can be told to
 * misbehave. Any number of addresses in one process.
 *
 *	smtpsink [-Qq] [-o file] [-T file] [-d folder] [-M file] [-c messages] [-X keyword]... [-r rule]...
 *	    [-S seed] HOST:PORT...
 *
 *	-o	one line a message, TAB between: its X-Test-Id (or -), its number, the address it
 *		came in by, the argument of MAIL, the argument of each RCPT that was accepted
 *	-T	for measuring: one line a message, its X-Test-Id, TAB, the microseconds since its
 *		X-Test-Sent (smtpsource -T; or -), all lines of a turn written together at its end
 *	-Q	TCP_QUICKACK after each read
 *	-d	each message as received (CR LF, dots removed) in folder/NUMBER
 *	-M	marks for the crash recorder: "D ID", written before the 250
 *	-c	end after so many messages
 *	-X	a keyword not to offer (PIPELINING, 8BITMIME, DSN, SIZE, ENHANCEDSTATUSCODES; EHLO:
 *		none)
 *	-r	a rule: see t/tool/sinkrule.h, e.g. 'rcpt,p=0.1=450 4.2.0 later', 'dot,times=1=drop'
 *
 * Lines are on file before the 250 is sent, so what a client was told to forget is in the file.
 * SIGTERM ends it with a line of counts on standard output; highest: sessions open at a time.
 */
#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/die.h"
#include "t/tool/net.h"
#include "t/tool/sinkrule.h"

enum { EVENTS = 256, READ_MAX = 65536, LINE_MAX_BYTES = 65536, LISTENERS_MAX = 64 };

struct session {
	int fd;
	bool listens; /* a listening socket: only fd and address count */
	bool in_data, mail, body_asked, want_write, closing, stalled;
	unsigned accepted;   /* recipients */
	uint64_t due_us;     /* nothing is read before; 0: no wait */
	const char *address; /* it came in by */
	struct buf in, out;
	struct buf envelope; /* TAB and argument, of MAIL and each RCPT */
	struct buf body;
	LIST_ENTRY(session) link;
};
static LIST_HEAD(, session) sessions = LIST_HEAD_INITIALIZER(sessions);

static struct {
	struct session listeners[LISTENERS_MAX];
	int nlisteners, log, times, marks, epfd;
	struct buf times_lines; /* of this turn */
	const char *dir;
	long limit;
	bool no_ehlo, quiet, quickack;
	long messages, connections, open, highest, rcpts, refused;
	unsigned long long bytes;
} sink = { .log = -1, .times = -1, .marks = -1 };

static struct {
	const char *word;
	const char *line;
	bool withheld;
} keywords[] = {
	{ "PIPELINING", "PIPELINING", false },
	{ "SIZE", "SIZE 0", false },
	{ "8BITMIME", "8BITMIME", false },
	{ "ENHANCEDSTATUSCODES", "ENHANCEDSTATUSCODES", false },
	{ "DSN", "DSN", false },
	{ "SMTPUTF8", "SMTPUTF8", true }, /* named by -X: offered */
	{ "MT-PRIORITY", "MT-PRIORITY MIXER", true },
};

static volatile sig_atomic_t stopped;

static void
watch(struct session *s, int op)
{
	struct epoll_event ev = { .events = s->stalled ? EPOLLRDHUP : 0, .data.ptr = s };

	if (s->due_us == 0 && !s->stalled)
		ev.events |= EPOLLIN;
	if (s->want_write)
		ev.events |= EPOLLOUT;
	if (epoll_ctl(sink.epfd, op, s->fd, &ev) < 0)
		die(EXIT_SOFTWARE, "epoll_ctl: %s", strerror(errno));
}

static void
session_free(struct session *s)
{
	LIST_REMOVE(s, link);
	sink.open--;
	close(s->fd);
	buf_fini(&s->in);
	buf_fini(&s->out);
	buf_fini(&s->envelope);
	buf_fini(&s->body);
	free(s);
}

static void
reply(struct session *s, const char *text)
{
	buf_puts(&s->out, text);
	buf_puts(&s->out, "\r\n");
}

/* A rule's reply: lines as written, each ended with CR LF. */
static void
reply_lines(struct session *s, const char *text)
{
	struct slice all = slice_z(text), line;

	while (slice_next(&all, '\n', &line)) {
		buf_slice(&s->out, line);
		buf_puts(&s->out, "\r\n");
	}
}

/*
 * Ask the rules. True when a rule has answered (or stalled, or closed) in place of the usual. A
 * delay alone sets due_us: what has been read waits, and so does the reply.
 */
static bool
ruled(struct session *s, enum sink_phase phase, struct slice arg)
{
	struct sink_answer a;

	if (!sinkrule_strikes(phase, arg, &a))
		return false;
	if (a.delay_ms > 0)
		s->due_us = net_now_us() + a.delay_ms * 1000ULL;
	if (a.reply[0] != '\0')
		reply_lines(s, a.reply);
	s->stalled |= a.stall;
	s->closing |= a.drop;
	return a.stall || a.drop || a.reply[0] != '\0';
}

static void
transaction_reset(struct session *s)
{
	s->mail = false;
	s->accepted = 0;
	buf_reset(&s->envelope);
	buf_reset(&s->body);
}

static void
cmd_ehlo(struct session *s, struct slice arg)
{
	size_t last = 0;

	transaction_reset(s);
	if (ruled(s, SINK_EHLO, arg))
		return;
	if (sink.no_ehlo) {
		reply(s, "502 5.5.1 not here");
		return;
	}
	for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
		if (!keywords[i].withheld)
			last = i + 1;
	buf_puts(&s->out, last == 0 ? "250 sink.test.example\r\n" : "250-sink.test.example\r\n");
	for (size_t i = 0; i < last; i++)
		if (!keywords[i].withheld)
			buf_printf(
			    &s->out, "250%c%s\r\n", i + 1 == last ? ' ' : '-', keywords[i].line);
}

static void
cmd_helo(struct session *s, struct slice arg)
{
	transaction_reset(s);
	if (!ruled(s, SINK_HELO, arg))
		reply(s, "250 sink.test.example");
}

static void
cmd_mail(struct session *s, struct slice arg)
{
	if (ruled(s, SINK_MAIL, arg))
		return;
	if (s->mail) {
		reply(s, "503 5.5.1 nested MAIL");
		return;
	}
	s->mail = true;
	buf_putc(&s->envelope, '\t');
	buf_slice(&s->envelope, arg);
	reply(s, "250 2.1.0 ok");
}

static void
cmd_rcpt(struct session *s, struct slice arg)
{
	if (ruled(s, SINK_RCPT, arg)) {
		sink.refused++;
		return;
	}
	if (!s->mail) {
		reply(s, "503 5.5.1 MAIL first");
		return;
	}
	s->accepted++;
	buf_putc(&s->envelope, '\t');
	buf_slice(&s->envelope, arg);
	reply(s, "250 2.1.5 ok");
}

static void
cmd_data(struct session *s, struct slice arg)
{
	if (ruled(s, SINK_DATA, arg))
		return;
	if (s->accepted == 0) {
		reply(s, s->mail ? "554 5.5.1 no valid recipients" : "503 5.5.1 RCPT first");
		return;
	}
	reply(s, "354 go on");
	s->in_data = true;
	s->body_asked = false;
}

static void
cmd_rset(struct session *s, struct slice arg)
{
	transaction_reset(s);
	if (!ruled(s, SINK_RSET, arg))
		reply(s, "250 2.0.0 ok");
}

static void
cmd_noop(struct session *s, struct slice arg)
{
	if (!ruled(s, SINK_NOOP, arg))
		reply(s, "250 2.0.0 ok");
}

static void
cmd_quit(struct session *s, struct slice arg)
{
	if (ruled(s, SINK_QUIT, arg))
		return;
	reply(s, "221 2.0.0 bye");
	s->closing = true;
}

static const struct {
	const char *verb; /* with what stands between it and its argument */
	void (*run)(struct session *s, struct slice arg);
} commands[] = {
	{ "EHLO", cmd_ehlo },
	{ "HELO", cmd_helo },
	{ "MAIL FROM:", cmd_mail },
	{ "RCPT TO:", cmd_rcpt },
	{ "DATA", cmd_data },
	{ "RSET", cmd_rset },
	{ "NOOP", cmd_noop },
	{ "QUIT", cmd_quit },
};

static void
run_command(struct session *s, struct slice line)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (slice_istarts(line, commands[i].verb)) {
			commands[i].run(s, slice_trim(slice_from(line, strlen(commands[i].verb))));
			return;
		}
	reply(s, "500 5.5.2 what?");
}

/* The value of a field ("Name:") of the header section, or "-". */
static struct slice
field(const struct buf *body, const char *name)
{
	struct slice all = slice_buf(body), line;
	size_t n = strlen(name);

	while (slice_next(&all, '\n', &line) && line.n > 1)
		if (slice_istarts(line, name))
			return slice_trim(slice_head(slice_from(line, n), line.n - n - 1));
	return SLICE_LIT("-");
}

static void
note_time(const struct session *s, struct slice id)
{
	struct slice sent = field(&s->body, "X-Test-Sent:");
	uint64_t us;

	buf_slice(&sink.times_lines, id);
	if (slice_u64(sent, &us))
		buf_printf(&sink.times_lines, "\t%llu\n", (unsigned long long)(net_now_us() - us));
	else
		buf_puts(&sink.times_lines, "\t-\n");
}

static void
times_flush(void)
{
	if (sink.times_lines.n > 0)
		net_append_line(sink.times, sink.times_lines.p, sink.times_lines.n);
	buf_reset(&sink.times_lines);
}

static void
write_message(const struct session *s)
{
	char path[4096];
	int fd, n;

	n = snprintf(path, sizeof path, "%s/%06ld", sink.dir, sink.messages);
	fd = n < (int)sizeof path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
	if (fd < 0 || write(fd, s->body.p, s->body.n) != (ssize_t)s->body.n)
		die(EXIT_CANTCREAT, "%s: %s", path, strerror(errno));
	close(fd);
}

/* The message is whole: remember it, then answer. A rule that refuses it forgets it. */
static void
message_done(struct session *s)
{
	struct slice id = field(&s->body, "X-Test-Id:");
	struct buf line = { 0 };

	s->in_data = false;
	if (ruled(s, SINK_DOT, id)) {
		transaction_reset(s);
		return;
	}
	sink.messages++;
	sink.rcpts += s->accepted;
	sink.bytes += s->body.n;
	if (sink.dir != NULL)
		write_message(s);
	buf_printf(&line, "D %.*s", SLICE_ARG(id));
	if (sink.marks >= 0) {
		buf_putc(&line, '\n');
		net_append_line(sink.marks, line.p, line.n);
		line.n--;
	}
	if (sink.log >= 0) {
		buf_printf(&line, "\t%ld\t%s", sink.messages, s->address);
		buf_slice(&line, slice_buf(&s->envelope));
		buf_putc(&line, '\n');
		net_append_line(sink.log, line.p + 2, line.n - 2);
	}
	buf_fini(&line);
	if (sink.times >= 0)
		note_time(s, id);
	reply(s, "250 2.0.0 taken");
	transaction_reset(s);
	if (sink.limit != 0 && sink.messages >= sink.limit)
		stopped = 1;
}

/* One line of a message; true when it was the last. */
static bool
body_line(struct session *s, struct slice line)
{
	if (line.n == 3 && memcmp(line.p, ".\r\n", 3) == 0)
		return true;
	if (line.n > 0 && line.p[0] == '.')
		line = slice_from(line, 1);
	buf_slice(&s->body, line);
	return false;
}

static void
run_line(struct session *s, struct slice line)
{
	size_t end = line.n > 1 && line.p[line.n - 2] == '\r' ? 2 : 1;

	if (!s->in_data)
		run_command(s, slice_trim(slice_head(line, line.n - end)));
	else if (body_line(s, line))
		message_done(s);
}

static void
run_input(struct session *s)
{
	size_t from = 0;

	while (from < s->in.n) {
		struct slice rest = slice_from(slice_buf(&s->in), from);
		ptrdiff_t nl = slice_find(rest, '\n');

		if (s->in_data && !s->body_asked) {
			s->body_asked = true;
			ruled(s, SINK_BODY, SLICE_NONE);
		}
		if (s->due_us != 0 || s->stalled || s->closing)
			break;
		if (nl < 0 && rest.n < LINE_MAX_BYTES)
			break;
		rest = slice_head(rest, nl < 0 ? rest.n : (size_t)nl + 1);
		from += rest.n;
		run_line(s, rest);
	}
	buf_drop(&s->in, from);
}

/* Sends what there is, unless the session waits; false when the session has ended. */
static bool
session_flush(struct session *s)
{
	size_t done = 0;

	if (s->due_us == 0) {
		ssize_t n = s->out.n == 0 ? 0 : write(s->fd, s->out.p, s->out.n);
		bool gone = n < 0 && errno != EAGAIN && errno != EINTR;

		done = n > 0 ? (size_t)n : 0;
		buf_drop(&s->out, done);
		if (gone || (s->closing && s->out.n == 0)) {
			session_free(s);
			return false;
		}
	}
	s->want_write = s->due_us == 0 && s->out.n > 0;
	watch(s, EPOLL_CTL_MOD);
	return true;
}

static void
on_accept(const struct session *listener)
{
	struct session *s;
	int fd = net_accept(listener->fd);

	if (fd < 0)
		return;
	s = xcalloc(1, sizeof *s);
	s->fd = fd;
	s->address = listener->address;
	LIST_INSERT_HEAD(&sessions, s, link);
	sink.connections++;
	if (++sink.open > sink.highest)
		sink.highest = sink.open;
	watch(s, EPOLL_CTL_ADD);
	if (!ruled(s, SINK_CONNECT, SLICE_NONE))
		reply(s, "220 sink.test.example ESMTP");
	session_flush(s);
}

static void
on_event(struct session *s, uint32_t events)
{
	if (events & ~(uint32_t)EPOLLOUT) {
		char *p = buf_room(&s->in, READ_MAX);

		if (net_read(s->fd, p, &s->in.n, READ_MAX) < 0) {
			session_free(s);
			return;
		}
		if (sink.quickack)
			setsockopt(s->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){ 1 }, sizeof(int));
		run_input(s);
	}
	session_flush(s);
}

/* Sessions under a delay; returns ms until the next is due, -1 for none. */
static int
run_due(void)
{
	uint64_t now = net_now_us(), next = UINT64_MAX;
	struct session *s, *after;

	for (s = LIST_FIRST(&sessions); s != NULL; s = after) {
		after = LIST_NEXT(s, link);
		if (s->due_us == 0)
			continue;
		if (s->due_us > now) {
			next = s->due_us < next ? s->due_us : next;
			continue;
		}
		s->due_us = 0;
		if (session_flush(s)) {
			run_input(s);
			session_flush(s);
		}
		next = now; /* it may wait again: look once more */
	}
	return next == UINT64_MAX ? -1 : (int)((next - now + 999) / 1000);
}

static void
on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

static void
withhold(const char *word)
{
	bool known = strcmp(word, "EHLO") == 0;

	sink.no_ehlo |= known;
	for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
		if (strcmp(word, keywords[i].word) == 0) {
			keywords[i].withheld = !keywords[i].withheld;
			known = true;
		}
	if (!known)
		die(EXIT_USAGE, "-X: no keyword '%s'", word);
}

static void
listen_at(const char *text)
{
	struct session *l = &sink.listeners[sink.nlisteners++];
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = l };
	struct net_addr at;

	if (sink.nlisteners == LISTENERS_MAX || net_addr_parse(&at, text) < 0)
		die(EXIT_USAGE, "'%s' is no HOST:PORT, or one too many", text);
	l->listens = true;
	l->address = text;
	l->fd = net_listen(&at);
	if (l->fd < 0)
		die(EXIT_UNAVAILABLE, "%s: %s", text, strerror(-l->fd));
	if (epoll_ctl(sink.epfd, EPOLL_CTL_ADD, l->fd, &ev) < 0)
		die(EXIT_SOFTWARE, "epoll_ctl: %s", strerror(errno));
}

static void
options(int argc, char *argv[])
{
	const char *err = NULL;
	int c;

	while ((c = getopt(argc, argv, "c:d:M:o:Qqr:S:T:X:")) != -1) {
		switch (c) {
		case 'c':
			sink.limit = (long)strtonum(optarg, 1, 1L << 40, &err);
			break;
		case 'd':
			sink.dir = optarg;
			break;
		case 'M':
			sink.marks = net_append_open(optarg);
			break;
		case 'o':
			sink.log = net_append_open(optarg);
			break;
		case 'Q':
			sink.quickack = true;
			break;
		case 'q':
			sink.quiet = true;
			break;
		case 'r':
			if (sinkrule_add(optarg) < 0)
				die(EXIT_USAGE, "-r '%s': see t/tool/sinkrule.h", optarg);
			break;
		case 'S':
			sinkrule_seed((uint64_t)strtonum(optarg, 0, 1L << 40, &err));
			break;
		case 'T':
			sink.times = net_append_open(optarg);
			break;
		case 'X':
			withhold(optarg);
			break;
		default:
			die(EXIT_USAGE, "see the head of t/tool/smtpsink.c");
		}
	}
	if (err != NULL || optind == argc)
		die(EXIT_USAGE, "HOST:PORT is needed; see the head of t/tool/smtpsink.c");
	for (; optind < argc; optind++)
		listen_at(argv[optind]);
}

static void
report(void)
{
	if (!sink.quiet)
		printf("messages=%ld connections=%ld highest=%ld recipients=%ld "
		       "refused_recipients=%ld bytes=%llu\n",
		    sink.messages, sink.connections, sink.highest, sink.rcpts, sink.refused,
		    sink.bytes);
}

int
main(int argc, char *argv[])
{
	struct epoll_event events[EVENTS];
	sigset_t ends, before;

	/* Both arrive only while it waits, so none slips in between the question and the wait. */
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, &before);
	sigdelset(&before, SIGTERM);
	sigdelset(&before, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	sink.epfd = epoll_create1(EPOLL_CLOEXEC);
	options(argc, argv);
	while (!stopped) {
		int n = epoll_pwait(sink.epfd, events, EVENTS, run_due(), &before);

		for (int i = 0; i < n; i++) {
			struct session *s = events[i].data.ptr;

			if (s->listens)
				on_accept(s);
			else
				on_event(s, events[i].events);
		}
		times_flush();
	}
	buf_fini(&sink.times_lines);
	report();
	return 0;
}
