/* SPDX-License-Identifier: ISC */
#include "t/unit/qmgr/disk_model.h"

#include "spool/check.h"
#include "t/unit/qmgr/world.h"

/*
 * The queue in one process, from a seed: mail comes, workers answer and die, operators act, time
 * passes, the manager is killed, syncs and writes fail, the power goes. What is looked at:
 *
 *	at each step	the ledger adds up
 *	at each start	the queue can be read, and what a client saw acknowledged is owed or was
 *			delivered
 *	always		what was durably delivered or failed is never tried again; nothing is given out
 *			of what is suspended; a message keeps its priority
 *	in the end	every recipient came to an end, every segment is free again
 *
 * SIMULATION_FROM and SIMULATION_SEEDS choose the seeds.
 *
 * With MODEL_STATES=K this is the model of power cuts under strict POSIX rules (make crash-model). At
 * one in MODEL_EVERY of the calls that make something durable or change a name, by the queue manager,
 * its threads' work, or a writer, the power is cut K times, each time in a process of its own, each
 * time with other parts of what is not durable lost, torn, or there without what was written before.
 * The queue is recovered by the code that serves. In two of three states the power goes in the midst
 * of that as well, once or twice. Then: the queue can be read, the checker finds no error, every
 * recipient of what was acknowledged is queued once or was delivered, the ledger adds up. MODEL_LOG:
 * a file to which "states N again M" is added.
 */
enum { MAILS = 4000, RCPTS = 6, PENS = 3, JOBS = 20000 };

struct mail {
	uint64_t id;
	unsigned nrcpt;
	bool acked;
	int priority;
	struct {
		unsigned delivered;
		bool over;  /* delivered, failed or deleted, as far as somebody knows */
		bool final; /* and qmgr has said that this is durable */
	} to[RCPTS];
};

struct held_job { /* what a deliver worker has in hand */
	struct told_job t;
	uint8_t kind[64];
	bool ended, gone;
};

static struct simulation {
	struct world w;
	struct rng rng;
	struct mail mail[MAILS];
	unsigned nmail;
	struct pen pen[PENS];
	struct held_job job[JOBS];
	unsigned njob, seen; /* seen: of told[] */
	bool foreign;	     /* there were jobs of a qmgr before */
	unsigned closes;     /* connections that ended as asked; of nclosed */
	uint64_t instance, clients, deliveries, again, starts, cuts, kills, passed_over;
	struct worker *worker;
	uint8_t class;
} sim;

static uint64_t
chance(uint64_t n)
{
	return rng_next(&sim.rng) % n;
}

static struct mail *
mail_of(uint64_t id)
{
	for (unsigned i = 0; i < sim.nmail; i++)
		if (sim.mail[i].id == id)
			return &sim.mail[i];
	return NULL;
}

/* ---- deliver ---- */

/*
 * The results are durable, or nobody's: after a crash two jobs may have had the same recipient (its
 * filing was not durable when the first began), and the result of one is passed over.
 */
static void
job_acked(struct held_job *j)
{
	struct message *q = message_find(&sim.w.q.messages, j->t.id);
	struct mail *m = mail_of(j->t.id);

	for (uint32_t i = 0; i < j->t.n; i++) {
		const struct recipient *r = q == NULL ? NULL : &message_rcpts(q)[j->t.rcpt[i]];

		if (j->kind[i] == OUTCOME_TEMP)
			continue;
		if (r == NULL || (r->state != SPOOL_QUEUED && r->state != SPOOL_STARTED))
			m->to[j->t.rcpt[i]].final = true;
		else
			sim.passed_over++;
	}
	j->gone = true;
	ck_assert_msg(sim.passed_over <= sim.kills * 4, "results are acknowledged and not taken");
}

/* Looked for anew: what the queue remembers may be what is wrong. */
static bool
is_suspended(uint32_t number)
{
	struct queue *queue = queue_at(&sim.w.q.queues, number);

	queue->suspend_seen = 0;
	return suspend_of(&sim.w.q, queue) != NULL;
}

