/* SPDX-License-Identifier: ISC */
/* Buckets: what several queues share, who waits, in which order, and that nobody is forgotten. */
#include "world.h"

#include "qmgr/bucket.h"
#include "qmgr/queue_policy.h"

static struct world w;
static struct pen pen;
static struct worker *worker;

static void
begin(const char *conf)
{
	world_new(&w, conf);
	pen = world_lease(&w, CLASS_MX, 5);
	worker = world_worker(&w, 9, 1000);
	nclosed = 0;
}

static void
end(void)
{
	close(pen.fd);
	world_end(&w);
}

static void
send_n(const char *domain, unsigned n)
{
	char to[80];

	for (unsigned i = 0; i < n; i++) {
		snprintf(to, sizeof to, "u%u@%s", i, domain);
		world_send_apart(&w, &pen, "a@b.example", to);
	}
}

static unsigned
running(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ntold; i++)
		n += !told[i].done;
	return n;
}

static const char *
domain_of(const struct told_job *t)
{
	return w.q.queues.at[t->queue]->route.domain.p;
}

static struct queue *
queue_of(const char *domain)
{
	for (uint32_t i = 1; i < w.q.queues.n; i++)
		if (w.q.queues.at[i] != NULL && slice_is(w.q.queues.at[i]->route.domain, domain))
			return w.q.queues.at[i];
	ck_abort_msg("no queue for %s", domain);
}

/* As deliver would: what it opened, took and kept. */
static void
finish_conn(struct told_job *t, uint32_t opened, bool took, uint8_t kept)
{
	job_results(&w, t, OUTCOME_OK, 250);
	ck_assert(dispatch_done(&w.q, t->worker,
	    &(struct msg_job_done){ .job = t->number,
		.host = SLICE_LIT("192.0.2.1"),
		.conn_use = opened > 0 ? 1 : 2,
		.kept = kept,
		.took = took,
		.opened = opened }));
	t->done = true;
	world_settle(&w);
}

#define TWO                                             \
	"domain \"one.example\" { buckets = shared }\n" \
	"domain \"two.example\" { buckets = shared }\n"

START_TEST(connections_are_shared_and_each_gets_its_turn)
{
	unsigned of_one = 0;

	begin("bucket \"shared\" { connections = 3 }\n" TWO);
	send_n("one.example", 9);
	send_n("two.example", 9);
	send_n("other.example", 2); /* nobody limits these */
	ck_assert_uint_eq(ntold, 5);
	finish_conn(&told[3], 1, false, false);
	finish_conn(&told[4], 1, false, false);
	for (unsigned i = 0; i < 20; i++) {
		ck_assert_uint_le(running(), 3);
		if (!told[i].done)
			finish_conn(&told[i], 1, false, false);
		of_one += i >= 3 && i < 17 && slice_istarts(slice_z(domain_of(&told[i])), "one");
	}
	ck_assert_uint_eq(ntold, 20);
	/* of the 12 in between, as long as both had something */
	ck_assert_uint_ge(of_one, 5);
	ck_assert_uint_le(of_one, 7);
	end();
}
END_TEST

START_TEST(a_message_rate_is_kept_over_domains)
{
	begin("bucket \"shared\" { message_rate = \"60/1m burst 2\" }\n" TWO);
	send_n("one.example", 10);
	send_n("two.example", 10);
	ck_assert_uint_eq(ntold, 2);
	for (unsigned s = 1; s <= 18; s++) {
		world_pass(&w, 999);
		ck_assert_uint_eq(ntold, s + 1);
		world_pass(&w, 1);
		ck_assert_uint_eq(ntold, s + 2);
		/* Who has waited longest comes first: they take turns, once hosts are looked up. */
		if (s > 2 && s < 16)
			ck_assert_uint_ne(told[s + 1].queue, told[s].queue);
	}
	world_pass(&w, 3600000);
	ck_assert_uint_eq(ntold, 20);
	ck_assert_uint_eq(running(), 20); /* a rate says nothing of connections */
	end();
}
END_TEST

