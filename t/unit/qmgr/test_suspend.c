/* SPDX-License-Identifier: ISC */
#include "t/unit/qmgr/world.h"

/* What operators stop and let go on, who goes first within a queue, and what a recipient waits for. */
static const char conf[] = "concurrency = 3\nretry_first = 20m\nhost_rest = 0\n"
			   "binding one { source = 192.0.2.101 }\n"
			   "binding two { source = 192.0.2.102 }\n"
			   "binding six { source = \"2001:db8::6\" }\n"
			   "group both { binding one { } binding two { } }\n"
			   "group mixed { binding one { } binding six { } }\n"
			   "domain u.example { concurrency = 100 }\n";
static struct world w;
static struct worker *worker;
static struct pen pen;

static void
setup(void)
{
	world_new(&w, conf);
	pen = world_lease(&w, CLASS_MX, 1);
	worker = world_worker(&w, 1, 100);
}

static void
teardown(void)
{
	world_end(&w);
}

static void
again(void)
{
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	world_settle(&w);
	worker = world_worker(&w, 1, 100);
}

static uint64_t
send_by(const char *pool, const char *to)
{
	const struct letter l = {
		.from = "a@x.example", .to = { to }, .hop = "192.0.2.1", .pool = pool
	};
	uint64_t id = pen_write(&w, &pen, &l);

	pen_ring(&w, &pen);
	return id;
}

static uint64_t
send_priority(int priority)
{
	const struct letter l = { .from = "a@x.example",
		.to = { "b@y.example" },
		.hop = "192.0.2.1",
		.priority = priority };
	uint64_t id = pen_write(&w, &pen, &l);

	pen_ring(&w, &pen);
	return id;
}

/* What it waits for, and by what. */
static enum why_cause
cause_of(uint64_t id, char by[64])
{
	struct why why = { 0 };

	why_find(&w.q, message_find(&w.q.messages, id), 0, &why);
	slice_copy(slice_buf(&why.by), by, 64);
	ck_assert_uint_gt(why.text.n, 0);
	why_fini(&why);
	return why.cause;
}

/* ---- suspension ---- */

static const struct {
	const char *what, *pool, *to;	/* suspended; what it stops */
	const char *other_pool, *other; /* what goes on; NULL: nothing does */
	const char *by;
} kinds[] = {
	{ "y.example", NULL, "b@y.example", NULL, "b@z.example", "domain=y.example" },
	{ "domain=Y.example", NULL, "b@y.example", "one", "b@z.example", "domain=y.example" },
	{ "*", "one", "b@y.example", NULL, NULL, "*" },
	{ "pool=one", "one", "b@y.example", "two", "b@y.example", "pool=one" },
	{ "pool=BOTH", "both", "b@y.example", "one", "b@y.example", "pool=both" },
	{ "binding=one", "one", "b@y.example", "two", "b@y.example", "binding=one" },
	{ "binding=one", "one", "b@y.example", "both", "b@y.example", "binding=one" },
	{ "queue=smtp///mx/y.example", NULL, "b@y.example", "one", "b@y.example", "queue=1" },
	{ "queue=1", NULL, "b@y.example", NULL, "b@z.example", "queue=1" },
};

