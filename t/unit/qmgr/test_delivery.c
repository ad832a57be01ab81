/* SPDX-License-Identifier: ISC */
#include "world.h"

static struct world w;
static struct pen pen;
static struct worker *worker;

#define CONF                                                                             \
	"retry_first = 10m\nretry_max = 1h\nlife = 2h\nlife_bounce = 1h\nfailed_keep = " \
	"1h\nconcurrency = 3\njobs_max = 10\n"

static void
setup(void)
{
	world_new(&w, CONF);
	pen = world_lease(&w, CLASS_MX, 11);
	worker = world_worker(&w, 1, 100);
}

static void
teardown(void)
{
	close(pen.fd);
	world_end(&w);
}

static void
again(void)
{
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	world_settle(&w);
}

/* ---- results ---- */

static const struct {
	uint8_t kind;
	const char *from, *notify;
	uint64_t delivered, bounced, queued;
	bool kept; /* in the queue afterwards */
} ends[] = {
	{ OUTCOME_OK, "a@x.example", NULL, 1, 0, 0, false },
	{ OUTCOME_TEMP, "a@x.example", NULL, 0, 0, 1, true },
	{ OUTCOME_PERM, "a@x.example", NULL, 0, 1, 0, true }, /* its notice is owed */
	{ OUTCOME_PERM, "a@x.example", "4", 0, 1, 0, true },
	{ OUTCOME_PERM, "a@x.example", "1", 0, 1, 0, false }, /* NEVER */
	{ OUTCOME_PERM, "a@x.example", "2", 0, 1, 0, false }, /* SUCCESS only */
	{ OUTCOME_PERM, "", NULL, 0, 1, 0, false },
};

START_TEST(rule_18_a_failure_is_kept_where_a_notice_is_owed_and_settled_where_none_is)
{
	const struct letter l = { .from = ends[_i].from,
		.to = { "b@y.example" },
		.hop = "192.0.2.1",
		.notify = ends[_i].notify };
	uint64_t id = pen_write(&w, &pen, &l);

	pen_ring(&w, &pen);
	job_finish(&w, &told[0], ends[_i].kind,
	    ends[_i].kind == OUTCOME_OK	    ? 250
	    : ends[_i].kind == OUTCOME_TEMP ? 450
					    : 550);
	for (int round = 0; round < 2; round++) {
		ck_assert_uint_eq(w.q.ledger.delivered, ends[_i].delivered);
		ck_assert_uint_eq(w.q.ledger.bounced, ends[_i].bounced);
		ck_assert_uint_eq(w.q.messages.recipients, ends[_i].queued);
		ck_assert_int_eq(message_find(&w.q.messages, id) != NULL, ends[_i].kept);
		again();
	}
	if (ends[_i].kind == OUTCOME_PERM && ends[_i].kept) {
		struct buf text = { 0 };

		ck_assert(reply_text(&w.q, message_find(&w.q.messages, id), 0, &text));
		ck_assert_msg(
		    slice_is(slice_buf(&text), "192.0.2.1 said: 550 5.0.0 said the server"), "%.*s",
		    SLICE_ARG(slice_buf(&text)));
		buf_fini(&text);
		world_pass(&w, 3600000 + 1000);
		ck_assert_ptr_null(
		    message_find(&w.q.messages, id)); /* failed_keep is over: by rule */
		ck_assert_uint_eq(w.q.ledger.bounced, 1);
	}
}
END_TEST

START_TEST(rule_18_a_notice_settles_its_failure_once)
{
	uint64_t id = world_send(&w, &pen, "a@x.example", "b@y.example");
	struct letter l = {
		.from = "", .to = { "a@x.example" }, .hop = "192.0.2.9", .notice_of = id
	};
	struct pen bounced = world_lease(&w, CLASS_BOUNCED, 55);

	job_finish(&w, &told[0], OUTCOME_PERM, 550);
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->phase, RCPT_OWED);
	pen_write(&w, &bounced, &l);
	pen_ring(&w, &bounced);
	ck_assert_ptr_null(message_find(&w.q.messages, id));
	ck_assert_uint_eq(w.q.ledger.notices, 1);
	ck_assert_uint_eq(w.q.messages.count, 1);
	pen_write(&w, &bounced, &l); /* the same once more: dropped by the rule duplicate-notice */
	pen_ring(&w, &bounced);
	ck_assert_uint_eq(w.q.ledger.notices, 2);
	ck_assert_uint_eq(w.q.ledger.dropped, 1);
	ck_assert_uint_eq(w.q.messages.count, 1);
	close(bounced.fd);
}
END_TEST

/* A crash may put another notice in the place of one whose filing was not durable: it must not be under way. */
START_TEST(rule_18_a_notice_sets_out_when_its_filing_is_durable)
{
	uint64_t id = world_send(&w, &pen, "a@x.example", "b@y.example");
	const struct letter l = {
		.from = "", .to = { "a@x.example" }, .hop = "192.0.2.9", .notice_of = id
	};
	struct pen bounced = world_lease(&w, CLASS_BOUNCED, 55);
	uint64_t notice;

	job_finish(&w, &told[0], OUTCOME_PERM, 550);
	notice = pen_write(&w, &bounced, &l);
	ck_assert(intake_rung(&w.q, pen_seg(&w, &bounced), bounced.at));
	qmgr_turn(&w.q);
	ck_assert_ptr_nonnull(message_find(&w.q.messages, notice));
	ck_assert_uint_eq(ntold, 1); /* the journal is written at the end of a turn */
	world_settle(&w);
	ck_assert_uint_eq(ntold, 2);
	ck_assert_uint_eq(told[1].id, notice);
	close(bounced.fd);
}
END_TEST

