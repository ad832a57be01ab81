/* SPDX-License-Identifier: ISC */
#include "world.h"

#include "qmgr/retry.h"

/* ---- wheel ---- */

static uint32_t fired_at[4096];
static uint32_t wheel_time;

static void
note_fired(void *arg, struct message *m)
{
	(void)arg;
	fired_at[m->id] = wheel_time;
}

START_TEST(rule_24_each_timer_fires_at_its_tick_and_only_once)
{
	struct messages all;
	struct wheel w;
	struct message *m[4096];
	uint32_t start = _i == 0 ? 0 : _i == 1 ? 255 : _i == 2 ? 0xfffe : 0xfffffe;
	struct rng rng = { 99 };
	uint32_t last = 0;

	messages_init(&all);
	wheel_init(&w, &all, start);
	for (unsigned i = 1; i < 4096; i++) {
		uint32_t after = (uint32_t)(rng_next(&rng) % (i % 3 == 0      ? 300
								 : i % 3 == 1 ? 70000
									      : 20000000));

		m[i] = message_new(&all, i, 1);
		wheel_set(&w, m[i], start + after);
		if (i % 5 == 0)
			wheel_set(&w, m[i], start + after / 2); /* moved */
		if (i % 7 == 0)
			wheel_unset(&w, m[i]);
		fired_at[i] = UINT32_MAX;
		if (m[i]->wake > last)
			last = m[i]->wake;
	}
	while (w.count > 0) {
		wheel_time = wheel_next(&w);
		ck_assert_uint_ne(wheel_time, UINT32_MAX);
		while (wheel_run(&w, wheel_time, 10, note_fired, NULL))
			;
	}
	ck_assert_uint_eq(wheel_next(&w), UINT32_MAX);
	for (unsigned i = 1; i < 4096; i++)
		ck_assert_uint_eq(fired_at[i], i % 7 == 0 ? UINT32_MAX : m[i]->wake);
	messages_fini(&all);
}
END_TEST

START_TEST(rule_24_a_tick_in_the_past_is_due_at_once)
{
	struct messages all;
	struct wheel w;
	struct message *m;

	messages_init(&all);
	wheel_init(&w, &all, 1000);
	m = message_new(&all, 1, 1);
	wheel_set(&w, m, 5);
	wheel_time = 1000;
	fired_at[1] = 0;
	ck_assert(!wheel_run(&w, 1000, 5, note_fired, NULL));
	ck_assert_uint_eq(fired_at[1], 1000);
	messages_fini(&all);
}
END_TEST

/* ---- messages ---- */

START_TEST(ids_are_found_whatever_came_and_went)
{
	struct messages all;
	struct rng rng = { 5 };
	static uint64_t id[20000];
	static bool there[20000];
	uint32_t cursor = 0, seen = 0;

	messages_init(&all);
	for (unsigned i = 0; i < 20000; i++)
		id[i] = (UINT64_C(1700000000000) + i / 7) << 22 | (i & 1023);
	for (unsigned step = 0; step < 200000; step++) {
		unsigned i = (unsigned)(rng_next(&rng) % 20000);
		struct message *m = message_find(&all, id[i]);

		ck_assert_int_eq(m != NULL, there[i]);
		if (m == NULL) {
			m = message_new(&all, id[i], i % 3 + 1);
			ck_assert_ptr_eq(message_at(&all, message_index(m)), m);
		} else {
			message_free(&all, m);
		}
		there[i] = !there[i];
	}
	while (messages_next(&all, &cursor) != NULL)
		seen++;
	ck_assert_uint_eq(seen, all.count);
	messages_fini(&all);
}
END_TEST

#ifndef ANG_SAN
static uint64_t
pss_bytes(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	unsigned long long kb = 0;

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "Pss: %llu kB", &kb) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kb * 1024;
}
#endif

START_TEST(rule_25_a_queued_recipient_costs_at_most_100_bytes)
{
#ifndef ANG_SAN
	enum { N = 400000 };
	struct messages all;
	struct queues queues;
	struct wheel w;
	struct queue *q;
	uint64_t before, per;
	struct buf key = { 0 };
	const struct route r = { .transport = SLICE_LIT("smtp"),
		.domain = SLICE_LIT("dead.example") };
	const char *preload = getenv("LD_PRELOAD");

	if (preload != NULL && strstr(preload, "vgpreload") != NULL)
		return; /* under valgrind memory has another size */
	messages_init(&all);
	queues_init(&queues);
	wheel_init(&w, &all, 0);
	route_put(&key, &r);
	q = queue_make(&queues, 1);
	ck_assert(queue_define(&queues, q, CLASS_MX, slice_buf(&key)));
	before = pss_bytes();
	for (uint64_t i = 1; i <= N; i++) {
		struct message *m = message_new(&all, (UINT64_C(1700000000000) << 22) + i * 3, 1);

		m->to.one.queue = 1;
		wheel_set(&w, m, (uint32_t)(i % 100000));
		ready_push(&queues, &all, q, m, 0);
	}
	per = (pss_bytes() - before) / N;
	ck_assert_msg(per <= 100 && per >= 50, "%llu bytes", (unsigned long long)per);
	buf_fini(&key);
	messages_fini(&all);
	queues_fini(&queues);
#endif
}
END_TEST

