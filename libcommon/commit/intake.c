/* SPDX-License-Identifier: ISC */
#include "commit/intake.h"

#include "base/die.h"
#include "commit/stream.h"

#include <assert.h>
#include <stdlib.h>

/* Buffers are used again, those of ordinary messages: fresh pages cost more than what is written into
 * them. */
enum { POOL_MAX = 256, POOL_BYTES = 16 << 20, POOL_CONTENT = 512 * 1024, POOL_ENVELOPE = 8 * 1024 };

void
intake_init(struct intake *in, uint64_t limit_bytes, void (*freed)(void *), void *arg)
{
	*in = (struct intake){ .limit_bytes = limit_bytes, .freed = freed, .arg = arg };
	in->waiting_end = &in->waiting;
	TAILQ_INIT(&in->charged);
}

void
intake_fini(struct intake *in)
{
	struct letter *l;

	assert(in->letters == 0);
	while ((l = in->pool) != NULL) {
		in->pool = l->next;
		buf_fini(&l->content);
		buf_fini(&l->envelope);
		free(l);
	}
}

struct letter *
letter_new(struct intake *in)
{
	struct letter *l = in->pool;
	struct buf content = { 0 }, envelope = { 0 };

	if (l != NULL) {
		in->pool = l->next;
		in->npool--;
		in->pool_bytes -= l->content.cap;
		content = l->content;
		envelope = l->envelope;
	} else
		l = xmalloc(sizeof *l);
	/* The frame is left as it is: the writer makes it whole. */
	memset(l, 0, offsetof(struct letter, frame));
	l->room = 0;
	l->segment = 0;
	l->content = content;
	l->envelope = envelope;
	l->intake = in;
	in->letters++;
	return l;
}

static void
uncharge(struct letter *l)
{
	struct intake *in = l->intake;

	assert(in->used_bytes >= l->charged);
	in->used_bytes -= l->charged;
	if (l->charged > 0)
		TAILQ_REMOVE(&in->charged, l, age);
	l->charged = 0;
	if (in->waiting != NULL && in->freed != NULL)
		in->freed(in->arg);
}

void
letter_free(struct letter *l)
{
	struct intake *in;

	if (l == NULL)
		return;
	in = l->intake;
	assert(in->letters > 0);
	in->letters--;
	stream_free(l->stream);
	uncharge(l);
	if (in->npool == POOL_MAX || l->content.cap > POOL_CONTENT ||
	    in->pool_bytes + l->content.cap > POOL_BYTES || l->envelope.cap > POOL_ENVELOPE) {
		buf_fini(&l->content);
		buf_fini(&l->envelope);
		free(l);
		return;
	}
	buf_reset(&l->content);
	buf_reset(&l->envelope);
	l->next = in->pool;
	in->pool = l;
	in->npool++;
	in->pool_bytes += l->content.cap;
}

bool
intake_charge(struct letter *l, uint64_t bytes)
{
	struct intake *in = l->intake;
	uint64_t others = in->used_bytes - l->charged;

	if (bytes <= l->charged)
		return true;
	if (others > 0 && l != TAILQ_FIRST(&in->charged) &&
	    (bytes > in->limit_bytes || others > in->limit_bytes - bytes))
		return false;
	in->used_bytes = others + bytes;
	if (l->charged == 0)
		TAILQ_INSERT_TAIL(&in->charged, l, age);
	l->charged = bytes;
	return true;
}

void
intake_discard(struct letter *l)
{
	buf_fini(&l->content);
	uncharge(l);
	stream_free(l->stream);
	l->stream = NULL;
}

uint64_t
letter_bytes(const struct letter *l)
{
	return l->content.n + (l->stream != NULL ? stream_bytes(l->stream) : 0);
}

void
intake_wait(struct intake *in, struct intake_wait *w)
{
	if (w->prev != NULL)
		return;
	w->next = NULL;
	w->prev = in->waiting_end;
	*in->waiting_end = w;
	in->waiting_end = &w->next;
}

void
intake_unwait(struct intake *in, struct intake_wait *w)
{
	if (w->prev == NULL)
		return;
	*w->prev = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	else
		in->waiting_end = w->prev;
	w->prev = NULL;
}

void
intake_wake(struct intake *in)
{
	/* Who finds no room waits again, behind the others: each is called once. */
	struct intake_wait *last = in->waiting == NULL
				       ? NULL
				       : (struct intake_wait *)((char *)in->waiting_end -
								offsetof(struct intake_wait, next));
	struct intake_wait *w;

	while (last != NULL && (w = in->waiting) != NULL) {
		bool end = w == last;

		intake_unwait(in, w);
		w->go(w->arg);
		if (end)
			break;
	}
}
