/* SPDX-License-Identifier: ISC */
#include "conf/conf.h"

#include "../../check_main.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/service.h"
#include "conf/scope.h"
#include "conf/value.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* What must be refused, and the words of the refusal. */
static const struct {
	const char *text, *message;
} bad[] = {
	{ "nonsense = 1\n", "x.conf:1: no such option 'nonsense'" },
	{ "\n\n  nonsense = 1\n", "x.conf:3: no such option 'nonsense'" },
	{ "domain \"a.example\" {\n\tnonsense = 1\n}\n", "x.conf:2: no such option 'nonsense'" },
	/* keys in sections where they do not hold */
	{ "hostname = a.example\ndomain \"a.example\" {\nhostname = b\n}\n",
	    "x.conf:3: no such option 'hostname'" },
	{ "route = \"a.example\"\n", "x.conf:1: no such option 'route'" },
	{ "binding \"b\" {\nroute = a\n}\n", "x.conf:2: no such option 'route'" },
	{ "group \"g\" {\nsource = 192.0.2.1\n}\n", "x.conf:2: no such option 'source'" },
	/* numbers */
	{ "recipients_max = 10x\n", "x.conf:1: recipients_max: \"10x\" is not a number" },
	{ "recipients_max = -5\n", "x.conf:1: recipients_max: \"-5\" is not a number" },
	{ "recipients_max = 99999999999999999999\n",
	    "x.conf:1: recipients_max: \"99999999999999999999\" is not a number" },
	{ "recipients_max = 99\n",
	    "x.conf:1: recipients_max: \"99\" is not between 100 and 100000" },
	{ "recipients_max = 100001\n",
	    "x.conf:1: recipients_max: \"100001\" is not between 100 and 100000" },
	{ "command_line_max = 511\n",
	    "x.conf:1: command_line_max: \"511\" is not between 512 and 65536" },
	{ "message_size_limit = 2G\n",
	    "x.conf:1: message_size_limit: \"2G\" is not between 64K and 1G" },
	{ "message_size_limit = 10Q\n",
	    "x.conf:1: message_size_limit: \"10Q\" is not a size (such as 64K, 10M, 1G)" },
	{ "message_size_limit = 18446744073709551615G\n",
	    "x.conf:1: message_size_limit: \"18446744073709551615G\" is not a size (such as 64K, "
	    "10M, 1G)" },
	{ "life = 5\n",
	    "x.conf:1: life: \"5\" is not a duration (such as 5ms, 30s, 20m, 1h30m, 5d)" },
	{ "life = 5y\n",
	    "x.conf:1: life: \"5y\" is not a duration (such as 5ms, 30s, 20m, 1h30m, 5d)" },
	{ "life = 99999999999999999w\n", "x.conf:1: life: \"99999999999999999w\" is not a duration "
					 "(such as 5ms, 30s, 20m, 1h30m, 5d)" },
	{ "retry_first = 100ms\n", "x.conf:1: retry_first: \"100ms\" is not between 1s and 30d" },
	{ "log_level = loud\n",
	    "x.conf:1: log_level: \"loud\" is not a level (debug, info, notice, warning, error)" },
	/* names, paths */
	{ "hostname = \"\"\n", "x.conf:1: hostname: \"\" is not a host name" },
	{ "hostname = \"a b\"\n", "x.conf:1: hostname: \"a b\" is not a host name" },
	{ "hostname = a..b\n", "x.conf:1: hostname: \"a..b\" is not a host name" },
	{ "hostname = \"a\\r\\nb\"\n", "x.conf:1: hostname: \"a\?\?b\" is not a host name" },
	{ "run_dir = run\n", "x.conf:1: run_dir: \"run\" is not an absolute path" },
	{ "sandbox_off = { qmgr, nobody }\n",
	    "x.conf:1: sandbox_off: \"nobody\" is not a service" },
	{ "relay_domains = { \"a.example\",\n \"b example\" }\n",
	    "x.conf:2: relay_domains: \"b example\" is not a domain" },
	/* addresses */
	{ "relay_networks = 10.0.0.0/33\n", "x.conf:1: relay_networks: \"10.0.0.0/33\" is not a "
					    "network (such as 192.0.2.0/24, [2001:db8::]/32)" },
	{ "relay_networks = 10.0.0.1/8\n", "x.conf:1: relay_networks: \"10.0.0.1/8\" is not a "
					   "network (such as 192.0.2.0/24, [2001:db8::]/32)" },
	{ "relay_networks = \"2001:db8::/129\"\n",
	    "x.conf:1: relay_networks: \"2001:db8::/129\" is not a network (such as 192.0.2.0/24, "
	    "[2001:db8::]/32)" },
	{ "relay_host = \"2001:db8::1\"\n",
	    "x.conf:1: relay_host: \"2001:db8::1\" is not a next hop "
	    "(such as host, host:25, 192.0.2.1:25, [2001:db8::1]:25)" },
	{ "relay_host = \"a.example:0\"\n",
	    "x.conf:1: relay_host: \"a.example:0\" is not a next hop "
	    "(such as host, host:25, 192.0.2.1:25, [2001:db8::1]:25)" },
	{ "relay_host = \"[a.example]:25\"\n",
	    "x.conf:1: relay_host: \"[a.example]:25\" is not a next hop "
	    "(such as host, host:25, 192.0.2.1:25, [2001:db8::1]:25)" },
	{ "relay_host = 127.0.0.256\n", "x.conf:1: relay_host: \"127.0.0.256\" is not a next hop "
					"(such as host, host:25, 192.0.2.1:25, [2001:db8::1]:25)" },
	{ "alias_file = aliases\n", "x.conf:1: alias_file: \"aliases\" is not an absolute path" },
	{ "local_users = passwd\n",
	    "x.conf:1: local_users: \"passwd\" is not nss or an absolute path" },
	{ "postmaster = root\n", "x.conf:1: postmaster: \"root\" is not a mail address" },
	{ "recipient_delimiter = \"+@\"\n",
	    "x.conf:1: recipient_delimiter: \"+@\" is not at most eight of + - _ = . # % & ! ~" },
	{ "local_transport = \"lmtp:unix:run\"\n",
	    "x.conf:1: local_transport: \"lmtp:unix:run\" is not local, lmtp:unix:/path or "
	    "lmtp:host:port" },
	{ "local_transport = smtp\n", "x.conf:1: local_transport: \"smtp\" is not local, "
				      "lmtp:unix:/path or lmtp:host:port" },
	{ "binding \"b\" {\nsource = a.example\n}\n",
	    "x.conf:2: source: \"a.example\" is not an address" },
	{ "listen \"a\" {\naddress = 127.0.0.1\n}\n",
	    "x.conf:2: address: \"127.0.0.1\" is not an address with "
	    "a port (such as 127.0.0.1:25, [::1]:25)" },
	{ "domain \"d\" { route = { a, a, a, a, a, a, a, a,\na } }\n",
	    "x.conf:2: route: more than 8 elements" },
	/* twice */
	{ "life = 5d\n\nlife = 6d\n", "x.conf:3: life was set in line 1 already" },
	{ "relay_domains = { a, b }\nrelay_domains = { c }\n",
	    "x.conf:2: relay_domains was set in line 1 already" },
	{ "relay_domains = { }\nrelay_domains = { c }\n",
	    "x.conf:2: relay_domains was set in line 1 already" },
	{ "domain \"a\" { }\ndomain \"a\" { }\n", "x.conf:2: found duplicate title 'a'" },
	{ "domain \"a.b\" { }\ndomain \"A.B\" { }\n",
	    "x.conf:2: domain \"A.B\" stands here twice" },
	{ "binding \"a\" { }\nbinding \"A\" { }\n", "x.conf:2: binding \"A\" stands here twice" },
	{ "group \"a\" { }\ngroup \"A\" { }\n", "x.conf:2: group \"A\" stands here twice" },
	{ "binding \"b\" { source = 192.0.2.1 }\ngroup \"g\" { binding \"b\" {\nsource = 192.0.2.2 "
	  "} }\n",
	    "x.conf:3: source of binding \"b\" was set in line 1 already" },
	/* sections */
	{ "listen \"a\" {\nclass = mx\n}\n", "x.conf:3: listen \"a\" has no address" },
	{ "listen \"a\" {\naddress = { }\n}\n", "x.conf:3: listen \"a\" has no address" },
	{ "listen \"a\" {\nclass = local\naddress = 192.0.2.1:25\n}\n",
	    "x.conf:4: listen \"a\": class local is for loopback addresses only" },
	{ "listen \"a\" { address = 127.0.0.1:25 }\nlisten \"b\" { address = 127.0.0.1:25 }\n",
	    "x.conf:2: listen \"b\": \"a\" has this address too" },
	{ "listen \"a/b\" {\naddress = 127.0.0.1:25\n}\n",
	    "x.conf:3: listen \"a/b\": a name is 1 to 63 letters, digits, '-', '_' and '.'" },
	{ "group \"\" { }\n",
	    "x.conf:1: group \"\": a name is 1 to 63 letters, digits, '-', '_' and '.'" },
	{ "domain a.example { pool = b }\nbinding \"b\" { domain b.example {\npool = c\n} }\n"
	  "group \"g\" {\n domain c.example { pool = d }\n}\n",
	    "x.conf:3: pool: there is no binding or group \"c\"" },
	{ "domain a.example {\npool = \"a b\"\n}\n",
	    "x.conf:2: pool: \"a b\" is not the name of a binding or group" },
	{ "listen \"a\" {\naddress = \"127.0.0.1:25\"\npriority = 10\n}\n",
	    "x.conf:3: priority: \"10\" is not a priority from -9 to 9" },
	{ "listen \"a\" {\npriority = \"-0\"\n}\n",
	    "x.conf:2: priority: \"-0\" is not a priority from -9 to 9" },
	{ "group \"g\" {\nbinding \"..\" { }\n}\n",
	    "x.conf:2: binding \"..\": a name is 1 to 63 letters, digits, '-', '_' and '.'" },
	{ "domain \"a b\" { }\n", "x.conf:1: domain \"a b\": this is not a domain" },
	{ "domain \"*\" { }\n", "x.conf:1: domain \"*\": this is not a domain" },
	{ "bucket \"b\" {\nmessage_rate = 10\n}\n",
	    "x.conf:2: message_rate: \"10\" is not a rate (such as 100/1m, \"5000/1h burst 50\", "
	    "none)" },
	{ "message_rate = 0/1m\n", "x.conf:1: message_rate: \"0/1m\" is not a rate "
				   "(such as 100/1m, \"5000/1h burst 50\", none)" },
	{ "message_rate = 5/5\n", "x.conf:1: message_rate: \"5/5\" is not a rate "
				  "(such as 100/1m, \"5000/1h burst 50\", none)" },
	{ "message_rate = 5/32d\n", "x.conf:1: message_rate: \"5/32d\" is not a rate "
				    "(such as 100/1m, \"5000/1h burst 50\", none)" },
	{ "message_rate = 10000001/1h\n", "x.conf:1: message_rate: \"10000001/1h\" is not a rate "
					  "(such as 100/1m, \"5000/1h burst 50\", none)" },
	{ "message_rate = \"5/1m burst 0\"\n",
	    "x.conf:1: message_rate: \"5/1m burst 0\" is not a rate "
	    "(such as 100/1m, \"5000/1h burst 50\", none)" },
	{ "client_message_rate = \"5/1m 5\"\n",
	    "x.conf:1: client_message_rate: \"5/1m 5\" is not a rate "
	    "(such as 100/1m, \"5000/1h burst 50\", none)" },
	{ "bucket \"b\" {\nconnections = 0\n}\n",
	    "x.conf:2: connections: \"0\" is not between 1 and 100000" },
	{ "bucket \"b\" {\n}\n", "x.conf:2: bucket \"b\" limits nothing" },
	{ "bucket \"b c\" { connections = 1 }\n",
	    "x.conf:1: bucket \"b c\": a name is 1 to 63 letters, digits, '-', '_' and '.'" },
	{ "bucket \"b\" { connections = 1 }\nbucket \"b\" { connections = 1 }\n",
	    "x.conf:2: found duplicate title 'b'" },
	{ "bucket \"b\" { concurrency = 1 }\n", "x.conf:1: no such option 'concurrency'" },
	{ "bucket \"b\" { connections = 1 }\ndomain \"d\" {\nlife = 1d\nbuckets = { b, c }\n}\n",
	    "x.conf:4: buckets: there is no bucket \"c\"" },
	{ "bucket \"b\" { connections = 1 }\nbuckets = { b, b }\n",
	    "x.conf:2: buckets: \"b\" stands here twice" },
	{ "buckets = { \"a b\" }\n", "x.conf:1: buckets: \"a b\" is not a bucket's name" },
	{ "domain { }\n", "x.conf:1: missing title for section 'domain'" },
	/* grammar */
	{ "life = 5d\nlife", "x.conf:2: premature end of file" },
	{ "\ndomain \"a\" {\nlife = 5d\n",
	    "x.conf:2: this '{' is not closed" }, /* a file cut short */
	{ "relay_domains = {\na,\n", "x.conf:1: this '{' is not closed" },
	{ "domain \"a\" { route = {{{{{{{{{ } }\n", "x.conf:1: braces are nested too deep" },
	{ "life 5d\n", "x.conf:1: missing equal sign after option 'life'" },
	{ "}\n", "x.conf:1: unexpected closing brace" },
	{ "hostname = \"abc\nlife = 5d\n", "x.conf:1: a string is not closed in its line" },
	{ "hostname = 'abc\n", "x.conf:1: a string is not closed in its line" },
	{ "hostname = \"abc\\", "x.conf:1: a string is not closed in its line" },
	{ "\nrelay_domains += { a }\n",
	    "x.conf:2: \"+=\" is not known: write the whole list with \"=\"" },
	{ "hostname = ${HOME}\n", "x.conf:1: variables of the environment are not known here" },
	{ "hostname = \"${HOME}\"\n", "x.conf:1: variables of the environment are not known here" },
	{ "/* old style */ life = 5d\n", "x.conf:1: comments begin with '#'" },
	{ "life = 5d\n// old style\n", "x.conf:2: comments begin with '#'" },
	{ "relay_domains = *\n", "x.conf:1: '*' must stand in quotes" },
	{ "include(\"/etc/passwd\")\n", "x.conf:1: parentheses must stand in quotes" },
	/* A text that ends as generations do names the file it came from, and ends before those
	   lines. */
	{ "\nnonsense = 1\n#@ file /etc/y.conf\n", "/etc/y.conf:2: no such option 'nonsense'" },
	{ "life\n#@ file /etc/y.conf\n#@ node n\n", "/etc/y.conf:2: premature end of file" },
};

