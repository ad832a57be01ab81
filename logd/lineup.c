/* SPDX-License-Identifier: ISC */
#include "logd/lineup.h"

#include "base/die.h"

#include <stdlib.h>
#include <string.h>

static void
let_go(struct lineup *l, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		l->out(l->arg, &l->held[i].line);
		free((void *)(uintptr_t)l->held[i].line.text.p);
	}
	l->n -= n;
	memmove(l->held, l->held + n, l->n * sizeof *l->held);
}

void
lineup_put(struct lineup *l, uint64_t now_us, const struct mailline *line)
{
	/* No service can have its line held for longer than others by a time to come. */
	uint64_t key = line->wall_us < now_us ? line->wall_us : now_us;
	unsigned at;

	if (l->n == LINEUP_MAX)
		let_go(l, LINEUP_MAX / 4);
	for (at = l->n; at > 0 && l->held[at - 1].key_us > key; at--)
		;
	memmove(l->held + at + 1, l->held + at, (l->n - at) * sizeof *l->held);
	l->held[at] = (struct lineup_held){ .key_us = key, .arrived_us = now_us, .line = *line };
	l->held[at].line.text = slice_of(slice_dup(line->text), line->text.n);
	l->n++;
}

/* When its time has come; where the clock was set back, it has. */
static uint64_t
due_us(const struct lineup_held *h, uint64_t now_us)
{
	uint64_t old = h->key_us + LINEUP_US, here = h->arrived_us + ARRIVED_US;

	if (h->key_us > now_us || h->arrived_us > now_us)
		return now_us;
	return old > here ? old : here;
}

uint64_t
lineup_take(struct lineup *l, uint64_t now_us)
{
	unsigned n = 0;

	while (n < l->n && due_us(&l->held[n], now_us) <= now_us)
		n++;
	let_go(l, n);
	return l->n == 0 ? 0 : due_us(&l->held[0], now_us) - now_us;
}

void
lineup_take_all(struct lineup *l)
{
	let_go(l, l->n);
}
