/* SPDX-License-Identifier: ISC */
#include "world.h"

/* What the segments take beside what lives in them, and how they are found by number. */

/* The memory that stands for the disk is not to be reserved. */
int
fallocate(int fd, int mode, off_t at, off_t n)
{
	(void)fd, (void)mode, (void)at, (void)n;
	errno = EOPNOTSUPP;
	return -1;
}

enum { ROUNDS = 60, LETTERS = 40, BODY = 4000 };

static struct space {
	uint64_t bytes, live, largest;
} space;

static void
look(const struct qmgr *q)
{
	uint32_t cursor = 0;
	const struct seg *s;

	space = (struct space){ 0 };
	while ((s = segtab_next(&q->segtab, &cursor)) != NULL) {
		if (s->state != SEG_ENDED)
			continue;
		space.bytes += s->filed;
		space.live += s->live_bytes;
		if (s->filed > space.largest)
			space.largest = s->filed;
	}
}

/* Two of three succeed at first, and then hardly any: a third of each segment lives on. */
static void
answer(struct world *w, struct rng *rng)
{
	for (unsigned i = 0; i < ntold; i++) {
		uint64_t dice = rng_next(rng);
		bool ok = told[i].attempt[0] == 1 ? dice % 3 < 2 : dice % 32 == 0;

		job_finish(w, &told[i], ok ? OUTCOME_OK : OUTCOME_TEMP, ok ? 250 : 450);
	}
	ntold = 0;
}

START_TEST(ended_segments_take_twice_what_lives)
{
	const struct letter l = {
		.from = "a@x.example", .to = { "b@y.example" }, .hop = "192.0.2.1", .body = BODY
	};
	struct rng rng = { 17 };
	unsigned moved = 0;
	struct world w;

	world_new(&w, "retry_first = 10m\nretry_max = 1h\nconcurrency = 1000\n");
	world_worker(&w, 1, 1000);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct pen p = world_lease(&w, CLASS_MX, round + 1);

		for (unsigned i = 0; i < LETTERS; i++)
			pen_write(&w, &p, &l);
		pen_ring(&w, &p);
		close(p.fd);
		answer(&w, &rng);
		world_pass(&w, 300000);
		answer(&w, &rng);
		segments_slow(&w.q);
		compact_consider(&w.q, 0);
		moved += compact_busy(&w.q);
		world_settle(&w);
		look(&w.q);
		ck_assert_msg(space.bytes <= 2 * space.live + 2 * space.largest,
		    "round %u: %llu bytes in which %llu live", round,
		    (unsigned long long)space.bytes, (unsigned long long)space.live);
	}
	ck_assert_uint_gt(moved, ROUNDS / 10);
	ck_assert_uint_gt(space.live, 10 * BODY);
	world_end(&w);
}
END_TEST

/* What was reserved for them is wanted by those who are leased new ones, where the disk is small. */
START_TEST(segments_of_the_dead_are_ended_as_soon_as_the_queue_is_open)
{
	struct pen dead[3], lives;
	struct world w;

	world_new(&w, "");
	for (unsigned i = 0; i < 3; i++)
		dead[i] = world_lease(&w, CLASS_MX, i + 1);
	lives = world_lease(&w, CLASS_MX, 4);
	world_send(&w, &dead[1], "a@x.example", "b@y.example");
	world_crash(&w);
	for (unsigned i = 0; i < 3; i++)
		close(dead[i].fd);
	ck_assert_int_eq(world_open(&w), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_ne(pen_seg(&w, &dead[i])->state, SEG_LIVE);
	ck_assert_int_eq(pen_seg(&w, &lives)->state, SEG_LIVE);
	world_settle(&w);
	ck_assert_uint_eq(w.q.messages.count, 1);
	close(lives.fd);
	world_end(&w);
}
END_TEST

START_TEST(rule_12_a_segment_is_found_by_its_number)
{
	/* The middle three share their low bits: such are there only while the journal is read. */
	static const uint32_t numbers[] = { 1, 5, 5 + 4096, 5 + 3 * 4096, 4095, 4096 };
	struct seg *made[sizeof numbers / sizeof *numbers];
	struct segtab t;

	segtab_init(&t);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		ck_assert_ptr_null(seg_find(&t, numbers[i]));
		made[i] = seg_make(&t, numbers[i]);
	}
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		size_t gone = (i + 1 + (size_t)_i) % (sizeof numbers / sizeof *numbers);

		ck_assert_ptr_eq(seg_find(&t, numbers[gone]), made[gone]);
		seg_free(&t, made[gone]);
		made[gone] = NULL;
		for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
			ck_assert_ptr_eq(seg_find(&t, numbers[k]), made[k]);
	}
	segtab_fini(&t);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, ended_segments_take_twice_what_lives);
	tcase_add_test(tc, segments_of_the_dead_are_ended_as_soon_as_the_queue_is_open);
	tcase_add_loop_test(tc, rule_12_a_segment_is_found_by_its_number, 0, 6);
}

CHECK_MAIN("space", cases)
