/* SPDX-License-Identifier: ISC */
/*
 * evilpeer: a process of the house that has fallen. It becomes the user of one end of an edge,
 *connects, and says what a thief would: good messages with made-up values, broken ones, messages of
 *other rows, descriptors nobody asked for, packets too long, floods. When it is cut off it comes
 *back.
 *
 *	evilpeer [-n frames] [-s seed] [-u uid] -e SERVER.ASKER DIR	an edge; its socket is DIR/s
 *	evilpeer [-n frames] [-s seed] [-u uid] -c SERVICE DIR		a control socket,
 *DIR/SERVICE
 *	evilpeer [-n lines] [-s seed] [-u uid] -l DIR			the local submission, DIR/s
 *
 *	-u	run as this user and the group of the same number, without others
 *
 * Prints one line of name=value: what it sent, how often it was cut off, what it was told. Exit 0
 *when all was sent, 75 when nobody listens any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/die.h"
#include "spool/segment.h"
#include "t/tool/evilframe.h"
#include "t/tool/net.h"

enum { LEASES = 4, FDS_MAX = 3, PATIENCE_US = 10 * 1000 * 1000, FLOOD = 200 };

struct lease_held {
	struct msg_lease lease;
	int fd;
	uint64_t offset;
};

static struct {
	enum { EDGE, CTL, SUBMIT } what;
	enum service server, asker;
	const char *socket;
	unsigned long frames;
} opt;

static struct {
	unsigned long frames, packets, links, cut, heard, leases, jobs, descriptors;
} count;

static int fd = -1;
static struct lease_held held[LEASES];
static unsigned nheld;
static int spare; /* what is sent along: a memfd */

/* ---- the link ---- */

static void
connect_again(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int type = opt.what == SUBMIT ? SOCK_STREAM : SOCK_SEQPACKET;
	uint64_t until = net_now_us() + PATIENCE_US;

	slice_copy(slice_z(opt.socket), sun.sun_path, sizeof sun.sun_path);
	for (;;) {
		fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd < 0)
			die(EXIT_TEMP, "socket: %s", strerror(errno));
		if (connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0)
			break;
		if (net_now_us() > until)
			die(EXIT_TEMP, "%s: %s", opt.socket, strerror(errno));
		close(fd);
		poll(NULL, 0, 1);
	}
	count.links++;
}

static void
hang_up(void)
{
	if (fd >= 0)
		close(fd);
	fd = -1;
	while (nheld > 0)
		close(held[--nheld].fd);
}

static void
keep_lease(struct slice packet, int passed)
{
	struct msg_frame f;
	struct lease_held *h = &held[nheld];

	if (nheld < LEASES && msg_frame_next(&packet, &f) && f.type == MSG_LEASE &&
	    msg_lease_get(f.payload, &h->lease)) {
		h->fd = passed;
		h->offset = h->lease.start;
		nheld++;
		count.leases++;
	} else
		close(passed);
}

/* False: we were cut off. */
static bool
hear(int wait_ms)
{
	static char in[IPC_PACKET_MAX];
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	ssize_t n;

	if (wait_ms > 0)
		poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, wait_ms);
	for (;;) {
		struct iovec v = { .iov_base = in, .iov_len = sizeof in };
		struct msghdr m = { .msg_iov = &v,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof control };
		int passed = -1;

		n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n <= 0) {
			count.cut++;
			return false;
		}
		count.heard++;
		if (opt.what == SUBMIT)
			continue;
		if (CMSG_FIRSTHDR(&m) != NULL)
			memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof passed);
		evil_learn_packet(slice_of(in, (size_t)n));
		count.jobs += n >= 2 && memcmp(in, &(uint16_t){ MSG_JOB }, 2) == 0;
		if (passed >= 0)
			keep_lease(slice_of(in, (size_t)n), passed);
	}
}

/* One packet with nfds copies of a descriptor. False: the link is gone. */
static bool
send_packet(const struct buf *b, unsigned nfds, bool listening)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = { 0 };
	struct iovec v = { .iov_base = b->p, .iov_len = b->n };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	if (nfds > 0) {
		m.msg_control = control.space;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		for (unsigned i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(&control.head) + i * sizeof spare, &spare, sizeof spare);
	}
	for (int tries = 0; sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0; tries++) {
		if ((errno != EAGAIN && errno != EINTR) || tries == 100) {
			count.cut += errno == EPIPE || errno == ECONNRESET;
			return false;
		}
		poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, 20);
		if (listening && !hear(0))
			return false;
	}
	count.packets++;
	count.descriptors += nfds;
	return true;
}

