/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "qmgr/router/answer.h"
#include "qmgr/router/decide.h"
#include "table/alias.h"

#include <stdio.h>

static const char text[] =
    "hostname = \"mx.example.net\"\n"
    "myorigin = \"example.net\"\n"
    "local_domains = { \"local.example\", \"mx.example.net\", \"example.net\" }\n"
    "virtual_domains = { \"virtual.example\" }\n"
    "virtual_table = /none\n"
    "route_table = /none\n"
    "alias_file = \"\"\n"
    "postmaster = \"boss@else.example\"\n"
    "recipient_delimiter = \"+-\"\n"
    "expansion_max = 6\n"
    "relay_networks = { \"192.0.2.0/24\", \"2001:db8::/32\" }\n"
    "submission_networks = { \"198.51.100.0/24\" }\n"
    "relay_domains = { \"relay.example\", \".sub.example\" }\n"
    "relay_host = \"127.0.0.1:2526\"\n"
    "domain \"routed.example\" { route = { \"[::1]:2600\", \"127.0.0.2:2601\" } }\n"
    "domain \"named.example\" { route = { \"hop.example:2602\" } }\n"
    "domain \"dead.example\" { route = {} }\n"
    "domain \"pool.example\" { pool = Ads }\n"
    "domain \"grouped.example\" { pool = bulk route = \"10.0.0.8\" }\n"
    "binding \"ads\" { domain \"pool.example\" { route = \"10.0.0.7\" } }\n"
    "group \"bulk\" { binding \"ads\" { } }\n";

/* ---- made-up tables ---- */

struct pair {
	const char *key, *value;
};

static const struct pair aliases[] = { { "staff", "alice, bob, x@else.example" },
	{ "self", "self, alice" }, { "only", "only" }, { "last", "\\last" }, { "a", "b" },
	{ "b", "a" }, { "c", "a, c1" }, { "c1", "alice" }, { "cmd", "|/bin/x, alice, |/bin/y" },
	{ "inc", ":include:/etc/l" }, { "file", "/var/f" }, { "list+owner", "bob" },
	{ "list", "alice, alice, staff" }, { "wide", "w1, w2, w3, w4, w5, w6, w7" },
	{ "deep", "d1" }, { "d1", "d2" }, { "d2", "d3" }, { "d3", "d4" }, { "d4", "d5" },
	{ "d5", "d6" }, { "d6", "d7" }, { "d7", "d8" }, { "d8", "d9" }, { "d9", "d10" },
	{ "d10", "d11" }, { "d11", "d12" }, { "d12", "d13" }, { "d13", "d14" }, { "d14", "d15" },
	{ "d15", "d16" }, { "d16", "d17" }, { "d17", "d18" }, { "d18", "d19" }, { "d19", "d20" },
	{ "d20", "alice" }, { "tovirtual", "u@virtual.example" }, { "broken", "?" },
	{ "ext", "alice+lists" } };
static const struct pair virtuals[] = { { "u@virtual.example",
					    "alice@local.example, z@else.example" },
	{ "one@virtual.example", "alice" }, { "e+f@virtual.example", "bob@local.example" },
	{ "e@virtual.example", "carol@else.example" },
	{ "me@else.example", "me@else.example, copy@else.example" }, { "@catch.example", "alice" },
	{ "in@catch.example", "@other.example" }, { "@dom.example", "@other.example" },
	{ "v1@virtual.example", "v2@virtual.example" },
	{ "v2@virtual.example", "v1@virtual.example" }, { "broken@else.example", "?" } };
static const struct pair routes[] = { { "to@else.example", "smtp:[10.0.0.1]:2700" },
	{ "mx@else.example", "relay:mail.example" }, { "loc@else.example", "local:" },
	{ "lm@else.example", "lmtp:unix:/run/l" }, { "err@else.example", "error:5.7.1 Go away" },
	{ "err10@else.example", "error:5.1.10 Null MX" },
	{ "err4@else.example", "error:4.1.1 No word for good" }, { "wait@else.example", "retry:" },
	{ "held@else.example", "hold:look at it" }, { "gone@else.example", "discard:spam trap" },
	{ "odd@else.example", "uucp:x" }, { "inherit@else.example", "smtp:" },
	{ "alice@local.example", "lmtp:127.0.0.1:2424" }, { "dom.table.example", "smtp:10.0.0.2" },
	{ ".table.example", "smtp:10.0.0.3:26" }, { "t@pool.example", "smtp:10.0.0.9" } };

