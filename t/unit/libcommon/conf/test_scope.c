/* SPDX-License-Identifier: ISC */
#include "conf/scope.h"

#include "../../check_main.h"
#include "base/buf.h"

#include <errno.h>
#include <stdio.h>

static struct conf *
good(const char *text)
{
	struct buf err = { 0 };
	struct conf *c = NULL;

	if (conf_parse(slice_z(text), "x.conf", &c, &err) != 0)
		ck_abort_msg("%.*s", SLICE_ARG(slice_buf(&err)));
	return c;
}

/* One scope of each kind, all of which fit (g, b, d.example), set `concurrency` to their rank. */
static const char *const kinds[] = {
	"group \"g\" { binding \"b\" { domain \"d.example\" { concurrency = 1 } } }\n",
	"binding \"b\" { domain \"d.example\" { concurrency = 2 } }\n",
	"group \"g\" { domain \"d.example\" { concurrency = 3 } }\n",
	"group \"g\" { binding \"b\" { concurrency = 4 } }\n",
	"binding \"b\" { concurrency = 5 }\n",
	"domain \"d.example\" { concurrency = 6 }\n",
	"group \"g\" { concurrency = 7 }\n",
	"concurrency = 8\n",
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/*
 * A file in which the scopes of the set stand. Sections of one name are one section there, so the
 * parts are nested by hand.
 */
static void
write_scopes(struct buf *b, unsigned set)
{
#define IF(kind, text) buf_puts(b, set >> (kind)&1 ? text : "")
	IF(7, "concurrency = 8\n");
	IF(5, "domain \"d.example\" { concurrency = 6 }\n");
	buf_puts(b, "binding \"b\" {\n");
	IF(4, "concurrency = 5\n");
	IF(1, "domain \"d.example\" { concurrency = 2 }\n");
	buf_puts(b, "}\ngroup \"g\" {\n");
	IF(6, "concurrency = 7\n");
	IF(2, "domain \"d.example\" { concurrency = 3 }\n");
	buf_puts(b, "binding \"b\" {\n");
	IF(3, "concurrency = 4\n");
	IF(0, "domain \"d.example\" { concurrency = 1 }\n");
	buf_puts(b, "} }\n");
	buf_putc(b, '\0');
#undef IF
}

START_TEST(each_kind_alone_is_found)
{
	struct conf *c = good(kinds[_i]);

	ck_assert_uint_eq(
	    scope_u64(c, SCOPE_connections, SLICE_LIT("g"), SLICE_LIT("b"), SLICE_LIT("d.example")),
	    (unsigned)_i + 1);
	conf_unref(c);
}
END_TEST

/* All 256 sets of scopes, asked from all eight places. */
START_TEST(most_specific_scope_wins)
{
	for (unsigned place = 0; place < 8; place++) {
		struct slice g = place & 4 ? SLICE_LIT("G") : SLICE_NONE;
		struct slice b = place & 2 ? SLICE_LIT("B") : SLICE_NONE;
		struct slice d = place & 1 ? SLICE_LIT("D.Example.") : SLICE_NONE;
		/* which kinds need what */
		static const unsigned needs[KINDS] = { 7, 3, 5, 6, 2, 1, 4, 0 };
		struct buf text = { 0 };
		struct conf *c;
		unsigned want = 20;

		write_scopes(&text, (unsigned)_i);
		c = good(text.p);
		for (unsigned k = KINDS; k-- > 0;)
			if (((unsigned)_i >> k & 1) && (needs[k] & ~place) == 0)
				want = k + 1;
		ck_assert_uint_eq(scope_u64(c, SCOPE_connections, g, b, d), want);
		ck_assert_uint_eq(scope_values(c, g, b, d)->connections, want);
		buf_fini(&text);
		conf_unref(c);
	}
}
END_TEST

/* A limit set in the parent holds in a child that does not set it, whatever else the child sets. */
START_TEST(unset_in_the_child_limit_in_the_parent)
{
	struct conf *c = good("messages_per_connection = 7\n"
			      "retry_first = 1m\n"
			      "domain \"x.example\" { concurrency = 3 }\n"
			      "binding \"b\" {\n"
			      "\tlife = 1d\n"
			      "\tdomain \"x.example\" { recipients_per_transaction = 2 }\n"
			      "}\n"
			      "group \"g\" {\n"
			      "\tretry_first = 2m\n"
			      "\tbinding \"b\" { domain \"x.example\" { retry_jitter = 0 } }\n"
			      "}\n");
	const struct scope_values *v =
	    scope_values(c, SLICE_LIT("g"), SLICE_LIT("b"), SLICE_LIT("x.example"));

	ck_assert_uint_eq(v->retry_jitter, 0);	      /* group, binding, domain */
	ck_assert_uint_eq(v->rcpts, 2);		      /* binding, domain */
	ck_assert_uint_eq(v->life_ms, 86400000);      /* binding */
	ck_assert_uint_eq(v->connections, 3);	      /* domain */
	ck_assert_uint_eq(v->retry_first_ms, 120000); /* group */
	ck_assert_uint_eq(v->messages, 7);	      /* global */
	ck_assert_uint_eq(v->dot_ms, 600000);	      /* default */
	v = scope_values(c, SLICE_NONE, SLICE_NONE, SLICE_LIT("x.example"));
	ck_assert_uint_eq(v->connections, 3);
	ck_assert_uint_eq(v->rcpts, 100);
	ck_assert_uint_eq(v->retry_first_ms, 60000);
	ck_assert_uint_eq(v->retry_jitter, 10);
	conf_unref(c);
}
END_TEST

/* A value equal to the default is a value. */
START_TEST(set_to_the_default_is_set)
{
	struct conf *c =
	    good("concurrency = 5\ndomain \"x\" { concurrency = 20 }\nretry_jitter = 3\n"
		 "domain \"y\" { retry_jitter = 0 }\n");

	ck_assert_uint_eq(
	    scope_u64(c, SCOPE_connections, SLICE_NONE, SLICE_NONE, SLICE_LIT("x")), 20);
	ck_assert_uint_eq(
	    scope_u64(c, SCOPE_connections, SLICE_NONE, SLICE_NONE, SLICE_LIT("z")), 5);
	ck_assert_uint_eq(
	    scope_u64(c, SCOPE_retry_jitter, SLICE_NONE, SLICE_NONE, SLICE_LIT("y")), 0);
	ck_assert_uint_eq(
	    scope_u64(c, SCOPE_retry_jitter, SLICE_NONE, SLICE_NONE, SLICE_LIT("x")), 3);
	conf_unref(c);
}
END_TEST

START_TEST(parents_of_domains)
{
	static const struct {
		const char *domain;
		unsigned connections, messages;
	} rows[] = {
		{ "example.org", 2,
		    5 }, /* ".example.org" is not example.org, but it is below .org */
		{ "a.example.org", 3, 5 }, /* .example.org, .org for what the nearer does not say */
		{ "b.a.example.org", 3, 5 },
		{ "x.example.org", 4, 5 },
		{ "y.x.example.org", 3, 5 },
		{ "other.org", 20, 5 },
		{ "aexample.org", 20, 5 },
		{ "org", 20, 1000 },
		{ "", 20, 1000 },
		{ ".", 20, 1000 },
		{ "..", 20, 1000 },
		{ ".org", 20, 5 }, /* not a domain; it names the scope itself */
		{ "[192.0.2.1]", 6, 1000 },
	};
	struct conf *c = good("domain \"example.org\" { concurrency = 2 }\n"
			      "domain \".example.org\" { concurrency = 3 }\n"
			      "domain \"X.example.org\" { concurrency = 4 }\n"
			      "domain \".org\" { messages_per_connection = 5 }\n"
			      "domain \"[192.0.2.1]\" { concurrency = 6 }\n");

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct scope_values *v =
		    scope_values(c, SLICE_NONE, SLICE_NONE, slice_z(rows[i].domain));

		ck_assert_msg(v->connections == rows[i].connections, "%s", rows[i].domain);
		ck_assert_msg(v->messages == rows[i].messages, "%s", rows[i].domain);
	}
	conf_unref(c);
}
END_TEST