START_TEST(rule_15_a_result_counts_once)
{
	uint64_t id = world_send(&w, &pen, "a@x.example", "b@y.example");
	struct msg_result r = {
		.job = told[0].number, .rcpt = 0, .attempt = 1, .kind = OUTCOME_TEMP, .code = 450
	};

	ck_assert(dispatch_result(&w.q, worker, &r));
	ck_assert(dispatch_result(&w.q, worker, &r));
	r.rcpt = 7; /* not of this job */
	ck_assert(dispatch_result(&w.q, worker, &r));
	ck_assert(dispatch_done(&w.q, worker, &(struct msg_job_done){ .job = told[0].number }));
	ck_assert(dispatch_done(
	    &w.q, worker, &(struct msg_job_done){ .job = told[0].number })); /* told again */
	world_settle(&w);
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->attempts, 1);
	ck_assert_uint_eq(w.q.dispatch.window, 0);
	r.job = 12345; /* of nobody */
	ck_assert(!dispatch_result(&w.q, worker, &r));
	ck_assert(!dispatch_done(&w.q, worker, &(struct msg_job_done){ .job = 12345 }));
	r.job = told[0].number;
	r.kind = 200;
	ck_assert(!dispatch_result(&w.q, worker, &r));
}
END_TEST

static struct worker *
worker_anew(void)
{
	again();
	worker = dispatch_linked(&w.q, SERVICE_DELIVER, 1, 1, NULL);
	dispatch_room(&w.q, worker, 10);
	return worker;
}

/* Whose idle connections can be used again: each worker's count at the host. */
START_TEST(queues_of_a_site_go_to_one_worker)
{
	dispatch_room(&w.q, worker, 0);
	world_worker(&w, 2, 10);
	world_worker(&w, 3, 10);
	world_send(&w, &pen, "a@x.example", "b@y.example");
	world_send(&w, &pen, "a@x.example", "b@z.example");
	ck_assert_uint_eq(ntold, 2);
	ck_assert_ptr_ne(told[0].worker, worker);
	ck_assert_ptr_eq(told[1].worker, told[0].worker);
}
END_TEST

START_TEST(rule_15_nothing_started_is_dispatched_before_its_worker_reported)
{
	uint64_t id = world_send(&w, &pen, "a@x.example", "b@y.example");
	uint64_t job = told[0].number;
	uint32_t pair[2] = { 0, 1 };
	struct worker *other;

	again();
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->phase, RCPT_ORPHAN);
	other = world_worker(&w, 2, 10); /* another worker does not matter */
	world_pass(&w, 600000);
	ck_assert_uint_eq(ntold, 0);
	if (_i == 0) { /* it has it still */
		worker = dispatch_linked(&w.q, SERVICE_DELIVER, 1, 1, NULL);
		ck_assert(dispatch_running(&w.q, worker,
		    &(struct msg_running){
			.job = job, .id = id, .rcpts = slice_of(pair, sizeof pair), .last = 1 }));
		world_settle(&w);
		ck_assert_uint_eq(world_rcpt(&w, id, 0)->phase, RCPT_RUNNING);
		ck_assert(dispatch_result(&w.q, worker,
		    &(struct msg_result){ .job = job, .attempt = 1, .kind = OUTCOME_OK }));
		ck_assert(dispatch_done(&w.q, worker, &(struct msg_job_done){ .job = job }));
		world_settle(&w);
		ck_assert_uint_eq(w.q.ledger.delivered, 1);
	} else if (_i == 1) { /* it never saw it: at once, and not held against the message */
		worker = dispatch_linked(&w.q, SERVICE_DELIVER, 1, 1, NULL);
		ck_assert(dispatch_running(&w.q, worker, &(struct msg_running){ .last = 1 }));
		world_settle(&w);
		ck_assert_uint_eq(ntold, 1);
		ck_assert_uint_eq(told[0].attempt[0], 1);
		ck_assert_uint_eq(message_find(&w.q.messages, id)->suspicion, 0);
	} else if (_i == 2) { /* it is dead, says its parent */
		uint64_t alive = 2;

		ck_assert(dispatch_workers(&w.q, SERVICE_DELIVER, slice_of(&alive, 8)));
		ck_assert_uint_eq(ntold, 0);
		ck_assert_uint_eq(message_find(&w.q.messages, id)->suspicion, 1);
		world_pass(&w, 10000);
		ck_assert_uint_eq(ntold, 1);
		ck_assert_uint_eq(told[0].attempt[0], 2);
	} else { /* a list that it is on, and one that is none */
		uint64_t alive[2] = { 1, 2 };

		ck_assert(dispatch_workers(&w.q, SERVICE_DELIVER, slice_of(alive, 16)));
		ck_assert(!dispatch_workers(&w.q, SERVICE_DELIVER, slice_of(alive, 15)));
		world_pass(&w, 600000);
		ck_assert_uint_eq(ntold, 0);
	}
	(void)other;
}
END_TEST

START_TEST(rule_15_a_lost_STARTED_is_made_up_for_by_the_worker_s_report)
{
	uint64_t id = world_send(&w, &pen, "a@x.example", "b@y.example");
	uint32_t pair[2] = { 0, 2 };

	job_finish(&w, &told[0], OUTCOME_TEMP, 450);
	again(); /* attempt 2 was begun, but its STARTED never became durable */
	worker = dispatch_linked(&w.q, SERVICE_DELIVER, 1, 1, NULL);
	ck_assert(dispatch_running(&w.q, worker,
	    &(struct msg_running){ .job = 4711, .id = id, .rcpts = slice_of(pair, 8), .last = 1 }));
	for (int i = 0; i < 120; i++)
		world_pass(&w, 10000);
	ck_assert_uint_eq(ntold, 0); /* due, but running */
	ck_assert(dispatch_result(
	    &w.q, worker, &(struct msg_result){ .job = 4711, .attempt = 2, .kind = OUTCOME_OK }));
	ck_assert(dispatch_done(&w.q, worker, &(struct msg_job_done){ .job = 4711 }));
	world_settle(&w);
	ck_assert_uint_eq(w.q.ledger.delivered, 1);
}
END_TEST