START_TEST(all_buckets_must_let_it)
{
	struct bucket_hold hold;

	begin("bucket \"wide\" { message_rate = \"120/1m burst 1\" }\n"
	      "bucket \"narrow\" { connections = 1 }\n"
	      "buckets = wide\n"
	      "domain \"one.example\" { buckets = narrow }\n");
	send_n("one.example", 3);
	ck_assert_uint_eq(ntold, 1);
	ck_assert(bucket_holds(&w.q, queue_of("one.example"), &hold));
	ck_assert_str_eq(hold.bucket, "narrow");
	ck_assert_int_eq(hold.limit, BUCKET_CONNECTIONS);
	ck_assert_uint_eq(hold.wait_ms, 0);
	world_pass(&w, 10000);
	ck_assert_uint_eq(ntold, 1);
	finish_conn(&told[0], 1, false, false);
	ck_assert_uint_eq(ntold, 2);
	finish_conn(&told[1], 1, false, false);
	ck_assert_uint_eq(ntold, 2); /* now the other one holds it */
	ck_assert(bucket_holds(&w.q, queue_of("one.example"), &hold));
	ck_assert_str_eq(hold.bucket, "wide");
	ck_assert_int_eq(hold.limit, BUCKET_MESSAGE_RATE);
	ck_assert_uint_eq(hold.wait_ms, 500);
	send_n("two.example", 1);
	ck_assert(bucket_holds(&w.q, queue_of("two.example"), &hold));
	ck_assert_uint_eq(hold.before, 1);
	world_pass(&w, 500);
	ck_assert_uint_eq(ntold, 3);
	ck_assert_str_eq(domain_of(&told[2]), domain_of(&told[0]));
	world_pass(&w, 500);
	ck_assert_uint_eq(ntold, 4);
	ck_assert(!bucket_holds(&w.q, queue_of("two.example"), &hold));
	end();
}
END_TEST

START_TEST(a_connection_rate_counts_what_is_opened)
{
	begin("bucket \"shared\" { connection_rate = \"60/1h burst 2\" }\n" TWO);
	send_n("one.example", 1);
	finish_conn(&told[0], 1, false, true); /* it stays open */
	send_n("one.example", 1);
	ck_assert_uint_eq(ntold, 2); /* over it */
	finish_conn(&told[1], 0, true, true);
	send_n("one.example", 1);
	finish_conn(&told[2], 0, true, false); /* closed after all */
	send_n("two.example", 3);
	ck_assert_uint_eq(ntold, 4); /* the second of the burst */
	/* Three hosts did not answer, the fourth did: two more than there were. */
	finish_conn(&told[3], 4, false, false);
	world_pass(&w, 60000 * 4 - 1);
	ck_assert_uint_eq(ntold, 4);
	world_pass(&w, 1);
	ck_assert_uint_eq(ntold, 5);
	/* A job that opened none pays for none: the next may. */
	finish_conn(&told[4], 0, false, false);
	ck_assert_uint_eq(ntold, 6);
	end();
}
END_TEST

/* A worker that lies about them holds its mail up no longer than the most that a job can begin. */
START_TEST(what_a_worker_says_it_opened_is_bounded)
{
	begin("bucket \"shared\" { connection_rate = \"60/1h burst 2\" }\n" TWO);
	send_n("one.example", 1);
	finish_conn(&told[0], UINT32_MAX, false, false);
	send_n("two.example", 1);
	world_pass(&w, 60000 * (JOB_HOSTS_MAX - 1) - 1);
	ck_assert_uint_eq(ntold, 1);
	world_pass(&w, 1);
	ck_assert_uint_eq(ntold, 2);
	end();
}
END_TEST

START_TEST(idle_connections_count_and_are_closed_for_others)
{
	struct queue *one;

	begin("bucket \"shared\" { connections = 2 }\n" TWO);
	send_n("one.example", 2);
	finish_conn(&told[0], 1, false, true);
	finish_conn(&told[1], 1, false, true);
	one = queue_of("one.example");
	ck_assert_uint_eq(nclosed, 0);
	send_n("two.example", 1); /* both places are idle connections: one is closed */
	ck_assert_uint_eq(ntold, 2);
	ck_assert_uint_eq(nclosed, 1);
	ck_assert_uint_eq(closed_queue[0], one->number);
	bucket_idle_gone(&w.q, worker, one->number);
	world_settle(&w);
	ck_assert_uint_eq(ntold, 3);
	/* The other one serves its own queue's next job, though no place is free. */
	send_n("one.example", 1);
	ck_assert_uint_eq(ntold, 4);
	send_n("two.example", 1);
	ck_assert_uint_eq(ntold, 4);
	/* One that would be kept while another queue waits is closed at once. */
	finish_conn(&told[3], 0, true, true);
	ck_assert_uint_eq(nclosed, 2);
	ck_assert_uint_eq(ntold, 4);
	bucket_idle_gone(&w.q, worker, one->number);
	world_settle(&w);
	ck_assert_uint_eq(ntold, 5);
	finish_conn(&told[2], 1, false, true);
	finish_conn(&told[4], 1, false, true);
	/* A worker that goes takes its connections along. */
	send_n("one.example", 2);
	ck_assert_uint_eq(ntold, 5);
	dispatch_unlinked(&w.q, worker);
	worker = world_worker(&w, 10, 1000);
	world_settle(&w);
	ck_assert_uint_eq(ntold, 7);
	end();
}
END_TEST