static enum found
in_pairs(const struct pair *p, size_t n, struct slice key, struct buf *value)
{
	for (size_t i = 0; i < n; i++) {
		if (!slice_iis(key, p[i].key))
			continue;
		if (strcmp(p[i].value, "?") == 0)
			return FOUND_ERROR;
		buf_puts(value, p[i].value);
		return FOUND_YES;
	}
	return FOUND_NO;
}
#define IN_PAIRS(table, key, value) in_pairs(table, sizeof(table) / sizeof *(table), key, value)

static void
put_rows(void *ctx, unsigned line, struct slice name, struct slice values)
{
	(void)line;
	(void)name;
	buf_slice(ctx, values);
}

static void
wrong(void *ctx, unsigned line, const char *why)
{
	(void)ctx;
	ck_abort_msg("%u %s", line, why);
}

static enum found
find_alias(void *ctx, struct slice name, struct buf *found_rows)
{
	struct buf values = { 0 }, entry = { 0 };
	const struct alias_reader to = { put_rows, NULL, wrong, found_rows };
	enum found f = IN_PAIRS(aliases, name, &values);

	(void)ctx;
	if (f == FOUND_YES) {
		buf_printf(&entry, "x: %.*s\n", SLICE_ARG(slice_buf(&values)));
		alias_read(slice_buf(&entry), &to);
	}
	buf_fini(&values);
	buf_fini(&entry);
	return f;
}

static enum found
find_virtual(void *ctx, struct slice key, struct buf *value)
{
	(void)ctx;
	return IN_PAIRS(virtuals, key, value);
}

static enum found
find_route(void *ctx, struct slice key, struct buf *value)
{
	(void)ctx;
	return IN_PAIRS(routes, key, value);
}

static enum found
find_user(void *ctx, struct slice name, uint32_t *uid)
{
	static const struct pair users[] = { { "alice", "" }, { "bob", "" }, { "self", "" },
		{ "only", "" }, { "last", "" }, { "root", "" }, { "half-done", "" }, { "slow", "" },
		{ "sick", "?" } };
	struct buf value = { 0 };
	enum found f = IN_PAIRS(users, name, &value);

	(void)ctx;
	buf_fini(&value);
	*uid = slice_is(name, "root") ? 0 : 1000;
	return slice_iis(name, "slow") ? FOUND_LATER : f;
}

static const struct directory made_up = { find_alias, find_virtual, find_route, find_user, NULL };

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

/* A decision in a line: "deliver smtp domain host:port,host:mx", "expand a b", "550 5.1.1", ... */
static void
print(struct buf *b, const struct decision *d)
{
	switch (d->action) {
	case ROUTE_DELIVER:
		buf_printf(b, "deliver %.*s%s%.*s %.*s", SLICE_ARG(d->route.transport),
		    d->route.pool.n > 0 ? "/" : "", SLICE_ARG(d->route.pool),
		    SLICE_ARG(d->route.domain));
		for (unsigned i = 0; i < d->route.nhops; i++)
			buf_printf(b, " %.*s:%u%s", SLICE_ARG(d->route.hops[i].host),
			    d->route.hops[i].port, d->route.hops[i].mx ? ":mx" : "");
		break;
	case ROUTE_EXPAND:
		buf_puts(b, "expand");
		for (size_t i = 0; i < d->nlist; i++)
			buf_printf(b, " %.*s", SLICE_ARG(d->list[i]));
		break;
	case ROUTE_HOLD:
		buf_printf(b, "hold %s", d->text);
		break;
	case ROUTE_DROP:
		buf_printf(b, "drop %s", d->text);
		break;
	case ROUTE_REFUSE:
	case ROUTE_TEMP:
		buf_printf(b, "%u %u.%u.%u", d->code, d->enh[0], d->enh[1], d->enh[2]);
		break;
	}
	if (d->later)
		buf_puts(b, "later");
	buf_putc(b, '\0');
}

