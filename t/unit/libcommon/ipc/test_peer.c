/* SPDX-License-Identifier: ISC */
/* Links over a pair of sockets, one end held by hand: what a bad peer may try. */
#include "../../check_main.h"

#include "base/log.h"
#include "ipc/peer.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct seen {
	unsigned up, down, messages;
	uint64_t durable;
	int fd;
};

static bool
in(struct peer *p, const struct msg_row *row, struct ipc_in *m)
{
	struct seen *s = peer_arg(p);
	struct msg_answer a;

	(void)row;
	s->messages++;
	if (m->type == MSG_CONFIG) {
		s->fd = ipc_take_fd(m);
		return true;
	}
	if (m->type != MSG_ANSWER && m->type != MSG_LINK_WANT)
		return false;
	if (m->type == MSG_ANSWER) {
		if (!msg_answer_get(m->payload, &a))
			return false;
		s->durable = a.token;
	}
	return true;
}

static void
up(struct peer *p)
{
	((struct seen *)peer_arg(p))->up++;
}

static void
down(struct peer *p)
{
	((struct seen *)peer_arg(p))->down++;
}

static const struct peer_ops ops = { .in = in, .up = up, .down = down };

struct world {
	struct loop *loop;
	struct peer *peer;
	struct seen seen;
	int far;
};

static void
open_world(struct world *w, uint32_t other)
{
	int pair[2];

	*w = (struct world){ .loop = loop_new(), .seen = { .fd = -1 } };
	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	log_open(SERVICE_SMTPD);
	peer_self(SERVICE_SMTPD, 0, 0, 0);
	w->peer = peer_pair(w->loop, pair[0], other, &ops, &w->seen);
	w->far = pair[1];
	loop_turn(w->loop, false);
}

static void
close_world(struct world *w)
{
	peer_free(w->peer);
	loop_turn(w->loop, false);
	loop_free(w->loop);
	if (w->far >= 0)
		close(w->far);
}

static void
turns(struct world *w)
{
	for (int i = 0; i < 4; i++)
		loop_turn(w->loop, false);
}

static void
far_says(struct world *w, struct buf *b)
{
	ck_assert(send(w->far, b->p, b->n, MSG_NOSIGNAL) == (ssize_t)b->n);
	buf_reset(b);
	turns(w);
}

static void
far_hello(struct world *w)
{
	struct buf b = { 0 };

	msg_hello_put(&b,
	    &(struct msg_hello){ .service = SERVICE_SMTPD, .version_min = 1, .version_max = 1 });
	far_says(w, &b);
	buf_fini(&b);
	ck_assert_uint_eq(w->seen.up, 1);
}

START_TEST(hello_comes_first)
{
	struct world w;
	struct buf b = { 0 };

	open_world(&w, IPC_WORKER);
	msg_answer_put(&b, &(struct msg_answer){ .token = 1 });
	far_says(&w, &b);
	ck_assert_uint_eq(w.seen.messages, 0);
	ck_assert(!peer_is_up(w.peer));
	buf_fini(&b);
	close_world(&w);
}
END_TEST

START_TEST(versions_must_overlap)
{
	struct world w;
	struct buf b = { 0 };

	open_world(&w, IPC_WORKER);
	msg_hello_put(&b,
	    &(struct msg_hello){ .service = SERVICE_SMTPD, .version_min = 9, .version_max = 12 });
	far_says(&w, &b);
	ck_assert_uint_eq(w.seen.up, 0);
	buf_fini(&b);
	close_world(&w);
}
END_TEST

START_TEST(a_batch_is_many_messages)
{
	struct world w;
	struct buf b = { 0 };

	open_world(&w, IPC_WORKER);
	far_hello(&w);
	for (uint64_t i = 1; i <= 500; i++)
		msg_answer_put(&b, &(struct msg_answer){ .token = i });
	far_says(&w, &b);
	ck_assert_uint_eq(w.seen.messages, 500);
	ck_assert_uint_eq(w.seen.durable, 500);
	buf_fini(&b);
	close_world(&w);
}
END_TEST