START_TEST(a_lost_idle_connection_is_counted_once)
{
	struct queue *one;

	begin("bucket \"shared\" { connections = 1 }\n" TWO);
	send_n("one.example", 1);
	finish_conn(&told[0], 1, false, true);
	one = queue_of("one.example");
	send_n("one.example", 1); /* counts on it */
	ck_assert_uint_eq(ntold, 2);
	bucket_idle_gone(&w.q, worker, one->number); /* the server had closed it by then */
	world_settle(&w);
	send_n("two.example", 1);
	ck_assert_uint_eq(ntold, 2);
	finish_conn(&told[1], 1, false, false);
	ck_assert_uint_eq(ntold, 3);
	ck_assert_uint_eq(one->bucket.idle[0].count, 0);
	ck_assert_uint_eq(one->bucket.idle[0].owed, 0);
	finish_conn(&told[2], 1, false, false);
	ck_assert_uint_eq(one->bucket.share[0].b->jobs, 0);
	ck_assert_uint_eq(one->bucket.share[0].b->idle, 0);
	end();
}
END_TEST

START_TEST(one_that_is_parting_counts_and_serves_nobody)
{
	begin("bucket \"shared\" { connections = 2\nconnection_rate = \"60/1h burst 1\" }\n" TWO);
	send_n("one.example", 1);
	finish_conn(&told[0], 1, false, 2);
	send_n("one.example", 1);
	ck_assert_uint_eq(ntold, 1); /* it would need another, for which there is no rate */
	world_pass(&w, 60000);
	ck_assert_uint_eq(ntold, 2);
	send_n("two.example", 1);
	world_pass(&w, 60000);
	ck_assert_uint_eq(ntold, 2); /* nor is there a place */
	ck_assert_uint_eq(nclosed, 0);
	bucket_idle_gone(&w.q, worker, queue_of("one.example")->number);
	world_settle(&w);
	ck_assert_uint_eq(ntold, 3);
	end();
}
END_TEST

static void
reload(const char *text)
{
	struct conf *before = w.conf;

	world_conf(&w, text);
	qmgr_set_conf(&w.q, w.conf);
	conf_unref(before);
	world_settle(&w);
}

START_TEST(a_reload_changes_limits_and_keeps_what_is_used)
{
	begin("bucket \"shared\" { message_rate = \"60/1h burst 3\" }\n" TWO);
	send_n("one.example", 10);
	ck_assert_uint_eq(ntold, 3);
	reload("bucket \"shared\" { message_rate = \"60/1h burst 3\" connections = 4 }\n" TWO);
	ck_assert_uint_eq(ntold, 3); /* the burst is not given again */
	world_pass(&w, 60000);
	ck_assert_uint_eq(ntold, 4);
	reload("bucket \"shared\" { message_rate = \"3600/1h burst 5\" connections = 5 }\n" TWO);
	ck_assert_uint_eq(ntold, 5); /* wider: two more, and one place */
	reload("bucket \"shared\" { connections = 7 }\n" TWO);
	ck_assert_uint_eq(ntold, 7);
	/* Narrower: those that run go on, no further one begins before there is room. */
	reload("bucket \"shared\" { connections = 2 }\n" TWO);
	for (unsigned i = 0; i < 5; i++)
		finish_conn(&told[i], 1, false, false);
	ck_assert_uint_eq(ntold, 7);
	finish_conn(&told[5], 1, false, false);
	ck_assert_uint_eq(ntold, 8);
	/* Away with it. */
	reload("");
	ck_assert_uint_eq(ntold, 10);
	for (unsigned i = 6; i < 10; i++)
		finish_conn(&told[i], 1, false, false);
	ck_assert_uint_eq(w.q.queues.buckets->n, 1);
	reload("life = 4d\n");
	ck_assert_uint_eq(w.q.queues.buckets->n, 0); /* once nobody shares it */
	end();
}
END_TEST