enum { MX = CLASS_MX, SUB = CLASS_SUBMISSION, LOC = CLASS_LOCAL };
#define STRANGER "203.0.113.9"
#define RELAYED " 127.0.0.1:2526"

static const struct {
	uint8_t class, again;
	const char *client, *rcpt, *rule, *want;
} rows[] = {
	/* who may send where */
	{ MX, 0, STRANGER, "a@else.example", "relay-denied", "554 5.7.1" },
	{ MX, 0, "192.0.2.77", "a@Else.Example", "relay-networks",
	    "deliver smtp else.example" RELAYED },
	{ MX, 0, "192.0.3.1", "a@else.example", "relay-denied", "554 5.7.1" },
	{ MX, 0, "2001:db8::5", "a@else.example", "relay-networks",
	    "deliver smtp else.example" RELAYED },
	{ MX, 0, "2001:db9::5", "a@else.example", "relay-denied", "554 5.7.1" },
	{ MX, 0, STRANGER, "a@RELAY.example", "relay-domains",
	    "deliver smtp relay.example" RELAYED },
	{ MX, 0, STRANGER, "a@x.sub.example", "relay-domains",
	    "deliver smtp x.sub.example" RELAYED },
	{ MX, 0, STRANGER, "a@sub.example", "relay-denied", "554 5.7.1" },
	{ MX, 0, STRANGER, "a@notrelay.example", "relay-denied", "554 5.7.1" },
	{ MX, 0, STRANGER, "postmaster@else.example", "relay-denied", "554 5.7.1" },
	/* No way round by the local part. */
	{ MX, 0, STRANGER, "a%else.example@mx.example.net", "unknown-user", "550 5.1.1" },
	{ MX, 0, STRANGER, "\"a@relay.example\"@else.example", "relay-denied", "554 5.7.1" },
	{ MX, 0, STRANGER, "else.example!a@mx.example.net", "unknown-user", "550 5.1.1" },
	{ SUB, 0, "198.51.100.3", "a@else.example", "submission",
	    "deliver smtp else.example" RELAYED },
	{ SUB, 0, "192.0.2.1", "a@relay.example", "submission-denied", "550 5.7.1" },
	{ SUB, 0, "192.0.2.1", "alice@local.example", "submission-denied", "550 5.7.1" },
	{ MX, 1, NULL, "a@else.example", "again", "deliver smtp else.example" RELAYED },
	{ LOC, 0, NULL, "not an address", "bad-address", "501 5.1.3" },
	{ LOC, 0, NULL, "", "bad-address", "501 5.1.3" },
	{ LOC, 0, NULL, "user", "bad-address", "501 5.1.3" },
	/* next hops */
	{ LOC, 0, NULL, "a@routed.example", "local",
	    "deliver smtp routed.example ::1:2600 127.0.0.2:2601" },
	{ LOC, 0, NULL, "a@named.example", "local", "deliver smtp named.example hop.example:2602" },
	{ LOC, 0, NULL, "a@dead.example", "no-route", "550 5.1.2" },
	/* the table of routes */
	{ LOC, 0, NULL, "to@else.example", "route-table",
	    "deliver smtp else.example 10.0.0.1:2700" },
	{ LOC, 0, NULL, "to+x@else.example", "route-table",
	    "deliver smtp else.example 10.0.0.1:2700" },
	{ LOC, 0, NULL, "TO@else.example", "route-table",
	    "deliver smtp else.example 10.0.0.1:2700" },
	{ LOC, 0, NULL, "mx@else.example", "route-table",
	    "deliver smtp else.example mail.example:25:mx" },
	{ LOC, 0, NULL, "loc@else.example", "route-table", "deliver local else.example" },
	{ LOC, 0, NULL, "lm@else.example", "route-table",
	    "deliver lmtp else.example unix:/run/l:0" },
	{ LOC, 0, NULL, "err@else.example", "route-table", "550 5.7.1" },
	{ LOC, 0, NULL, "err10@else.example", "route-table", "550 5.1.10" },
	{ LOC, 0, NULL, "err4@else.example", "route-table", "550 5.1.2" },
	{ LOC, 0, NULL, "wait@else.example", "route-table", "451 4.3.0" },
	{ LOC, 0, NULL, "held@else.example", "route-table", "hold look at it" },
	{ LOC, 0, NULL, "gone@else.example", "route-table", "drop spam trap" },
	{ LOC, 0, NULL, "odd@else.example", "route-table", "451 4.3.5" },
	{ LOC, 0, NULL, "inherit@else.example", "local", "deliver smtp else.example" RELAYED },
	{ LOC, 0, NULL, "a@dom.table.example", "route-table",
	    "deliver smtp dom.table.example 10.0.0.2:25" },
	{ LOC, 0, NULL, "a@x.table.example", "route-table",
	    "deliver smtp x.table.example 10.0.0.3:26" },
	{ LOC, 0, NULL, "a@table.example", "local", "deliver smtp table.example" RELAYED },
	{ MX, 0, STRANGER, "alice@local.example", "route-table",
	    "deliver lmtp local.example 127.0.0.1:2424" },
	/* users */
	{ MX, 0, STRANGER, "bob@local.example", "local-domains", "deliver local local.example" },
	{ MX, 0, STRANGER, "BOB@Local.Example", "local-domains", "deliver local local.example" },
	{ MX, 0, STRANGER, "bob+shop@local.example", "local-domains",
	    "deliver local local.example" },
	{ MX, 0, STRANGER, "bob-shop+x@local.example", "local-domains",
	    "deliver local local.example" },
	{ MX, 0, STRANGER, "half-done@local.example", "local-domains",
	    "deliver local local.example" },
	{ MX, 0, STRANGER, "half-baked@local.example", "unknown-user", "550 5.1.1" },
	{ MX, 0, STRANGER, "nobody@local.example", "unknown-user", "550 5.1.1" },
	{ MX, 0, STRANGER, "+@local.example", "unknown-user", "550 5.1.1" },
	{ LOC, 0, NULL, "nobody@local.example", "unknown-user", "expand" },
	{ LOC, 1, NULL, "nobody@local.example", "unknown-user", "550 5.1.1" },
	{ MX, 0, STRANGER, "slow@local.example", "", "later" },
	{ MX, 0, STRANGER, "slow+x@local.example", "", "later" },
	{ MX, 0, STRANGER, "sick@local.example", "users", "451 4.3.5" },
	/* aliases */
	{ MX, 0, STRANGER, "staff@local.example", "alias",
	    "expand alice@local.example bob@local.example x@else.example" },
	{ MX, 1, NULL, "Staff+x@local.example", "alias",
	    "expand alice@local.example bob@local.example x@else.example" },
	{ MX, 2, NULL, "staff@local.example", "unknown-user", "550 5.1.1" },
	{ MX, 1, NULL, "self@local.example", "alias",
	    "expand self@local.example alice@local.example" },
	{ MX, 2, NULL, "self@local.example", "again", "deliver local local.example" },
	{ MX, 0, STRANGER, "only@local.example", "local-domains", "deliver local local.example" },
	{ MX, 0, STRANGER, "last@local.example", "local-domains", "deliver local local.example" },
	{ MX, 0, STRANGER, "a@local.example", "alias-loop", "550 5.4.6" },
	{ MX, 0, STRANGER, "c@local.example", "alias", "expand alice@local.example" },
	{ MX, 0, STRANGER, "deep@local.example", "alias-loop", "550 5.4.6" },
	{ MX, 0, STRANGER, "d2@local.example", "alias", "expand alice@local.example" },
	{ MX, 0, STRANGER, "wide@local.example", "alias-trouble", "451 4.3.5" },
	{ MX, 0, STRANGER, "broken@local.example", "alias-trouble", "451 4.3.5" },
	{ MX, 0, STRANGER, "list@local.example", "alias",
	    "expand alice@local.example bob@local.example x@else.example" },
	{ MX, 0, STRANGER, "list+owner@local.example", "alias", "expand bob@local.example" },
	{ MX, 0, STRANGER, "list+other@local.example", "alias",
	    "expand alice@local.example bob@local.example x@else.example" },
	{ MX, 0, STRANGER, "ext@local.example", "alias", "expand alice+lists@local.example" },
	{ MX, 0, STRANGER, "cmd@local.example", "alias",
	    "expand |cmd@local.example alice@local.example" },
	{ MX, 0, STRANGER, "inc@local.example", "alias", "expand \":include:inc\"@local.example" },
	{ MX, 0, STRANGER, "file@local.example", "alias", "expand /file@local.example" },
	{ MX, 2, NULL, "\"|cmd\"@local.example", "alias-kind", "451 4.3.5" },
	{ MX, 2, NULL, "/file@local.example", "alias-kind", "451 4.3.5" },
	{ MX, 2, NULL, "\":include:inc\"@local.example", "alias-kind", "451 4.3.5" },
	{ MX, 0, STRANGER, "\"|/bin/sh\"@local.example", "unknown-user", "550 5.1.1" },
	{ MX, 1, NULL, "/etc/passwd@local.example", "unknown-user", "550 5.1.1" },
	/* the one who is always there */
	{ MX, 0, STRANGER, "Postmaster", "postmaster", "expand boss@else.example" },
	{ MX, 0, STRANGER, "postMaster@mx.example.net", "postmaster", "expand boss@else.example" },
	{ MX, 0, STRANGER, "root@local.example", "postmaster", "expand boss@else.example" },
	{ MX, 2, NULL, "root@local.example", "no-mailbox", "451 4.3.5" },
	/* by a pool: its route, its name as its section has it */
	{ LOC, 0, NULL, "a@pool.example", "local", "deliver smtp/ads pool.example 10.0.0.7:25" },
	{ LOC, 0, NULL, "t@pool.example", "route-table",
	    "deliver smtp/ads pool.example 10.0.0.9:25" },
	{ LOC, 0, NULL, "a@grouped.example", "local",
	    "deliver smtp/bulk grouped.example 10.0.0.8:25" },
	/* the virtual table */
	{ MX, 0, STRANGER, "u@virtual.example", "virtual",
	    "expand alice@local.example z@else.example" },
	{ MX, 0, STRANGER, "U@Virtual.example", "virtual",
	    "expand alice@local.example z@else.example" },
	{ MX, 0, STRANGER, "one@virtual.example", "virtual", "expand alice@example.net" },
	{ MX, 0, STRANGER, "none@virtual.example", "unknown-user", "550 5.1.1" },
	{ MX, 0, STRANGER, "e+f@virtual.example", "virtual", "expand bob@local.example" },
	{ MX, 0, STRANGER, "e+g@virtual.example", "virtual", "expand carol+g@else.example" },
	{ LOC, 0, NULL, "me@else.example", "virtual", "expand me@else.example copy@else.example" },
	{ LOC, 0, NULL, "any@catch.example", "virtual", "expand alice@example.net" },
	{ LOC, 0, NULL, "x+y@dom.example", "virtual", "expand x+y@other.example" },
	{ LOC, 0, NULL, "in@catch.example", "virtual", "expand in@other.example" },
	{ MX, 0, STRANGER, "v1@virtual.example", "alias-loop", "550 5.4.6" },
	{ MX, 0, STRANGER, "tovirtual@local.example", "alias",
	    "expand alice@local.example z@else.example" },
	{ LOC, 0, NULL, "broken@else.example", "alias-trouble", "451 4.3.5" },
	/* A stranger's address in the table gives no right to send there. */
	{ MX, 0, STRANGER, "me@else.example", "relay-denied", "554 5.7.1" },
};

