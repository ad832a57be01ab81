/* SPDX-License-Identifier: ISC */
#include "world.h"

static struct world w;

static void
setup(void)
{
	world_new(&w, "");
}

static void
teardown(void)
{
	world_end(&w);
}

START_TEST(a_message_goes_its_way_and_its_segment_is_freed)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	struct worker *k = world_worker(&w, 1, 10);
	uint64_t id = world_send(&w, &p, "a@x.example", "b@y.example");

	ck_assert_uint_eq(ntold, 1);
	ck_assert_uint_eq(told[0].id, id);
	ck_assert_uint_eq(told[0].attempt[0], 1);
	ck_assert_uint_eq(nsegments_told, 1);
	ck_assert_uint_eq(w.q.dispatch.window, 1);
	job_finish(&w, &told[0], OUTCOME_OK, 250);
	ck_assert(told[0].acked);
	ck_assert_uint_eq(w.q.dispatch.window, 0);
	ck_assert_uint_eq(w.q.ledger.accepted, 1);
	ck_assert_uint_eq(w.q.ledger.delivered, 1);
	ck_assert_ptr_null(message_find(&w.q.messages, id));
	ck_assert_uint_eq(k->njobs, 0);
	close(p.fd); /* the writer moves on */
	world_pass(&w, 1000);
	world_pass(&w, 1000);
	ck_assert_ptr_null(pen_seg(&w, &p));
	ck_assert_uint_eq(nforgotten, 1);
}
END_TEST

/* ---- leases ---- */

START_TEST(rule_1_a_second_manager_waits_for_the_lock)
{
	int fd = spool_lock(w.dirfd, false);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(spool_lock(w.dirfd, false), -EWOULDBLOCK);
	close(fd);
}
END_TEST

START_TEST(rule_2_a_segment_number_is_never_reused)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	uint32_t first = p.segment;

	close(p.fd);
	for (int i = 0; i < 3; i++)
		world_pass(&w, 1000);
	ck_assert_ptr_null(seg_find(&w.q.segtab, first)); /* empty, so freed */
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	for (int i = 0; i < 4; i++) { /* not even when the journal has forgotten the old one */
		clean_consider(&w.q, true);
		world_settle(&w);
		world_crash(&w);
		ck_assert_int_eq(world_open(&w), 0);
	}
	p = world_lease(&w, CLASS_MX, 12);
	ck_assert_uint_gt(p.segment, first);
	close(p.fd);
}
END_TEST

START_TEST(rule_2_the_header_says_whose_segment_it_is)
{
	struct pen p = world_lease(&w, CLASS_SUBMISSION, 77);
	struct segment head;
	const char *why;

	ck_assert_int_eq(scan_segment(pen_seg(&w, &p)->fd, &head, &why), 0);
	ck_assert_uint_eq(head.number, p.segment);
	ck_assert_uint_eq(head.class, CLASS_SUBMISSION);
	ck_assert_uint_eq(head.instance, 77);
	ck_assert_int_eq(memcmp(head.spool_id, w.q.identity.id, SPOOL_ID), 0);
	ck_assert_int_ne(fcntl(p.fd, F_GETFL) & O_APPEND, 0);
	ck_assert_int_eq(fcntl(p.fd, F_GETFL) & O_ACCMODE, O_WRONLY);
	close(p.fd);
}
END_TEST

START_TEST(rule_12_an_id_of_another_lease_is_set_aside)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	const struct letter forged = { .from = "a@x.example",
		.to = { "b@y.example" },
		.hop = "192.0.2.1",
		.id = (fake_wall_ms() << 22) | (uint64_t)((p.segment + 1) & 4095) << 10 };
	const struct letter early = { .from = "a@x.example",
		.to = { "b@y.example" },
		.hop = "192.0.2.1",
		.id = (UINT64_C(5) << 22) | (uint64_t)(p.segment & 4095) << 10 };

	pen_write(&w, &p, &forged);
	pen_write(&w, &p, &early);
	pen_ring(&w, &p);
	ck_assert_uint_eq(w.q.messages.count, 0);
	ck_assert_uint_eq(w.q.damaged_ranges, 2);
	world_send(&w, &p, "a@x.example", "b@y.example");
	ck_assert_uint_eq(w.q.messages.count, 1);
	close(p.fd);
}
END_TEST

