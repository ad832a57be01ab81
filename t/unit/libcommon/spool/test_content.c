/* SPDX-License-Identifier: ISC */
#include "spool/content.h"

#include "t/unit/libcommon/spool/spool_test.h"

#define HEAD "A: 1\r\nB: 2\r\n folded\r\nC: 3\r\n"

struct edit_row {
	enum envelope_op op;
	uint32_t n;
	const char *bytes;
};

static const struct {
	const char *head, *body;
	struct edit_row edits[4];
	const char *wire; /* NULL: refused */
} rows[] = {
	{ HEAD, "\r\nx\r\n", { { 0 } }, HEAD "\r\nx\r\n" },
	{ HEAD, "\r\nx\r\n", { { EDIT_INSERT, 1, "R: 0\r\n" } }, "R: 0\r\n" HEAD "\r\nx\r\n" },
	/* Inserts before the same field keep their order. */
	{ HEAD, "\r\n", { { EDIT_INSERT, 1, "R: 0\r\n" }, { EDIT_INSERT, 1, "S: 0\r\n" } },
	    "R: 0\r\nS: 0\r\n" HEAD "\r\n" },
	{ HEAD, "\r\n", { { EDIT_INSERT, 2, "R: 0\r\n" } },
	    "A: 1\r\nR: 0\r\nB: 2\r\n folded\r\nC: 3\r\n\r\n" },
	{ HEAD, "\r\n", { { EDIT_INSERT, 4, "R: 0\r\n" } }, HEAD "R: 0\r\n\r\n" },
	{ HEAD, "\r\n", { { EDIT_INSERT, 5, "R: 0\r\n" } }, NULL },
	{ HEAD, "\r\n", { { EDIT_DELETE, 2, "" } }, "A: 1\r\nC: 3\r\n\r\n" },
	{ HEAD, "\r\n", { { EDIT_REPLACE, 2, "B: x\r\n" } }, "A: 1\r\nB: x\r\nC: 3\r\n\r\n" },
	/* Ordinals are those of the header as received, whatever came before in the list. */
	{ HEAD, "\r\n", { { EDIT_DELETE, 1, "" }, { EDIT_REPLACE, 3, "C: x\r\n" } },
	    "B: 2\r\n folded\r\nC: x\r\n\r\n" },
	{ HEAD, "\r\n", { { EDIT_REPLACE, 3, "C: x\r\n" }, { EDIT_DELETE, 1, "" } },
	    "B: 2\r\n folded\r\nC: x\r\n\r\n" },
	/* The last word on a field counts; inserts stand before it in any case. */
	{ HEAD, "\r\n", { { EDIT_REPLACE, 1, "A: x\r\n" }, { EDIT_DELETE, 1, "" } },
	    "B: 2\r\n folded\r\nC: 3\r\n\r\n" },
	{ HEAD, "\r\n",
	    { { EDIT_DELETE, 1, "" }, { EDIT_INSERT, 1, "R: 0\r\n" },
		{ EDIT_REPLACE, 1, "A: y\r\n" } },
	    "R: 0\r\nA: y\r\nB: 2\r\n folded\r\nC: 3\r\n\r\n" },
	{ HEAD, "\r\n", { { EDIT_DELETE, 4, "" } }, NULL },
	{ HEAD, "\r\n", { { EDIT_REPLACE, 9, "" } }, NULL },
	/* Where the body does not bring the empty line it is put there. */
	{ HEAD, "", { { 0 } }, HEAD "\r\n" },
	{ HEAD, "no header\r\n", { { 0 } }, HEAD "\r\nno header\r\n" },
	{ "", "no header\r\n", { { 0 } }, "no header\r\n" },
	{ "", "no header\r\n", { { EDIT_INSERT, 1, "R: 0\r\n" } }, "R: 0\r\n\r\nno header\r\n" },
	{ "", "\r\nbody\r\n", { { EDIT_INSERT, 1, "R: 0\r\n" } }, "R: 0\r\n\r\nbody\r\n" },
	{ "A: 1\r\n", "\r\n", { { EDIT_DELETE, 1, "" } }, "\r\n" },
	{ "", "", { { 0 } }, "" },
	/* What may not stand in an edit. */
	{ HEAD, "\r\n", { { EDIT_INSERT, 1, "R: 0" } }, NULL },
	{ HEAD, "\r\n", { { EDIT_INSERT, 1, "R: 0\n" } }, NULL },
	{ HEAD, "\r\n", { { EDIT_INSERT, 1, "R: 0\r\n\r\n" } }, NULL },
	{ HEAD, "\r\n", { { EDIT_INSERT, 1, "\r\n" } }, NULL },
	{ HEAD, "\r\n", { { EDIT_REPLACE, 1, "R: 0\r1\r\n" } }, NULL },
	/* A header section that is none. */
	{ "A: 1", "\r\n", { { 0 } }, NULL },
};

