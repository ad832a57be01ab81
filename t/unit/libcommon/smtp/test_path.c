/* SPDX-License-Identifier: ISC */
#include "smtp/path.h"

#include "t/unit/check_main.h"

#include <stdio.h>

#define L63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghikl"
#define L64 L63 "m"
#define KANJI7 \
	"\xe9\x83\xb5\xe4\xbb\xb6\xe9\x83\xb5\xe4\xbb\xb6\xe9\x83\xb5\xe4\xbb\xb6\xe9\x83\xb5"

enum { REV = PATH_REVERSE, FWD = PATH_FORWARD };

static const struct {
	const char *in;
	int kind;
	unsigned flags;
	enum path_result result;
	const char *local, *domain, *rest;
} paths[] = {
	{ "<a@b.example>", FWD, 0, PATH_OK, "a", "b.example", "" },
	{ "<a@b.example> SIZE=1", REV, 0, PATH_OK, "a", "b.example", " SIZE=1" },
	{ "<>", REV, 0, PATH_OK, "", "", "" },
	{ "<> BODY=7BIT", REV, 0, PATH_OK, "", "", " BODY=7BIT" },
	{ "<>", FWD, 0, PATH_BAD, 0, 0, 0 }, { "<>>>>>", REV, 0, PATH_OK, "", "", ">>>>" },
	{ "<@a,@b:user@d>", REV, 0, PATH_OK, "user", "d", "" },
	{ "<@hosta.int,@jkl.org:userc@d.bar.org>", FWD, 0, PATH_OK, "userc", "d.bar.org", "" },
	{ "<@a,@b user@d>", REV, 0, PATH_BAD, 0, 0, 0 },
	{ "<@a,b:user@d>", REV, 0, PATH_BAD, 0, 0, 0 }, { "<@a:>", REV, 0, PATH_BAD, 0, 0, 0 },
	{ "<@:a@b>", REV, 0, PATH_BAD, 0, 0, 0 },
	{ "<Postmaster>", FWD, 0, PATH_OK, "Postmaster", "", "" },
	{ "<\"PostMaster\">", FWD, 0, PATH_OK, "\"PostMaster\"", "", "" },
	{ "<postmaster>", REV, 0, PATH_BAD, 0, 0, 0 }, { "<root>", FWD, 0, PATH_BAD, 0, 0, 0 },
	{ "<root>", FWD, PATH_UNQUALIFIED, PATH_OK, "root", "", "" },
	{ "<root>", REV, PATH_UNQUALIFIED, PATH_OK, "root", "", "" },
	{ " <a@b>", REV, 0, PATH_BAD, 0, 0, 0 },
	{ " <a@b>", REV, PATH_BLANK, PATH_OK, "a", "b", "" },
	{ "  <a@b>", REV, PATH_BLANK, PATH_BAD, 0, 0, 0 }, { "a@b", FWD, 0, PATH_BAD, 0, 0, 0 },
	{ "<a@b", FWD, 0, PATH_BAD, 0, 0, 0 }, { "<a@b\n>", FWD, 0, PATH_BAD, 0, 0, 0 },
	{ "<a b@c>", FWD, 0, PATH_BAD, 0, 0, 0 }, { "<", FWD, 0, PATH_BAD, 0, 0, 0 },
	{ "", FWD, 0, PATH_BAD, 0, 0, 0 },
	{ "<a@[1.2.3.4]>", FWD, 0, PATH_OK, "a", "[1.2.3.4]", "" },
	{ "<user@[IPv6:::1]>", FWD, 0, PATH_OK, "user", "[IPv6:::1]", "" },
	{ "<user@[ipV6:2001:db8::1]>", FWD, 0, PATH_OK, "user", "[ipV6:2001:db8::1]", "" },
	{ "<user@[IPv6:not-an-ipv6]>", FWD, 0, PATH_BAD, 0, 0, 0 },
	{ "<user@[future:something]>", FWD, 0, PATH_UNKNOWN_LITERAL, 0, 0, 0 },
	{ "<user@[1.2.3.4>", FWD, 0, PATH_BAD, 0, 0, 0 },
	{ "<user@[1.2.3.4].x>", FWD, 0, PATH_BAD, 0, 0, 0 },
	{ "<\"a b\"@c>", FWD, 0, PATH_OK, "\"a b\"", "c", "" },
	{ "<\"a>b\"@c>", FWD, 0, PATH_OK, "\"a>b\"", "c", "" },
	{ "<\"a\\\"b\"@c>", FWD, 0, PATH_OK, "\"a\\\"b\"", "c", "" },
	{ "<\"a\\\"@c>", FWD, 0, PATH_BAD, 0, 0, 0 }, { "<\"a\"b@c>", FWD, 0, PATH_BAD, 0, 0, 0 },
	{ "<" L64 "@b>", FWD, 0, PATH_OK, L64, "b", "" },
	{ "<x" L64 "@b>", FWD, 0, PATH_TOO_LONG, 0, 0, 0 },
	{ "<a@" L63 ".b>", FWD, 0, PATH_OK, "a", L63 ".b", "" },
	{ "<a@" L64 ".b>", FWD, 0, PATH_TOO_LONG, 0, 0, 0 },
	{ "<a@" L63 "." L63 "." L63 "." L63 ">", FWD, 0, PATH_TOO_LONG, 0, 0, 0 }, /* 257 */
	{ "<abcdefghijklmnopqr@" L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyzabcdefghijklmno>",
	    FWD, 0, PATH_OK, "abcdefghijklmnopqr",
	    L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyzabcdefghijklmno", "" }, /* 252 */
	{ "<\xc3\xa9@b>", FWD, 0, PATH_NEEDS_UTF8, 0, 0, 0 },
	{ "<\xc3\xa9@b>", FWD, PATH_UTF8, PATH_OK, "\xc3\xa9", "b", "" },
	{ "<a@\xc3\xa9.b>", FWD, PATH_UTF8, PATH_OK, "a", "\xc3\xa9.b", "" },
	{ "<a@" KANJI7 KANJI7 KANJI7 KANJI7 ".b>", FWD, PATH_UTF8, PATH_OK, "a",
	    KANJI7 KANJI7 KANJI7 KANJI7 ".b", "" }, /* 84 bytes, 28 characters */
	{ "<\"\xc3\xa9 x\"@b>", FWD, PATH_UTF8, PATH_OK, "\"\xc3\xa9 x\"", "b", "" },
	{ "<\xe9@b>", FWD, PATH_UTF8, PATH_BAD, 0, 0, 0 }, /* Latin-1 */
	{ "<a@b\xe3\x80\x82"
	  "c>",
	    FWD, PATH_UTF8, PATH_BAD, 0, 0, 0 },	       /* an ideographic full stop */
	{ "<a@\xc2\x85>", FWD, PATH_UTF8, PATH_BAD, 0, 0, 0 }, /* a control character */
	{ "<@\xc3\xa9:a@b>", FWD, 0, PATH_OK, "a", "b", "" },  /* dropped with its route */
};

START_TEST(path_is_parsed_or_refused)
{
	struct slice in = slice_z(paths[_i].in), whole = in;
	enum path_kind kind = (enum path_kind)paths[_i].kind;
	struct path got;

	ck_assert_msg(
	    path_parse(&in, kind, paths[_i].flags, &got) == paths[_i].result, "%s", paths[_i].in);
	if (paths[_i].result != PATH_OK) {
		ck_assert(in.p == whole.p && in.n == whole.n);
		return;
	}
	ck_assert_msg(slice_is(got.local, paths[_i].local), "%s", paths[_i].in);
	ck_assert_msg(slice_is(got.domain, paths[_i].domain), "%s", paths[_i].in);
	ck_assert_msg(slice_is(in, paths[_i].rest), "%s", paths[_i].in);
	ck_assert(got.null == (got.address.n == 0));
	ck_assert(got.quoted == (got.local.n > 0 && got.local.p[0] == '"'));
	ck_assert(got.literal == (got.domain.n > 0 && got.domain.p[0] == '['));
	if (got.domain.n > 0)
		ck_assert(got.address.n == got.local.n + 1 + got.domain.n);
}
END_TEST

START_TEST(path_cut_short_is_never_taken)
{
	static const char whole[] = "<@r.example:\"a\\\"b\"@[IPv6:2001:db8::1]>";
	struct path got;

	for (size_t n = 0; n < sizeof whole - 1; n++) {
		char *copy = malloc(n > 0 ? n : 1); /* exact, for the sanitizer */
		struct slice in = slice_of(copy, n);

		memcpy(copy, whole, n);
		ck_assert_int_eq(path_parse(&in, PATH_FORWARD, 0, &got), PATH_BAD);
		free(copy);
	}
}
END_TEST

/* The longest address: 254. */
START_TEST(address_ends_at_254)
{
	char text[300];
	struct path got;
	int n = snprintf(text, sizeof text, "%s@%s.%s.%.61s", L64, L63, L63, L63);

	ck_assert_int_eq(n, 254);
	ck_assert_int_eq(path_address(slice_z(text), 0, &got), PATH_OK);
	snprintf(text, sizeof text, "%s@%s.%s.%.62s", L64, L63, L63, L63);
	ck_assert_int_eq(path_address(slice_z(text), 0, &got), PATH_TOO_LONG);
	ck_assert(!path_address_valid(slice_z(text), 0));
}
END_TEST

static const struct {
	const char *in, *printed, *plain;
} prints[] = {
	{ "a@b", "a@b", "a" },
	{ "A.b@C.example", "A.b@C.example", "A.b" },
	{ "\"a\"@b", "a@b", "a" },
	{ "\"\\a\\b\"@c", "ab@c", "ab" },
	{ "\"a b\"@c", "\"a b\"@c", "a b" },
	{ "\"\\\"\\\\\"@c", "\"\\\"\\\\\"@c", "\"\\" },
	{ "\"a\\ b\"@c", "\"a b\"@c", "a b" },
	{ "\"\"@c", "\"\"@c", "" },
	{ "\".a\"@c", "\".a\"@c", ".a" },
	{ "\"\xc3\xa9\"@c", "\xc3\xa9@c", "\xc3\xa9" },
	{ "\"root\"", "root", "root" },
};

START_TEST(equal_mailboxes_print_alike)
{
	struct path path, again;
	struct buf out = { 0 }, twice = { 0 }, plain = { 0 };

	ck_assert_int_eq(
	    path_address(slice_z(prints[_i].in), PATH_UTF8 | PATH_UNQUALIFIED, &path), PATH_OK);
	path_print(&out, &path);
	ck_assert_msg(slice_is(slice_buf(&out), prints[_i].printed), "%s", prints[_i].in);
	ck_assert(out.n <= path.address.n);
	ck_assert_int_eq(
	    path_address(slice_buf(&out), PATH_UTF8 | PATH_UNQUALIFIED, &again), PATH_OK);
	path_print(&twice, &again);
	ck_assert(slice_eq(slice_buf(&out), slice_buf(&twice)));
	path_print_local_plain(&plain, &path);
	ck_assert(slice_is(slice_buf(&plain), prints[_i].plain));
	buf_fini(&out);
	buf_fini(&twice);
	buf_fini(&plain);
}
END_TEST

START_TEST(null_prints_nothing)
{
	struct slice in = SLICE_LIT("<>");
	struct buf out = { 0 };
	struct path path;

	ck_assert_int_eq(path_parse(&in, PATH_REVERSE, 0, &path), PATH_OK);
	path_print(&out, &path);
	ck_assert_uint_eq(out.n, 0);
	ck_assert(!path_is_postmaster(&path));
	buf_fini(&out);
}
END_TEST

START_TEST(what_no_local_part_may_hold_is_not_printed)
{
	struct buf out = { 0 };

	ck_assert(!path_print_quoted(&out, SLICE_LIT("a\nb")));
	ck_assert(!path_print_quoted(&out, SLICE_LIT("a\0b")));
	ck_assert(!path_print_quoted(&out, SLICE_LIT("a\xff"
						     "b")));
	ck_assert_uint_eq(out.n, 0);
	buf_fini(&out);
}
END_TEST

static const struct {
	const char *in;
	const char *hex; /* NULL: not one */
} ip6s[] = {
	{ "::", "00000000000000000000000000000000" },
	{ "::1", "00000000000000000000000000000001" },
	{ "1::", "00010000000000000000000000000000" },
	{ "2001:DB8::a:b", "20010db8000000000000000000"
			   "0a000b" },
	{ "1:2:3:4:5:6:7:8", "00010002000300040005000600070008" },
	{ "1:2:3:4:5:6:1.2.3.4", "00010002000300040005000601020304" },
	{ "1:2:3::4:5:6", "00010002000300000000000400050006" },
	{ "::ffff:1.2.3.4", "00000000000000000000ffff01020304" },
	{ "1:2:3:4::1.2.3.4", "00010002000300040000000001020304" },
	{ "1:2:3:4:5::1.2.3.4", NULL }, /* "::" stands for two groups or more */
	{ "1:2:3:4:5:6:7::", NULL },
	{ "::2:3:4:5:6:7:8", NULL },
	{ "1:2:3:4:5:6:7", NULL },
	{ "1:2:3:4:5:6:7:8:9", NULL },
	{ "1:2:3:4:5:6:7:1.2.3.4", NULL },
	{ "1:2:3:4:5:1.2.3.4", NULL },
	{ "1::2::3", NULL },
	{ ":1::2", NULL },
	{ "1::2:", NULL },
	{ "1:2:3:4:5:6:7:8:", NULL },
	{ "12345::", NULL },
	{ "g::", NULL },
	{ ":::", NULL },
	{ ":", NULL },
	{ "", NULL },
	{ "1.2.3.4", NULL },
	{ "::1.2.3", NULL },
	{ "::1.2.3.256", NULL },
	{ "::1.2.3.4:5", NULL },
	{ "::1.2.3.4.5", NULL },
};

START_TEST(ip6_literals)
{
	char text[80], hex[33];
	uint8_t addr[16];
	bool ok;

	snprintf(text, sizeof text, "[IPv6:%s]", ip6s[_i].in);
	ok = path_literal_addr(slice_z(text), addr);
	ck_assert_msg(ok == (ip6s[_i].hex != NULL), "%s", text);
	ck_assert_msg(path_domain_valid(slice_z(text), 0) == ok, "%s", text);
	for (int i = 0; ok && i < 16; i++)
		snprintf(hex + i * 2, 3, "%02x", addr[i]);
	if (ok)
		ck_assert_str_eq(hex, ip6s[_i].hex);
}
END_TEST

START_TEST(ip4_literals)
{
	static const uint8_t want[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2,
		255 };
	uint8_t addr[16];

	ck_assert(path_literal_addr(SLICE_LIT("[192.0.2.255]"), addr));
	ck_assert_mem_eq(addr, want, 16);
	ck_assert(path_literal_addr(SLICE_LIT("[192.000.002.255]"), addr));
	ck_assert_mem_eq(addr, want, 16);
	ck_assert(!path_literal_addr(SLICE_LIT("[192.0.2.256]"), addr));
	ck_assert(!path_literal_addr(SLICE_LIT("[192.0.2]"), addr));
	ck_assert(!path_literal_addr(SLICE_LIT("[192.0.2.1.1]"), addr));
	ck_assert(!path_literal_addr(SLICE_LIT("[192.0.2.0001]"), addr));
	ck_assert(!path_literal_addr(SLICE_LIT("192.0.2.1"), addr));
	ck_assert(!path_literal_addr(SLICE_LIT("[]"), addr));
	ck_assert(!path_literal_addr(SLICE_LIT("["), addr));
	ck_assert(!path_literal_addr(SLICE_LIT("[x:y]"), addr));
}
END_TEST

static const struct {
	const char *in;
	bool domain, helo;
} domains[] = {
	{ "a", true, true },
	{ "a.example", true, true },
	{ "1.2.3.4", true, true },
	{ "xn--hxajbheg2az3al.xn--jxalpdlp", true, true },
	{ "a.example.", false, true },
	{ "my_host.local", false, true },
	{ "-a", false, true },
	{ "a-", false, true },
	{ "[10.0.0.1]", true, true },
	{ "[IPv6:::1]", true, true },
	{ "[future:something]", false, true },
	{ "2001:db8::1", false, true },
	{ "a..b", false, false },
	{ ".a", false, false },
	{ ".", false, false },
	{ "", false, false },
	{ "[]", false, false },
	{ "[10.0.0.1", false, false },
	{ "[10.0.0.1]x", false, false },
	{ "!!invalid!!", false, false },
	{ "a b", false, false },
	{ "a\r\nb", false, false },
	{ "\xc3\xa9", false, false },
};

START_TEST(domains_and_helo_names)
{
	struct slice in = slice_z(domains[_i].in);

	ck_assert_msg(path_domain_valid(in, 0) == domains[_i].domain, "%s", domains[_i].in);
	ck_assert_msg(path_helo_valid(in) == domains[_i].helo, "%s", domains[_i].in);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, path_is_parsed_or_refused, 0, sizeof paths / sizeof *paths);
	tcase_add_test(tc, path_cut_short_is_never_taken);
	tcase_add_test(tc, address_ends_at_254);
	tcase_add_loop_test(tc, equal_mailboxes_print_alike, 0, sizeof prints / sizeof *prints);
	tcase_add_test(tc, null_prints_nothing);
	tcase_add_test(tc, what_no_local_part_may_hold_is_not_printed);
	tcase_add_loop_test(tc, ip6_literals, 0, sizeof ip6s / sizeof *ip6s);
	tcase_add_test(tc, ip4_literals);
	tcase_add_loop_test(tc, domains_and_helo_names, 0, sizeof domains / sizeof *domains);
}
CHECK_MAIN("path", cases)