START_TEST(bad_is_refused_by_file_and_line)
{
	struct buf err = { 0 };
	struct conf *c = NULL;
	int rc = conf_parse(slice_z(bad[_i].text), "x.conf", &c, &err);

	buf_putc(&err, '\0');
	ck_assert_str_eq(err.p, bad[_i].message);
	ck_assert_int_eq(rc, -EINVAL);
	ck_assert_ptr_null(c);
	buf_fini(&err);
}
END_TEST

static struct conf *
good(const char *text)
{
	struct buf err = { 0 };
	struct conf *c = NULL;

	if (conf_parse(slice_z(text), "x.conf", &c, &err) != 0)
		ck_abort_msg("%.*s", SLICE_ARG(slice_buf(&err)));
	ck_assert_uint_eq(err.n, 0);
	return c;
}

START_TEST(nul_byte_is_refused)
{
	static const char text[] = "life = 5d\n\0nonsense\n";
	struct buf err = { 0 };
	struct conf *c;

	ck_assert_int_eq(conf_parse(slice_of(text, sizeof text - 1), "x.conf", &c, &err), -EINVAL);
	ck_assert(slice_is(slice_buf(&err), "x.conf:2: a NUL byte"));
	buf_fini(&err);
}
END_TEST

START_TEST(empty_file_gives_the_defaults)
{
	struct conf *c = good("");

	ck_assert_uint_eq(c->message_size_limit, 52428800);
	ck_assert_uint_eq(c->recipients_max, 1000);
	ck_assert_uint_eq(c->command_timeout_ms, 300000);
	ck_assert_uint_eq(c->in_flight_bytes, 256 << 20);
	ck_assert_uint_eq(c->journal_hold_ms, 100);
	ck_assert_uint_eq(c->failed_keep_ms, 5 * 86400000ULL);
	ck_assert_uint_eq(c->log_level, LEVEL_INFO);
	ck_assert_uint_eq(c->sandbox_off, 0);
	ck_assert_str_eq(c->run_dir, "/run/angarium");
	ck_assert_str_eq(c->myorigin, c->hostname);
	ck_assert(value_is_name(slice_z(c->hostname)));
	ck_assert_uint_eq(c->relay_networks.n, 2);
	ck_assert_uint_eq(c->relay_domains.n, 0);
	ck_assert_uint_eq(c->relay_host.n, 0);
	ck_assert_uint_eq(c->nlisten + c->nbinding + c->ngroup, 0);
	ck_assert_uint_eq(c->generation, 0);
	conf_unref(c);
}
END_TEST

