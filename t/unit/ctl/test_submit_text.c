/* SPDX-License-Identifier: ISC */
#include "ctl/submit_text.h"

#include "t/unit/check_main.h"

static const struct {
	const char *in;
	bool literal; /* -i */
	const char *out, *from;
} texts[] = {
	{ "", true, "", "" },
	{ "a\nb\n", true, "a\r\nb\r\n", "" },
	{ "a\r\nb", true, "a\r\nb\r\n", "" },
	{ "a\r\n\nb\n\r\n", true, "a\r\n\r\nb\r\n\r\n", "" },
	{ "a\r\r\n", true, "a\r\n", "" },
	{ "a\rb\r", true, "a b\r\n", "" },
	{ "\r", true, "\r\n", "" },
	/* php: CR LF in the header, LF in the body */
	{ "To: a\r\nSubject: s\r\n\r\nl1\nl2\n", true, "To: a\r\nSubject: s\r\n\r\nl1\r\nl2\r\n",
	    "" },
	{ "a\n.\nb\n", true, "a\r\n.\r\nb\r\n", "" },
	{ "a\n.\nb\n", false, "a\r\n", "" },
	{ "a\n.\r\nb\n", false, "a\r\n", "" },
	{ "a\n.", false, "a\r\n", "" },
	{ "a\n..x\n.y\n. \n", false, "a\r\n..x\r\n.y\r\n. \r\n", "" },
	{ "From a Mon\n>From b\nSubject: x\n", true, "Subject: x\r\n", "From a Mon\n>From b\n" },
	{ "From a\r\n\nFrom b\n", true, "\r\nFrom b\r\n", "From a\n" },
	{ "From : a\n", true, "From : a\r\n", "" },
	{ "From: a\n", true, "From: a\r\n", "" },
	{ "\xff\xfe\x80\n", true, "\xff\xfe\x80\r\n", "" },
};

/* Whole, and byte by byte. */
START_TEST(lines)
{
	struct slice in = slice_z(texts[_i].in);

	for (size_t step = 1; step <= in.n + 1;
	     step = step == 1 && in.n > 0 ? in.n + 1 : step + 1) {
		struct submit_text t = { .dots_literal = texts[_i].literal };
		struct buf out = { 0 };

		for (size_t at = 0; at < in.n; at += step)
			submit_text_feed(&t, slice_head(slice_from(in, at), step), &out);
		submit_text_end(&t, &out);
		ck_assert_msg(slice_is(slice_buf(&out), texts[_i].out), "row %d step %zu: %.*s", _i,
		    step, SLICE_ARG(slice_buf(&out)));
		ck_assert(slice_is(slice_buf(&t.from_lines), texts[_i].from));
		submit_text_fini(&t);
		buf_fini(&out);
	}
}
END_TEST

START_TEST(nul_passes)
{
	struct submit_text t = { .dots_literal = true };
	struct buf out = { 0 };

	submit_text_feed(&t, slice_of("a\0b\n\0", 5), &out);
	submit_text_end(&t, &out);
	ck_assert(slice_eq(slice_buf(&out), slice_of("a\0b\r\n\0\r\n", 8)));
	submit_text_fini(&t);
	buf_fini(&out);
}
END_TEST

enum { LONG = 3 * SUBMIT_TEXT_HELD };

/* In pieces of so many bytes, the last of them half a line: no more is held than may be. */
static void
feed_long(size_t step, const char *end, const char *want_end)
{
	struct submit_text t = { 0 };
	struct buf in = { 0 }, out = { 0 };

	buf_puts(&in, "a: b\n\n");
	memset(buf_room(&in, LONG), 'x', LONG);
	in.n += LONG;
	buf_puts(&in, "\ry");
	buf_puts(&in, end);
	for (size_t at = 0; at < in.n; at += step) {
		submit_text_feed(&t, slice_head(slice_from(slice_buf(&in), at), step), &out);
		ck_assert_uint_le(t.part.n, SUBMIT_TEXT_HELD);
	}
	submit_text_end(&t, &out);
	ck_assert(slice_is(slice_head(slice_buf(&out), 9), "a: b\r\n\r\nx"));
	ck_assert_str_eq((buf_putc(&out, '\0'), out.p + 8 + LONG), want_end);
	submit_text_fini(&t);
	buf_fini(&in);
	buf_fini(&out);
}