START_TEST(rule_12_the_floor_of_a_lease_is_above_every_id_seen)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	uint64_t id;

	wall_skew_ms = 3600000;
	id = world_send(&w, &p, "a@x.example", "b@y.example");
	wall_skew_ms = 0; /* the wall clock is set back */
	close(p.fd);
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	p = world_lease(&w, CLASS_MX, 12);
	ck_assert_uint_gt(id_ms(id_next(&p.ids, fake_wall_ms())), id_ms(id));
	close(p.fd);
}
END_TEST

/* ---- authority ---- */

static const struct {
	uint8_t class;
	const char *from, *login;
	uint64_t notice_of;
	bool filed;
} claims[] = {
	{ CLASS_MX, "a@x.example", NULL, 0, true },
	{ CLASS_MX, "", NULL, 0, true },
	{ CLASS_MX, "a@x.example", "alice", 0, false },
	{ CLASS_MX, "", NULL, 99, false },
	{ CLASS_SUBMISSION, "a@x.example", "alice", 0, true },
	{ CLASS_SUBMISSION, "a@x.example", "alice", 99, false },
	{ CLASS_LOCAL, "a@x.example", NULL, 0, true },
	{ CLASS_BOUNCED, "a@x.example", NULL, 0, false },
	{ CLASS_BOUNCED, "", NULL, 0, true },
};

START_TEST(rule_3_what_a_record_may_claim_is_limited_by_its_lease)
{
	struct pen p = world_lease(&w, claims[_i].class, 11);
	const struct letter l = { .from = claims[_i].from,
		.to = { "b@y.example" },
		.hop = "192.0.2.1",
		.login = claims[_i].login,
		.notice_of = claims[_i].notice_of };

	pen_write(&w, &p, &l);
	pen_ring(&w, &p);
	ck_assert_uint_eq(w.q.messages.count, claims[_i].filed ? 1 : 0);
	ck_assert_uint_eq(w.q.damaged_ranges, claims[_i].filed ? 0 : 1);
	close(p.fd);
}
END_TEST

/* ---- how far to read ---- */

START_TEST(rule_6_nothing_is_read_beyond_what_was_rung)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	const struct letter l = {
		.from = "a@x.example", .to = { "b@y.example" }, .hop = "192.0.2.1"
	};

	pen_write(&w, &p, &l);
	pen_ring(&w, &p);
	pen_write(&w, &p, &l);
	world_pass(&w, 10000);
	world_pass(&w, 10000);
	ck_assert_uint_eq(w.q.messages.count, 1); /* its writer lives: the descriptor is open */
	ck_assert(!intake_rung(&w.q, pen_seg(&w, &p), p.at + 64)); /* beyond the file */
	ck_assert(!intake_rung(&w.q, pen_seg(&w, &p), p.at - 1));
	pen_ring(&w, &p);
	ck_assert_uint_eq(w.q.messages.count, 2);
	close(p.fd);
}
END_TEST

START_TEST(rule_7_of_a_dead_writer_every_whole_record_is_filed)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	const struct letter l = {
		.from = "a@x.example", .to = { "b@y.example" }, .hop = "192.0.2.1"
	};
	struct buf torn = { 0 };

	for (int i = 0; i < 3; i++)
		pen_write(&w, &p, &l);
	letter_build(&w, &p, &l, p.at, &torn);
	ck_assert_int_gt(write(p.fd, torn.p, torn.n / 2), 0);
	world_pass(&w, 5000);
	ck_assert_uint_eq(w.q.messages.count, 0); /* not rung, and it lives */
	if (_i == 1) {
		world_crash(&w); /* it died while we were away */
		close(p.fd);
		ck_assert_int_eq(world_open(&w), 0);
	} else {
		close(p.fd);
	}
	world_pass(&w, 1000);
	ck_assert_uint_eq(w.q.messages.count, 3);
	ck_assert_uint_eq(w.q.damaged_ranges, 0); /* a torn end is no damage */
	ck_assert_int_eq(pen_seg(&w, &p)->state, SEG_ENDED);
	buf_fini(&torn);
}
END_TEST

