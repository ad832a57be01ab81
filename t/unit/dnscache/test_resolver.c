/* SPDX-License-Identifier: ISC */
/* The resolver before name servers that are held by hand, over loopback. */
#include "../check_main.h"
#include "packet.h"

#include "dnscache/answer.h"
#include "dnscache/resolver.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SERVERS = 2, ASKED_MAX = 64 };

struct world {
	struct loop *loop;
	struct cache *cache;
	struct resolver *r;
	struct conf conf;
	struct addr at[SERVERS];
	int fd[SERVERS];
	unsigned nasked;
	struct asked {
		int server;
		struct sockaddr_in from;
		uint16_t id;
		char name[DNS_NAME_MAX + 1];
		uint8_t type;
	} asked[ASKED_MAX];
};

struct seen {
	unsigned calls;
	enum dns_status status;
	unsigned flags;
	char cname[DNS_NAME_MAX + 1], records[64];
	size_t nrecords;
};

static void
answered(void *arg, const struct reply *reply)
{
	struct seen *s = arg;

	s->calls++;
	s->status = reply->status;
	s->flags = reply->flags;
	slice_copy(reply->cname, s->cname, sizeof s->cname);
	s->nrecords = reply->records.n;
	ck_assert((reply->text[0] != '\0') == (reply->status == DNS_TEMP));
}

