/* SPDX-License-Identifier: ISC */
#include "../check_main.h"

#include "dnscache/known.h"

START_TEST(servers_of_resolv_conf)
{
	static const char text[] = "# nameserver 192.0.2.9\n"
				   "search a.example b.example\n"
				   "nameserver 192.0.2.1\n"
				   "\tnameserver\t2001:db8::1 # by hand\n"
				   "nameserver fe80::1%eth0\n"
				   "nameserver\n"
				   "nameservers 192.0.2.7\n"
				   "options ndots:5\n"
				   "nameserver 192.0.2.2\r\n"
				   "nameserver 192.0.2.3";
	struct addr at[8], want;

	ck_assert_uint_eq(known_servers(SLICE_LIT(text), at, 8), 4);
	ck_assert(addr_parse(SLICE_LIT("192.0.2.1:53"), &want));
	ck_assert_mem_eq(at[0].host, want.host, 16);
	ck_assert_uint_eq(at[0].port, 53);
	ck_assert(addr_parse(SLICE_LIT("[2001:db8::1]:53"), &want));
	ck_assert_mem_eq(at[1].host, want.host, 16);
	ck_assert_uint_eq(known_servers(SLICE_LIT(text), at, 1), 1);
	ck_assert_uint_eq(known_servers(SLICE_NONE, at, 8), 0);
}
END_TEST

static const char hosts[] = "127.0.0.1 localhost\n"
			    "127.0.1.1 me.example me # ours\n"
			    "192.0.2.1 two.example\n"
			    "2001:db8::1 two.example\n"
			    "; nothing\n"
			    "here.example 192.0.2.3\n";

static const struct {
	const char *name;
	enum dns_type type;
	int status; /* -1: to be asked for */
	const char *records;
} rows[] = {
	{ "localhost", DNS_A, DNS_OK, "\4\0\x7f\0\0\1" },
	{ "localhost", DNS_MX, DNS_NODATA, "" },
	{ "a.localhost", DNS_A, DNS_OK, "\4\0\x7f\0\0\1" },
	{ "notlocalhost", DNS_A, -1, "" },
	{ "1.0.0.127.in-addr.arpa", DNS_PTR, DNS_OK, "\11\0localhost" },
	{ "me", DNS_A, DNS_OK, "\4\0\x7f\0\1\1" },
	{ "me.example", DNS_MX, -1, "" },
	{ "two.example", DNS_A, DNS_OK, "\4\0\xc0\0\2\1" },
	{ "two.example", DNS_AAAA, DNS_OK, "\20\0\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1" },
	{ "1.1.0.127.in-addr.arpa", DNS_PTR, DNS_OK, "\12\0me.example" },
	{ "here.example", DNS_A, -1, "" },
	{ "1.2.0.192.in-addr.arpa", DNS_A, -1, "" },
};

START_TEST(known_without_asking)
{
	struct known *k = known_new(SLICE_LIT(hosts));
	enum dns_status status;
	struct buf out = { 0 };
	struct dns_record r, want;
	struct slice rest;
	bool found = known_find(k, rows[_i].name, rows[_i].type, &status, &out);

	ck_assert_msg(found == (rows[_i].status >= 0), "%s", rows[_i].name);
	if (found) {
		ck_assert_int_eq((int)status, rows[_i].status);
		ck_assert_msg((out.n > 0) == (status == DNS_OK), "%s", rows[_i].name);
	}
	if (out.n > 0) {
		struct slice text = slice_of(rows[_i].records, 2U + (uint8_t)rows[_i].records[0]);

		rest = slice_buf(&out);
		ck_assert_int_eq(dns_record_next(&rest, rows[_i].type, &r), 1);
		ck_assert_int_eq(dns_record_next(&text, rows[_i].type, &want), 1);
		ck_assert(slice_eq(r.data, want.data));
	}
	buf_fini(&out);
	known_free(k);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, servers_of_resolv_conf);
	tcase_add_loop_test(tc, known_without_asking, 0, sizeof rows / sizeof *rows);
}
CHECK_MAIN("known", cases)