START_TEST(values_arrive_in_their_fields)
{
	struct conf *c = good("hostname = mx.example.org # a comment\n"
			      "message_size_limit = 20M\n"
			      "command_timeout = \"1m30s\"\n"
			      "log_level = Warning\n"
			      "id_base = 70000\n"
			      "sandbox_off = { qmgr, smtpd-keys }\n"
			      "relay_domains = { # one to a line\n"
			      "\t\"example.org\", # with words\n"
			      "\t'.Example.com',\n"
			      "}\n"
			      "relay_networks = { 10.0.0.0/8, \"[2001:db8::]/32\", 192.0.2.7 }\n"
			      "relay_host = \"[2001:db8::1]:2525\"\n"
			      "run_dir = '/a//b c'\r\n"
			      "listen \"in\" { class = submission address = { \"127.0.0.1:2587\", "
			      "\"[::1]:2587\" } }\n"
			      "listen \"x\" { address = 127.0.0.1:2525 priority = -3 }\n");

	ck_assert_str_eq(c->hostname, "mx.example.org");
	ck_assert_str_eq(c->myorigin, "mx.example.org");
	ck_assert_uint_eq(c->message_size_limit, 20 << 20);
	ck_assert_uint_eq(c->command_timeout_ms, 90000);
	ck_assert_uint_eq(c->log_level, LEVEL_WARNING);
	ck_assert_uint_eq(c->id_base, 70000);
	ck_assert_uint_eq(c->sandbox_off, 1U << SERVICE_QMGR | 1U << SERVICE_KEYS);
	ck_assert_uint_eq(c->relay_domains.n, 2);
	ck_assert_str_eq(c->relay_domains.at[1], ".Example.com");
	ck_assert_uint_eq(c->relay_networks.n, 3);
	ck_assert_uint_eq(c->relay_networks.at[0].bits, 104);
	ck_assert_uint_eq(c->relay_networks.at[1].bits, 32);
	ck_assert_uint_eq(c->relay_networks.at[2].bits, 128);
	ck_assert_uint_eq(c->relay_host.n, 1);
	ck_assert_str_eq(c->relay_host.at[0].host, "2001:db8::1");
	ck_assert_uint_eq(c->relay_host.at[0].port, 2525);
	ck_assert(c->relay_host.at[0].literal);
	ck_assert_str_eq(c->run_dir, "/a//b c");
	ck_assert_uint_eq(c->nlisten, 2);
	ck_assert_str_eq(c->listen[0].name, "in");
	ck_assert_uint_eq(c->listen[0].origin, CLASS_SUBMISSION);
	ck_assert_uint_eq(c->listen[0].at.n, 2);
	ck_assert_uint_eq(c->listen[0].at.at[1].port, 2587);
	ck_assert_uint_eq(c->listen[1].origin, CLASS_MX);
	ck_assert_int_eq(c->listen[0].priority, 0);
	ck_assert_int_eq(c->listen[1].priority, -3);
	conf_unref(c);
}
END_TEST