START_TEST(each_question_has_its_rule)
{
	struct conf *c = load(text);
	struct question q = {
		.class = rows[_i].class, .again = rows[_i].again, .rcpt = slice_z(rows[_i].rcpt)
	};
	struct arena a = { 0 };
	struct decision d;
	struct buf got = { 0 };

	if (rows[_i].client != NULL) {
		q.has_client = true;
		ck_assert(addr_host_parse(slice_z(rows[_i].client), q.client));
	}
	decide(c, &made_up, &q, &a, &d);
	print(&got, &d);
	ck_assert_msg(strcmp(got.p, rows[_i].want) == 0 && strcmp(d.rule, rows[_i].rule) == 0,
	    "%s: %s by %s, not %s by %s", rows[_i].rcpt, got.p, d.rule, rows[_i].want,
	    rows[_i].rule);
	buf_fini(&got);
	arena_fini(&a);
	conf_unref(c);
}
END_TEST

#define PORT "smtp_port = 2525\n"
#define OF_DOMAIN "domain b.example { smtp_port = 2526 }\n"
static const struct {
	const char *conf, *rcpt, *want;
} exchangers[] = {
	{ "", "a@b.example", "deliver smtp b.example b.example:25:mx" },
	{ "", "a@[192.0.2.1]", "deliver smtp [192.0.2.1] 192.0.2.1:25" },
	{ PORT, "a@b.example", "deliver smtp b.example b.example:2525:mx" },
	{ PORT OF_DOMAIN, "a@b.example", "deliver smtp b.example b.example:2526:mx" },
	{ PORT, "a@[192.0.2.1]", "deliver smtp [192.0.2.1] 192.0.2.1:2525" },
	{ PORT, "a@[IPv6:2001:db8::1]", "deliver smtp [ipv6:2001:db8::1] 2001:db8::1:2525" },
	{ PORT, "bob@localhost", "deliver lmtp localhost unix:/run/lmtp:0" },
};

