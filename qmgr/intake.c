/* SPDX-License-Identifier: ISC */
#include "qmgr/intake.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "qmgr/damage.h"
#include "qmgr/from_router.h"
#include "qmgr/large.h"
#include "qmgr/notice.h"
#include "qmgr/schedule.h"
#include "qmgr/segments.h"
#include "qmgr/state.h"
#include "spool/envelope.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { DAY_MS = 24 * 3600 * 1000, REASON_MAX = 1000 };

void
intake_wake(struct qmgr *q, struct seg *s)
{
	if (s->listed || s->busy || s->fd < 0)
		return;
	if (s->state != SEG_ENDING && seg_unfiled(s) == 0)
		return;
	s->listed = true;
	TAILQ_INSERT_TAIL(&q->intake, s, intake);
	qmgr_again(q);
}

static void
unlist(struct qmgr *q, struct seg *s)
{
	s->listed = false;
	TAILQ_REMOVE(&q->intake, s, intake);
	if (s->scan == NULL)
		return;
	scan_fini(s->scan);
	free(s->scan);
	s->scan = NULL;
}

bool
intake_rung(struct qmgr *q, struct seg *s, uint64_t durable)
{
	struct stat st;

	if (durable <= s->durable)
		return true; /* repeated */
	if (s->state != SEG_LIVE || durable > s->sealed || durable > SEGMENT_MAX_BYTES ||
	    durable % SPOOL_ALIGN != 0 || fstat(s->fd, &st) != 0 || durable > (uint64_t)st.st_size)
		/* late, from a writer that was thought gone */
		return s->state != SEG_LIVE && s->state != SEG_MAKING;
	s->durable = durable;
	intake_wake(q, s);
	return true;
}

bool
intake_sealed(struct qmgr *q, struct seg *s, uint64_t end)
{
	if (s->sealed == end)
		return true; /* repeated */
	if (s->sealed != SEG_OPEN_END || end < s->durable || end < SEGMENT_HEADER ||
	    end % SPOOL_ALIGN != 0)
		return false;
	commit(q, seal, .segment = s->number, .offset = end);
	journal_hurry(&q->journal, JOURNAL_NOW);
	return true;
}

/* What a record may claim is limited by the class in its segment's lease (rule 3). NULL: nothing wrong. */
static const char *
authority(const struct seg *s, const struct envelope *e)
{
	switch ((enum origin_class)s->class) {
	case CLASS_MX:
		if (e->login.n > 0 || envelope_has(e, ENVELOPE_UID) || e->tenant.n > 0)
			return "claims a login, a local user or a tenant, which its lease does not "
			       "permit";
		break;
	case CLASS_SUBMISSION:
		if (envelope_has(e, ENVELOPE_UID))
			return "claims a local user, which its lease does not permit";
		break;
	case CLASS_LOCAL:
		break;
	case CLASS_BOUNCED:
		if (e->sender.n > 0)
			return "has a sender, which its lease does not permit";
		break;
	}
	if (s->class != CLASS_BOUNCED && envelope_has(e, ENVELOPE_NOTICE_OF))
		return "claims to be a notice, which its lease does not permit";
	return NULL;
}

/* The queue of a recipient's route, if router's seal is on it and it is not out of date; else router is asked. */
static uint32_t
queue_of(struct qmgr *q, const struct seg *s, const struct envelope_rcpt *r)
{
	struct slice seal = slice_of(r->route.seal, ENVELOPE_SEAL);
	uint32_t generation = (uint32_t)r->route.generation;
	struct queue *queue;
	bool ok = false;

	if (r->route.bytes.p == NULL || r->route.generation > UINT32_MAX ||
	    generation < q->router_generation)
		return QUEUE_ROUTING;
	for (int i = 0; i < 2 && !ok; i++)
		ok = q->sealer[i] != NULL && route_seal_ok(q->sealer[i], generation, ROUTE_DELIVER,
						 r->route.bytes, r->recipient, seal);
	queue = ok ? queue_intern(q, s->class, r->route.bytes) : NULL;
	if (queue == NULL)
		return QUEUE_ROUTING;
	if (generation > queue->generation)
		queue->generation = generation;
	routes_renewed(q, generation);
	return queue->number;
}

