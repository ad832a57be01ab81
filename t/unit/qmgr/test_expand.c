/* SPDX-License-Identifier: ISC */
#include "world.h"

#include "qmgr/address.h"
#include "qmgr/clean.h"
#include "qmgr/expand.h"
#include "qmgr/expanded.h"

static struct world w;
static struct pen p;

static void
setup(void)
{
	world_new(&w, "retry_first = 10m\nlife = 2h\nfailed_keep = 1h\njobs_max = 40\n"
		      "recipients_per_transaction = 1000\nrelay_host = \"192.0.2.1\"\n");
	p = world_lease(&w, CLASS_MX, 11);
}

static void
teardown(void)
{
	close(p.fd);
	world_end(&w);
}

/* Without a route: it waits for router's answer. */
static struct message *
letter_to(const char *a, const char *b, uint8_t notify)
{
	const struct letter l = { .from = "a@x.example", .to = { a, b } };
	uint64_t id = pen_write(&w, &p, &l);

	pen_ring(&w, &p);
	message_rcpts(message_find(&w.q.messages, id))[0].notify = notify & 15U;
	return message_find(&w.q.messages, id);
}

static void
list_put(struct buf *list, const char *address)
{
	uint16_t n = (uint16_t)strlen(address);

	buf_put(list, &n, sizeof n);
	buf_puts(list, address);
}

/* Router's answer in one part. */
static enum expand_step
answer(struct message *m, unsigned rcpt, const char *const *address, uint32_t first, uint32_t n,
    uint32_t total, uint64_t whole, uint32_t *from)
{
	struct buf list = { 0 };
	enum expand_step step;
	const char *why;

	for (uint32_t i = 0; i < n; i++)
		list_put(&list, address[i]);
	step = expand_answered(&w.q, m, rcpt,
	    &(const struct msg_route){ .action = ROUTE_EXPAND,
		.rule = SLICE_LIT("alias"),
		.total = total,
		.first = first,
		.list = slice_buf(&list),
		.whole = whole },
	    from, &why);
	buf_fini(&list);
	return step;
}

static void
expand_to(struct message *m, unsigned rcpt, const char *const *address, uint32_t n)
{
	uint32_t from;

	ck_assert_int_eq(answer(m, rcpt, address, 0, n, n, 1, &from), EXPAND_DONE);
}

static void
is_at(uint64_t id, uint32_t rcpt, const char *address, const char *original)
{
	const struct message *m = message_find(&w.q.messages, id);
	const struct envelope_rcpt *to;

	ck_assert_ptr_nonnull(m);
	ck_assert_uint_lt(rcpt, m->nrcpt);
	to = address_rcpt(&w.q, m, rcpt);
	ck_assert_ptr_nonnull(to);
	ck_assert_msg(slice_is(to->recipient, address), "%.*s", SLICE_ARG(to->recipient));
	if (original != NULL)
		ck_assert(slice_is(to->original, original));
}

static void
route_all(uint64_t id)
{
	struct message *m = message_find(&w.q.messages, id);
	struct route r = { .transport = SLICE_LIT("smtp"),
		.domain = SLICE_LIT("y.example"),
		.nhops = 1,
		.hops[0] = { .host = SLICE_LIT("192.0.2.1"), .port = 25 } };
	struct buf bytes = { 0 };

	route_put(&bytes, &r);
	for (unsigned i = 0; i < m->nrcpt; i++)
		if (message_rcpts(m)[i].state == SPOOL_QUEUED)
			commit(&w.q, routed, .id = id, .rcpt = i,
			    .queue = queue_intern(&w.q, CLASS_MX, slice_buf(&bytes))->number);
	buf_fini(&bytes);
	world_settle(&w);
}

static const char *const three[] = { "bob@y.example", "carol@Y.example", "bob@Y.EXAMPLE" };

