/* SPDX-License-Identifier: ISC */
#include "mail/dsn.h"

#include "mail/content_type.h"
#include "mail/header.h"
#include "smtp/xtext.h"

#include <assert.h>

/* ---- entities ---- */

struct entity {
	struct slice type;	/* of Content-Type, without parameters; empty: none given */
	struct slice type_line; /* the whole value */
	struct slice body;
};

/* Off the front, with its line end. */
static struct slice
take_line(struct slice *rest)
{
	ptrdiff_t lf = slice_find(*rest, '\n');
	struct slice line = slice_head(*rest, lf < 0 ? rest->n : (size_t)lf + 1);

	*rest = slice_from(*rest, line.n);
	return line;
}

static struct slice
chomp(struct slice line)
{
	while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	return line;
}

static void
entity_of(struct slice bytes, struct entity *out)
{
	struct header_field f;
	struct slice rest = bytes, line;

	*out = (struct entity){ 0 };
	while (header_next(&rest, &f)) {
		ptrdiff_t semi;

		if (!slice_iis(f.name, "Content-Type") || out->type_line.p != NULL)
			continue;
		out->type_line = f.value;
		semi = slice_find(f.value, ';');
		out->type =
		    slice_trim(chomp(slice_head(f.value, semi < 0 ? f.value.n : (size_t)semi)));
	}
	out->body = rest;
	line = take_line(&rest);
	if (chomp(line).n == 0)
		out->body = rest;
}

static struct slice
boundary_of(struct arena *a, struct slice value)
{
	struct content_type type;
	struct buf b = { 0 };
	struct slice out = SLICE_NONE;

	if (content_type_read(value, &type) && content_type_param(type.params, "boundary", &b))
		out = arena_slice(a, slice_buf(&b));
	buf_fini(&b);
	return out;
}