START_TEST(empty_list_is_not_the_default)
{
	struct conf *c = good("relay_networks = {\n\n}\nrelay_host = \"\"\n");
	struct conf_eval e = { 0 };

	ck_assert_uint_eq(c->relay_networks.n, 0);
	ck_assert_uint_eq(c->relay_host.n, 0);
	ck_assert_int_eq(conf_eval(c, "relay_networks", SLICE_NONE, SLICE_NONE, SLICE_NONE, &e), 0);
	ck_assert_uint_eq(e.line, 3);
	ck_assert_uint_eq(e.value.n, 0);
	conf_eval_fini(&e);
	conf_unref(c);
}
END_TEST

START_TEST(where_local_mail_goes)
{
	struct conf *c = good("hostname = h.example\nmyorigin = o.example\n");
	struct conf_eval e = { 0 };

	ck_assert(conf_in_domains(&c->local_domains, SLICE_LIT("H.example")));
	ck_assert(conf_in_domains(&c->local_domains, SLICE_LIT("o.example")));
	ck_assert(conf_in_domains(&c->local_domains, SLICE_LIT("localhost")));
	ck_assert_uint_eq(c->local_domains.n, 3);
	ck_assert_int_eq(conf_eval(c, "local_domains", SLICE_NONE, SLICE_NONE, SLICE_NONE, &e), 0);
	ck_assert(slice_is(slice_buf(&e.value), "h.example, o.example, localhost"));
	conf_eval_fini(&e);
	ck_assert_str_eq(c->alias_file, "/etc/aliases");
	ck_assert_str_eq(c->alias_database, "/etc/aliases.db");
	ck_assert_str_eq(c->recipient_delimiter, "+");
	ck_assert_ptr_null(c->local_users);
	ck_assert_ptr_null(c->postmaster);
	ck_assert_ptr_null(c->virtual_table);
	ck_assert(!c->local_transport.lmtp);
	conf_unref(c);

	c = good("local_domains = { }\nalias_file = \"\"\nlocal_users = /etc/u\n"
		 "recipient_delimiter = \"\"\nlocal_transport = \"lmtp:unix:/run/l\"\n");
	ck_assert_uint_eq(c->local_domains.n, 0);
	ck_assert_ptr_null(c->alias_file);
	ck_assert_ptr_null(c->alias_database);
	ck_assert_ptr_null(c->recipient_delimiter);
	ck_assert_str_eq(c->local_users, "/etc/u");
	ck_assert(c->local_transport.lmtp);
	ck_assert_str_eq(c->local_transport.path, "/run/l");
	conf_unref(c);

	c = good("local_transport = \"lmtp:[::1]\"\n");
	ck_assert(c->local_transport.lmtp);
	ck_assert_ptr_null(c->local_transport.path);
	ck_assert_str_eq(c->local_transport.hop.host, "::1");
	ck_assert_uint_eq(c->local_transport.hop.port, 24);
	conf_unref(c);
}
END_TEST

