/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "base/addr.h"
#include "base/log.h"

#include <netinet/in.h>

static const struct {
	struct slice in;
	const char *out; /* NULL: no address */
	bool v4, loopback;
} hosts[] = {
	{ SLICE_LIT("192.0.2.1"), "192.0.2.1", true, false },
	{ SLICE_LIT("127.9.9.9"), "127.9.9.9", true, true },
	{ SLICE_LIT("128.0.0.1"), "128.0.0.1", true, false },
	{ SLICE_LIT("0.0.0.0"), "0.0.0.0", true, false },
	{ SLICE_LIT("2001:DB8::1"), "2001:db8::1", false, false },
	{ SLICE_LIT("IPv6:2001:db8::1"), "2001:db8::1", false, false },
	{ SLICE_LIT("ipv6:::1"), "::1", false, true },
	{ SLICE_LIT("::"), "::", false, false },
	{ SLICE_LIT("::ffff:127.0.0.1"), "127.0.0.1", true, true },
	{ SLICE_LIT("::127.0.0.1"), "::127.0.0.1", false, false },
	{ SLICE_LIT("IPv6:192.0.2.1"), NULL, false,
	    false }, /* the tag says IPv6 (RFC 5321 4.1.3) */
	{ SLICE_LIT("IPv6:IPv6:::1"), NULL, false, false },
	{ SLICE_LIT("IPv6:"), NULL, false, false },
	{ SLICE_LIT(""), NULL, false, false },
	{ { NULL, 0 }, NULL, false, false },
	{ SLICE_LIT("1.2.3"), NULL, false, false },
	{ SLICE_LIT("1.2.3.256"), NULL, false, false },
	{ SLICE_LIT("1.2.3.4 "), NULL, false, false },
	{ SLICE_LIT("1.2.3.4\0"), NULL, false, false },
	{ SLICE_LIT("1.2.3.4\0.5"), NULL, false, false },
	{ SLICE_LIT("[::1]"), NULL, false, false },
	{ SLICE_LIT("::1%lo"), NULL, false, false },
	{ SLICE_LIT("1:2:3:4:5:6:7:8:9"), NULL, false, false },
	{ SLICE_LIT("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"), NULL, false, false },
	{ SLICE_LIT("host.example"), NULL, false, false },
};

START_TEST(host)
{
	uint8_t h[16];
	char text[46];
	bool ok = addr_host_parse(hosts[_i].in, h);

	ck_assert_msg(ok == (hosts[_i].out != NULL), "%.*s", SLICE_ARG(hosts[_i].in));
	if (!ok)
		return;
	addr_text(h, text);
	ck_assert_str_eq(text, hosts[_i].out);
	ck_assert(addr_is_v4(h) == hosts[_i].v4);
	ck_assert(addr_is_loopback(h) == hosts[_i].loopback);
}
END_TEST

static const struct {
	struct slice in;
	const char *host; /* NULL: refused */
	uint16_t port;
} with_ports[] = {
	{ SLICE_LIT("127.0.0.1:25"), "127.0.0.1", 25 },
	{ SLICE_LIT("[::1]:65535"), "::1", 65535 },
	{ SLICE_LIT("[127.0.0.1]:1"), "127.0.0.1", 1 },
	{ SLICE_LIT("127.0.0.1"), NULL, 0 },
	{ SLICE_LIT("127.0.0.1:"), NULL, 0 },
	{ SLICE_LIT("127.0.0.1:0"), NULL, 0 },
	{ SLICE_LIT("127.0.0.1:65536"), NULL, 0 },
	{ SLICE_LIT("127.0.0.1:25x"), NULL, 0 },
	{ SLICE_LIT("::1:25"), NULL, 0 },
	{ SLICE_LIT("[::1]25"), NULL, 0 },
	{ SLICE_LIT("[::1]"), NULL, 0 },
	{ SLICE_LIT("[::1"), NULL, 0 },
	{ SLICE_LIT("["), NULL, 0 },
	{ SLICE_LIT("[]:25"), NULL, 0 },
	{ SLICE_LIT(":25"), NULL, 0 },
	{ SLICE_LIT(""), NULL, 0 },
};

START_TEST(with_port)
{
	struct addr a, back;
	struct sockaddr_storage ss;
	char text[46];
	bool ok = addr_parse(with_ports[_i].in, &a);

	ck_assert_msg(ok == (with_ports[_i].host != NULL), "%.*s", SLICE_ARG(with_ports[_i].in));
	if (!ok)
		return;
	addr_text(a.host, text);
	ck_assert_str_eq(text, with_ports[_i].host);
	ck_assert_uint_eq(a.port, with_ports[_i].port);
	/* There and back by the system's form. */
	ck_assert_uint_eq(addr_sockaddr(&a, &ss),
	    addr_is_v4(a.host) ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
	ck_assert_int_eq(ss.ss_family, addr_is_v4(a.host) ? AF_INET : AF_INET6);
	ck_assert(addr_of(&ss, &back));
	ck_assert(memcmp(back.host, a.host, 16) == 0 && back.port == a.port);
}
END_TEST

START_TEST(other_families)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNIX };
	struct addr a;

	ck_assert(!addr_of(&ss, &a));
}
END_TEST

static const struct {
	const char *host, *net;
	unsigned bits;
	bool in;
} nets[] = {
	{ "192.0.2.1", "192.0.2.0", 96 + 24, true },
	{ "192.0.3.1", "192.0.2.0", 96 + 24, false },
	{ "192.0.3.1", "192.0.2.0", 96 + 23, true },
	{ "192.0.2.1", "192.0.2.1", 128, true },
	{ "192.0.2.0", "192.0.2.1", 128, false },
	{ "192.0.2.0", "192.0.2.1", 127, true },
	{ "255.255.255.255", "0.0.0.0", 96, true },
	{ "2001:db8::1", "0.0.0.0", 96, false },
	{ "2001:db8::1", "::", 0, true },
	{ "2001:db8:8000::", "2001:db8::", 33, false },
	{ "2001:db8:7fff::", "2001:db8::", 33, true },
	{ "192.0.2.1", "192.0.2.1", 129, false },
};

START_TEST(networks)
{
	uint8_t host_[16], net[16];

	ck_assert(addr_host_parse(slice_z(nets[_i].host), host_) &&
		  addr_host_parse(slice_z(nets[_i].net), net));
	ck_assert(addr_in(host_, net, nets[_i].bits) == nets[_i].in);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, host, 0, sizeof hosts / sizeof *hosts);
	tcase_add_loop_test(tc, with_port, 0, sizeof with_ports / sizeof *with_ports);
	tcase_add_test(tc, other_families);
	tcase_add_loop_test(tc, networks, 0, sizeof nets / sizeof *nets);
}
CHECK_MAIN("addr", cases)
