/* SPDX-License-Identifier: ISC */
#include "dns/mx.h"

#include "t/unit/check_main.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/*
 * A zone in words: "mx d 10 a", "a a 192.0.2.1", "aaaa a 2001:db8::1", "cname mx:d x" (the name at
 * the end of the answer), "temp mx d", "nx d" (the name is not there), "is d" (it is, without
 * records), separated by ";". A name that no row speaks of is not there. The domain is always d.
 */
enum { NOT_OWN = 1, NO_LOOK = 2, NO_4 = 4, NO_6 = 8, FIRST_6 = 16 };

static const struct {
	const char *what, *zone, *expect; /* rank:name/address ..., "+": partial */
	unsigned how;
} rows[] = {
	{ "one exchanger", "mx d 10 a; a a 192.0.2.1", "0:a/192.0.2.1", 0 },
	{ "by preference", "mx d 20 b; mx d 10 a; a a 192.0.2.1; a b 192.0.2.2",
	    "0:a/192.0.2.1 1:b/192.0.2.2", 0 },
	{ "equal preference", "mx d 10 b; mx d 10 a; a a 192.0.2.1; a b 192.0.2.2",
	    "0:a/192.0.2.1 0:b/192.0.2.2", 0 },
	{ "preference 65535", "mx d 65535 b; mx d 0 a; a a 192.0.2.1; a b 192.0.2.2",
	    "0:a/192.0.2.1 1:b/192.0.2.2", 0 },
	{ "both families, IPv4 first", "mx d 1 a; a a 192.0.2.1; aaaa a 2001:db8::1",
	    "0:a/192.0.2.1 0:a/2001:db8::1", 0 },
	{ "both families, IPv6 first", "mx d 1 a; a a 192.0.2.1; aaaa a 2001:db8::1",
	    "0:a/2001:db8::1 0:a/192.0.2.1", FIRST_6 },
	{ "IPv6 alone", "mx d 1 a; aaaa a 2001:db8::1", "0:a/2001:db8::1", 0 },
	{ "IPv6 switched off, both there", "mx d 1 a; a a 192.0.2.1; aaaa a 2001:db8::1",
	    "0:a/192.0.2.1+", NO_6 },
	{ "IPv6 switched off, nothing else", "mx d 1 a; aaaa a 2001:db8::1", "TEMP 4.4.4", NO_6 },
	{ "IPv4 switched off, nothing else", "mx d 1 a; a a 192.0.2.1", "TEMP 4.4.4", NO_4 },
	{ "several addresses", "mx d 1 a; a a 192.0.2.1; a a 192.0.2.2",
	    "0:a/192.0.2.1 0:a/192.0.2.2", 0 },
	{ "the same name twice", "mx d 20 a; mx d 10 a; a a 192.0.2.1", "0:a/192.0.2.1", 0 },
	{ "the same address twice", "mx d 10 a; mx d 20 b; a a 192.0.2.1; a b 192.0.2.1",
	    "0:a/192.0.2.1", 0 },
	{ "no MX: the address of the domain", "a d 192.0.2.9", "0:d/192.0.2.9", 0 },
	{ "no MX: IPv6 of the domain", "aaaa d 2001:db8::9", "0:d/2001:db8::9", 0 },
	{ "no MX, no address", "is d", "PERM 5.4.4", 0 },
	{ "no such domain", "is other", "PERM 5.1.2", 0 },
	{ "MX not known", "temp mx d; a d 192.0.2.9", "TEMP 4.4.3", 0 },
	{ "no MX, address not known", "temp a d", "TEMP 4.4.3", 0 },
	{ "no MX, IPv6 not known, IPv4 not there", "temp aaaa d", "TEMP 4.4.3", 0 },
	{ "no MX, IPv6 not known, IPv4 there", "temp aaaa d; a d 192.0.2.9", "0:d/192.0.2.9+", 0 },
	{ "null MX", "mx d 0 .", "PERM 5.1.10", 0 },
	{ "null MX though there is an address", "mx d 0 .; a d 192.0.2.9", "PERM 5.1.10", 0 },
	{ "null MX beside another: it is none", "mx d 0 .; mx d 10 a; a a 192.0.2.1",
	    "0:a/192.0.2.1", 0 },
	{ "the same, in the other order", "mx d 10 a; mx d 0 .; a a 192.0.2.1", "0:a/192.0.2.1",
	    0 },
	{ "no exchanger exists", "mx d 10 a; mx d 20 b", "PERM 5.4.4", 0 },
	{ "no exchanger has an address", "mx d 10 a; is a", "PERM 5.4.4", 0 },
	{ "no exchanger, but the domain has an address", "mx d 10 a; a d 192.0.2.9", "PERM 5.4.4",
	    0 },
	{ "the best does not exist", "mx d 10 a; mx d 20 b; a b 192.0.2.2", "1:b/192.0.2.2", 0 },
	{ "the best is not known", "mx d 10 a; mx d 20 b; temp a a; temp aaaa a; a b 192.0.2.2",
	    "1:b/192.0.2.2+", 0 },
	{ "one is not known, the other not there", "mx d 10 a; mx d 20 b; temp a a", "TEMP 4.4.3",
	    0 },
	{ "a name that is not there, half of it not known", "mx d 10 a; nx a; temp aaaa a",
	    "PERM 5.4.4", 0 },
	{ "none is known", "mx d 10 a; temp a a; temp aaaa a", "TEMP 4.4.3", 0 },
	{ "an address for a name", "mx d 10 192.0.2.5; mx d 20 b; a b 192.0.2.2", "0:b/192.0.2.2",
	    0 },
	{ "an IPv6 address for a name", "mx d 10 2001:db8::5; mx d 20 b; a b 192.0.2.2",
	    "0:b/192.0.2.2", 0 },
	{ "nothing but an address for a name", "mx d 10 192.0.2.5", "PERM 5.4.4", 0 },
	{ "a malformed name", "mx d 10 a/b; mx d 20 b; a b 192.0.2.2", "0:b/192.0.2.2", 0 },
	{ "nothing but a malformed name", "mx d 10 a/b", "PERM 5.4.4", 0 },
	{ "an alias for an exchanger", "mx d 10 a; cname a:a x; a a 192.0.2.1", "0:a/192.0.2.1",
	    0 },
	{ "the domain is an alias", "cname mx:d x; mx d 10 a; a a 192.0.2.1", "0:a/192.0.2.1", 0 },
	{ "an alias to nowhere", "cname mx:d x; nx d", "PERM 5.1.2", 0 },
	{ "an alias without MX", "cname mx:d x; cname a:d x; a d 192.0.2.9", "0:d/192.0.2.9", 0 },
	{ "unspecified address", "mx d 10 a; a a 0.0.0.0; mx d 20 b; a b 192.0.2.2",
	    "1:b/192.0.2.2", 0 },
	{ "no address that a host can have",
	    "mx d 10 a; a a 224.0.0.1; a a 255.255.255.255; aaaa a ::; aaaa a ff02::1",
	    "PERM 5.4.4", 0 },
	{ "we are the best, by name", "mx d 10 self.example; mx d 20 b; a b 192.0.2.2",
	    "PERM 5.4.6", 0 },
	{ "we are the best, by address", "mx d 10 a; a a 192.0.2.250; mx d 20 b; a b 192.0.2.2",
	    "PERM 5.4.6", 0 },
	{ "we are the best, by IPv6", "mx d 10 a; aaaa a 2001:db8::fa", "PERM 5.4.6", 0 },
	{ "we are the best, by an alias", "mx d 10 a; cname a:a self.example; a a 192.0.2.77",
	    "PERM 5.4.6", 0 },
	{ "we are second: the better ones alone",
	    "mx d 10 a; mx d 20 self.example; mx d 20 c; mx d 30 b; a a 192.0.2.1; a b 192.0.2.2; "
	    "a c 192.0.2.3",
	    "0:a/192.0.2.1", 0 },
	{ "the same, by address",
	    "mx d 10 a; mx d 20 s; mx d 30 b; a a 192.0.2.1; a b 192.0.2.2; a s 192.0.2.250",
	    "0:a/192.0.2.1", 0 },
	{ "one of several equals is ours", "mx d 10 a; mx d 10 s; a a 192.0.2.1; a s 192.0.2.250",
	    "PERM 5.4.6", 0 },
	{ "one of several addresses is ours", "mx d 10 a; a a 192.0.2.1; a a 192.0.2.250",
	    "PERM 5.4.6", 0 },
	{ "we are second, the better one is not there", "mx d 10 a; mx d 20 self.example",
	    "PERM 5.4.6", 0 },
	{ "we are second, the better one is not known", "mx d 10 a; mx d 20 self.example; temp a a",
	    "TEMP 4.4.3", 0 },
	{ "we are second, worse ones are not known",
	    "mx d 10 a; mx d 20 self.example; mx d 30 c; temp a c; a a 192.0.2.1", "0:a/192.0.2.1",
	    0 },
	{ "our address at another port", "mx d 10 a; a a 192.0.2.251", "0:a/192.0.2.251", 0 },
	{ "no MX, the domain's address is ours", "a d 192.0.2.250", "PERM 5.4.6", 0 },
	{ "a configured name: addresses only", "mx d 10 a; a a 192.0.2.1; a d 192.0.2.9",
	    "0:d/192.0.2.9", NO_LOOK | NOT_OWN },
	{ "a configured name that is not there", "is other", "TEMP 4.4.4", NO_LOOK | NOT_OWN },
	{ "a configured name without address", "is d", "TEMP 4.4.4", NO_LOOK | NOT_OWN },
	{ "a configured name that is not known", "temp a d", "TEMP 4.4.3", NO_LOOK | NOT_OWN },
	{ "a configured name at our own address is as configured", "a d 192.0.2.250",
	    "0:d/192.0.2.250", NO_LOOK | NOT_OWN },
	{ "a configured domain that is not there", "is other", "TEMP 4.4.4", NOT_OWN },
	{ "a configured domain with null MX", "mx d 0 .", "TEMP 4.4.4", NOT_OWN },
	{ "a configured domain whose MX we are", "mx d 10 self.example", "TEMP 4.4.4", NOT_OWN },
};

