/* SPDX-License-Identifier: ISC */
/* Whom bounced is told of, when, how often, and what is in the sealed file (QUEUE.md rule 18). */
#include "world.h"

#include "qmgr/notice.h"

#include <sys/mman.h>

static struct world w;
static struct pen pen, bounced;
static struct worker *worker;

#define CONF                                                                              \
	"retry_first = 10m\nretry_max = 1h\nlife = 2h\nfailed_keep = 10h\nconcurrency = " \
	"200\njobs_max = 5000\n"                                                          \
	"delay_notice = 30m\n"

enum {
	FAILED = SPOOL_NOTICE_FAILED,
	DELAYED = SPOOL_NOTICE_DELAYED,
	DELIVERED = SPOOL_NOTICE_DELIVERED
};

/* What was handed over, the newest last. */
static struct handed {
	uint64_t id;
	uint8_t kind;
	struct buf bytes;
	struct notice n;
} handed[8000];
static unsigned nhanded;

static void
hand(struct qmgr *q, const struct msg_notice *m, int fd)
{
	struct handed *h = &handed[nhanded++];
	const int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	const char *why = "";

	(void)q;
	ck_assert_uint_lt(nhanded, sizeof handed / sizeof *handed);
	ck_assert_int_eq(fcntl(fd, F_GET_SEALS) & all, all);
	ck_assert_int_lt(write(fd, "x", 1), 0);
	*h = (struct handed){ .id = m->id, .kind = m->kind };
	ck_assert_int_eq(pread(fd, buf_room(&h->bytes, m->size), m->size, 0), (ssize_t)m->size);
	h->bytes.n = m->size;
	ck_assert_msg(notice_get(slice_buf(&h->bytes), &h->n, &why), "%s", why);
	ck_assert(h->n.id == m->id && h->n.kind == m->kind);
}

static struct notice_rcpt
handed_rcpt(unsigned which, unsigned i)
{
	struct slice rest = handed[which].n.rcpts;
	struct notice_rcpt r;

	do
		ck_assert(notice_rcpt_next(&rest, &r));
	while (i-- > 0);
	return r;
}

static void
setup(void)
{
	world_new(&w, CONF);
	notices_set_send(&w.q, hand);
	pen = world_lease(&w, CLASS_MX, 11);
	bounced = world_lease(&w, CLASS_BOUNCED, 55);
	worker = world_worker(&w, 1, 5000);
}

static void
teardown(void)
{
	for (unsigned i = 0; i < nhanded; i++)
		buf_fini(&handed[i].bytes);
	nhanded = 0;
	close(pen.fd);
	close(bounced.fd);
	world_end(&w);
}

static uint64_t
send_notify(const char *notify, const char *transport)
{
	const struct letter l = { .from = "a@x.example",
		.to = { "b@y.example" },
		.hop = "192.0.2.1",
		.notify = notify,
		.transport = transport };
	uint64_t id = pen_write(&w, &pen, &l);

	pen_ring(&w, &pen);
	return id;
}

/* As bounced does when its letter is durable. */
static void
file(uint64_t of, uint8_t kind)
{
	const struct letter l = { .from = "",
		.to = { "a@x.example" },
		.hop = "192.0.2.9",
		.notice_of = of,
		.notice_kind = kind };

	pen_write(&w, &bounced, &l);
	pen_ring(&w, &bounced);
}

START_TEST(a_failure_is_handed_over_once_and_again_without_an_answer)
{
	uint64_t id = send_notify(NULL, NULL);

	job_finish(&w, &told[0], OUTCOME_PERM, 550);
	ck_assert_uint_eq(nhanded, 1);
	ck_assert(handed[0].id == id && handed[0].kind == FAILED && handed[0].n.nrcpt == 1);
	ck_assert(
	    slice_is(handed[0].n.to, "a@x.example") && slice_is(handed[0].n.sender, "a@x.example"));
	ck_assert(slice_is(handed[0].n.hostname, "mx.example") &&
		  slice_is(handed[0].n.head, "Subject: x\r\n"));
	ck_assert(slice_is(handed[0].n.body, "\r\n"));
	ck_assert(
	    slice_is(handed_rcpt(0, 0).address, "b@y.example") && handed_rcpt(0, 0).code == 550);
	ck_assert_uint_eq(handed_rcpt(0, 0).action, NOTICE_FAILED);
	ck_assert(slice_is(handed_rcpt(0, 0).host, "192.0.2.1"));
	world_pass(&w, NOTICES_ANSWER_MS / 2);
	ck_assert_uint_eq(nhanded, 1);
	world_pass(&w, NOTICES_ANSWER_MS);
	world_pass(&w, NOTICES_ANSWER_MS);
	ck_assert_uint_eq(nhanded, 2);
	file(id, FAILED);
	ck_assert_ptr_null(message_find(&w.q.messages, id));
	for (int i = 0; i < 20; i++)
		world_pass(&w, NOTICES_ANSWER_MS);
	ck_assert_uint_eq(nhanded, 2);
}
END_TEST

