/* SPDX-License-Identifier: ISC */
#include "mail/address_list.h"

#include "smtp/path.h"
#include "t/unit/check_main.h"

/* What was called back, one word an element: address, "<>", or "!text" for what is none. */
static void
note(void *arg, const struct address *a)
{
	struct buf *out = arg;

	if (out->n > 0)
		buf_putc(out, ' ');
	if (!a->ok)
		buf_putc(out, '!');
	buf_slice(out, !a->ok ? a->text : a->null ? SLICE_LIT("<>") : a->addr);
	ck_assert(a->ok || a->addr.n == 0);
	ck_assert(
	    !a->ok || a->null || a->domain.n == 0 || a->addr.n == a->local.n + 1 + a->domain.n);
}

static const struct {
	const char *in, *out;
} lists[] = {
	{ "", "" },
	{ " , ,, ;", "" },
	{ "a@b", "a@b" },
	{ "root", "root" },
	{ "a@b, c@d,e", "a@b c@d e" },
	{ "a@b;c@d", "a@b c@d" },
	{ "John Smith <js@x.example>", "js@x.example" },
	{ "\"Smith, John\" <js@x.example>, b@c", "js@x.example b@c" },
	{ "John Q. Public <jqp@x>", "jqp@x" },
	{ "root (Cron Daemon)", "root" },
	{ "(a, b) a@b (c (d, \\) ) e)", "a@b" },
	{ "a (x) @ (y) b . c (z)", "a@b.c" },
	{ "a . b @ c", "a.b@c" },
	{ "<a@b>", "a@b" },
	{ "<>", "<>" },
	{ "< >", "<>" },
	{ "x <@r1,@r2:a@b>, c@d", "a@b c@d" },
	{ "\"a b\"@c", "\"a b\"@c" },
	{ "\"ab\"@c", "ab@c" },
	{ "a.\"b\".c@d", "a.b.c@d" },
	{ "\"a\\\"b\" <c@d>", "c@d" },
	{ "undisclosed-recipients:;", "" },
	{ "A Group: Ed <joe@where.test>, j@d , ; k@l", "joe@where.test j@d k@l" },
	{ "\"The, Group\": a@b; c@d", "a@b c@d" },
	{ "Group: <a@b>", "a@b" },
	{ "a@[1.2.3.4]", "a@[1.2.3.4]" },
	{ "a@[ IPv6:::1 ]", "a@[IPv6:::1]" },
	{ "a@b.example.", "a@b.example" },
	{ "\xc3\x96rjan <o@x>", "o@x" },
	{ "\xd6rjan <o@x>", "o@x" }, /* Latin-1 in a name */
	{ "a\r\n @b,\r\n\tc@d\r\n", "a@b c@d" },
	{ "\"a\r\n b\" <c@d>", "c@d" },
	/* none */
	{ "John Smith", "!John Smith" },
	{ "a b@c", "!a b@c" },
	{ "a@b c@d", "!a@b c@d" },
	{ "a@b@c, d@e", "!a@b@c d@e" },
	{ "a@, d@e", "!a@ d@e" },
	{ "@b, d@e", "!@b d@e" },
	{ "a..b@c", "!a..b@c" },
	{ ".a@c", "!.a@c" },
	{ "a.@c", "!a.@c" },
	{ "a@b..c", "!a@b..c" },
	{ "a@-b", "!a@-b" },
	{ "<a@b, c@d", "!<a@b c@d" },
	{ "a@b>, c@d", "!a@b> c@d" },
	{ "<a@b> x, c@d", "!<a@b> x c@d" },
	{ "<a@b> <c@d>, e", "!<a@b> <c@d> e" },
	{ "<<a@b>>", "!<<a@b>>" },
	{ "x <@r a@b>, c@d", "!x <@r a@b> c@d" },
	{ "\"a@b, c@d", "!\"a@b, c@d" },
	{ "\"a@b\\\"", "!\"a@b\\\"" },
	{ "a@b (c, d@e", "!a@b (c, d@e" },
	{ "(a", "!(a" },
	{ "a@b), c@d", "!a@b) c@d" },
	{ "a@[1.2.3.4, b@c", "!a@[1.2.3.4, b@c" },
	{ "a@[1.2.3.400]", "!a@[1.2.3.400]" },
	{ "a[1.2.3.4], c", "!a[1.2.3.4] c" },
	{ "a@b:c, d", "!a@b:c d" },
	{ ":a, d", "!:a d" },
	{ "a\\b@c", "!a\\b@c" },
	{ "a\001@c", "!a\001@c" },
	{ "\xc3\xa9@b, c", "!\xc3\xa9@b c" }, /* PATH_UTF8 is not set */
	{ "\"a\001\"@c", "!\"a\001\"@c" },
	{ "a@\"b\"", "!a@\"b\"" },
};

START_TEST(lists_are_taken_apart)
{
	struct buf got = { 0 };
	struct slice in = slice_z(lists[_i].in);
	size_t found = address_list_each(in, 0, note, &got), bad = 0;

	ck_assert_msg(slice_is(slice_buf(&got), lists[_i].out), "%s: %.*s", lists[_i].in,
	    SLICE_ARG(slice_buf(&got)));
	for (size_t i = 0; i < got.n; i++)
		bad += got.p[i] == '!';
	ck_assert(got.n > 0 || found == 0);
	ck_assert(bad > 0 || found > 0 || got.n == 0);
	buf_fini(&got);
}
END_TEST