/* 1: this line is the boundary; 2: the last one. */
static int
is_boundary(struct slice line, struct slice boundary)
{
	line = chomp(line);
	while (line.n > 0 && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
		line.n--;
	if (line.n < boundary.n + 2 || line.p[0] != '-' || line.p[1] != '-' ||
	    memcmp(line.p + 2, boundary.p, boundary.n) != 0)
		return 0;
	line = slice_from(line, boundary.n + 2);
	return line.n == 0 ? 1 : slice_is(line, "--") ? 2 : 0;
}

/* The next part of a multipart body, off the front of *rest; the preamble is passed over first. */
static bool
next_part(struct slice *rest, struct slice boundary, bool *inside, struct slice *part)
{
	while (!*inside && rest->n > 0)
		*inside = is_boundary(take_line(rest), boundary) == 1;
	if (!*inside || rest->n == 0)
		return false;
	*part = slice_head(*rest, 0);
	while (rest->n > 0) {
		struct slice line = take_line(rest);
		int end = is_boundary(line, boundary);

		if (end == 2)
			*rest = SLICE_NONE;
		if (end != 0)
			return true;
		part->n = (size_t)(line.p + line.n - part->p);
	}
	return true;
}

/* ---- the status part ---- */

struct reading {
	struct arena *a;
	struct dsn *out;
	struct dsn_rcpt *rcpts;
	size_t room;
};

static struct slice
unfolded(struct arena *a, struct slice value)
{
	struct buf b = { 0 };
	struct slice s;

	header_unfold(&b, value);
	s = slice_trim(arena_slice(a, slice_buf(&b)));
	buf_fini(&b);
	return s;
}

/* "type; value" into its two. Without a type all is value. */
static struct slice
typed(struct slice s, struct slice *type)
{
	ptrdiff_t semi = slice_find(s, ';');

	*type = SLICE_NONE;
	if (semi < 0)
		return s;
	*type = slice_trim(slice_head(s, (size_t)semi));
	return slice_trim(slice_from(s, (size_t)semi + 1));
}

/* Off angle brackets that do not belong there. */
static struct slice
bare_address(struct slice s)
{
	if (s.n >= 2 && s.p[0] == '<' && s.p[s.n - 1] == '>')
		return slice_of(s.p + 1, s.n - 2);
	return s;
}

static struct slice
decoded(struct arena *a, struct slice s)
{
	struct buf b = { 0 };
	struct slice out = s;

	if (slice_find(s, '+') >= 0 && xtext_decode(&b, s))
		out = arena_slice(a, slice_buf(&b));
	buf_fini(&b);
	return out;
}

static void
message_field(struct reading *rd, const struct header_field *f)
{
	struct slice value = unfolded(rd->a, f->value), type;

	if (slice_iis(f->name, "Reporting-MTA"))
		rd->out->reporting_mta = typed(value, &type);
	else if (slice_iis(f->name, "Original-Envelope-Id"))
		rd->out->envid = value;
	else if (slice_iis(f->name, "Arrival-Date"))
		rd->out->arrival = value;
}

/* "Status: 5.1.1 (bad destination mailbox)": the comment is none of it. */
static struct slice
first_word(struct slice s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t' && s.p[n] != '(')
		n++;
	return slice_head(s, n);
}

static void
rcpt_field(struct reading *rd, const struct header_field *f, struct dsn_rcpt *r)
{
	struct slice value = unfolded(rd->a, f->value);

	if (slice_iis(f->name, "Final-Recipient"))
		r->final = bare_address(typed(value, &r->final_type));
	else if (slice_iis(f->name, "Original-Recipient"))
		r->original = decoded(rd->a, bare_address(typed(value, &r->original_type)));
	else if (slice_iis(f->name, "Action"))
		r->action = first_word(value);
	else if (slice_iis(f->name, "Status"))
		r->status = first_word(r->status_text = value);
	else if (slice_iis(f->name, "Remote-MTA"))
		r->remote_mta = typed(value, &r->remote_type);
	else if (slice_iis(f->name, "Diagnostic-Code"))
		r->diagnostic = typed(value, &r->diagnostic_type);
	else if (slice_iis(f->name, "X-Angarium-Class"))
		r->class = value;
}

static bool
is_rcpt_field(struct slice name)
{
	return slice_iis(name, "Final-Recipient") || slice_iis(name, "Original-Recipient") ||
	       slice_iis(name, "Action") || slice_iis(name, "Status");
}

static struct dsn_rcpt *
add_rcpt(struct reading *rd)
{
	if (rd->out->nrcpt == DSN_RCPTS_MAX)
		return NULL;
	if (rd->out->nrcpt == rd->room) {
		size_t room = rd->room == 0 ? 4 : rd->room * 2;
		struct dsn_rcpt *more = arena_alloc(rd->a, room * sizeof *more);

		if (rd->room > 0)
			memcpy(more, rd->rcpts, rd->room * sizeof *more);
		rd->rcpts = more;
		rd->room = room;
	}
	assert(rd->rcpts != NULL);
	rd->rcpts[rd->out->nrcpt] = (struct dsn_rcpt){ 0 };
	return &rd->rcpts[rd->out->nrcpt++];
}

/* A second one of these does not stand in the same group. */
static bool
begins_another(const struct dsn_rcpt *r, struct slice name)
{
	return (r->final.n > 0 && slice_iis(name, "Final-Recipient")) ||
	       (r->original.n > 0 && r->final.n > 0 && slice_iis(name, "Original-Recipient"));
}

/*
 * Groups of fields with empty lines between. The first is the message's; but some mailers forget
 * it, and some put no line between: a recipient's field begins a recipient wherever it stands.
 */
static void
read_status(struct reading *rd, struct slice body)
{
	struct dsn_rcpt *r = NULL;
	struct header_field f;

	while (body.n > 0) {
		while (header_next(&body, &f)) {
			if (r != NULL && begins_another(r, f.name))
				r = NULL;
			if (r == NULL && is_rcpt_field(f.name) && (r = add_rcpt(rd)) == NULL)
				return;
			if (r != NULL)
				rcpt_field(rd, &f, r);
			else
				message_field(rd, &f);
		}
		if (chomp(take_line(&body)).n == 0)
			r = NULL; /* else: a line that is no field is passed over */
	}
}

/* ---- the whole ---- */

static bool
is_status(struct slice type)
{
	return slice_iis(type, "message/delivery-status") ||
	       slice_iis(type, "message/global-delivery-status");
}

static bool
is_returned(struct slice type)
{
	return slice_iis(type, "message/rfc822") || slice_iis(type, "text/rfc822-headers") ||
	       slice_iis(type, "message/global") || slice_iis(type, "message/global-headers");
}

/* Depth is bounded, so is recursion. */
static void
walk(struct reading *rd, struct slice bytes, unsigned depth)
{
	struct entity e;
	struct slice boundary, rest, part;
	bool inside = false;

	entity_of(bytes, &e);
	if (is_status(e.type) && rd->out->nrcpt == 0) {
		read_status(rd, e.body);
		return;
	}
	if (is_returned(e.type) && rd->out->nrcpt > 0 && rd->out->returned.p == NULL)
		rd->out->returned = e.body;
	if (!slice_istarts(e.type, "multipart/") || depth == DSN_DEPTH_MAX)
		return;
	boundary = boundary_of(rd->a, e.type_line);
	rest = e.body;
	while (boundary.n > 0 && next_part(&rest, boundary, &inside, &part))
		walk(rd, part, depth + 1);
}

bool
dsn_read(struct slice message, struct arena *a, struct dsn *out)
{
	struct reading rd = { .a = a, .out = out };

	*out = (struct dsn){ 0 };
	if (slice_istarts(message, "From ")) /* out of an mbox */
		take_line(&message);
	walk(&rd, message, 0);
	out->rcpts = rd.rcpts;
	return out->nrcpt > 0;
}