static const struct {
	const char *text, *hostname, *myorigin;
} names[] = {
	{ "#@ node n.example\n#@ mailname m.example\n", "n.example", "m.example" },
	{ "#@ node n.example\n", "n.example", "n.example" },
	{ "#@ node bad name\n#@ mailname bad name\n", "localhost", "localhost" },
	{ "hostname = h.example\n#@ node n.example\n#@ mailname m.example\n", "h.example",
	    "m.example" },
	{ "myorigin = o.example\n#@ node n.example\n#@ mailname m.example\n", "n.example",
	    "o.example" },
	{ "#@ node old.example\n#@ node new.example\n", "new.example", "new.example" },
	/* Only at the end of the text. */
	{ "#@ mailname m.example\nhostname = h.example\n", "h.example", "h.example" },
};

START_TEST(names_come_from_the_publisher)
{
	struct conf *c = good(names[_i].text);

	ck_assert_str_eq(c->hostname, names[_i].hostname);
	ck_assert_str_eq(c->myorigin, names[_i].myorigin);
	conf_unref(c);
}
END_TEST

START_TEST(networks_match)
{
	static const struct {
		const char *host;
		bool in;
	} hosts[] = { { "10.1.2.3", true }, { "11.1.2.3", false }, { "2001:db8:ffff::1", true },
		{ "2001:db9::1", false }, { "192.0.2.7", true }, { "192.0.2.6", false },
		{ "::ffff:10.0.0.1", true }, { "::10.0.0.1", false } };
	struct conf *c = good("relay_networks = { 10.0.0.0/8, \"[2001:db8::]/32\", 192.0.2.7 }\n");

	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
		uint8_t host[16];

		ck_assert(addr_host_parse(slice_z(hosts[i].host), host));
		ck_assert_msg(
		    conf_in_nets(&c->relay_networks, host) == hosts[i].in, "%s", hosts[i].host);
	}
	conf_unref(c);
}
END_TEST

