/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "qmgr/router/answer.h"
#include "qmgr/router/decide.h"
#include "qmgr/router/names.h"

static const char text[] =
    "hostname = \"mx.example.net\"\n"
    "myorigin = \"example.net\"\n"
    "relay_networks = { \"192.0.2.0/24\", \"2001:db8::/32\" }\n"
    "submission_networks = { \"198.51.100.0/24\" }\n"
    "relay_domains = { \"relay.example\", \".sub.example\" }\n"
    "relay_host = \"127.0.0.1:2526\"\n"
    "domain \"routed.example\" { route = { \"[::1]:2600\", \"127.0.0.2:2601\" } }\n"
    "domain \"named.example\" { route = { \"hop.example:2602\" } }\n"
    "domain \"unknown.example\" { route = { \"nobody.example:25\" } }\n"
    "domain \"dead.example\" { route = {} }\n";

enum { MX = CLASS_MX, SUB = CLASS_SUBMISSION, LOC = CLASS_LOCAL };

static const struct {
	uint8_t class;
	const char *client, *rcpt;
	enum route_action action;
	uint16_t code;
	const char *rule, *domain, *host;
	uint16_t port;
} rows[] = {
	{ MX, "203.0.113.9", "a@else.example", ROUTE_REFUSE, 554, "relay-denied", NULL, NULL, 0 },
	{ MX, "192.0.2.77", "a@Else.Example", ROUTE_DELIVER, 0, "relay-networks", "else.example",
	    "127.0.0.1", 2526 },
	{ MX, "192.0.3.1", "a@else.example", ROUTE_REFUSE, 554, "relay-denied", NULL, NULL, 0 },
	{ MX, "2001:db8::5", "a@else.example", ROUTE_DELIVER, 0, "relay-networks", "else.example",
	    "127.0.0.1", 2526 },
	{ MX, "2001:db9::5", "a@else.example", ROUTE_REFUSE, 554, "relay-denied", NULL, NULL, 0 },
	{ MX, "203.0.113.9", "a@RELAY.example", ROUTE_DELIVER, 0, "relay-domains", "relay.example",
	    "127.0.0.1", 2526 },
	{ MX, "203.0.113.9", "a@x.sub.example", ROUTE_DELIVER, 0, "relay-domains", "x.sub.example",
	    "127.0.0.1", 2526 },
	{ MX, "203.0.113.9", "a@sub.example", ROUTE_REFUSE, 554, "relay-denied", NULL, NULL, 0 },
	{ MX, "203.0.113.9", "a@notrelay.example", ROUTE_REFUSE, 554, "relay-denied", NULL, NULL,
	    0 },
	{ MX, "203.0.113.9", "Postmaster", ROUTE_DELIVER, 0, "postmaster", "example.net",
	    "127.0.0.1", 2526 },
	{ MX, "203.0.113.9", "postmaster@mx.example.net", ROUTE_DELIVER, 0, "postmaster",
	    "mx.example.net", "127.0.0.1", 2526 },
	{ MX, "203.0.113.9", "postmaster@else.example", ROUTE_REFUSE, 554, "relay-denied", NULL,
	    NULL, 0 },
	/* No way round by the local part. */
	{ MX, "203.0.113.9", "a%else.example@mx.example.net", ROUTE_REFUSE, 554, "relay-denied",
	    NULL, NULL, 0 },
	{ MX, "203.0.113.9", "\"a@relay.example\"@else.example", ROUTE_REFUSE, 554, "relay-denied",
	    NULL, NULL, 0 },
	{ MX, "203.0.113.9", "else.example!a@mx.example.net", ROUTE_REFUSE, 554, "relay-denied",
	    NULL, NULL, 0 },
	{ SUB, "198.51.100.3", "a@else.example", ROUTE_DELIVER, 0, "submission", "else.example",
	    "127.0.0.1", 2526 },
	{ SUB, "192.0.2.1", "a@relay.example", ROUTE_REFUSE, 550, "submission-denied", NULL, NULL,
	    0 },
	{ LOC, NULL, "a@routed.example", ROUTE_DELIVER, 0, "local", "routed.example", "::1", 2600 },
	{ LOC, NULL, "a@named.example", ROUTE_DELIVER, 0, "local", "named.example", "10.9.8.7",
	    2602 },
	{ LOC, NULL, "a@unknown.example", ROUTE_TEMP, 451, "no-address", NULL, NULL, 0 },
	{ LOC, NULL, "a@dead.example", ROUTE_REFUSE, 550, "no-route", NULL, NULL, 0 },
	{ LOC, NULL, "not an address", ROUTE_REFUSE, 501, "bad-address", NULL, NULL, 0 },
	{ LOC, NULL, "", ROUTE_REFUSE, 501, "bad-address", NULL, NULL, 0 },
	{ LOC, NULL, "user", ROUTE_REFUSE, 501, "bad-address", NULL, NULL, 0 },
};