/* What the table does not allow to this end: one message of each kind of wrong. */
START_TEST(wrongs_are_cut_off)
{
	struct world w;
	struct buf b = { 0 };

	open_world(&w, IPC_WORKER);
	far_hello(&w);
	switch (_i) {
	case 0: /* only a parent says FINISH */
		msg_finish_put(&b, &(struct msg_finish){ .grace_ms = 1 });
		break;
	case 1: /* only qmgr says LEASE */
		msg_filed_put(&b, &(struct msg_filed){ .segment = 1 });
		break;
	case 2: /* no such type */
		buf_put(&b, "\x99\x99\0\0\0\0\0\0", 8);
		break;
	case 3: /* length beyond the packet */
		buf_put(&b, "\x15\0\0\0\xff\xff\0\0", 8);
		break;
	case 4: /* a cut field */
		buf_put(&b, "\x15\0\0\0\x03\0\0\0abc", 11);
		break;
	case 5:
		buf_put(&b, "x", 1);
		break;
	}
	far_says(&w, &b);
	ck_assert_uint_eq(w.seen.down, 1);
	ck_assert(!peer_is_up(w.peer));
	buf_fini(&b);
	close_world(&w);
}
END_TEST

static void
far_sends_fds(struct world *w, struct buf *b, int n)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(4 * sizeof(int))];
	} control = { 0 };
	struct iovec v = { b->p, b->n };
	struct msghdr m = { .msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int)) };
	int fds[4] = { 0, 0, 0, 0 };

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
	memcpy(CMSG_DATA(&control.head), fds, (size_t)n * sizeof(int));
	ck_assert(sendmsg(w->far, &m, MSG_NOSIGNAL) > 0);
	turns(w);
}

static unsigned
open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* A descriptor only where the row says so, exactly one, and none is left open. */
START_TEST(descriptors)
{
	struct world w;
	struct buf b = { 0 };
	unsigned before;

	open_world(&w, IPC_PARENT);
	far_hello(&w);
	before = open_fds();
	if (_i == 0) {
		msg_config_put(&b, &(struct msg_config){ .generation = 3 });
		far_sends_fds(&w, &b, 1);
		ck_assert_int_ge(w.seen.fd, 0);
		ck_assert(fcntl(w.seen.fd, F_GETFD) & FD_CLOEXEC);
		close(w.seen.fd);
		ck_assert_uint_eq(open_fds(), before);
	} else {
		if (_i == 1)
			msg_finish_put(&b, &(struct msg_finish){ .grace_ms = 0 });
		else
			msg_config_put(&b, &(struct msg_config){ .generation = 3 });
		if (_i == 3)
			far_says(&w, &b);
		else
			far_sends_fds(&w, &b, _i == 1 ? 1 : 3);
		ck_assert_uint_eq(w.seen.messages, 0);
		ck_assert_uint_eq(w.seen.down, 1);
		ck_assert_uint_eq(open_fds(), before - 1); /* the link itself */
	}
	buf_fini(&b);
	close_world(&w);
}
END_TEST

static unsigned
asks_heard(struct world *w, uint64_t *last)
{
	static char packet[IPC_PACKET_MAX];
	struct slice rest;
	struct msg_frame f;
	struct msg_ask m;
	unsigned packets = 0;
	ssize_t n;

	while ((n = recv(w->far, packet, sizeof packet, MSG_DONTWAIT)) > 0) {
		packets++;
		rest = slice_of(packet, (size_t)n);
		while (msg_frame_next(&rest, &f))
			if (f.type == MSG_ASK) {
				ck_assert(msg_ask_get(f.payload, &m));
				ck_assert_uint_eq(m.token, *last + 1);
				*last = m.token;
			}
	}
	return packets;
}

