/* SPDX-License-Identifier: ISC */
#include "mail/content_type.h"

#include "t/unit/check_main.h"

static void
note(void *arg, const struct content_param *p)
{
	struct buf *out = arg;

	buf_printf(out, " %.*s", SLICE_ARG(p->name));
	if (p->language.n > 0)
		buf_printf(out, "(%.*s)", SLICE_ARG(p->language));
	buf_printf(out, "=%.*s", SLICE_ARG(p->value));
}

static const struct {
	const char *in, *out; /* "type/subtype name=value ..."; NULL: none */
} rows[] = {
	{ " text/plain\r\n", "text/plain" },
	{ "text/plain; charset=us-ascii (Plain text)", "text/plain charset=us-ascii" },
	{ "(a) text (b) / (c) plain (d); (e) Charset (f) = (g) \"us-ascii\"",
	    "text/plain charset=us-ascii" },
	{ "multipart/mixed;\r\n\tboundary=\"a b;=\\\"c\\\\\"; x=y",
	    "multipart/mixed boundary=a b;=\"c\\ x=y" },
	{ "multipart/mixed; boundary==_x=", "multipart/mixed boundary==_x=" },
	{ "inline; filename=\"a\r\n b\"", "inline/ filename=a b" },
	{ "a/b; x=1; X=2", "a/b x=1" },
	{ "a/b; x-boundary=1; boundary=2", "a/b x-boundary=1 boundary=2" },
	{ "a/b; c*=us-ascii'en-us'This%20is", "a/b c(en-us)=This is" },
	{ "a/b; c*=iso-8859-1''%E1", "a/b c=\xc3\xa1" },
	{ "a/b; c=x; c*=utf-8''y", "a/b c=y" },
	{ "a/b; u*0=\"ftp://\"; u*1=x/y; v=1", "a/b u=ftp://x/y v=1" },
	{ "a/b; t*2=\"c!\"; t*0*=us-ascii'en'a%20; t*1*=%2Ab", "a/b t(en)=a *bc!" },
	{ "a/b; t*0=x; t*2=y", "a/b t=x" },
	{ "a/b; n=\"=?utf-8?q?a?=\"", "a/b n=a" },
	/* borne with */
	{ "a/b x=1\r\n y=2", "a/b x=1 y=2" },
	{ "a/b;;; ;x=1;", "a/b x=1" },
	{ "a/b; x", "a/b" },
	{ "a/b; =1; x=", "a/b" },
	{ "a/b; x=\"", "a/b x=" },
	{ "a/b; x=\"a\\", "a/b x=a\\" },
	{ "a/b; x=1 (y=2", "a/b x=1" },
	{ "a/b; c*=zz''%41", "a/b c=A" },
	{ "a/b; c*=utf-8''%FF", "a/b c=\xff" },
	{ "a/b; c*=x", "a/b c=x" },
	{ "a/b; c*='x", "a/b c='x" },
	{ "a/b; t*1=x", "a/b" },
	{ "a/b\nx: y=1", "a/b" },
	{ "", NULL },
	{ "/", NULL },
	{ " ;charset=us-ascii", NULL },
	{ "/plain", NULL },
	{ "(x", NULL },
};

START_TEST(type_is_read)
{
	struct content_type t;
	struct buf b = { 0 };
	bool ok = content_type_read(slice_z(rows[_i].in), &t);

	ck_assert_msg(ok == (rows[_i].out != NULL), "%s", rows[_i].in);
	if (!ok)
		return;
	buf_printf(&b, "%.*s/%.*s", SLICE_ARG(t.type), SLICE_ARG(t.subtype));
	content_type_params(t.params, note, &b);
	ck_assert_msg(slice_is(slice_buf(&b), rows[_i].out), "%s: %.*s", rows[_i].in,
	    SLICE_ARG(slice_buf(&b)));
	buf_fini(&b);
}
END_TEST

START_TEST(one_parameter_is_found)
{
	struct slice params = SLICE_LIT("; a=1; Boundary=\"x y\"; n\0=; \0\0; z=3");
	struct buf b = { 0 };

	ck_assert(content_type_param(params, "boundary", &b) && slice_is(slice_buf(&b), "x y"));
	buf_reset(&b);
	ck_assert(content_type_param(params, "z", &b) && slice_is(slice_buf(&b), "3"));
	ck_assert(!content_type_param(params, "y", &b));
	buf_fini(&b);
}
END_TEST

/* Pieces without end: some are taken, at once. */
START_TEST(floods_are_read_at_once)
{
	static const char *const floods[] = { "x=1;", "x*0=1;", "(", "=", "\"", "x=\"", "x*1*=%41;",
		";", "x " };
	struct buf in = { 0 }, out = { 0 };

	for (size_t i = 0; i < sizeof floods / sizeof *floods; i++) {
		buf_reset(&in);
		while (in.n < 256 * 1024)
			buf_puts(&in, floods[i]);
		buf_reset(&out);
		content_type_params(slice_buf(&in), note, &out);
		ck_assert_uint_le(out.n, in.n + 100);
	}
	buf_fini(&in);
	buf_fini(&out);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, type_is_read, 0, sizeof rows / sizeof *rows);
	tcase_add_test(tc, one_parameter_is_found);
	tcase_add_test(tc, floods_are_read_at_once);
}
CHECK_MAIN("content_type", cases)
