/* SPDX-License-Identifier: ISC */
#include "mail/address_list.h"

#include "smtp/chars.h"
#include "smtp/path.h"

/*
 * The value is read byte by byte into tokens; each token moves the machine of one address:
 *
 *	local:  START -word-> WORD -"."-> DOT -word-> WORD ... -"@"-> AT
 *	domain: AT -atom-> LABEL -"."-> LABEL_DOT -atom-> LABEL ...   or AT -literal-> LITERAL
 *
 * Anything else makes it BAD, which is what a display name becomes: "<" then begins anew, ":" turns
 * what was read into a group's name. So nothing is ever read twice.
 */
enum state { START, WORD, DOT, AT, LABEL, LABEL_DOT, LITERAL, BAD };
enum mode {
	BARE,  /* outside of brackets */
	ANGLE, /* within */
	ROUTE, /* within, before the colon of a source route */
	AFTER, /* behind ">" : nothing but comments may follow */
};

struct list {
	struct slice in;
	size_t at;
	unsigned flags;
	address_list_fn *each;
	address_group_fn *group; /* NULL: nobody asks */
	void *arg;
	size_t found;
	bool in_group;

	/* of the element under way */
	enum state state;
	enum mode mode;
	bool broken;		  /* as a whole, whatever the address is */
	bool any;		  /* it has a token */
	size_t from;		  /* where its text begins */
	size_t raw, raw_end;	  /* where its address stands; 0: none yet */
	struct buf local, domain; /* plain, without quotes, comments and blanks */
	struct buf phrase;  /* what was read outside of brackets: a name, if "<" or ":" follows */
	struct buf comment; /* the last one */
	bool gap, named;    /* blanks stand before what comes next; phrase is a name */

	struct buf norm;
};

static void
address_restart(struct list *l)
{
	l->state = START;
	l->raw = l->raw_end = 0;
	buf_reset(&l->local);
	buf_reset(&l->domain);
}

static void
element_restart(struct list *l)
{
	address_restart(l);
	buf_reset(&l->phrase);
	buf_reset(&l->comment);
	l->mode = BARE;
	l->broken = l->any = l->gap = l->named = false;
	l->from = l->at;
}

static void
phrase_add(struct list *l, struct slice text)
{
	if (l->mode != BARE)
		return;
	if (l->gap && l->phrase.n > 0)
		buf_putc(&l->phrase, ' ');
	buf_slice(&l->phrase, text);
	l->gap = false;
}

