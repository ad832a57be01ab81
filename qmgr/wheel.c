/* SPDX-License-Identifier: ISC */
#include "qmgr/wheel.h"

#include <assert.h>

void
wheel_init(struct wheel *w, struct messages *all, uint32_t now)
{
	*w = (struct wheel){ .all = all, .now = now };
	for (unsigned i = 0; i <= WHEEL_DUE; i++)
		w->head[i] = MESSAGE_NONE;
}

static void
link_in(struct wheel *w, struct message *m, unsigned bucket)
{
	uint32_t i = message_index(m), head = w->head[bucket];

	m->wheel_bucket = (uint16_t)bucket;
	m->wheel_prev = MESSAGE_NONE;
	m->wheel_next = head;
	if (head != MESSAGE_NONE)
		message_at(w->all, head)->wheel_prev = i;
	w->head[bucket] = i;
}

static void
link_out(struct wheel *w, struct message *m)
{
	if (m->wheel_prev != MESSAGE_NONE)
		message_at(w->all, m->wheel_prev)->wheel_next = m->wheel_next;
	else
		w->head[m->wheel_bucket] = m->wheel_next;
	if (m->wheel_next != MESSAGE_NONE)
		message_at(w->all, m->wheel_next)->wheel_prev = m->wheel_prev;
	m->wheel_bucket = WHEEL_OUT;
}

/* The innermost ring whose buckets tell `when` from now: the one above has the same bucket for both. */
static unsigned
bucket_of(const struct wheel *w, uint32_t when)
{
	unsigned ring = 0;

	if (when < w->now)
		return WHEEL_DUE;
	while (ring < WHEEL_RINGS - 1 && when >> 8 * (ring + 1) != w->now >> 8 * (ring + 1))
		ring++;
	return ring * WHEEL_BUCKETS + (when >> 8 * ring & (WHEEL_BUCKETS - 1));
}

void
wheel_set(struct wheel *w, struct message *m, uint32_t when)
{
	if (wheel_is_set(m)) {
		if (m->wake == when)
			return;
		link_out(w, m);
		w->count--;
	}
	m->wake = when;
	link_in(w, m, bucket_of(w, when));
	w->count++;
}

void
wheel_unset(struct wheel *w, struct message *m)
{
	if (!wheel_is_set(m))
		return;
	link_out(w, m);
	w->count--;
}

/* The whole bucket becomes the list of what is to be handled: one step, whatever its length. */
static void
take(struct wheel *w, unsigned bucket)
{
	assert(w->head[WHEEL_DUE] == MESSAGE_NONE);
	w->head[WHEEL_DUE] = w->head[bucket];
	w->head[bucket] = MESSAGE_NONE;
}

/* Those in the taken list still name the bucket they came from: corrected as each is handled or unlinked. */
static struct message *
first_taken(struct wheel *w)
{
	struct message *m = message_at(w->all, w->head[WHEEL_DUE]);

	m->wheel_bucket = WHEEL_DUE;
	link_out(w, m);
	return m;
}

static bool
bucket_due(struct wheel *w, uint32_t to)
{
	if (w->head[WHEEL_DUE] != MESSAGE_NONE)
		return true;
	while (w->now <= to) {
		uint32_t t = w->now;
		unsigned ring = 0, bucket;

		/* Where a wider bucket begins with this tick, its messages move inwards first. */
		while (ring < WHEEL_RINGS - 1 && (t & ((UINT32_C(1) << 8 * (ring + 1)) - 1)) == 0)
			ring++;
		for (; ring > 0; ring--) {
			bucket = ring * WHEEL_BUCKETS + (t >> 8 * ring & (WHEEL_BUCKETS - 1));
			if (w->head[bucket] != MESSAGE_NONE) {
				take(w, bucket);
				return true;
			}
		}
		bucket = t & (WHEEL_BUCKETS - 1);
		if (w->head[bucket] != MESSAGE_NONE) {
			take(w, bucket);
			return true;
		}
		w->now = t + 1;
	}
	return false;
}

bool
wheel_run(struct wheel *w, uint32_t to, unsigned budget, void (*due)(void *arg, struct message *m),
    void *arg)
{
	while (bucket_due(w, to)) {
		while (w->head[WHEEL_DUE] != MESSAGE_NONE) {
			struct message *m;

			if (budget-- == 0)
				return true;
			m = first_taken(w);
			if (m->wake > w->now) {
				link_in(w, m, bucket_of(w, m->wake));
				continue;
			}
			w->count--;
			due(arg, m);
		}
	}
	return false;
}

uint32_t
wheel_next(const struct wheel *w)
{
	if (w->count == 0)
		return UINT32_MAX;
	if (w->head[WHEEL_DUE] != MESSAGE_NONE)
		return w->now;
	for (unsigned ring = 0; ring < WHEEL_RINGS; ring++) {
		uint32_t at = w->now >> 8 * ring;

		for (uint32_t i = at & (WHEEL_BUCKETS - 1); i < WHEEL_BUCKETS; i++)
			if (w->head[ring * WHEEL_BUCKETS + i] != MESSAGE_NONE)
				return ring == 0 ? (w->now & ~UINT32_C(255)) + i
						 : ((at & ~UINT32_C(255)) + i) << 8 * ring;
	}
	return w->now;
}