START_TEST(what_was_owed_at_a_crash_is_handed_over_after_it)
{
	uint64_t id = send_notify(NULL, NULL);

	job_finish(&w, &told[0], OUTCOME_PERM, 550);
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	notices_set_send(&w.q, hand);
	world_settle(&w);
	world_pass(&w, NOTICES_WAIT_MS);
	ck_assert_uint_eq(nhanded, 2);
	ck_assert(handed[1].id == id && handed[1].kind == FAILED);
	ck_assert(slice_eq(slice_buf(&handed[0].bytes), slice_buf(&handed[1].bytes)));
}
END_TEST

START_TEST(recipients_that_fail_together_are_told_of_together)
{
	const struct letter l = { .from = "a@x.example",
		.to = { "b@y.example", "c@y.example", "d@z.example" },
		.hop = "192.0.2.1" };
	uint64_t id = pen_write(&w, &pen, &l);

	pen_ring(&w, &pen);
	ck_assert_uint_eq(ntold, 2);
	job_finish(&w, &told[0], OUTCOME_PERM, 550);
	ck_assert_uint_eq(nhanded, 0); /* one is on its way */
	job_finish(&w, &told[1], OUTCOME_PERM, 554);
	ck_assert_uint_eq(nhanded, 1);
	ck_assert_uint_eq(handed[0].n.nrcpt, 3);
	ck_assert_uint_eq(handed[0].id, id);
	ck_assert_uint_eq(handed_rcpt(0, 2).code, 554);
}
END_TEST

START_TEST(the_wait_for_others_is_short)
{
	const struct letter l = {
		.from = "a@x.example", .to = { "b@y.example", "d@z.example" }, .hop = "192.0.2.1"
	};

	pen_write(&w, &pen, &l);
	pen_ring(&w, &pen);
	job_finish(&w, &told[0], OUTCOME_PERM, 550);
	ck_assert_uint_eq(nhanded, 0);
	world_pass(&w, NOTICES_WAIT_MS);
	ck_assert_uint_eq(nhanded, 1);
	ck_assert_uint_eq(handed[0].n.nrcpt, 1);
}
END_TEST

START_TEST(few_are_under_way_at_a_time)
{
	static uint64_t ids[3 * NOTICES_SENT_MAX];
	unsigned n = sizeof ids / sizeof *ids;

	for (unsigned i = 0; i < n; i++)
		ids[i] = send_notify(NULL, NULL);
	for (unsigned i = 0; i < n; i++)
		job_finish(&w, &told[i], OUTCOME_PERM, 550);
	ck_assert_uint_eq(nhanded, NOTICES_SENT_MAX);
	for (unsigned i = 0; i < n; i++) {
		ck_assert_uint_lt(i, nhanded);
		file(handed[i].id, FAILED);
	}
	ck_assert_uint_eq(nhanded, n);
	for (unsigned i = 0; i < n; i++)
		ck_assert_ptr_null(message_find(&w.q.messages, ids[i]));
}
END_TEST

/* More than are remembered: the others are found by a walk over all messages. */
START_TEST(many_are_all_told_of)
{
	const unsigned n = NOTICES_ENTRIES_MAX + 500;
	struct notices_state look;

	for (unsigned i = 0; i < n; i++)
		pen_write(&w, &pen,
		    &(const struct letter){
			.from = "a@x.example", .to = { "b@y.example" }, .hop = "192.0.2.1" });
	pen_ring(&w, &pen);
	for (unsigned done = 0; done < n; done++) {
		ck_assert_uint_lt(done, ntold);
		job_finish(&w, &told[done], OUTCOME_PERM, 550);
	}
	notices_look(&w.q, &look);
	ck_assert_uint_eq(look.waiting + look.sent, NOTICES_ENTRIES_MAX);
	for (unsigned i = 0; i < n; i++) {
		if (i == nhanded)
			world_pass(&w, NOTICES_WAIT_MS);
		ck_assert_uint_lt(i, nhanded);
		file(handed[i].id, FAILED);
	}
	ck_assert_uint_eq(nhanded, n);
	ck_assert_uint_eq(w.q.ledger.notices - w.q.ledger.dropped, n);
}
END_TEST

START_TEST(one_that_could_not_be_written_is_asked_for_later)
{
	uint64_t id = send_notify(NULL, NULL);

	job_finish(&w, &told[0], OUTCOME_PERM, 550);
	ck_assert(notice_put_off(
	    &w.q, &(const struct msg_notice_later){ .id = id, .kind = FAILED, .retry_ms = 5000 }));
	ck_assert(notice_put_off(
	    &w.q, &(const struct msg_notice_later){ .id = id, .kind = DELAYED, .retry_ms = 1 }));
	ck_assert(notice_put_off(&w.q,
	    &(const struct msg_notice_later){ .id = 4711, .kind = FAILED, .retry_ms = 5000 }));
	world_pass(&w, 4000);
	ck_assert_uint_eq(nhanded, 1);
	world_pass(&w, 1000);
	ck_assert_uint_eq(nhanded, 2);
}
END_TEST

