/* SPDX-License-Identifier: ISC */
#include "t/unit/qmgr/disk.h"

#include "t/unit/qmgr/world.h"

#include "qmgr/expand.h"
#include "qmgr/expanded.h"

/*
 * Lists that are expanded while the queue manager is killed, syncs fail and the power goes, from a
 * seed. The tables change all the time, so that an expansion computed twice is another one. Looked
 * at:
 *
 *	a member is handed out only when its whole expansion is there for good
 *	once one member was handed out, the list is that one for ever, and is not asked about again
 *	in the end everyone on it has the mail; who has it twice was in a job when something died
 *	the ledger adds up at each step
 *
 * EXPAND_FROM and EXPAND_SEEDS choose the seeds.
 */
enum { MAILS = 200, MEMBERS = 60, JOBS = 8000, STEPS = 90 };

struct mail {
	uint64_t id;
	unsigned also; /* a member that stands in the envelope too */
	bool acked, asked, fixed;
	bool broken; /* its sync failed, nobody was told 250, and the disk has kept a part of it */
	uint64_t version; /* of the tables, when it was last expanded */
	unsigned delivered[MEMBERS];
	bool final[MEMBERS]; /* qmgr has said that its delivery is durable */
};

struct held {
	struct told_job t;
	unsigned member[64];
	uint8_t kind[64];
	bool ended, gone;
};

static struct cuts {
	struct world w;
	struct rng rng;
	struct mail mail[MAILS];
	unsigned nmail;
	struct pen pen;
	struct held job[JOBS];
	unsigned njob, seen;
	uint64_t instance, clients, version, again, loseable, expansions, lost, parts;
	struct worker *worker;
} c;

static uint64_t
chance(uint64_t n)
{
	return rng_next(&c.rng) % n;
}

static bool
is_member(uint64_t version, unsigned member)
{
	return member == version % MEMBERS || (version * 31 + member * 7919U) % 5 == 0;
}

static struct mail *
mail_of(uint64_t id)
{
	for (unsigned i = 0; i < c.nmail; i++)
		if (c.mail[i].id == id)
			return &c.mail[i];
	ck_abort_msg("a message that nobody sent");
}

/* ---- deliver ---- */

static unsigned
member_of(const struct message *q, struct mail *m, uint32_t rcpt)
{
	const struct envelope_rcpt *to = address_rcpt(&c.w.q, q, rcpt);
	char text[64];
	unsigned member;

	if (to == NULL && !m->acked) {
		m->broken = true;
		return 0;
	}
	ck_assert_ptr_nonnull(to);
	slice_copy(to->recipient, text, sizeof text);
	ck_assert_msg(
	    sscanf(text, "member%u@y.example", &member) == 1 && member < MEMBERS, "%s", text);
	return member;
}

static void
take_job(const struct told_job *t)
{
	const struct message *q = message_find(&c.w.q.messages, t->id);
	struct mail *m = mail_of(t->id);
	struct held *j = &c.job[c.njob++];

	ck_assert_uint_lt(c.njob, JOBS);
	*j = (struct held){ .t = *t };
	ck_assert_ptr_nonnull(q);
	for (uint32_t i = 0; i < t->n; i++) {
		unsigned member = j->member[i] = member_of(q, m, t->rcpt[i]);

		if (m->broken)
			continue;
		ck_assert_msg(!m->final[member], "tried again although its delivery was durable");
		if (t->rcpt[i] < 2)
			continue;
		ck_assert_msg(
		    is_member(m->version, member), "of another list than it was expanded to");
		ck_assert_uint_ne(member, m->also);
		m->fixed = true;
	}
}

static void
job_acked(struct held *j)
{
	struct message *q = message_find(&c.w.q.messages, j->t.id);
	struct mail *m = mail_of(j->t.id);

	for (uint32_t i = 0; i < j->t.n; i++) {
		const struct recipient *r = q == NULL ? NULL : &message_rcpts(q)[j->t.rcpt[i]];

		if (j->kind[i] == OUTCOME_OK && (r == NULL || r->phase == RCPT_CLOSED))
			m->final[j->member[i]] = true;
	}
	j->gone = true;
}

static void
settle(void)
{
	world_settle(&c.w);
	for (; c.seen < ntold; c.seen++)
		take_job(&told[c.seen]);
	for (unsigned i = 0; i < c.njob; i++)
		for (unsigned k = 0; !c.job[i].gone && c.job[i].ended && k < ntold; k++)
			if (told[k].acked && told[k].number == c.job[i].t.number)
				job_acked(&c.job[i]);
}

