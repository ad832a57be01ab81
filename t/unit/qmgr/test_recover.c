/* SPDX-License-Identifier: ISC */
#include "world.h"

static struct world w;

static void
setup(void)
{
	world_new(&w, "retry_first = 10m\nretry_max = 1h\nlife = 2h\nfailed_keep = 1h\nconcurrency "
		      "= 5\njobs_max = 40\n");
}

static void
teardown(void)
{
	world_end(&w);
}

/* Some of everything: queued, deferred, delivered, failed and owed, held, running, unrouted, many recipients. */
static void
make_history(struct pen *p)
{
	struct letter l = { .from = "a@x.example", .hop = "192.0.2.1" };
	uint64_t id[24];

	*p = world_lease(&w, CLASS_MX, 11);
	world_worker(&w, 1, 100);
	for (int i = 0; i < 24; i++) {
		static const char *const to[] = { "b@one.example", "b@two.example",
			"b@three.example" };

		memset(l.to, 0, sizeof l.to);
		l.from = i % 7 == 3 ? "" : "a@x.example";
		l.to[0] = to[i % 3];
		if (i % 4 == 1)
			l.to[1] = "c@two.example", l.to[2] = "d@four.example";
		l.hop = i == 20 ? NULL : "192.0.2.1";
		id[i] = pen_write(&w, p, &l);
	}
	pen_ring(&w, p);
	for (unsigned i = 0; i < 20 && i < ntold; i++)
		if (i % 6 != 5)
			job_finish(&w, &told[i],
			    i % 3 == 0	 ? OUTCOME_OK
			    : i % 3 == 1 ? OUTCOME_TEMP
					 : OUTCOME_PERM,
			    i % 3 == 0	 ? 250
			    : i % 3 == 1 ? 451
					 : 550);
	if (message_find(&w.q.messages, id[20]) != NULL)
		operate(&w.q, OPERATE_HOLD, message_find(&w.q.messages, id[20]), SLICE_LIT("me"),
		    SLICE_LIT("look"));
	for (int i = 21; i < 24; i++)
		if (message_find(&w.q.messages, id[i]) != NULL)
			operate(&w.q,
			    i == 21   ? OPERATE_DELETE
			    : i == 22 ? OPERATE_FAIL
				      : OPERATE_RETRY,
			    message_find(&w.q.messages, id[i]), SLICE_LIT("me"),
			    SLICE_LIT("why not"));
	world_settle(&w);
}

static void
dump(struct buf *out)
{
	buf_reset(out);
	world_dump(&w, out);
}

START_TEST(rule_20_recovery_gives_the_state_back_and_is_idempotent)
{
	struct buf before = { 0 }, after = { 0 };
	struct pen p;

	make_history(&p);
	dump(&before);
	for (int i = 0; i < 3; i++) {
		world_crash(&w);
		ck_assert_int_eq(world_open(&w), 0);
		if (_i == 1)
			world_settle(&w);
		/* What was running is started all the same: its worker has not reported. */
		dump(&after);
		ck_assert_msg(slice_eq(slice_buf(&before), slice_buf(&after)),
		    "before:\n%.*s\nafter:\n%.*s", SLICE_ARG(slice_buf(&before)),
		    SLICE_ARG(slice_buf(&after)));
		ck_assert(world_balanced(&w));
	}
	close(p.fd);
	buf_fini(&before);
	buf_fini(&after);
}
END_TEST

START_TEST(rule_20_cleaning_keeps_the_state_and_drops_the_oldest_file)
{
	struct buf before = { 0 }, after = { 0 };
	uint32_t oldest;
	struct pen p;

	make_history(&p);
	for (int round = 0; round < 4; round++) {
		world_crash(&w); /* each start begins a new file */
		ck_assert_int_eq(world_open(&w), 0);
		world_settle(&w);
		dump(&before);
		oldest = w.q.journal.oldest;
		clean_consider(&w.q, true);
		ck_assert(clean_busy(&w.q) || w.q.journal.oldest > oldest);
		world_settle(&w);
		ck_assert_uint_eq(w.q.journal.oldest, oldest + 1);
		dump(&after);
		ck_assert_msg(slice_eq(slice_buf(&before), slice_buf(&after)),
		    "round %d before:\n%.*s\nafter:\n%.*s", round, SLICE_ARG(slice_buf(&before)),
		    SLICE_ARG(slice_buf(&after)));
	}
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	dump(&after);
	ck_assert_msg(slice_eq(slice_buf(&before), slice_buf(&after)),
	    "before:\n%.*s\nafter:\n%.*s", SLICE_ARG(slice_buf(&before)),
	    SLICE_ARG(slice_buf(&after)));
	ck_assert(world_balanced(&w));
	close(p.fd);
	buf_fini(&before);
	buf_fini(&after);
}
END_TEST