/*
 * A qmgr before us had read a message and given it out, and died before its journal was written:
 * the worker knows of it before we do.
 */
START_TEST(rule_15_results_of_a_message_not_yet_filed_wait_for_it)
{
	struct letter l = { .from = "a@x.example", .to = { "b@y.example" }, .body = 10 };
	struct msg_result ok = { .job = 4711, .attempt = 1, .kind = OUTCOME_OK };
	struct msg_running running = { .job = 4711, .last = 1 };
	uint32_t pair[2] = { 0, 1 };
	struct buf all = { 0 };

	running.id = letter_build(&w, &pen, &l, pen.at, &all);
	running.rcpts = slice_of(pair, 8);
	pen.at += all.n;
	ck_assert_int_eq(write(pen.fd, all.p, all.n), (ssize_t)all.n);
	buf_fini(&all);
	ck_assert(dispatch_running(&w.q, worker_anew(), &running));
	world_settle(&w);
	if (_i == 0) { /* all is said before it is filed */
		ck_assert(dispatch_result(&w.q, worker, &ok));
		ck_assert(dispatch_done(&w.q, worker, &(struct msg_job_done){ .job = 4711 }));
	} else if (_i == 1) { /* and its worker is gone, too */
		ck_assert(dispatch_result(&w.q, worker, &ok));
		dispatch_unlinked(&w.q, worker);
		ck_assert(dispatch_workers(&w.q, SERVICE_DELIVER, SLICE_NONE));
	} else if (_i == 2) { /* its link is lost, and it says all again */
		dispatch_unlinked(&w.q, worker);
		ck_assert_ptr_eq(dispatch_linked(&w.q, SERVICE_DELIVER, 1, 1, NULL), worker);
		ck_assert(dispatch_running(&w.q, worker, &running));
		ck_assert(dispatch_result(&w.q, worker, &ok));
		ck_assert(dispatch_done(&w.q, worker, &(struct msg_job_done){ .job = 4711 }));
	}
	world_settle(&w);
	ck_assert_uint_eq(w.q.dispatch.window, 1); /* not acknowledged */
	ck_assert(intake_rung(&w.q, pen_seg(&w, &pen), pen.at));
	world_settle(&w);
	ck_assert_uint_eq(ntold, 0);
	if (_i == 3) { /* it is running, and says so later */
		ck_assert_uint_eq(world_rcpt(&w, running.id, 0)->phase, RCPT_RUNNING);
		ck_assert(dispatch_result(&w.q, worker, &ok));
		ck_assert(dispatch_done(&w.q, worker, &(struct msg_job_done){ .job = 4711 }));
		world_settle(&w);
	}
	ck_assert_uint_eq(w.q.ledger.delivered, 1);
	ck_assert_uint_eq(w.q.dispatch.window, 0);
	ck_assert_uint_eq(w.q.dispatch.nunknown, 0);
}
END_TEST

/* Its results are in the journal, and only the word of that was lost: nobody waits for it again. */
START_TEST(rule_15_results_of_a_message_just_ended_are_acknowledged_at_once)
{
	uint64_t id = world_send(&w, &pen, "a@x.example", "b@y.example");
	uint32_t pair[2] = { 0, 1 };
	const struct msg_running running = {
		.job = told[0].number, .id = id, .rcpts = slice_of(pair, 8), .last = 1
	};

	job_finish(&w, &told[0], OUTCOME_OK, 250);
	ck_assert_uint_eq(w.q.messages.count, 0);
	if (_i == 0) {
		again();
		worker = dispatch_linked(&w.q, SERVICE_DELIVER, 1, 1, NULL);
	} else { /* the same qmgr, over a new link */
		dispatch_unlinked(&w.q, worker);
		ck_assert_ptr_eq(dispatch_linked(&w.q, SERVICE_DELIVER, 1, 1, NULL), worker);
	}
	ck_assert(dispatch_running(&w.q, worker, &running));
	ck_assert(dispatch_result(&w.q, worker,
	    &(struct msg_result){ .job = running.job, .attempt = 1, .kind = OUTCOME_OK }));
	ck_assert(dispatch_done(&w.q, worker, &(struct msg_job_done){ .job = running.job }));
	world_settle(&w);
	ck_assert_uint_eq(w.q.dispatch.window, 0);
	ck_assert_uint_eq(w.q.ledger.delivered, 1);
}
END_TEST

/* It was concluded long ago, and only the word of it was lost. */
START_TEST(rule_15_results_of_a_message_that_is_no_more_are_acknowledged_after_a_while)
{
	uint32_t pair[2] = { 0, 1 };

	ck_assert(dispatch_running(&w.q, worker_anew(),
	    &(struct msg_running){ .job = 4711, .id = 99, .rcpts = slice_of(pair, 8), .last = 1 }));
	ck_assert(dispatch_result(
	    &w.q, worker, &(struct msg_result){ .job = 4711, .attempt = 1, .kind = OUTCOME_OK }));
	world_pass(&w, 60000);
	ck_assert_uint_eq(w.q.dispatch.window, 1); /* it runs, for all we know */
	ck_assert(dispatch_done(&w.q, worker, &(struct msg_job_done){ .job = 4711 }));
	world_pass(&w, 10000);
	ck_assert_uint_eq(w.q.dispatch.window, 0);
}
END_TEST