START_TEST(inline_rates_are_each_destinations_own)
{
	begin("message_rate = \"60/1m burst 1\"\n");
	send_n("one.example", 2);
	send_n("two.example", 2);
	ck_assert_uint_eq(ntold, 2);
	world_pass(&w, 1000);
	ck_assert_uint_eq(ntold, 4);
	end();
}
END_TEST

/* A queue for which nobody is there holds up none that shares a bucket with it. */
START_TEST(one_that_is_called_and_cannot_go_is_skipped)
{
	struct letter l = { .from = "a@b.example", .hop = "local", .transport = "local" };

	begin("bucket \"shared\" { message_rate = \"60/1m burst 1\" connections = 2 }\n" TWO);
	send_n("two.example", 1);
	ck_assert_uint_eq(ntold, 1);
	for (int i = 0; i < 3; i++) {
		l.to[0] = "u@one.example";
		pen_write(&w, &pen, &l);
	}
	pen_ring(&w, &pen); /* no worker of local is there, ever */
	send_n("two.example", 3);
	for (unsigned s = 0; s < 3; s++) {
		world_pass(&w, 1000);
		finish_conn(&told[s], 1, false, false);
	}
	ck_assert_uint_eq(ntold, 4);
	end();
}
END_TEST

/* Nor does one that has a reason of its own by the time it is called. */
START_TEST(one_that_is_down_when_called_is_skipped)
{
	begin("bucket \"shared\" { message_rate = \"60/1m burst 1\" }\n" TWO);
	send_n("two.example", 1);
	send_n("one.example", 1); /* waits first */
	send_n("two.example", 1);
	ck_assert_uint_eq(ntold, 1);
	schedule_pause(&w.q, queue_of("one.example"), qclock_ms(&w.q.clock) + 3600000, WAIT_DNS,
	    SLICE_LIT("for the test"));
	world_pass(&w, 1000);
	ck_assert_uint_eq(ntold, 2);
	ck_assert_uint_eq(told[1].queue, told[0].queue);
	world_pass(&w, 3600000);
	ck_assert_uint_eq(ntold, 3);
	end();
}
END_TEST

START_TEST(recipients_and_messages_are_the_least_of_all)
{
	struct queue *one;

	begin("bucket \"shared\" { recipients_per_transaction = 7\nmessages_per_connection = 3 }\n"
	      "bucket \"b\" { recipients_per_transaction = 9 }\n"
	      "messages_per_connection = 2\n"
	      "buckets = b\n" TWO);
	send_n("one.example", 1);
	one = queue_of("one.example");
	ck_assert_uint_eq(one->job_limits.rcpts, 7);
	ck_assert_uint_eq(one->job_limits.messages, 2);
	ck_assert_uint_eq(one->job_limits.tell, 1);
	end();
}
END_TEST

/* ---- by chance: limits hold at each step, and all goes out in the end ---- */

enum { DOMAINS = 12, MESSAGES = 400, SERVERS = 3 };

/* A deliver of one worker: what it has open for each domain. */
static struct {
	unsigned busy, idle;
} conns[DOMAINS];
static bool took[sizeof told / sizeof *told];
static unsigned looked, closes;

static unsigned
number_of(const struct queue *queue)
{
	return (unsigned)atoi(queue->route.domain.p + 1);
}

static uint64_t
chance(uint64_t *state, uint64_t n)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407U;
	return (*state >> 33) % n;
}

/* New jobs are heard: each takes what is idle or opens one. True connections keep to the limits. */
static void
hear_jobs(void)
{
	unsigned open[SERVERS] = { 0 };

	for (; looked < ntold; looked++) {
		unsigned d = number_of(w.q.queues.at[told[looked].queue]);

		took[looked] = conns[d].idle > 0;
		conns[d].idle -= took[looked];
		conns[d].busy++;
	}
	for (unsigned d = 0; d < DOMAINS; d++)
		open[d % SERVERS] += conns[d].busy + conns[d].idle;
	for (unsigned i = 0; i < SERVERS; i++)
		ck_assert_uint_le(open[i], 2 + i);
}

static void
end_idle(unsigned d)
{
	char domain[32];

	if (conns[d].idle == 0)
		return;
	snprintf(domain, sizeof domain, "d%u.example", d);
	conns[d].idle--;
	bucket_idle_gone(&w.q, worker, queue_of(domain)->number);
	world_settle(&w);
	hear_jobs();
}