/* No bucket has more connections than it may, until a qmgr takes over jobs of one before. */
static void
check_buckets(void)
{
	const struct buckets *all = sim.w.q.queues.buckets;

	sim.foreign |= sim.w.q.dispatch.nforeign > 0;
	for (size_t i = 0; i < all->n; i++) {
		const struct bucket *b = all->at[i];

		ck_assert_msg(b->rates.connections == 0 || sim.foreign ||
				  b->jobs + b->idle <= b->rates.connections,
		    "%s: %u jobs, %u idle", b->name, b->jobs, b->idle);
	}
}

static void
take_jobs(void)
{
	check_buckets();
	for (; sim.seen < ntold; sim.seen++) {
		const struct told_job *t = &told[sim.seen];
		const struct mail *m = mail_of(t->id);

		ck_assert_uint_lt(sim.njob, JOBS);
		ck_assert_msg(m != NULL, "a job for what nobody sent");
		ck_assert_msg(!is_suspended(t->queue), "a job of a queue that is suspended");
		for (uint32_t i = 0; i < t->n; i++)
			ck_assert_msg(!m->to[t->rcpt[i]].final,
			    "tried again although its result was durable");
		sim.job[sim.njob++] = (struct held_job){ .t = *t };
	}
	for (unsigned i = 0; i < sim.njob; i++)
		for (unsigned k = 0; !sim.job[i].gone && k < ntold; k++)
			if (sim.job[i].ended && told[k].acked &&
			    told[k].number == sim.job[i].t.number)
				job_acked(&sim.job[i]);
}

static void
settle(void)
{
	world_settle(&sim.w);
	take_jobs();
}

/* The connection that qmgr counted on is there. */
static bool
took(uint64_t number)
{
	const struct dispatch *d = &sim.w.q.dispatch;
	uint32_t slot = (uint32_t)(number & (JOBS_MAX - 1));

	return slot < d->njob && d->job[slot]->state == JOB_RUNNING &&
	       d->job[slot]->number == number && d->job[slot]->borrowed;
}

static void
say_results(struct held_job *j)
{
	for (uint32_t i = 0; i < j->t.n; i++)
		ck_assert(dispatch_result(&sim.w.q, sim.worker,
		    &(struct msg_result){ .job = j->t.number,
			.rcpt = j->t.rcpt[i],
			.attempt = j->t.attempt[i],
			.kind = j->kind[i],
			.code = j->kind[i] == OUTCOME_OK ? 250 : 450,
			.enh_class = j->kind[i] == OUTCOME_OK ? 2 : 4,
			.phase = PHASE_DOT,
			.text = SLICE_LIT("so") }));
	ck_assert(dispatch_done(&sim.w.q, sim.worker,
	    &(struct msg_job_done){ .job = j->t.number,
		.host = SLICE_LIT("h"),
		.took = took(j->t.number),
		.opened = (uint32_t)chance(3),
		.kept = (uint8_t)chance(3) }));
}

/* Connections that were kept end: those that are to, and others by chance, or all. */
static void
connections_end(bool all)
{
	for (; sim.closes != nclosed; sim.closes++)
		bucket_idle_gone(&sim.w.q, sim.worker, closed_queue[sim.closes % CLOSED_MAX]);
	for (uint32_t i = 1; i < sim.w.q.queues.n; i++) {
		const struct queue *queue = sim.w.q.queues.at[i];

		while (queue != NULL && queue->bucket.nidle > 0 &&
		       queue->bucket.idle[0].count > 0 && (all || chance(4) == 0))
			bucket_idle_gone(&sim.w.q, sim.worker, i);
	}
	settle();
}

static void
end_job(struct held_job *j, bool well)
{
	struct mail *m = mail_of(j->t.id);

	for (uint32_t i = 0; i < j->t.n; i++) {
		uint64_t dice = well ? 0 : chance(20);

		j->kind[i] = dice < 13 ? OUTCOME_OK : dice < 18 ? OUTCOME_TEMP : OUTCOME_PERM;
		if (j->kind[i] == OUTCOME_TEMP)
			continue;
		m->to[j->t.rcpt[i]].over = true;
		if (j->kind[i] == OUTCOME_OK) {
			sim.deliveries++;
			sim.again += m->to[j->t.rcpt[i]].delivered++ > 0;
		}
	}
	j->ended = true;
	say_results(j);
}