START_TEST(rule_15_a_false_worker_cannot_have_us_remember_without_end)
{
	static uint32_t pairs[2048 + 2];

	worker_anew();
	for (uint64_t i = 0; i < 5000; i++)
		ck_assert(dispatch_running(&w.q, worker,
		    &(struct msg_running){
			.job = 9000 + i, .id = 99 + i, .rcpts = slice_of(pairs, 8) }));
	ck_assert_uint_eq(w.q.dispatch.nunknown, 4096);
	ck_assert(dispatch_running(&w.q, worker, &(struct msg_running){ .last = 1 }));
	for (uint64_t i = 0; i < 5000; i++)
		ck_assert(dispatch_done(&w.q, worker, &(struct msg_job_done){ .job = 9000 + i }));
	world_settle(&w);
	ck_assert_uint_eq(w.q.dispatch.window, 4096); /* the others are acknowledged at once */
	world_pass(&w, 10000);
	ck_assert_uint_eq(w.q.dispatch.window, 0);
	worker_anew();
	ck_assert(dispatch_running(&w.q, worker,
	    &(struct msg_running){
		.job = 4711, .id = 99, .rcpts = slice_of(pairs, sizeof pairs), .last = 1 }));
	ck_assert_uint_eq(w.q.dispatch.nunknown, 0);
}
END_TEST

START_TEST(rule_15_a_false_worker_cannot_use_up_attempts)
{
	static const uint32_t said[] = { 1, 10, 500, UINT16_MAX, UINT16_MAX + 1 };
	uint64_t id = world_send(&w, &pen, "a@x.example", "b@y.example");
	uint32_t pair[2] = { 0, said[_i] };

	job_finish(&w, &told[0], OUTCOME_TEMP, 450);
	again();
	worker = dispatch_linked(&w.q, SERVICE_DELIVER, 1, 1, NULL);
	ck_assert(dispatch_running(&w.q, worker,
	    &(struct msg_running){ .job = 4711, .id = id, .rcpts = slice_of(pair, 8), .last = 1 }));
	world_settle(&w);
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->attempts, 1);
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->phase, RCPT_DEFERRED);
}
END_TEST

START_TEST(rule_15_a_link_that_was_lost_loses_no_job)
{
	uint64_t id = world_send(&w, &pen, "a@x.example", "b@y.example"), second;
	uint32_t pair[2] = { 0, 1 };

	second = world_send(&w, &pen, "a@x.example", "c@y.example");
	ck_assert_uint_eq(ntold, 2);
	dispatch_unlinked(&w.q, worker);
	world_pass(&w, 60000);
	ck_assert_uint_eq(ntold, 2);
	ck_assert_ptr_eq(dispatch_linked(&w.q, SERVICE_DELIVER, 1, 1, NULL), worker);
	dispatch_room(&w.q, worker, 100);
	ck_assert(dispatch_running(&w.q, worker,
	    &(struct msg_running){
		.job = told[0].number, .id = id, .rcpts = slice_of(pair, 8), .last = 1 }));
	world_settle(&w);
	ck_assert_uint_eq(
	    ntold, 3); /* the second never arrived: given out again, as the same attempt */
	ck_assert_uint_eq(told[2].id, second);
	ck_assert_uint_eq(told[2].attempt[0], 1);
	job_finish(&w, &told[0], OUTCOME_OK, 250);
	job_finish(&w, &told[2], OUTCOME_OK, 250);
	ck_assert_uint_eq(w.q.ledger.delivered, 2);
}
END_TEST

/* ---- windows ---- */

START_TEST(rule_16_who_ends_gives_out_no_more_jobs)
{
	world_send(&w, &pen, "a@x.example", "b@y.example");
	ck_assert_uint_eq(w.q.dispatch.window, 1);
	w.q.dispatch.ending = true;
	world_send(&w, &pen, "a@x.example", "c@z.example");
	ck_assert_uint_eq(w.q.dispatch.window, 1);
	job_finish(&w, &told[0], OUTCOME_OK, 250);
	ck_assert_uint_eq(w.q.dispatch.window, 0); /* the result is durable: now it may go */
	ck_assert_uint_eq(w.q.messages.count, 1);
}
END_TEST
START_TEST(rule_16_jobs_without_a_durable_result_are_capped)
{
	char to[40];

	for (int i = 0; i < 30; i++) {
		snprintf(to, sizeof to, "b@d%d.example", i);
		world_send_apart(&w, &pen, "a@x.example", to);
	}
	ck_assert_uint_eq(ntold, 10); /* jobs_max */
	ck_assert_uint_eq(w.q.dispatch.window, 10);
	ck_assert_uint_eq(w.q.duplicates_bound, 10);
	/* A result that is not durable yet does not make room. */
	job_results(&w, &told[0], OUTCOME_OK, 250);
	ck_assert(dispatch_done(&w.q, worker, &(struct msg_job_done){ .job = told[0].number }));
	dispatch_run(&w.q);
	ck_assert_uint_eq(ntold, 10);
	world_settle(&w);
	ck_assert_uint_eq(ntold, 11);
	for (unsigned i = 1; i < 30; i++)
		job_finish(&w, &told[i], OUTCOME_OK, 250);
	ck_assert_uint_eq(w.q.ledger.delivered, 30);
	ck_assert_uint_eq(w.q.duplicates_bound, 10);
}
END_TEST

