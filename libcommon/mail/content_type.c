/* SPDX-License-Identifier: ISC */
#include "mail/content_type.h"

#include "mail/encoded.h"
#include "mail/header.h"

/* attribute ["*" section] ["*"] "=" value */
struct piece {
	struct slice name, value;
	unsigned section; /* WHOLE: it has none */
	bool extended, quoted;
};

enum { WHOLE = 1000 };

struct pieces {
	struct piece at[CONTENT_PARAMS_MAX];
	size_t n;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Blanks, comments, and of `more` what there is. */
static void
skip(struct slice *s, char more)
{
	while (s->n > 0) {
		size_t n = 1;

		if (s->p[0] == '(') {
			n = header_comment(*s);
			if (n == 0)
				n = s->n;
		} else if (!is_blank(s->p[0]) && s->p[0] != more) {
			return;
		}
		*s = slice_from(*s, n);
	}
}

/* Up to a blank, a comment, ";" or `end`. */
static struct slice
take_token(struct slice *s, char end)
{
	struct slice token;
	size_t n = 0;

	while (n < s->n && !is_blank(s->p[n]) && s->p[n] != ';' && s->p[n] != '(' && s->p[n] != end)
		n++;
	token = slice_head(*s, n);
	*s = slice_from(*s, n);
	return token;
}

bool
content_type_read(struct slice value, struct content_type *out)
{
	struct slice s = header_body(value);

	*out = (struct content_type){ .type = SLICE_NONE };
	skip(&s, ' ');
	out->type = take_token(&s, '/');
	skip(&s, ' ');
	if (s.n > 0 && s.p[0] == '/') {
		s = slice_from(s, 1);
		skip(&s, ' ');
		out->subtype = take_token(&s, ';');
	}
	out->params = s;
	return out->type.n > 0;
}

/* ---- parameters ---- */

/* What stands between quotes, which may be missing at the end; backslashes still in it. */
static struct slice
take_quoted(struct slice *s)
{
	size_t n = 1;
	struct slice inside;

	while (n < s->n && s->p[n] != '"')
		n += s->p[n] == '\\' ? 2 : 1;
	inside = slice_from(slice_head(*s, n), 1);
	*s = slice_from(*s, n + 1);
	return inside;
}

static void
name_piece(struct slice name, struct piece *p)
{
	ptrdiff_t star;
	uint64_t section;

	p->section = WHOLE;
	p->extended = name.n > 1 && name.p[name.n - 1] == '*';
	name.n -= p->extended;
	star = slice_find(name, '*');
	if (star > 0 && slice_u64(slice_from(name, (size_t)star + 1), &section) &&
	    section < WHOLE) {
		p->section = (unsigned)section;
		name.n = (size_t)star;
	}
	p->name = name;
}

static void
cut_up(struct slice s, struct pieces *out)
{
	out->n = 0;
	while (out->n < CONTENT_PARAMS_MAX) {
		struct piece *p = &out->at[out->n];
		struct slice name;

		skip(&s, ';');
		if (s.n == 0)
			return;
		name = take_token(&s, '=');
		skip(&s, ' ');
		if (s.n == 0 || s.p[0] != '=')
			continue; /* a word without a value */
		s = slice_from(s, 1);
		skip(&s, ' ');
		p->quoted = s.n > 0 && s.p[0] == '"';
		p->value = p->quoted ? take_quoted(&s) : take_token(&s, ';');
		name_piece(name, p);
		out->n += name.n > 0 && (p->quoted || p->value.n > 0);
	}
}

static void
put_plain(struct buf *out, const struct piece *p)
{
	for (size_t i = 0; i < p->value.n; i++) {
		char c = p->value.p[i];

		if (p->quoted && c == '\\' && i + 1 < p->value.n)
			c = p->value.p[++i];
		else if (c == '\r' || c == '\n')
			continue; /* folding */
		buf_putc(out, c);
	}
}

static void
put_percent(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		int high = s.p[i] == '%' && i + 2 < s.n ? ascii_hex(s.p[i + 1]) : -1;
		int low = high < 0 ? -1 : ascii_hex(s.p[i + 2]);
		char c = s.p[i];

		if (low >= 0) {
			c = (char)(high << 4 | low);
			i += 2;
		}
		buf_putc(out, c);
	}
}