START_TEST(what_is_suspended_waits_and_the_rest_goes_on)
{
	uint64_t first = send_by(kinds[_i].pool, kinds[_i].to), id;
	unsigned before = ntold;
	char by[64];

	ck_assert_uint_eq(told[0].id, first);
	ck_assert(world_suspend(&w, kinds[_i].what));
	ck_assert(!world_suspend(&w, kinds[_i].what)); /* it is so already */
	job_finish(&w, &told[0], OUTCOME_OK, 250); /* what is in delivery ends as it would have */
	ck_assert_uint_eq(w.q.ledger.delivered, 1);
	id = send_by(kinds[_i].pool, kinds[_i].to);
	ck_assert_uint_eq(ntold, before);
	ck_assert_int_eq(cause_of(id, by), WHY_SUSPENDED);
	ck_assert_str_eq(by, kinds[_i].by);
	clean_consider(&w.q, true); /* its record is written anew */
	world_settle(&w);
	again();
	ck_assert_uint_eq(ntold, 0);
	ck_assert_int_eq(cause_of(id, by), WHY_SUSPENDED);
	ck_assert_str_eq(by, kinds[_i].by);
	if (kinds[_i].other != NULL) {
		uint64_t other = send_by(kinds[_i].other_pool, kinds[_i].other);

		ck_assert_uint_eq(ntold, 1);
		ck_assert_uint_eq(told[0].id, other);
	}
	before = ntold;
	ck_assert(world_resume(&w, kinds[_i].what));
	ck_assert_uint_eq(ntold, before + 1);
	ck_assert_uint_eq(told[before].id, id);
	ck_assert(!world_resume(&w, kinds[_i].what));
	ck_assert_uint_eq(w.q.nsuspended, 0);
}
END_TEST

START_TEST(each_suspension_is_resumed_alone)
{
	static const char *const all[] = { "pool=one", "binding=one", "domain=y.example", "queue=1",
		"*" };
	static const char *const by[] = { "pool=one", "binding=one", "domain=y.example", "queue=1",
		"*" };
	uint64_t id;
	char why[64];

	job_finish(&w, (send_by("one", "b@y.example"), &told[0]), OUTCOME_OK, 250);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		ck_assert(world_suspend(&w, all[i]));
	id = send_by("one", "b@y.example");
	ck_assert(world_resume(&w, "*"));
	for (size_t i = 0; i + 1 < sizeof all / sizeof *all; i++) {
		ck_assert_uint_eq(ntold, 1);
		ck_assert_int_eq(cause_of(id, why), WHY_SUSPENDED);
		ck_assert_str_eq(why, by[i]);
		ck_assert(world_resume(&w, all[i]));
	}
	ck_assert_uint_eq(ntold, 2);
	again();
	ck_assert_uint_eq(w.q.nsuspended, 0);
}
END_TEST

/* What is found out about a queue is remembered until something changes. */
START_TEST(a_later_suspension_is_seen)
{
	ck_assert(world_suspend(&w, "elsewhere.example"));
	job_finish(&w, (send_by("both", "b@y.example"), &told[0]), OUTCOME_OK, 250);
	ck_assert(world_suspend(&w, "y.example"));
	send_by("both", "b@y.example");
	ck_assert_uint_eq(ntold, 1);
	ck_assert(world_resume(&w, "y.example"));
	ck_assert_uint_eq(ntold, 2);
	job_finish(&w, &told[1], OUTCOME_OK, 250);
	ck_assert(world_suspend(&w, "binding=one"));
	ck_assert(world_suspend(&w, "binding=two"));
	send_by("both", "b@y.example");
	ck_assert_uint_eq(ntold, 2);
	/* A configuration in which the group has one more. */
	conf_unref(w.conf);
	world_conf(&w, "binding one { }\nbinding two { }\nbinding three { }\n"
		       "group both { binding one { } binding two { } binding three { } }\n");
	qmgr_set_conf(&w.q, w.conf);
	world_settle(&w);
	ck_assert_uint_eq(ntold, 3);
}
END_TEST

static const struct {
	const char *what;
	bool now;
	const char *why; /* a part of it */
} senseless[] = {
	{ "", true, "empty" },
	{ "domain=", true, "empty" },
	{ "planet=mars", true, "which?" },
	{ "queue=77", true, "no such queue" },
	{ "queue=0", true, "no such queue" },
	{ "queue=4294967297", true, "no such queue" },
	{ "queue=smtp///mx/elsewhere.example", true, "no such queue" },
	{ "queue=smtp///mx/y.example", true, "several" },
	{ "pool=none", true, "no binding or group" },
	{ "binding=both", true, "no binding" }, /* a group is none */
	{ "binding=gone", false, NULL },	/* what is suspended may be resumed */
	{ "a=b.example", true, "which?" },
};