static void
open_world(struct world *w, uint64_t questions_max)
{
	static const struct cache_limits limits = { 1000, 1 << 20, 0, 100000, 20000 };

	*w = (struct world){ .loop = loop_new(), .cache = cache_new(&limits) };
	for (int i = 0; i < SERVERS; i++) {
		struct sockaddr_storage ss;
		struct sockaddr_in sin = { .sin_family = AF_INET,
			.sin_addr = { htonl(INADDR_LOOPBACK) } };
		socklen_t n = sizeof ss;

		w->fd[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		ck_assert_int_eq(bind(w->fd[i], (struct sockaddr *)&sin, sizeof sin), 0);
		ck_assert_int_eq(getsockname(w->fd[i], (struct sockaddr *)&ss, &n), 0);
		ck_assert(addr_of(&ss, &w->at[i]));
	}
	w->conf = (struct conf){ .name_servers = { w->at, SERVERS },
		.dns_try_timeout_ms = 100,
		.dns_tries = 3,
		.dns_questions_max = questions_max };
	w->r = resolver_new(w->loop, &w->conf, w->cache, known_new(SLICE_NONE), w->at, 1);
}

static void
close_world(struct world *w)
{
	resolver_free(w->r);
	cache_free(w->cache);
	loop_free(w->loop);
	for (int i = 0; i < SERVERS; i++)
		if (w->fd[i] >= 0)
			close(w->fd[i]);
}

static void
hear(struct world *w, int server)
{
	struct asked *a;
	uint8_t q[512];
	socklen_t n = sizeof a->from;
	ssize_t got;
	size_t at = 12, used = 0;

	ck_assert_uint_lt(w->nasked, ASKED_MAX);
	a = &w->asked[w->nasked];
	got = recvfrom(w->fd[server], q, sizeof q, 0, (struct sockaddr *)&a->from, &n);
	if (got < 17)
		return;
	a->server = server;
	a->id = (uint16_t)(q[0] << 8 | q[1]);
	for (; q[at] != 0; at += q[at] + 1U) {
		if (used > 0)
			a->name[used++] = '.';
		memcpy(a->name + used, q + at + 1, q[at]);
		used += q[at];
	}
	a->name[used] = '\0';
	a->type = q[at + 2];
	w->nasked++;
}

/* Until so many questions have come, or so many calls were made to s. */
static void
until(struct world *w, unsigned nasked, const struct seen *s, unsigned calls)
{
	struct pollfd p[SERVERS];

	while (w->nasked < nasked || (s != NULL && s->calls < calls)) {
		for (int i = 0; i < SERVERS; i++)
			p[i] = (struct pollfd){ .fd = w->fd[i], .events = POLLIN };
		poll(p, SERVERS, 1);
		for (int i = 0; i < SERVERS; i++)
			if (p[i].revents & POLLIN)
				hear(w, i);
		loop_turn(w->loop, false);
	}
}

static void
say(struct world *w, unsigned i, unsigned flags, const char *const lines[])
{
	const struct asked *a = &w->asked[i];
	struct buf b = { 0 };

	packet_of(&b, flags, a->name, (enum dns_type)a->type, lines);
	b.p[0] = (char)(a->id >> 8);
	b.p[1] = (char)a->id;
	ck_assert(sendto(w->fd[a->server], b.p, b.n, 0, (const struct sockaddr *)&a->from,
		      sizeof a->from) == (ssize_t)b.n);
	buf_fini(&b);
}

static struct wish *
ask(struct world *w, const char *name, struct seen *s)
{
	struct reply reply;

	ck_assert(!resolver_knows(w->r, name, DNS_A, &reply));
	return resolver_ask(w->r, name, DNS_A, SERVICE_QMGR, answered, s);
}

static const char *const one_a[] = { "a.example 60 A 192.0.2.1", NULL };

START_TEST(asked_once_and_kept)
{
	struct world w;
	struct seen s[2] = { 0 };
	struct reply reply;
	struct resolver_stats st;

	open_world(&w, 100);
	ck_assert(ask(&w, "a.example", &s[0]) != NULL && ask(&w, "a.example", &s[1]) != NULL);
	until(&w, 1, NULL, 0);
	say(&w, 0, 0x81a0, one_a);
	until(&w, 1, &s[1], 1);
	ck_assert(s[0].calls == 1 && s[0].status == DNS_OK && s[0].flags == DNS_AD);
	ck_assert(resolver_knows(w.r, "a.example", DNS_A, &reply));
	ck_assert(reply.flags == (DNS_AD | DNS_CACHED) && reply.ttl_s == 60);
	resolver_stats(w.r, &st);
	ck_assert(st.sent == 1 && st.joined == 1 && st.running == 0);
	close_world(&w);
}
END_TEST

START_TEST(forgotten_goes_on)
{
	struct world w;
	struct seen s = { 0 };
	struct reply reply;

	open_world(&w, 100);
	resolver_forget(ask(&w, "a.example", &s));
	until(&w, 1, NULL, 0);
	say(&w, 0, 0x8180, one_a);
	while (!resolver_knows(w.r, "a.example", DNS_A, &reply))
		loop_turn(w.loop, true);
	ck_assert_uint_eq(s.calls, 0);
	close_world(&w);
}
END_TEST

/* What the first server says, and whether the second one is asked. */
static const struct {
	unsigned flags;
	bool silent, second;
	const char *const lines[3];
	enum dns_status status; /* where there is no second */
} failures[] = {
	{ 0x8182, false, true, { NULL }, DNS_TEMP },
	{ 0x8185, false, true, { NULL }, DNS_TEMP },
	{ 0, true, true, { NULL }, DNS_TEMP },
	{ 0x8180, false, true, { "a.example 60 RAW:1 00" }, DNS_TEMP },
	{ 0x8183, false, false, { "!example 40 SOA 15" }, DNS_NXDOMAIN },
	{ 0x8180, false, false, { "!example 40 SOA 15" }, DNS_NODATA },
	{ 0x8180, false, false, { "a.example 9 CNAME a.example" }, DNS_TEMP },
};

START_TEST(the_next_server_is_asked)
{
	struct world w;
	struct seen s = { 0 };

	open_world(&w, 100);
	ask(&w, "a.example", &s);
	until(&w, 1, NULL, 0);
	ck_assert_int_eq(w.asked[0].server, 0);
	if (!failures[_i].silent)
		say(&w, 0, failures[_i].flags, failures[_i].lines);
	if (failures[_i].second) {
		until(&w, 2, NULL, 0);
		ck_assert_int_eq(w.asked[1].server, 1);
		ck_assert_uint_ne(w.asked[1].id, w.asked[0].id); /* but once in 65536 */
		say(&w, 1, 0x8180, one_a);
	}
	until(&w, 0, &s, 1);
	ck_assert_int_eq(s.status, failures[_i].second ? DNS_OK : failures[_i].status);
	close_world(&w);
}
END_TEST

START_TEST(silence_everywhere_ends)
{
	struct world w;
	struct seen s = { 0 };

	open_world(&w, 100);
	ask(&w, "a.example", &s);
	until(&w, 3, &s, 1);
	ck_assert(w.nasked == 3 && s.status == DNS_TEMP); /* dns_tries, round about */
	ck_assert(w.asked[0].server == 0 && w.asked[1].server == 1 && w.asked[2].server == 0);
	close_world(&w);
}
END_TEST

START_TEST(chain_is_followed_by_asking)
{
	static const char *const first[] = { "a.example 60 CNAME b.other", NULL };
	static const char *const second[] = { "b.other 30 A 192.0.2.1", NULL };
	struct world w;
	struct seen s = { 0 };
	struct reply reply;

	open_world(&w, 100);
	ask(&w, "a.example", &s);
	until(&w, 1, NULL, 0);
	say(&w, 0, 0x81a0, first);
	until(&w, 2, NULL, 0);
	ck_assert_str_eq(w.asked[1].name, "b.other");
	say(&w, 1, 0x8180, second);
	until(&w, 2, &s, 1);
	ck_assert(s.status == DNS_OK && s.flags == 0 && s.nrecords == 6);
	ck_assert_str_eq(s.cname, "b.other");
	ck_assert(resolver_knows(w.r, "a.example", DNS_A, &reply) && reply.ttl_s == 30);
	close_world(&w);
}
END_TEST

START_TEST(loop_by_asking_ends)
{
	static const char *const there[] = { "a.example 60 CNAME b.other", NULL };
	static const char *const back[] = { "b.other 60 CNAME a.example", NULL };
	struct world w;
	struct seen s = { 0 };

	open_world(&w, 100);
	ask(&w, "a.example", &s);
	for (unsigned i = 0; i < 9; i++) {
		until(&w, i + 1, NULL, 0);
		say(&w, i, 0x8180, i % 2 == 0 ? there : back);
	}
	until(&w, 9, &s, 1);
	ck_assert(s.status == DNS_TEMP && w.nasked == 9);
	close_world(&w);
}
END_TEST

START_TEST(one_asker_leaves_room_for_others)
{
	struct world w;
	struct seen s[6] = { 0 }, other = { 0 };
	struct resolver_stats st;
	char name[32];

	open_world(&w, 8);
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof name, "n%d.example", i);
		ck_assert(ask(&w, name, &s[i]) != NULL);
	}
	resolver_stats(w.r, &st);
	ck_assert(st.running == 4 && st.waiting == 2); /* half of 8 */
	ck_assert(resolver_ask(w.r, "other.example", DNS_A, SERVICE_SMTPD, answered, &other));
	resolver_stats(w.r, &st);
	ck_assert(st.running == 5 && st.waiting == 2);
	until(&w, 5, NULL, 0);
	for (unsigned i = 0; i < 5; i++)
		say(&w, i, 0x8183, NULL);
	until(&w, 7, &other, 1);
	for (unsigned i = 5; i < 7; i++)
		say(&w, i, 0x8183, NULL);
	until(&w, 7, &s[5], 1);
	for (int i = 0; i < 6; i++)
		ck_assert(s[i].calls == 1 && s[i].status == DNS_NXDOMAIN);
	close_world(&w);
}
END_TEST

