/* SPDX-License-Identifier: ISC */
#include "ctl/queue_print.h"

#include "t/unit/check_main.h"

#include <time.h>

#define HEADING "-Queue ID-        --Size-- ---Arrival Time---- -Sender/Recipient-------\n"
#define COLUMN "                                               "

static const struct {
	const char *in, *out;
	unsigned malformed;
} lists[] = {
	{ "", "Mail queue is empty\n", 0 },
	{ "M\t0ABC\tactive\t2048\t1581585072123\ta@x\nR\tb@y\tactive\t\n",
	    HEADING "0ABC*                 2048 Thu Feb 13 09:11:12 a@x\n" COLUMN "b@y\n"
		    "\n-- 2 Kbytes in 1 Request.\n",
	    0 },
	{ "M\t1\tdeferred\t1024\t0\t\nR\tb\tdeferred\tno route\nR\tc\tdeferred\tno route\n"
	  "R\td\tdeferred\tother\nM\t2\thold\t1500\t1000\ts\nR\te\thold\tno route\n"
	  "M\t3\texpired\t0\t1000\ts\n",
	    HEADING "1                     1024 Thu Jan  1 00:00:00 MAILER-DAEMON\n"
		    "                                                                    (no "
		    "route)\n" COLUMN "b\n" COLUMN "c\n"
		    "                                                                       "
		    "(other)\n" COLUMN "d\n\n"
		    "2!                    1500 Thu Jan  1 00:00:01 s\n"
		    "                                                                    (no "
		    "route)\n" COLUMN "e\n\n"
		    "3#                       0 Thu Jan  1 00:00:01 s\n"
		    "\n-- 2 Kbytes in 3 Requests.\n",
	    0 },
	/* What came from outside does not reach the terminal as it is. */
	{ "M\t1\tactive\t1\t0\ta\\tb\\\\c\x1b[2J\n",
	    HEADING "1*                       1 Thu Jan  1 00:00:00 a b\\c?[2J\n"
		    "\n-- 0 Kbytes in 1 Request.\n",
	    0 },
	{ "X\tnew kind of line\n", "Mail queue is empty\n", 0 },
	{ "R\tb\tactive\t\n", "Mail queue is empty\n", 1 },
	{ "M\t1\tactive\tmany\t0\ts\nM\t1\nM\t1\tactive\t1\t0\ts", "Mail queue is empty\n", 3 },
};

START_TEST(lists_shown)
{
	struct slice in = slice_z(lists[_i].in);

	setenv("TZ", "UTC0", 1);
	tzset();
	for (size_t step = 1; step < 200; step += 198) {
		struct queue_print q = { 0 };
		struct buf out = { 0 };

		for (size_t at = 0; at < in.n; at += step)
			queue_print_feed(&q, slice_head(slice_from(in, at), step), &out);
		queue_print_end(&q, &out);
		ck_assert_msg(slice_is(slice_buf(&out), lists[_i].out), "row %d: %.*s", _i,
		    SLICE_ARG(slice_buf(&out)));
		ck_assert_uint_eq(q.malformed, lists[_i].malformed);
		queue_print_fini(&q);
		buf_fini(&out);
	}
}
END_TEST

START_TEST(fields_are_escaped)
{
	struct buf out = { 0 };

	queue_print_field(&out, SLICE_LIT("a\tb\nc\\"));
	queue_print_field(&out, SLICE_NONE);
	ck_assert(slice_is(slice_buf(&out), "\ta\\tb\\nc\\\\\t"));
	buf_fini(&out);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, lists_shown, 0, sizeof lists / sizeof *lists);
	tcase_add_test(tc, fields_are_escaped);
}
CHECK_MAIN("queue_print", cases)