static void
answer(bool all)
{
	for (unsigned i = 0; i < sim.njob; i++)
		if (!sim.job[i].ended && !sim.job[i].gone && (all || chance(3) > 0))
			end_job(&sim.job[i], all);
	settle();
}

static void
jobs_forget(void)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < sim.njob; i++)
		if (!sim.job[i].gone)
			sim.job[kept++] = sim.job[i];
	sim.njob = kept;
}

/* Links the worker: a new one, or the one that lives and tells what it has in hand (rule 15). */
static void
link_worker(bool dies)
{
	if (dies) {
		for (unsigned i = 0; i < sim.njob; i++)
			sim.job[i].gone = true;
		sim.instance++;
	}
	jobs_forget();
	ck_assert(dispatch_workers(&sim.w.q, SERVICE_DELIVER, slice_of(&sim.instance, 8)));
	sim.worker = dispatch_linked(&sim.w.q, SERVICE_DELIVER, 1, sim.instance, NULL);
	ck_assert_ptr_nonnull(sim.worker);
	for (unsigned i = 0; i < sim.njob; i++) {
		struct told_job *t = &sim.job[i].t;
		struct buf pairs = { 0 };

		for (uint32_t k = 0; k < t->n; k++) {
			buf_put(&pairs, &t->rcpt[k], 4);
			buf_put(&pairs, &t->attempt[k], 4);
		}
		ck_assert(dispatch_running(&sim.w.q, sim.worker,
		    &(struct msg_running){
			.job = t->number, .id = t->id, .rcpts = slice_buf(&pairs) }));
		buf_fini(&pairs);
		/* So that its acknowledgement is heard: the bus notes those of jobs that it knows.
		 */
		told[ntold] = *t;
		told[ntold].worker = sim.worker;
		ntold++;
		sim.seen = ntold;
	}
	ck_assert(dispatch_running(&sim.w.q, sim.worker, &(struct msg_running){ .last = 1 }));
	for (unsigned i = 0; i < sim.njob; i++)
		if (sim.job[i].ended)
			say_results(&sim.job[i]);
	dispatch_room(&sim.w.q, sim.worker, 20);
	settle();
}

static void
worker_crash(void)
{
	dispatch_unlinked(&sim.w.q, sim.worker);
	settle();
	link_worker(chance(2) == 0);
}

/* ---- smtpd ---- */

