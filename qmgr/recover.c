/* SPDX-License-Identifier: ISC */
#include "qmgr/recover.h"

#include "base/clock.h"
#include "base/log.h"
#include "qmgr/damage.h"
#include "qmgr/intake.h"
#include "qmgr/large.h"
#include "qmgr/segments.h"
#include "qmgr/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int
each(void *ctx, uint32_t file, const struct journal_rec *r)
{
	return state_apply(ctx, r, (struct journal_place){ file, (uint32_t)r->offset });
}

static int
gap(void *ctx, uint32_t file, uint64_t expected, uint64_t found)
{
	larges_keep_unknown(ctx);
	log_trouble(0, "journal %u is damaged: records %llu to %llu are lost", file,
	    (unsigned long long)expected, (unsigned long long)found - 1);
	return 0;
}

/* Numbers of the files in data/ that the journal does not know: never ours to remove, and never given again. */
static int
strangers(struct qmgr *q, unsigned *count)
{
	uint32_t *numbers;
	size_t n;
	int error = spool_folder_list(q->dirfd, SPOOL_DATA, spool_segment_number, &numbers, &n);

	*count = 0;
	if (error != 0)
		return error;
	for (size_t i = 0; i < n; i++) {
		if (seg_find(&q->segtab, numbers[i]) != NULL)
			continue;
		(*count)++;
		if (numbers[i] > q->segtab.highest)
			q->segtab.highest = numbers[i];
		log_trouble(0, "segment %u is not in the journal and is left alone", numbers[i]);
	}
	free(numbers);
	return 0;
}

static int
open_replayed(struct qmgr *q, const struct journal_replay *replay, int error, const char **why)
{
	unsigned unknown;

	if (error != 0 && error != -ENODATA)
		return error;
	if (strangers(q, &unknown) != 0) {
		*why = "data/ cannot be listed";
		return -EIO;
	}
	if (error == -ENODATA && unknown > 0) {
		*why = "there are segments but no journal";
		return error;
	}
	if (larges_open(q) != 0) {
		*why = "large/ cannot be listed";
		return -EIO;
	}
	if (error == -ENODATA)
		q->checkpoint_wall_ms = clock_wall_ms();
	qclock_start(&q->clock, q->checkpoint_ms, q->checkpoint_wall_ms);
	wheel_init(&q->wheel, &q->messages, qclock_now_tick(&q->clock));
	journal_open(&q->journal, replay);
	return 0;
}

static int
open_journal(struct qmgr *q, const char **why)
{
	struct journal_replay replay = { .each = each, .gap = gap, .ctx = q, .resume = true };
	int error;

	memcpy(replay.spool_id, q->identity.id, SPOOL_ID);
	q->replaying = true;
	error = journal_file_replay(q->dirfd, &replay);
	q->replaying = false;
	*why = replay.why != NULL ? replay.why : "the journal cannot be read";
	error = open_replayed(q, &replay, error, why);
	buf_fini(&replay.files);
	buf_fini(&replay.stale);
	return error;
}

