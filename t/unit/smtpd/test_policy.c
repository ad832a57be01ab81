/* SPDX-License-Identifier: ISC */
#include "../check_main.h"
#include "fake.h"

#include "base/clock.h"
#include "smtpd/policy.h"

#include <sys/socket.h>
#include <unistd.h>

/* Sessions that ask a router of the test's own, over a real link. */
static struct {
	struct fake f;
	struct loop *loop;
	struct policy *policy;
	struct peer *link;
	int fd; /* router's end */
	uint32_t tokens[64];
	char rcpts[64][64];
	unsigned asked;
} t;

static bool
link_in(struct peer *p, const struct msg_row *row, struct ipc_in *in)
{
	(void)p;
	(void)row;
	return policy_in(t.policy, in);
}

static void
link_up(struct peer *p)
{
	(void)p;
	policy_up(t.policy);
}

static void
link_down(struct peer *p)
{
	(void)p;
}

static const struct peer_ops link_ops = { .in = link_in, .up = link_up, .down = link_down };

static void
router_send(const struct buf *frame)
{
	ck_assert_int_eq(send(t.fd, frame->p, frame->n, 0), (ssize_t)frame->n);
}

/* Router comes up, with its HELLO. */
static void
router_begin(void)
{
	int pair[2];
	struct buf b = { 0 };

	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	t.fd = pair[1];
	peer_give(t.link, pair[0]);
	msg_hello_put(&b, &(struct msg_hello){ .service = SERVICE_ROUTER,
			      .instance = 1,
			      .version_min = IPC_VERSION_MIN,
			      .version_max = IPC_VERSION_MAX });
	router_send(&b);
	buf_fini(&b);
}

/* Notes what it was asked. */
static void
router_hear(void)
{
	static char packet[IPC_PACKET_MAX];
	struct msg_resolve m;
	struct msg_frame frame;
	ssize_t n;

	for (int i = 0; i < 5; i++)
		loop_turn(t.loop, false);
	while ((n = recv(t.fd, packet, sizeof packet, 0)) > 0) {
		struct slice rest = slice_of(packet, (size_t)n);

		while (msg_frame_next(&rest, &frame)) {
			if (frame.type != MSG_RESOLVE)
				continue;
			ck_assert(msg_resolve_get(frame.payload, &m));
			t.tokens[t.asked] = m.token;
			slice_copy(m.rcpt, t.rcpts[t.asked++], sizeof *t.rcpts);
		}
	}
}

static void
router_says(const struct msg_route *m)
{
	struct buf b = { 0 };

	msg_route_put(&b, m);
	router_send(&b);
	buf_fini(&b);
	for (int i = 0; i < 5; i++)
		loop_turn(t.loop, false);
}

static void
router_answer(uint32_t token, uint8_t action)
{
	router_says(&(struct msg_route){ .token = token, .action = action, .code = 550 });
}

static bool
world_ask(void *arg, struct session *s, struct rcpt *r)
{
	(void)arg;
	return policy_ask(t.policy, s, r);
}

static void
world_forget(void *arg, struct rcpt *r)
{
	(void)arg;
	policy_forget(t.policy, r);
}

static void
begin(void)
{
	memset(&t, 0, sizeof t);
	t.loop = loop_new();
	peer_self(SERVICE_SMTPD, 1, 1, CLASS_MX);
	t.policy = policy_new(t.loop, CLASS_MX);
	t.link = peer_supplied(t.loop, SERVICE_ROUTER, getuid(), &link_ops, NULL);
	policy_link(t.policy, t.link);
	fake_init(&t.f, CLASS_MX, "ask_timeout = 200ms\n");
	t.f.world.ask = world_ask;
	t.f.world.forget = world_forget;
	fake_say(&t.f, "EHLO x\r\n");
	fake_say(&t.f, "MAIL FROM:<a@b.example>\r\n");
	fake_codes(&t.f);
}

static void
end(void)
{
	fake_fini(&t.f);
	ck_assert_uint_eq(policy_open(t.policy), 0);
	peer_free(t.link);
	policy_free(t.policy);
	loop_free(t.loop);
	close(t.fd);
}

START_TEST(questions_are_answered)
{
	begin();
	router_begin();
	router_hear();
	fake_say(&t.f, "RCPT TO:<c@d.example>\r\nRCPT TO:<e@f.example>\r\n");
	router_hear();
	ck_assert_uint_eq(t.asked, 2);
	ck_assert_str_eq(t.rcpts[1], "e@f.example");
	router_answer(t.tokens[1], ROUTE_REFUSE);
	ck_assert_str_eq(fake_codes(&t.f), "");
	router_answer(t.tokens[0], ROUTE_DELIVER);
	ck_assert_str_eq(fake_codes(&t.f), "250 550");
	/* Said twice, or of what nobody asked: passed over. */
	router_answer(t.tokens[0], ROUTE_DELIVER);
	router_answer(0xffffffff, ROUTE_DELIVER);
	ck_assert(peer_is_up(t.link));
	end();
}
END_TEST

START_TEST(router_away_is_waited_for)
{
	begin();
	fake_say(&t.f, "RCPT TO:<c@d.example>\r\n");
	ck_assert_uint_eq(policy_open(t.policy), 1);
	router_begin();
	router_hear();
	ck_assert_uint_eq(t.asked, 1);
	/* It dies without an answer: the next one is asked again. */
	close(t.fd);
	loop_turn(t.loop, false);
	router_begin();
	router_hear();
	ck_assert_uint_eq(t.asked, 2);
	router_answer(t.tokens[1], ROUTE_DELIVER);
	ck_assert_str_eq(fake_codes(&t.f), "250");
	end();
}
END_TEST

