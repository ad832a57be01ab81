/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "base/addr.h"
#include "dns/dns.h"

#include <errno.h>
#include <string.h>

#define S63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *in, *out; /* out NULL: no domain name */
} names[] = {
	{ "example.org", "example.org" },
	{ "Example.ORG.", "example.org" },
	{ "_dmarc.example.org", "_dmarc.example.org" },
	{ "localhost", "localhost" },
	{ "a-b.3.x--y", "a-b.3.x--y" },
	{ S63 ".org", S63 ".org" },
	{ S63 "." S63 "." S63 ".bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
	    S63 "." S63 "." S63 ".bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" },
	{ S63 "." S63 "." S63 ".bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
	    NULL },
	{ S63 "a.org", NULL },
	{ "", NULL },
	{ ".", NULL },
	{ "..", NULL },
	{ ".org", NULL },
	{ "example..org", NULL },
	{ "example.org..", NULL },
	{ "exam ple.org", NULL },
	{ "ex\xc3\xa4mple.org", NULL },
	{ "exam\\046ple.org", NULL },
	{ "[192.0.2.1]", NULL },
	{ "a@b", NULL },
};

START_TEST(name_is_cleaned_or_refused)
{
	char got[DNS_NAME_MAX + 1];
	bool ok = dns_name_clean(slice_z(names[_i].in), got);

	ck_assert_msg(ok == (names[_i].out != NULL), "%s", names[_i].in);
	if (ok)
		ck_assert_str_eq(got, names[_i].out);
}
END_TEST

static const struct {
	const char *ip, *out;
} reverses[] = {
	{ "192.0.2.1", "1.2.0.192.in-addr.arpa" },
	{ "::ffff:255.254.253.200", "200.253.254.255.in-addr.arpa" },
	{ "2001:db8::567:89ab",
	    "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa" },
};

START_TEST(reverse_names)
{
	uint8_t ip[16];
	char got[DNS_NAME_MAX + 1], clean[DNS_NAME_MAX + 1];

	ck_assert(addr_host_parse(slice_z(reverses[_i].ip), ip));
	dns_reverse_name(ip, got);
	ck_assert_str_eq(got, reverses[_i].out);
	ck_assert(dns_name_clean(slice_z(got), clean));
}
END_TEST

START_TEST(words)
{
	enum dns_type t;

	ck_assert(dns_type_of(SLICE_LIT("mx"), &t) && t == DNS_MX);
	ck_assert(dns_type_of(SLICE_LIT("AAAA"), &t) && t == DNS_AAAA);
	ck_assert(!dns_type_of(SLICE_LIT("ANY"), &t));
	ck_assert(!dns_type_of(SLICE_LIT(""), &t));
	ck_assert_str_eq(dns_type_word(28), "AAAA");
	ck_assert(dns_type_word(255) == NULL);
	ck_assert_str_eq(dns_status_word(DNS_NXDOMAIN), "nxdomain");
	ck_assert_str_eq(dns_status_word(200), "?");
}
END_TEST

static const struct {
	enum dns_type type;
	struct dns_record r;
	int next; /* what the reader must say */
} records[] = {
	{ DNS_A, { .data = SLICE_LIT("\x7f\0\0\1") }, 1 },
	{ DNS_A, { .data = SLICE_LIT("\x7f\0\0") }, -EBADMSG },
	{ DNS_A, { .data = SLICE_LIT("\x7f\0\0\1\2") }, -EBADMSG },
	{ DNS_AAAA, { .data = SLICE_LIT("0123456789abcdef") }, 1 },
	{ DNS_AAAA, { .data = SLICE_LIT("0123") }, -EBADMSG },
	{ DNS_MX, { .data = SLICE_LIT("mx.example.org"), .preference = 10 }, 1 },
	{ DNS_MX, { .data = SLICE_LIT(""), .preference = 0 }, 1 },
	{ DNS_MX, { .data = SLICE_LIT("MX.example.org"), .preference = 10 }, -EBADMSG },
	{ DNS_PTR, { .data = SLICE_LIT("1.0/25.example.org") }, 1 },
	{ DNS_PTR, { .data = SLICE_LIT("a..b") }, -EBADMSG },
	{ DNS_PTR, { .data = SLICE_LIT(".a") }, -EBADMSG },
	{ DNS_PTR, { .data = SLICE_LIT("a.") }, -EBADMSG },
	{ DNS_PTR, { .data = SLICE_LIT("a b") }, -EBADMSG },
	{ DNS_PTR, { .data = SLICE_LIT(S63 "a") }, -EBADMSG },
	{ DNS_CNAME, { .data = SLICE_LIT("b.example") }, 1 },
	{ DNS_CNAME, { .data = SLICE_LIT("b\n.example") }, -EBADMSG },
	{ DNS_TXT, { .data = SLICE_LIT("v=spf1 \n\0\xff -all") }, 1 },
};

START_TEST(record_comes_back)
{
	struct buf b = { 0 };
	struct dns_record got;
	struct slice rest;

	dns_record_put(&b, records[_i].type, &records[_i].r);
	dns_record_put(&b, records[_i].type, &records[_i].r);
	rest = slice_buf(&b);
	ck_assert_int_eq(dns_record_next(&rest, records[_i].type, &got), records[_i].next);
	if (records[_i].next == 1) {
		ck_assert(slice_eq(got.data, records[_i].r.data));
		ck_assert_uint_eq(got.preference, records[_i].r.preference);
		ck_assert_int_eq(dns_record_next(&rest, records[_i].type, &got), 1);
		ck_assert_int_eq(dns_record_next(&rest, records[_i].type, &got), 0);
	}
	buf_fini(&b);
}
END_TEST

START_TEST(cut_record_is_refused)
{
	struct buf b = { 0 };
	struct dns_record got;

	dns_record_put(&b, records[_i].type, &records[_i].r);
	for (size_t n = 1; n < b.n; n++) {
		char *copy = malloc(n);
		struct slice rest = { memcpy(copy, b.p, n), n };

		ck_assert_int_eq(dns_record_next(&rest, records[_i].type, &got), -EBADMSG);
		free(copy);
	}
	buf_fini(&b);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, name_is_cleaned_or_refused, 0, sizeof names / sizeof *names);
	tcase_add_loop_test(tc, reverse_names, 0, sizeof reverses / sizeof *reverses);
	tcase_add_test(tc, words);
	tcase_add_loop_test(tc, record_comes_back, 0, sizeof records / sizeof *records);
	tcase_add_loop_test(tc, cut_record_is_refused, 0, sizeof records / sizeof *records);
}
CHECK_MAIN("dns", cases)