START_TEST(long_domains_are_borne)
{
	struct conf *c =
	    good("domain \".a\" { concurrency = 3 }\nbinding \"b\" { domain \".a\" { } }\n"
		 "group \"g\" { domain \".a\" { } binding \"b\" { domain \".a\" { } } }\n");
	char dots[4096];

	for (size_t i = 0; i < sizeof dots; i++)
		dots[i] = i % 2 == 0 ? 'a' : '.';
	ck_assert_uint_eq(
	    scope_values(c, SLICE_LIT("g"), SLICE_LIT("b"), slice_of(dots, sizeof dots))
		->connections,
	    3);
	memset(dots, '.', sizeof dots);
	ck_assert_uint_eq(
	    scope_values(c, SLICE_LIT("g"), SLICE_LIT("b"), slice_of(dots, sizeof dots))
		->connections,
	    20);
	conf_unref(c);
}
END_TEST

START_TEST(values_are_shared)
{
	struct conf *c = good("domain \"x.example\" { concurrency = 3 }\nbinding \"b\" { }\n");
	const struct scope_values *any =
	    scope_values(c, SLICE_NONE, SLICE_NONE, SLICE_LIT("a.example"));

	ck_assert_ptr_eq(any, scope_values(c, SLICE_NONE, SLICE_NONE, SLICE_LIT("b.example")));
	ck_assert_ptr_eq(any,
	    scope_values(c, SLICE_LIT("nogroup"), SLICE_LIT("nobinding"), SLICE_LIT("b.example")));
	ck_assert_ptr_ne(any, scope_values(c, SLICE_NONE, SLICE_NONE, SLICE_LIT("x.example")));
	ck_assert_ptr_eq(scope_values(c, SLICE_NONE, SLICE_NONE, SLICE_LIT("X.EXAMPLE")),
	    scope_values(c, SLICE_NONE, SLICE_NONE, SLICE_LIT("x.example")));
	conf_unref(c);
}
END_TEST

