/* SPDX-License-Identifier: ISC */
#include "spool/content.h"

#include "spool/record.h"

#include <errno.h>
#include <stdlib.h>

bool
content_field_next(struct slice *head, struct slice *field)
{
	size_t end = 0;

	if (head->n == 0)
		return false;
	do {
		ptrdiff_t lf = slice_find(slice_from(*head, end), '\n');

		end = lf < 0 ? head->n : end + (size_t)lf + 1;
	} while (end < head->n && (head->p[end] == ' ' || head->p[end] == '\t'));
	*field = slice_head(*head, end);
	*head = slice_from(*head, end);
	return true;
}

bool
content_edit_ok(struct slice bytes)
{
	struct slice line;

	if (bytes.n == 0)
		return true;
	if (bytes.p[bytes.n - 1] != '\n' || memchr(bytes.p, '\0', bytes.n) != NULL)
		return false;
	while (slice_next(&bytes, '\n', &line)) {
		if (bytes.p == NULL)
			return line.n == 0; /* behind the last LF */
		/* At least one byte, then the only CR of the line. */
		if (line.n < 2 || slice_find(line, '\r') != (ptrdiff_t)line.n - 1)
			return false;
	}
	return true;
}

struct edit {
	uint32_t n, order;
	enum envelope_op op;
	struct slice bytes;
};

static int
edit_cmp(const void *a, const void *b)
{
	const struct edit *x = a, *y = b;

	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* The edits of an envelope sorted by ordinal, each ordinal's in order. */
static int
edits_load(struct slice fields, struct arena *a, struct edit **out, size_t *count)
{
	struct envelope_edit e;
	struct slice rest = fields;
	size_t n = 0;

	while (envelope_edit_next(&rest, &e))
		n++;
	*count = n;
	*out = arena_alloc(a, (n + 1) * sizeof **out);
	rest = fields;
	for (size_t i = 0; i < n && envelope_edit_next(&rest, &e); i++) {
		if (e.op != EDIT_DELETE && !content_edit_ok(e.bytes))
			return -EBADMSG;
		(*out)[i] = (struct edit){ e.n, (uint32_t)i, e.op, e.bytes };
	}
	qsort(*out, n, sizeof **out, edit_cmp);
	return 0;
}

/* Appends a piece; what follows the last one in memory makes it longer. */
static void
add(struct content *c, struct slice s)
{
	if (s.n == 0)
		return;
	c->bytes += s.n;
	if (c->niov > 0) {
		struct iovec *last = &c->iov[c->niov - 1];

		if ((const char *)last->iov_base + last->iov_len == s.p) {
			last->iov_len += s.n;
			return;
		}
	}
	c->iov[c->niov].iov_len = s.n;
	memcpy(&c->iov[c->niov++].iov_base, &s.p, sizeof s.p);
}

static void
add_edit(struct content *c, struct slice s)
{
	uint32_t flags = record_flags_of(s, SLICE_NONE);

	c->flags |=
	    flags & (RECORD_HAS_DOT | RECORD_LONG_LINE | RECORD_EIGHT_BIT | RECORD_EIGHT_BIT_HEAD);
	add(c, s);
}

/* The inserts before field n, then the field itself as the last word on it says. */
static size_t
field_apply(struct content *c, const struct edit *e, size_t count, struct slice field)
{
	const struct edit *word = NULL;
	size_t i;

	for (i = 0; i < count && e[i].n == e[0].n; i++)
		if (e[i].op == EDIT_INSERT)
			add_edit(c, e[i].bytes);
		else
			word = &e[i];
	if (word == NULL)
		add(c, field);
	else if (word->op == EDIT_REPLACE)
		add_edit(c, word->bytes);
	return i;
}

static int
head_apply(struct content *c, struct slice head, const struct edit *e, size_t count)
{
	struct slice field;
	uint32_t n = 1;

	for (; count > 0 && content_field_next(&head, &field); n++) {
		if (e[0].n == n) {
			size_t used = field_apply(c, e, count, field);

			e += used;
			count -= used;
		} else {
			add(c, field);
		}
	}
	/* What is left can only be inserts at the end; a field that is not there cannot be changed.
	 */
	for (; count > 0; e++, count--) {
		if (e[0].n != n || e[0].op != EDIT_INSERT)
			return -EBADMSG;
		add_edit(c, e[0].bytes);
	}
	add(c, head);
	return 0;
}

int
content_make_head(struct content *c, struct slice head, struct slice body_first, uint32_t flags,
    struct slice fields, struct arena *a)
{
	struct edit *edits;
	size_t count;
	int error;

	*c = (struct content){ .flags = flags };
	if (head.n > 0 && (head.n < 2 || memcmp(head.p + head.n - 2, "\r\n", 2) != 0))
		return -EBADMSG;
	error = edits_load(fields, a, &edits, &count);
	if (error != 0)
		return error;
	/* Each edit is a piece and cuts one in two; then the empty line and the body. */
	c->iov = arena_alloc(a, (2 * count + 3) * sizeof *c->iov);
	error = head_apply(c, head, edits, count);
	if (error != 0)
		return error;
	if (c->bytes > 0 && (body_first.n < 2 || memcmp(body_first.p, "\r\n", 2) != 0))
		add(c, SLICE_LIT("\r\n"));
	c->nhead = c->niov;
	c->head_bytes = c->bytes;
	return 0;
}

int
content_make(struct content *c, struct slice head, struct slice body, uint32_t flags,
    struct slice fields, struct arena *a)
{
	int error = content_make_head(c, head, body, flags, fields, a);

	if (error != 0 || body.n == 0)
		return error;
	c->iov[c->niov].iov_len = body.n;
	memcpy(&c->iov[c->niov++].iov_base, &body.p, sizeof body.p);
	c->bytes += body.n;
	return 0;
}
