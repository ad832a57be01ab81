/* SPDX-License-Identifier: ISC */
#include "table/alias.h"

#include "t/unit/check_main.h"

#include <errno.h>

/* What a text comes to: "name=kindvalue,kindvalue;" and "!line" for each that is wrong. */
static const struct {
	const char *text, *want;
} texts[] = {
	{ "", "" },
	{ "# no\n\n  \t\n#\n", "" },
	{ "postmaster: root\n", "postmaster=@root;" },
	{ "PostMaster :root", "postmaster=@root;" },
	{ "a: b, c@d.example ,\\e\n", "a=@b,@c@d.example,\\e;" },
	{ "a: b,\n\tc,\n  # no comment\n", "a=@b,@c,@# no comment;" },
	{ "a: b,\n\tc\nd: e\n", "a=@b,@c;d=@e;" },
	{ "a: b\n# between\n\n c\n", "a=@b c;" },
	{ "cmd: |/bin/x y\n", "cmd=|/bin/x y;" },
	{ "cmd: \"|/bin/x y, z\"\n", "cmd=|/bin/x y, z;" },
	{ "cmd: \"|x \\\"q\\\" \\\\\"\n", "cmd=|x \"q\" \\;" },
	{ "f: /var/mail/f, \"/a b/\"\n", "f=//var/mail/f,//a b/;" },
	{ "l: :include:/etc/l\n", "l=:/etc/l;" },
	{ "l: \":include: /etc/l\"\n", "l=:/etc/l;" },
	{ "\"odd:name\": x\n", "odd:name=@x;" },
	{ "q: \"a, b\"@c.example, d\n", "q=@\"a, b\"@c.example,@d;" },
	{ "a: b\r\nc: d\r\n", "a=@b;c=@d;" },
	{ "owner-l: boss\n", "owner-l=@boss;" },
	/* wrong, and what stands behind it is read */
	{ "a b\nc: d\n", "!1c=@d;" },
	{ ": x\n", "!1" },
	{ "a:\nb: c\n", "!1b=@c;" },
	{ "a: b,,c\n", "!1" },
	{ "a: b,\n", "!1" },
	{ " a: b\n", "!1" },
	{ "a: \"b\n", "!1" },
	{ "a@b.example: c\n", "!1" },
	{ "a b: c\n", "!1" },
	{ "a: |\n", "!1" },
	{ "a: :include:etc\n", "!1" },
	{ "a: :fail: no\n", "!1" },
	{ "a: \\\n", "!1" },
	{ "a: b\001\n", "!1" },
};

static void
on_put(void *ctx, unsigned line, struct slice name, struct slice rows)
{
	struct alias_value v;
	const char *between = "";

	(void)line;
	buf_printf(ctx, "%.*s=", SLICE_ARG(name));
	while (alias_value_next(&rows, &v) == 1) {
		buf_printf(ctx, "%s%c%.*s", between, (char)v.kind, SLICE_ARG(v.text));
		between = ",";
	}
	buf_putc(ctx, ';');
}

static void
on_wrong(void *ctx, unsigned line, const char *why)
{
	ck_assert_ptr_nonnull(why);
	buf_printf(ctx, "!%u", line);
}

START_TEST(texts_are_read)
{
	struct buf got = { 0 };
	const struct alias_reader to = { on_put, NULL, on_wrong, &got };
	unsigned bad = alias_read(slice_z(texts[_i].text), &to);

	buf_putc(&got, '\0');
	ck_assert_str_eq(got.p, texts[_i].want);
	ck_assert_uint_eq(bad, strchr(texts[_i].want, '!') != NULL);
	buf_fini(&got);
}
END_TEST

static const char *
no_dots(void *ctx, const struct alias_value *v)
{
	(void)ctx;
	return slice_find(v->text, '.') >= 0 ? "a dot" : NULL;
}

START_TEST(the_caller_may_refuse_a_value)
{
	struct buf got = { 0 };
	const struct alias_reader to = { on_put, no_dots, on_wrong, &got };

	ck_assert_uint_eq(alias_read(SLICE_LIT("a: b\nc: d, e.f\ng: h\n"), &to), 1);
	ck_assert(slice_is(slice_buf(&got), "a=@b;!2g=@h;"));
	buf_fini(&got);
}
END_TEST

static const struct {
	const char *bytes;
	size_t n;
} bad_rows[] = { { "@", 1 }, { "@\0", 2 }, { "\0", 1 }, { "@a", 2 }, { "xa\0", 3 } };

START_TEST(bad_rows_are_refused)
{
	struct slice rows = slice_of(bad_rows[_i].bytes, bad_rows[_i].n);
	struct alias_value v;

	ck_assert_int_eq(alias_value_next(&rows, &v), -EBADMSG);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, texts_are_read, 0, sizeof texts / sizeof *texts);
	tcase_add_test(tc, the_caller_may_refuse_a_value);
	tcase_add_loop_test(tc, bad_rows_are_refused, 0, sizeof bad_rows / sizeof *bad_rows);
}
CHECK_MAIN("alias", cases)
