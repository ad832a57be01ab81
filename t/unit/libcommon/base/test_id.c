/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "base/id.h"

/* There and back, in either case of letter; and the order of texts is that of numbers. */
START_TEST(round_trip)
{
	static const uint64_t some[] = { 0, 1, 30, 31, 32, 1023, 1 << 22, UINT64_C(1) << 63,
		UINT64_MAX - 1, UINT64_MAX };
	uint64_t x = 88172645463325252, back;
	char text[ID_TEXT + 1], lower[ID_TEXT], last[ID_TEXT + 1] = "";

	for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
		id_text(some[i], text);
		ck_assert_uint_eq(strlen(text), ID_TEXT);
		ck_assert(id_parse(slice_z(text), &back) && back == some[i]);
		ck_assert_int_lt(strcmp(last, text), 0);
		memcpy(last, text, sizeof last);
	}
	for (int i = 0; i < 5000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		id_text(x, text);
		for (int k = 0; k < ID_TEXT; k++)
			lower[k] = ascii_lower(text[k]);
		ck_assert(id_parse(slice_of(lower, ID_TEXT), &back) && back == x);
	}
}
END_TEST

START_TEST(no_ids)
{
	static const struct slice rows[] = {
		SLICE_LIT(""),
		SLICE_LIT("000000000000"),
		SLICE_LIT("00000000000000"),
		SLICE_LIT("A000000000000"), /* no vowels: no words */
		SLICE_LIT("000000000000u"),
		SLICE_LIT("000000 000000"),
		SLICE_LIT("000000\0000000"),
		SLICE_LIT("-000000000001"),
		SLICE_LIT("ZZZZZZZZZZZZZ"), /* beyond 64 bits */
		SLICE_LIT("\xc3\xa4"
			  "00000000000"),
		{ NULL, 0 },
	};
	uint64_t id = 7;
	char text[ID_TEXT + 1];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		ck_assert_msg(!id_parse(rows[i], &id), "%.*s", SLICE_ARG(rows[i]));
	/* One more than the largest. */
	id_text(UINT64_MAX, text);
	ck_assert_int_ne(text[ID_TEXT - 1], 'Z');
	text[ID_TEXT - 1]++;
	while (strchr("AEIOU:;<=>?@", text[ID_TEXT - 1]) != NULL)
		text[ID_TEXT - 1]++;
	ck_assert(!id_parse(slice_z(text), &id));
	ck_assert_uint_eq(id, 7);
}
END_TEST

/* Whatever the clock does, ids of one writer only grow, and none lies below the floor. */
START_TEST(ids_only_grow)
{
	static const uint64_t clock[] = { 5000, 5000, 5001, 4000, 0, 5001, 6000, 5999, 6000 };
	struct id_source s;
	uint64_t last = 0, id;

	id_source_init(&s, 4097, 4500);
	for (size_t i = 0; i < sizeof clock / sizeof *clock; i++)
		for (int k = 0; k < 1500; k++) {
			id = id_next(&s, clock[i]);
			ck_assert_uint_gt(id, last);
			ck_assert_uint_ge(id_ms(id), 4500);
			ck_assert_uint_eq(id >> 10 & 4095, 1); /* the lease, in its 12 bits */
			last = id;
		}
	id_source_init(&s, 0, 10000);
	ck_assert_uint_eq(id_ms(id_next(&s, 20)), 10000);
	/* Borrowed from the future at most what was too many. */
	id_source_init(&s, 0, 0);
	for (int k = 0; k < 10 * 1024; k++)
		id = id_next(&s, 100);
	ck_assert_uint_eq(id_ms(id), 109);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, round_trip);
	tcase_add_test(tc, no_ids);
	tcase_add_test(tc, ids_only_grow);
}
CHECK_MAIN("id", cases)