static bool
next_row(const char **zone, char kind[16], char name[64], char value[64], unsigned *preference)
{
	char row[160];
	size_t n = strcspn(*zone, ";");

	if (**zone == '\0')
		return false;
	snprintf(row, sizeof row, "%.*s", (int)n, *zone);
	*zone += n + ((*zone)[n] == ';');
	kind[0] = name[0] = value[0] = '\0';
	*preference = 0;
	sscanf(row, " %15s %63s %63s", kind, name, value);
	if (strcmp(kind, "mx") == 0)
		ck_assert_int_eq(sscanf(row, " mx %63s %u %63s", name, preference, value), 3);
	return true;
}

static const char *
type_word(enum dns_type t)
{
	return t == DNS_MX ? "mx" : t == DNS_A ? "a" : "aaaa";
}

static void
look_up(const char *zone, const struct mx_question *q, struct mx_answer *out, struct buf *records)
{
	char kind[16], name[64], value[64], key[80];
	static char cname[64];
	unsigned preference;
	bool there = false;

	buf_reset(records);
	*out = (struct mx_answer){ .status = DNS_NODATA, .ttl_s = 300 };
	snprintf(key, sizeof key, "%s:%s", type_word(q->type), q->name);
	while (next_row(&zone, kind, name, value, &preference)) {
		uint8_t ip[16];

		if (strcmp(kind, "temp") == 0 && strcmp(name, type_word(q->type)) == 0 &&
		    strcmp(value, q->name) == 0) {
			*out =
			    (struct mx_answer){ .status = DNS_TEMP, .text = SLICE_LIT("SERVFAIL") };
			return;
		}
		there |= strcmp(name, q->name) == 0 ||
			 (strcmp(kind, "temp") == 0 && strcmp(value, q->name) == 0);
		if (strcmp(kind, "nx") == 0 && strcmp(name, q->name) == 0) {
			out->status = DNS_NXDOMAIN;
			return;
		}
		if (strcmp(kind, "cname") == 0 && strcmp(name, key) == 0) {
			snprintf(cname, sizeof cname, "%s", value);
			out->cname = slice_z(cname);
		}
		if (strcmp(kind, type_word(q->type)) != 0 || strcmp(name, q->name) != 0)
			continue;
		out->status = DNS_OK;
		if (q->type == DNS_MX) {
			dns_record_put(records, DNS_MX,
			    &(const struct dns_record){ .preference = (uint16_t)preference,
				.data = strcmp(value, ".") == 0 ? SLICE_NONE : slice_z(value) });
			continue;
		}
		ck_assert_int_eq(inet_pton(q->type == DNS_A ? AF_INET : AF_INET6, value, ip), 1);
		dns_record_put(records, q->type,
		    &(const struct dns_record){ .data = slice_of(ip, q->type == DNS_A ? 4 : 16) });
	}
	if (!there)
		out->status = DNS_NXDOMAIN;
	out->records = slice_buf(records);
}