/* One that is given jobs, and no leases. */
static bool
is_courier(void)
{
	return opt.asker == SERVICE_DELIVER || opt.asker == SERVICE_LOCAL;
}

/* Now and then until it holds what only a patient peer is given: a lease comes after two syncs.
 * False: cut off. */
static bool
be_patient(void)
{
	unsigned long jobs = count.jobs;
	uint64_t until = net_now_us() + 200 * 1000;

	if (opt.server != SERVICE_QMGR || evil_chance(80))
		return true;
	while (nheld == 0 && count.jobs == jobs && net_now_us() < until)
		if (!hear(is_courier() ? 10 : 50))
			return false;
		else if (is_courier())
			break;
	return true;
}

/* ---- what is said ---- */

static void
put_hello(struct buf *b)
{
	struct msg_hello h = { .service = (uint8_t)opt.asker,
		.role = (uint8_t)evil_below(2),
		.worker = (uint16_t)evil_below(4),
		.instance = evil_u64(),
		.version_min = 1,
		.version_max = 1,
		.class = (uint8_t)(1 + evil_below(3)),
		.pid = (uint32_t)getpid() };

	if (opt.asker == SERVICE_BOUNCED)
		h.class = 4;
	switch (evil_below(20)) {
	case 0:
		h.service = (uint8_t)evil_below(12);
		break;
	case 1:
		h.version_min = 2;
		h.version_max = 9;
		break;
	case 2:
		h.version_max = 9; /* newer: what it says and we do not know is no crime */
		break;
	case 3:
		h.class = (uint8_t)evil_below(256);
		h.role = (uint8_t)evil_below(256);
		break;
	}
	msg_hello_put(b, &h);
	count.frames++;
	if (evil_chance(3))
		evil_break(b, 0);
}

/* So far as to be believed: then the rest reaches deeper. */
static void
put_opening(struct buf *b)
{
	if (opt.server == SERVICE_QMGR && is_courier()) {
		msg_running_put(b, &(struct msg_running){ .last = 1 });
		msg_worker_room_put(b, &(struct msg_worker_room){ .jobs = evil_below(4) });
		count.frames += 2;
	} else if (opt.server == SERVICE_QMGR) {
		msg_lease_want_put(b, &(struct msg_lease_want){ .count = 1, .version = 1 });
		count.frames++;
	}
}

/* Something is appended to a segment it holds, and the bell rung for it. */
static void
put_doorbell(struct buf *b)
{
	struct lease_held *h = &held[evil_below(nheld)];
	struct buf rec = { 0 };

	if (evil_chance(80))
		evil_record(&rec, &h->lease, h->offset);
	else
		for (int i = 0; i < 16; i++)
			buf_put(&rec, &(uint64_t){ evil_u64() }, 8);
	if (write(h->fd, rec.p, rec.n) == (ssize_t)rec.n)
		h->offset += rec.n;
	buf_fini(&rec);
	msg_doorbell_put(
	    b, &(struct msg_doorbell){ .segment = h->lease.segment, .durable = h->offset });
	count.frames++;
	if (evil_chance(20)) {
		msg_seal_put(b, &(struct msg_seal){ .segment = h->lease.segment,
				    .end = h->offset - 64 * evil_below(3) });
		count.frames++;
	}
}

static void
put_ctl(struct buf *b)
{
	static const char *const verbs[] = { "status", "queue", "list", "hold", "release", "retry",
		"delete", "fail", "flush", "ledger", "trace", "follow", "reload", "reopen", "route",
		"show", "sites", "help", "", "\xff", "\n" };
	char args[600];
	size_t n = evil_below(evil_chance(10) ? sizeof args : 20);
	const char *verb = verbs[evil_below(sizeof verbs / sizeof *verbs)];

	for (size_t i = 0; i < n; i++)
		args[i] = evil_chance(20)
			      ? '\0'
			      : (char)(evil_chance(80) ? 'a' + evil_below(26) : evil_below(256));
	if (n > 0 && evil_chance(95))
		args[n - 1] = '\0';
	msg_ctl_put(b, &(struct msg_ctl){ .verb = slice_z(verb), .args = slice_of(args, n) });
	count.frames++;
}