/* 0; -ENOENT: it is gone; -errno: it cannot be opened now, which says nothing of what it holds. */
static int
open_file(struct qmgr *q, struct seg *s)
{
	struct segment head;
	char name[SPOOL_NAME];
	const char *why;

	spool_segment_name(s->number, name);
	s->fd = openat(q->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (s->fd < 0) {
		int error = -errno;

		if (error != -ENOENT)
			log_trouble(-error, "segment %u cannot be opened", s->number);
		return error;
	}
	if (scan_segment(s->fd, &head, &why) == 0 && head.number == s->number &&
	    head.seed == s->seed && memcmp(head.spool_id, q->identity.id, SPOOL_ID) == 0)
		return 0;
	log_trouble(0, "segment %u: its header is damaged or another spool's", s->number);
	return 0; /* records verify by the journal's seed, not by this header */
}

/* A segment that should be there is not: what it held is lost, and the ledger says so. */
static void
lost(struct qmgr *q, const struct seg *s)
{
	uint32_t cursor = 0, slot = s->slot;
	struct message *m;

	log_trouble(
	    0, "segment %u is gone with %llu messages", s->number, (unsigned long long)s->live);
	while ((m = messages_next(&q->messages, &cursor)) != NULL) {
		uint64_t id = m->id;

		for (unsigned i = 0; m->seg == slot && m->id == id && i < m->nrcpt; i++) {
			const struct recipient *r = &message_rcpts(m)[i];

			if (r->phase == RCPT_OWED)
				commit(q, settled, .id = id, .notice = r->owed,
				    .rcpts = slice_of(&(uint32_t){ i }, 4),
				    .rule = SLICE_LIT("segment-lost"));
			else if (r->phase != RCPT_CLOSED)
				commit(q, result, .id = id, .rcpt = i,
				    .attempt =
					r->state == SPOOL_STARTED ? r->attempts : r->attempts + 1U,
				    .result = SPOOL_RESULT_DAMAGED,
				    .reply = SLICE_LIT("its segment is gone"));
		}
	}
}

/* 0, or -errno: the queue cannot be opened as long as this segment cannot. */
static int
open_segment(struct qmgr *q, struct seg *s)
{
	int error = 0;

	switch (s->state) {
	case SEG_UNKNOWN: /* named by records of what was done before the journal's beginning */
		if (s->live > 0)
			lost(q, s);
		seg_free(&q->segtab, s);
		return 0;
	case SEG_FREED:
		s->done_lsn = q->journal.lsn; /* swept after the next group */
		return 0;
	case SEG_MAKING: /* perhaps handed over, perhaps never made */
		error = open_file(q, s);
		if (error == -ENOENT) {
			commit(q, segment_freed, .segment = s->number);
			s->done_lsn = q->journal.lsn;
			return 0;
		}
		if (error == 0)
			s->state = SEG_LIVE;
		break;
	case SEG_LIVE:
	case SEG_ENDING:
	case SEG_ENDED:
		error = open_file(q, s);
		if (error == -ENOENT) {
			if (s->live > 0)
				lost(q, s);
			commit(q, segment_freed, .segment = s->number);
			s->done_lsn = q->journal.lsn;
			return 0;
		}
		break;
	}
	if (error != 0)
		return error;
	if (s->durable < s->filed)
		s->durable = s->filed;
	s->acked = s->filed;
	if (s->state == SEG_LIVE && s->worker == SEG_OWN_WORKER)
		/* a compaction was cut: what was moved counts, the rest never did */
		segments_ended(q, s);
	return 0;
}

int
recover_open(struct qmgr *q, const char **why)
{
	uint32_t cursor = 0;
	struct seg *s;
	int error = open_journal(q, why);

	while (error == 0 && (s = segtab_next(&q->segtab, &cursor)) != NULL) {
		*why = "a segment cannot be opened";
		error = open_segment(q, s);
	}
	if (error != 0)
		return error;
	segments_slow(q); /* what was reserved for writers that are gone is wanted by new ones */
	q->arming = q->messages.count > 0;
	q->arm_cursor = 0;
	journal_hurry(&q->journal, JOURNAL_NOW);
	log_begin(LOG_RECOVERED);
	log_u64(LOGK_COUNT, q->messages.count);
	log_u64(LOGK_NRCPT, q->messages.recipients);
	log_end();
	return 0;
}

static void
arm(struct qmgr *q, struct message *m, uint32_t now)
{
	m->flags &= (uint8_t)~MESSAGE_NO_TIMER;
	for (unsigned i = 0; i < m->nrcpt; i++) {
		struct recipient *r = &message_rcpts(m)[i];

		if (r->phase == RCPT_DEFERRED && r->due <= now)
			rcpt_enter_queue(q, m, i);
		else if (r->phase == RCPT_DEFERRED || r->phase == RCPT_OWED)
			rcpt_enter(q, m, i, r->phase);
	}
}

bool
recover_arm(struct qmgr *q, unsigned budget)
{
	uint32_t now = qclock_now_tick(&q->clock);
	struct message *m;

	while (q->arming && budget-- > 0) {
		m = messages_next(&q->messages, &q->arm_cursor);
		if (m == NULL)
			q->arming = false;
		else if (m->flags & MESSAGE_NO_TIMER)
			arm(q, m, now);
	}
	if (q->arming)
		qmgr_again(q);
	return q->arming;
}
