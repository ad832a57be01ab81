/* SPDX-License-Identifier: ISC */
/*
 * The edges as sockets: the manager with its loop and threads, and at the other ends this test,
 * which writes and reads bare frames.
 */
#include "world.h"

#include "qmgr/from_deliver.h"
#include "qmgr/from_smtpd.h"

#include <sys/socket.h>
#include <sys/un.h>

static struct world w;
static struct loop *loop;
static int listen_router, router;

static int
bind_at(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", name);
	unlink(name);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	ck_assert_int_eq(listen(fd, 5), 0);
	return fd;
}

static int
connect_to(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", name);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	return fd;
}

#define SAY(fd, name, ...)                                                                 \
	do {                                                                               \
		struct buf say_ = { 0 };                                                   \
		msg_##name##_put(&say_, &(const struct msg_##name){ __VA_ARGS__ });        \
		ck_assert_int_eq(send(fd, say_.p, say_.n, MSG_NOSIGNAL), (ssize_t)say_.n); \
		buf_fini(&say_);                                                           \
	} while (0)

/* What came on a link, frame by frame; -1 the link is closed, 0 nothing within some 2 s. */
static struct {
	char data[IPC_PACKET_MAX];
	struct slice rest;
	int fd;
} in;

static int
hear(int fd, struct msg_frame *f, int *passed)
{
	for (int i = 0; i < 2000 && in.rest.n == 0; i++) {
		union {
			struct cmsghdr head;
			char space[CMSG_SPACE(sizeof(int))];
		} control = { 0 };
		struct iovec v = { in.data, sizeof in.data };
		struct msghdr m = { .msg_iov = &v,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof control };
		ssize_t n;

		loop_turn(loop, false);
		n = recvmsg(fd, &m, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return -1;
		if (n > 0) {
			in.rest = slice_of(in.data, (size_t)n);
			if (m.msg_controllen > 0 && passed != NULL)
				memcpy(passed, CMSG_DATA(&control.head), sizeof *passed);
			break;
		}
		usleep(1000); /* the threads need their time */
	}
	if (in.rest.n == 0)
		return 0;
	ck_assert(msg_frame_next(&in.rest, f));
	return f->type;
}

#define EXPECT(fd, NAME, name, var)                                \
	do {                                                       \
		struct msg_frame f_;                               \
		ck_assert_int_eq(hear(fd, &f_, NULL), MSG_##NAME); \
		ck_assert(msg_##name##_get(f_.payload, var));      \
	} while (0)

static void
turns(int n)
{
	for (int i = 0; i < n; i++) {
		loop_turn(loop, false);
		usleep(1000);
	}
}

static void
greet(int fd, enum service s, uint8_t role, uint64_t instance, uint8_t class)
{
	struct msg_hello h;

	SAY(fd, hello, .service = (uint8_t)s, .role = role, .worker = role, .instance = instance,
	    .version_min = 1, .version_max = 1, .generation = 5, .class = class);
	in.rest = SLICE_NONE;
	EXPECT(fd, HELLO, hello, &h);
	ck_assert_uint_eq(h.service, SERVICE_QMGR);
}

static void
setup(void)
{
	struct spool_identity id;
	const char *why;

	world_new(&w, "");
	world_crash(&w);
	clock_set_source(NULL);
	ck_assert_int_eq(chdir(w.dir), 0);
	mkdir("edge", 0700);
	mkdir("edge/router.qmgr", 0700);
	listen_router = bind_at("edge/router.qmgr/s");
	loop = loop_new();
	peer_self(SERVICE_QMGR, 0, 0, 0);
	qmgr_init(&w.q, loop, w.dirfd, w.conf, true);
	ck_assert_int_eq(spool_make(w.dirfd, &id), 0);
	qmgr_set_identity(&w.q, &id);
	ck_assert_int_eq(recover_open(&w.q, &why), 0);
	w.q.router = peer_dial(loop, SERVICE_ROUTER, getuid(), &from_router_ops, &w.q);
	peer_listen(loop, bind_at("smtpd"), SERVICE_SMTPD, getuid(), &from_smtpd_ops, &w.q);
	peer_listen(loop, bind_at("deliver"), SERVICE_DELIVER, getuid(), &from_deliver_ops, &w.q);
	for (router = -1; router < 0; turns(1))
		router = accept4(listen_router, NULL, NULL, SOCK_NONBLOCK);
	greet(router, SERVICE_ROUTER, 0, 1, 0);
	SAY(router, route_key, .key = slice_of(w.key, ROUTE_KEY));
	turns(2);
}

static void
teardown(void)
{
	qmgr_fini(&w.q);
	ck_assert_int_eq(chdir("/"), 0);
	world_end(&w);
}

/* A writer with a segment, over the socket. */
static int
writer(uint64_t instance, struct pen *p)
{
	int fd = connect_to("smtpd"), passed = -1;
	struct msg_frame f;
	struct msg_lease l;

	greet(fd, SERVICE_SMTPD, 1, instance, CLASS_MX);
	SAY(fd, lease_want, .count = 1, .version = 1);
	ck_assert_int_eq(hear(fd, &f, &passed), MSG_LEASE);
	ck_assert(msg_lease_get(f.payload, &l));
	ck_assert_int_ge(passed, 0);
	ck_assert_uint_eq(l.class, CLASS_MX);
	*p = (struct pen){ .fd = passed,
		.segment = l.segment,
		.seed = l.seed,
		.at = l.start,
		.instance = instance };
	id_source_init(&p->ids, l.segment, l.floor_ms);
	return fd;
}

static uint64_t
post(int fd, struct pen *p, const struct letter *l)
{
	struct buf rec = { 0 };
	uint64_t id;

	now_ms = clock_wall_ms() - UINT64_C(1700000000000); /* what letter_build() takes for now */
	id = letter_build(&w, p, l, p->at, &rec);
	ck_assert_int_eq(write(p->fd, rec.p, rec.n), (ssize_t)rec.n);
	ck_assert_int_eq(fdatasync(p->fd), 0);
	p->at += rec.n;
	buf_fini(&rec);
	SAY(fd, doorbell, .segment = p->segment, .durable = p->at);
	return id;
}

static void
put_answer(uint32_t token, uint8_t action, const char *hop, uint32_t generation)
{
	struct route r = {
		.transport = SLICE_LIT("smtp"), .domain = SLICE_LIT("y.example"), .nhops = 1
	};
	struct buf bytes = { 0 };

	r.hops[0] = (struct route_hop){ .host = slice_z(hop), .port = 25 };
	route_put(&bytes, &r);
	SAY(router, route, .token = token, .action = action,
	    .code = action == ROUTE_REFUSE ? 550 : 0, .enh_class = 5,
	    .text = SLICE_LIT("says the router"), .rule = SLICE_LIT("rule-one"),
	    .generation = generation, .route = slice_buf(&bytes));
	buf_fini(&bytes);
}

START_TEST(rule_6_a_doorbell_is_answered_when_the_filing_is_durable)
{
	struct letter l = {
		.from = "a@x.example", .to = { "b@y.example" }, .hop = "192.0.2.1", .generation = 5
	};
	struct msg_filed filed;
	struct pen p;
	int fd = writer(11, &p);

	post(fd, &p, &l);
	EXPECT(fd, FILED, filed, &filed);
	ck_assert_uint_eq(filed.segment, p.segment);
	ck_assert_uint_eq(filed.filed, p.at);
	SAY(fd, doorbell, .segment = p.segment, .durable = p.at); /* again: it did not hear */
	EXPECT(fd, FILED, filed, &filed);
	ck_assert_uint_eq(w.q.messages.count, 1);
	close(p.fd);
	close(fd);
}
END_TEST

START_TEST(rule_8_a_seal_is_confirmed_when_it_is_durable)
{
	struct msg_sealed sealed;
	struct pen p;
	int fd = writer(11, &p);

	SAY(fd, seal, .segment = p.segment, .end = p.at);
	EXPECT(fd, SEALED, sealed, &sealed);
	ck_assert_uint_eq(sealed.segment, p.segment);
	ck_assert_uint_eq(seg_find(&w.q.segtab, p.segment)->sealed, p.at);
	close(p.fd);
	close(fd);
}
END_TEST

/* What a writer may not do cuts it off; the manager lives, and another writer goes on. */
static const struct {
	const char *what;
	uint8_t class;
	int64_t segment, durable; /* relative to its own */
	bool lease;
	uint8_t count;
} wrongs[] = {
	{ "offset beyond the file", CLASS_MX, 0, 64, false, 0 },
	{ "offset within a record's alignment", CLASS_MX, 0, 1, false, 0 },
	{ "a segment never leased", CLASS_MX, 1000, 0, false, 0 },
	{ "too many leases", CLASS_MX, 0, 0, true, 200 },
	{ "a class that is none of its own", CLASS_BOUNCED, 0, 0, true, 1 },
	{ "no class at all", 0, 0, 0, true, 1 },
};

START_TEST(a_writer_that_breaks_a_rule_is_cut_off)
{
	struct pen p, q;
	struct msg_frame f;
	int good = writer(11, &p), bad;
	struct letter l = {
		.from = "a@x.example", .to = { "b@y.example" }, .hop = "192.0.2.1", .generation = 5
	};

	if (wrongs[_i].lease) {
		bad = connect_to("smtpd");
		greet(bad, SERVICE_SMTPD, 1, 12, wrongs[_i].class);
		SAY(bad, lease_want, .count = wrongs[_i].count, .version = 1);
	} else {
		bad = writer(12, &q);
		SAY(bad, doorbell, .segment = (uint32_t)(q.segment + wrongs[_i].segment),
		    .durable = (uint64_t)((int64_t)q.at + wrongs[_i].durable));
		close(q.fd);
	}
	ck_assert_msg(hear(bad, &f, NULL) == -1, "%s", wrongs[_i].what);
	post(good, &p, &l);
	ck_assert_int_eq(hear(good, &f, NULL), MSG_FILED);
	close(p.fd);
	close(good);
	close(bad);
}
END_TEST

START_TEST(another_writer_s_segment_is_not_to_be_rung)
{
	struct pen p, q;
	struct msg_frame f;
	int one = writer(11, &p), two = writer(12, &q);

	SAY(two, doorbell, .segment = p.segment, .durable = p.at);
	ck_assert_int_eq(hear(two, &f, NULL), -1);
	close(one);
	close(two);
	close(p.fd);
	close(q.fd);
}
END_TEST

static const struct {
	uint8_t action;
	uint64_t bounced, dropped, queued;
	bool held;
} answers[] = {
	{ ROUTE_DELIVER, 0, 0, 1, false },
	{ ROUTE_EXPAND, 0, 0, 1, false },
	{ ROUTE_HOLD, 0, 0, 1, true },
	{ ROUTE_DROP, 0, 1, 0, false },
	{ ROUTE_REFUSE, 1, 0, 0, false },
	{ ROUTE_TEMP, 0, 0, 1, false },
};

START_TEST(rule_14_router_is_asked_where_the_envelope_has_no_route)
{
	struct letter l = { .from = "a@x.example", .to = { "b@y.example" } };
	struct msg_resolve ask;
	struct message *m;
	struct pen p;
	int fd = writer(11, &p);
	uint64_t id = post(fd, &p, &l);

	in.rest = SLICE_NONE;
	EXPECT(router, RESOLVE, resolve, &ask);
	ck_assert(slice_is(ask.rcpt, "b@y.example") && slice_is(ask.sender, "a@x.example") &&
		  ask.again == 1);
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->phase, RCPT_ASKED);
	put_answer(ask.token, answers[_i].action, "192.0.2.7", 5);
	turns(10);
	ck_assert_uint_eq(w.q.ledger.bounced, answers[_i].bounced);
	ck_assert_uint_eq(w.q.ledger.dropped, answers[_i].dropped);
	ck_assert_uint_eq(w.q.messages.recipients, answers[_i].queued);
	m = message_find(&w.q.messages, id);
	if (answers[_i].queued > 0) {
		ck_assert_uint_eq(m->to.one.phase,
		    answers[_i].action == ROUTE_DELIVER ? RCPT_READY : RCPT_DEFERRED);
		ck_assert_int_eq((m->flags & MESSAGE_HELD) != 0, answers[_i].held);
	}
	close(p.fd);
	close(fd);
}
END_TEST

START_TEST(questions_are_asked_again_when_router_comes_back)
{
	struct letter l = { .from = "a@x.example", .to = { "b@y.example" } };
	struct msg_resolve ask;
	struct pen p;
	int fd = writer(11, &p);
	uint64_t id = post(fd, &p, &l);

	in.rest = SLICE_NONE;
	EXPECT(router, RESOLVE, resolve, &ask);
	close(router);
	turns(5);
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->phase, RCPT_ROUTING);
	for (router = -1; router < 0; turns(1))
		router = accept4(listen_router, NULL, NULL, SOCK_NONBLOCK);
	greet(router, SERVICE_ROUTER, 0, 2, 0);
	EXPECT(router, RESOLVE, resolve, &ask);
	put_answer(ask.token, ROUTE_DELIVER, "192.0.2.7", 5);
	turns(10);
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->phase, RCPT_READY);
	close(p.fd);
	close(fd);
}
END_TEST