START_TEST(what_means_nothing_is_told)
{
	struct suspend s;
	const char *why;

	send_by(NULL, "b@y.example");
	world_send_apart(&w, &pen, "a@x.example", "b@y.example"); /* other next hops */
	why = suspend_parse(&w.q, slice_z(senseless[_i].what), senseless[_i].now, &s);
	if (senseless[_i].why == NULL)
		ck_assert_ptr_null(why);
	else
		ck_assert_msg(why != NULL && strstr(why, senseless[_i].why) != NULL, "%s: %s",
		    senseless[_i].what, why == NULL ? "taken" : why);
}
END_TEST

START_TEST(a_queue_that_is_suspended_keeps_its_number)
{
	send_by(NULL, "b@y.example");
	job_finish(&w, &told[0], OUTCOME_OK, 250);
	ck_assert(world_suspend(&w, "queue=1"));
	for (int i = 0; i < 300; i++)
		qmgr_slow(&w.q);
	world_settle(&w);
	send_by(NULL, "b@z.example");
	send_by(NULL, "b@y.example");
	ck_assert_uint_eq(ntold, 2);
	ck_assert_uint_eq(told[1].queue, 2);
	ck_assert(world_resume(&w, "queue=1"));
	ck_assert_uint_eq(told[2].queue, 1);
}
END_TEST

/* One that waits at a bucket, or at its site, and is suspended there, keeps nobody behind it waiting. */
static const char *const shared[] = {
	"bucket b { connections = 1 }\nbuckets = b\n",
	"concurrency = 1\n",
};

START_TEST(others_pass_one_that_is_suspended_in_line)
{
	uint64_t last;
	char by[64];

	conf_unref(w.conf);
	world_conf(&w, shared[_i]);
	qmgr_set_conf(&w.q, w.conf);
	send_by(NULL, "b@first.example");
	send_by(NULL, "b@y.example");
	last = send_by(NULL, "b@last.example");
	ck_assert_uint_eq(ntold, 1);
	ck_assert_int_eq(cause_of(last, by), WHY_LIMIT);
	ck_assert_str_eq(by, _i == 0 ? "b/connections" : "concurrency");
	ck_assert(world_suspend(&w, "y.example"));
	job_finish(&w, &told[0], OUTCOME_OK, 250);
	ck_assert_uint_eq(ntold, 2);
	ck_assert_uint_eq(told[1].id, last);
	ck_assert(world_resume(&w, "y.example"));
	ck_assert_uint_eq(ntold, 2);
	job_finish(&w, &told[1], OUTCOME_OK, 250);
	ck_assert_uint_eq(ntold, 3);
}
END_TEST

/* ---- sources ---- */

START_TEST(a_group_takes_its_members_in_turn)
{
	struct queue *queue;
	struct slice source;
	uint8_t last = 0, now;

	send_by("both", "b@y.example");
	queue = queue_at(&w.q.queues, told[0].queue);
	for (int i = 0; i < 6; i++) {
		source = queue_source(&w.q, queue);
		ck_assert_uint_eq(source.n, 16);
		now = (uint8_t)source.p[15];
		ck_assert_uint_ne(now, last);
		last = now;
	}
	ck_assert(world_suspend(&w, "binding=one"));
	for (int i = 0; i < 6; i++)
		ck_assert_uint_eq((uint8_t)queue_source(&w.q, queue).p[15], 102);
	ck_assert(world_suspend(&w, "binding=two")); /* none is left */
	ck_assert_ptr_nonnull(suspend_of(&w.q, queue));
}
END_TEST