/* What nobody waits for goes with what somebody does, in its order; else by the clock. */
START_TEST(later_goes_with_the_next)
{
	struct world w;
	uint64_t last = 0;

	open_world(&w, IPC_WORKER);
	far_hello(&w);
	asks_heard(&w, &last);
	ck_assert(peer_send_later(w.peer, ask, .token = 1));
	turns(&w);
	ck_assert(peer_send_later(w.peer, ask, .token = 2));
	turns(&w);
	ck_assert_uint_eq(asks_heard(&w, &last), 0);
	ck_assert(peer_send(w.peer, ask, .token = 3));
	ck_assert(peer_send_later(w.peer, ask, .token = 4));
	turns(&w);
	ck_assert_uint_eq(asks_heard(&w, &last), 1);
	ck_assert_uint_eq(last, 4);
	ck_assert(peer_send_later(w.peer, ask, .token = 5));
	turns(&w);
	ck_assert_uint_eq(asks_heard(&w, &last), 0);
	while (last < 5) {
		loop_turn(w.loop, true);
		asks_heard(&w, &last);
	}
	for (uint64_t i = 6; i <= 3000; i++) /* more than may wait */
		ck_assert(peer_send_later(w.peer, ask, .token = i));
	turns(&w);
	asks_heard(&w, &last);
	ck_assert_uint_eq(last, 3000);
	ck_assert(peer_send_later(w.peer, ask, .token = 3001));
	loop_stop(w.loop); /* who ends has no later */
	loop_turn(w.loop, false);
	ck_assert_uint_eq(asks_heard(&w, &last), 1);
	ck_assert_uint_eq(last, 3001);
	close_world(&w);
}
END_TEST

/* Who rests hears a word of who was silent for long, no more; then all that was said, in order. */
START_TEST(who_rests_hears_it_later)
{
	struct world w;
	struct buf b = { 0 };
	unsigned before;
	uint64_t last = 0;

	open_world(&w, IPC_WORKER);
	far_hello(&w);
	asks_heard(&w, &last);
	peer_rest(w.loop, 60000);
	for (uint64_t i = 1; i <= 3; i++) {
		msg_answer_put(&b, &(struct msg_answer){ .token = i });
		far_says(&w, &b);
	}
	ck_assert_uint_eq(w.seen.messages, 0);
	ck_assert(peer_send(w.peer, ask, .token = 1)); /* it is not mute */
	turns(&w);
	ck_assert_uint_eq(asks_heard(&w, &last), 1);
	peer_hear(w.loop);
	ck_assert_uint_eq(w.seen.messages, 3);
	ck_assert_uint_eq(w.seen.durable, 3);
	peer_rest(w.loop, 5);
	msg_answer_put(&b, &(struct msg_answer){ .token = 4 });
	far_says(&w, &b);
	ck_assert_uint_eq(w.seen.messages, 3);
	while (w.seen.messages < 4)
		loop_turn(w.loop, true);
	for (int i = 0; i < 100; i++)
		peer_rest(w.loop, 60000);
	peer_hear(w.loop);
	peer_rest(w.loop, 60000);
	before = w.seen.messages;
	msg_answer_put(&b, &(struct msg_answer){ .token = 5 });
	far_says(&w, &b);
	ck_assert_uint_eq(w.seen.messages, before + 1);
	msg_answer_put(&b, &(struct msg_answer){ .token = 6 });
	far_says(&w, &b);
	ck_assert_uint_eq(w.seen.messages, before + 1);
	/* At rest or not: all that it said, and its end. */
	peer_hear(w.loop);
	ck_assert_uint_eq(w.seen.durable, 6);
	msg_answer_put(&b, &(struct msg_answer){ .token = 7 });
	ck_assert(send(w.far, b.p, b.n, MSG_NOSIGNAL) == (ssize_t)b.n);
	peer_hear(w.loop);
	ck_assert_uint_eq(w.seen.durable, 7);
	peer_rest(w.loop, 60000);
	close(w.far);
	w.far = -1;
	turns(&w);
	ck_assert_uint_eq(w.seen.down, 0);
	peer_hear(w.loop);
	turns(&w);
	ck_assert_uint_eq(w.seen.down, 1);
	buf_fini(&b);
	close_world(&w);
}
END_TEST

/* A reader that is slow gets everything later, in order, descriptors too. */
START_TEST(nothing_is_lost_when_the_far_end_is_slow)
{
	static char packet[IPC_PACKET_MAX];
	struct world w;
	struct slice rest;
	struct msg_frame f;
	struct msg_ask m;
	uint64_t next = 1;
	ssize_t n;

	open_world(&w, IPC_WORKER);
	far_hello(&w);
	for (uint64_t i = 1; i <= 20000; i++) {
		peer_send(w.peer, ask, .token = i,
		    .verb = SLICE_LIT("a verb of some length, to fill the socket"));
		if (i % 1000 == 0)
			loop_turn(w.loop, false);
	}
	ck_assert_uint_gt(peer_backlog(w.peer), 0);
	for (int i = 0; i < 100000 && next <= 20000; i++) {
		loop_turn(w.loop, false);
		while ((n = recv(w.far, packet, sizeof packet, MSG_DONTWAIT)) > 0) {
			rest = slice_of(packet, (size_t)n);
			while (msg_frame_next(&rest, &f))
				if (f.type == MSG_ASK) {
					ck_assert(msg_ask_get(f.payload, &m));
					ck_assert_uint_eq(m.token, next++);
				}
			ck_assert_uint_eq(rest.n, 0);
		}
	}
	ck_assert_uint_eq(next, 20001);
	ck_assert_uint_eq(peer_backlog(w.peer), 0);
	close_world(&w);
}
END_TEST