static void
put_frame(struct buf *b)
{
	size_t at = b->n;
	uint16_t type;

	if (nheld > 0 && evil_chance(30)) {
		put_doorbell(b);
		return;
	}
	if (opt.what == CTL && evil_chance(80))
		put_ctl(b);
	else {
		type = opt.what == CTL || evil_chance(3)
			   ? evil_any_row()
			   : evil_row(IPC_BIT(opt.asker), IPC_BIT(opt.server));
		evil_frame(b, type);
		count.frames++;
	}
	if (evil_chance(6))
		evil_break(b, at);
}

/* ---- one link's life ---- */

static bool
flood(void)
{
	struct buf b = { 0 };
	bool up = true;

	for (int i = 0; i < FLOOD && up; i++) {
		buf_reset(&b);
		evil_frame(&b, evil_row(IPC_BIT(opt.asker), IPC_BIT(opt.server)));
		count.frames++;
		up = send_packet(&b, 0, false);
	}
	buf_fini(&b);
	return up;
}

/* Many who say nothing. */
static void
crowd(void)
{
	int fds[40];
	unsigned n = 0;

	for (; n < sizeof fds / sizeof *fds; n++) {
		connect_again();
		fds[n] = fd;
	}
	while (n > 0)
		close(fds[--n]);
	fd = -1;
}

static bool
say_packet(struct buf *b)
{
	unsigned nfds = evil_chance(3) ? 1 + evil_below(FDS_MAX) : 0;

	if (evil_chance(1)) { /* longer than any packet may be */
		buf_room(b, IPC_PACKET_MAX + 64);
		memset(b->p + b->n, 0, IPC_PACKET_MAX + 64);
		b->n += IPC_PACKET_MAX + 64;
	} else if (evil_chance(1)) {
		buf_reset(b);
		buf_puts(b, "one two three");
	} else if (b->n > IPC_PACKET_MAX && evil_chance(90))
		b->n = IPC_PACKET_MAX;
	return send_packet(b, nfds, true) && hear(evil_chance(30) ? 1 : 0);
}

static void
say_packets(void)
{
	struct buf b = { 0 };
	bool up = true;

	connect_again();
	if (evil_chance(97))
		put_hello(&b);
	if (evil_chance(70) && opt.what == EDGE)
		put_opening(&b);
	up = send_packet(&b, 0, true) && hear(opt.what == EDGE ? 5 : 0) &&
	     (opt.what != EDGE || be_patient());
	if (up && opt.what == EDGE && evil_chance(2))
		up = flood();
	for (unsigned i = 1 + evil_below(30); i > 0 && up && count.frames < opt.frames; i--) {
		buf_reset(&b);
		for (unsigned k = opt.what == CTL ? 1 : 1 + evil_below(4); k > 0; k--)
			put_frame(&b);
		up = say_packet(&b);
	}
	if (up && evil_chance(50))
		hear(5);
	hang_up();
	buf_fini(&b);
}

/*
 * A writer loses its link while its leases are made, and is back before they are. What was made for
 * the link before must not be counted against the new one: it asks again and is served.
 */
static void
come_back(void)
{
	struct msg_hello h = { .service = (uint8_t)opt.asker,
		.role = 1,
		.worker = 1,
		.instance = evil_u64(),
		.version_min = 1,
		.version_max = 1,
		.class = opt.asker == SERVICE_BOUNCED ? 4 : 1 };
	struct buf hello = { 0 }, want = { 0 };
	unsigned long before;
	uint64_t until;

	msg_hello_put(&hello, &h);
	msg_lease_want_put(&want, &(struct msg_lease_want){ .count = 4, .version = 1 });
	connect_again();
	send_packet(&hello, 0, true);
	hear(1000); /* what lies unread when a socket is closed becomes an error that hides what was
		       sent */
	send_packet(&want, 0, true);
	hang_up();
	connect_again();
	send_packet(&hello, 0, true);
	for (until = net_now_us() + 300 * 1000; net_now_us() < until && count.leases < 4;)
		hear(20); /* all four, or none if it was late */
	before = count.leases;
	while (nheld > 0)
		close(held[--nheld].fd);
	if (!send_packet(&want, 0, true))
		die(EXIT_SOFTWARE, "%s: a writer was cut off", opt.socket);
	for (until = net_now_us() + PATIENCE_US; count.leases == before;)
		if (!hear(50) || net_now_us() > until)
			die(EXIT_SOFTWARE, "%s: a writer that came back is given no lease",
			    opt.socket);
	hang_up();
	count.frames += 4;
	buf_fini(&hello);
	buf_fini(&want);
}