/* The pieces made one and checked as the envelope would. */
static bool
address_finish(struct list *l, struct address *out)
{
	struct path path;

	buf_reset(&l->norm);
	if (l->state != WORD && l->state != LABEL && l->state != LABEL_DOT && l->state != LITERAL)
		return false;
	if (l->state == LABEL_DOT)
		l->domain.n--; /* "host.example." is borne with */
	if (!path_print_quoted(&l->norm, slice_buf(&l->local)))
		return false;
	if (l->state != WORD) {
		buf_putc(&l->norm, '@');
		buf_slice(&l->norm, slice_buf(&l->domain));
	}
	if (path_address(slice_buf(&l->norm), l->flags | PATH_UNQUALIFIED, &path) != PATH_OK)
		return false;
	out->addr = path.address;
	out->local = path.local;
	out->domain = path.domain;
	out->utf8 = path.utf8;
	return true;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct slice
element_text(const struct list *l, size_t end)
{
	size_t from = l->from;

	while (from < end && is_space(l->in.p[from]))
		from++;
	while (end > from && is_space(l->in.p[end - 1]))
		end--;
	return slice_of(l->in.p + from, end - from);
}

/* An element ends before `end`; the next begins at l->at. */
static void
element_finish(struct list *l, size_t end)
{
	struct address a = { .text = element_text(l, end) };

	a.name = slice_buf(l->named && l->phrase.n > 0 ? &l->phrase : &l->comment);
	if (l->any) {
		bool closed = l->mode == BARE || l->mode == AFTER;

		a.null = closed && !l->broken && l->mode == AFTER && l->state == START;
		a.ok = a.null || (closed && !l->broken && address_finish(l, &a));
		if (a.ok)
			a.raw = slice_of(l->in.p + l->raw, l->raw_end - l->raw);
		l->found += a.ok;
		l->each(l->arg, &a);
	}
	element_restart(l);
}

/* A token of the address stands from `from` to l->at. */
static void
enter(struct list *l, enum state state, size_t from)
{
	if (l->raw_end == 0)
		l->raw = from;
	l->raw_end = l->at;
	l->state = state;
}

/* An atom, or where a local part may stand the text of a quoted string. */
static void
take_word(struct list *l, struct slice word, bool quoted, size_t from)
{
	if (l->mode == AFTER)
		l->broken = true;
	if (l->mode == AFTER || l->mode == ROUTE)
		return;
	if (l->state == START || l->state == DOT) {
		buf_slice(&l->local, word);
		enter(l, WORD, from);
	} else if ((l->state == AT || l->state == LABEL_DOT) && !quoted) {
		buf_slice(&l->domain, word);
		enter(l, LABEL, from);
	} else {
		l->state = BAD;
	}
}

static void
read_atom(struct list *l)
{
	size_t from = l->at;

	while (l->at < l->in.n &&
	       (chars_is(l->in.p[l->at], CHARS_ATEXT) || (unsigned char)l->in.p[l->at] >= 0x80))
		l->at++;
	phrase_add(l, slice_of(l->in.p + from, l->at - from));
	take_word(l, slice_of(l->in.p + from, l->at - from), false, from);
}

/* Folding within a quoted string is not part of it; what was gathered is the word. */
static void
read_quoted(struct list *l)
{
	size_t from = l->at++;
	bool closed = false;
	char c;

	buf_reset(&l->norm);
	while (!closed && l->at < l->in.n) {
		c = l->in.p[l->at++];
		closed = c == '"';
		if (c == '\\' && l->at < l->in.n)
			c = l->in.p[l->at++];
		if (!closed && c != '\r' && c != '\n')
			buf_putc(&l->norm, c);
	}
	l->broken |= !closed;
	phrase_add(l, slice_buf(&l->norm));
	take_word(l, slice_buf(&l->norm), true, from);
}

static void
read_literal(struct list *l)
{
	size_t from = l->at;
	bool wanted = l->state == AT && (l->mode == BARE || l->mode == ANGLE);

	while (l->at < l->in.n && l->in.p[l->at] != ']') {
		if (wanted && !is_space(l->in.p[l->at]))
			buf_putc(&l->domain, l->in.p[l->at]);
		l->at++;
	}
	if (l->at == l->in.n || !wanted) {
		l->broken = true;
		l->at += l->at < l->in.n;
		return;
	}
	buf_putc(&l->domain, ']');
	l->at++;
	enter(l, LITERAL, from);
}

/* Comments nest; they are counted, not descended into. */
static void
read_comment(struct list *l)
{
	unsigned depth = 0;
	char c;

	buf_reset(&l->comment);
	do {
		c = l->in.p[l->at++];
		if (c == '(' && depth++ == 0)
			continue;
		if (c == ')' && --depth == 0)
			break;
		if (c == '\\' && l->at < l->in.n)
			c = l->in.p[l->at++];
		if (c != '\r' && c != '\n')
			buf_putc(&l->comment, c);
	} while (depth > 0 && l->at < l->in.n);
	l->broken |= depth > 0;
	l->any |= depth > 0;
}

static void
group_end(struct list *l)
{
	if (l->in_group && l->group != NULL)
		l->group(l->arg, SLICE_NONE);
	l->in_group = false;
}

static void
take_colon(struct list *l)
{
	if (l->mode == ROUTE) {
		l->mode = ANGLE;
		address_restart(l);
	} else if (l->mode == BARE && (l->state == WORD || l->state == BAD)) {
		group_end(l);
		if (l->group != NULL)
			l->group(l->arg, l->phrase.n > 0 ? slice_buf(&l->phrase) : SLICE_LIT(""));
		l->in_group = true;
		element_restart(l); /* it was a group's name */
	} else {
		l->broken = true;
	}
}

static void
take_at(struct list *l)
{
	if (l->mode == ANGLE && l->state == START)
		l->mode = ROUTE;
	else if (l->mode == AFTER)
		l->broken = true;
	else if (l->mode != ROUTE && l->state == WORD)
		enter(l, AT, l->raw);
	else if (l->mode != ROUTE)
		l->state = BAD;
}

static void
take_dot(struct list *l)
{
	if (l->mode == AFTER)
		l->broken = true;
	if (l->mode == AFTER || l->mode == ROUTE)
		return;
	if (l->state == WORD) {
		buf_putc(&l->local, '.');
		enter(l, DOT, l->raw);
	} else if (l->state == LABEL) {
		buf_putc(&l->domain, '.');
		enter(l, LABEL_DOT, l->raw);
	} else {
		l->state = BAD;
	}
}

static void
take_open(struct list *l)
{
	l->broken |= l->mode != BARE;
	l->named |= l->mode == BARE;
	l->mode = ANGLE;
	address_restart(l);
}

/* One special character, which stands before l->at. */
static void
take_special(struct list *l, char c)
{
	l->any |= c != ',' && c != ';';
	if (strchr(",;:<", c) == NULL)
		phrase_add(l, slice_of(&l->in.p[l->at - 1], 1));
	switch (c) {
	case ',':
	case ';':
		if (c == ';' || l->mode != ROUTE)
			element_finish(l, l->at - 1);
		if (c == ';')
			group_end(l);
		break;
	case ':':
		take_colon(l);
		break;
	case '<':
		take_open(l);
		break;
	case '>':
		l->broken |= l->mode != ANGLE;
		l->mode = AFTER;
		break;
	case '@':
		take_at(l);
		break;
	case '.':
		take_dot(l);
		break;
	default:
		l->broken = true;
		break;
	}
}

static void
read_token(struct list *l)
{
	char c = l->in.p[l->at];

	if (is_space(c)) {
		l->at++;
		l->gap = true;
	} else if (c == '(') {
		read_comment(l);
		l->gap = true;
	} else if (c == '"') {
		l->any = true;
		read_quoted(l);
	} else if (c == '[') {
		l->any = true;
		read_literal(l);
	} else if (chars_is(c, CHARS_ATEXT) || (unsigned char)c >= 0x80) {
		l->any = true;
		read_atom(l);
	} else {
		l->at++;
		take_special(l, c);
	}
}

size_t
address_list_groups(
    struct slice value, unsigned flags, address_list_fn *each, address_group_fn *group, void *arg)
{
	struct list l = { .in = value, .flags = flags, .each = each, .group = group, .arg = arg };

	while (l.at < value.n)
		read_token(&l);
	element_finish(&l, l.at);
	group_end(&l);
	buf_fini(&l.local);
	buf_fini(&l.domain);
	buf_fini(&l.phrase);
	buf_fini(&l.comment);
	buf_fini(&l.norm);
	return l.found;
}

size_t
address_list_each(struct slice value, unsigned flags, address_list_fn *each, void *arg)
{
	return address_list_groups(value, flags, each, NULL, arg);
}