/* ---- queues ---- */

static struct slice
route_key(struct buf *b, const char *domain, const char *hop)
{
	struct route r = { .transport = SLICE_LIT("smtp"), .domain = slice_z(domain), .nhops = 1 };

	r.hops[0] = (struct route_hop){ .host = slice_z(hop), .port = 25 };
	buf_reset(b);
	route_put(b, &r);
	return slice_buf(b);
}

START_TEST(queues_are_interned_by_class_and_route)
{
	struct queues all;
	struct buf key = { 0 };
	char domain[32];

	queues_init(&all);
	for (uint32_t i = 1; i < 3000; i++) {
		struct queue *q;

		snprintf(domain, sizeof domain, "d%u.example", i);
		ck_assert_ptr_null(queue_find(&all, CLASS_MX, route_key(&key, domain, "a")));
		ck_assert_uint_eq(queue_number(&all), i);
		q = queue_make(&all, i);
		ck_assert(queue_define(&all, q, CLASS_MX, route_key(&key, domain, "a")));
	}
	for (uint32_t i = 1; i < 3000; i++) {
		snprintf(domain, sizeof domain, "d%u.example", i);
		ck_assert_uint_eq(
		    queue_find(&all, CLASS_MX, route_key(&key, domain, "a"))->number, i);
		ck_assert_ptr_null(
		    queue_find(&all, CLASS_SUBMISSION, route_key(&key, domain, "a")));
		ck_assert_ptr_null(queue_find(&all, CLASS_MX, route_key(&key, domain, "b")));
	}
	queue_free(&all, queue_at(&all, 17));
	ck_assert_ptr_null(queue_find(&all, CLASS_MX, route_key(&key, "d17.example", "a")));
	ck_assert_uint_eq(queue_number(&all), 17);
	ck_assert(!queue_define(&all, queue_make(&all, 17), CLASS_MX, SLICE_LIT("no route")));
	buf_fini(&key);
	queues_fini(&all);
}
END_TEST

START_TEST(ready_lists_keep_order_and_priority)
{
	struct messages ms;
	struct queues all;
	struct queue *q;
	uint32_t msg;
	unsigned rcpt;

	messages_init(&ms);
	queues_init(&all);
	q = queue_make(&all, 1);
	for (uint64_t i = 1; i <= 6; i++) {
		struct message *m = message_new(&ms, i, 2);

		m->flags = i == 4 ? MESSAGE_URGENT : 0;
		message_rcpts(m)[0].queue = message_rcpts(m)[1].queue = 1;
		ready_push(&all, &ms, q, m, 0);
		ready_push(&all, &ms, q, m, 1);
	}
	ready_remove(&all, &ms, q, message_find(&ms, 1), 0); /* head */
	ready_remove(&all, &ms, q, message_find(&ms, 3), 1); /* middle */
	ready_remove(&all, &ms, q, message_find(&ms, 6), 1); /* tail */
	static const uint64_t want[][2] = { { 4, 0 }, { 4, 1 }, { 1, 1 }, { 2, 0 }, { 2, 1 },
		{ 3, 0 }, { 5, 0 }, { 5, 1 }, { 6, 0 } };
	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		ck_assert(ready_first(q, &msg, &rcpt));
		ck_assert_uint_eq(message_at(&ms, msg)->id, want[i][0]);
		ck_assert_uint_eq(rcpt, want[i][1]);
		ready_remove(&all, &ms, q, message_at(&ms, msg), rcpt);
	}
	ck_assert(!ready_first(q, &msg, &rcpt));
	ck_assert_uint_eq(q->nready, 0);
	messages_fini(&ms);
	queues_fini(&all);
}
END_TEST

START_TEST(down_queues_come_back_in_order)
{
	struct queues all;
	struct rng rng = { 3 };
	uint32_t last = 0;

	queues_init(&all);
	for (uint32_t i = 1; i <= 500; i++)
		down_set(&all, queue_make(&all, i), 1 + (uint32_t)(rng_next(&rng) % 1000));
	for (uint32_t i = 1; i <= 500; i += 3)
		down_set(&all, queue_at(&all, i),
		    i % 2 == 0 ? 0 : 1 + (uint32_t)(rng_next(&rng) % 1000));
	while (down_first(&all) != NULL) {
		ck_assert_uint_ge(down_first(&all)->down_until, last);
		last = down_first(&all)->down_until;
		down_set(&all, down_first(&all), 0);
	}
	queues_fini(&all);
}
END_TEST

