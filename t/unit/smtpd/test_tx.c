/* SPDX-License-Identifier: ISC */
#include "../check_main.h"

#include "smtpd/tx.h"

#include <stdio.h>

enum { MANY = 1100 };

static struct rcpt *
rcpt_new(struct tx *tx, unsigned number)
{
	struct rcpt *r = arena_alloc(&tx->arena, sizeof *r);
	char address[32];

	snprintf(address, sizeof address, "u%u@d.example", number);
	*r = (struct rcpt){ .address = arena_slice(&tx->arena, slice_z(address)) };
	return r;
}

/* Between any two of them other things of the transaction are put into the arena. */
START_TEST(each_recipient_is_known_however_many_there_are)
{
	struct tx tx = { .state = TX_MAIL };

	for (unsigned i = 0; i < MANY; i++) {
		struct rcpt *r = rcpt_new(&tx, i);

		ck_assert(!tx_has(&tx, r->address));
		tx_accept(&tx, r);
		for (int k = 0; k < 3; k++)
			memset(arena_alloc(&tx.arena, 48), 0xff, 48);
		for (unsigned back = 0; back <= i; back += back + 3 < i ? i / 40 + 1 : 1)
			ck_assert(tx_has(&tx, rcpt_new(&tx, back)->address));
	}
	ck_assert_uint_eq(tx.nrcpt, MANY);
	tx_reset(&tx);
	ck_assert_uint_eq(tx.nrcpt, 0);
	ck_assert_int_eq(tx.state, TX_READY);
}
END_TEST

START_TEST(domains_are_compared_without_case_and_local_parts_with)
{
	static const struct {
		const char *address;
		bool has;
	} rows[] = { { "a@b.example", true }, { "a@B.Example", true }, { "A@b.example", false },
		{ "a@b.exampl", false }, { "a@b.examplee", false }, { "b@b.example", false } };
	struct tx tx = { .state = TX_MAIL };
	struct rcpt one = { .address = SLICE_LIT("a@b.example") };

	tx_accept(&tx, &one);
	for (unsigned more = 0; more < 2; more++) {
		for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
			ck_assert_msg(tx_has(&tx, slice_z(rows[i].address)) == rows[i].has, "%s",
			    rows[i].address);
		for (unsigned i = 0; i < 100; i++) /* the second time by the index */
			tx_accept(&tx, rcpt_new(&tx, i));
	}
	tx_reset(&tx);
}
END_TEST

static void
tests(TCase *tc)
{
	tcase_add_test(tc, each_recipient_is_known_however_many_there_are);
	tcase_add_test(tc, domains_are_compared_without_case_and_local_parts_with);
}

CHECK_MAIN("smtpd transaction", tests)