static struct conf *
load(const char *z)
{
	struct buf err = { 0 };
	struct conf *c = NULL;
	int r = conf_parse(slice_z(z), "test.conf", &c, &err);

	ck_assert_msg(r == 0, "%.*s", (int)err.n, err.p != NULL ? err.p : "");
	buf_fini(&err);
	return c;
}

START_TEST(each_question_has_its_rule)
{
	struct conf *c = load(text);
	struct names *n = names_new();
	struct question q = { .class = rows[_i].class, .rcpt = slice_z(rows[_i].rcpt) };
	struct arena a = { 0 };
	struct decision d;

	names_add(n, "HOP.example", "10.9.8.7");
	if (rows[_i].client != NULL) {
		q.has_client = true;
		ck_assert(addr_host_parse(slice_z(rows[_i].client), q.client));
	}
	decide(c, n, &q, &a, &d);
	ck_assert_msg(d.action == rows[_i].action && d.code == rows[_i].code,
	    "%s: action %d code %u rule %s", rows[_i].rcpt, d.action, d.code, d.rule);
	ck_assert_str_eq(d.rule, rows[_i].rule);
	if (d.action == ROUTE_DELIVER) {
		ck_assert(slice_is(d.route.domain, rows[_i].domain));
		ck_assert(slice_is(d.route.hops[0].host, rows[_i].host));
		ck_assert_uint_eq(d.route.hops[0].port, rows[_i].port);
	}
	arena_fini(&a);
	names_free(n);
	conf_unref(c);
}
END_TEST

/* Relaying granted before is not asked for again; without any relay host there is no doubt but
 * TEMP. */
START_TEST(again_and_no_relay_host)
{
	struct conf *c = load("hostname = \"mx.example\"\n");
	struct names *n = names_new();
	struct question q = { .class = CLASS_MX, .again = true, .rcpt = SLICE_LIT("a@b.example") };
	struct arena a = { 0 };
	struct decision d;

	decide(c, n, &q, &a, &d);
	ck_assert_int_eq(d.action, ROUTE_TEMP);
	ck_assert_uint_eq(d.code, 451);
	arena_fini(&a);
	names_free(n);
	conf_unref(c);
}
END_TEST

/* The seal holds for this answer and this recipient, under this key, and for nothing else. */
START_TEST(answers_are_sealed)
{
	struct conf *c = load(text);
	struct router r, other;
	struct buf out = { 0 };
	struct slice packet;
	struct msg_frame f;
	struct msg_route m;
	struct msg_resolve ask = {
		.token = 9, .class = CLASS_LOCAL, .rcpt = SLICE_LIT("a@routed.example")
	};

	answer_init(&r, c, names_new());
	answer_init(&other, c, names_new());
	ck_assert(answer_question(&r, &ask, &out));
	packet = slice_buf(&out);
	ck_assert(
	    msg_frame_next(&packet, &f) && f.type == MSG_ROUTE && msg_route_get(f.payload, &m));
	ck_assert_uint_eq(m.token, 9);
	ck_assert(route_seal_ok(r.sealer, m.generation, m.action, m.route, ask.rcpt, m.seal));
	ck_assert(!route_seal_ok(other.sealer, m.generation, m.action, m.route, ask.rcpt, m.seal));
	ck_assert(!route_seal_ok(r.sealer, m.generation + 1, m.action, m.route, ask.rcpt, m.seal));
	ck_assert(!route_seal_ok(r.sealer, m.generation, ROUTE_HOLD, m.route, ask.rcpt, m.seal));
	ck_assert(!route_seal_ok(r.sealer, m.generation, m.action,
	    slice_head(m.route, m.route.n - 1), ask.rcpt, m.seal));
	ck_assert(!route_seal_ok(
	    r.sealer, m.generation, m.action, m.route, SLICE_LIT("b@routed.example"), m.seal));
	ck_assert(
	    !answer_question(&r, &(struct msg_resolve){ .client = SLICE_LIT("short") }, &out));
	names_free(r.names);
	names_free(other.names);
	answer_fini(&r);
	answer_fini(&other);
	buf_fini(&out);
	conf_unref(c);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, each_question_has_its_rule, 0, sizeof rows / sizeof *rows);
	tcase_add_test(tc, again_and_no_relay_host);
	tcase_add_test(tc, answers_are_sealed);
}
CHECK_MAIN("decide", cases)