static void
put_line(struct buf *b)
{
	static const char *const lines[] = { "EHLO localhost", "HELO x",
		"MAIL FROM:<evil@b.example>", "MAIL FROM:<> SIZE=9", "RCPT TO:<evil@d.example>",
		"RCPT TO:<evil2>", "RCPT TO:<evil@d.example> NOTIFY=NEVER", "DATA", "RSET", "NOOP",
		"VRFY x", "HELP", "QUIT", "X-Test-Id: evil", "", ".", "..", "Received: x",
		"AUTH PLAIN", "STARTTLS" };
	size_t at = b->n;

	buf_puts(b, lines[evil_below(sizeof lines / sizeof *lines)]);
	if (evil_chance(3))
		for (unsigned i = evil_below(5000); i > 0; i--)
			buf_putc(b, (char)evil_below(256));
	if (evil_chance(3) && b->n > at)
		b->p[at + evil_below((uint32_t)(b->n - at))] ^= (char)(1 << evil_below(8));
	buf_puts(b, evil_chance(97) ? "\r\n" : evil_chance(50) ? "\n" : "\r");
	count.frames++;
}

static void
say_lines(void)
{
	struct buf b = { 0 };
	bool up = true;

	connect_again();
	if (evil_chance(70))
		buf_puts(&b,
		    "EHLO localhost\r\nMAIL FROM:<evil@b.example>\r\nRCPT TO:<evil@d.example>\r\n");
	for (unsigned i = 1 + evil_below(40); i > 0 && up && count.frames < opt.frames; i--) {
		for (unsigned k = 1 + evil_below(8); k > 0; k--)
			put_line(&b);
		up = send_packet(&b, evil_chance(2) ? 1 + evil_below(FDS_MAX) : 0, true) &&
		     hear(evil_chance(50) ? 5 : 0);
		buf_reset(&b);
	}
	hang_up();
	buf_fini(&b);
}

static void
become(const char *dir, uid_t uid)
{
	spare = memfd_create("evil", MFD_CLOEXEC);
	if (spare < 0 || chdir(dir) != 0)
		die(EXIT_TEMP, "%s: %s", dir, strerror(errno));
	if (uid != 0 && (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 ||
			    setresuid(uid, uid, uid) != 0))
		die(EXIT_NOPERM, "cannot become user %u: %s", uid, strerror(errno));
}

static void
read_edge(const char *edge)
{
	char server[32];
	const char *dot = strchr(edge, '.');

	if (dot == NULL || (size_t)(dot - edge) >= sizeof server)
		die(EXIT_USAGE, "%s: SERVER.ASKER", edge);
	slice_copy(slice_of(edge, (size_t)(dot - edge)), server, sizeof server);
	opt.server = service_of(server);
	opt.asker = service_of(dot + 1);
	opt.socket = "s";
	if (opt.server == SERVICE_NONE || opt.asker == SERVICE_NONE)
		die(EXIT_USAGE, "%s: no such edge", edge);
}

int
main(int argc, char *argv[])
{
	uint64_t seed = 1;
	uid_t uid = 0;
	int c;

	opt.frames = 10000;
	while ((c = getopt(argc, argv, "n:s:u:e:c:l")) != -1)
		switch (c) {
		case 'n':
			opt.frames = strtoul(optarg, NULL, 10);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		case 'u':
			uid = (uid_t)strtoul(optarg, NULL, 10);
			break;
		case 'e':
			read_edge(optarg);
			break;
		case 'c':
			opt.what = CTL;
			opt.server = service_of(optarg);
			opt.asker = SERVICE_CTL;
			opt.socket = optarg;
			break;
		case 'l':
			opt.what = SUBMIT;
			opt.socket = "s";
			break;
		default:
			return EXIT_USAGE;
		}
	if (opt.socket == NULL || optind + 1 != argc)
		die(EXIT_USAGE, "usage: evilpeer [-n frames] [-s seed] [-u uid] {-e SERVER.ASKER | "
				"-c SERVICE | -l} DIR");
	evil_seed(seed);
	become(argv[optind], uid);
	if (opt.what == EDGE && opt.server == SERVICE_QMGR && !is_courier())
		come_back();
	while (count.frames < opt.frames) {
		if (opt.what == SUBMIT)
			say_lines();
		else if (evil_chance(1))
			crowd();
		else
			say_packets();
	}
	printf("frames=%lu packets=%lu links=%lu cut=%lu heard=%lu leases=%lu jobs=%lu "
	       "descriptors=%lu\n",
	    count.frames, count.packets, count.links, count.cut, count.heard, count.leases,
	    count.jobs, count.descriptors);
	return 0;
}
