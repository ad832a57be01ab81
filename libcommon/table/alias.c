/* SPDX-License-Identifier: ISC */
#include "table/alias.h"

#include <errno.h>

struct reading {
	const struct alias_reader *to;
	unsigned line, bad;
	struct buf entry, word, rows; /* a joined line; a value without its quotes; the values */
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct slice
trim(struct slice s)
{
	while (s.n > 0 && (is_blank(s.p[s.n - 1]) || s.p[s.n - 1] == '\r'))
		s.n--;
	while (s.n > 0 && is_blank(s.p[0]))
		s = slice_from(s, 1);
	return s;
}

/* Where `c` stands outside of quotes; s.n: nowhere. False: a quote has no end. */
static bool
unquoted(struct slice s, char c, size_t *at)
{
	bool quoted = false;

	for (*at = 0; *at < s.n; ++*at) {
		if (quoted && s.p[*at] == '\\' && *at + 1 < s.n)
			++*at;
		else if (s.p[*at] == '"')
			quoted = !quoted;
		else if (s.p[*at] == c && !quoted)
			return true;
	}
	return !quoted;
}

/* A word that is quoted from one end to the other loses its quotes; another is left as it is, since
 * "a b"@c.example is an address. */
static struct slice
unquote(struct reading *r, struct slice s)
{
	size_t i;

	if (s.n < 2 || s.p[0] != '"')
		return s;
	for (i = 1; i < s.n && s.p[i] != '"'; i++)
		i += s.p[i] == '\\' && i + 1 < s.n;
	if (i != s.n - 1)
		return s;
	buf_reset(&r->word);
	for (i = 1; i + 1 < s.n; i++) {
		i += s.p[i] == '\\' && i + 2 < s.n;
		buf_putc(&r->word, s.p[i]);
	}
	return slice_buf(&r->word);
}

static const char *
kind_of(struct slice s, struct alias_value *v)
{
	*v = (struct alias_value){ .kind = ALIAS_ADDRESS, .text = s };
	if (slice_istarts(s, ":include:")) {
		*v = (struct alias_value){ ALIAS_INCLUDE, trim(slice_from(s, 9)) };
		return v->text.n > 0 && v->text.p[0] == '/' ? NULL
							    : ":include: without an absolute path";
	}
	if (s.p[0] == '|') {
		*v = (struct alias_value){ ALIAS_COMMAND, trim(slice_from(s, 1)) };
		return v->text.n > 0 ? NULL : "| without a command";
	}
	if (s.p[0] == '/') {
		v->kind = ALIAS_FILE;
	} else if (s.p[0] == '\\') {
		*v = (struct alias_value){ ALIAS_LAST, slice_from(s, 1) };
		return v->text.n > 0 ? NULL : "\\ without a name";
	} else if (s.p[0] == ':') {
		return "of what begins with a colon, only :include: is known";
	}
	return NULL;
}

static const char *
add_value(struct reading *r, struct slice text)
{
	struct alias_value v;
	const char *why;
	char kind;

	text = unquote(r, trim(text));
	if (text.n == 0)
		return "a value is missing";
	if (text.n > ALIAS_VALUE_MAX)
		return "a value is longer than 1000 bytes";
	for (size_t i = 0; i < text.n; i++)
		if (((unsigned char)text.p[i] < ' ' && text.p[i] != '\t') || text.p[i] == 0x7f)
			return "a control character";
	why = kind_of(text, &v);
	if (why == NULL && r->to->check != NULL)
		why = r->to->check(r->to->ctx, &v);
	if (why != NULL)
		return why;
	if (r->rows.n > ALIAS_ROW_MAX - ALIAS_VALUE_MAX - 2)
		return "more than 4 MiB of values";
	kind = (char)v.kind;
	buf_putc(&r->rows, kind);
	buf_slice(&r->rows, v.text);
	buf_putc(&r->rows, '\0');
	return NULL;
}

static const char *
check_name(struct slice name)
{
	if (name.n == 0)
		return "a name is missing before the colon";
	if (name.n > ALIAS_NAME_MAX)
		return "the name is longer than 255 bytes";
	for (size_t i = 0; i < name.n; i++) {
		if ((unsigned char)name.p[i] <= ' ' || name.p[i] == 0x7f)
			return "a blank or control character in the name";
		if (name.p[i] == '@')
			return "a domain in the name: aliases are of the local domains";
	}
	return NULL;
}

static const char *
read_entry(struct reading *r, struct slice entry)
{
	char name[ALIAS_NAME_MAX + 1];
	struct slice text;
	const char *why;
	size_t at;

	if (!unquoted(entry, ':', &at))
		return "a quote has no end";
	if (at == entry.n)
		return "no colon";
	text = unquote(r, trim(slice_head(entry, at)));
	why = check_name(text);
	if (why != NULL)
		return why;
	for (size_t i = 0; i < text.n; i++)
		name[i] = ascii_lower(text.p[i]);
	buf_reset(&r->rows);
	text = slice_of(name, text.n);
	for (entry = slice_from(entry, at + 1);; entry = slice_from(entry, at + 1)) {
		if (!unquoted(entry, ',', &at))
			return "a quote has no end";
		why = add_value(r, slice_head(entry, at));
		if (why != NULL)
			return why;
		if (at == entry.n)
			break;
	}
	r->to->put(r->to->ctx, r->line, text, slice_buf(&r->rows));
	return NULL;
}

static void
end_entry(struct reading *r)
{
	const char *why;

	if (r->entry.n == 0)
		return;
	why = memchr(r->entry.p, '\0', r->entry.n) != NULL ? "a zero byte"
							   : read_entry(r, slice_buf(&r->entry));
	if (why != NULL) {
		r->bad++;
		r->to->wrong(r->to->ctx, r->line, why);
	}
	buf_reset(&r->entry);
}

unsigned
alias_read(struct slice text, const struct alias_reader *to)
{
	struct reading r = { .to = to };
	struct slice line;
	unsigned number = 0;

	while (text.n > 0) {
		ptrdiff_t nl = slice_find(text, '\n');

		line = nl < 0 ? text : slice_head(text, (size_t)nl);
		text = nl < 0 ? SLICE_NONE : slice_from(text, (size_t)nl + 1);
		number++;
		if (trim(line).n == 0 || line.p[0] == '#')
			continue;
		if (is_blank(line.p[0]) && r.entry.n > 0) {
			buf_putc(&r.entry, ' ');
			buf_slice(&r.entry, trim(line));
			continue;
		}
		end_entry(&r);
		r.line = number;
		if (is_blank(line.p[0])) {
			r.bad++;
			to->wrong(to->ctx, number, "goes on with a line that is not there");
			continue;
		}
		buf_slice(&r.entry, trim(line));
	}
	end_entry(&r);
	buf_fini(&r.entry);
	buf_fini(&r.word);
	buf_fini(&r.rows);
	return r.bad;
}

int
alias_value_next(struct slice *rows, struct alias_value *out)
{
	ptrdiff_t end;

	if (rows->n == 0)
		return 0;
	end = slice_find(*rows, '\0');
	if (end < 2)
		return -EBADMSG;
	switch (rows->p[0]) {
	case ALIAS_ADDRESS:
	case ALIAS_LAST:
	case ALIAS_COMMAND:
	case ALIAS_FILE:
	case ALIAS_INCLUDE:
		break;
	default:
		return -EBADMSG;
	}
	out->kind = (enum alias_kind)rows->p[0];
	out->text = slice_of(rows->p + 1, (size_t)end - 1);
	*rows = slice_from(*rows, (size_t)end + 1);
	return 1;
}