START_TEST(an_answer_to_nothing_cuts_the_router_off)
{
	struct msg_frame f;

	put_answer(0x1234, ROUTE_DELIVER, "192.0.2.7", 5);
	in.rest = SLICE_NONE;
	ck_assert_int_eq(hear(router, &f, NULL), -1);
}
END_TEST

START_TEST(rule_15_a_job_over_the_sockets)
{
	struct letter l = { .from = "a@x.example",
		.to = { "b@y.example" },
		.hop = "192.0.2.1",
		.generation = 5,
		.body = 100 };
	struct msg_segment segment;
	struct msg_result_ack ack;
	struct msg_frame f;
	struct msg_job job;
	struct pen p;
	int fd = writer(11, &p), d = connect_to("deliver"), passed = -1;
	uint32_t pair[2];

	greet(d, SERVICE_DELIVER, 1, 77, 0);
	SAY(d, running, .last = 1);
	SAY(d, worker_room, .jobs = 10);
	post(fd, &p, &l);
	ck_assert_int_eq(hear(d, &f, &passed), MSG_SEGMENT);
	ck_assert(msg_segment_get(f.payload, &segment));
	ck_assert_int_ge(passed, 0);
	ck_assert_int_eq(fcntl(passed, F_GETFL) & O_ACCMODE, O_RDONLY);
	EXPECT(d, JOB, job, &job);
	ck_assert_uint_eq(job.segment, segment.segment);
	ck_assert_uint_eq(job.rcpts.n, 8);
	memcpy(pair, job.rcpts.p, 8);
	ck_assert_uint_eq(pair[1], 1);
	SAY(d, result, .job = job.job, .rcpt = 0, .attempt = 1, .kind = OUTCOME_OK, .code = 250,
	    .text = SLICE_LIT("ok"));
	SAY(d, job_done, .job = job.job, .host = SLICE_LIT("192.0.2.1"), .conn_use = 1);
	in.rest = SLICE_NONE;
	EXPECT(d, RESULT_ACK, result_ack, &ack);
	ck_assert_uint_eq(w.q.ledger.delivered, 1);
	SAY(d, result, .job = job.job, .attempt = 1); /* forgotten by both: it makes it up */
	ck_assert_int_eq(hear(d, &f, NULL), -1);
	close(passed);
	close(p.fd);
	close(fd);
	close(d);
}
END_TEST