static void
words(const struct mx_result *r, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	if (r->kind != OUTCOME_OK) {
		snprintf(out, size, "%s %u.%u.%u", r->kind == OUTCOME_TEMP ? "TEMP" : "PERM",
		    r->enh[0], r->enh[1], r->enh[2]);
		ck_assert_uint_eq(r->nhosts, 0);
		ck_assert_uint_gt(strlen(r->text), 0);
		return;
	}
	for (unsigned i = 0; i < r->nhosts; i++) {
		char ip[INET6_ADDRSTRLEN];
		bool v4 = addr_is_v4(r->host[i].ip);

		inet_ntop(v4 ? AF_INET : AF_INET6, r->host[i].ip + (v4 ? 12 : 0), ip, sizeof ip);
		n += (size_t)snprintf(out + n, size - n, "%s%u:%s/%s", i > 0 ? " " : "",
		    r->host[i].rank, r->host[i].name, ip);
		ck_assert_uint_eq(r->host[i].port, 25);
	}
	if (r->partial)
		snprintf(out + n, size - n, "+");
}

static struct addr listens[3];

static struct mx *
make(unsigned how)
{
	unsigned flags = (how & NO_LOOK ? 0 : MX_LOOK) | (how & NOT_OWN ? 0 : MX_OWN) |
			 (how & NO_4 ? 0 : MX_IPV4) | (how & NO_6 ? 0 : MX_IPV6) |
			 (how & FIRST_6 ? MX_IPV6_FIRST : 0);
	const struct mx_self self = { "Self.Example.", listens, 3 };

	ck_assert(addr_parse(SLICE_LIT("192.0.2.250:25"), &listens[0]));
	ck_assert(addr_parse(SLICE_LIT("192.0.2.251:587"), &listens[1]));
	ck_assert(addr_parse(SLICE_LIT("[2001:db8::fa]:25"), &listens[2]));
	return mx_new(SLICE_LIT("D"), 25, flags, &self);
}