START_TEST(too_many_are_refused_at_once)
{
	struct world w;
	struct seen s = { 0 };
	struct resolver_stats st;
	char name[32];

	open_world(&w, 2);
	for (int i = 0; i < 4097; i++) {
		snprintf(name, sizeof name, "n%d.example", i);
		ck_assert(resolver_ask(w.r, name, DNS_A, SERVICE_QMGR, answered, &s) != NULL);
	}
	ck_assert(resolver_ask(w.r, "more.example", DNS_A, SERVICE_QMGR, answered, &s) == NULL);
	ck_assert(resolver_ask(w.r, "n7.example", DNS_A, SERVICE_QMGR, answered, &s) != NULL);
	ck_assert(resolver_ask(w.r, "more.example", DNS_A, SERVICE_SMTPD, answered, &s) != NULL);
	resolver_stats(w.r, &st);
	ck_assert(st.running == 2 && st.waiting == 4096 && st.refused == 1 && st.joined == 1);
	_exit(EXIT_SUCCESS); /* all of them are open: nothing to be taken down in order */
}
END_TEST

START_TEST(other_servers_after_a_reload)
{
	struct world w;
	struct seen s[2] = { 0 };

	open_world(&w, 100);
	ask(&w, "a.example", &s[0]);
	until(&w, 1, NULL, 0);
	w.conf.name_servers = (struct conf_listens){ &w.at[1], 1 };
	resolver_reload(w.r, &w.conf);
	ask(&w, "b.example", &s[1]);
	until(&w, 2, NULL, 0);
	ck_assert_int_eq(w.asked[1].server, 1);
	say(&w, 0, 0x8180, one_a); /* the old one ends its question */
	say(&w, 1, 0x8183, NULL);
	until(&w, 2, &s[0], 1);
	until(&w, 2, &s[1], 1);
	ck_assert(s[0].status == DNS_OK && s[1].status == DNS_NXDOMAIN);
	loop_turn(w.loop, false);
	loop_turn(w.loop, false);
	close_world(&w);
}
END_TEST

