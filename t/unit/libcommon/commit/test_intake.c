/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "commit/intake.h"

/* Messages that fill the memory together, none of them whole, must not wait for each other for
 * ever. */
START_TEST(the_oldest_goes_on)
{
	struct intake in;
	struct letter *a, *b, *c;

	intake_init(&in, 1000, NULL, NULL);
	a = letter_new(&in);
	b = letter_new(&in);
	c = letter_new(&in);
	ck_assert(intake_charge(b, 600)); /* it came first, though its session was later */
	ck_assert(intake_charge(a, 300));
	ck_assert(!intake_charge(a, 500));
	ck_assert(!intake_charge(c, 200));
	ck_assert(intake_charge(b, 5000));
	ck_assert_uint_eq(in.used_bytes, 5300);
	letter_free(b);
	ck_assert(intake_charge(a, 2000)); /* now it is the oldest */
	ck_assert(!intake_charge(c, 200));
	intake_discard(a); /* waited too long: it holds nothing any more */
	ck_assert_uint_eq(in.used_bytes, 0);
	ck_assert(intake_charge(c, 2000));
	letter_free(c);
	b = letter_new(&in);
	ck_assert(intake_charge(b, 1));
	ck_assert(!intake_charge(a, 1000));
	letter_free(a);
	letter_free(b);
	ck_assert_uint_eq(in.used_bytes, 0);
	intake_fini(&in);
}
END_TEST

struct waiting {
	struct intake_wait wait;
	struct intake *in;
	unsigned called;
	bool again;
};

static void
go(void *arg)
{
	struct waiting *w = arg;

	w->called++;
	if (w->again)
		intake_wait(w->in, &w->wait);
}

/* The oldest may be any of those that wait, and goes on where there is no room for others. */
START_TEST(each_that_waits_is_called_once)
{
	struct intake in;
	static const unsigned calls[] = { 2, 2, 2, 1, 0 };
	struct waiting w[5];
	struct letter *l;

	intake_init(&in, 1000, NULL, NULL);
	l = letter_new(&in);
	ck_assert(intake_charge(l, 1000));
	for (unsigned i = 0; i < 5; i++) {
		w[i] = (struct waiting){
			.wait = { .go = go, .arg = &w[i] }, .in = &in, .again = i != 3
		};
		intake_wait(&in, &w[i].wait);
	}
	intake_unwait(&in, &w[4].wait);
	intake_wake(&in);
	intake_wake(&in);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_uint_eq(w[i].called, calls[i]);
	letter_free(l);
	intake_fini(&in);
}
END_TEST

static void
tests(TCase *tc)
{
	tcase_add_test(tc, the_oldest_goes_on);
	tcase_add_test(tc, each_that_waits_is_called_once);
}

CHECK_MAIN("smtpd intake", tests)