/* Every row twice: answers in the order of the questions, and the other way round. */
START_TEST(each_row)
{
	unsigned row = (unsigned)_i / 2;
	struct mx *m = make(rows[row].how);
	struct mx_question q[2 * MX_EXCHANGERS_MAX];
	struct mx_result result;
	struct buf records = { 0 };
	char got[1024];
	unsigned n;

	do {
		for (n = 0; mx_ask(m, &q[n]); n++)
			;
		for (unsigned i = 0; i < n; i++) {
			unsigned at = _i % 2 == 0 ? i : n - 1 - i;
			struct mx_answer a;

			ck_assert(!mx_done(m));
			look_up(rows[row].zone, &q[at], &a, &records);
			mx_answer(m, q[at].number, &a);
		}
	} while (n > 0);
	ck_assert(mx_done(m));
	mx_conclude(m, &result);
	words(&result, got, sizeof got);
	ck_assert_msg(
	    strcmp(got, rows[row].expect) == 0, "%s: %s (%s)", rows[row].what, got, result.text);
	if (strcmp(rows[row].expect, "PERM 5.1.10") == 0)
		ck_assert_uint_eq(result.code, 556);
	buf_fini(&records);
	mx_free(m);
}
END_TEST

START_TEST(a_name_that_is_none)
{
	static const char *const names[] = { "", "a..b", "x y", "[192.0.2.1]", "\xc3\xa9.example" };
	struct mx *m = mx_new(slice_z(names[_i]), 25, MX_LOOK | MX_OWN | MX_IPV4, NULL);
	struct mx_question q;
	struct mx_result r;

	ck_assert(!mx_ask(m, &q));
	ck_assert(mx_done(m));
	mx_conclude(m, &r);
	ck_assert_int_eq(r.kind, OUTCOME_PERM);
	mx_free(m);
}
END_TEST