static bool
logged(const char *what)
{
	uint64_t lost;
	struct slice in_ = log_pending(&lost);
	struct log_record r;
	struct buf text = { 0 };
	bool found;

	while (log_record_next(&in_, &r)) {
		log_format_text(&text, &r);
		buf_putc(&text, '\n');
	}
	found = text.n > 0 && memmem(text.p, text.n, what, strlen(what)) != NULL;
	buf_fini(&text);
	log_open(SERVICE_SMTPD);
	return found;
}

/* The server of an edge, held by hand. */
static int
far_accepts(struct world *w, int fd, uint8_t service)
{
	struct buf b = { 0 };
	int c = -1;

	while (c < 0) {
		loop_turn(w->loop, true);
		c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	}
	w->far = c;
	msg_hello_put(&b, &(struct msg_hello){
			      .service = service, .version_min = 1, .version_max = 1, .pid = 77 });
	far_says(w, &b);
	buf_fini(&b);
	return c;
}

/* A dialled link comes again after each end, and both are told in the log; an impostor is cut off.
 */
START_TEST(dialled)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "edge/router.smtpd/s" };
	char dir[] = "/tmp/test_peer.XXXXXX";
	struct world w = { .loop = loop_new(), .seen = { .fd = -1 } };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
	    back = open(".", O_RDONLY | O_DIRECTORY);

	ck_assert(mkdtemp(dir) != NULL && chdir(dir) == 0 && mkdir("edge", 0700) == 0 &&
		  mkdir("edge/router.smtpd", 0700) == 0);
	log_open(SERVICE_SMTPD);
	peer_self(SERVICE_SMTPD, 0, 0, 0);
	w.peer = peer_dial(w.loop, SERVICE_ROUTER, getuid(), &ops, &w.seen);
	loop_turn(w.loop, false);
	ck_assert(!peer_is_up(w.peer) && peer_out(w.peer) == NULL);
	/* It was not there at the first try: it is awaited. */
	ck_assert(bind(fd, (struct sockaddr *)&sun, sizeof sun) == 0 && listen(fd, 5) == 0);
	for (unsigned i = 1; i <= 3; i++) {
		far_accepts(&w, fd, SERVICE_ROUTER);
		ck_assert_uint_eq(w.seen.up, i);
		ck_assert(peer_is_up(w.peer));
		ck_assert(logged("peer-up peer=\"router\" peer_pid=77\n"));
		close(w.far);
		turns(&w);
		ck_assert_uint_eq(w.seen.down, i);
		ck_assert(logged("peer-down peer=\"router\" peer_pid=77\n"));
	}
	far_accepts(&w, fd, SERVICE_QMGR);
	ck_assert_uint_eq(w.seen.up, 3);
	ck_assert_uint_eq(w.seen.down, 3);
	ck_assert(logged("reason=\"claims to be another service\""));
	close_world(&w);
	close(fd);
	unlink(sun.sun_path);
	rmdir("edge/router.smtpd");
	rmdir("edge");
	ck_assert_int_eq(fchdir(back), 0);
	close(back);
	rmdir(dir);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, dialled);
	tcase_add_test(tc, hello_comes_first);
	tcase_add_test(tc, versions_must_overlap);
	tcase_add_test(tc, a_batch_is_many_messages);
	tcase_add_test(tc, later_goes_with_the_next);
	tcase_add_test(tc, who_rests_hears_it_later);
	tcase_add_loop_test(tc, wrongs_are_cut_off, 0, 6);
	tcase_add_loop_test(tc, descriptors, 0, 4);
	tcase_add_test(tc, nothing_is_lost_when_the_far_end_is_slow);
}
CHECK_MAIN("peer", cases)