/* A result waits for others; once 64 wait, or where we end, they wait for nobody. */
START_TEST(rule_20_sixty_four_results_are_not_put_off)
{
	enum { JOBS = 64 };
	char to[40];
	uint64_t hold;

	teardown();
	world_new(&w, "jobs_max = 1000\n"); /* or the window counts */
	pen = world_lease(&w, CLASS_MX, 11);
	worker = world_worker(&w, 1, 100);
	hold = w.q.conf->journal_hold_ms;
	ck_assert_uint_gt(hold, 1);
	for (int i = 0; i < JOBS; i++) {
		snprintf(to, sizeof to, "b@d%d.example", i);
		world_send_apart(&w, &pen, "a@x.example", to);
	}
	ck_assert_uint_eq(ntold, JOBS);
	w.q.dispatch.ending = _i == 1;
	for (unsigned i = 0; i < JOBS; i++) {
		job_results(&w, &told[i], OUTCOME_OK, 250);
		ck_assert(
		    dispatch_done(&w.q, worker, &(struct msg_job_done){ .job = told[i].number }));
		ck_assert_uint_eq(
		    w.q.journal.want_ms, now_ms + (_i == 1 || i == JOBS - 1 ? 0 : hold));
	}
	world_settle(&w);
	ck_assert_uint_eq(w.q.dispatch.window, 0);
}
END_TEST

START_TEST(concurrency_bounds_one_destination_and_costs_the_others_nothing)
{
	for (int i = 0; i < 8; i++)
		world_send(&w, &pen, "a@x.example", "b@slow.example");
	ck_assert_uint_eq(ntold, 3); /* concurrency */
	world_send_apart(&w, &pen, "a@x.example", "b@fast.example");
	ck_assert_uint_eq(ntold, 4);
	job_finish(&w, &told[0], OUTCOME_OK, 250);
	ck_assert_uint_eq(ntold, 5);
}
END_TEST

START_TEST(a_worker_gets_no_more_than_it_has_room_for)
{
	dispatch_room(&w.q, worker, 2);
	for (int i = 0; i < 5; i++)
		world_send_apart(
		    &w, &pen, "a@x.example", i % 2 == 0 ? "b@one.example" : "b@two.example");
	ck_assert_uint_eq(ntold, 2);
	job_finish(&w, &told[0], OUTCOME_OK, 250);
	ck_assert_uint_eq(ntold, 3);
	dispatch_room(&w.q, worker, 100);
	world_settle(&w);
	ck_assert_uint_eq(ntold, 5);
}
END_TEST

START_TEST(urgent_mail_goes_first)
{
	struct letter l = {
		.from = "a@x.example", .to = { "b@y.example" }, .hop = "192.0.2.1", .priority = 3
	};
	uint64_t id;

	for (int i = 0; i < 6; i++)
		world_send(&w, &pen, "a@x.example", "b@y.example");
	id = pen_write(&w, &pen, &l);
	pen_ring(&w, &pen);
	job_finish(&w, &told[0], OUTCOME_OK, 250);
	ck_assert_uint_eq(told[3].id, id);
}
END_TEST

/* ---- workers that die ---- */

START_TEST(rule_17_a_poison_message_is_tried_alone_then_held)
{
	uint64_t id = world_send(&w, &pen, "a@x.example", "b@y.example"), instance = 1;
	unsigned at;

	for (unsigned death = 1; death <= 3; death++) {
		for (at = ntold; at > 0 && told[at - 1].id != id; at--)
			;
		ck_assert_uint_gt(at, 0);
		if (death == 3) { /* alone: nothing else is given to this worker meanwhile */
			unsigned before = ntold;

			ck_assert_uint_eq(told[at - 1].worker->njobs, 1);
			world_send(&w, &pen, "a@x.example", "c@other.example");
			ck_assert_uint_eq(ntold, before);
		}
		dispatch_unlinked(&w.q, told[at - 1].worker);
		instance++;
		ck_assert(dispatch_workers(&w.q, SERVICE_DELIVER, slice_of(&instance, 8)));
		world_settle(&w);
		ck_assert_uint_eq(message_find(&w.q.messages, id)->suspicion, death);
		if (death == 2)
			again(); /* the count is in the journal */
		worker = world_worker(&w, instance, 100);
		ck_assert_uint_eq(world_rcpt(&w, id, 0)->phase, RCPT_DEFERRED); /* a short pause */
		world_pass(&w, 30000);
	}
	ck_assert_uint_ne(message_find(&w.q.messages, id)->flags & MESSAGE_HELD, 0);
	world_pass(&w, 600000);
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->phase, RCPT_DEFERRED);
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->attempts, 3);
	ck_assert(operate(
	    &w.q, OPERATE_RELEASE, message_find(&w.q.messages, id), SLICE_LIT("me"), SLICE_NONE));
	world_pass(&w, 1000);
	ck_assert_uint_eq(told[ntold - 1].id, id);
}
END_TEST

START_TEST(rule_17_a_suspect_waits_until_a_worker_is_idle)
{
	uint64_t busy = world_send_apart(&w, &pen, "a@x.example", "b@busy.example"), id;

	world_suspend(&w, "y.example");
	id = world_send(&w, &pen, "a@x.example", "b@y.example");
	message_find(&w.q.messages, id)->suspicion = 2;
	world_resume(&w, "y.example");
	for (int i = 0; i < 5; i++)
		world_pass(&w, 1000);
	ck_assert_uint_eq(ntold, 1);
	ck_assert_uint_eq(told[0].id, busy);
	world_send_apart(&w, &pen, "a@x.example",
	    "b@third.example"); /* its turn comes: no more is given before */
	ck_assert_uint_eq(ntold, 1);
	job_finish(&w, &told[0], OUTCOME_OK, 250);
	world_pass(&w, 1300);
	ck_assert_uint_eq(told[1].id, id);
	ck_assert_uint_eq(ntold, 2);
	job_finish(&w, &told[1], OUTCOME_OK, 250);
	world_pass(&w, 10); /* the worker is the others' again, at once */
	ck_assert_uint_eq(ntold, 3);
}
END_TEST