START_TEST(rule_14_expansion_is_durable_before_its_recipients_are_dispatched)
{
	struct message *m = letter_to("list@x.example", "dan@y.example", 0);
	const char *const to[] = { "bob@y.example", "dan@y.example", "carol@y.example",
		"bob@Y.example" };
	uint64_t id = m->id;

	expand_to(m, 0, to, 4);
	/* The record is not on the disk yet: nobody may act on it. */
	ck_assert_uint_eq(m->nrcpt, 4); /* dan is there already, bob stands twice */
	ck_assert_uint_eq(message_rcpts(m)[0].state, SPOOL_EXPANDED);
	for (unsigned i = 2; i < 4; i++)
		ck_assert_uint_eq(message_rcpts(m)[i].phase, RCPT_DEFERRED);
	ck_assert(world_balanced(&w));
	world_settle(&w);
	for (unsigned i = 2; i < 4; i++)
		ck_assert_uint_eq(message_rcpts(m)[i].phase, RCPT_ROUTING);
	is_at(id, 0, "list@x.example", NULL);
	is_at(id, 2, "bob@y.example", "list@x.example");
	is_at(id, 3, "carol@y.example", "list@x.example");
	is_at(id, 2, "bob@y.example", "list@x.example");
	ck_assert_uint_eq(w.q.ledger.expanded_in, 1);
	ck_assert_uint_eq(w.q.ledger.expanded_out, 2);
	ck_assert(world_balanced(&w));
}
END_TEST

START_TEST(what_was_not_durable_is_expanded_anew)
{
	struct message *m = letter_to("list@x.example", NULL, 0);
	uint64_t id = m->id;

	expand_to(m, 0, three, 3);
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	m = message_find(&w.q.messages, id);
	ck_assert_ptr_nonnull(m);
	ck_assert_uint_eq(m->nrcpt, 1);
	ck_assert_uint_eq(message_rcpts(m)[0].state, SPOOL_QUEUED);
	ck_assert(world_balanced(&w));
}
END_TEST

/* Recovery gives the same; cleaning writes it anew, and recovery gives the same again. */
START_TEST(expansions_survive_crashes_and_cleaning)
{
	struct message *m = letter_to("list@x.example", NULL, 0);
	struct buf before = { 0 }, after = { 0 };
	uint64_t id = m->id;

	expand_to(m, 0, three, 2);
	world_settle(&w);
	world_worker(&w, 1, 100);
	route_all(id);
	ck_assert_uint_eq(ntold, 1);
	ck_assert_uint_eq(told[0].n, 2);
	ck_assert_uint_eq(told[0].rcpt[0], 1);
	ck_assert_uint_eq(told[0].rcpt[1], 2);
	job_finish(&w, &told[0], OUTCOME_TEMP, 451);
	for (int round = 0; round < 4; round++) {
		buf_reset(&before);
		world_dump(&w, &before);
		world_crash(&w);
		ck_assert_int_eq(world_open(&w), 0);
		buf_reset(&after);
		world_dump(&w, &after);
		ck_assert_msg(slice_eq(slice_buf(&before), slice_buf(&after)), "%.*s\n%.*s",
		    SLICE_ARG(slice_buf(&before)), SLICE_ARG(slice_buf(&after)));
		is_at(id, 1, "bob@y.example", "list@x.example");
		is_at(id, 2, "carol@Y.example", "list@x.example");
		world_settle(&w);
		clean_consider(&w.q, true);
		for (int i = 0; i < 20; i++)
			world_settle(&w);
		is_at(id, 2, "carol@Y.example", "list@x.example");
		is_at(id, 1, "bob@y.example", "list@x.example");
	}
	ck_assert(world_balanced(&w));
	ck_assert_uint_eq(w.q.ledger.expanded_out, 2);
	buf_fini(&before);
	buf_fini(&after);
}
END_TEST

START_TEST(the_last_recipient_ends_the_message)
{
	struct message *m = letter_to("list@x.example", NULL, 0);
	uint64_t id = m->id;

	expand_to(m, 0, three, 2);
	world_settle(&w);
	world_worker(&w, 1, 100);
	route_all(id);
	job_finish(&w, &told[0], OUTCOME_OK, 250);
	ck_assert_ptr_null(message_find(&w.q.messages, id));
	ck_assert_uint_eq(w.q.ledger.delivered, 2);
	ck_assert(world_balanced(&w));
}
END_TEST

/* All members are there already: nothing is new, and nobody gets it twice. */
START_TEST(nothing_new_is_an_expansion_too)
{
	struct message *m = letter_to("list@x.example", "dan@y.example", 0);
	const char *const to[] = { "dan@y.example" };

	expand_to(m, 0, to, 1);
	world_settle(&w);
	ck_assert_uint_eq(m->nrcpt, 2);
	ck_assert_uint_eq(m->nopen, 1);
	ck_assert(world_balanced(&w));
}
END_TEST

