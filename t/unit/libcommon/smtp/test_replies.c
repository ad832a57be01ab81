/* SPDX-License-Identifier: ISC */
#include "smtp/replies.h"
#include "smtp/reply.h"

#include "t/unit/check_main.h"

#include <stdio.h>

/* Each row comes back as it was meant from what a client reads. */
START_TEST(every_row_is_a_reply)
{
	struct reply_parser p = { 0 };
	struct buf out = { 0 };
	struct reply_in got;
	char enh[16] = "";
	size_t used;

	reply_format(&out, (enum reply)_i, SLICE_LIT("arg"));
	ck_assert_int_eq(reply_feed(&p, slice_buf(&out), &used, &got), REPLY_DONE);
	ck_assert_uint_eq(used, out.n);
	ck_assert_uint_eq(got.code, reply_code((enum reply)_i));
	if (got.enh[0] != 0)
		snprintf(enh, sizeof enh, "%u.%u.%u", got.enh[0], got.enh[1], got.enh[2]);
	ck_assert_str_eq(enh, reply_enh((enum reply)_i));
	ck_assert(memchr(out.p, '%', out.n) == NULL && out.n <= 200);
	buf_fini(&out);
	reply_parser_fini(&p);
}
END_TEST

START_TEST(arguments_are_cleaned_and_cut)
{
	struct buf out = { 0 };
	char big[2000];

	reply_format(&out, REPLY_QUEUED, SLICE_LIT("A\r\nB\xc3\tC"));
	ck_assert(slice_is(slice_buf(&out), "250 2.0.0 Queued as A??B? C\r\n"));
	buf_reset(&out);
	memset(big, 'x', sizeof big);
	reply_format(&out, REPLY_SHUTDOWN, slice_of(big, sizeof big));
	ck_assert_uint_eq(out.n, 512);
	ck_assert(slice_iends(slice_buf(&out), SLICE_LIT("x is shutting down\r\n")));
	ck_assert(slice_is(reply_line(REPLY_OK), "250 2.0.0 Ok\r\n"));
	ck_assert(slice_is(reply_line(REPLY_GO_AHEAD), "354 End with a line of one dot\r\n"));
	buf_fini(&out);
}
END_TEST

START_TEST(foreign_texts_keep_to_lines)
{
	static const uint8_t none[3] = { 0 }, enh[3] = { 5, 7, 1 };
	struct buf out = { 0 };
	char big[2000];

	reply_put_text(&out, 550, enh, SLICE_LIT("No.\r\nReally\nno\x7f"));
	ck_assert(
	    slice_is(slice_buf(&out), "550-5.7.1 No.\r\n550-5.7.1 Really\r\n550 5.7.1 no?\r\n"));
	buf_reset(&out);
	reply_put_text(&out, 450, none, SLICE_LIT("x"));
	reply_put_text(&out, 250, none, SLICE_NONE);
	ck_assert(slice_is(slice_buf(&out), "450 x\r\n250 \r\n"));
	buf_reset(&out);
	memset(big, 'x', sizeof big);
	reply_put_text(&out, 450, enh, slice_of(big, sizeof big));
	ck_assert_uint_eq(out.n, 512);
	buf_fini(&out);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, every_row_is_a_reply, 0, REPLY_COUNT);
	tcase_add_test(tc, arguments_are_cleaned_and_cut);
	tcase_add_test(tc, foreign_texts_keep_to_lines);
}
CHECK_MAIN("replies", cases)