static const struct {
	const char *in, *out;
} ends[] = {
	{ "", " y\r\n" },
	{ "\n", " y\r\n" },
	{ "\r\r\n", " y\r\n" },
	{ "\r\rz\r", " y  z\r\n" },
	{ "\n.\r\nz\n", " y\r\n" },
	{ "\nFrom z\n\n", " y\r\nFrom z\r\n\r\n" },
};

START_TEST(a_long_line_is_not_held)
{
	for (size_t step = 997; step < 2 * LONG; step = step * 3 + 1)
		feed_long(step, ends[_i].in, ends[_i].out);
}
END_TEST

START_TEST(crs_without_end_are_not_held)
{
	struct submit_text t = { .dots_literal = true };
	struct buf out = { 0 };
	char crs[1000];

	memset(crs, '\r', sizeof crs);
	for (size_t n = 0; n < LONG; n += sizeof crs)
		submit_text_feed(&t, slice_of(crs, sizeof crs), &out);
	ck_assert_uint_le(t.crs, SUBMIT_TEXT_HELD);
	ck_assert_uint_le(t.part.n, SUBMIT_TEXT_HELD);
	submit_text_feed(&t, SLICE_LIT("z\n"), &out);
	ck_assert_uint_ge(out.n, LONG);
	ck_assert(slice_is(slice_from(slice_buf(&out), out.n - 4), " z\r\n"));
	submit_text_fini(&t);
	buf_fini(&out);
}
END_TEST

START_TEST(from_lines_without_end_are_not_held)
{
	struct submit_text t = { 0 };
	struct buf out = { 0 };

	for (size_t n = 0; n < LONG; n += 7)
		submit_text_feed(&t, SLICE_LIT("From x\n"), &out);
	submit_text_feed(&t, SLICE_LIT("y\n"), &out);
	ck_assert_uint_lt(t.from_lines.n, SUBMIT_TEXT_HELD);
	ck_assert(slice_is(slice_buf(&out), "y\r\n"));
	submit_text_fini(&t);
	buf_fini(&out);
}
END_TEST

static const struct {
	const char *lines, *sender; /* NULL: none */
} uucp[] = {
	{ "", NULL },
	{ "From joe Mon Jan  1 remote from alpha\n", "alpha!joe" },
	{ "From joe Mon Jan  1\n", "joe" },
	{ "From alpha!joe Mon remote from beta\n", "beta!alpha!joe" },
	{ ">From joe Mon remote from alpha\n>From x Tue\n", "alpha!x" },
	{ "From \n", NULL },
};

START_TEST(uucp_senders)
{
	struct buf out = { 0 };
	bool found = submit_text_uucp_sender(slice_z(uucp[_i].lines), &out);

	ck_assert(found == (uucp[_i].sender != NULL));
	ck_assert_msg(!found || slice_is(slice_buf(&out), uucp[_i].sender), "%.*s",
	    SLICE_ARG(slice_buf(&out)));
	buf_fini(&out);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, lines, 0, sizeof texts / sizeof *texts);
	tcase_add_test(tc, nul_passes);
	tcase_add_loop_test(tc, a_long_line_is_not_held, 0, sizeof ends / sizeof *ends);
	tcase_add_test(tc, crs_without_end_are_not_held);
	tcase_add_test(tc, from_lines_without_end_are_not_held);
	tcase_add_loop_test(tc, uucp_senders, 0, sizeof uucp / sizeof *uucp);
}
CHECK_MAIN("submit_text", cases)