/* The places of all records in the newest file that holds any. */
struct cuts {
	uint32_t file;
	uint64_t at[4096];
	unsigned n;
};

static int
note_cut(void *ctx, uint32_t file, const struct journal_rec *r)
{
	struct cuts *c = ctx;

	if (file != c->file) {
		c->file = file;
		c->n = 0;
	}
	if (c->n < 4096)
		c->at[c->n++] = r->offset;
	return 0;
}

static void
zero_from(uint32_t file, uint64_t at)
{
	static const char zeros[4096];
	char name[SPOOL_NAME];
	int fd;

	spool_journal_name(file, name);
	fd = openat(w.dirfd, name, O_WRONLY);
	ck_assert_int_ge(fd, 0);
	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(
		    pwrite(fd, zeros, sizeof zeros, (off_t)(at + (uint64_t)i * sizeof zeros)),
		    sizeof zeros);
	close(fd);
}

static void
drop_after(uint32_t file)
{
	uint32_t *numbers;
	size_t n;
	char name[SPOOL_NAME];

	ck_assert_int_eq(
	    spool_folder_list(w.dirfd, SPOOL_STATE, spool_journal_number, &numbers, &n), 0);
	for (size_t i = 0; i < n; i++) {
		spool_journal_name(numbers[i], name);
		if (numbers[i] > file)
			unlinkat(w.dirfd, name, 0);
	}
	free(numbers);
}

/* From the last record to the first, each time one less: the ledger adds up, and it can go on from there. */
START_TEST(rule_20_cut_at_every_record_the_ledger_adds_up)
{
	struct cuts cuts = { 0 };
	struct journal_replay replay = { .each = note_cut, .ctx = &cuts };
	struct buf once = { 0 }, twice = { 0 };
	uint32_t file;
	struct pen p;

	make_history(&p);
	memcpy(replay.spool_id, w.q.identity.id, SPOOL_ID);
	world_crash(&w);
	close(p.fd);
	ck_assert_int_eq(journal_file_replay(w.dirfd, &replay), 0);
	ck_assert_uint_gt(cuts.n, 60);
	file = cuts.file;
	for (unsigned k = cuts.n; k > 1; k--) {
		zero_from(file, cuts.at[k - 1]);
		ck_assert_int_eq(world_open(&w), 0);
		ck_assert_msg(world_balanced(&w), "cut before record %u", k);
		dump(&once);
		world_crash(&w); /* before anything it wrote is durable */
		ck_assert_int_eq(world_open(&w), 0);
		dump(&twice);
		ck_assert(slice_eq(slice_buf(&once), slice_buf(&twice)));
		world_crash(&w);
		drop_after(file);
	}
	buf_fini(&once);
	buf_fini(&twice);
}
END_TEST

