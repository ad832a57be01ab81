/* SPDX-License-Identifier: ISC */
#include "smtpd/letter.h"

#include "spool/large.h"
#include "t/unit/check_main.h"

/* No file can be had here; when one was asked for shows in the time of the next look. */
static const struct letter_flow_to nowhere = { 0 };

static void
put(struct letter *l, size_t n)
{
	memset(buf_room(&l->content, n), 'x', n);
	l->content.n += n;
}

static void
fini(struct letter *l)
{
	buf_fini(&l->content);
}

/* In pieces of any size, the border is found where it is: neither before nor a piece late. */
START_TEST(a_file_is_wanted_when_the_body_is_beyond_the_border)
{
	static const char head[] = "A: b\r\nC: d\r\n";
	struct letter l = { 0 };
	size_t border, piece = (size_t[]){ 1000, 4096, 16384, 65536, LARGE_BODY_BYTES - 5 }[_i];

	buf_puts(&l.content, head);
	border = sizeof head - 1 + LARGE_BODY_BYTES;
	buf_puts(&l.content, "\r\n");
	while (l.content.n + piece <= border) {
		put(&l, piece);
		ck_assert_int_eq(letter_flow(&l, 0, &nowhere), LETTER_STAYS);
		ck_assert_uint_le(l.flow_at, border + 1);
	}
	put(&l, border - l.content.n);
	ck_assert_int_eq(letter_flow(&l, 0, &nowhere), LETTER_STAYS);
	ck_assert_uint_le(l.flow_at, border + 1);
	put(&l, 1);
	ck_assert_int_eq(letter_flow(&l, 0, &nowhere), LETTER_STAYS);
	ck_assert_uint_gt(l.flow_at, border + 1);
	fini(&l);
}
END_TEST

/* What stays is bounded, and more so than what a process may cost: 10 MB. */
START_TEST(what_stays_is_bounded)
{
	struct letter l = { 0 };
	bool body = _i != 0;
	enum letter_flow got = LETTER_STAYS;

	buf_puts(&l.content, body ? "A: b\r\n\r\nbody\r\n" : "A: ");
	while (got == LETTER_STAYS && l.content.n < 20 << 20) {
		put(&l, 65536);
		if (!body)
			buf_puts(&l.content, "\r\n ");
		got = letter_flow(&l, 0, &nowhere);
	}
	ck_assert_int_eq(got, body ? LETTER_NO_FILE : LETTER_ENDLESS_HEAD);
	ck_assert_uint_le(l.content.n, LETTER_STAYS_MAX + LARGE_BODY_BYTES);
	ck_assert_uint_le(LETTER_STAYS_MAX, 5 << 20);
	fini(&l);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, a_file_is_wanted_when_the_body_is_beyond_the_border, 0, 5);
	tcase_add_loop_test(tc, what_stays_is_bounded, 0, 2);
}
CHECK_MAIN("letter", cases)