START_TEST(domains_match)
{
	static const struct {
		const char *domain;
		bool in;
	} domains[] = { { "example.org", true }, { "EXAMPLE.ORG.", true },
		{ "a.example.org", false }, { "example.com", false }, { "a.Example.com", true },
		{ "a.b.example.com", true }, { "aexample.com", false }, { ".example.com", false },
		{ "", false }, { ".", false } };
	struct conf *c = good("relay_domains = { example.org, .example.com }\n");

	for (size_t i = 0; i < sizeof domains / sizeof *domains; i++)
		ck_assert_msg(
		    conf_in_domains(&c->relay_domains, slice_z(domains[i].domain)) == domains[i].in,
		    "%s", domains[i].domain);
	conf_unref(c);
}
END_TEST

START_TEST(last_reference_frees)
{
	struct conf *c = good("life = 5d\n");
	const struct conf *same = conf_ref(c);

	ck_assert_ptr_eq(same, c);
	conf_unref(c);
	ck_assert_uint_eq(same->recipients_max, 1000); /* the sanitizer watches */
	conf_unref(same);
	conf_unref(NULL);
}
END_TEST

START_TEST(two_configurations_do_not_mix)
{
	struct conf *a = good("recipients_max = 200\nbinding \"x\" { }\n");
	struct conf *b = good("recipients_max = 300\n");

	ck_assert_uint_eq(a->recipients_max, 200);
	ck_assert_uint_eq(b->recipients_max, 300);
	ck_assert_ptr_nonnull(conf_binding(a, SLICE_LIT("X")));
	ck_assert_ptr_null(conf_binding(b, SLICE_LIT("x")));
	conf_unref(a);
	ck_assert_str_eq(b->run_dir, "/run/angarium");
	conf_unref(b);
}
END_TEST

