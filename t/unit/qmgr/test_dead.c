/* SPDX-License-Identifier: ISC */
#include "t/unit/qmgr/world.h"

/*
 * A dead destination is one object, however much waits for it: its messages are filed, and from
 * then on nothing is written, read or moved for them but for the one that feels the way.
 */
#ifdef ANG_SAN
enum { MANY = 20000 }; /* which take as long there */
#else
enum { MANY = 100000 };
#endif
enum { BATCH = 500, CONNECTIONS = 3 };

static struct world w;
static struct worker *worker;
static struct pen pen;
static uint32_t wake[MANY];

static void
setup(void)
{
	world_new(&w, "concurrency = 3\nretry_first = 20m\nretry_max = 1h\nlife_bounce = 5d\n"
		      "host_rest = 0\nlife = 5d\n");
	pen = world_lease(&w, CLASS_MX, 1);
	worker = world_worker(&w, 1, 100);
}

static void
teardown(void)
{
	world_end(&w);
}

static void
send_many(unsigned n, const char *to)
{
	const struct letter l = { .from = "", .to = { to }, .hop = "192.0.2.1" };

	for (unsigned i = 0; i < n; i++) {
		pen_write(&w, &pen, &l);
		if ((i + 1) % BATCH == 0 || i + 1 == n)
			pen_ring(&w, &pen);
	}
}

static struct queue *
queue_down(void)
{
	struct queue *queue = down_first(&w.q.queues);

	ck_assert_ptr_nonnull(queue);
	return queue;
}

/* The first jobs find out: as many as there may be connections. */
static void
find_out(void)
{
	send_many(2 * CONNECTIONS, "b@dead.example");
	ck_assert_uint_eq(ntold, CONNECTIONS);
	for (unsigned i = 0; i < CONNECTIONS; i++)
		job_host_down(&w, &told[i]);
	ck_assert_uint_eq(ntold, CONNECTIONS);
	queue_down();
}

/* To the end of its pause, to the tick. The one job that is made then, which is to be ended. */
static struct told_job *
probe(void)
{
	unsigned before = ntold;
	uint64_t until = qclock_of_tick(queue_down()->down_until), now = qclock_ms(&w.q.clock);

	world_pass(&w, until > now ? until - now : 0);
	ck_assert_msg(ntold == before + 1, "%u jobs feel the way", ntold - before);
	return &told[before];
}

START_TEST(a_dead_queue_costs_nothing_per_message)
{
	uint64_t records, bytes, filed;
	unsigned tried = 0, probes = 0, i = 0;
	uint32_t cursor = 0;
	struct message *m;

	find_out();
	records = w.q.journal.stats.records;
	send_many(MANY, "b@dead.example");
	filed = w.q.journal.stats.records - records;
	ck_assert_uint_eq(filed, MANY); /* one each, and none besides */
	ck_assert_uint_eq(ntold, CONNECTIONS);
	while ((m = messages_next(&w.q.messages, &cursor)) != NULL && i < MANY)
		wake[i++] = m->wake;

	records = w.q.journal.stats.records;
	bytes = w.q.journal.stats.bytes;
	for (; probes < 24; probes++)
		job_host_down(&w, probe());
	/* STARTED and RESULT of each probe, CLOCK once a minute. */
	ck_assert_msg(w.q.journal.stats.records - records <= 4 * probes,
	    "%llu records for %u tries", (unsigned long long)(w.q.journal.stats.records - records),
	    probes);
	ck_assert_uint_le(w.q.journal.stats.bytes - bytes, 1000 * probes);

	cursor = i = 0;
	while ((m = messages_next(&w.q.messages, &cursor)) != NULL && i < MANY) {
		struct recipient *r = message_rcpts(m);

		tried += r->attempts > 0;
		ck_assert(r->attempts > 0 || (r->phase == RCPT_READY && m->wake == wake[i]));
		i++;
	}
	ck_assert_uint_le(tried, CONNECTIONS + probes);
	ck_assert_uint_eq(w.q.messages.count, MANY + 2 * CONNECTIONS);
}
END_TEST

START_TEST(when_it_is_up_one_message_feels_the_way_then_all_go)
{
	struct told_job *first;

	find_out();
	send_many(50, "b@dead.example");
	job_host_down(&w, probe());
	first = probe();
	world_pass(&w, 1000);
	ck_assert_uint_eq(ntold, CONNECTIONS + 2); /* it alone, for as long as it takes */
	job_finish(&w, first, OUTCOME_OK, 250);
	ck_assert_uint_eq(ntold, CONNECTIONS + 2 + CONNECTIONS);
	ck_assert_ptr_null(down_first(&w.q.queues));
}
END_TEST

/* What came an hour later expires an hour later, though it was never looked at. */
START_TEST(each_message_expires_in_its_time)
{
	enum { HOUR = 3600000, DAY = 24 * HOUR };
	uint64_t expired;

	find_out();
	send_many(300, "b@dead.example");
	world_pass(&w, HOUR);
	for (unsigned i = CONNECTIONS; i < ntold; i++)
		if (!told[i].done)
			job_host_down(&w, &told[i]);
	send_many(200, "b@dead.example");
	dispatch_room(&w.q, worker, 0); /* nobody tries any more */
	world_pass(&w, 5ULL * DAY - HOUR - 60000);
	ck_assert_uint_eq(w.q.ledger.expired, 0);
	world_pass(&w, 2 * 60000);
	expired = w.q.ledger.expired;
	ck_assert_uint_eq(expired, 300 + 2 * CONNECTIONS);
	world_pass(&w, HOUR - 5 * 60000);
	ck_assert_uint_eq(w.q.ledger.expired, expired);
	world_pass(&w, 10 * 60000);
	ck_assert_uint_eq(w.q.ledger.expired, expired + 200);
	ck_assert_uint_eq(w.q.messages.count, 0);
	ck_assert(world_balanced(&w));
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, a_dead_queue_costs_nothing_per_message);
	tcase_add_test(tc, when_it_is_up_one_message_feels_the_way_then_all_go);
	tcase_add_test(tc, each_message_expires_in_its_time);
}
CHECK_MAIN("dead queue", cases)
