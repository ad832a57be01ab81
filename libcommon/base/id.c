/* SPDX-License-Identifier: ISC */
#include "base/id.h"

static const char alphabet[] = "0123456789BCDFGHJKLMNPQRSTVWXYZ";
enum { BASE = sizeof alphabet - 1 };

void
id_text(uint64_t id, char out[static ID_TEXT + 1])
{
	out[ID_TEXT] = '\0';
	for (int i = ID_TEXT; i-- > 0; id /= BASE)
		out[i] = alphabet[id % BASE];
}

bool
id_parse(struct slice s, uint64_t *id)
{
	uint64_t v = 0;

	if (s.n != ID_TEXT)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i] >= 'a' && s.p[i] <= 'z' ? (char)(s.p[i] - 32) : s.p[i];
		const char *at = c == '\0' ? NULL : strchr(alphabet, c);

		if (at == NULL || __builtin_mul_overflow(v, (uint64_t)BASE, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(at - alphabet), &v))
			return false;
	}
	*id = v;
	return true;
}

void
id_source_init(struct id_source *s, uint32_t lease, uint64_t floor_ms)
{
	*s = (struct id_source){ .last_ms = floor_ms, .lease = lease & 4095, .counter = 0 };
}

uint64_t
id_next(struct id_source *s, uint64_t now_ms)
{
	/* A full millisecond, or a clock behind: borrow from the future, never repeat. */
	if (now_ms > s->last_ms) {
		s->last_ms = now_ms;
		s->counter = 0;
	} else if (++s->counter > 1023) {
		s->last_ms++;
		s->counter = 0;
	}
	return s->last_ms << 22 | (uint64_t)s->lease << 10 | s->counter;
}
