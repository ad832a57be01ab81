/* SPDX-License-Identifier: ISC */
#include "deliver/segments.h"

#include "base/die.h"

#include <stdlib.h>
#include <unistd.h>

struct held_segment *
segments_find(struct segments *s, uint32_t number)
{
	struct held_segment *h = s->first;

	while (h != NULL && h->number != number)
		h = h->next;
	return h;
}

void
segments_add(struct segments *s, uint32_t number, int fd, uint64_t seed)
{
	struct held_segment *h = segments_find(s, number);

	if (h == NULL) {
		h = xcalloc(1, sizeof *h);
		*h = (struct held_segment){ .next = s->first, .number = number, .fd = -1 };
		s->first = h;
	}
	if (h->fd >= 0)
		close(h->fd);
	h->fd = fd;
	h->seed = seed;
	h->forget = false;
}

static void
drop(struct segments *s, struct held_segment *h)
{
	struct held_segment **at = &s->first;

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	close(h->fd);
	free(h);
}

void
segments_ref(struct held_segment *h)
{
	h->refs++;
}

bool
segments_unref(struct segments *s, struct held_segment *h)
{
	if (--h->refs > 0 || !h->forget)
		return false;
	drop(s, h);
	return true;
}

bool
segments_forget(struct segments *s, uint32_t number)
{
	struct held_segment *h = segments_find(s, number);

	if (h == NULL)
		return false;
	h->forget = true;
	if (h->refs > 0)
		return false;
	drop(s, h);
	return true;
}