/* Its end is asked of the disk in a thread: what was listed before must not be taken for all there is. */
START_TEST(rule_7_a_segment_is_not_ended_before_its_size_is_known)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	const struct letter l = {
		.from = "a@x.example", .to = { "b@y.example" }, .hop = "192.0.2.1"
	};
	struct seg *s = pen_seg(&w, &p);

	pen_write(&w, &p, &l);
	ck_assert(intake_rung(&w.q, s, p.at));
	ck_assert(s->listed);
	pen_write(&w, &p, &l); /* acknowledged, then its writer died */
	s->state = SEG_ENDING;
	s->busy = true;
	s->limit = s->durable;
	world_settle(&w);
	ck_assert_int_eq(s->state, SEG_ENDING);
	s->busy = false;
	s->limit = p.at;
	intake_wake(&w.q, s);
	world_settle(&w);
	ck_assert_uint_eq(w.q.messages.count, 2);
	ck_assert_int_eq(s->state, SEG_ENDED);
	close(p.fd);
}
END_TEST

START_TEST(rule_8_nothing_beyond_a_seal_is_served)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	const struct letter l = {
		.from = "a@x.example", .to = { "b@y.example" }, .hop = "192.0.2.1"
	};
	uint64_t good;

	pen_write(&w, &p, &l);
	pen_ring(&w, &p);
	good = p.at;
	pen_write(&w, &p, &l);					     /* its client heard 451 */
	ck_assert(!intake_sealed(&w.q, pen_seg(&w, &p), good - 64)); /* it rang that */
	ck_assert(intake_sealed(&w.q, pen_seg(&w, &p), good));
	ck_assert(intake_sealed(&w.q, pen_seg(&w, &p), good)); /* repeated */
	ck_assert(!intake_sealed(&w.q, pen_seg(&w, &p), good + 64));
	world_settle(&w);
	ck_assert(!intake_rung(&w.q, pen_seg(&w, &p), p.at));
	if (_i == 1) {
		world_crash(&w);
		ck_assert_int_eq(world_open(&w), 0);
	}
	close(p.fd);
	world_pass(&w, 1000);
	ck_assert_uint_eq(w.q.messages.count, 1);
	ck_assert_int_eq(pen_seg(&w, &p)->state, SEG_ENDED);
}
END_TEST

START_TEST(rule_6_repeated_doorbells_are_harmless)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);

	world_send(&w, &p, "a@x.example", "b@y.example");
	for (int i = 0; i < 5; i++)
		pen_ring(&w, &p);
	ck_assert(intake_rung(&w.q, pen_seg(&w, &p), SEGMENT_HEADER));
	ck_assert_uint_eq(w.q.ledger.accepted, 1);
	ck_assert_uint_eq(pen_seg(&w, &p)->acked, p.at);
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	pen_ring(&w, &p); /* it says so again after our restart */
	ck_assert_uint_eq(w.q.ledger.accepted, 1);
	ck_assert_uint_eq(w.q.messages.count, 1);
	close(p.fd);
}
END_TEST

/* ---- filing ---- */

START_TEST(rule_14_a_route_counts_only_with_its_seal_and_generation)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	struct letter l = { .from = "a@x.example",
		.to = { "b@y.example" },
		.hop = _i == 2 ? NULL : "192.0.2.1",
		.bad_seal = _i == 1,
		.generation = _i == 3 ? 1 : 2 };
	uint64_t id;

	routes_renewed(&w.q, 2);
	id = pen_write(&w, &p, &l);
	pen_ring(&w, &p);
	/* Sealed and new: into its queue. Else router is asked, who is away. */
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->phase, _i == 0 ? RCPT_READY : RCPT_ROUTING);
	close(p.fd);
}
END_TEST

START_TEST(rule_14_an_unrouted_message_survives_a_restart_and_waits_for_router)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	struct letter l = { .from = "a@x.example", .to = { "b@y.example" } };
	uint64_t id = pen_write(&w, &p, &l);

	pen_ring(&w, &p);
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	world_settle(&w);
	ck_assert_uint_eq(world_rcpt(&w, id, 0)->phase, RCPT_ROUTING);
	ck_assert_uint_eq(w.q.ledger.accepted, 1);
	close(p.fd);
}
END_TEST