static void
say_results(struct held *j)
{
	for (uint32_t i = 0; i < j->t.n; i++)
		ck_assert(dispatch_result(&c.w.q, c.worker,
		    &(struct msg_result){ .job = j->t.number,
			.rcpt = j->t.rcpt[i],
			.attempt = j->t.attempt[i],
			.kind = j->kind[i],
			.code = j->kind[i] == OUTCOME_OK ? 250 : 450,
			.enh_class = j->kind[i] == OUTCOME_OK ? 2 : 4,
			.phase = PHASE_DOT,
			.text = SLICE_LIT("so") }));
	ck_assert(dispatch_done(&c.w.q, c.worker,
	    &(struct msg_job_done){ .job = j->t.number, .host = SLICE_LIT("h") }));
}

static void
deliver(bool all)
{
	for (unsigned i = 0; i < c.njob; i++) {
		struct held *j = &c.job[i];
		struct mail *m = mail_of(j->t.id);

		if (j->ended || j->gone || (!all && chance(3) == 0))
			continue;
		for (uint32_t k = 0; k < j->t.n; k++) {
			j->kind[k] = all || chance(3) > 0 ? OUTCOME_OK : OUTCOME_TEMP;
			if (j->kind[k] == OUTCOME_OK)
				c.again += m->delivered[j->member[k]]++ > 0;
		}
		j->ended = true;
		say_results(j);
	}
	settle();
}

/* A new worker, or the one that lives and tells what it has in hand. Jobs in hand at a death may be done twice. */
static void
link_worker(bool dies)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < c.njob; i++) {
		c.loseable += c.job[i].gone ? 0 : c.job[i].t.n;
		if (!c.job[i].gone && !dies)
			c.job[kept++] = c.job[i];
	}
	c.njob = kept;
	c.instance += dies;
	ck_assert(dispatch_workers(&c.w.q, SERVICE_DELIVER, slice_of(&c.instance, 8)));
	c.worker = dispatch_linked(&c.w.q, SERVICE_DELIVER, 1, c.instance, NULL);
	ck_assert_ptr_nonnull(c.worker);
	for (unsigned i = 0; i < c.njob; i++) {
		struct told_job *t = &c.job[i].t;
		struct buf pairs = { 0 };

		for (uint32_t k = 0; k < t->n; k++) {
			buf_put(&pairs, &t->rcpt[k], 4);
			buf_put(&pairs, &t->attempt[k], 4);
		}
		ck_assert(dispatch_running(&c.w.q, c.worker,
		    &(struct msg_running){
			.job = t->number, .id = t->id, .rcpts = slice_buf(&pairs) }));
		buf_fini(&pairs);
		told[ntold] = *t;
		told[ntold++].worker = c.worker;
		c.seen = ntold;
	}
	ck_assert(dispatch_running(&c.w.q, c.worker, &(struct msg_running){ .last = 1 }));
	for (unsigned i = 0; i < c.njob; i++)
		if (c.job[i].ended)
			say_results(&c.job[i]);
	dispatch_room(&c.w.q, c.worker, 20);
	settle();
}

/* ---- router ---- */

static uint32_t
list_of(uint64_t version, struct buf *list, uint32_t from, uint32_t to)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < MEMBERS; i++) {
		char text[40];
		uint16_t bytes = (uint16_t)snprintf(
		    text, sizeof text, "member%u@%s.example", i, i % 2 ? "y" : "Y");

		if (!is_member(version, i))
			continue;
		if (n >= from && n < to) {
			buf_put(list, &bytes, sizeof bytes);
			buf_put(list, text, bytes);
		}
		n++;
	}
	return n;
}

static enum expand_step
say_list(struct message *q, uint32_t from, uint32_t to, uint32_t *next)
{
	struct buf list = { 0 };
	uint32_t total = list_of(c.version, &list, from, to);
	enum expand_step step;
	const char *why;

	step = expand_answered(&c.w.q, q, 0,
	    &(const struct msg_route){ .action = ROUTE_EXPAND,
		.total = total,
		.first = from,
		.list = slice_buf(&list),
		.whole = c.version,
		.rule = SLICE_LIT("alias") },
	    next, &why);
	buf_fini(&list);
	ck_assert_msg(step != EXPAND_FAILED || !mail_of(q->id)->acked, "%s", why);
	return step;
}

/* In one part, or in two between which the tables may become others, or the rest never comes. */
static enum expand_step
say_parts(struct message *q)
{
	uint32_t next;
	enum expand_step step;

	if (chance(3) > 0)
		return say_list(q, 0, MEMBERS, &next);
	step = say_list(q, 0, 1, &next);
	if (step != EXPAND_MORE || chance(3) == 0)
		return step;
	c.parts++;
	if (chance(2) == 0)
		return say_list(q, 1, MEMBERS, &next);
	c.version++;
	step = say_list(q, 1, MEMBERS, &next);
	ck_assert(step == EXPAND_MORE && next == 0);
	return step;
}

