/* SPDX-License-Identifier: ISC */
#include "ctl/submit_report.h"

#include "t/unit/check_main.h"

static const struct submit_refusal items[] = {
	{ SLICE_LIT("bob@x.org"), SLICE_LIT("User unknown"), 550, { 5, 1, 1 } },
	{ SLICE_LIT("x@@\r\ny"), SLICE_LIT("not an address"), 0, { 5, 1, 3 } },
	{ SLICE_LIT("c@x.org"), SLICE_LIT("no"), 554, { 0, 0, 0 } },
};

static bool
has(const struct buf *b, const char *text)
{
	return memmem(b->p, b->n, text, strlen(text)) != NULL;
}

static void
print(struct slice original, struct buf *header, struct buf *body)
{
	struct submit_report r = { .sender = SLICE_LIT("alice@o.example"),
		.origin = SLICE_LIT("o.example"),
		.items = items,
		.n_items = 3,
		.original = original,
		.wall_us = 1581585072000000,
		.zone_min = 60,
		.unique = 7 };

	submit_report_print(&r, header, body);
}

START_TEST(report_of_three)
{
	struct buf header = { 0 }, body = { 0 };

	print(SLICE_LIT("Subject: \xe4\r\nFrom: a\r\n\r\n"), &header, &body);
	ck_assert(has(&header, "To: <alice@o.example>\r\n"));
	ck_assert(has(&header, "Auto-Submitted: auto-replied\r\n"));
	ck_assert(has(&header, "boundary=\"=_00000000000000070005"));
	ck_assert(slice_iends(slice_buf(&header), SLICE_LIT("\r\n\r\n")));
	ck_assert(has(&body, "Final-Recipient: rfc822; bob@x.org\r\nAction: failed\r\n"
			     "Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 User unknown\r\n"));
	ck_assert(has(&body, "Final-Recipient: rfc822; x@@??y\r\nAction: failed\r\n"
			     "Status: 5.1.3\r\n\r\nFinal-Recipient: rfc822; c@x.org\r\n"));
	ck_assert(has(&body, "Status: 5.0.0\r\nDiagnostic-Code: smtp; 554 no\r\n"));
	ck_assert(
	    has(&body, "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit\r\n"
		       "\r\nSubject: \xe4\r\nFrom: a\r\n\r\n--=_"));
	ck_assert(slice_iends(slice_buf(&body), SLICE_LIT("--\r\n")));
	buf_fini(&header);
	buf_fini(&body);
}
END_TEST

START_TEST(long_header_is_cut_at_a_line)
{
	struct buf header = { 0 }, body = { 0 }, original = { 0 };

	for (int i = 0; i < 10000; i++)
		buf_puts(&original, "X-Filler: twenty\r\n");
	print(slice_buf(&original), &header, &body);
	ck_assert_uint_lt(body.n, 70000);
	ck_assert(has(&body, "X-Filler: twenty\r\n\r\n--=_"));
	buf_fini(&header);
	buf_fini(&body);
	buf_fini(&original);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, report_of_three);
	tcase_add_test(tc, long_header_is_cut_at_a_line);
}
CHECK_MAIN("submit_report", cases)