static void
check_rows(const struct value_row *rows)
{
	for (const struct value_row *row = rows; row->key != NULL; row++) {
		struct arena a = { 0 };
		struct buf why = { 0 };
		struct value *v;

		value_default(row, &a, &v, &why);
		ck_assert_msg(why.n == 0, "%s: %.*s", row->key, SLICE_ARG(slice_buf(&why)));
		/* No key stands in two tables, unless it is the same one. */
		ck_assert(value_row(row->key) == row || rows == value_bucket_rows);
		ck_assert_int_eq(value_row(row->key)->type, row->type);
		ck_assert_uint_eq(value_row(row->key)->min, row->min);
		ck_assert_uint_eq(value_row(row->key)->max, row->max);
		arena_fini(&a);
	}
}

START_TEST(every_default_passes_its_own_check)
{
	check_rows(value_conf_rows);
	check_rows(value_scope_rows);
	check_rows(value_binding_rows);
	check_rows(value_listen_rows);
	check_rows(value_bucket_rows);
}
END_TEST

static const struct {
	enum value_type type;
	uint64_t v;
	const char *text;
} numbers[] = {
	{ VALUE_DURATION, 0, "0" },
	{ VALUE_DURATION, 1, "1ms" },
	{ VALUE_DURATION, 1500, "1500ms" },
	{ VALUE_DURATION, 90000, "90s" },
	{ VALUE_DURATION, 1200000, "20m" },
	{ VALUE_DURATION, 432000000, "5d" },
	{ VALUE_SIZE, 10240000, "10000K" },
	{ VALUE_SIZE, 1073741824, "1G" },
	{ VALUE_SIZE, 1025, "1025" },
	{ VALUE_INT, 1024, "1024" },
	{ VALUE_LEVEL, LEVEL_ERROR, "error" },
};