START_TEST(no_answer_in_time)
{
	begin();
	router_begin();
	fake_say(&t.f, "RCPT TO:<c@d.example>\r\nRCPT TO:<e@f.example>\r\n");
	while (policy_open(t.policy) > 0)
		loop_turn(t.loop, true);
	ck_assert_str_eq(fake_codes(&t.f), "451 451");
	/* The answer that comes late meets another question in the same place, and is dropped. */
	router_hear();
	fake_say(&t.f, "RCPT TO:<g@h.example>\r\n");
	router_answer(t.tokens[0], ROUTE_DELIVER);
	router_answer(t.tokens[1], ROUTE_DELIVER);
	ck_assert_str_eq(fake_codes(&t.f), "");
	ck_assert_uint_eq(policy_open(t.policy), 1);
	end(); /* the session goes: its question is forgotten */
}
END_TEST

/* More than one page of slots, given back in any order. */
START_TEST(many_questions)
{
	static struct rcpt r[3000];

	begin();
	for (int i = 0; i < 3000; i++) {
		r[i] = (struct rcpt){ .session = t.f.session, .address = SLICE_LIT("a@b") };
		ck_assert(policy_ask(t.policy, t.f.session, &r[i]));
	}
	ck_assert_uint_eq(policy_open(t.policy), 3000);
	for (int i = 0; i < 3000; i++)
		for (int k = 0; k < i; k += 997)
			ck_assert_uint_ne(r[i].token, r[k].token);
	for (int i = 0; i < 3000; i += 2)
		policy_forget(t.policy, &r[i]);
	for (int i = 2999; i > 0; i -= 2)
		policy_forget(t.policy, &r[i]);
	ck_assert_uint_eq(policy_open(t.policy), 0);
	t.fd = dup(0);
	end();
}
END_TEST

/* A transaction of its own with this recipient. True: router was asked, and told so. */
static bool
asks(const char *sender, const char *rcpt, const struct msg_route *m)
{
	struct msg_route answer = *m;
	unsigned before = t.asked;
	char lines[200];

	snprintf(lines, sizeof lines, "RSET\r\nMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\n", sender, rcpt);
	fake_say(&t.f, lines);
	router_hear();
	if (t.asked > before) {
		ck_assert_uint_eq(t.asked, before + 1);
		answer.token = t.tokens[before];
		router_says(&answer);
	}
	ck_assert_str_eq(
	    fake_codes(&t.f), m->action == ROUTE_REFUSE ? "250 250 550" : "250 250 250");
	return t.asked > before;
}

/* As long as router said, and to the same question alone. */
START_TEST(an_answer_holds)
{
	struct msg_route yes = { .action = ROUTE_DELIVER, .holds_ms = 60000 };
	struct msg_route brief = { .action = ROUTE_DELIVER, .holds_ms = 1 };
	struct msg_route unsure = { .action = ROUTE_DELIVER };
	struct msg_route no = { .action = ROUTE_REFUSE, .code = 550, .holds_ms = 60000 };
	uint64_t until;

	begin();
	yes.generation = brief.generation = unsure.generation = no.generation =
	    t.f.session->conf->generation;
	router_begin();
	router_hear();
	ck_assert(asks("a@b.example", "yes@d.example", &yes));
	ck_assert(!asks("a@b.example", "yes@d.example", &yes));
	ck_assert(asks("z@b.example", "yes@d.example", &unsure));
	ck_assert(asks("a@b.example", "brief@d.example", &brief));
	until = clock_mono_ms() + 2;
	while (clock_mono_ms() < until)
		loop_turn(t.loop, false);
	ck_assert(asks("a@b.example", "brief@d.example", &brief));
	ck_assert(asks("a@b.example", "unsure@d.example", &unsure));
	ck_assert(asks("a@b.example", "unsure@d.example", &unsure));
	ck_assert(asks("a@b.example", "no@d.example", &no));
	ck_assert(asks("a@b.example", "no@d.example", &no));
	yes.generation++;
	ck_assert(asks("a@b.example", "later@d.example", &yes));
	ck_assert(asks("a@b.example", "later@d.example", &yes));
	/* Another router. */
	ck_assert(!asks("a@b.example", "yes@d.example", &unsure));
	close(t.fd);
	loop_turn(t.loop, false);
	router_begin();
	router_hear();
	ck_assert(asks("a@b.example", "yes@d.example", &unsure));
	end();
}
END_TEST

/* In one packet; then the session goes before it is told. */
START_TEST(many_that_are_known)
{
	struct msg_route yes = { .action = ROUTE_DELIVER, .holds_ms = 60000 };

	begin();
	yes.generation = t.f.session->conf->generation;
	router_begin();
	router_hear();
	ck_assert(asks("a@b.example", "c@d.example", &yes));
	ck_assert(asks("a@b.example", "e@f.example", &yes));
	fake_say(&t.f, "RSET\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"
		       "RCPT TO:<new@d.example>\r\nRCPT TO:<e@f.example>\r\n");
	router_hear();
	ck_assert_uint_eq(t.asked, 3);
	ck_assert_str_eq(fake_codes(&t.f), "250 250 250");
	router_answer(t.tokens[2], ROUTE_DELIVER);
	ck_assert_str_eq(fake_codes(&t.f), "250 250");
	fake_say(&t.f, "RSET\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n");
	ck_assert_uint_eq(policy_open(t.policy), 1);
	end();
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, an_answer_holds);
	tcase_add_test(tc, many_that_are_known);
	tcase_add_test(tc, questions_are_answered);
	tcase_add_test(tc, router_away_is_waited_for);
	tcase_add_test(tc, no_answer_in_time);
	tcase_add_test(tc, many_questions);
}

CHECK_MAIN("policy", cases)