START_TEST(rule_15_results_of_another_attempt_change_nothing)
{
	uint64_t id = world_send(&w, &pen, "a@x.example", "b@y.example");
	static const uint32_t attempts[] = { 0, 2, 77 };

	for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
		commit(&w.q, result, .id = id, .rcpt = 0, .attempt = attempts[i],
		    .result = SPOOL_RESULT_DELIVERED);
		ck_assert_uint_eq(world_rcpt(&w, id, 0)->state, SPOOL_STARTED);
	}
	job_finish(&w, &told[0], OUTCOME_TEMP, 450);
	commit(&w.q, result, .id = id, .rcpt = 0, .attempt = 1, .result = SPOOL_RESULT_DELIVERED);
	ck_assert_uint_eq(w.q.ledger.delivered, 0);
	commit(
	    &w.q, result, .id = id + 1, .rcpt = 0, .attempt = 2, .result = SPOOL_RESULT_DELIVERED);
	commit(&w.q, result, .id = id, .rcpt = 1, .attempt = 2, .result = SPOOL_RESULT_DELIVERED);
	commit(&w.q, result, .id = id, .rcpt = 0, .attempt = 2, .result = 99);
	ck_assert_uint_eq(w.q.ledger.delivered, 0);
}
END_TEST

START_TEST(rule_17_what_a_worker_said_before_it_died_counts)
{
	struct letter l = {
		.from = "a@x.example", .to = { "b@y.example", "c@y.example" }, .hop = "192.0.2.1"
	};
	uint64_t id = pen_write(&w, &pen, &l), none = 99;

	pen_ring(&w, &pen);
	ck_assert_uint_eq(told[0].n, 2);
	ck_assert(dispatch_result(&w.q, worker,
	    &(struct msg_result){ .job = told[0].number,
		.rcpt = 1,
		.attempt = 1,
		.kind = OUTCOME_PERM,
		.code = 550,
		.phase = PHASE_RCPT }));
	dispatch_unlinked(&w.q, worker);
	ck_assert(dispatch_workers(&w.q, SERVICE_DELIVER, slice_of(&none, 8)));
	world_settle(&w);
	ck_assert_uint_eq(w.q.ledger.bounced, 1);
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->phase, RCPT_DEFERRED);
	ck_assert_uint_eq(w.q.dispatch.window, 0);
}
END_TEST

/* ---- time ---- */

START_TEST(deferred_mail_is_tried_again_with_doubled_waits_until_it_expires)
{
	uint64_t id = world_send(&w, &pen, _i == 0 ? "a@x.example" : "", "b@y.example");
	static const unsigned minutes[] = { 10, 20, 40 };
	unsigned tries = 0;

	for (unsigned i = 0; i < (_i == 0 ? 3U : 2U); i++) {
		ck_assert_uint_eq(ntold, ++tries);
		ck_assert_uint_eq(told[i].attempt[0], tries);
		job_finish(&w, &told[i], OUTCOME_TEMP, 450);
		world_pass(&w, minutes[i] * 60000 - 2000);
		ck_assert_uint_eq(ntold, tries);
		again();
		worker = world_worker(&w, 1, 100);
		ntold = tries;
		ck_assert_uint_eq(
		    world_rcpt(&w, id, 0)->attempts, tries); /* attempts and times as before */
		world_pass(&w, 3000);
	}
	/* 70 minutes gone (30 of the bounce's 60), the next wait would be 60. */
	job_finish(&w, &told[ntold - 1], OUTCOME_TEMP, 450);
	world_pass(&w, 3600000);
	ck_assert_uint_eq(w.q.ledger.expired, 1);
	ck_assert_uint_eq(w.q.messages.recipients, 0);
	if (_i == 0) {
		struct buf text = { 0 };

		ck_assert(reply_text(&w.q, message_find(&w.q.messages, id), 0, &text));
		ck_assert_ptr_nonnull(memmem(text.p, text.n, "said the server", 15));
		buf_fini(&text);
	} else {
		ck_assert_ptr_null(message_find(&w.q.messages, id));
	}
}
END_TEST

START_TEST(rule_24_a_dead_queue_is_deferred_as_one_object)
{
	uint64_t id[20];

	for (int i = 0; i < 20; i++)
		id[i] = world_send(&w, &pen, "a@x.example", "b@dead.example");
	ck_assert_uint_eq(ntold, 3);
	for (unsigned i = 0; i < 3; i++)
		job_host_down(&w, &told[i]);
	ck_assert_uint_eq(ntold, 3);
	for (int i = 3; i < 20; i++) { /* nobody touched them */
		ck_assert_uint_eq(world_rcpt(&w, id[i], 0)->phase, RCPT_READY);
		ck_assert_uint_eq(world_rcpt(&w, id[i], 0)->attempts, 0);
	}
	world_send_apart(&w, &pen, "a@x.example", "b@live.example");
	ck_assert_uint_eq(ntold, 4);
	job_finish(&w, &told[3], OUTCOME_OK, 250);
	world_pass(&w, 599000);
	ck_assert_uint_eq(ntold, 4);
	world_pass(&w, 2000);
	ck_assert_uint_eq(ntold, 5); /* one feels its way */
	job_host_down(&w, &told[4]);
	world_pass(&w, 1000000);
	ck_assert_uint_eq(ntold, 5); /* twice the pause */
	world_pass(&w, 300000);
	ck_assert_uint_eq(ntold, 6);
	job_finish(&w, &told[5], OUTCOME_OK, 250);
	ck_assert_uint_eq(ntold, 9); /* it is up: as many as may */
	/* Their own life goes on all the while. */
	for (unsigned i = 6; i < 9; i++)
		job_host_down(&w, &told[i]);
	world_pass(&w, 2 * 3600000);
	ck_assert_uint_eq(w.q.ledger.expired, 19);
}
END_TEST