static const struct {
	const char *binding, *domain;
	const char *first; /* NULL: no hop */
	size_t n;
	const char *rule;
} routes[] = {
	{ "", "two.example", "192.0.2.1", 2, "domain two.example" },
	{ "", "none.example", NULL, 0, "domain none.example" },
	{ "", "limit.example", "relay.example", 1, "relay_host" }, /* the section sets no route */
	{ "", "a.sub.example", "sub-relay.example", 1, "domain .sub.example" },
	{ "", "other.example", "relay.example", 1, "relay_host" },
	{ "b", "two.example", "2001:db8::1", 1, "binding b domain two.example" },
	{ "b", "none.example", NULL, 0, "domain none.example" },
};

START_TEST(route_of_a_domain)
{
	struct conf *c =
	    good("relay_host = relay.example\n"
		 "domain \"two.example\" { route = { 192.0.2.1, \"b.example:2525\" } }\n"
		 "domain \"none.example\" { route = { } }\n"
		 "domain \"limit.example\" { concurrency = 1 }\n"
		 "domain \".sub.example\" { route = sub-relay.example }\n"
		 "binding \"b\" { domain \"two.example\" { route = \"[2001:db8::1]:25\" } }\n");
	const struct scope_values *v =
	    scope_values(c, SLICE_NONE, slice_z(routes[_i].binding), slice_z(routes[_i].domain));

	ck_assert_uint_eq(v->route.n, routes[_i].n);
	ck_assert_str_eq(v->route_rule, routes[_i].rule);
	if (routes[_i].first != NULL)
		ck_assert_str_eq(v->route.at[0].host, routes[_i].first);
	if (routes[_i].n == 2) {
		ck_assert(v->route.at[0].literal && !v->route.at[1].literal);
		ck_assert_uint_eq(v->route.at[0].port, 25);
		ck_assert_uint_eq(v->route.at[1].port, 2525);
	}
	conf_unref(c);
}
END_TEST

START_TEST(no_route_at_all)
{
	struct conf *c = good("");
	const struct scope_values *v =
	    scope_values(c, SLICE_NONE, SLICE_NONE, SLICE_LIT("a.example"));

	ck_assert_uint_eq(v->route.n, 0);
	ck_assert_str_eq(v->route_rule, "");
	conf_unref(c);
}
END_TEST

static void
add_hops(void *arg, const struct conf_hops *route)
{
	*(size_t *)arg += 100 + route->n;
}

START_TEST(each_route_is_listed)
{
	struct conf *c = good(
	    "domain \"a\" { route = { x, y } }\ndomain \"b\" { route = { } }\ndomain \"c\" { }\n"
	    "group \"g\" { binding \"b\" { domain \"a\" { route = z } } }\n");
	size_t sum = 0;

	conf_each_route(c, add_hops, &sum);
	ck_assert_uint_eq(sum, 303);
	conf_unref(c);
}
END_TEST