START_TEST(rule_20_a_failed_write_goes_on_in_a_new_file)
{
	struct buf before = { 0 }, after = { 0 };
	struct pen p = world_lease(&w, CLASS_MX, 11);
	uint64_t id;
	uint32_t file;

	world_worker(&w, 1, 10);
	id = world_send(&w, &p, "a@x.example", "b@y.example");
	file = w.q.journal.file;
	/* Writes to this descriptor fail from here on, as a disk's do. */
	ck_assert_int_ge(
	    dup3(openat(w.dirfd, SPOOL_LOCK, O_RDONLY | O_CREAT, 0600), w.q.journal.fd, O_CLOEXEC),
	    0);
	job_results(&w, &told[0], OUTCOME_TEMP, 451);
	dispatch_done(&w.q, told[0].worker,
	    &(struct msg_job_done){ .job = told[0].number, .host = SLICE_LIT("h") });
	qmgr_turn(&w.q);
	ck_assert_uint_eq(w.q.journal.stats.failures, 1);
	ck_assert(!told[0].acked);
	now_ms += 10000;
	world_settle(&w);
	ck_assert_uint_gt(w.q.journal.file, file);
	ck_assert(told[0].acked);
	buf_reset(&before);
	/* its place was translated */
	ck_assert(reply_text(&w.q, message_find(&w.q.messages, id), 0, &before));
	dump(&before);
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	dump(&after);
	ck_assert(slice_eq(slice_buf(&before), slice_buf(&after)));
	close(p.fd);
	buf_fini(&before);
	buf_fini(&after);
}
END_TEST

START_TEST(rule_20_records_fill_files_one_after_the_other)
{
	char reason[8192];
	struct pen p = world_lease(&w, CLASS_MX, 11);
	uint64_t id = world_send(&w, &p, "a@x.example", "b@y.example");
	uint32_t file = w.q.journal.file;

	memset(reason, 'r', sizeof reason);
	for (unsigned i = 0; w.q.journal.file < file + 2; i++) {
		struct message *m = message_find(&w.q.messages, id);

		operate(&w.q, i % 2 == 0 ? OPERATE_HOLD : OPERATE_RELEASE, m, SLICE_LIT("me"),
		    slice_of(reason, sizeof reason));
		if (i % 50 == 0)
			qmgr_turn(&w.q);
	}
	operate(&w.q, OPERATE_HOLD, message_find(&w.q.messages, id), SLICE_LIT("me"),
	    SLICE_LIT("the last"));
	world_settle(&w);
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	ck_assert_ptr_nonnull(hold_of(&w.q, message_find(&w.q.messages, id)));
	while (w.q.journal.oldest < w.q.journal.file) {
		clean_consider(&w.q, true);
		world_settle(&w);
	}
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	ck_assert_ptr_nonnull(hold_of(&w.q, message_find(&w.q.messages, id)));
	ck_assert_uint_eq(journal_files(&w.q.journal), 2);
	close(p.fd);
}
END_TEST

/* Its FILED and results stand in a later file than its snapshot replaces: both are replayed. */
START_TEST(rule_20_a_snapshot_of_a_message_half_done_is_replayed)
{
	const struct letter l = { .from = "a@x.example",
		.to = { "b@one.example", "c@two.example" },
		.hop = "192.0.2.1" };
	struct pen p = world_lease(&w, CLASS_MX, 999);
	uint64_t id = pen_write(&w, &p, &l);

	pen_ring(&w, &p);
	world_worker(&w, 1, 1);
	job_finish(&w, &told[0], OUTCOME_OK, 250);
	ck_assert_uint_eq(message_find(&w.q.messages, id)->nopen, 1);
	clean_message(&w.q, message_find(&w.q.messages, id));
	world_settle(&w);
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	ck_assert(world_balanced(&w));
	ck_assert_uint_eq(message_find(&w.q.messages, id)->nopen, 1);
	ck_assert_uint_eq(w.q.messages.recipients, 1);
	close(p.fd);
}
END_TEST

