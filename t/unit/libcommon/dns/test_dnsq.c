/* SPDX-License-Identifier: ISC */
/* Questions over a pair of sockets; dnscache's end is held by hand. The clock is set by hand too.
 */
#include "../../check_main.h"

#include "base/clock.h"
#include "base/log.h"
#include "dns/dnsq.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIMEOUT_MS = 5000, SEEN_MAX = 16 };

static uint64_t now_ms = 1000;

static uint64_t
fake_ms(void)
{
	return now_ms;
}

static const struct clock_source fake_clock = { fake_ms, fake_ms, fake_ms };

struct world {
	struct loop *loop;
	struct peer *peer;
	struct dnsq *q;
	int far;
	unsigned nasked;
	struct {
		uint32_t token;
		uint16_t type;
		char name[DNS_NAME_MAX + 1];
	} asked[SEEN_MAX];
};

struct seen {
	struct world *w;
	unsigned calls;
	enum dns_status status;
	uint32_t ttl_s;
	char records[64];
	uint64_t cancel; /* cancelled from within the call */
	bool again;	 /* asks anew from within */
};

static void
answered(void *arg, const struct dnsq_answer *a)
{
	struct seen *s = arg;

	s->calls++;
	s->status = a->status;
	s->ttl_s = a->ttl_s;
	slice_copy(a->records, s->records, sizeof s->records);
	if (s->cancel != 0)
		dnsq_cancel(s->w->q, s->cancel);
	if (s->again) {
		s->again = false;
		dnsq_ask(s->w->q, SLICE_LIT("again.example"), DNS_A, answered, s);
	}
}

static void
heard(struct world *w)
{
	char packet[IPC_PACKET_MAX];
	ssize_t n = recv(w->far, packet, sizeof packet, MSG_DONTWAIT);
	struct slice rest;
	struct msg_frame f;
	struct msg_dns_ask m;

	if (n <= 0)
		return;
	rest = slice_of(packet, (size_t)n);
	while (msg_frame_next(&rest, &f)) {
		if (f.type == MSG_HELLO)
			continue;
		ck_assert_uint_eq(f.type, MSG_DNS_ASK);
		ck_assert(msg_dns_ask_get(f.payload, &m));
		ck_assert_uint_lt(w->nasked, SEEN_MAX);
		w->asked[w->nasked].token = m.token;
		w->asked[w->nasked].type = m.type;
		ck_assert(slice_copy(m.name, w->asked[w->nasked].name, DNS_NAME_MAX + 1));
		w->nasked++;
	}
}

static void
turns(struct world *w)
{
	for (int i = 0; i < 4; i++) {
		loop_turn(w->loop, false);
		if (w->far >= 0)
			heard(w);
	}
}

static void
say(struct world *w, struct buf *b)
{
	ck_assert(send(w->far, b->p, b->n, MSG_NOSIGNAL) == (ssize_t)b->n);
	buf_fini(b);
	turns(w);
}

static void
connect_world(struct world *w)
{
	struct buf b = { 0 };
	int pair[2];

	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	w->far = pair[1];
	peer_give(w->peer, pair[0]);
	msg_hello_put(&b,
	    &(struct msg_hello){ .service = SERVICE_DNSCACHE, .version_min = 1, .version_max = 1 });
	say(w, &b);
	ck_assert(peer_is_up(w->peer));
}

static void
open_world(struct world *w)
{
	*w = (struct world){ .loop = loop_new(), .far = -1 };
	clock_set_source(&fake_clock);
	log_open(SERVICE_QMGR);
	peer_self(SERVICE_QMGR, 0, 0, 0);
	w->q = dnsq_new(w->loop, TIMEOUT_MS);
	w->peer = peer_supplied(w->loop, SERVICE_DNSCACHE, getuid(), &dnsq_peer_ops, w->q);
}

static void
close_world(struct world *w)
{
	peer_free(w->peer);
	dnsq_free(w->q);
	loop_turn(w->loop, false);
	loop_free(w->loop);
	if (w->far >= 0)
		close(w->far);
	clock_set_source(NULL);
}