START_TEST(groups_know_their_members)
{
	struct conf *c = good(
	    "group \"g\" {\n\tbinding \"one\" { source = 192.0.2.1 }\n\tbinding \"two\" { }\n}\n"
	    "group \"h\" { binding \"TWO\" { } }\n"
	    "binding \"two\" { source = \"[2001:db8::2]\" }\n"
	    "binding \"three\" { }\n");
	const struct conf_group *g = conf_group(c, SLICE_LIT("G")),
				*h = conf_group(c, SLICE_LIT("h"));

	ck_assert_uint_eq(c->nbinding, 3);
	ck_assert_uint_eq(c->ngroup, 2);
	ck_assert(g != NULL && g->nmember == 2);
	ck_assert(h != NULL && h->nmember == 1);
	ck_assert_ptr_eq(g->member[1], conf_binding(c, SLICE_LIT("two")));
	ck_assert_ptr_eq(h->member[0], g->member[1]);
	ck_assert(g->member[0]->source.set && g->member[1]->source.set);
	ck_assert_uint_eq(g->member[0]->source.host[15], 1);
	ck_assert(!conf_binding(c, SLICE_LIT("three"))->source.set);
	ck_assert_ptr_null(conf_binding(c, SLICE_LIT("four")));
	ck_assert_ptr_null(conf_group(c, SLICE_NONE));
	conf_unref(c);
}
END_TEST

static const struct {
	const char *key, *group, *binding, *domain, *value, *scope;
	unsigned line;
} evals[] = {
	{ "concurrency", "", "", "", "9", "global", 2 },
	{ "concurrency", "", "", "a.example", "8", "domain a.example", 3 },
	{ "concurrency", "g", "b", "a.example", "8", "domain a.example", 3 },
	{ "concurrency", "g", "b", "z.example", "7", "group g", 8 },
	{ "retry_first", "g", "b", "a.example", "90s", "group g binding b domain a.example", 10 },
	{ "retry_first", "", "b", "a.example", "20m", "default", 0 },
	{ "source", "", "b", "", "192.0.2.1", "binding b", 6 },
	{ "source", "", "", "", "", "default", 0 },
	{ "recipients_max", "g", "b", "a.example", "200", "global", 1 },
	{ "message_size_limit", "", "", "", "52428800", "default", 0 },
	{ "relay_networks", "", "", "", "127.0.0.0/8, [::1]/128", "default", 0 },
	{ "hostname", "", "", "", "n.example", "default", 0 },
	{ "route", "", "", "a.example", "x, y:26", "domain a.example", 4 },
	{ "route", "", "", "b.example", "r.example", "relay_host", 11 },
};

START_TEST(eval_names_what_won)
{
	struct conf *c = good("recipients_max = 200\n"
			      "concurrency = 9\n"
			      "domain \"a.example\" { concurrency = 8\n"
			      "route = { x, \"y:26\" }\n"
			      "}\n"
			      "binding \"b\" { source = 192.0.2.1 }\n"
			      "group \"g\" {\n"
			      "concurrency = 7\n"
			      "binding \"b\" { domain \"a.example\" {\n"
			      "retry_first = 90s } } }\n"
			      "relay_host = r.example\n"
			      "#@ file /etc/angarium/angarium.conf\n#@ node n.example\n");
	struct conf_eval e = { 0 };

	ck_assert_int_eq(conf_eval(c, evals[_i].key, slice_z(evals[_i].group),
			     slice_z(evals[_i].binding), slice_z(evals[_i].domain), &e),
	    0);
	ck_assert_str_eq(e.file, "/etc/angarium/angarium.conf");
	ck_assert_msg(
	    slice_is(slice_buf(&e.value), evals[_i].value), "%.*s", SLICE_ARG(slice_buf(&e.value)));
	ck_assert_msg(
	    slice_is(slice_buf(&e.scope), evals[_i].scope), "%.*s", SLICE_ARG(slice_buf(&e.scope)));
	ck_assert_uint_eq(e.line, evals[_i].line);
	conf_eval_fini(&e);
	conf_unref(c);
}
END_TEST

struct eval_all {
	const struct conf *c;
	unsigned n;
};

static void
eval_key(void *arg, const char *key)
{
	struct eval_all *all = arg;
	struct conf_eval e = { 0 };

	ck_assert_int_eq(conf_eval(all->c, key, SLICE_NONE, SLICE_NONE, SLICE_NONE, &e), 0);
	ck_assert(slice_is(slice_buf(&e.scope), "default"));
	conf_eval_fini(&e);
	all->n++;
}

START_TEST(eval_knows_each_key_and_no_other)
{
	struct conf *c = good("");
	struct eval_all all = { c, 0 };
	struct conf_eval e = { 0 };

	conf_each_key(eval_key, &all);
	ck_assert_uint_ge(all.n, 40);
	ck_assert_int_eq(conf_eval(c, "nonsense", SLICE_NONE, SLICE_NONE, SLICE_NONE, &e), -ENOENT);
	conf_eval_fini(&e);
	conf_unref(c);
}
END_TEST