START_TEST(rule_23_a_message_of_many_recipients_is_one_message)
{
	struct pen p = world_lease(&w, CLASS_LOCAL, 11);
	struct letter l = { .from = "a@x.example", .hop = "192.0.2.1" };
	static char to[300][40];
	uint64_t id;

	for (int i = 0; i < 299; i++) {
		snprintf(to[i], sizeof to[i], "u%d@%s.example", i, i % 3 == 0 ? "one" : "two");
		l.to[i] = to[i];
	}
	id = pen_write(&w, &p, &l);
	pen_ring(&w, &p);
	ck_assert_uint_eq(w.q.ledger.accepted, 299);
	ck_assert_uint_eq(message_find(&w.q.messages, id)->nrcpt, 299);
	ck_assert_uint_eq(w.q.queues.count, 2);
	world_worker(&w, 1, 100);
	/* Those of one queue share transactions, up to recipients_per_transaction. */
	ck_assert_uint_eq(ntold, 3);
	for (unsigned i = 0; i < ntold; i++)
		ck_assert(told[i].n == 100 || told[i].n == 99);
	ck_assert_uint_eq(told[0].n + told[1].n + told[2].n, 299);
	close(p.fd);
}
END_TEST

START_TEST(rule_26_hold_of_the_envelope_is_honoured)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	struct letter l = { .from = "a@x.example",
		.to = { "b@y.example" },
		.hop = "192.0.2.1",
		.hold = "quarantine" };
	uint64_t id = pen_write(&w, &p, &l);

	world_worker(&w, 1, 10);
	pen_ring(&w, &p);
	ck_assert_uint_eq(ntold, 0);
	ck_assert_str_eq(hold_of(&w.q, message_find(&w.q.messages, id))->reason, "quarantine");
	ck_assert(operate(
	    &w.q, OPERATE_RELEASE, message_find(&w.q.messages, id), SLICE_LIT("me"), SLICE_NONE));
	world_pass(&w, 300);
	ck_assert_uint_eq(ntold, 1);
	close(p.fd);
}
END_TEST

/* ---- damage ---- */

static unsigned
count_files(const char *folder)
{
	int fd = openat(w.dirfd, folder, O_RDONLY | O_DIRECTORY);
	DIR *d = fdopendir(fd);
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

START_TEST(rule_22_damage_below_the_durable_offset_is_copied_and_passed_over)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	const struct letter l = {
		.from = "a@x.example", .to = { "b@y.example" }, .hop = "192.0.2.1"
	};
	uint64_t second;
	char name[SPOOL_NAME];
	int fd;

	pen_write(&w, &p, &l);
	second = p.at;
	pen_write(&w, &p, &l);
	pen_write(&w, &p, &l);
	spool_segment_name(p.segment, name);
	fd = openat(w.dirfd, name, O_WRONLY);
	ck_assert_int_eq(pwrite(fd, "x", 1, (off_t)second + 130), 1);
	close(fd);
	pen_ring(&w, &p);
	ck_assert_uint_eq(w.q.messages.count, 2);
	ck_assert_uint_eq(w.q.damaged_ranges, 1);
	ck_assert_uint_eq(count_files(SPOOL_DAMAGED), 2); /* the bytes, and a note why */
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	pen_ring(&w, &p);
	ck_assert_uint_eq(w.q.messages.count, 2);
	ck_assert_uint_eq(count_files(SPOOL_DAMAGED), 2); /* listed once */
	close(p.fd);
}
END_TEST

START_TEST(rule_22_a_worker_s_word_for_damage_is_checked)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	const struct letter l = { .from = "a@x.example",
		.to = { "b@y.example", "c@y.example" },
		.hop = "192.0.2.1",
		.body = 5000 };
	uint64_t at = p.at, id = pen_write(&w, &p, &l);
	char name[SPOOL_NAME];
	int fd;

	pen_ring(&w, &p);
	if (_i == 1) {
		spool_segment_name(p.segment, name);
		fd = openat(w.dirfd, name, O_WRONLY);
		ck_assert_int_eq(pwrite(fd, "x", 1, (off_t)at + 3000), 1);
		close(fd);
	}
	world_worker(&w, 1, 10);
	job_finish(&w, &told[0], 3, 0);
	if (_i == 0) { /* it lied, or its memory did */
		ck_assert_uint_eq(w.q.ledger.damaged, 0);
		ck_assert_uint_eq(world_rcpt(&w, id, 0)->phase, RCPT_DEFERRED);
	} else {
		ck_assert_uint_eq(w.q.ledger.damaged, 2);
		ck_assert_uint_eq(w.q.damaged_ranges, 1); /* told once, though for each recipient */
		ck_assert_ptr_null(message_find(&w.q.messages, id));
		ck_assert_uint_eq(count_files(SPOOL_DAMAGED), 2);
	}
	close(p.fd);
}
END_TEST