static void
edits_put(struct buf *b, const struct edit_row *e)
{
	for (int i = 0; i < 4 && e[i].op != 0; i++)
		envelope_put_edit(b, e[i].op, e[i].n, slice_z(e[i].bytes));
}

static void
join(struct buf *b, const struct content *c)
{
	for (size_t i = 0; i < c->niov; i++)
		buf_put(b, c->iov[i].iov_base, c->iov[i].iov_len);
}

START_TEST(rule_5_edits_apply)
{
	char *head = test_copy(rows[_i].head, strlen(rows[_i].head));
	char *body = test_copy(rows[_i].body, strlen(rows[_i].body));
	struct slice h = slice_of(head, strlen(rows[_i].head)),
		     b = slice_of(body, strlen(rows[_i].body));
	struct buf fields = { 0 }, wire = { 0 };
	struct arena arena = { 0 };
	struct content c;
	int got;

	edits_put(&fields, rows[_i].edits);
	got = content_make(&c, h, b, 0, slice_buf(&fields), &arena);
	ck_assert_int_eq(got, rows[_i].wire == NULL ? -EBADMSG : 0);
	if (got == 0) {
		join(&wire, &c);
		ck_assert_msg(slice_is(slice_buf(&wire), rows[_i].wire), "row %d: %.*s", _i,
		    SLICE_ARG(slice_buf(&wire)));
		ck_assert_uint_eq(c.bytes, wire.n);
		ck_assert_uint_eq(c.head_bytes + b.n, wire.n);
		/* The same without the body, told from its first two bytes. */
		ck_assert_int_eq(
		    content_make_head(&c, h, slice_head(b, 2), 0, slice_buf(&fields), &arena), 0);
		ck_assert_uint_eq(c.bytes + b.n, wire.n);
		ck_assert_uint_eq(c.niov, c.nhead);
	}
	buf_fini(&wire);
	buf_fini(&fields);
	arena_fini(&arena);
	free(head);
	free(body);
}
END_TEST