static void
end_job(unsigned i, bool kept)
{
	unsigned d = number_of(w.q.queues.at[told[i].queue]);

	conns[d].busy--;
	conns[d].idle += kept;
	finish_conn(&told[i], took[i] ? 0 : 1, took[i], kept);
	hear_jobs();
}

static void
chance_conf(void)
{
	struct buf conf = { 0 };

	buf_puts(&conf, "bucket \"s0\" { connections = 2 }\n"
			"bucket \"s1\" { connections = 3\nmessage_rate = \"40/1s burst 4\" }\n"
			"bucket \"s2\" { connections = 4\nconnection_rate = \"30/1s burst 3\" }\n"
			"bucket \"all\" { message_rate = \"100/1s burst 5\" }\n"
			"concurrency = 2\nbuckets = all\n");
	for (unsigned i = 0; i < DOMAINS; i++)
		buf_printf(&conf, "domain \"d%u.example\" { buckets = s%u }\n", i, i % SERVERS);
	buf_putc(&conf, '\0');
	begin(conf.p);
	buf_fini(&conf);
	memset(conns, 0, sizeof conns);
	looked = closes = 0;
}

START_TEST(by_chance_limits_hold_and_nobody_is_forgotten)
{
	uint64_t seed = (uint64_t)_i * 977 + 1, begun;
	unsigned sent = 0, done = 0, first = 0, of_s1 = 0, counted = 0;
	char domain[32];

	chance_conf();
	begun = now_ms;
	for (unsigned step = 0; done < MESSAGES && step < 100000; step++) {
		if (sent < MESSAGES && chance(&seed, 2) == 0) {
			snprintf(
			    domain, sizeof domain, "d%u.example", (unsigned)chance(&seed, DOMAINS));
			send_n(domain, 1);
			sent++;
			hear_jobs();
		}
		while (first < ntold && told[first].done)
			first++;
		if (first < ntold && chance(&seed, 2) == 0) {
			unsigned i = first + (unsigned)chance(&seed, ntold - first);

			if (!told[i].done) {
				end_job(i, chance(&seed, 2) == 0);
				done++;
			}
		} else {
			uint64_t next = buckets_next_ms(&w.q);

			world_pass(&w, next < 20 ? next : 20);
			hear_jobs();
		}
		if (closes < nclosed && chance(&seed, 3) != 0)
			end_idle(number_of(w.q.queues.at[closed_queue[closes++]]));
		if (chance(&seed, 20) == 0) /* a server or its time ends one */
			end_idle((unsigned)chance(&seed, DOMAINS));
		for (; counted < ntold; counted++)
			of_s1 += number_of(w.q.queues.at[told[counted].queue]) % SERVERS == 1;
		ck_assert_uint_le(ntold, 5 + (now_ms - begun) / 10 + 1);
		ck_assert_uint_le(of_s1, 4 + (now_ms - begun) / 25 + 1);
	}
	ck_assert_uint_eq(done, MESSAGES);
	for (size_t i = 0; i < w.q.queues.buckets->n; i++)
		ck_assert_uint_eq(w.q.queues.buckets->at[i]->jobs, 0);
	end();
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, connections_are_shared_and_each_gets_its_turn);
	tcase_add_test(tc, a_message_rate_is_kept_over_domains);
	tcase_add_test(tc, all_buckets_must_let_it);
	tcase_add_test(tc, a_connection_rate_counts_what_is_opened);
	tcase_add_test(tc, what_a_worker_says_it_opened_is_bounded);
	tcase_add_test(tc, idle_connections_count_and_are_closed_for_others);
	tcase_add_test(tc, a_lost_idle_connection_is_counted_once);
	tcase_add_test(tc, one_that_is_parting_counts_and_serves_nobody);
	tcase_add_test(tc, a_reload_changes_limits_and_keeps_what_is_used);
	tcase_add_test(tc, inline_rates_are_each_destinations_own);
	tcase_add_test(tc, one_that_is_called_and_cannot_go_is_skipped);
	tcase_add_test(tc, one_that_is_down_when_called_is_skipped);
	tcase_add_test(tc, recipients_and_messages_are_the_least_of_all);
	tcase_add_loop_test(tc, by_chance_limits_hold_and_nobody_is_forgotten, 0, 8);
}
CHECK_MAIN("bucket", cases)