static const char *
read_rcpts(struct qmgr *q, const struct seg *s, const struct record *rec, const struct envelope *e,
    struct buf *out)
{
	struct envelope_iter it;
	struct envelope_rcpt r;
	uint32_t n = 0;
	int got;

	envelope_rcpts(e, &it);
	while ((got = envelope_rcpt_next(&it, &r)) > 0) {
		if (++n > rec->nrcpt)
			break;
		journal_rcpt_put(out, &(const struct journal_rcpt){
					  .queue = queue_of(q, s, &r), .notify = r.notify });
	}
	if (got < 0)
		return it.why != NULL ? it.why : "recipients cannot be read";
	return n != rec->nrcpt || n == 0 || n > RECORD_RCPT_MAX
		   ? "does not hold as many recipients as it says"
		   : NULL;
}

static uint64_t
arrival_of(struct qmgr *q, const struct record *rec)
{
	uint64_t now = qclock_ms(&q->clock), wall = clock_wall_ms();
	uint64_t age = wall > rec->arrival_ms ? wall - rec->arrival_ms : 0;

	if (age > DAY_MS)
		age = DAY_MS;
	return now > age ? now - age : 0;
}

/* A notice whose failure is settled already, or never was owed (rule 18). */
static bool
notice_is_late(struct qmgr *q, const struct envelope *e)
{
	struct message *origin = message_find(&q->messages, e->notice_of);

	for (size_t i = 0; origin != NULL && i < e->notice_rcpts.n / 4; i++) {
		uint32_t rcpt = envelope_u32(e->notice_rcpts, i);

		if (rcpt < origin->nrcpt &&
		    (message_rcpts(origin)[rcpt].owed & e->notice_kind) != 0)
			return false;
	}
	return true;
}

static void
drop_all(struct qmgr *q, uint64_t id, struct slice rule)
{
	struct message *m;

	for (unsigned i = 0; (m = message_find(&q->messages, id)) != NULL && i < m->nrcpt; i++)
		schedule_dropped(q, m, i, rule);
}

/* Into its queues; or held, or put off, as its envelope asks. */
static void
admit(struct qmgr *q, struct message *m, const struct envelope *e)
{
	uint64_t wall = clock_wall_ms();

	if (e->hold.p != NULL) {
		log_begin(LOG_HELD);
		log_id(m->id);
		log_str(LOGK_REASON, e->hold);
		log_end();
		commit(q, hold, .id = m->id, .holder = SLICE_LIT("smtpd"),
		    .reason = slice_head(e->hold, REASON_MAX), .wall_ms = wall);
	}
	if (envelope_has(e, ENVELOPE_HOLD_UNTIL) && e->hold_until_ms > wall) {
		commit(q, due, .id = m->id, .rcpt = JOURNAL_ALL,
		    .due_ms = qclock_ms(&q->clock) + (e->hold_until_ms - wall),
		    .holder = SLICE_LIT("hold-until"));
		return;
	}
	if (m->flags & MESSAGE_NOTICE) {
		notice_filed(q, m);
		return;
	}
	for (unsigned i = 0; i < m->nrcpt; i++)
		rcpt_enter_queue(q, m, i);
}