/* Of a group with addresses of both kinds the one goes that can reach the hop. */
START_TEST(a_source_goes_to_its_own_family)
{
	for (int i = 0; i < 3; i++) {
		send_by("mixed", "b@y.example");
		ck_assert_uint_eq(told[i].nhosts, 1);
		ck_assert_msg(
		    told[i].source_n == 16 && told[i].source[15] == 101, "from the other one");
	}
}
END_TEST

/* ---- priorities ---- */

START_TEST(of_eight_jobs_one_is_of_each_that_waits)
{
	struct queue *queue;
	struct messages *ms = &w.q.messages;
	unsigned n[3] = { 0 }, passed = 0, longest = 0;

	ck_assert(world_suspend(&w, "*"));
	for (int i = 0; i < 60; i++) {
		send_priority(4);
		send_priority(0);
		send_priority(-2);
	}
	clean_consider(&w.q, true); /* what stays of a priority in a snapshot */
	world_settle(&w);
	again();
	queue = queue_at(&w.q.queues, 2); /* the marker was the first */
	ck_assert_uint_eq(queue->nready, 180);
	for (int i = 0; i < 64; i++) {
		uint32_t msg;
		unsigned rcpt;
		struct message *m;
		bool urgent;

		ck_assert(ready_first(queue, &msg, &rcpt));
		m = message_at(ms, msg);
		urgent = m->flags & MESSAGE_URGENT;
		passed = urgent ? passed + 1 : 0;
		if (passed > longest)
			longest = passed;
		n[urgent ? 0 : m->flags & MESSAGE_LOW ? 2 : 1]++;
		ready_remove(&w.q.queues, ms, queue, m, rcpt);
		ready_taken(queue, m);
		message_rcpts(m)[rcpt].phase = RCPT_DEFERRED;
	}
	ck_assert_uint_eq(n[0] + n[1] + n[2], 64);
	ck_assert_uint_ge(n[1], 8);
	ck_assert_uint_ge(n[2], 7);
	ck_assert_uint_ge(n[0], 46);
	ck_assert_uint_lt(longest, QUEUE_TURNS);
}
END_TEST

START_TEST(urgent_mail_passes_low_mail_is_passed)
{
	uint64_t low[2], normal[2], urgent[2];

	ck_assert(world_suspend(&w, "*"));
	for (int i = 0; i < 2; i++) {
		low[i] = send_priority(-9);
		normal[i] = send_priority(0);
		urgent[i] = send_priority(1);
	}
	ck_assert(world_resume(&w, "*"));
	for (unsigned i = 0; i < 6; i++) {
		const uint64_t want[] = { urgent[0], urgent[1], normal[0], normal[1], low[0],
			low[1] };

		ck_assert_uint_gt(ntold, i);
		ck_assert_uint_eq(told[i].id, want[i]);
		job_finish(&w, &told[i], OUTCOME_OK, 250);
	}
}
END_TEST

/* ---- why ---- */

START_TEST(each_recipient_has_one_cause)
{
	uint64_t id[5], held, busy;
	char by[64];

	for (int i = 0; i < 5; i++)
		id[i] = send_by(NULL, "b@y.example");
	ck_assert_int_eq(cause_of(id[0], by), WHY_RUNNING);
	ck_assert_int_eq(cause_of(id[3], by), WHY_LIMIT);
	ck_assert_str_eq(by, "concurrency");
	ck_assert_int_eq(cause_of(id[4], by), WHY_BEHIND);
	ck_assert_str_eq(by, "concurrency");
	busy = world_send(&w, &pen, "a@x.example", "b@z.example"); /* by the same hop */
	ck_assert_int_eq(cause_of(busy, by), WHY_LIMIT);
	dispatch_room(&w.q, worker, 3);
	held = world_send_apart(&w, &pen, "a@x.example", "b@u.example");
	ck_assert_int_eq(cause_of(held, by), WHY_LIMIT);
	ck_assert_str_eq(by, "room");
	ck_assert(operate(&w.q, OPERATE_HOLD, message_find(&w.q.messages, held), SLICE_LIT("me"),
	    SLICE_LIT("so")));
	ck_assert_int_eq(cause_of(held, by), WHY_HELD);
	ck_assert_str_eq(by, "me");
	job_finish(&w, &told[0], OUTCOME_TEMP, 450);
	ck_assert_int_eq(cause_of(id[0], by), WHY_NOT_DUE);
	ck_assert(world_suspend(&w, "y.example"));
	ck_assert_int_eq(cause_of(id[0], by), WHY_SUSPENDED); /* which outlasts its pause */
	ck_assert(world_resume(&w, "y.example"));
	job_host_down(&w, &told[1]);
	ck_assert_int_eq(cause_of(id[4], by), WHY_UNREACHABLE);
	dispatch_unlinked(&w.q, worker);
	ck_assert(operate(
	    &w.q, OPERATE_RELEASE, message_find(&w.q.messages, held), SLICE_LIT("me"), SLICE_NONE));
	world_pass(&w, 1000);
	ck_assert_int_eq(cause_of(held, by), WHY_WORKER);
}
END_TEST