/* The clock and with it the loop's timers: those run by the real one, hence are waited for. */
static void
pass(struct world *w, uint64_t ms)
{
	now_ms += ms;
	dnsq_cancel(w->q,
	    dnsq_ask(w->q, SLICE_LIT("."), DNS_A, answered, NULL)); /* has it look at its clock */
	turns(w);
}

static void
answer(struct world *w, unsigned i, struct msg_dns_answer m)
{
	struct buf b = { 0 };

	m.token = w->asked[i].token;
	msg_dns_answer_put(&b, &m);
	say(w, &b);
}

#define ONE_A SLICE_LIT("\4\0\x7f\0\0\1")

START_TEST(answers_come_to_all_who_ask)
{
	struct world w;
	struct seen s[3] = { 0 };

	open_world(&w);
	connect_world(&w);
	for (int i = 0; i < 3; i++)
		ck_assert(dnsq_ask(w.q, i == 1 ? SLICE_LIT("A.Example.") : SLICE_LIT("a.example"),
			      i == 2 ? DNS_AAAA : DNS_A, answered, &s[i]) != 0);
	turns(&w);
	ck_assert_uint_eq(w.nasked, 2); /* the first two share one message */
	ck_assert_str_eq(w.asked[0].name, "a.example");
	ck_assert_uint_eq(w.asked[1].type, DNS_AAAA);
	answer(&w, 0, (struct msg_dns_answer){ .ttl_s = 7, .records = ONE_A });
	ck_assert_uint_eq(s[0].calls, 1);
	ck_assert_uint_eq(s[1].calls, 1);
	ck_assert_uint_eq(s[2].calls, 0);
	ck_assert_uint_eq(s[0].ttl_s, 7);
	ck_assert_mem_eq(s[1].records, ONE_A.p, ONE_A.n);
	answer(&w, 1, (struct msg_dns_answer){ .status = DNS_NODATA });
	ck_assert(s[2].calls == 1 && s[2].status == DNS_NODATA);
	answer(&w, 0, (struct msg_dns_answer){ .ttl_s = 7, .records = ONE_A }); /* once more */
	ck_assert(s[0].calls == 1 && peer_is_up(w.peer));
	close_world(&w);
}
END_TEST

START_TEST(what_is_no_name_does_not_exist)
{
	struct world w;
	struct seen s = { 0 };

	open_world(&w);
	dnsq_ask(w.q, SLICE_LIT("exam ple"), DNS_A, answered, &s);
	ck_assert_uint_eq(s.calls, 0); /* never from within */
	turns(&w);
	ck_assert(s.calls == 1 && s.status == DNS_NXDOMAIN);
	close_world(&w);
}
END_TEST

START_TEST(late_is_temp)
{
	struct world w;
	struct seen s = { 0 };

	open_world(&w);
	connect_world(&w);
	dnsq_ask(w.q, SLICE_LIT("a.example"), DNS_A, answered, &s);
	pass(&w, TIMEOUT_MS - 1);
	ck_assert_uint_eq(s.calls, 0);
	pass(&w, 1);
	ck_assert(s.calls == 1 && s.status == DNS_TEMP);
	answer(&w, 0, (struct msg_dns_answer){ .records = ONE_A });
	ck_assert(s.calls == 1 && peer_is_up(w.peer));
	close_world(&w);
}
END_TEST

START_TEST(away_is_temp)
{
	struct world w;
	struct seen s[3] = { 0 };

	open_world(&w);
	dnsq_ask(w.q, SLICE_LIT("a.example"), DNS_A, answered, &s[0]);
	pass(&w, DNSQ_AWAY_MS);
	ck_assert(s[0].calls == 1 && s[0].status == DNS_TEMP);
	/* One that waited for it is asked when it comes, and lasts as long as any. */
	dnsq_ask(w.q, SLICE_LIT("b.example"), DNS_A, answered, &s[1]);
	connect_world(&w);
	ck_assert_uint_eq(w.nasked, 1);
	pass(&w, DNSQ_AWAY_MS);
	ck_assert_uint_eq(s[1].calls, 0);
	close(w.far);
	w.far = -1;
	turns(&w);
	ck_assert(s[1].calls == 1 && s[1].status == DNS_TEMP);
	/* It was not asked again, and what is new is. */
	dnsq_ask(w.q, SLICE_LIT("c.example"), DNS_A, answered, &s[2]);
	connect_world(&w);
	ck_assert_uint_eq(w.nasked, 2);
	ck_assert_str_eq(w.asked[1].name, "c.example");
	answer(&w, 1, (struct msg_dns_answer){ .records = ONE_A });
	ck_assert(s[2].calls == 1 && s[2].status == DNS_OK);
	close_world(&w);
}
END_TEST

