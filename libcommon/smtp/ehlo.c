/* SPDX-License-Identifier: ISC */
#include "smtp/ehlo.h"

/* A line behind the first: keyword and what follows, parted by a blank (or "=", as AUTH was). */
static void
take_line(struct slice line, struct ehlo *out)
{
	struct slice word, arg;
	size_t n = 0;
	unsigned ext;

	line = slice_trim(line);
	while (n < line.n && line.p[n] != ' ' && line.p[n] != '=')
		n++;
	word = slice_head(line, n);
	arg = slice_trim(slice_from(line, n + 1));
	ext = ext_of(word);
	out->ext |= ext;
	if (ext == EXT_SIZE && !slice_u64(arg, &out->size_bytes))
		out->size_bytes = 0;
	if (ext == EXT_AUTH && out->auth.n < arg.n)
		out->auth = arg;
	if (ext == EXT_XANGARIUM && slice_istarts(arg, "origin="))
		out->origin = slice_from(arg, strlen("origin="));
}

void
ehlo_parse(const struct reply_in *reply, struct ehlo *out)
{
	struct slice text = reply->text, line;
	ptrdiff_t blank;

	*out = (struct ehlo){ 0 };
	if (!slice_next(&text, '\n', &line))
		return;
	blank = slice_find(line, ' ');
	out->domain = blank < 0 ? line : slice_head(line, (size_t)blank);
	while (slice_next(&text, '\n', &line))
		take_line(line, out);
}
