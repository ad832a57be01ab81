/* SPDX-License-Identifier: ISC */
#include "qmgr/large.h"

#include "base/die.h"
#include "base/log.h"
#include "qmgr/from_smtpd.h"
#include "qmgr/segments.h"
#include "qmgr/state.h"
#include "spool/large.h"
#include "spool/lease.h"

#include <assert.h>
#include <bsd/sys/tree.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { PER_WRITER_MAX = 256, ROOM_BYTES = 1 << 20 };

enum large_state {
	LARGE_MAKING, /* its number waits for the journal, or its file for the thread */
	LARGE_LEASED, /* its writer has it, or had */
	LARGE_FILED,  /* a filed record refers to it */
	LARGE_DEAD,   /* to be unlinked when done_lsn is durable */
};

struct large {
	RB_ENTRY(large) by_number, by_id;
	TAILQ_ENTRY(large) list; /* of those that are not LARGE_FILED */
	uint32_t number, base_file;
	enum large_state state;
	uint64_t instance, id, done_lsn;
	bool dropped, unsure;
	bool keep;		/* to damaged/ instead of away */
	bool busy;		/* a thread works on it */
	bool there;		/* seen in large/ at start */
	struct make_call *call; /* waits for the journal */
};

RB_HEAD(large_numbers, large);
RB_HEAD(large_ids, large);

struct larges {
	struct large_numbers numbers;
	struct large_ids ids;
	TAILQ_HEAD(, large) open;
	uint32_t highest, highest_file;
	bool keep_unknown;
};

static int
number_cmp(const struct large *a, const struct large *b)
{
	return a->number < b->number ? -1 : a->number > b->number;
}

