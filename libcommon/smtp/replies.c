/* SPDX-License-Identifier: ISC */
#include "smtp/replies.h"

#include "smtp/chars.h"

#include <assert.h>

static const struct {
	struct slice line;
	unsigned code;
	const char *enh; /* with the blank before it */
} rows[REPLY_COUNT] = {
#define R(name, code, enh, text)                                                                 \
	[REPLY_##name] = { { #code enh " " text "\r\n", sizeof(#code enh " " text "\r\n") - 1 }, \
		code, enh },
	REPLIES(R)
#undef R
};

enum { LINE_MAX_BYTES = 512 };

/* As much of `text` as fits into `room` bytes, cleaned. */
static void
put_clean(struct buf *out, struct slice text, size_t room)
{
	size_t n = text.n < room ? text.n : room;
	char *to = buf_room(out, n);

	for (size_t i = 0; i < n; i++) {
		to[i] = text.p[i] == '\t' ? ' ' : text.p[i];
		if (!chars_is(to[i], CHARS_VISIBLE))
			to[i] = '?';
	}
	out->n += n;
}

void
reply_format(struct buf *out, enum reply reply, struct slice arg)
{
	struct slice line;
	const char *hole;

	assert((unsigned)reply < REPLY_COUNT);
	line = rows[reply].line;
	hole = strstr(line.p, "%s");
	if (hole == NULL) {
		buf_slice(out, line);
		return;
	}
	buf_put(out, line.p, (size_t)(hole - line.p));
	put_clean(out, arg, LINE_MAX_BYTES - (line.n - 2));
	buf_slice(out, slice_from(line, (size_t)(hole - line.p) + 2));
}

struct slice
reply_line(enum reply reply)
{
	assert((unsigned)reply < REPLY_COUNT && strstr(rows[reply].line.p, "%s") == NULL);
	return rows[reply].line;
}

unsigned
reply_code(enum reply reply)
{
	assert((unsigned)reply < REPLY_COUNT);
	return rows[reply].code;
}

const char *
reply_enh(enum reply reply)
{
	assert((unsigned)reply < REPLY_COUNT);
	return rows[reply].enh[0] == ' ' ? rows[reply].enh + 1 : rows[reply].enh;
}

void
reply_put_text(struct buf *out, unsigned code, const uint8_t enh[3], struct slice text)
{
	struct slice line;
	size_t from;

	assert(code >= 200 && code <= 599);
	if (text.p == NULL)
		text = SLICE_LIT("");
	while (slice_next(&text, '\n', &line)) {
		from = out->n;
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		buf_printf(out, "%u%c", code, text.p == NULL ? ' ' : '-');
		if (enh[0] != 0)
			buf_printf(out, "%u.%u.%u ", enh[0], enh[1], enh[2]);
		put_clean(out, line, LINE_MAX_BYTES - 2 - (out->n - from));
		buf_puts(out, "\r\n");
	}
}