/* Without a relay host: the mail exchangers of the domain, or the host of a literal. */
START_TEST(without_a_relay_host)
{
	struct question q = { .class = CLASS_LOCAL, .rcpt = slice_z(exchangers[_i].rcpt) };
	struct arena a = { 0 };
	struct buf conf = { 0 }, got = { 0 };
	struct decision d;
	struct conf *c;

	buf_puts(&conf, "hostname = \"mx.example\"\nlocal_transport = \"lmtp:unix:/run/lmtp\"\n");
	buf_puts(&conf, exchangers[_i].conf);
	buf_putc(&conf, '\0');
	c = load(conf.p);
	buf_fini(&conf);
	decide(c, &made_up, &q, &a, &d);
	print(&got, &d);
	ck_assert_str_eq(got.p, exchangers[_i].want);
	buf_fini(&got);
	arena_fini(&a);
	conf_unref(c);
}
END_TEST

static void
ask_one(struct router *r, const struct msg_resolve *ask, struct buf *out, struct msg_route *m)
{
	struct slice packet;
	struct msg_frame f;

	buf_reset(out);
	ck_assert(answer_question(r, NULL, ask, out));
	packet = slice_buf(out);
	ck_assert(
	    msg_frame_next(&packet, &f) && f.type == MSG_ROUTE && msg_route_get(f.payload, m));
	ck_assert_uint_eq(m->token, ask->token);
}