/* alice: alice, bob. She is another recipient than the one that was expanded. */
START_TEST(oneself_among_the_members_is_kept)
{
	struct message *m = letter_to("alice@x.example", NULL, 0);
	const char *const to[] = { "alice@x.example", "bob@x.example" };

	expand_to(m, 0, to, 2);
	world_settle(&w);
	ck_assert_uint_eq(m->nrcpt, 3);
	is_at(m->id, 1, "alice@x.example", "alice@x.example");
	ck_assert(world_balanced(&w));
}
END_TEST

static const struct {
	uint8_t asked;
	uint32_t members;
	uint8_t kept, owed;
} notifies[] = {
	{ 0, 1, 0, 0 },
	{ NOTIFY_SUCCESS | NOTIFY_FAILURE, 1, NOTIFY_SUCCESS | NOTIFY_FAILURE, 0 },
	{ NOTIFY_SUCCESS | NOTIFY_FAILURE, 2, NOTIFY_FAILURE, SPOOL_NOTICE_DELIVERED },
	{ NOTIFY_SUCCESS, 2, NOTIFY_NEVER, SPOOL_NOTICE_DELIVERED },
	{ NOTIFY_NEVER, 2, NOTIFY_NEVER, 0 },
	{ NOTIFY_DELAY, 2, NOTIFY_DELAY, 0 },
};

/* RFC 3461 5.2.7 */
START_TEST(notify_of_the_members)
{
	struct message *m = letter_to("list@x.example", NULL, notifies[_i].asked);

	ck_assert_uint_le(notifies[_i].members, 3);
	expand_to(m, 0, three, notifies[_i].members);
	for (unsigned i = 1; i < m->nrcpt; i++)
		ck_assert_uint_eq(message_rcpts(m)[i].notify, notifies[_i].kept);
	ck_assert_uint_eq(message_rcpts(m)[0].owed, notifies[_i].owed);
	world_settle(&w);
	ck_assert(world_balanced(&w));
}
END_TEST

/* The list changed between two parts: it is asked for from the beginning. */
START_TEST(parts_of_two_lists_do_not_mix)
{
	struct message *m = letter_to("list@x.example", NULL, 0);
	const char *const more[] = { "erin@y.example" };
	uint32_t from;

	ck_assert_int_eq(answer(m, 0, three, 0, 2, 3, 1, &from), EXPAND_MORE);
	ck_assert_uint_eq(from, 2);
	ck_assert_int_eq(answer(m, 0, more, 2, 1, 3, 2, &from), EXPAND_MORE);
	ck_assert_uint_eq(from, 0);
	ck_assert_uint_eq(m->nrcpt, 1);
	ck_assert_int_eq(answer(m, 0, three, 0, 2, 3, 2, &from), EXPAND_MORE);
	ck_assert_int_eq(answer(m, 0, more, 2, 1, 3, 2, &from), EXPAND_DONE);
	ck_assert_uint_eq(m->nrcpt, 4);
	world_settle(&w);
	is_at(m->id, 3, "erin@y.example", NULL);
}
END_TEST

START_TEST(bad_lists_are_refused)
{
	struct message *m = letter_to("list@x.example", NULL, 0);
	const char *const empty[] = { "" };
	uint32_t from;

	ck_assert_int_eq(answer(m, 0, three, 0, 0, 0, 1, &from), EXPAND_FAILED);
	ck_assert_int_eq(answer(m, 0, three, 0, 3, 2, 1, &from), EXPAND_FAILED);
	ck_assert_int_eq(answer(m, 0, empty, 0, 1, 1, 1, &from), EXPAND_FAILED);
	ck_assert_uint_eq(m->nrcpt, 1);
	/* What an expansion made is not expanded. */
	expand_to(m, 0, three, 2);
	world_settle(&w);
	ck_assert_int_eq(answer(m, 1, three, 0, 1, 1, 1, &from), EXPAND_FAILED);
}
END_TEST

enum { MANY = 5000 };

