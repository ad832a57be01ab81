/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "base/arena.h"
#include "base/buf.h"

#include <stdio.h>

START_TEST(grows_and_drops)
{
	struct buf b = { 0 };
	unsigned next = 0, at = 0;
	bool same = true;

	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < round; i++)
			buf_putc(&b, (char)next++);
		ck_assert_uint_le(b.n, b.cap);
		for (size_t i = 0; i < b.n; i++)
			same &= (unsigned char)b.p[i] == (unsigned char)(at + i);
		if (round % 3 == 0) {
			size_t n = b.n / 2;

			buf_drop(&b, n);
			at += (unsigned)n;
		}
	}
	ck_assert(same);
	buf_drop(&b, b.n + 5);
	ck_assert_uint_eq(b.n, 0);
	buf_fini(&b);
	ck_assert(b.p == NULL && b.cap == 0);
	buf_fini(&b);
}
END_TEST

/* Around the size up to which no second pass is made. */
START_TEST(prints_of_every_length)
{
	char text[600];

	memset(text, 'a', sizeof text);
	for (int n = 0; n < 600; n++) {
		struct buf b = { 0 };

		buf_puts(&b, "<");
		buf_printf(&b, "%.*s|%d", n, text, n);
		buf_puts(&b, ">");
		ck_assert_int_eq(b.p[0], '<');
		ck_assert(memcmp(b.p + 1, text, (size_t)n) == 0 && b.p[1 + n] == '|');
		ck_assert_int_eq(b.p[b.n - 1], '>');
		buf_fini(&b);
	}
}
END_TEST

START_TEST(numbers)
{
	struct buf b = { 0 };
	char text[32];

	for (uint64_t v = 1; v != 0; v = v > UINT64_MAX / 7 ? 0 : v * 7) {
		const uint64_t around[] = { v - 1, v, ~v };

		for (int i = 0; i < 3; i++) {
			buf_reset(&b);
			buf_u64(&b, around[i]);
			snprintf(text, sizeof text, "%llu", (unsigned long long)around[i]);
			ck_assert(slice_is(slice_buf(&b), text));
		}
	}
	for (int v = 0; v < 100; v++) {
		buf_reset(&b);
		buf_2digits(&b, v);
		snprintf(text, sizeof text, "%02d", v);
		ck_assert(slice_is(slice_buf(&b), text));
	}
	buf_fini(&b);
}
END_TEST

START_TEST(nothing_is_allowed)
{
	struct buf b = { 0 };

	buf_put(&b, NULL, 0);
	buf_puts(&b, "");
	buf_slice(&b, SLICE_NONE);
	buf_drop(&b, 0);
	buf_reset(&b);
	ck_assert_uint_eq(b.n, 0);
	ck_assert_ptr_nonnull(buf_room(&b, 0));
	buf_fini(&b);
}
END_TEST

/* Pieces do not overlap, are aligned, keep what is in them; sizes below, at and above a block's. */
START_TEST(arena_pieces)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 1007, 1008, 1009, 4096, 65535, 65536,
		65537, 200000 };
	struct arena a = { 0 };
	unsigned char *at[400];
	size_t n[400];
	bool same = true;

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 400; i++) {
			n[i] = i % 7 == 0 ? sizes[i / 7 % 13] : i;
			at[i] = arena_alloc(&a, n[i]);
			ck_assert_uint_eq((uintptr_t)at[i] % 16, 0);
			memset(at[i], (int)(i & 255), n[i]);
		}
		for (unsigned i = 0; i < 400; i++)
			for (size_t k = 0; k < n[i]; k++)
				same &= at[i][k] == (i & 255);
		ck_assert_uint_gt(a.used, 0);
		arena_reset(&a);
		ck_assert(a.used == 0 && a.block == NULL);
	}
	ck_assert(same);
	arena_fini(&a);
}
END_TEST

START_TEST(arena_text)
{
	struct arena a = { 0 };
	struct slice s = arena_slice(&a, SLICE_LIT("some\0text")),
		     none = arena_slice(&a, SLICE_NONE);

	ck_assert(slice_eq(s, SLICE_LIT("some\0text")) && s.p[s.n] == '\0');
	ck_assert(none.n == 0 && none.p != NULL && none.p[0] == '\0');
	ck_assert_str_eq(arena_z(&a, SLICE_LIT("z")), "z");
	arena_fini(&a);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, grows_and_drops);
	tcase_add_test(tc, prints_of_every_length);
	tcase_add_test(tc, numbers);
	tcase_add_test(tc, nothing_is_allowed);
	tcase_add_test(tc, arena_pieces);
	tcase_add_test(tc, arena_text);
}
CHECK_MAIN("buf", cases)