START_TEST(flush_tries_at_once)
{
	uint64_t id = world_send(&w, &pen, "a@x.example", "b@y.example");

	job_finish(&w, &told[0], OUTCOME_TEMP, 450);
	ck_assert(operate(&w.q, _i == 0 ? OPERATE_FLUSH : OPERATE_RETRY,
	    message_find(&w.q.messages, id), SLICE_LIT("me"), SLICE_NONE));
	world_pass(&w, 300);
	ck_assert_uint_eq(ntold, 2);
	ck_assert_uint_eq(told[1].attempt[0], 2);
}
END_TEST

/* ---- operators ---- */

START_TEST(rule_26_hold_stops_tries_and_keeps_the_attempts)
{
	uint64_t id = world_send(&w, &pen, "a@x.example", "b@y.example");

	job_finish(&w, &told[0], OUTCOME_TEMP, 450);
	ck_assert(operate(&w.q, OPERATE_HOLD, message_find(&w.q.messages, id), SLICE_LIT("me"),
	    SLICE_LIT("look")));
	ck_assert(!operate(&w.q, OPERATE_HOLD, message_find(&w.q.messages, id), SLICE_LIT("me"),
	    SLICE_LIT("look")));
	world_settle(&w);
	again();
	worker = world_worker(&w, 1, 100);
	world_pass(&w, 3600000);
	ck_assert_uint_eq(ntold, 0);
	ck_assert_str_eq(hold_of(&w.q, message_find(&w.q.messages, id))->holder, "me");
	if (_i == 0) {
		ck_assert(operate(&w.q, OPERATE_RELEASE, message_find(&w.q.messages, id),
		    SLICE_LIT("me"), SLICE_NONE));
		world_pass(&w, 300);
		ck_assert_uint_eq(ntold, 1);
		ck_assert_uint_eq(told[0].attempt[0], 2);
	} else { /* it does not stop the clock of its life */
		world_pass(&w, 3600000);
		ck_assert_uint_eq(w.q.ledger.expired, 1);
	}
}
END_TEST

START_TEST(rule_26_delete_and_fail_count_by_rule)
{
	uint64_t id = world_send(&w, &pen, "a@x.example", "b@y.example");

	/* What is being delivered is not called back. */
	ck_assert(!operate(
	    &w.q, OPERATE_DELETE, message_find(&w.q.messages, id), SLICE_LIT("me"), SLICE_NONE));
	job_finish(&w, &told[0], OUTCOME_TEMP, 450);
	ck_assert(operate(&w.q, _i == 0 ? OPERATE_DELETE : OPERATE_FAIL,
	    message_find(&w.q.messages, id), SLICE_LIT("me"), SLICE_LIT("spam")));
	world_settle(&w);
	again();
	ck_assert_uint_eq(w.q.ledger.dropped, _i == 0 ? 1 : 0);
	ck_assert_uint_eq(w.q.ledger.bounced, _i == 0 ? 0 : 1);
	ck_assert_int_eq(message_find(&w.q.messages, id) == NULL, _i == 0);
	ck_assert_uint_eq(w.q.messages.recipients, 0);
}
END_TEST

START_TEST(a_suspended_domain_waits_also_what_comes_later_and_after_a_restart)
{
	ck_assert(world_suspend(&w, _i == 0 ? "y.example" : "*"));
	world_settle(&w);
	world_send(&w, &pen, "a@x.example", "b@y.example");
	ck_assert_uint_eq(ntold, 0);
	again();
	clean_consider(&w.q, true);
	world_settle(&w);
	again();
	worker = world_worker(&w, 1, 100);
	world_send(&w, &pen, "a@x.example", "b@other.example");
	ck_assert_uint_eq(ntold, _i == 0 ? 1 : 0);
	ck_assert(!world_resume(&w, "elsewhere.example"));
	ck_assert(world_resume(&w, _i == 0 ? "y.example" : "*"));
	ck_assert_uint_eq(ntold, 2);
}
END_TEST

START_TEST(a_queue_that_nobody_names_is_freed_and_its_number_serves_again)
{
	uint32_t number;

	world_send(&w, &pen, "a@x.example", "b@y.example");
	number = told[0].queue;
	job_finish(&w, &told[0], OUTCOME_OK, 250);
	for (int i = 0; i < 130; i++)
		world_pass(&w, 1000);
	ck_assert_ptr_null(queue_at(&w.q.queues, number));
	again();
	worker = world_worker(&w, 1, 100);
	world_send(&w, &pen, "a@x.example", "b@z.example");
	ck_assert_uint_eq(told[0].queue, number);
}
END_TEST