static void
expand_one(struct message *q)
{
	struct mail *m = mail_of(q->id);

	ck_assert_msg(!m->fixed, "asked again about what was expanded for good");
	switch (say_parts(q)) {
	case EXPAND_MORE:
		break;
	case EXPAND_DONE:
		c.lost += m->asked;
		m->version = c.version;
		m->asked = true;
		c.expansions++;
		break;
	case EXPAND_FAILED:
		m->broken = true;
		break;
	}
}

static void
route(uint64_t id, uint32_t rcpt)
{
	struct route r = { .transport = SLICE_LIT("smtp"),
		.domain = SLICE_LIT("y.example"),
		.nhops = 1,
		.hops[0] = { .host = SLICE_LIT("192.0.2.1"), .port = 25 } };
	struct buf bytes = { 0 };

	route_put(&bytes, &r);
	commit(&c.w.q, routed, .id = id, .rcpt = rcpt,
	    .queue = queue_intern(&c.w.q, CLASS_MX, slice_buf(&bytes))->number);
	buf_fini(&bytes);
}

static bool
answer(bool all)
{
	for (unsigned i = 0; i < c.nmail; i++) {
		struct message *q = message_find(&c.w.q.messages, c.mail[i].id);

		for (uint32_t k = 0; q != NULL && k < q->nrcpt; k++) {
			if (message_rcpts(q)[k].phase != RCPT_ROUTING || (!all && chance(3) == 0))
				continue;
			if (k == 0)
				expand_one(q);
			else
				route(q->id, k);
			c.version += chance(4) == 0;
			ck_assert(world_balanced(&c.w));
			if (c.mail[i].broken) {
				operate(&c.w.q, OPERATE_DELETE, q, SLICE_LIT("me"),
				    SLICE_LIT("broken"));
				break;
			}
			if (!all && k == 0 && chance(6) == 0)
				return false; /* before anything of it is written */
		}
	}
	settle();
	return true;
}

/* ---- smtpd ---- */

static void
pen_gone(void)
{
	if (c.pen.fd >= 0)
		close(c.pen.fd);
	c.pen.fd = -1;
}

static void
ring(void)
{
	if (c.pen.fd >= 0 && pen_seg(&c.w, &c.pen) != NULL)
		ck_assert(intake_rung(&c.w.q, pen_seg(&c.w, &c.pen), c.pen.at));
	settle();
}

static void
send_one(void)
{
	struct mail *m = &c.mail[c.nmail];
	char also[40];
	struct letter l = { .from = "", .to = { "list@x.example", also } };
	struct buf all = { 0 };

	if (c.nmail == MAILS)
		return;
	if (c.pen.fd < 0) {
		given = (struct pen){ .fd = -1 };
		if (segments_lease(&c.w.q, CLASS_MX, 1, ++c.clients + 1000000, pen_made))
			settle();
		c.pen = given;
	}
	if (c.pen.fd < 0)
		return;
	c.nmail++;
	*m = (struct mail){ .also = (unsigned)chance(MEMBERS) };
	snprintf(also, sizeof also, "member%u@y.example", m->also);
	m->id = letter_build(&c.w, &c.pen, &l, c.pen.at, &all);
	if (write(c.pen.fd, all.p, all.n) == (ssize_t)all.n && fdatasync(c.pen.fd) == 0) {
		c.pen.at += all.n;
		m->acked = true;
		ring();
	} else {
		pen_gone();
	}
	buf_fini(&all);
}

/* ---- what may befall the house ---- */

/* An expansion is there whole, or not at all; what was handed out is there. */
static void
whole(const char *when)
{
	for (unsigned i = 0; i < c.nmail; i++) {
		struct mail *m = &c.mail[i];
		struct message *q = message_find(&c.w.q.messages, m->id);
		unsigned n = 0;

		if (q == NULL)
			continue;
		ck_assert_msg(!m->fixed || message_rcpts(q)[0].state == SPOOL_EXPANDED,
		    "%s: forgotten", when);
		if (message_rcpts(q)[0].state != SPOOL_EXPANDED) {
			ck_assert_uint_eq(q->nrcpt, 2);
			continue;
		}
		for (unsigned k = 0; k < MEMBERS; k++)
			n += is_member(m->version, k) && k != m->also;
		ck_assert_msg(
		    q->nrcpt == 2 + n, "%s: %u recipients, not %u", when, q->nrcpt, 2 + n);
		for (uint32_t k = 2; k < q->nrcpt; k++)
			ck_assert_msg(is_member(m->version, member_of(q, m, k)) || m->broken,
			    "%s: not on its list", when);
	}
}

static void
start(void)
{
	int error = world_open(&c.w);

	for (int tries = 0; (error != 0 || disk.dead) && tries < 50; tries++) {
		ck_assert_msg(error == 0 || disk.dead || (error == -EIO && disk.fault_sync > 0),
		    "%s", strerror(-error));
		if (c.w.open)
			world_crash(&c.w);
		disk.dead = false;
		error = world_open(&c.w);
		if (error == 0)
			world_settle(&c.w);
	}
	ck_assert_int_eq(error, 0);
	ck_assert(world_balanced(&c.w));
	c.seen = 0;
}