START_TEST(numbers_are_shown_as_they_are_written)
{
	struct value_row row = { "k", "", numbers[_i].type, false, 0, 0, 0, UINT64_MAX };
	struct buf b = { 0 }, why = { 0 };
	struct arena a = { 0 };
	struct value v;

	value_number_put(&b, numbers[_i].type, numbers[_i].v);
	ck_assert(slice_is(slice_buf(&b), numbers[_i].text));
	ck_assert(value_parse(&row, slice_buf(&b), &a, &v, &why));
	ck_assert_uint_eq(v.u, numbers[_i].v);
	buf_fini(&b);
	arena_fini(&a);
}
END_TEST

START_TEST(sample_is_good)
{
	static char text[65536];
	FILE *f = fopen("etc/angarium.conf.sample", "r");
	struct buf bare = { 0 };
	struct conf *c;
	size_t n;

	ck_assert_msg(f != NULL, "run from the top of the tree");
	n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = '\0';
	c = good(text);
	ck_assert_uint_eq(c->nlisten, 2);
	conf_unref(c);
	/* What it offers in comments must be right as well: "#key", while prose is "# words". */
	for (size_t i = 0; i < n; i++)
		if (text[i] != '#' || (i > 0 && text[i - 1] != '\n') || text[i + 1] == ' ' ||
		    text[i + 1] == '\n' ||
		    (text[i + 1] == '\t' && text[i + 2] == 'a' && text[i + 3] == 'n' &&
			text[i + 4] == 'g'))
			buf_putc(&bare, text[i]);
	buf_putc(&bare, '\0');
	c = good(bare.p);
	ck_assert_uint_eq(c->ngroup, 1);
	ck_assert_uint_eq(c->nbinding, 2);
	ck_assert_uint_eq(c->relay_domains.n, 2);
	conf_unref(c);
	buf_fini(&bare);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, bad_is_refused_by_file_and_line, 0, sizeof bad / sizeof *bad);
	tcase_add_test(tc, nul_byte_is_refused);
	tcase_add_test(tc, empty_file_gives_the_defaults);
	tcase_add_test(tc, values_arrive_in_their_fields);
	tcase_add_test(tc, empty_list_is_not_the_default);
	tcase_add_test(tc, where_local_mail_goes);
	tcase_add_loop_test(tc, names_come_from_the_publisher, 0, sizeof names / sizeof *names);
	tcase_add_test(tc, networks_match);
	tcase_add_test(tc, domains_match);
	tcase_add_test(tc, last_reference_frees);
	tcase_add_test(tc, two_configurations_do_not_mix);
	tcase_add_test(tc, every_default_passes_its_own_check);
	tcase_add_loop_test(
	    tc, numbers_are_shown_as_they_are_written, 0, sizeof numbers / sizeof *numbers);
	tcase_add_test(tc, sample_is_good);
}

CHECK_MAIN("parse", cases)