static int
id_cmp(const struct large *a, const struct large *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

#define MINE __attribute__((unused)) static
RB_GENERATE_INTERNAL(large_numbers, large, by_number, number_cmp, MINE)
RB_GENERATE_INTERNAL(large_ids, large, by_id, id_cmp, MINE)
#undef MINE

struct larges *
larges_new(void)
{
	struct larges *l = xcalloc(1, sizeof *l);

	TAILQ_INIT(&l->open);
	return l;
}

void
larges_free(struct larges *l)
{
	struct large *e;

	if (l == NULL)
		return;
	while ((e = RB_ROOT(&l->numbers)) != NULL) {
		RB_REMOVE(large_numbers, &l->numbers, e);
		free(e->call);
		free(e);
	}
	free(l);
}

static struct large *
find(const struct qmgr *q, uint32_t number)
{
	struct large key = { .number = number };

	return RB_FIND(large_numbers, &q->larges->numbers, &key);
}

static struct large *
find_id(const struct qmgr *q, uint64_t id)
{
	struct large key = { .id = id };

	return RB_FIND(large_ids, &q->larges->ids, &key);
}

static struct large *
make(struct qmgr *q, uint32_t number, enum large_state state)
{
	struct larges *l = q->larges;
	struct large *e = xcalloc(1, sizeof *e);

	*e = (struct large){ .number = number, .state = state };
	RB_INSERT(large_numbers, &l->numbers, e);
	TAILQ_INSERT_TAIL(&l->open, e, list);
	if (number > l->highest)
		l->highest = number;
	return e;
}

static void
forget(struct qmgr *q, struct large *e)
{
	struct larges *l = q->larges;

	assert(!e->busy);
	RB_REMOVE(large_numbers, &l->numbers, e);
	if (e->state == LARGE_FILED)
		RB_REMOVE(large_ids, &l->ids, e);
	else
		TAILQ_REMOVE(&l->open, e, list);
	free(e);
}

/* ---- what the journal says ---- */

void
state_large(struct qmgr *q, const struct journal_large *r, struct journal_place at)
{
	struct larges *l = q->larges;
	struct large *e = find(q, r->large);

	if (r->large >= l->highest) {
		l->highest = r->large;
		l->highest_file = at.file;
	}
	if (r->instance == 0)
		return; /* of cleaning: its file is gone, its number is not to be used again */
	if (e == NULL) {
		e = make(q, r->large, LARGE_LEASED);
		e->instance = r->instance;
	}
	e->base_file = at.file;
}

void
large_filed(struct qmgr *q, uint32_t number, uint64_t id)
{
	struct large *e = find(q, number);

	if (e == NULL)
		e = make(q, number, LARGE_LEASED);
	if (e->state == LARGE_FILED)
		return; /* two messages with one body: never filed by us */
	TAILQ_REMOVE(&q->larges->open, e, list);
	e->state = LARGE_FILED;
	e->id = id;
	RB_INSERT(large_ids, &q->larges->ids, e);
}

void
large_done(struct qmgr *q, uint64_t id)
{
	struct large *e = find_id(q, id);

	if (e == NULL)
		return;
	RB_REMOVE(large_ids, &q->larges->ids, e);
	e->state = LARGE_DEAD;
	e->done_lsn = q->journal.lsn;
	TAILQ_INSERT_TAIL(&q->larges->open, e, list);
}

void
larges_damaged(struct qmgr *q, uint64_t instance)
{
	struct large *e;

	TAILQ_FOREACH(e, &q->larges->open, list)
	if (e->state == LARGE_LEASED && e->instance == instance)
		e->keep = true;
}

void
larges_again(struct qmgr *q, uint32_t file)
{
	struct larges *l = q->larges;
	struct large *e;

	TAILQ_FOREACH(e, &l->open, list)
	if ((e->state == LARGE_MAKING || e->state == LARGE_LEASED) && e->base_file <= file)
		commit(q, large, .large = e->number, .instance = e->instance);
	if (l->highest > 0 && l->highest_file <= file)
		commit(q, large, .large = l->highest);
}

uint32_t
large_of(const struct qmgr *q, const struct message *m)
{
	const struct large *e = m->flags & MESSAGE_LARGE ? find_id(q, m->id) : NULL;

	return e == NULL ? 0 : e->number;
}

void
large_keep(struct qmgr *q, uint64_t id)
{
	struct large *e = find_id(q, id);

	if (e != NULL)
		e->keep = true;
}

const char *
large_claim(struct qmgr *q, const struct seg *s, const struct record_large *large)
{
	const struct large *e = find(q, large->number);
	char name[SPOOL_NAME];
	struct stat st;

	if (e == NULL || e->state != LARGE_LEASED || e->instance != s->instance || e->dropped)
		return "refers to a body in large/ that is not its writer's";
	spool_large_name(large->number, name);
	if (fstatat(q->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return "refers to a body in large/ that is not there";
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < large->bytes)
		return "refers to a body in large/ that is shorter than it says";
	return NULL;
}

/* ---- leases ---- */

struct make_call {
	struct job job;
	struct journal_wait wait;
	struct qmgr *q;
	uint32_t number;
	uint64_t instance, floor_bytes;
	int fd, error;
	large_made_fn *made;
};

static void
make_run(struct job *job)
{
	struct make_call *c = (struct make_call *)job;
	struct statvfs fs;

	c->fd = -1;
	c->error = fstatvfs(c->q->dirfd, &fs) != 0 ? -errno : 0;
	if (c->error == 0 && ((uint64_t)fs.f_bavail * fs.f_frsize < c->floor_bytes + ROOM_BYTES ||
				 (fs.f_files > 0 && fs.f_favail < 64)))
		c->error = -ENOSPC;
	if (c->error == 0)
		c->error = large_make(c->q->dirfd, c->number, &c->fd);
}

static void
make_done(struct job *job)
{
	struct make_call *c = (struct make_call *)job;
	struct qmgr *q = c->q;
	struct large *e = find(q, c->number);

	assert(e != NULL && e->busy && e->state == LARGE_MAKING);
	e->busy = false;
	e->call = NULL;
	e->state = LARGE_LEASED;
	if (c->error != 0) {
		log_trouble(-c->error, "no file for a large body can be made");
		forget(q, e);
	}
	c->made(q, c->instance, c->number, c->fd);
	free(c);
}

static void
make_durable(void *arg)
{
	struct make_call *c = arg;

	c->job = (struct job){ .run = make_run, .done = make_done };
	qmgr_offload(c->q, &c->job);
}

static unsigned
held_by(const struct qmgr *q, uint64_t instance)
{
	const struct large *e;
	unsigned n = 0;

	TAILQ_FOREACH(e, &q->larges->open, list)
	n += e->state != LARGE_DEAD && e->instance == instance;
	return n;
}

bool
larges_lease(struct qmgr *q, uint64_t instance, large_made_fn *made)
{
	struct larges *l = q->larges;
	struct make_call *c;
	struct large *e;

	if (instance == 0 || l->highest == UINT32_MAX || held_by(q, instance) >= PER_WRITER_MAX)
		return false;
	commit(q, large, .large = l->highest + 1, .instance = instance);
	e = find(q, l->highest);
	e->state = LARGE_MAKING;
	e->busy = true;
	c = xcalloc(1, sizeof *c);
	*c = (struct make_call){ .q = q,
		.number = e->number,
		.instance = instance,
		.floor_bytes = q->conf->disk_floor,
		.made = made };
	e->call = c;
	c->wait = (struct journal_wait){ .durable = make_durable, .arg = c };
	journal_after(&q->journal, &c->wait, JOURNAL_NOW);
	return true;
}

bool
large_dropped(struct qmgr *q, uint64_t instance, uint32_t number)
{
	struct large *e = find(q, number);

	if (e == NULL || e->state == LARGE_DEAD)
		return number <= q->larges->highest; /* said again */
	if (e->instance != instance || e->state != LARGE_LEASED)
		return false;
	e->dropped = true;
	return true;
}

void
larges_unlinked(struct qmgr *q, uint64_t instance)
{
	struct large *e;

	TAILQ_FOREACH(e, &q->larges->open, list)
	if (e->instance == instance)
		e->unsure = true;
}

/* ---- the end ---- */

struct end_call {
	struct job job;
	struct qmgr *q;
	uint32_t number;
	bool keep;
	int gone, error;
	uint64_t size;
};

static void
end_submit(struct qmgr *q, struct large *e, void (*run)(struct job *), void (*done)(struct job *))
{
	struct end_call *c = xcalloc(1, sizeof *c);

	e->busy = true;
	*c = (struct end_call){
		.job = { .run = run, .done = done }, .q = q, .number = e->number, .keep = e->keep
	};
	qmgr_offload(q, &c->job);
}

static void
look_run(struct job *job)
{
	struct end_call *c = (struct end_call *)job;
	int fd = large_open(c->q->dirfd, c->number);
	struct stat st;

	c->gone = 0;
	if (fd == -ENOENT) {
		c->gone = 1;
		return;
	}
	c->error = fd < 0 ? fd : 0;
	if (fd < 0)
		return;
	/* First whether anybody writes, then what was written. */
	c->gone = lease_writer_gone(fd);
	if (fstat(fd, &st) == 0)
		c->size = (uint64_t)st.st_size;
	else
		c->error = -errno;
	close(fd);
}

/* May one of its records still be read? */
static bool
has_unfiled(const struct qmgr *q, uint64_t instance)
{
	uint32_t cursor = 0;
	struct seg *s;

	while ((s = segtab_next(&q->segtab, &cursor)) != NULL)
		if (s->instance == instance && s->worker != SEG_OWN_WORKER &&
		    s->state != SEG_ENDED && s->state != SEG_FREED)
			return true;
	return false;
}

static void
look_done(struct job *job)
{
	struct end_call *c = (struct end_call *)job;
	struct qmgr *q = c->q;
	struct large *e = find(q, c->number);

	assert(e != NULL && e->busy);
	e->busy = false;
	if (c->error != 0 || c->gone < 0)
		log_trouble(c->error != 0 ? -c->error : -c->gone, "large/%u cannot be looked at",
		    c->number);
	else if (c->gone > 0 && e->state == LARGE_LEASED &&
		 (e->dropped || c->size == 0 || !has_unfiled(q, e->instance))) {
		e->state = LARGE_DEAD;
		/* What a writer gave up is nobody's; damage may hide the record of the rest. */
		e->keep = e->keep && !e->dropped && c->size > 0;
	} else
		e->unsure = c->gone == 0 && e->unsure; /* what is held is its writer's business */
	free(c);
}

static void
remove_run(struct job *job)
{
	struct end_call *c = (struct end_call *)job;
	char name[SPOOL_NAME], to[48];

	if (!c->keep) {
		c->error = large_remove(c->q->dirfd, c->number);
		return;
	}
	spool_large_name(c->number, name);
	snprintf(to, sizeof to, SPOOL_DAMAGED "/large.%010u", c->number);
	c->error =
	    renameat(c->q->dirfd, name, c->q->dirfd, to) != 0 && errno != ENOENT ? -errno : 0;
}

static void
remove_done(struct job *job)
{
	struct end_call *c = (struct end_call *)job;
	struct large *e = find(c->q, c->number);

	assert(e != NULL && e->busy && e->state == LARGE_DEAD);
	e->busy = false;
	if (c->error != 0)
		log_trouble(-c->error, "large/%u is done with but its file stays", c->number);
	forget(c->q, e);
	free(c);
}

/* Order (rule 19): results durable, then the file goes. */
void
larges_sweep(struct qmgr *q)
{
	struct large *e, *next;

	for (e = TAILQ_FIRST(&q->larges->open); e != NULL; e = next) {
		next = TAILQ_NEXT(e, list);
		if (e->state == LARGE_DEAD && !e->busy && e->done_lsn <= q->journal.durable)
			end_submit(q, e, remove_run, remove_done);
	}
}

void
larges_slow(struct qmgr *q)
{
	struct large *e, *next;

	larges_sweep(q);
	for (e = TAILQ_FIRST(&q->larges->open); e != NULL; e = next) {
		next = TAILQ_NEXT(e, list);
		if (e->state != LARGE_LEASED || e->busy || (q->larges->keep_unknown && !e->dropped))
			continue;
		if (e->dropped || e->unsure || !from_smtpd_linked(q, e->instance))
			end_submit(q, e, look_run, look_done);
	}
}

/* ---- recovery ---- */

void
larges_keep_unknown(struct qmgr *q)
{
	q->larges->keep_unknown = true;
}

static void
found(struct qmgr *q, uint32_t number)
{
	struct larges *l = q->larges;
	struct large *e = find(q, number);

	if (e == NULL) {
		/* Done with before the journal's beginning, and a power cut undid its end. Or not ours. */
		bool strange = number > l->highest || l->keep_unknown;

		e = make(q, number, LARGE_DEAD);
		e->keep = strange;
		if (strange)
			log_trouble(
			    0, "large/%u is not in the journal and goes to damaged/", number);
	}
	e->there = true;
}

int
larges_open(struct qmgr *q)
{
	struct large *e, *next;
	uint32_t *numbers;
	size_t count;
	int error = spool_folder_list(q->dirfd, SPOOL_LARGE, spool_large_number, &numbers, &count);

	if (error != 0)
		return error;
	for (size_t i = 0; i < count; i++)
		found(q, numbers[i]);
	free(numbers);
	for (e = RB_MIN(large_numbers, &q->larges->numbers); e != NULL; e = next) {
		next = RB_NEXT(large_numbers, &q->larges->numbers, e);
		if (e->there)
			continue;
		if (e->state == LARGE_FILED)
			log_trouble(
			    0, "large/%u is gone: the body of a message in the queue", e->number);
		else
			forget(q, e);
	}
	return 0;
}