static void
kill_qmgr(void)
{
	disk.dead = true;
	world_crash(&c.w);
	disk.dead = false;
	start();
	settle();
	link_worker(chance(3) == 0);
	ring();
	whole("killed");
}

static void
cut_power(void)
{
	unsigned was[] = { disk.fault_sync, disk.fault_write, disk.fuse };

	disk.dead = true;
	world_crash(&c.w);
	pen_gone();
	disk_cut();
	disk.fault_sync = disk.fault_write = disk.fuse = 0;
	start();
	settle();
	link_worker(true);
	for (int i = 0; i < 4; i++)
		world_pass(&c.w, 1100);
	settle();
	whole("cut");
	disk.fault_sync = was[0];
	disk.fault_write = was[1];
	disk.fuse = was[2];
}

static void
step(void)
{
	uint64_t dice = chance(100);

	if (dice < 25)
		send_one();
	else if (dice < 55) {
		if (!answer(false))
			chance(2) == 0 ? kill_qmgr() : cut_power();
	} else if (dice < 70)
		deliver(false);
	else if (dice < 80) {
		world_pass(&c.w, chance(chance(3) == 0 ? 4000000 : 3000));
		settle();
	} else if (dice < 87)
		kill_qmgr();
	else if (dice < 93)
		cut_power();
	else {
		clean_consider(&c.w.q, true);
		settle();
	}
}

static void
begin(uint64_t seed)
{
	memset(&c, 0, sizeof c);
	c.rng.state = seed * 2654435761U + 11;
	c.version = 1 + chance(1000);
	world_new(&c.w, "life = 365d\nlife_bounce = 365d\nretry_first = 1m\n");
	disk_begin(c.w.dirfd, seed + 7);
	c.pen.fd = -1;
	if (seed % 2 == 1) {
		disk.fault_sync = (unsigned)chance(60);
		disk.fault_write = (unsigned)chance(60);
	}
	if (seed % 4 >= 2)
		disk.fuse = (unsigned)chance(60);
	link_worker(true);
}

static void
everyone_has_it(void)
{
	for (unsigned i = 0; i < c.nmail; i++) {
		const struct mail *m = &c.mail[i];

		for (unsigned k = 0; k < MEMBERS && !m->broken; k++) {
			bool wanted = k == m->also || (m->asked && is_member(m->version, k));

			ck_assert_msg(wanted || m->delivered[k] == 0,
			    "mail %u, member %u: is on no list", i, k);
			ck_assert_msg(!wanted || !m->acked || m->delivered[k] > 0,
			    "mail %u, member %u is lost", i, k);
		}
	}
	ck_assert_msg(c.again <= c.loseable, "%llu twice of %llu that might",
	    (unsigned long long)c.again, (unsigned long long)c.loseable);
}

static int
number(const char *name, int otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? atoi(text) : otherwise;
}

START_TEST(a_seed)
{
	begin((uint64_t)_i);
	for (unsigned i = 0; i < STEPS; i++) {
		step();
		while (disk.dead)
			chance(3) == 0 ? cut_power() : kill_qmgr();
	}
	disk.fault_sync = disk.fault_write = disk.fuse = 0;
	ring();
	pen_gone();
	for (int i = 0; i < 400 && c.w.q.messages.count > 0; i++) {
		uint32_t cursor = 0;
		struct message *m;

		/* suspects are held */
		while ((m = messages_next(&c.w.q.messages, &cursor)) != NULL)
			operate(&c.w.q, OPERATE_RELEASE, m, SLICE_LIT("me"), SLICE_NONE);
		world_pass(&c.w, 600000);
		settle();
		answer(true);
		deliver(true);
	}
	ck_assert_uint_eq(c.w.q.messages.count, 0);
	ck_assert_uint_eq(c.w.q.messages.recipients, 0);
	everyone_has_it();
	ck_assert(world_balanced(&c.w));
	disk.on = false;
	world_end(&c.w);
	if (getenv("EXPAND_SAY") != NULL)
		printf("seed %d: %u mails, %llu expansions, %llu computed again, %llu in parts, "
		       "%llu twice\n",
		    _i, c.nmail, (unsigned long long)c.expansions, (unsigned long long)c.lost,
		    (unsigned long long)c.parts, (unsigned long long)c.again);
}
END_TEST

static void
cases(TCase *tc)
{
	int from = number("EXPAND_FROM", 0);

	tcase_add_loop_test(tc, a_seed, from, from + number("EXPAND_SEEDS", 24));
}
CHECK_MAIN("expand cuts", cases)
