/* SPDX-License-Identifier: ISC */
#include "conf/origin.h"

static void
put(struct buf *text, const char *word, struct slice value)
{
	if (value.p == NULL)
		return;
	buf_printf(text, "#@ %s ", word);
	buf_slice(text, value);
	buf_putc(text, '\n');
}

void
origin_put(struct buf *text, const struct origin *o)
{
	if (text->n > 0 && text->p[text->n - 1] != '\n')
		buf_putc(text, '\n');
	put(text, "file", o->file);
	put(text, "node", o->node);
	put(text, "mailname", o->mailname);
}

static void
take(struct slice line, const char *word, struct slice *value)
{
	size_t n = strlen(word);

	if (value->p == NULL && line.n > n && slice_is(slice_head(line, n), word) &&
	    line.p[n] == ' ')
		*value = slice_from(line, n + 1);
}

struct origin
origin_take(struct slice *whole)
{
	struct origin o = { 0 };
	struct slice text = *whole;

	while (text.n > 0 && text.p[text.n - 1] == '\n') {
		size_t at = text.n - 1;
		struct slice line;

		while (at > 0 && text.p[at - 1] != '\n')
			at--;
		line = slice_of(text.p + at, text.n - 1 - at);
		if (!slice_is(slice_head(line, 3), "#@ "))
			break;
		line = slice_from(line, 3);
		take(line, "file", &o.file);
		take(line, "node", &o.node);
		take(line, "mailname", &o.mailname);
		text.n = at;
	}
	*whole = text;
	return o;
}