static void
pen_gone(struct pen *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

static bool
pen_ready(struct pen *p)
{
	if (p->fd >= 0)
		return true;
	given = (struct pen){ .fd = -1 };
	if (!segments_lease(&sim.w.q, CLASS_MX, 1, ++sim.clients + 1000000, pen_made))
		return false;
	settle();
	*p = given;
	return p->fd >= 0;
}

static void
letter_random(struct letter *l, struct mail *m, char to[RCPTS][48])
{
	m->nrcpt = 1 + (unsigned)chance(chance(4) == 0 ? RCPTS : 2);
	*l = (struct letter){ .from = "",
		.body = (unsigned)chance(chance(10) == 0 ? 30000 : 900),
		.pool = (const char *[]){ NULL, NULL, "one", "both" }[chance(4)],
		.priority = m->priority = (int)chance(5) - 2,
		.hop = "192.0.2.1" };
	for (unsigned i = 0; i < m->nrcpt; i++) {
		snprintf(to[i], sizeof to[i], "u%u@d%u.example", i, (unsigned)chance(6));
		l->to[i] = to[i];
	}
}

/*
 * A batch, as the writer makes it: one write, one sync, and only then 250. After a failure the
 * segment ends where it was good, and its writer says so if it can (rule 8).
 */
static void
send_some(struct pen *p)
{
	unsigned n = 1 + (unsigned)chance(4), first = sim.nmail;
	struct buf all = { 0 };

	if (!pen_ready(p) || sim.nmail + n > MAILS)
		return;
	for (unsigned i = 0; i < n; i++) {
		struct mail *m = &sim.mail[sim.nmail++];
		char to[RCPTS][48];
		struct letter l;

		*m = (struct mail){ 0 };
		letter_random(&l, m, to);
		m->id = letter_build(&sim.w, p, &l, p->at + all.n, &all);
	}
	if (write(p->fd, all.p, all.n) == (ssize_t)all.n && fdatasync(p->fd) == 0) {
		p->at += all.n;
		for (unsigned i = first; i < sim.nmail; i++)
			sim.mail[i].acked = true;
		if (chance(4) > 0)
			ck_assert(intake_rung(&sim.w.q, pen_seg(&sim.w, p), p->at));
	} else {
		if (chance(3) > 0)
			ck_assert(intake_sealed(&sim.w.q, pen_seg(&sim.w, p), p->at));
		pen_gone(p);
	}
	buf_fini(&all);
	settle();
}

static void
ring(struct pen *p)
{
	if (p->fd >= 0 && pen_seg(&sim.w, p) != NULL)
		ck_assert(intake_rung(&sim.w.q, pen_seg(&sim.w, p), p->at));
	settle();
}

/* ---- what may befall the house ---- */

/* What a client saw acknowledged and nobody has concluded is in the queue. */
static void
nothing_lost(const char *when)
{
	for (unsigned i = 0; i < sim.nmail; i++) {
		struct mail *m = &sim.mail[i];
		struct message *q = message_find(&sim.w.q.messages, m->id);

		for (unsigned k = 0; m->acked && k < m->nrcpt; k++) {
			const struct recipient *r = q == NULL ? NULL : &message_rcpts(q)[k];

			ck_assert_msg(
			    m->to[k].over || (r != NULL && (r->state == SPOOL_QUEUED ||
							       r->state == SPOOL_STARTED)),
			    "%s: message %u, recipient %u is lost", when, i, k);
			ck_assert_msg(
			    r == NULL || ((q->flags & MESSAGE_URGENT) != 0) == (m->priority > 0),
			    "%s: message %u is not as urgent as it was", when, i);
			ck_assert_msg(
			    r == NULL || ((q->flags & MESSAGE_LOW) != 0) == (m->priority < 0),
			    "%s: message %u is not as low as it was", when, i);
			ck_assert_msg(!m->to[k].final || r == NULL || r->phase == RCPT_CLOSED ||
					  r->phase == RCPT_OWED,
			    "%s: message %u, recipient %u is queued again", when, i, k);
		}
	}
}

static void
start(const char *after)
{
	int error = world_open(&sim.w);

	sim.starts++;
	/* One that cannot begin ends, as one that is killed meanwhile does, and init starts it
	 * again. */
	for (int tries = 0; (error != 0 || disk.dead) && tries < 50; tries++) {
		ck_assert_msg(error == 0 || disk.dead || (error == -EIO && disk.fault_sync > 0),
		    "%s: the queue cannot be read: %s", after, strerror(-error));
		if (sim.w.open)
			world_crash(&sim.w);
		disk.dead = false;
		error = world_open(&sim.w);
		if (error == 0)
			world_settle(&sim.w);
	}
	ck_assert_int_eq(error, 0);
	ck_assert(world_balanced(&sim.w));
	sim.seen = 0;
	settle();
}

static void
kill_qmgr(void)
{
	sim.kills++;
	disk.dead = true;
	world_crash(&sim.w);
	disk.dead = false;
	if (chance(3) == 0)
		pen_gone(&sim.pen[chance(PENS)]);
	start("killed");
	link_worker(chance(3) == 0);
	for (unsigned i = 0; i < PENS; i++)
		ring(&sim.pen[i]);
}

static void
quiet(bool on)
{
	static unsigned was[4];
	unsigned *now[] = { &disk.fault_sync, &disk.fault_write, &disk.fault_make, &disk.fuse };

	for (unsigned i = 0; i < 4; i++)
		if (on) {
			was[i] = *now[i];
			*now[i] = 0;
		} else {
			*now[i] = was[i];
		}
}

static void
cut_power(void)
{
	uint64_t wall = fake_wall_ms();

	sim.cuts++;
	disk.dead = true;
	world_crash(&sim.w);
	for (unsigned i = 0; i < PENS; i++)
		pen_gone(&sim.pen[i]);
	disk_cut();
	now_ms = 5000 + chance(100000); /* the boot clock begins anew; the other may be wrong */
	wall_skew_ms += wall - fake_wall_ms() + chance(3) * 1000000;
	quiet(true);
	start("cut");
	link_worker(true);
	for (int i = 0; i < 4; i++) {
		world_pass(&sim.w, 1100); /* the dead writers' segments are read to their ends */
		take_jobs();
	}
	nothing_lost("after a cut");
	quiet(false);
}

static void
operator_acts(void)
{
	uint32_t cursor = (uint32_t)chance(200);
	struct message *q = messages_next(&sim.w.q.messages, &cursor);
	enum operation what = (enum operation)chance(6);
	struct mail *m = q == NULL ? NULL : mail_of(q->id);

	if (m == NULL)
		return;
	for (unsigned i = 0; (what == OPERATE_DELETE || what == OPERATE_FAIL) && i < m->nrcpt; i++)
		m->to[i].over = true;
	operate(&sim.w.q, what, q, SLICE_LIT("me"), SLICE_LIT("so"));
	settle();
}

/* Of every kind; the queue is one that there is. */
static void
operator_suspends(void)
{
	static const char *const names[] = { "*", "d1.example", "domain=d2.example", "pool=one",
		"pool=both", "binding=one", "binding=two", "" };
	const char *what = names[chance(sizeof names / sizeof *names)];
	uint32_t number = (uint32_t)chance(sim.w.q.queues.n);
	bool on = chance(2) == 0;
	char queue[32];

	if (what[0] == '\0') {
		snprintf(queue, sizeof queue, "queue=%u", number);
		what = queue;
	}
	if (on)
		world_suspend(&sim.w, what);
	else
		world_resume(&sim.w, what);
	take_jobs();
}

static void
resume_all(void)
{
	for (uint32_t i = 1; i < sim.w.q.queues.n; i++) {
		struct queue *queue = sim.w.q.queues.at[i];
		struct suspend what;

		if (queue == NULL || !queue->suspended)
			continue;
		what = (struct suspend){ suspend_kind_of(queue), queue->route.domain, queue };
		ck_assert(operate_resume(&sim.w.q, &what, SLICE_LIT("me")));
	}
	ck_assert_uint_eq(sim.w.q.nsuspended, 0);
	settle();
}

/* ---- a cut at any call ---- */

static struct {
	unsigned states, every;
	uint64_t made, again;
	bool lies;
} model;

static void
no_error(void *ctx, const struct spool_finding *f)
{
	(void)ctx;
	ck_assert_msg(f->level != SPOOL_ERROR, "%s at %llu: %s", f->file,
	    (unsigned long long)f->offset, f->what);
}

/* Until recovery has come through; returns how often it was cut. */
static unsigned
recover_and_cut(unsigned cuts)
{
	unsigned n = 0;

	for (;; n++) {
		int error;

		disk.dead = true;
		disk_cut();
		now_ms = 5000 + chance(100000);
		disk.fuse = n < cuts ? 400 : 0;
		error = world_open(&sim.w);
		for (int i = 0; i < 3 && !disk.dead && error == 0; i++)
			world_pass(&sim.w, 1100);
		if (!disk.dead) {
			ck_assert_msg(error == 0, "the queue cannot be read: %s", strerror(-error));
			disk.fuse = 0;
			return n;
		}
		if (sim.w.open)
			world_crash(&sim.w);
	}
}

static unsigned
model_state(uint64_t seed, const char *folder)
{
	struct spool_report report;
	unsigned again;

	quiet(true);
	sim.w.open = false; /* its memory is what it is: nobody looks at it again */
	sim.rng.state = disk.rng.state = seed * 0x9e3779b97f4a7c15ULL + 1;
	sim.w.dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	disk_move(sim.w.dirfd);
	for (unsigned i = 0; i < PENS; i++)
		pen_gone(&sim.pen[i]);
	again = recover_and_cut((unsigned)chance(3));
	sim.seen = 0;
	settle();
	link_worker(true);
	for (int i = 0; i < 4; i++) {
		world_pass(&sim.w, 1100); /* the dead writers' segments are read to their ends */
		take_jobs();
	}
	nothing_lost("after a cut at a call");
	ck_assert(world_balanced(&sim.w));
	ck_assert_int_eq(spool_check(sim.w.dirfd, &report, no_error, NULL), 0);
	return again;
}

static void
model_remove(const char *folder)
{
	int dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	disk.on = false;
	world_remove(dirfd);
	close(dirfd);
	disk.on = true;
	ck_assert_msg(rmdir(folder) == 0, "%s is not empty", folder);
}

static void
model_point(void)
{
	static uint64_t serial;
	static struct rng dice = { 4711 };

	if (!disk_is_unsettled() || rng_next(&dice) % model.every != 0)
		return;
	for (unsigned k = 0; k < model.states; k++) {
		char folder[128];
		uint64_t seed = ++serial + 1000003 * (uint64_t)sim.w.opened;
		int status = 0;
		pid_t pid;

		snprintf(folder, sizeof folder, "%s/qmgrmodel.XXXXXX", world_place());
		ck_assert_ptr_nonnull(mkdtemp(folder));
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (pid == 0) {
			disk.point = NULL;
			_exit((int)model_state(seed, folder));
		}
		waitpid(pid, &status, 0);
		model_remove(folder);
		ck_assert_msg(
		    WIFEXITED(status) && WEXITSTATUS(status) < 10, "a state fails: %d", status);
		model.made++;
		model.again += WEXITSTATUS(status) > 0;
	}
}

static void
model_log(void)
{
	const char *path = getenv("MODEL_LOG");
	FILE *f = path == NULL || model.states == 0 ? NULL : fopen(path, "ae");

	if (f == NULL)
		return;
	fprintf(f, "states %llu again %llu\n", (unsigned long long)model.made,
	    (unsigned long long)model.again);
	fclose(f);
}

static void
step(void)
{
	uint64_t dice = chance(100);

	if (dice < 40)
		send_some(&sim.pen[chance(PENS)]);
	else if (dice < 63)
		answer(false);
	else if (dice < 78) {
		world_pass(&sim.w, chance(chance(4) == 0 ? 4000000 : 3000));
		take_jobs();
	} else if (dice < 81)
		operator_acts();
	else if (dice < 86)
		operator_suspends();
	else if (dice < 87)
		connections_end(false);
	else if (dice < 89)
		worker_crash();
	else if (dice < 92)
		kill_qmgr();
	else if (dice < 94)
		cut_power();
	else if (dice < 97) {
		clean_consider(&sim.w.q, true);
		compact_consider(&sim.w.q, 0);
		settle();
	} else
		ring(&sim.pen[chance(PENS)]);
}

/* Two thirds have buckets, which bind all, a domain, a binding and a group. */
static void
put_conf(struct buf *b, bool buckets)
{
	buf_puts(b, "life = 365d\nlife_bounce = 365d\n");
	if (!buckets) {
		buf_puts(b, "binding one { source = 192.0.2.101 }\nbinding two { }\n"
			    "group both { binding one { } binding two { } }\n");
		return;
	}
	buf_printf(b, "bucket places { connections = %u }\n", 1 + (unsigned)chance(6));
	buf_printf(b, "bucket messages { message_rate = \"%u/1m burst %u\" }\n",
	    20 + (unsigned)chance(200), 1 + (unsigned)chance(20));
	buf_printf(b, "bucket opening { connection_rate = %u/1m\nconnections = %u }\n",
	    20 + (unsigned)chance(200), 1 + (unsigned)chance(9));
	buf_puts(b, chance(2) == 0 ? "buckets = places\n" : "buckets = { messages, opening }\n");
	if (chance(3) == 0)
		buf_puts(b, "message_rate = \"30/1m burst 2\"\n");
	buf_puts(b, "domain d1.example { buckets = messages }\n"
		    "binding one { source = 192.0.2.101 buckets = opening }\nbinding two { }\n"
		    "group both { buckets = places binding one { } binding two { } }\n");
}

static void
begin(uint64_t seed)
{
	struct buf conf = { 0 };

	memset(&sim, 0, sizeof sim);
	sim.rng.state = seed * 2654435761U + 1;
	sim.closes = nclosed;
	put_conf(&conf, seed % 3 != 0);
	buf_putc(&conf, '\0');
	world_new(&sim.w, conf.p);
	buf_fini(&conf);
	disk_begin(sim.w.dirfd, seed + 77);
	for (unsigned i = 0; i < PENS; i++)
		sim.pen[i].fd = -1;
	/* Half of them have a disk that fails now and then. */
	if (seed % 2 == 1) {
		disk.fault_sync = (unsigned)chance(60);
		disk.fault_write = (unsigned)chance(60);
		disk.fault_make = (unsigned)chance(200);
	}
	if (seed % 4 >= 2)
		disk.fuse = (unsigned)chance(40);
	link_worker(true);
	disk.lies = model.lies;
	disk.point = model.states > 0 ? model_point : NULL;
}

static void
to_the_end(void)
{
	for (unsigned i = 0; i < PENS; i++) {
		ring(&sim.pen[i]);
		pen_gone(&sim.pen[i]);
	}
	resume_all();
	for (int i = 0; i < 400 && sim.w.q.messages.count > 0; i++) {
		uint32_t cursor = 0;
		struct message *m;

		while ((m = messages_next(&sim.w.q.messages, &cursor)) != NULL)
			operate(&sim.w.q, OPERATE_RELEASE, m, SLICE_LIT("me"), SLICE_NONE);
		world_pass(&sim.w, 600000);
		take_jobs();
		answer(true);
		connections_end(true);
	}
	for (int i = 0; i < 5; i++)
		world_pass(&sim.w, 2000);
}

static void
run(uint64_t seed)
{
	begin(seed);
	for (unsigned i = 0; i < 150; i++) {
		step();
		while (disk.dead)
			chance(3) == 0 ? cut_power() : kill_qmgr();
	}
	quiet(true);
	disk.point = NULL;
	to_the_end();
	nothing_lost("in the end");
	ck_assert_uint_eq(sim.w.q.messages.count, 0);
	ck_assert_uint_eq(sim.w.q.messages.recipients, 0);
	ck_assert_uint_eq(sim.w.q.segtab.count, 0);
	ck_assert(world_balanced(&sim.w));
}

static int
number(const char *name, int otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? atoi(text) : otherwise;
}

START_TEST(a_seed)
{
	model.states = (unsigned)number("MODEL_STATES", 0);
	model.every = (unsigned)number("MODEL_EVERY", 20);
	model.lies = getenv("MODEL_LIES") != NULL;
	run((uint64_t)_i);
	disk.on = false;
	world_end(&sim.w);
	model_log();
}
END_TEST

/* The same with a disk whose syncs do nothing: it must be seen. */
START_TEST(syncs_that_lie_are_found_out)
{
	begin((uint64_t)_i * 2);
	disk.lies = true;
	for (unsigned i = 0; i < 40; i++) {
		send_some(&sim.pen[chance(PENS)]);
		answer(false);
	}
	disk.dead = true;
	world_crash(&sim.w);
	disk_cut();
	ck_assert_msg(world_open(&sim.w) == 0, "the queue cannot be read");
	settle();
	nothing_lost("after a cut");
}
END_TEST

static void
cases(TCase *tc)
{
	int from = number("SIMULATION_FROM", 0), count = number("SIMULATION_SEEDS", 500);

	tcase_add_loop_test(tc, a_seed, from, from + count);
	if (getenv("SIMULATION_LIES") != NULL)
		tcase_add_loop_test(tc, syncs_that_lie_are_found_out, 0, 20);
}
CHECK_MAIN("qmgr simulation", cases)