/* The piece of this section. RFC 2231 section 3 wants them numbered without a gap. */
static const struct piece *
find_piece(const struct pieces *all, struct slice name, unsigned section)
{
	const struct piece *found = NULL;

	for (size_t i = 0; i < all->n; i++) {
		const struct piece *p = &all->at[i];

		if (p->section == section && slice_ieq(p->name, name) && p->name.n == name.n &&
		    (found == NULL || (p->extended && !found->extended)))
			found = p;
	}
	return found;
}

/* Off the front of the first extended piece: charset'language' */
static struct slice
take_charset(struct slice value, struct slice *charset, struct slice *language)
{
	ptrdiff_t one = slice_find(value, '\''), two;

	if (one < 0)
		return value;
	two = slice_find(slice_from(value, (size_t)one + 1), '\'');
	if (two < 0)
		return value;
	*charset = slice_head(value, (size_t)one);
	*language = slice_head(slice_from(value, (size_t)one + 1), (size_t)two);
	return slice_from(value, (size_t)one + (size_t)two + 2);
}

/* All of a parameter; raw is for use here. */
static void
put_value(const struct pieces *all, const struct piece *first, struct buf *raw, struct buf *out,
    struct slice *language)
{
	struct slice charset = SLICE_NONE;
	unsigned next = first->section + 1;

	buf_reset(raw);
	*language = SLICE_NONE;
	for (const struct piece *p = first; p != NULL; p = find_piece(all, first->name, next++)) {
		struct slice value = p->value;

		if (p == first && p->extended)
			value = take_charset(value, &charset, language);
		if (p->extended)
			put_percent(raw, value);
		else
			put_plain(raw, p);
		if (p->section == WHOLE)
			break;
	}
	if (charset.n == 0)
		encoded_decode(out, slice_buf(raw));
	else if (!encoded_text(out, charset, slice_buf(raw)))
		buf_slice(out, slice_buf(raw));
}

/* The piece that a parameter begins with: in pieces from 0, or whole; NULL: it was there already,
 * or its first piece is missing. */
static const struct piece *
begins(const struct pieces *all, size_t i)
{
	struct slice name = all->at[i].name;
	const struct piece *whole, *first;

	for (size_t k = 0; k < i; k++)
		if (all->at[k].name.n == name.n && slice_ieq(all->at[k].name, name))
			return NULL;
	whole = find_piece(all, name, WHOLE);
	first = find_piece(all, name, 0);
	return first == NULL || (whole != NULL && whole->extended) ? whole : first;
}

void
content_type_params(struct slice params, content_param_fn *each, void *arg)
{
	struct pieces all;
	struct buf name = { 0 }, raw = { 0 }, value = { 0 };

	cut_up(header_body(params), &all);
	for (size_t i = 0; i < all.n; i++) {
		const struct piece *first = begins(&all, i);
		struct content_param out;

		if (first == NULL)
			continue;
		buf_reset(&name);
		buf_reset(&value);
		for (size_t k = 0; k < first->name.n; k++)
			buf_putc(&name, ascii_lower(first->name.p[k]));
		put_value(&all, first, &raw, &value, &out.language);
		out.name = slice_buf(&name);
		out.value = slice_buf(&value);
		each(arg, &out);
	}
	buf_fini(&name);
	buf_fini(&raw);
	buf_fini(&value);
}

struct wanted {
	const char *name;
	struct buf *out;
	bool found;
};

static void
take_wanted(void *arg, const struct content_param *param)
{
	struct wanted *w = arg;

	if (w->found || !slice_is(param->name, w->name))
		return;
	w->found = true;
	buf_slice(w->out, param->value);
}

bool
content_type_param(struct slice params, const char *name, struct buf *out)
{
	struct wanted w = { .name = name, .out = out };

	content_type_params(params, take_wanted, &w);
	return w.found;
}
