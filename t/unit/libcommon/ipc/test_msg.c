/* SPDX-License-Identifier: ISC */
#include "../../check_main.h"

#include "ipc/msg.h"
#include "ipc/job.h"
#include "ipc/route.h"

#include <bsd/stdlib.h>

/* Every message with every field set survives the way there and back. */
#define SET_u8(n) m.n = (uint8_t)++v
#define SET_u16(n) m.n = (uint16_t)(++v * 257)
#define SET_u32(n) m.n = (uint32_t)(++v * 16777259)
#define SET_u64(n) m.n = ++v * 1099511627791
#define SET_str(n) m.n = slice_of("some text of a field", 3 + ++v % 17)
#define SAME_u8(n) ck_assert_uint_eq(m.n, got.n)
#define SAME_u16 SAME_u8
#define SAME_u32 SAME_u8
#define SAME_u64 SAME_u8
#define SAME_str(n) ck_assert(slice_eq(m.n, got.n))

START_TEST(round_trip)
{
	uint64_t v = 0;

#define F_SET(kind, name, help) SET_##kind(name);
#define F_SAME(kind, name, help) SAME_##kind(name);
#define M(NAME, name, number, from, to, fd)                                                  \
	{                                                                                    \
		struct msg_##name m, got;                                                    \
		struct buf b = { 0 };                                                        \
		struct slice packet;                                                         \
		struct msg_frame f;                                                          \
                                                                                             \
		FIELDS_##NAME(F_SET) msg_##name##_put(&b, &m);                               \
		packet = slice_buf(&b);                                                      \
		ck_assert(msg_frame_next(&packet, &f) && packet.n == 0 && f.type == number); \
		ck_assert(msg_##name##_get(f.payload, &got));                                \
		FIELDS_##NAME(F_SAME) ck_assert_ptr_nonnull(msg_row(number));                \
		buf_fini(&b);                                                                \
	}
	IPC_MESSAGES(M)
#undef M
}
END_TEST

/* A payload cut at a field's border means zero; cut within a field it is refused; never a read
 * beyond. */
START_TEST(every_cut)
{
#define F_SET2(kind, name, help) SET_##kind(name);
#define M(NAME, name, number, from, to, fd)                                                        \
	{                                                                                          \
		uint64_t v = 0;                                                                    \
		struct msg_##name m, got;                                                          \
		struct buf b = { 0 };                                                              \
                                                                                                   \
		FIELDS_##NAME(F_SET2) msg_##name##_put(&b, &m);                                    \
		for (size_t n = 0; n + IPC_FRAME_HEAD <= b.n; n++) {                               \
			char *exact = malloc(n + 1);                                               \
                                                                                                   \
			memcpy(exact, b.p + IPC_FRAME_HEAD, n);                                    \
			msg_##name##_get(slice_of(exact, n), &got);                                \
			free(exact);                                                               \
		}                                                                                  \
		ck_assert(msg_##name##_get(slice_of("", 0), &got));                                \
		buf_putc(&b, 'x');                                                                 \
		ck_assert(                                                                         \
		    msg_##name##_get(slice_of(b.p + IPC_FRAME_HEAD, b.n - IPC_FRAME_HEAD), &got)); \
		buf_fini(&b);                                                                      \
	}
	IPC_MESSAGES(M)
#undef M
}
END_TEST

START_TEST(frames_are_bounded)
{
	char packet[] = "\x02\x01\x00\x00\xff\xff\xff\xff";
	struct slice s = slice_of(packet, 8);
	struct msg_frame f;

	ck_assert(!msg_frame_next(&s, &f));
	s = slice_of(packet, 7);
	ck_assert(!msg_frame_next(&s, &f));
	ck_assert_ptr_null(msg_row(0x7777));
}
END_TEST

START_TEST(numbers_are_never_reused)
{
	static const uint16_t all[] = {
#define M(NAME, name, number, from, to, fd) number,
		IPC_MESSAGES(M)
#undef M
	};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		for (size_t k = 0; k < i; k++)
			ck_assert_uint_ne(all[i], all[k]);
}
END_TEST

START_TEST(routes)
{
	struct route r = { .transport = SLICE_LIT("smtp"),
		.pool = SLICE_LIT("p"),
		.domain = SLICE_LIT("b.example"),
		.nhops = 2,
		.hops = { { SLICE_LIT("127.0.0.1"), 25, false },
		    { SLICE_LIT("mx.b.example"), 2525, true } } },
		     got;
	struct job_limits l = { .connections = 7, .dot_ms = 9 }, back;
	struct buf b = { 0 };

	route_put(&b, &r);
	ck_assert(route_get(slice_buf(&b), &got));
	ck_assert(slice_eq(got.domain, r.domain) && got.nhops == 2 && got.hops[1].mx &&
		  got.hops[1].port == 2525);
	for (size_t n = 0; n < b.n; n++)
		ck_assert(!route_get(slice_of(b.p, n), &got));
	buf_reset(&b);
	job_limits_put(&b, &l);
	ck_assert(
	    job_limits_get(slice_buf(&b), &back) && back.connections == 7 && back.dot_ms == 9);
	ck_assert(job_limits_get(SLICE_NONE, &back) && back.connections == 0);
	ck_assert(!job_limits_get(SLICE_LIT("abc"), &back));
	buf_fini(&b);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, round_trip);
	tcase_add_test(tc, every_cut);
	tcase_add_test(tc, frames_are_bounded);
	tcase_add_test(tc, numbers_are_never_reused);
	tcase_add_test(tc, routes);
}
CHECK_MAIN("msg", cases)