START_TEST(the_other_causes)
{
	const struct letter unrouted = { .from = "a@x.example", .to = { "b@y.example" } };
	uint64_t id;
	char by[64];

	id = pen_write(&w, &pen, &unrouted);
	pen_ring(&w, &pen);
	ck_assert_int_eq(cause_of(id, by), WHY_ROUTER);
	dns.slow = true;
	id = world_send_apart(&w, &pen, "a@x.example", "b@named.example");
	ck_assert_int_eq(cause_of(id, by), WHY_LOOKUP);
	dns.slow = false;
	world_settle(&w);
	ck_assert_int_eq(cause_of(id, by), WHY_RUNNING);
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	world_settle(&w);
	ck_assert_int_eq(cause_of(id, by), WHY_REPORT); /* given out, and not reported on */
	worker = world_worker(&w, 1, 100); /* it knows nothing of that: it is tried again */
	world_pass(&w, 60000);
	ck_assert_int_eq(cause_of(id, by), WHY_RUNNING);
	job_finish(&w, &told[ntold - 1], OUTCOME_PERM, 550);
	ck_assert_int_eq(cause_of(id, by), WHY_NOTICE);
}
END_TEST

START_TEST(behind_others_is_who_could_go_now)
{
	uint64_t id;
	char by[64];

	ck_assert(world_suspend(&w, "*"));
	id = send_by(NULL, "b@u.example");
	w.q.dispatch.ending = true; /* so that nothing is given out in this turn */
	ck_assert(world_resume(&w, "*"));
	ck_assert_int_eq(cause_of(id, by), WHY_BEHIND);
	w.q.dispatch.ending = false;
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, what_is_suspended_waits_and_the_rest_goes_on, 0,
	    (int)(sizeof kinds / sizeof *kinds));
	tcase_add_test(tc, each_suspension_is_resumed_alone);
	tcase_add_test(tc, a_later_suspension_is_seen);
	tcase_add_loop_test(
	    tc, what_means_nothing_is_told, 0, (int)(sizeof senseless / sizeof *senseless));
	tcase_add_test(tc, a_queue_that_is_suspended_keeps_its_number);
	tcase_add_loop_test(tc, others_pass_one_that_is_suspended_in_line, 0,
	    (int)(sizeof shared / sizeof *shared));
	tcase_add_test(tc, a_group_takes_its_members_in_turn);
	tcase_add_test(tc, a_source_goes_to_its_own_family);
	tcase_add_test(tc, of_eight_jobs_one_is_of_each_that_waits);
	tcase_add_test(tc, urgent_mail_passes_low_mail_is_passed);
	tcase_add_test(tc, each_recipient_has_one_cause);
	tcase_add_test(tc, the_other_causes);
	tcase_add_test(tc, behind_others_is_who_could_go_now);
}
CHECK_MAIN("suspend", cases)