START_TEST(cancelled_is_not_called)
{
	struct world w;
	struct seen s[4] = { 0 };
	uint64_t id[4];

	open_world(&w);
	connect_world(&w);
	for (int i = 0; i < 4; i++) {
		s[i].w = &w;
		id[i] = dnsq_ask(w.q, i < 3 ? SLICE_LIT("a.example") : SLICE_LIT("b.example"),
		    DNS_A, answered, &s[i]);
	}
	turns(&w);
	s[0].cancel = id[1]; /* a neighbour, while the list is walked */
	s[2].again = true;
	dnsq_cancel(w.q, id[3]);
	dnsq_cancel(w.q, id[3]);
	dnsq_cancel(w.q, 0);
	answer(&w, 0, (struct msg_dns_answer){ .records = ONE_A });
	answer(&w, 1, (struct msg_dns_answer){ .records = ONE_A });
	ck_assert(s[0].calls == 1 && s[1].calls == 0 && s[2].calls == 1 && s[3].calls == 0);
	ck_assert_uint_eq(w.nasked, 3);
	dnsq_cancel(w.q, id[0]); /* answered long ago */
	answer(&w, 2, (struct msg_dns_answer){ .records = ONE_A });
	ck_assert_uint_eq(s[2].calls, 2);
	close_world(&w);
}
END_TEST

static const struct msg_dns_answer bad[] = {
	{ .status = 4 },
	{ .status = DNS_OK },
	{ .status = DNS_OK, .records = SLICE_LIT("\4\0\x7f\0\0") },
	{ .status = DNS_OK, .records = SLICE_LIT("\3\0\x7f\0\0") },
	{ .status = DNS_NXDOMAIN, .records = ONE_A },
	{ .status = DNS_OK, .records = ONE_A, .cname = SLICE_LIT("No.Name") },
};

START_TEST(nonsense_cuts_the_link)
{
	struct world w;
	struct seen s = { 0 };

	open_world(&w);
	connect_world(&w);
	dnsq_ask(w.q, SLICE_LIT("a.example"), DNS_A, answered, &s);
	turns(&w);
	answer(&w, 0, bad[_i]);
	ck_assert(!peer_is_up(w.peer));
	ck_assert(s.calls == 1 && s.status == DNS_TEMP);
	close_world(&w);
}
END_TEST

START_TEST(too_many_are_temp)
{
	struct world w;
	struct seen s = { 0 }, last = { 0 };
	char name[32];

	open_world(&w);
	for (int i = 0; i < 4096; i++) {
		snprintf(name, sizeof name, "n%d.example", i);
		dnsq_ask(w.q, slice_z(name), DNS_A, answered, &s);
	}
	turns(&w);
	ck_assert_uint_eq(s.calls, 0);
	dnsq_ask(w.q, SLICE_LIT("one-more.example"), DNS_A, answered, &last);
	turns(&w);
	ck_assert(last.calls == 1 && last.status == DNS_TEMP && s.calls == 0);
	close_world(&w);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, answers_come_to_all_who_ask);
	tcase_add_test(tc, what_is_no_name_does_not_exist);
	tcase_add_test(tc, late_is_temp);
	tcase_add_test(tc, away_is_temp);
	tcase_add_test(tc, cancelled_is_not_called);
	tcase_add_loop_test(tc, nonsense_cuts_the_link, 0, sizeof bad / sizeof *bad);
	tcase_add_test(tc, too_many_are_temp);
}
CHECK_MAIN("dnsq", cases)
