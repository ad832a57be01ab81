/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "bounce/notice.h"

static void
example(struct buf *out)
{
	const struct notice n = { .id = 77,
		.kind = 1,
		.to = SLICE_LIT("s@x.example"),
		.sender = SLICE_LIT("s@x.example"),
		.envid = SLICE_LIT("QQ"),
		.arrival_ms = UINT64_C(1700000000000),
		.hostname = SLICE_LIT("mx.example"),
		.nrcpt = 2 };
	const struct notice_rcpt one = { .number = 0,
		.action = NOTICE_FAILED,
		.address = SLICE_LIT("a@y.example"),
		.code = 550,
		.enh_class = 5,
		.enh_subject = 1,
		.enh_detail = 1,
		.reply = SLICE_LIT("no"),
		.host = SLICE_LIT("h") };
	const struct notice_rcpt two = {
		.number = 9, .action = NOTICE_EXPIRED, .address = SLICE_LIT("b@y.example")
	};

	notice_put(out, &n);
	notice_rcpt_put(out, &one);
	notice_rcpt_put(out, &two);
	notice_length_put(out, 6);
	buf_puts(out, "A: b\r\n");
	notice_length_put(out, 0);
}

START_TEST(what_is_put_is_got)
{
	struct buf b = { 0 };
	struct notice n;
	struct notice_rcpt r;
	struct slice rest;
	const char *why;

	example(&b);
	ck_assert_msg(notice_get(slice_buf(&b), &n, &why), "%s", why);
	ck_assert_uint_eq(n.id, 77);
	ck_assert_uint_eq(n.nrcpt, 2);
	ck_assert(slice_is(n.envid, "QQ") && slice_is(n.hostname, "mx.example") &&
		  slice_is(n.head, "A: b\r\n"));
	ck_assert_uint_eq(n.body.n, 0);
	rest = n.rcpts;
	ck_assert(notice_rcpt_next(&rest, &r));
	ck_assert(r.code == 550 && r.enh_detail == 1 && slice_is(r.address, "a@y.example") &&
		  slice_is(r.host, "h"));
	ck_assert(notice_rcpt_next(&rest, &r));
	ck_assert(r.number == 9 && r.action == NOTICE_EXPIRED && r.reply.n == 0);
	ck_assert(!notice_rcpt_next(&rest, &r));
	buf_fini(&b);
}
END_TEST

/* Cut anywhere it is refused, with a word; so is more behind the end. */
START_TEST(cut_is_refused)
{
	struct buf b = { 0 };
	struct notice n;
	const char *why;

	example(&b);
	for (size_t i = 0; i < b.n; i++) {
		char *copy = malloc(i + 1);

		memcpy(copy, b.p, i);
		ck_assert(!notice_get(slice_of(copy, i), &n, &why));
		ck_assert_ptr_nonnull(why);
		free(copy);
	}
	buf_putc(&b, 'x');
	ck_assert(!notice_get(slice_buf(&b), &n, &why));
	buf_fini(&b);
}
END_TEST

/* Any byte may be another: nothing is read beyond the end (sanitizers look), values are in range. */
START_TEST(flipped_bytes_do_no_harm)
{
	struct buf b = { 0 };
	struct notice n;
	const char *why;

	example(&b);
	for (size_t i = 0; i < b.n; i++) {
		for (unsigned v = 1; v < 256; v = v * 2 + 1) {
			b.p[i] ^= (char)v;
			if (notice_get(slice_buf(&b), &n, &why)) {
				struct slice rest = n.rcpts;
				struct notice_rcpt r;
				unsigned got = 0;

				while (notice_rcpt_next(&rest, &r)) {
					ck_assert_ptr_nonnull(notice_action_word(r.action));
					ck_assert_uint_le(r.code, 999);
					got++;
				}
				ck_assert_uint_eq(got, n.nrcpt);
			}
			b.p[i] ^= (char)v;
		}
	}
	buf_fini(&b);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, what_is_put_is_got);
	tcase_add_test(tc, cut_is_refused);
	tcase_add_test(tc, flipped_bytes_do_no_harm);
}
CHECK_MAIN("notice", cases)