/* The seal holds for this answer and this recipient, under this key, and for nothing else. */
START_TEST(answers_are_sealed)
{
	struct conf *c = load(text);
	struct router r, other;
	struct buf out = { 0 };
	struct msg_route m;
	struct msg_resolve ask = {
		.token = 9, .class = CLASS_LOCAL, .rcpt = SLICE_LIT("a@routed.example")
	};

	answer_init(&r, c, NULL);
	answer_init(&other, c, NULL);
	r.directory = &made_up;
	ask_one(&r, &ask, &out, &m);
	ck_assert(route_seal_ok(r.sealer, m.generation, m.action, m.route, ask.rcpt, m.seal));
	ck_assert(!route_seal_ok(other.sealer, m.generation, m.action, m.route, ask.rcpt, m.seal));
	ck_assert(!route_seal_ok(r.sealer, m.generation + 1, m.action, m.route, ask.rcpt, m.seal));
	ck_assert(!route_seal_ok(r.sealer, m.generation, ROUTE_HOLD, m.route, ask.rcpt, m.seal));
	ck_assert(!route_seal_ok(r.sealer, m.generation, m.action,
	    slice_head(m.route, m.route.n - 1), ask.rcpt, m.seal));
	ck_assert(!route_seal_ok(
	    r.sealer, m.generation, m.action, m.route, SLICE_LIT("b@routed.example"), m.seal));
	ck_assert(!answer_question(
	    &r, NULL, &(struct msg_resolve){ .client = SLICE_LIT("short") }, &out));
	ck_assert(!answer_question(&r, NULL, &(struct msg_resolve){ .again = 3 }, &out));
	answer_fini(&r);
	answer_fini(&other);
	buf_fini(&out);
	conf_unref(c);
}
END_TEST