START_TEST(a_job_lists_recipients_in_their_order_whatever_the_order_of_their_retries)
{
	const struct letter l = { .from = "a@x.example",
		.hop = "192.0.2.1",
		.to = {
		    "a@y.example", "b@y.example", "c@y.example", "d@y.example", "e@y.example" } };
	struct conf *before = w.conf;

	world_conf(&w, CONF "domain \"y.example\" {\nretry_jitter = 50\n}\n");
	qmgr_set_conf(&w.q, w.conf);
	conf_unref(before);
	pen_write(&w, &pen, &l);
	pen_ring(&w, &pen);
	ck_assert_uint_eq(ntold, 1);
	ck_assert_uint_eq(told[0].n, 5);
	job_finish(&w, &told[0], OUTCOME_TEMP, 450);
	dispatch_room(&w.q, worker, 0); /* they become due one by one, and wait */
	for (int i = 0; i < 120; i++)
		world_pass(&w, 10000);
	dispatch_room(&w.q, worker, 10);
	world_pass(&w, 1000);
	ck_assert_uint_eq(ntold, 2);
	ck_assert_uint_eq(told[1].n, 5);
	for (uint32_t i = 0; i < 5; i++)
		ck_assert_uint_eq(told[1].rcpt[i], i);
}
END_TEST

/* Each kind of courier has its own mail, and nobody's absence holds up the other's. */
START_TEST(mail_for_local_is_not_for_deliver)
{
	struct letter l = { .from = "a@x.example",
		.hop = "192.0.2.1",
		.to = { "a@y.example" },
		.transport = "local" };
	struct worker *local;
	uint64_t dead = 99;

	pen_write(&w, &pen, &l);
	pen_ring(&w, &pen);
	ck_assert_uint_eq(ntold, 0);
	world_send(&w, &pen, "a@x.example", "b@z.example");
	ck_assert_uint_eq(ntold, 1);
	ck_assert_ptr_eq(told[0].worker, worker);
	local = dispatch_linked(&w.q, SERVICE_LOCAL, 1, 7, NULL);
	ck_assert(dispatch_running(&w.q, local, &(struct msg_running){ .last = 1 }));
	dispatch_room(&w.q, local, 10);
	world_settle(&w);
	ck_assert_uint_eq(ntold, 2);
	ck_assert_ptr_eq(told[1].worker, local);
	/* Who of deliver's lives says nothing of local's. */
	dispatch_unlinked(&w.q, local);
	ck_assert(dispatch_workers(&w.q, SERVICE_DELIVER, slice_of(&dead, 8)));
	world_settle(&w);
	ck_assert_uint_eq(world_rcpt(&w, told[1].id, 0)->phase, RCPT_RUNNING);
	ck_assert(dispatch_workers(&w.q, SERVICE_LOCAL, slice_of(&dead, 8)));
	world_settle(&w);
	ck_assert(world_rcpt(&w, told[1].id, 0)->phase != RCPT_RUNNING);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, queues_of_a_site_go_to_one_worker);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc,
	    rule_18_a_failure_is_kept_where_a_notice_is_owed_and_settled_where_none_is, 0,
	    sizeof ends / sizeof *ends);
	tcase_add_test(tc, rule_18_a_notice_settles_its_failure_once);
	tcase_add_test(tc, rule_18_a_notice_sets_out_when_its_filing_is_durable);
	tcase_add_test(tc, rule_15_a_result_counts_once);
	tcase_add_loop_test(
	    tc, rule_15_nothing_started_is_dispatched_before_its_worker_reported, 0, 4);
	tcase_add_test(tc, rule_15_a_lost_STARTED_is_made_up_for_by_the_worker_s_report);
	tcase_add_loop_test(tc, rule_15_results_of_a_message_not_yet_filed_wait_for_it, 0, 4);
	tcase_add_loop_test(
	    tc, rule_15_results_of_a_message_just_ended_are_acknowledged_at_once, 0, 2);
	tcase_add_test(
	    tc, rule_15_results_of_a_message_that_is_no_more_are_acknowledged_after_a_while);
	tcase_add_test(tc, rule_15_a_false_worker_cannot_have_us_remember_without_end);
	tcase_add_loop_test(tc, rule_15_a_false_worker_cannot_use_up_attempts, 0, 5);
	tcase_add_test(tc, rule_15_a_link_that_was_lost_loses_no_job);
	tcase_add_test(tc, rule_16_who_ends_gives_out_no_more_jobs);
	tcase_add_test(tc, rule_16_jobs_without_a_durable_result_are_capped);
	tcase_add_loop_test(tc, rule_20_sixty_four_results_are_not_put_off, 0, 2);
	tcase_add_test(tc, concurrency_bounds_one_destination_and_costs_the_others_nothing);
	tcase_add_test(tc, a_worker_gets_no_more_than_it_has_room_for);
	tcase_add_test(tc, urgent_mail_goes_first);
	tcase_add_test(tc, rule_17_a_poison_message_is_tried_alone_then_held);
	tcase_add_test(tc, rule_17_a_suspect_waits_until_a_worker_is_idle);
	tcase_add_test(tc, rule_15_results_of_another_attempt_change_nothing);
	tcase_add_test(tc, rule_17_what_a_worker_said_before_it_died_counts);
	tcase_add_loop_test(
	    tc, deferred_mail_is_tried_again_with_doubled_waits_until_it_expires, 0, 2);
	tcase_add_test(tc, rule_24_a_dead_queue_is_deferred_as_one_object);
	tcase_add_loop_test(tc, flush_tries_at_once, 0, 2);
	tcase_add_loop_test(tc, rule_26_hold_stops_tries_and_keeps_the_attempts, 0, 2);
	tcase_add_loop_test(tc, rule_26_delete_and_fail_count_by_rule, 0, 2);
	tcase_add_loop_test(
	    tc, a_suspended_domain_waits_also_what_comes_later_and_after_a_restart, 0, 2);
	tcase_add_test(
	    tc, a_job_lists_recipients_in_their_order_whatever_the_order_of_their_retries);
	tcase_add_test(tc, mail_for_local_is_not_for_deliver);
	tcase_add_test(tc, a_queue_that_nobody_names_is_freed_and_its_number_serves_again);
}
CHECK_MAIN("qmgr delivery", cases)
