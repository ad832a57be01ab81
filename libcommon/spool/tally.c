/* SPDX-License-Identifier: ISC */
#include "spool/tally.h"

#include "base/die.h"
#include "spool/le.h"
#include "spool/record.h"

#include <errno.h>
#include <stdlib.h>

/* Each of 50000 may be expanded, but nobody expands all of them to as many again. */
enum { TALLY_RCPT_MAX = 64 * RECORD_RCPT_MAX };

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
	struct tally_message *m =
	    t->nslots == 0 || id == 0 ? NULL : slot_of(t->slots, t->nslots, id);

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

/* Adds entries until m has `want` recipients. False: malformed, or more than that. */
static bool
entries_add(struct tally_message *m, struct slice rcpts, uint32_t want)
{
	struct journal_rcpt entry;
	/* Six bytes an entry at least: no memory for a count that the bytes do not bear out. */
	size_t most = rcpts.n / 6;
	int got = 0;

	if (want < m->nrcpt || want > TALLY_RCPT_MAX)
		return false;
	if (most > want - m->nrcpt)
		most = want - m->nrcpt;
	m->rcpt = xrealloc(m->rcpt, (m->nrcpt + most + 1) * sizeof *m->rcpt);
	while (m->nrcpt < want && (got = journal_rcpt_next(&rcpts, &entry)) == 1)
		m->rcpt[m->nrcpt++] = (struct tally_rcpt){ entry.state, entry.owed };
	return got >= 0 && rcpts.n == 0;
}

static void
settle(struct tally_message *m, uint8_t notice, struct slice rcpts)
{
	for (size_t i = 0; m != NULL && i + 4 <= rcpts.n; i += 4)
		if (le_u32(rcpts.p + i) < m->nrcpt)
			m->rcpt[le_u32(rcpts.p + i)].owed &= (uint8_t)~notice;
}

/* The message in m is whole: it supersedes what stood before. */
static void
message_set(struct tally *t, const struct tally_message *m)
{
	struct tally_message *slot;

	if (t->nmessages * 2 >= t->nslots)
		grow(t);
	slot = slot_of(t->slots, t->nslots, m->id);
	if (slot->id == 0)
		t->nmessages++;
	free(slot->rcpt);
	*slot = *m;
}

/* The new recipients in p->m are whole: they follow those of the message. */
static int
expansion_set(struct tally *t, const struct tally_part *p)
{
	struct tally_message *m = tally_message(t, p->m.id);
	int error = 0;

	if (m == NULL) {
		; /* a later MESSAGE says it all */
	} else if (p->rcpt >= m->nrcpt || p->m.nrcpt > TALLY_RCPT_MAX - m->nrcpt) {
		error = odd(t, p->m.id, "an expansion that does not fit its message");
	} else {
		m->rcpt[p->rcpt] = (struct tally_rcpt){ SPOOL_EXPANDED, p->owed };
		m->rcpt = xrealloc(m->rcpt, (m->nrcpt + (size_t)p->m.nrcpt + 1) * sizeof *m->rcpt);
		if (p->m.nrcpt > 0)
			memcpy(m->rcpt + m->nrcpt, p->m.rcpt, p->m.nrcpt * sizeof *m->rcpt);
		m->nrcpt += p->m.nrcpt;
	}
	free(p->m.rcpt);
	return error;
}

static void
part_drop(struct tally *t)
{
	free(t->part.m.rcpt);
	t->part = (struct tally_part){ .expanded = false };
}

/* Takes entries for t->part; when it has all it wants, it takes effect. */
static int
part_feed(struct tally *t, struct slice rcpts)
{
	struct tally_part p = t->part;
	int error = 0;

	if (!entries_add(&t->part.m, rcpts, p.want)) {
		part_drop(t);
		return odd(t, p.m.id, "recipients that do not fit their count");
	}
	p = t->part;
	if (p.m.nrcpt < p.want)
		return 0;
	t->part = (struct tally_part){ .expanded = false };
	if (p.expanded)
		error = expansion_set(t, &p);
	else
		message_set(t, &p.m);
	return error;
}

static int
on_message(struct tally *t, const struct tally_message *m, struct slice rcpts, uint32_t nrcpt)
{
	if (m->id == 0)
		return odd(t, 0, "a message without an id");
	t->part = (struct tally_part){ .m = *m, .want = nrcpt };
	return part_feed(t, rcpts);
}

static int
on_filed(struct tally *t, const struct journal_filed *f)
{
	int error;

	filed_to(t, f->segment, f->offset + f->total);
	settle(tally_message(t, f->origin), f->notice, f->settled);
	error = on_message(t,
	    &(struct tally_message){
		.id = f->id, .segment = f->segment, .offset = f->offset, .total = f->total },
	    f->rcpts, f->nrcpt);
	if (error == 0 && t->part.m.id != 0) {
		part_drop(t);
		error = odd(t, f->id, "recipients that do not fit their count");
	}
	return error;
}

static int
on_expanded(struct tally *t, const struct journal_expanded *e)
{
	const struct tally_message *m = tally_message(t, e->id);

	if (e->id == 0)
		return odd(t, 0, "a message without an id");
	if (m != NULL && e->first != m->nrcpt)
		return odd(t, e->id, "an expansion that does not follow on");
	t->part = (struct tally_part){ .m = { .id = e->id },
		.want = e->nrcpt,
		.expanded = true,
		.rcpt = e->rcpt,
		.owed = e->owed };
	return part_feed(t, e->rcpts);
}

static int
on_more(struct tally *t, const struct journal_more *v)
{
	if (t->part.m.id == 0)
		return 0; /* of a record that is no longer read */
	if (v->id != t->part.m.id || v->first != t->part.m.nrcpt) {
		part_drop(t);
		return odd(t, v->id, "more recipients that do not follow on");
	}
	return part_feed(t, v->rcpts);
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
	if (t->part.m.id != 0 && r->kind != JOURNAL_KIND_MORE)
		part_drop(t); /* cut short by a crash: void */
	switch (r->kind) {
	case JOURNAL_KIND_LARGE:
		if (r->large.large > t->large_highest)
			t->large_highest = r->large.large;
		return 0;
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
		return on_filed(t, &r->filed);
	case JOURNAL_KIND_MESSAGE:
		/* The snapshot of its segment says how far that is filed. */
		return on_message(t,
		    &(struct tally_message){ .id = r->message.id,
			.segment = r->message.segment,
			.offset = r->message.offset,
			.total = r->message.total },
		    r->message.rcpts, r->message.nrcpt);
	case JOURNAL_KIND_MORE:
		return on_more(t, &r->more);
	case JOURNAL_KIND_EXPANDED:
		return on_expanded(t, &r->expanded);
	case JOURNAL_KIND_STARTED:
		return on_state(t, r->started.id, r->started.rcpt, SPOOL_STARTED, 0);
	case JOURNAL_KIND_RESULT:
		return on_state(t, r->result.id, r->result.rcpt,
		    spool_state_after(r->result.result), r->result.owed);
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
	free(t->part.m.rcpt);
	free(t->slots);
	free(t->segments);
	*t = (struct tally){ 0 };
}