/* ---- retry, clock, segment numbers ---- */

static const struct {
	struct retry how;
	unsigned tries;
	uint64_t low, high;
} waits[] = {
	{ { 1200000, 43200000, 0 }, 1, 1200000, 1200000 },
	{ { 1200000, 43200000, 0 }, 2, 2400000, 2400000 },
	{ { 1200000, 43200000, 0 }, 6, 38400000, 38400000 },
	{ { 1200000, 43200000, 0 }, 7, 43200000, 43200000 },
	{ { 1200000, 43200000, 0 }, 65535, 43200000, 43200000 },
	{ { 1000, 500, 0 }, 1, 500, 500 }, /* the longest is the only wait */
	{ { 1000, 100000, 10 }, 1, 900, 1100 },
	{ { 1000, 100000, 100 }, 1, 0, 2000 },
	{ { 1000, 100000, 10 }, 3, 3600, 4400 },
};

START_TEST(retry_doubles_up_to_its_longest_wait_with_jitter)
{
	struct rng rng = { 1 };
	uint64_t lowest = UINT64_MAX, highest = 0;

	for (int i = 0; i < 1000; i++) {
		uint64_t w = retry_wait_ms(&waits[_i].how, waits[_i].tries, &rng);

		ck_assert_uint_ge(w, waits[_i].low);
		ck_assert_uint_le(w, waits[_i].high);
		lowest = w < lowest ? w : lowest;
		highest = w > highest ? w : highest;
	}
	/* it does vary */
	ck_assert_uint_ge((highest - lowest) * 10, (waits[_i].high - waits[_i].low) * 9);
}
END_TEST

static const struct {
	int64_t wall_gone_ms, want_ms;
} gaps[] = {
	{ 0, 0 },
	{ 5000, 5000 },
	{ -5000, 0 },
	{ 86400000, 86400000 },
	{ INT64_C(86400000) * 400, 86400000 },
};

START_TEST(rule_13_queue_clock_advances_by_wall_time_clamped_to_a_day)
{
	struct qclock c;

	now_ms = 100000;
	wall_skew_ms = 0;
	clock_set_source(&fake_clock);
	qclock_start(&c, 777000, (uint64_t)((int64_t)fake_wall_ms() - gaps[_i].wall_gone_ms));
	ck_assert_uint_eq(qclock_ms(&c), (uint64_t)(777000 + gaps[_i].want_ms));
	wall_skew_ms = UINT64_C(86400000) * 1000; /* setting the wall clock moves nothing */
	ck_assert_uint_eq(qclock_ms(&c), (uint64_t)(777000 + gaps[_i].want_ms));
	now_ms += 1234;
	ck_assert_uint_eq(qclock_ms(&c), (uint64_t)(777000 + gaps[_i].want_ms + 1234));
	ck_assert_uint_ge(qclock_of_tick(qclock_tick(1001)), 1001); /* never early */
}
END_TEST

START_TEST(rule_12_no_two_live_segments_share_the_id_bits)
{
	struct segtab t;

	segtab_init(&t);
	seg_make(&t, 5);
	seg_make(&t, 4100); /* next would be 4101 = 5 mod 4096 */
	ck_assert_uint_eq(segtab_number(&t), 4102);
	seg_free(&t, seg_find(&t, 4100));
	ck_assert_uint_eq(segtab_number(&t), 4102); /* 4100 is never given again */
	segtab_fini(&t);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, rule_24_each_timer_fires_at_its_tick_and_only_once, 0, 4);
	tcase_add_test(tc, rule_24_a_tick_in_the_past_is_due_at_once);
	tcase_add_test(tc, ids_are_found_whatever_came_and_went);
	tcase_add_test(tc, rule_25_a_queued_recipient_costs_at_most_100_bytes);
	tcase_add_test(tc, queues_are_interned_by_class_and_route);
	tcase_add_test(tc, ready_lists_keep_order_and_priority);
	tcase_add_test(tc, down_queues_come_back_in_order);
	tcase_add_loop_test(
	    tc, retry_doubles_up_to_its_longest_wait_with_jitter, 0, sizeof waits / sizeof *waits);
	tcase_add_loop_test(tc, rule_13_queue_clock_advances_by_wall_time_clamped_to_a_day, 0,
	    sizeof gaps / sizeof *gaps);
	tcase_add_test(tc, rule_12_no_two_live_segments_share_the_id_bits);
}
CHECK_MAIN("qmgr parts", cases)