/* ---- space ---- */

START_TEST(rule_19_space_is_freed_only_behind_durable_results)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	uint32_t number = p.segment;

	world_worker(&w, 1, 10);
	world_send(&w, &p, "a@x.example", "b@y.example");
	close(p.fd);
	world_pass(&w, 1000);
	ck_assert_int_eq(pen_seg(&w, &p)->state, SEG_ENDED);
	job_results(&w, &told[0], OUTCOME_OK, 250);
	dispatch_done(&w.q, told[0].worker, &(struct msg_job_done){ .job = told[0].number });
	/* The result is in memory only: nothing may have been freed, and nobody told. */
	segments_sweep(&w.q);
	ck_assert_int_eq(seg_find(&w.q.segtab, number)->state, SEG_ENDED);
	ck_assert(!told[0].acked);
	ck_assert_uint_eq(w.q.dispatch.window, 1);
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	ck_assert_uint_eq(w.q.messages.count, 1);
}
END_TEST

START_TEST(rule_21_compaction_keeps_ids_and_what_is_queued)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	struct letter l = {
		.from = "a@x.example", .to = { "b@y.example" }, .hop = "192.0.2.1", .body = 4000
	};
	uint64_t id[40];
	uint32_t old = p.segment;
	struct seg *target;

	for (int i = 0; i < 40; i++) {
		if (i % 10 == 9)
			l.to[0] = "late@later.example";
		else
			l.to[0] = "b@y.example";
		id[i] = pen_write(&w, &p, &l);
	}
	pen_ring(&w, &p);
	close(p.fd);
	world_worker(&w, 1, 100);
	ck_assert_uint_eq(ntold, 20); /* twenty connections: both domains are behind one next hop */
	for (unsigned i = 0; i < ntold; i++)
		job_finish(&w, &told[i], OUTCOME_OK, 250);
	world_pass(&w, 1000);
	ck_assert_uint_eq(w.q.messages.count, 0);
	ck_assert_ptr_null(seg_find(&w.q.segtab, old));

	/* Again, with the last of each ten deferred. */
	p = world_lease(&w, CLASS_MX, 12);
	old = p.segment;
	for (int i = 0; i < 40; i++)
		id[i] = pen_write(&w, &p, &l);
	ntold = 0;
	pen_ring(&w, &p);
	close(p.fd);
	for (unsigned i = 0, n = 0; i < ntold; i++)
		job_finish(&w, &told[i], n++ % 10 == 9 ? OUTCOME_TEMP : OUTCOME_OK, 250);
	world_pass(&w, 1000);
	ck_assert_uint_eq(w.q.messages.count, 4);
	compact_consider(&w.q, 0);
	ck_assert(compact_busy(&w.q));
	world_settle(&w);
	world_pass(&w, 1000);
	ck_assert(!compact_busy(&w.q));
	ck_assert_ptr_null(seg_find(&w.q.segtab, old));
	ck_assert_uint_eq(w.q.messages.count, 4);
	target = seg_at(&w.q.segtab, message_find(&w.q.messages, id[9])->seg);
	ck_assert_uint_eq(target->worker, SEG_OWN_WORKER);
	ck_assert_uint_eq(target->live, 4);
	/* The copies can be read, and are what they were. */
	w.q.address->id = 0;
	ck_assert_ptr_nonnull(address_rcpt(&w.q, message_find(&w.q.messages, id[9]), 0));
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	world_settle(&w);
	ck_assert_uint_eq(w.q.messages.count, 4);
	ck_assert_uint_eq(w.q.ledger.accepted, 80);
	world_worker(&w, 2, 100);
	now_ms += 3600000;
	world_pass(&w, 1000);
	ck_assert_uint_eq(ntold, 4);
	for (unsigned i = 0; i < 4; i++)
		job_finish(&w, &told[i], OUTCOME_OK, 250);
	ck_assert_uint_eq(w.q.ledger.delivered, 80);
}
END_TEST