/* Random edits against a slow model: fields in an array, each with what stands before it. */
START_TEST(edits_agree_with_a_model)
{
	enum { MAX = 8 };

	for (int round = 0; round < 3000; round++) {
		uint32_t nfields = (uint32_t)(test_random() % MAX),
			 nedits = (uint32_t)(test_random() % 10);
		struct buf head = { 0 }, before[MAX + 1] = { 0 }, own[MAX] = { 0 }, env = { 0 };
		struct buf expect = { 0 }, wire = { 0 };
		struct arena arena = { 0 };
		struct content c;

		for (uint32_t i = 0; i < nfields; i++) {
			buf_printf(
			    &own[i], "F%u: x\r\n%s", i, test_random() % 3 ? "" : "\tmore\r\n");
			buf_slice(&head, slice_buf(&own[i]));
		}
		for (uint32_t i = 0; i < nedits; i++) {
			uint32_t n = (uint32_t)(test_random() % (nfields + 1)) + 1;
			enum envelope_op op =
			    n > nfields ? EDIT_INSERT : (enum envelope_op)(test_random() % 3 + 1);
			char text[32];

			snprintf(text, sizeof text, "E%u: y\r\n", (unsigned)i);
			envelope_put_edit(
			    &env, op, n, op == EDIT_DELETE ? SLICE_NONE : slice_z(text));
			if (op != EDIT_INSERT)
				own[n - 1].n = 0;
			if (op != EDIT_DELETE)
				buf_puts(op == EDIT_INSERT ? &before[n - 1] : &own[n - 1], text);
		}
		for (uint32_t i = 0; i <= nfields; i++) {
			buf_slice(&expect, slice_buf(&before[i]));
			if (i < nfields)
				buf_slice(&expect, slice_buf(&own[i]));
		}
		buf_puts(&expect, "\r\nbody\r\n");
		ck_assert_int_eq(content_make(&c, slice_buf(&head), SLICE_LIT("\r\nbody\r\n"), 0,
				     slice_buf(&env), &arena),
		    0);
		join(&wire, &c);
		ck_assert_msg(slice_eq(slice_buf(&wire), slice_buf(&expect)), "round %d", round);
		ck_assert_uint_le(c.niov, 2 * nedits + 3);
		for (uint32_t i = 0; i <= MAX; i++) {
			buf_fini(&before[i]);
			if (i < MAX)
				buf_fini(&own[i]);
		}
		buf_fini(&head), buf_fini(&env), buf_fini(&expect), buf_fini(&wire);
		arena_fini(&arena);
	}
}
END_TEST

START_TEST(nothing_is_copied)
{
	static const char head[] = HEAD, body[] = "\r\nx\r\n";
	struct arena arena = { 0 };
	struct content c;

	ck_assert_int_eq(
	    content_make(&c, SLICE_LIT(head), SLICE_LIT(body), 0, SLICE_NONE, &arena), 0);
	ck_assert_uint_eq(c.niov, 2);
	ck_assert_ptr_eq(c.iov[0].iov_base, head);
	ck_assert_ptr_eq(c.iov[1].iov_base, body);
	arena_fini(&arena);
}
END_TEST

START_TEST(edits_add_to_the_flags)
{
	static const struct {
		const char *bytes;
		uint32_t flags;
	} adds[] = {
		{ "R: 0\r\n", 0 },
		{ ".R: 0\r\n", RECORD_HAS_DOT },
		{ "R: \xc3\xa4\r\n", RECORD_EIGHT_BIT | RECORD_EIGHT_BIT_HEAD },
	};

	for (size_t i = 0; i < COUNT(adds); i++) {
		struct arena arena = { 0 };
		struct buf env = { 0 };
		struct content c;

		envelope_put_edit(&env, EDIT_INSERT, 1, slice_z(adds[i].bytes));
		ck_assert_int_eq(content_make(&c, SLICE_LIT(HEAD), SLICE_LIT("\r\n"), RECORD_NUL,
				     slice_buf(&env), &arena),
		    0);
		ck_assert_uint_eq(c.flags, adds[i].flags | RECORD_NUL);
		buf_fini(&env);
		arena_fini(&arena);
	}
}
END_TEST

START_TEST(fields_are_counted_by_their_lines)
{
	struct slice head = SLICE_LIT(" odd\r\nA: 1\r\n\t2\r\n 3\r\nnot a field\r\nB:\r\n"), field;
	static const char *const fields[] = { " odd\r\n", "A: 1\r\n\t2\r\n 3\r\n",
		"not a field\r\n", "B:\r\n" };

	for (size_t i = 0; i < COUNT(fields); i++) {
		ck_assert(content_field_next(&head, &field));
		ck_assert_msg(slice_is(field, fields[i]), "%.*s", SLICE_ARG(field));
	}
	ck_assert(!content_field_next(&head, &field));
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, rule_5_edits_apply, 0, COUNT(rows));
	tcase_add_test(tc, edits_agree_with_a_model);
	tcase_add_test(tc, nothing_is_copied);
	tcase_add_test(tc, edits_add_to_the_flags);
	tcase_add_test(tc, fields_are_counted_by_their_lines);
}
CHECK_MAIN("content", cases)
