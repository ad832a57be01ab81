/* SPDX-License-Identifier: ISC */
#include "spool/tally.h"

#include "base/die.h"
#include "spool/le.h"
#include "spool/record.h"

#include <errno.h>
#include <stdlib.h>

static int
odd(struct tally *t, uint64_t id, const char *what)
{
	t->odd = what;
	t->odd_id = id;
	return -EBADMSG;
}

/* Slot of the id, or the free one where it belongs. */
static struct tally_message *
slot_of(struct tally_message *slots, size_t nslots, uint64_t id)
{
	size_t i = (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (nslots - 1);

	while (slots[i].id != 0 && slots[i].id != id)
		i = (i + 1) & (nslots - 1);
	return &slots[i];
}

static void
grow(struct tally *t)
{
	size_t n = t->nslots == 0 ? 64 : t->nslots * 2;
	struct tally_message *slots = xcalloc(n, sizeof *slots);

	for (size_t i = 0; i < t->nslots; i++)
		if (t->slots[i].id != 0)
			*slot_of(slots, n, t->slots[i].id) = t->slots[i];
	free(t->slots);
	t->slots = slots;
	t->nslots = n;
}

struct tally_message *
tally_message(struct tally *t, uint64_t id)
{
	struct tally_message *m = t->nslots == 0 || id == 0 ? NULL : slot_of(t->slots, t->nslots, id);

	return m != NULL && m->id == id ? m : NULL;
}

struct tally_segment *
tally_segment(struct tally *t, uint32_t number)
{
	size_t low = 0, high = t->nsegments;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->segments[mid].number == number)
			return &t->segments[mid];
		if (t->segments[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static struct tally_segment *
segment_get(struct tally *t, uint32_t number)
{
	struct tally_segment *s = tally_segment(t, number);
	size_t at = t->nsegments;

	if (s != NULL)
		return s;
	t->segments = xrealloc(t->segments, (t->nsegments + 1) * sizeof *t->segments);
	while (at > 0 && t->segments[at - 1].number > number) {
		t->segments[at] = t->segments[at - 1];
		at--;
	}
	t->nsegments++;
	t->segments[at] = (struct tally_segment){ .number = number, .sealed = JOURNAL_NONE };
	return &t->segments[at];
}

static void
filed_to(struct tally *t, uint32_t number, uint64_t offset)
{
	struct tally_segment *s = segment_get(t, number);

	if (offset > s->filed)
		s->filed = offset;
	if (offset > s->durable)
		s->durable = offset;
}

static bool
rcpts_add(struct tally_message *m, struct slice rcpts, uint32_t n)
{
	struct journal_rcpt entry;
	uint32_t at = m->nrcpt;

	/* Six bytes an entry at least: no memory for a count that the bytes do not bear out. */
	if (n > rcpts.n / 6 || n > RECORD_RCPT_MAX || m->nrcpt + n > 64 * RECORD_RCPT_MAX)
		return false;
	m->rcpt = xrealloc(m->rcpt, (m->nrcpt + (size_t)n + 1) * sizeof *m->rcpt);
	for (uint32_t i = 0; i < n; i++) {
		if (journal_rcpt_next(&rcpts, &entry) != 1)
			return false;
		m->rcpt[at + i] = (struct tally_rcpt){ entry.state, entry.owed };
	}
	m->nrcpt += n;
	return rcpts.n == 0;
}

static void
settle(struct tally_message *m, uint8_t notice, struct slice rcpts)
{
	for (size_t i = 0; m != NULL && i + 4 <= rcpts.n; i += 4)
		if (le_u32(rcpts.p + i) < m->nrcpt)
			m->rcpt[le_u32(rcpts.p + i)].owed &= (uint8_t)~notice;
}

static int
on_filed(struct tally *t, uint64_t id, uint32_t segment, uint64_t offset, uint64_t total,
    struct slice rcpts, uint32_t nrcpt)
{
	struct tally_message *m;

	if (id == 0)
		return odd(t, 0, "a message without an id");
	if (t->nmessages * 2 >= t->nslots)
		grow(t);
	m = slot_of(t->slots, t->nslots, id);
	if (m->id == 0)
		t->nmessages++;
	free(m->rcpt); /* MESSAGE supersedes what stood before */
	*m = (struct tally_message){ .id = id, .segment = segment, .offset = offset, .total = total };
	return rcpts_add(m, rcpts, nrcpt) ? 0 : odd(t, id, "recipients that do not fit their count");
}

static int
on_expanded(struct tally *t, const struct journal_expanded *e)
{
	struct tally_message *m = tally_message(t, e->id);

	if (m == NULL)
		return 0; /* a later MESSAGE says it all */
	if (e->rcpt >= m->nrcpt || e->first != m->nrcpt)
		return odd(t, e->id, "an expansion that does not follow on");
	m->rcpt[e->rcpt] = (struct tally_rcpt){ SPOOL_EXPANDED, e->owed };
	return rcpts_add(m, e->rcpts, e->nrcpt) ? 0 :
						   odd(t, e->id, "recipients that do not fit their count");
}

/* One recipient, or all that are open, to a new state. */
static int
on_state(struct tally *t, uint64_t id, uint32_t rcpt, uint8_t state, uint8_t owed)
{
	struct tally_message *m = tally_message(t, id);

	if (m == NULL)
		return 0;
	if (state == 0)
		return odd(t, id, "a result of no known kind");
	if (rcpt == JOURNAL_ALL) {
		for (uint32_t i = 0; i < m->nrcpt; i++)
			if (spool_is_open(m->rcpt[i].state, m->rcpt[i].owed))
				m->rcpt[i] = (struct tally_rcpt){ state, owed };
		return 0;
	}
	if (rcpt >= m->nrcpt)
		return odd(t, id, "a recipient number beyond its message");
	m->rcpt[rcpt] = (struct tally_rcpt){ state, owed };
	return 0;
}

static int
on_notice(struct tally *t, const struct journal_notice *n)
{
	struct tally_message *m = tally_message(t, n->id);

	for (size_t i = 0; m != NULL && i + 4 <= n->rcpts.n; i += 4)
		if (le_u32(n->rcpts.p + i) < m->nrcpt)
			m->rcpt[le_u32(n->rcpts.p + i)].owed |= n->notice;
	return 0;
}

static int
on_moved(struct tally *t, const struct journal_moved *v)
{
	struct tally_message *m = tally_message(t, v->id);

	if (m != NULL) {
		m->segment = v->segment;
		m->offset = v->offset;
		filed_to(t, v->segment, v->offset + m->total);
	}
	return 0;
}

static int
on_segment(struct tally *t, const struct journal_segment *v)
{
	struct tally_segment *s = segment_get(t, v->segment);

	s->seed = v->seed;
	s->sealed = v->sealed;
	s->filed = v->filed;
	s->durable = v->durable > v->filed ? v->durable : v->filed;
	return 0;
}

int
tally_apply(struct tally *t, const struct journal_rec *r)
{
	t->records++;
	switch (r->kind) {
	case JOURNAL_KIND_LEASE:
		segment_get(t, r->lease.segment)->seed = r->lease.seed;
		return 0;
	case JOURNAL_KIND_SEGMENT:
		return on_segment(t, &r->segment);
	case JOURNAL_KIND_SEAL:
		segment_get(t, r->seal.segment)->sealed = r->seal.offset;
		return 0;
	case JOURNAL_KIND_SEGMENT_END:
		filed_to(t, r->segment_end.segment, r->segment_end.offset);
		return 0;
	case JOURNAL_KIND_SEGMENT_FREED:
		segment_get(t, r->segment_freed.segment)->freed = true;
		return 0;
	case JOURNAL_KIND_FILED:
		filed_to(t, r->filed.segment, r->filed.offset + r->filed.total);
		settle(tally_message(t, r->filed.origin), r->filed.notice, r->filed.settled);
		return on_filed(t, r->filed.id, r->filed.segment, r->filed.offset, r->filed.total,
		    r->filed.rcpts, r->filed.nrcpt);
	case JOURNAL_KIND_MESSAGE:
		/* The snapshot of its segment says how far that is filed. */
		return on_filed(t, r->message.id, r->message.segment, r->message.offset,
		    r->message.total, r->message.rcpts, r->message.nrcpt);
	case JOURNAL_KIND_EXPANDED:
		return on_expanded(t, &r->expanded);
	case JOURNAL_KIND_STARTED:
		return on_state(t, r->started.id, r->started.rcpt, SPOOL_STARTED, 0);
	case JOURNAL_KIND_RESULT:
		return on_state(t, r->result.id, r->result.rcpt, spool_state_after(r->result.result),
		    r->result.owed);
	case JOURNAL_KIND_OPERATOR:
		return on_state(t, r->operator.id, r->operator.rcpt,
		    spool_state_after(r->operator.result), r->operator.owed);
	case JOURNAL_KIND_NOTICE:
		return on_notice(t, &r->notice);
	case JOURNAL_KIND_SETTLED:
		settle(tally_message(t, r->settled.id), r->settled.notice, r->settled.rcpts);
		return 0;
	case JOURNAL_KIND_MOVED:
		return on_moved(t, &r->moved);
	case JOURNAL_KIND_DAMAGED:
		filed_to(t, r->damaged.segment, r->damaged.offset + r->damaged.length);
		return 0;
	case JOURNAL_KIND_FILE_START:
	case JOURNAL_KIND_OLDEST:
	case JOURNAL_KIND_CLOCK:
	case JOURNAL_KIND_QUEUE:
	case JOURNAL_KIND_QUEUE_FREED:
	case JOURNAL_KIND_SUSPEND:
	case JOURNAL_KIND_RESUME:
	case JOURNAL_KIND_ROUTED:
	case JOURNAL_KIND_DUE:
	case JOURNAL_KIND_HOLD:
	case JOURNAL_KIND_RELEASE:
	case JOURNAL_KIND_TOTALS:
		return 0;
	}
	return 0;
}

bool
tally_live(const struct tally_message *m)
{
	for (uint32_t i = 0; i < m->nrcpt; i++)
		if (spool_is_open(m->rcpt[i].state, m->rcpt[i].owed) || m->rcpt[i].owed != 0)
			return true;
	return false;
}

uint64_t
tally_open(const struct tally_message *m)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < m->nrcpt; i++)
		n += spool_is_open(m->rcpt[i].state, m->rcpt[i].owed);
	return n;
}

void
tally_fini(struct tally *t)
{
	for (size_t i = 0; i < t->nslots; i++)
		free(t->slots[i].rcpt);
	free(t->slots);
	free(t->segments);
	*t = (struct tally){ 0 };
}