START_TEST(rule_23_many_enter_in_slices)
{
	static char text[MANY][32];
	static const char *list[MANY];
	struct message *m = letter_to("list@x.example", NULL, 0);
	uint64_t id = m->id;
	unsigned turns = 0, in = 0;
	uint32_t from = 0;

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(text[i], sizeof text[i], "member%u@y.example", i);
		list[i] = text[i];
	}
	for (unsigned i = 0; i < MANY; i += 250)
		ck_assert_int_eq(answer(m, 0, list + i, i, 250, MANY, 9, &from),
		    i + 250 < MANY ? EXPAND_MORE : EXPAND_DONE);
	while (in < MANY) {
		unsigned before = in;

		qmgr_turn(&w.q);
		in = 0;
		for (unsigned i = 1; i <= MANY; i++)
			in += message_rcpts(m)[i].phase == RCPT_ROUTING;
		ck_assert_uint_le(in - before, SLICE_RCPTS);
		ck_assert_uint_lt(++turns, 100);
	}
	is_at(id, 1, "member0@y.example", NULL);
	is_at(id, MANY, text[MANY - 1], "list@x.example");
	ck_assert(world_balanced(&w));
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	is_at(id, MANY / 2, text[MANY / 2 - 1], NULL);
	ck_assert(world_balanced(&w));
}
END_TEST

enum { LONG = 18000 };

/* More than a record holds when cleaning writes it anew: in MESSAGE and MORE, with their addresses. */
START_TEST(long_lists_survive_cleaning)
{
	static char text[LONG][64];
	static const char *list[LONG];
	struct message *m = letter_to("list@x.example", NULL, 0);
	uint64_t id = m->id;
	uint32_t from = 0;

	for (unsigned i = 0; i < LONG; i++) {
		snprintf(text[i], sizeof text[i], "a.member.of.the.list.%u@y.example", i);
		list[i] = text[i];
	}
	for (unsigned i = 0; i < LONG; i += 250)
		answer(m, 0, list + i, i, 250, LONG, 9, &from);
	ck_assert_uint_eq(m->nrcpt, LONG + 1);
	for (int round = 0; round < 6; round++) {
		world_settle(&w);
		if (round % 2 == 0) {
			clean_consider(&w.q, true);
			for (int i = 0; i < 20; i++)
				world_settle(&w);
		} else {
			world_crash(&w);
			ck_assert_int_eq(world_open(&w), 0);
			ck_assert(world_balanced(&w));
		}
		for (unsigned i = 1; i <= LONG; i += 1997)
			is_at(id, i, text[i - 1], "list@x.example");
		is_at(id, LONG, text[LONG - 1], "list@x.example");
		is_at(id, 1, text[0], NULL);
		is_at(id, 0, "list@x.example", NULL);
	}
}
END_TEST

/* The entries of a long one go on in MORE: it takes effect with the last, or not at all. */
START_TEST(more_follows_or_it_is_void)
{
	struct message *m = letter_to("list@x.example", NULL, 0);
	uint64_t id = m->id;
	struct buf first = { 0 }, rest = { 0 };

	for (int i = 0; i < 3; i++)
		journal_rcpt_put(i < 2 ? &first : &rest,
		    &(const struct journal_rcpt){
			.address = slice_z(three[i]), .original = SLICE_LIT("list@x.example") });
	JOURNAL_SAY(&w.q.journal, expanded, .id = id, .rcpt = 0, .first = 1, .nrcpt = 3,
	    .rcpts = slice_buf(&first));
	if (_i == 0)
		JOURNAL_SAY(&w.q.journal, more, .id = id, .first = 2, .rcpts = slice_buf(&rest));
	JOURNAL_SAY(&w.q.journal, clock, .clock_ms = 1);
	world_settle(&w);
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	m = message_find(&w.q.messages, id);
	ck_assert_uint_eq(m->nrcpt, _i == 0 ? 4 : 1);
	if (_i == 0) {
		is_at(id, 2, three[1], NULL);
		is_at(id, 3, three[2], "list@x.example");
	}
	ck_assert(world_balanced(&w));
	buf_fini(&first);
	buf_fini(&rest);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, rule_14_expansion_is_durable_before_its_recipients_are_dispatched);
	tcase_add_test(tc, what_was_not_durable_is_expanded_anew);
	tcase_add_test(tc, expansions_survive_crashes_and_cleaning);
	tcase_add_test(tc, the_last_recipient_ends_the_message);
	tcase_add_test(tc, nothing_new_is_an_expansion_too);
	tcase_add_test(tc, oneself_among_the_members_is_kept);
	tcase_add_loop_test(tc, notify_of_the_members, 0, sizeof notifies / sizeof *notifies);
	tcase_add_test(tc, parts_of_two_lists_do_not_mix);
	tcase_add_test(tc, bad_lists_are_refused);
	tcase_add_test(tc, rule_23_many_enter_in_slices);
	tcase_add_test(tc, long_lists_survive_cleaning);
	tcase_add_loop_test(tc, more_follows_or_it_is_void, 0, 2);
}
CHECK_MAIN("expand", cases)