START_TEST(who_fails_rests)
{
	struct world w;
	struct upstream_stats st;
	char name[32];

	open_world(&w, 100);
	for (unsigned i = 0; i < 3; i++) { /* the first one talks nonsense three times */
		static const char *const nonsense[] = { "a.example 60 RAW:1 00", NULL };
		struct seen s = { 0 };

		snprintf(name, sizeof name, "n%u.example", i);
		ask(&w, name, &s);
		until(&w, 2 * i + 1, NULL, 0);
		ck_assert_int_eq(w.asked[2 * i].server, 0);
		snprintf(w.asked[2 * i].name, DNS_NAME_MAX, "not-%s", name);
		say(&w, 2 * i, 0x8180, nonsense);
		until(&w, 2 * i + 2, NULL, 0);
		say(&w, 2 * i + 1, 0x8183, NULL);
		until(&w, 0, &s, 1);
	}
	struct seen s = { 0 };
	upstream_stats(resolver_upstream(w.r), 0, &st);
	ck_assert(st.failures == 3 && st.resting);
	ask(&w, "last.example", &s);
	until(&w, 7, NULL, 0);
	ck_assert_int_eq(w.asked[6].server, 1);
	say(&w, 6, 0x8183, NULL);
	until(&w, 0, &s, 1);
	close_world(&w);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, asked_once_and_kept);
	tcase_add_test(tc, forgotten_goes_on);
	tcase_add_loop_test(tc, the_next_server_is_asked, 0, sizeof failures / sizeof *failures);
	tcase_add_test(tc, silence_everywhere_ends);
	tcase_add_test(tc, chain_is_followed_by_asking);
	tcase_add_test(tc, loop_by_asking_ends);
	tcase_add_test(tc, one_asker_leaves_room_for_others);
	tcase_add_test(tc, too_many_are_refused_at_once);
	tcase_add_test(tc, other_servers_after_a_reload);
	tcase_add_test(tc, who_fails_rests);
}
CHECK_MAIN("resolver", cases)