START_TEST(rule_23_a_message_with_50000_recipients_survives_cleaning)
{
	enum { N = 50000 };
	struct pen p = world_lease(&w, CLASS_LOCAL, 11);
	struct buf env = { 0 }, rec = { 0 }, before = { 0 }, after = { 0 };
	struct record_parts parts = {
		.head = SLICE_LIT("Subject: x\r\n"), .body = SLICE_LIT("\r\n"), .nrcpt = N
	};
	char to[64], text[400];
	struct message *m;

	envelope_put_text(&env, ENVELOPE_SENDER, SLICE_LIT("a@x.example"));
	for (int i = 0; i < N; i++) {
		snprintf(to, sizeof to, "u%d@y.example", i);
		envelope_put_text(&env, ENVELOPE_RECIPIENT, slice_z(to));
	}
	parts.envelope = slice_buf(&env);
	parts.arrival_ms = fake_wall_ms();
	parts.id = id_next(&p.ids, fake_wall_ms());
	ck_assert_int_eq(record_build(&rec, &parts, p.seed), 0);
	record_seal(rec.p, p.segment, p.at, p.seed);
	ck_assert_int_eq(write(p.fd, rec.p, rec.n), (ssize_t)rec.n);
	p.at += rec.n;
	pen_ring(&w, &p);
	ck_assert_uint_eq(w.q.ledger.accepted, N);
	/* Every one with a reply, so that the snapshot does not fit into one record. */
	memset(text, 't', sizeof text);
	for (unsigned i = 0; i < N; i++) {
		m = message_find(&w.q.messages, parts.id);
		rcpt_leave(&w.q, m, i);
		schedule_result(&w.q, m, i, 1,
		    &(struct attempt_end){
			.kind = OUTCOME_TEMP, .text = slice_of(text, sizeof text) });
		world_drain_log();
		if (i % 1000 == 0)
			qmgr_turn(&w.q);
	}
	world_settle(&w);
	/* twice over: from its results, then from what cleaning wrote of them */
	for (int i = 0; i < 8; i++) {
		clean_consider(&w.q, true);
		world_settle(&w);
		if (i == 4) {
			world_crash(&w);
			ck_assert_int_eq(world_open(&w), 0);
			world_settle(&w);
		}
	}
	m = message_find(&w.q.messages, parts.id);
	ck_assert_uint_eq(m->nopen, N);
	ck_assert(reply_text(&w.q, m, 0, &before));
	ck_assert(reply_text(&w.q, m, N - 1, &after));
	ck_assert_uint_gt(before.n, 0); /* cut, so that all fit */
	ck_assert_uint_eq(after.n, before.n);
	close(p.fd);
	buf_fini(&env);
	buf_fini(&rec);
	buf_fini(&before);
	buf_fini(&after);
}
END_TEST

/*
 * Chance: mail comes, workers answer and die, operators act, time passes, the manager is killed. At
 * each step the ledger adds up; in the end everything was delivered or failed, and nothing was
 * delivered more often than the kills allow.
 */
struct delivered {
	uint64_t id;
	unsigned rcpt, times;
};
static struct delivered sent[20000];
static unsigned nsent;

static void
note_delivered(uint64_t id, unsigned rcpt)
{
	for (unsigned i = 0; i < nsent; i++)
		if (sent[i].id == id && sent[i].rcpt == rcpt) {
			sent[i].times++;
			return;
		}
	sent[nsent++] = (struct delivered){ id, rcpt, 1 };
}

static unsigned
letters(struct pen *p, struct rng *rng)
{
	static const char *const domains[] = { "one", "two", "three", "four", "five" };
	static char to[4][40];
	struct letter l = {
		.from = rng_next(rng) % 8 == 0 ? "" : "a@x.example", .hop = "192.0.2.1", .body = 500
	};
	unsigned n = (unsigned)(rng_next(rng) % 4) + 1;

	for (unsigned i = 0; i < n; i++) {
		snprintf(to[i], sizeof to[i], "u%u@%s.example", i, domains[rng_next(rng) % 5]);
		l.to[i] = to[i];
	}
	pen_write(&w, p, &l);
	return n;
}

static void
answer_some(struct rng *rng, bool all)
{
	for (unsigned i = 0; i < ntold; i++) {
		struct told_job *t = &told[i];
		unsigned dice = (unsigned)(rng_next(rng) % 20);

		if (t->done || (!all && dice < 8))
			continue;
		if (!all && dice == 8) {
			job_host_down(&w, t);
			continue;
		}
		if (all || dice < 15)
			for (uint32_t k = 0; k < t->n; k++)
				note_delivered(t->id, t->rcpt[k]);
		job_finish(&w, t,
		    all || dice < 15 ? OUTCOME_OK
		    : dice < 18	     ? OUTCOME_TEMP
				     : OUTCOME_PERM,
		    all || dice < 15 ? 250
		    : dice < 18	     ? 451
				     : 550);
	}
}