/* NULL: filed. Else why the record is set aside. */
static const char *
file_record(struct qmgr *q, struct seg *s, const struct record *rec)
{
	struct envelope e;
	struct buf rcpts = { 0 };
	const char *why;
	bool notice, late;

	if ((rec->id >> 10 & 4095) != (s->number & 4095) || id_ms(rec->id) < s->floor_ms)
		return "its id is not of its lease";
	if (message_find(&q->messages, rec->id) != NULL)
		return "its id is queued already";
	if (envelope_message(rec->envelope, &e) != 0)
		return e.why != NULL ? e.why : "its envelope cannot be read";
	why = authority(s, &e);
	if (why == NULL && rec->large.number != 0)
		why = large_claim(q, s, &rec->large);
	if (why == NULL)
		why = read_rcpts(q, s, rec, &e, &rcpts);
	if (why != NULL) {
		buf_fini(&rcpts);
		return why;
	}
	notice = envelope_has(&e, ENVELOPE_NOTICE_OF);
	late = notice && notice_is_late(q, &e);
	commit(q, filed, .id = rec->id, .segment = s->number, .offset = rec->offset,
	    .total = rec->total, .digest = record_digest(rec->envelope),
	    .arrival_ms = arrival_of(q, rec),
	    .expiry_ms = arrival_of(q, rec) + queue_limits(q, NULL)->life_ms,
	    .wall_ms = rec->arrival_ms,
	    .flags =
		(e.sender.n == 0 ? JOURNAL_NULL_SENDER : 0U) | (notice ? JOURNAL_IS_NOTICE : 0U),
	    .priority = (uint8_t)e.priority, .origin = notice ? e.notice_of : 0,
	    .notice = notice ? e.notice_kind : 0, .settled = notice ? e.notice_rcpts : SLICE_NONE,
	    .nrcpt = rec->nrcpt, .rcpts = slice_buf(&rcpts), .large = rec->large.number);
	buf_fini(&rcpts);
	if (late)
		drop_all(q, rec->id, SLICE_LIT("duplicate-notice"));
	else
		admit(q, message_find(&q->messages, rec->id), &e);
	dispatch_filed(q, rec->id);
	return NULL;
}

static void
bounds(struct seg *s)
{
	uint64_t durable = s->durable < s->sealed ? s->durable : s->sealed;
	uint64_t limit = s->state == SEG_ENDING && s->limit > durable ? s->limit : durable;

	s->scan->durable = durable;
	s->scan->limit = limit < s->sealed ? limit : s->sealed;
}

static void
begin_scan(struct seg *s)
{
	const struct segment head = { .number = s->number, .seed = s->seed };

	if (s->scan != NULL)
		return;
	s->scan = xcalloc(1, sizeof *s->scan);
	scan_init(s->scan, s->fd, &head, s->filed, s->filed, s->filed);
}

static void
segment_through(struct qmgr *q, struct seg *s)
{
	unlist(q, s);
	if (s->state != SEG_ENDING)
		return;
	segments_ended(q, s);
}

/* One step of one segment. Returns the recipients it cost; 0: this segment is through or waits. */
static unsigned
step(struct qmgr *q, struct seg *s)
{
	struct scan_item item;
	const char *why;

	if (s->busy) {
		/* A thread looks for its end. What is known of it is not all there is, and it is woken after. */
		unlist(q, s);
		return 0;
	}
	begin_scan(s);
	bounds(s);
	switch (scan_next(s->scan, &item)) {
	case SCAN_RECORD:
		why = file_record(q, s, &item.record);
		if (why == NULL)
			return item.record.nrcpt;
		unlist(q, s);
		damage_set_aside(q, s, item.offset, item.length, item.record.id, why);
		return 0;
	case SCAN_DAMAGE:
		unlist(q, s);
		damage_set_aside(q, s, item.offset, item.length, 0, item.why);
		return 0;
	case SCAN_TAIL:
	case SCAN_END:
		segment_through(q, s);
		return 0;
	case SCAN_ERROR:
		log_trouble(-item.error, "segment %u cannot be read", s->number);
		unlist(q, s);
		return 0;
	}
	return 0;
}

void
intake_run(struct qmgr *q)
{
	unsigned done = 0;
	struct seg *s;

	while (done < SLICE_RCPTS && q->messages.count < MESSAGES_MAX &&
	       (s = TAILQ_FIRST(&q->intake)) != NULL)
		done += step(q, s);
	if (done > 0 && !TAILQ_EMPTY(&q->intake)) {
		/* Each segment gets its turn. */
		s = TAILQ_FIRST(&q->intake);
		TAILQ_REMOVE(&q->intake, s, intake);
		TAILQ_INSERT_TAIL(&q->intake, s, intake);
		qmgr_again(q);
	}
	if (done > 0)
		segments_sweep(q); /* notes what is to be told as filed */
}
