/* SPDX-License-Identifier: ISC */
#include "conf/strip.h"

enum { NEST_MAX = 8 }; /* group, binding, domain, list: 4 */

struct strip {
	struct slice in;
	size_t at;
	struct buf *out;
	unsigned line;
	const char *why;
	char last;     /* the last byte that is not blank */
	bool in_empty; /* between "= {" and what follows */
	unsigned nest, open_line[NEST_MAX];
};

static char
peek(const struct strip *s, size_t ahead)
{
	return s->at + ahead < s->in.n ? s->in.p[s->at + ahead] : '\0';
}

static bool
refuse(struct strip *s, const char *why)
{
	s->why = why;
	return false;
}

/* From the opening quote to behind the closing one. */
static bool
string(struct strip *s)
{
	char quote = peek(s, 0);

	for (buf_putc(s->out, quote), s->at++; s->at < s->in.n; s->at++) {
		char c = peek(s, 0);

		if (c == '\n')
			break;
		if (c == '\0')
			return refuse(s, "a NUL byte");
		if (quote == '"' && c == '$' && peek(s, 1) == '{')
			return refuse(s, "variables of the environment are not known here");
		buf_putc(s->out, c);
		if (c == quote) {
			s->at++;
			return true;
		}
		if (c != '\\')
			continue;
		c = peek(s, 1);
		if (c == '\n' || c == '\0')
			break;
		buf_putc(s->out, c);
		s->at++;
	}
	return refuse(s, "a string is not closed in its line");
}

static bool
starts_word(const struct strip *s)
{
	char before = s->at == 0 ? '\n' : s->in.p[s->at - 1];

	return strchr(" \t\r\n={},\"'", before) != NULL;
}

/* One byte that stands outside of strings and comments. */
static bool
plain(struct strip *s, char c)
{
	char next = peek(s, 1);

	switch (c) {
	case '\0':
		return refuse(s, "a NUL byte");
	case '\n':
		s->line++;
		break;
	case '/':
		if (next == '*' || (next == '/' && starts_word(s)))
			return refuse(s, "comments begin with '#'");
		break;
	case '$':
		if (next == '{')
			return refuse(s, "variables of the environment are not known here");
		break;
	case '+':
		if (next == '=')
			return refuse(s, "\"+=\" is not known: write the whole list with \"=\"");
		return refuse(s, "'+' must stand in quotes");
	case '*':
		return refuse(s, "'*' must stand in quotes");
	case '(':
	case ')':
		return refuse(s, "parentheses must stand in quotes");
	case '{':
		if (s->nest == NEST_MAX)
			return refuse(s, "braces are nested too deep");
		s->open_line[s->nest++] = s->line;
		break;
	case '}':
		s->nest -= s->nest > 0; /* one too many is for the parser to say */
		if (s->in_empty && s->last == '{')
			buf_puts(s->out, "\"\"");
		break;
	}
	if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
		s->in_empty = c == '{' && s->last == '=';
		s->last = c;
	}
	buf_putc(s->out, c);
	s->at++;
	return true;
}

bool
strip_text(struct slice text, struct buf *out, unsigned *line, const char **why)
{
	struct strip s = { .in = text, .out = out, .line = 1 };
	bool ok = true;

	while (ok && s.at < text.n) {
		char c = peek(&s, 0);

		if (c == '#') {
			ptrdiff_t end = slice_find(slice_from(text, s.at), '\n');

			s.at = end < 0 ? text.n : s.at + (size_t)end;
		} else if (c == '"' || c == '\'') {
			ok = string(&s);
			s.last = c;
		} else {
			ok = plain(&s, c);
		}
	}
	if (ok && s.nest > 0) { /* libconfuse takes the end of the file for the end of a section */
		s.line = s.open_line[s.nest - 1];
		ok = refuse(&s, "this '{' is not closed");
	}
	buf_putc(out, '\0');
	out->n--;
	*line = s.line;
	*why = s.why;
	return ok;
}