START_TEST(a_delay_is_told_once)
{
	uint64_t id = send_notify("12", NULL); /* FAILURE,DELAY */

	for (unsigned minute = 0, tries = 0; minute < 80; minute++) {
		while (tries < ntold)
			job_finish(&w, &told[tries++], OUTCOME_TEMP, 450);
		ck_assert_uint_eq(nhanded, minute >= 30);
		if (minute == 30)
			file(id, DELAYED);
		world_pass(&w, 60000);
	}
	ck_assert_uint_gt(ntold, 2);
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->state, SPOOL_QUEUED);
	ck_assert(handed[0].id == id && handed[0].kind == DELAYED && handed[0].n.body.n == 0);
	ck_assert_uint_eq(handed_rcpt(0, 0).action, NOTICE_DELAYED);
	ck_assert_uint_eq(handed_rcpt(0, 0).retry_until_ms, handed[0].n.arrival_ms + 2 * 3600000);
}
END_TEST

static const struct {
	const char *notify, *transport;
	bool dsn;
	uint8_t kind, action; /* 0: nobody is told */
} successes[] = {
	{ NULL, NULL, false, 0, 0 },
	{ "1", NULL, false, 0, 0 },
	{ "4", NULL, false, 0, 0 },
	{ "2", NULL, false, DELIVERED, NOTICE_RELAYED },
	{ "6", NULL, false, DELIVERED, NOTICE_RELAYED },
	{ "2", NULL, true, 0, 0 }, /* they tell */
	{ "2", "local", false, DELIVERED, NOTICE_DELIVERED },
};

START_TEST(success_is_told_where_it_was_asked_for_and_nobody_else_tells)
{
	uint64_t id;

	if (successes[_i].transport != NULL) {
		worker = dispatch_linked(&w.q, SERVICE_LOCAL, 1, 200, NULL);
		ck_assert(dispatch_running(&w.q, worker, &(struct msg_running){ .last = 1 }));
		dispatch_room(&w.q, worker, 10);
	}
	id = send_notify(successes[_i].notify, successes[_i].transport);
	ck_assert_uint_eq(ntold, 1);
	ck_assert(dispatch_result(&w.q, worker,
	    &(struct msg_result){ .job = told[0].number,
		.attempt = 1,
		.kind = OUTCOME_OK,
		.code = 250,
		.enh_class = 2,
		.text = SLICE_LIT("ok"),
		.dsn = successes[_i].dsn }));
	ck_assert(dispatch_done(
	    &w.q, worker, &(struct msg_job_done){ .job = told[0].number, .host = SLICE_LIT("h") }));
	world_settle(&w);
	ck_assert_uint_eq(nhanded, successes[_i].kind != 0);
	if (nhanded == 0) {
		ck_assert_ptr_null(message_find(&w.q.messages, id));
		return;
	}
	ck_assert_uint_eq(handed[0].kind, successes[_i].kind);
	ck_assert_uint_eq(handed_rcpt(0, 0).action, successes[_i].action);
	ck_assert_uint_eq(handed_rcpt(0, 0).host.n > 0, successes[_i].transport == NULL);
	ck_assert_uint_eq(handed[0].n.body.n, 0);
}
END_TEST

/* Its record is damaged now: nobody can be told, and it does not stay for ever. */
START_TEST(what_cannot_be_read_is_given_up)
{
	uint64_t id = send_notify(NULL, NULL);
	char path[64];
	int fd;

	snprintf(path, sizeof path, "%s/%010u.seg", SPOOL_DATA, pen.segment);
	fd = openat(w.dirfd, path, O_WRONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, "damage", 6, SEGMENT_HEADER + 40), 6);
	close(fd);
	address_cache_free(w.q.address);
	w.q.address = address_cache_new();
	job_finish(&w, &told[0], OUTCOME_PERM, 550);
	world_pass(&w, NOTICES_WAIT_MS);
	ck_assert_uint_eq(nhanded, 0);
	ck_assert_ptr_null(message_find(&w.q.messages, id));
	ck_assert_uint_eq(w.q.ledger.bounced, 1);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_failure_is_handed_over_once_and_again_without_an_answer);
	tcase_add_test(tc, what_was_owed_at_a_crash_is_handed_over_after_it);
	tcase_add_test(tc, recipients_that_fail_together_are_told_of_together);
	tcase_add_test(tc, the_wait_for_others_is_short);
	tcase_add_test(tc, few_are_under_way_at_a_time);
	tcase_add_test(tc, many_are_all_told_of);
	tcase_add_test(tc, one_that_could_not_be_written_is_asked_for_later);
	tcase_add_test(tc, a_delay_is_told_once);
	tcase_add_loop_test(tc, success_is_told_where_it_was_asked_for_and_nobody_else_tells, 0,
	    sizeof successes / sizeof *successes);
	tcase_add_test(tc, what_cannot_be_read_is_given_up);
}
CHECK_MAIN("qmgr notices", cases)