/* Tables grow, names collide in them. */
START_TEST(many_scopes)
{
	enum { MANY = 5000 };
	struct buf text = { 0 };
	struct conf *c;

	for (unsigned i = 0; i < MANY; i++)
		buf_printf(&text, "domain \"d%u.example\" { concurrency = %u }\n", i, i + 1);
	buf_putc(&text, '\0');
	c = good(text.p);
	for (unsigned i = 0; i < MANY; i++) {
		char name[32];

		snprintf(name, sizeof name, "D%u.example", i);
		ck_assert_uint_eq(
		    scope_values(c, SLICE_NONE, SLICE_NONE, slice_z(name))->connections, i + 1);
	}
	buf_fini(&text);
	conf_unref(c);
}
END_TEST

START_TEST(buckets_of_all_scopes_add_up)
{
	struct conf *c = good("bucket \"all\" { message_rate = \"5000/1h burst 7\" }\n"
			      "bucket \"one\" { connections = 4\nconnection_rate = 90/1m }\n"
			      "bucket \"two\" { recipients_per_transaction = 3 }\n"
			      "buckets = all\n"
			      "domain \"d.example\" { buckets = { one } }\n"
			      "group \"g\" {\n"
			      "\tbuckets = { two, all }\n"
			      "}\n");
	const struct conf_buckets *n =
	    &scope_values(c, SLICE_LIT("g"), SLICE_NONE, SLICE_LIT("d.example"))->buckets;
	const struct conf_bucket *b = conf_bucket(c, SLICE_LIT("all"));
	struct conf_eval e = { 0 };

	ck_assert_uint_eq(n->n, 3);
	ck_assert_str_eq(n->at[0], "one");
	ck_assert_str_eq(n->at[1], "two");
	ck_assert_str_eq(n->at[2], "all");
	n = &scope_values(c, SLICE_NONE, SLICE_NONE, SLICE_LIT("e.example"))->buckets;
	ck_assert_uint_eq(n->n, 1);
	ck_assert_ptr_null(conf_bucket(c, SLICE_LIT("none")));
	ck_assert_uint_eq(b->message_rate.count, 5000);
	ck_assert_uint_eq(b->message_rate.period_ms, 3600000);
	ck_assert_uint_eq(b->message_rate.burst, 7);
	ck_assert_uint_eq(b->connections, 0);
	b = conf_bucket(c, SLICE_LIT("one"));
	ck_assert_uint_eq(b->connections, 4);
	ck_assert_uint_eq(b->connection_rate.burst, 0); /* not said */
	ck_assert_uint_eq(b->message_rate.count, 0);
	ck_assert_int_eq(
	    conf_eval(c, "buckets", SLICE_LIT("g"), SLICE_NONE, SLICE_LIT("d.example"), &e), 0);
	ck_assert_msg(
	    slice_is(slice_buf(&e.value), "one, two, all"), "%.*s", SLICE_ARG(slice_buf(&e.value)));
	ck_assert_uint_eq(e.line, 6);
	ck_assert_msg(
	    slice_is(slice_buf(&e.scope), "domain d.example, group g (line 8), global (line 5)"),
	    "%.*s", SLICE_ARG(slice_buf(&e.scope)));
	conf_eval_fini(&e);
	conf_unref(c);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, each_kind_alone_is_found, 0, KINDS);
	tcase_add_loop_test(tc, most_specific_scope_wins, 0, 1 << KINDS);
	tcase_add_test(tc, buckets_of_all_scopes_add_up);
	tcase_add_test(tc, unset_in_the_child_limit_in_the_parent);
	tcase_add_test(tc, set_to_the_default_is_set);
	tcase_add_test(tc, parents_of_domains);
	tcase_add_test(tc, long_domains_are_borne);
	tcase_add_test(tc, values_are_shared);
	tcase_add_loop_test(tc, route_of_a_domain, 0, sizeof routes / sizeof *routes);
	tcase_add_test(tc, no_route_at_all);
	tcase_add_test(tc, each_route_is_listed);
	tcase_add_test(tc, groups_know_their_members);
	tcase_add_loop_test(tc, eval_names_what_won, 0, sizeof evals / sizeof *evals);
	tcase_add_test(tc, eval_knows_each_key_and_no_other);
	tcase_add_test(tc, many_scopes);
}

CHECK_MAIN("scope", cases)