static unsigned many_asked;

static enum found
many(void *ctx, struct slice name, struct buf *out)
{
	(void)ctx;
	many_asked++;
	if (!slice_is(name, "many"))
		return FOUND_NO;
	for (unsigned i = 0; i < 1000; i++)
		buf_printf(out, "@member%u@else.example%c", i, 0);
	return FOUND_YES;
}

/* A long list comes in parts that know their places; at RCPT none is sent. */
START_TEST(long_lists_come_in_parts)
{
	struct conf *c = load("hostname = \"mx.example\"\n");
	struct directory dir = made_up;
	struct router r;
	struct buf out = { 0 };
	struct msg_route m;
	struct msg_resolve ask = {
		.token = 7, .class = CLASS_MX, .rcpt = SLICE_LIT("many@mx.example")
	};
	uint32_t n = 0;
	uint64_t whole = 0;

	dir.alias = many;
	answer_init(&r, c, NULL);
	r.directory = &dir;
	ask_one(&r, &ask, &out, &m);
	ck_assert_uint_eq(m.action, ROUTE_EXPAND);
	ck_assert_uint_eq(m.list.n, 0);
	ask.again = 1;
	do {
		struct slice rest;

		ask.from = n;
		ask_one(&r, &ask, &out, &m);
		ck_assert_uint_eq(m.action, ROUTE_EXPAND);
		ck_assert_uint_eq(m.total, 1000);
		ck_assert_uint_eq(m.first, n);
		ck_assert(n == 0 || m.whole == whole);
		whole = m.whole;
		for (rest = m.list; rest.n > 0; n++) {
			char want[40];
			uint16_t bytes;

			memcpy(&bytes, rest.p, 2);
			snprintf(want, sizeof want, "member%u@else.example", n);
			ck_assert(slice_is(slice_of(rest.p + 2, bytes), want));
			rest = slice_from(rest, 2U + bytes);
		}
		ck_assert_uint_gt(m.list.n, 0);
	} while (n < 1000);
	/* It was put together once for all of its parts; what begins anew is looked up anew. */
	ask.from = 256;
	many_asked = 0;
	ask_one(&r, &ask, &out, &m);
	ck_assert_uint_eq(many_asked, 0);
	ck_assert_uint_eq(m.first, 256);
	ask.from = 0;
	ask_one(&r, &ask, &out, &m);
	ck_assert_uint_gt(many_asked, 0);
	ask.from = 256;
	ask.rcpt = SLICE_LIT("other@mx.example");
	ask_one(&r, &ask, &out, &m);
	ck_assert_int_eq(m.action, ROUTE_REFUSE);
	/* Another configuration: another list, perhaps. */
	answer_conf(&r, c);
	r.directory = &dir;
	ask.rcpt = SLICE_LIT("many@mx.example");
	many_asked = 0;
	ask_one(&r, &ask, &out, &m);
	ck_assert_uint_gt(many_asked, 0);
	ck_assert_uint_eq(m.whole, whole);
	answer_fini(&r);
	buf_fini(&out);
	conf_unref(c);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, each_question_has_its_rule, 0, sizeof rows / sizeof *rows);
	tcase_add_loop_test(tc, without_a_relay_host, 0, sizeof exchangers / sizeof *exchangers);
	tcase_add_test(tc, answers_are_sealed);
	tcase_add_test(tc, long_lists_come_in_parts);
}
CHECK_MAIN("decide", cases)