START_TEST(a_worker_may_not_speak_for_its_parent)
{
	struct msg_frame f;
	int d = connect_to("deliver");

	greet(d, SERVICE_DELIVER, 1, 77, 0);
	SAY(d, workers, .instances = SLICE_NONE);
	ck_assert_int_eq(hear(d, &f, NULL), -1);
	close(d);
	d = connect_to("deliver");
	greet(d, SERVICE_DELIVER, 0, 78, 0);
	SAY(d, running, .last = 1); /* nor the parent for a worker */
	ck_assert_int_eq(hear(d, &f, NULL), -1);
	close(d);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, rule_6_a_doorbell_is_answered_when_the_filing_is_durable);
	tcase_add_test(tc, rule_8_a_seal_is_confirmed_when_it_is_durable);
	tcase_add_loop_test(
	    tc, a_writer_that_breaks_a_rule_is_cut_off, 0, sizeof wrongs / sizeof *wrongs);
	tcase_add_test(tc, another_writer_s_segment_is_not_to_be_rung);
	tcase_add_loop_test(tc, rule_14_router_is_asked_where_the_envelope_has_no_route, 0,
	    sizeof answers / sizeof *answers);
	tcase_add_test(tc, questions_are_asked_again_when_router_comes_back);
	tcase_add_test(tc, an_answer_to_nothing_cuts_the_router_off);
	tcase_add_test(tc, rule_15_a_job_over_the_sockets);
	tcase_add_test(tc, a_worker_may_not_speak_for_its_parent);
}
CHECK_MAIN("qmgr edges", cases)
