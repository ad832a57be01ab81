/* SPDX-License-Identifier: ISC */
#include "mail/dropfile.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define MAGIC "angarium-drop 1"

static const char *const body_words[] = { "", "7BIT", "8BITMIME", "SMTPUTF8" };
static const char *const ret_words[] = { "", "FULL", "HDRS" };

/* What an envelope line may hold: whatever can neither end it nor split it. */
static bool
plain(struct slice s)
{
	if (s.n > DROPFILE_VALUE_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

static bool
all_plain(const struct dropfile *d)
{
	if (!plain(d->sender) || !plain(d->envid))
		return false;
	for (size_t i = 0; i < d->n_recipients; i++) {
		const struct dropfile_recipient *r = &d->recipients[i];

		if (r->address.n == 0 || !plain(r->address) || !plain(r->notify) ||
		    !plain(r->orcpt))
			return false;
	}
	return d->n_recipients > 0;
}

static void
put_line(struct buf *out, char letter, struct slice value)
{
	buf_putc(out, letter);
	buf_slice(out, value);
	buf_putc(out, '\n');
}

static void
put_suffix(struct buf *out, const char *key, struct slice value)
{
	if (value.n > 0) {
		buf_puts(out, key);
		buf_slice(out, value);
	}
}

bool
dropfile_head(const struct dropfile *d, struct buf *out)
{
	if (!all_plain(d))
		return false;
	buf_printf(out, MAGIC "\nU%" PRIu32 "\n", d->uid);
	put_line(out, 'F', d->sender);
	if (d->body != DROPFILE_BODY_NONE)
		put_line(out, 'B', slice_z(body_words[d->body]));
	if (d->ret != DROPFILE_RET_NONE)
		put_line(out, 'T', slice_z(ret_words[d->ret]));
	if (d->envid.n > 0)
		put_line(out, 'V', d->envid);
	for (size_t i = 0; i < d->n_recipients; i++) {
		buf_putc(out, 'R');
		buf_slice(out, d->recipients[i].address);
		put_suffix(out, "\tNOTIFY=", d->recipients[i].notify);
		put_suffix(out, "\tORCPT=", d->recipients[i].orcpt);
		buf_putc(out, '\n');
	}
	buf_putc(out, '\n');
	return true;
}

/* FNV-1a; the offset basis is folded in so that a zeroed sum is ready. */
#define HASH_BASIS 0xcbf29ce484222325u
#define HASH_PRIME 0x100000001b3u

void
dropfile_sum_add(struct dropfile_sum *s, struct slice piece)
{
	uint64_t h = s->hash ^ HASH_BASIS;

	for (size_t i = 0; i < piece.n; i++)
		h = (h ^ (unsigned char)piece.p[i]) * HASH_PRIME;
	s->hash = h ^ HASH_BASIS;
	s->bytes += piece.n;
}

void
dropfile_tail(const struct dropfile_sum *s, char out[static DROPFILE_TAIL + 1])
{
	int n = snprintf(out, DROPFILE_TAIL + 1, ".commit %020" PRIu64 " %016" PRIx64 "\n",
	    s->bytes, s->hash ^ HASH_BASIS);

	assert(n == DROPFILE_TAIL);
}

/* The next envelope line without its LF; false at the end of the bytes or on what no line may hold.
 */
static bool
next_line(struct slice *rest, struct slice *line)
{
	ptrdiff_t at = slice_find(*rest, '\n');

	if (at < 0)
		return false;
	*line = slice_head(*rest, (size_t)at);
	*rest = slice_from(*rest, (size_t)at + 1);
	return true;
}

/* Takes the next line if it starts with the letter and its value is plain. */
static bool
take(struct slice *rest, char letter, struct slice *value)
{
	struct slice after = *rest, line;

	if (!next_line(&after, &line) || line.n == 0 || line.p[0] != letter ||
	    !plain(slice_from(line, 1)))
		return false;
	*value = slice_from(line, 1);
	*rest = after;
	return true;
}

/* The word's place in the list; 0, which no word has, when it is not there. */
static unsigned
word_of(struct slice word, const char *const *words, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		if (slice_is(word, words[i]))
			return i;
	return 0;
}

static bool
read_suffixes(struct slice rest, struct dropfile_recipient *r)
{
	struct slice part;

	while (slice_next(&rest, '\t', &part)) {
		if (slice_istarts(part, "NOTIFY=") && r->notify.n == 0)
			r->notify = slice_from(part, 7);
		else if (slice_istarts(part, "ORCPT=") && r->orcpt.n == 0)
			r->orcpt = slice_from(part, 6);
		else
			return false;
		if (!plain(part) || part.p[part.n - 1] == '=')
			return false;
	}
	return true;
}

static bool
read_recipient(struct slice line, struct dropfile_recipient *r)
{
	struct slice rest = slice_from(line, 1);
	ptrdiff_t tab = slice_find(rest, '\t');

	*r = (struct dropfile_recipient){ 0 };
	r->address = tab < 0 ? rest : slice_head(rest, (size_t)tab);
	if (r->address.n == 0 || !plain(r->address))
		return false;
	return tab < 0 || read_suffixes(slice_from(rest, (size_t)tab + 1), r);
}

/* From the first R line to the empty line, which is taken too. */
static const char *
read_recipients(struct slice *rest, size_t max, struct arena *arena, struct dropfile *out)
{
	struct slice scan = *rest, line;
	struct dropfile_recipient *list;
	size_t n = 0;

	while (next_line(&scan, &line) && line.n > 0)
		if (++n > max)
			return "too many recipients";
	if (n == 0)
		return "no recipient";
	list = arena_alloc(arena, n * sizeof *list);
	for (size_t i = 0; i < n; i++) {
		if (!next_line(rest, &line) || line.p[0] != 'R' || !read_recipient(line, &list[i]))
			return "malformed recipient";
	}
	if (!next_line(rest, &line) || line.n != 0)
		return "envelope without an end";
	out->recipients = list;
	out->n_recipients = n;
	return NULL;
}

static const char *
read_envelope(struct slice *rest, size_t max, struct arena *arena, struct dropfile *out)
{
	struct slice v;
	uint64_t uid;

	if (!next_line(rest, &v) || !slice_is(v, MAGIC))
		return "not a drop file of a known version";
	if (!take(rest, 'U', &v) || !slice_u64(v, &uid) || uid > UINT32_MAX)
		return "malformed uid";
	out->uid = (uint32_t)uid;
	if (!take(rest, 'F', &out->sender))
		return "malformed sender";
	if (take(rest, 'B', &v) && (out->body = word_of(v, body_words, 4)) == DROPFILE_BODY_NONE)
		return "unknown body type";
	if (take(rest, 'T', &v) && (out->ret = word_of(v, ret_words, 3)) == DROPFILE_RET_NONE)
		return "unknown RET word";
	if (take(rest, 'V', &v) && (out->envid = v).n == 0)
		return "empty ENVID";
	return read_recipients(rest, max, arena, out);
}

/* Every line ended by CR LF, and neither byte anywhere else. An empty message is one. */
static bool
strict_lines(struct slice m)
{
	while (m.n > 0) {
		ptrdiff_t lf = slice_find(m, '\n');

		if (lf < 1 || slice_find(slice_head(m, (size_t)lf), '\r') != lf - 1)
			return false;
		m = slice_from(m, (size_t)lf + 1);
	}
	return true;
}

bool
dropfile_parse(struct slice file, size_t max_recipients, struct arena *arena, struct dropfile *out,
    const char **why)
{
	char tail[DROPFILE_TAIL + 1];
	struct dropfile_sum sum = { 0 };
	struct slice rest;

	*out = (struct dropfile){ 0 };
	if (file.n < DROPFILE_TAIL) {
		*why = "not committed";
		return false;
	}
	rest = slice_head(file, file.n - DROPFILE_TAIL);
	dropfile_sum_add(&sum, rest);
	dropfile_tail(&sum, tail);
	if (memcmp(file.p + rest.n, tail, DROPFILE_TAIL) != 0) {
		*why = "not committed";
		return false;
	}
	*why = read_envelope(&rest, max_recipients, arena, out);
	if (*why == NULL && !strict_lines(rest))
		*why = "message with lines not ended by CR LF";
	out->message = rest;
	return *why == NULL;
}

bool
dropfile_parse_front(struct slice front, size_t max_recipients, struct arena *arena,
    struct dropfile *out, const char **why)
{
	*out = (struct dropfile){ 0 };
	*why = read_envelope(&front, max_recipients, arena, out);
	out->message = front;
	return *why == NULL;
}