struct one {
	struct address got;
	char addr[300];
	int n;
};

static void
keep(void *arg, const struct address *a)
{
	struct one *one = arg;

	one->got = *a;
	slice_copy(a->addr, one->addr, sizeof one->addr);
	one->n++;
}

static const struct {
	const char *in, *raw, *text;
} raws[] = {
	{ "root (Cron Daemon)", "root", "root (Cron Daemon)" },
	{ " Cron Daemon <root>", "root", "Cron Daemon <root>" },
	{ "(x) \"a b\" (y)", "\"a b\"", "(x) \"a b\" (y)" },
	{ "x <@r:a@b> (y)", "a@b", "x <@r:a@b> (y)" },
	{ "grp: a . b @ c ;", "a . b @ c", "a . b @ c" },
	{ "a@[1.2.3.4]", "a@[1.2.3.4]", "a@[1.2.3.4]" },
};

START_TEST(the_place_of_an_address_is_told)
{
	struct one one = { 0 };

	ck_assert_uint_eq(address_list_each(slice_z(raws[_i].in), 0, keep, &one), 1);
	ck_assert_int_eq(one.n, 1);
	ck_assert_msg(slice_is(one.got.raw, raws[_i].raw), "%s", raws[_i].in);
	ck_assert_msg(slice_is(one.got.text, raws[_i].text), "%s", raws[_i].in);
}
END_TEST

START_TEST(utf8_only_where_it_is_allowed)
{
	struct one one = { 0 };

	ck_assert_uint_eq(address_list_each(SLICE_LIT("<\xc3\xa9@b>"), PATH_UTF8, keep, &one), 1);
	ck_assert(one.got.utf8);
	ck_assert_str_eq(one.addr, "\xc3\xa9@b");
	ck_assert_uint_eq(address_list_each(SLICE_LIT("<\xe9@b>"), PATH_UTF8, keep, &one), 0);
	ck_assert(!one.got.ok);
}
END_TEST

static void
count(void *arg, const struct address *a)
{
	*(size_t *)arg += a->ok;
}

/* Deep and long lists cost no stack and no square. */
START_TEST(large_lists)
{
	struct buf in = { 0 };
	size_t n = 0;

	for (int i = 0; i < 200000; i++)
		buf_puts(&in, "a@b,");
	ck_assert_uint_eq(address_list_each(slice_buf(&in), 0, count, &n), 200000);
	ck_assert_uint_eq(n, 200000);
	for (const char *c = "(<\"[:@.,"; *c != '\0'; c++) {
		buf_reset(&in);
		for (int i = 0; i < 1000000; i++)
			buf_putc(&in, *c);
		ck_assert_uint_eq(address_list_each(slice_buf(&in), 0, count, &n), 0);
	}
	buf_fini(&in);
}
END_TEST

/* "name=address", and groups as "{name" and "}". */
static void
note_name(void *arg, const struct address *a)
{
	struct buf *out = arg;

	buf_printf(out, " %.*s=%.*s", SLICE_ARG(a->name), SLICE_ARG(a->ok ? a->addr : a->text));
}

static void
note_group(void *arg, struct slice name)
{
	struct buf *out = arg;

	buf_puts(out, name.p == NULL ? " }" : " {");
	buf_slice(out, name);
}

static const struct {
	const char *in, *out;
} names[] = {
	{ "a@b", " =a@b" },
	{ "John Smith <a@b>", " John Smith=a@b" },
	{ "  John\r\n\t  Q.  Smith<a@b>", " John Q. Smith=a@b" },
	{ "\"Smith, \\\"J\\\"\"<a@b>, c@d", " Smith, \"J\"=a@b =c@d" },
	{ "=?utf-8?q?a_b?= <a@b>", " =?utf-8?q?a_b?==a@b" },
	{ "\"a@b\" <a@b>", " a@b=a@b" },
	{ "a@b (John (J) \\) Smith)", " John (J) ) Smith=a@b" },
	{ "John (J) <a@b> (K)", " John=a@b" },
	{ "<a@b> (K)", " K=a@b" },
	{ "John <a@b> x", " John=John <a@b> x" },
	{ "undisclosed-recipients:;", " {undisclosed-recipients }" },
	{ "\"A, B\" (c) d: a@b, C <c@d>; e@f", " {A, B d =a@b C=c@d } =e@f" },
	{ "\"\": a@b", " { =a@b }" },
	{ "A: a@b", " {A =a@b }" },
	{ "a@b; c@d", " =a@b =c@d" },
};

START_TEST(names_are_told)
{
	struct buf out = { 0 };

	address_list_groups(slice_z(names[_i].in), 0, note_name, note_group, &out);
	ck_assert_msg(slice_is(slice_buf(&out), names[_i].out), "%s: %.*s", names[_i].in,
	    SLICE_ARG(slice_buf(&out)));
	buf_fini(&out);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, names_are_told, 0, sizeof names / sizeof *names);
	tcase_add_loop_test(tc, lists_are_taken_apart, 0, sizeof lists / sizeof *lists);
	tcase_add_loop_test(tc, the_place_of_an_address_is_told, 0, sizeof raws / sizeof *raws);
	tcase_add_test(tc, utf8_only_where_it_is_allowed);
	tcase_add_test(tc, large_lists);
}
CHECK_MAIN("address_list", cases)