START_TEST(an_answer_that_cannot_be_read_is_doubt)
{
	struct mx *m = make(0);
	struct mx_question q;
	struct mx_result r;

	ck_assert(mx_ask(m, &q));
	mx_answer(m, q.number, &(const struct mx_answer){ .records = SLICE_LIT("\377\377no") });
	ck_assert(mx_done(m));
	mx_conclude(m, &r);
	ck_assert_int_eq(r.kind, OUTCOME_TEMP);
	ck_assert_uint_eq(r.enh[2], 3);
	mx_free(m);
}
END_TEST

static uint64_t
counting(void *arg)
{
	uint64_t *state = arg;

	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return *state >> 20;
}

static void
feed(struct mx *m, const char *zone)
{
	struct mx_question q;
	struct mx_answer a;
	struct buf records = { 0 };

	while (mx_ask(m, &q)) {
		look_up(zone, &q, &a, &records);
		a.ttl_s = q.number == 0 ? 300 : 100 + q.number;
		mx_answer(m, q.number, &a);
	}
	buf_fini(&records);
}

START_TEST(equals_take_turns_and_ranks_stay)
{
	struct mx *m = make(0);
	struct mx_result r;
	unsigned first[3] = { 0 };
	uint64_t seed = 1;

	feed(m, "mx d 10 a; mx d 10 b; mx d 10 c; mx d 20 z; a a 192.0.2.1; a a 192.0.2.2; aaaa a "
		"2001:db8::1; a b 192.0.2.3; a c 192.0.2.4; a z 192.0.2.9");
	mx_conclude(m, &r);
	ck_assert_uint_eq(r.ttl_s, 101);
	ck_assert_uint_eq(r.nhosts, 6);
	for (int i = 0; i < 3000; i++) {
		mx_shuffle(r.host, r.nhosts, counting, &seed);
		first[r.host[0].name[0] - 'a']++;
		ck_assert_str_eq(r.host[5].name, "z");
		for (unsigned k = 0; k < 5;
		     k++) /* the addresses of one host stand together, IPv4 first */
			if (!addr_is_v4(r.host[k].ip)) {
				ck_assert_uint_ge(k, 2);
				ck_assert_str_eq(r.host[k - 1].name, "a");
				ck_assert_str_eq(r.host[k - 2].name, "a");
			}
	}
	for (int i = 0; i < 3; i++)
		ck_assert_msg(
		    first[i] > 850 && first[i] < 1150, "%u %u %u", first[0], first[1], first[2]);
	mx_free(m);
}
END_TEST

START_TEST(a_flood_is_cut)
{
	static char zone[16384];
	struct mx *m = make(0);
	struct mx_result r;
	size_t n = 0;

	for (unsigned i = 0; i < 60; i++)
		n += (size_t)snprintf(zone + n, sizeof zone - n, "mx d %u m%02u;", i, i);
	if (_i == 0) /* of the best ones none is there; of the rest we do not know */
		feed(m, zone);
	else { /* more addresses than a job takes */
		for (unsigned i = 0; i < 180; i++)
			n += (size_t)snprintf(
			    zone + n, sizeof zone - n, "a m%02u 192.0.2.%u;", i / 3, 1 + i);
		feed(m, zone);
	}
	mx_conclude(m, &r);
	if (_i == 0)
		ck_assert_int_eq(r.kind, OUTCOME_TEMP);
	else {
		ck_assert_uint_eq(r.nhosts, MX_HOSTS_MAX);
		ck_assert(r.partial);
		ck_assert_str_eq(r.host[0].name, "m00");
	}
	mx_free(m);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, each_row, 0, 2 * sizeof rows / sizeof *rows);
	tcase_add_loop_test(tc, a_name_that_is_none, 0, 5);
	tcase_add_test(tc, an_answer_that_cannot_be_read_is_doubt);
	tcase_add_test(tc, equals_take_turns_and_ranks_stay);
	tcase_add_loop_test(tc, a_flood_is_cut, 0, 2);
}
CHECK_MAIN("mx", cases)
