/* SPDX-License-Identifier: ISC */
#include "table/table_text.h"

#include "base/arena.h"
#include "base/die.h"

#include <stdlib.h>

struct row {
	struct slice key, value;
};

struct table_text {
	struct arena arena;
	struct row *slot; /* key.p NULL: free; a power of two, at most half full */
	size_t nslot, n;
};

static size_t
slot_of(const struct row *slot, size_t nslot, struct slice key)
{
	size_t i = slice_ihash(key) & (nslot - 1);

	while (slot[i].key.p != NULL && !slice_ieq(slot[i].key, key))
		i = (i + 1) & (nslot - 1);
	return i;
}

static void
grow(struct table_text *t)
{
	size_t n = t->nslot == 0 ? 64 : t->nslot * 2;
	struct row *slot = xcalloc(n, sizeof *slot);

	for (size_t i = 0; i < t->nslot; i++)
		if (t->slot[i].key.p != NULL)
			slot[slot_of(slot, n, t->slot[i].key)] = t->slot[i];
	free(t->slot);
	t->slot = slot;
	t->nslot = n;
}

static const char *
add(struct table_text *t, struct slice entry)
{
	struct slice key, value;
	size_t n = 0, at;

	while (n < entry.n && entry.p[n] != ' ' && entry.p[n] != '\t')
		n++;
	key = slice_head(entry, n);
	value = slice_trim(slice_from(entry, n));
	if (value.n == 0)
		return "a key without a value";
	if (key.n > TABLE_KEY_MAX || value.n > TABLE_VALUE_MAX)
		return "longer than a table may have it";
	if (memchr(entry.p, '\0', entry.n) != NULL)
		return "a zero byte";
	if ((t->n + 1) * 2 > t->nslot)
		grow(t);
	at = slot_of(t->slot, t->nslot, key);
	if (t->slot[at].key.p != NULL)
		return "the key stands there twice";
	t->slot[at] = (struct row){ arena_slice(&t->arena, key), arena_slice(&t->arena, value) };
	t->n++;
	return NULL;
}

struct table_text *
table_text_parse(struct slice text, unsigned *line, const char **why)
{
	struct table_text *t = xcalloc(1, sizeof *t);
	struct buf entry = { 0 };
	unsigned number = 0;

	*line = 0;
	*why = NULL;
	grow(t);
	while (*why == NULL && (text.n > 0 || entry.n > 0)) {
		ptrdiff_t nl = slice_find(text, '\n');
		struct slice s = nl < 0 ? text : slice_head(text, (size_t)nl);
		bool more = text.n > 0;

		text = nl < 0 ? SLICE_NONE : slice_from(text, (size_t)nl + 1);
		number += more;
		if (s.n > 0 && s.p[s.n - 1] == '\r')
			s.n--;
		if (more && (slice_trim(s).n == 0 || s.p[0] == '#'))
			continue;
		if (more && (s.p[0] == ' ' || s.p[0] == '\t')) {
			if (entry.n == 0) {
				*line = number;
				*why = "goes on with a line that is not there";
			}
			buf_putc(&entry, ' ');
			buf_slice(&entry, slice_trim(s));
			continue;
		}
		if (entry.n > 0)
			*why = add(t, slice_buf(&entry));
		if (*why == NULL)
			*line = number;
		buf_reset(&entry);
		buf_slice(&entry, s);
	}
	buf_fini(&entry);
	if (*why == NULL)
		return t;
	table_text_free(t);
	return NULL;
}

void
table_text_free(struct table_text *t)
{
	if (t == NULL)
		return;
	arena_fini(&t->arena);
	free(t->slot);
	free(t);
}

size_t
table_text_count(const struct table_text *t)
{
	return t->n;
}

struct slice
table_text_find(const struct table_text *t, struct slice key)
{
	return t->slot[slot_of(t->slot, t->nslot, key)].value;
}