START_TEST(rule_21_a_compaction_that_was_cut_files_nothing_twice)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);
	struct letter l = {
		.from = "a@x.example", .to = { "b@y.example" }, .hop = "192.0.2.1", .body = 4000
	};

	for (int i = 0; i < 10; i++)
		pen_write(&w, &p, &l);
	pen_ring(&w, &p);
	close(p.fd);
	world_worker(&w, 1, 100);
	for (unsigned i = 0; i < 9; i++)
		job_finish(&w, &told[i], OUTCOME_OK, 250);
	world_pass(&w, 1000);
	compact_consider(&w.q, 0);
	while (compact_busy(&w.q) && _i-- > 0)
		qmgr_turn(&w.q);
	world_crash(&w);
	ck_assert_int_eq(world_open(&w), 0);
	for (int i = 0; i < 3; i++)
		world_pass(&w, 1000);
	ck_assert_uint_eq(w.q.messages.count, 1);
	ck_assert_uint_eq(w.q.ledger.accepted, 10);
	ck_assert_uint_eq(w.q.ledger.delivered, 9);
	ck_assert(dispatch_workers(&w.q, SERVICE_DELIVER, slice_of(&(uint64_t){ 2 }, 8)));
	world_worker(&w, 2, 100);
	for (int i = 0; i < 3; i++)
		world_pass(&w, 600000);
	ck_assert_uint_eq(ntold, 1);
	job_finish(&w, &told[0], OUTCOME_OK, 250);
	for (int i = 0; i < 3; i++)
		world_pass(&w, 1000);
	ck_assert_uint_eq(w.q.segtab.count, 0); /* the half-made copy too */
}
END_TEST

START_TEST(rule_27_a_writer_is_told_which_version_to_write)
{
	struct pen p = world_lease(&w, CLASS_MX, 11);

	ck_assert_uint_eq(pen_seg(&w, &p)->version, w.q.identity.version);
	close(p.fd);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_message_goes_its_way_and_its_segment_is_freed);
	tcase_add_test(tc, rule_1_a_second_manager_waits_for_the_lock);
	tcase_add_test(tc, rule_2_a_segment_number_is_never_reused);
	tcase_add_test(tc, rule_2_the_header_says_whose_segment_it_is);
	tcase_add_test(tc, rule_12_an_id_of_another_lease_is_set_aside);
	tcase_add_test(tc, rule_12_the_floor_of_a_lease_is_above_every_id_seen);
	tcase_add_loop_test(tc, rule_3_what_a_record_may_claim_is_limited_by_its_lease, 0,
	    sizeof claims / sizeof *claims);
	tcase_add_test(tc, rule_6_nothing_is_read_beyond_what_was_rung);
	tcase_add_test(tc, rule_6_repeated_doorbells_are_harmless);
	tcase_add_loop_test(tc, rule_7_of_a_dead_writer_every_whole_record_is_filed, 0, 2);
	tcase_add_test(tc, rule_7_a_segment_is_not_ended_before_its_size_is_known);
	tcase_add_loop_test(tc, rule_8_nothing_beyond_a_seal_is_served, 0, 2);
	tcase_add_loop_test(tc, rule_14_a_route_counts_only_with_its_seal_and_generation, 0, 4);
	tcase_add_test(tc, rule_14_an_unrouted_message_survives_a_restart_and_waits_for_router);
	tcase_add_test(tc, rule_23_a_message_of_many_recipients_is_one_message);
	tcase_add_test(tc, rule_26_hold_of_the_envelope_is_honoured);
	tcase_add_test(tc, rule_22_damage_below_the_durable_offset_is_copied_and_passed_over);
	tcase_add_loop_test(tc, rule_22_a_worker_s_word_for_damage_is_checked, 0, 2);
	tcase_add_test(tc, rule_19_space_is_freed_only_behind_durable_results);
	tcase_add_test(tc, rule_21_compaction_keeps_ids_and_what_is_queued);
	tcase_add_loop_test(tc, rule_21_a_compaction_that_was_cut_files_nothing_twice, 0, 8);
	tcase_add_test(tc, rule_27_a_writer_is_told_which_version_to_write);
}
CHECK_MAIN("qmgr flow", cases)