static void
restart(struct pen *p, struct rng *rng, uint64_t *instance, unsigned *lost)
{
	*lost += w.q.dispatch.window;
	world_crash(&w);
	if (rng_next(rng) % 2 == 0) {
		close(p->fd);
		p->fd = -1;
	}
	ck_assert_int_eq(world_open(&w), 0);
	ck_assert(world_balanced(&w));
	world_settle(&w);
	/* deliver died as well: its parent names only the new worker. */
	(*instance)++;
	ck_assert(dispatch_workers(&w.q, SERVICE_DELIVER, slice_of(instance, 8)));
	world_worker(&w, *instance, 30);
	if (p->fd < 0)
		*p = world_lease(&w, CLASS_MX, *instance + 1000);
	else
		pen_ring(&w, p);
}

START_TEST(rule_28_ledger_adds_up_whatever_happens)
{
	struct rng rng = { (uint64_t)_i * 7919 + 1 };
	struct pen p = world_lease(&w, CLASS_MX, 999);
	uint64_t instance = 1, wrote = 0;
	unsigned lost = 0, doubled = 0;

	nsent = 0;
	world_worker(&w, instance, 30);
	for (int step = 0; step < 150; step++) {
		unsigned dice = (unsigned)(rng_next(&rng) % 20);
		uint32_t cursor = (uint32_t)(rng_next(&rng) % 64);
		struct message *m;

		if (dice < 10)
			for (int i = 0; i < 5; i++)
				wrote += letters(&p, &rng);
		if (dice < 12)
			pen_ring(&w, &p);
		else if (dice < 16)
			world_pass(&w, rng_next(&rng) % 1500000);
		else if (dice == 16 && (m = messages_next(&w.q.messages, &cursor)) != NULL)
			operate(&w.q, (enum operation)(rng_next(&rng) % 6), m, SLICE_LIT("me"),
			    SLICE_LIT("so"));
		else if (dice == 17)
			restart(&p, &rng, &instance, &lost);
		else if (dice == 18) {
			clean_consider(&w.q, true);
			compact_consider(&w.q, 0);
		}
		answer_some(&rng, false);
		ck_assert(world_balanced(&w));
	}
	pen_ring(&w, &p);
	close(p.fd);
	for (int i = 0; i < 200 && w.q.messages.count > 0; i++) {
		uint32_t cursor = 0;
		struct message *m;

		while ((m = messages_next(&w.q.messages, &cursor)) != NULL)
			operate(&w.q, OPERATE_RELEASE, m, SLICE_LIT("me"), SLICE_NONE);
		world_pass(&w, 600000);
		answer_some(&rng, true);
	}
	world_pass(&w, 2000);
	world_pass(&w, 2000);
	ck_assert_uint_eq(w.q.messages.count, 0);
	ck_assert_uint_eq(w.q.messages.recipients, 0);
	ck_assert_uint_eq(w.q.ledger.accepted, wrote);
	ck_assert_uint_eq(w.q.damaged_ranges, 0);
	for (unsigned i = 0; i < nsent; i++)
		doubled += sent[i].times - 1;
	ck_assert_msg(doubled <= lost * 4, "%u doubled, %u jobs were lost", doubled, lost);
	ck_assert_uint_eq(w.q.segtab.count, 0); /* all space is free again */
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, rule_20_recovery_gives_the_state_back_and_is_idempotent, 0, 2);
	tcase_add_test(tc, rule_20_cleaning_keeps_the_state_and_drops_the_oldest_file);
	tcase_add_test(tc, rule_20_cut_at_every_record_the_ledger_adds_up);
	tcase_add_test(tc, rule_20_a_failed_write_goes_on_in_a_new_file);
	tcase_add_test(tc, rule_20_records_fill_files_one_after_the_other);
	tcase_add_test(tc, rule_20_a_snapshot_of_a_message_half_done_is_replayed);
	tcase_add_test(tc, rule_23_a_message_with_50000_recipients_survives_cleaning);
	tcase_add_loop_test(tc, rule_28_ledger_adds_up_whatever_happens, 0, 12);
}
CHECK_MAIN("qmgr recover", cases)
