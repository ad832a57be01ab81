/* SPDX-License-Identifier: ISC */
#include "qmgr/hold.h"

#include "base/die.h"

#include <assert.h>
#include <stdlib.h>

/* Open addressing by the message's index. A held message is in the table, so looking ends where it is. */
struct hold *
hold_of(const struct qmgr *q, const struct message *m)
{
	uint32_t i = message_index(m);

	if (!(m->flags & MESSAGE_HELD))
		return NULL;
	for (uint32_t h = i; h < i + q->nholds; h++)
		if (q->holds[h % q->nholds].msg == i)
			return &q->holds[h % q->nholds];
	return NULL;
}

void
hold_put(struct qmgr *q, const struct message *m, struct slice holder, struct slice reason,
    uint64_t wall_ms)
{
	uint32_t i = message_index(m), h;
	struct hold *old = q->holds;

	if (q->nheld * 2 >= q->nholds) { /* half empty at least, so that probes stay short */
		uint32_t n = q->nholds == 0 ? 16 : q->nholds * 2;

		assert(n > 0);
		q->holds = xcalloc(n, sizeof *q->holds);
		for (h = 0; h < n; h++)
			q->holds[h].msg = MESSAGE_NONE;
		for (uint32_t o = 0; o < q->nholds; o++) {
			if (old[o].msg == MESSAGE_NONE)
				continue;
			for (h = old[o].msg % n; q->holds[h].msg != MESSAGE_NONE; h = (h + 1) % n)
				;
			q->holds[h] = old[o];
		}
		free(old);
		q->nholds = n;
	}
	assert(q->nholds > 0);
	q->nheld++;
	for (h = i % q->nholds; q->holds[h].msg != MESSAGE_NONE; h = (h + 1) % q->nholds)
		;
	q->holds[h] = (struct hold){ i, wall_ms, slice_dup(holder), slice_dup(reason) };
}

void
hold_drop(struct qmgr *q, struct message *m)
{
	struct hold *h = hold_of(q, m);

	m->flags &= (uint8_t)~MESSAGE_HELD;
	if (h == NULL)
		return;
	q->nheld--;
	free(h->holder);
	free(h->reason);
	*h = (struct hold){ .msg = MESSAGE_NONE };
}
