/* SPDX-License-Identifier: ISC */
#include "qmgr/router/expand.h"

#include "base/die.h"
#include "table/alias.h"

#include <stdlib.h>

/* One name on its way. */
struct step {
	struct slice local, domain; /* plain; lower case */
	/* the key whose value this is: identity ends there */
	struct slice from_virtual, from_alias;
	bool last; /* said so: no further look */
	unsigned depth;
};

struct walk {
	const struct conf *c;
	const struct directory *dir;
	struct arena *a;
	struct expansion *out;
	size_t cap;
	/* Names met and results given, told apart by their first byte. */
	struct slice *met;
	size_t nmet, met_cap;
};

static void walk_step(struct walk *w, const struct step *s);

static struct slice
lower(struct arena *a, struct slice s)
{
	char *z = arena_z(a, s);

	for (size_t i = 0; i < s.n; i++)
		z[i] = ascii_lower(z[i]);
	return slice_of(z, s.n);
}

struct slice
expand_base(const struct conf *c, struct slice local)
{
	if (c->recipient_delimiter == NULL)
		return local;
	for (size_t i = 1; i < local.n; i++)
		if (strchr(c->recipient_delimiter, local.p[i]) != NULL)
			return slice_head(local, i);
	return local;
}

struct slice
expand_address(const struct conf *c, struct slice local, struct slice domain, struct arena *a)
{
	struct buf b = { 0 };
	struct slice s;

	if (conf_in_domains(&c->local_domains, domain))
		local = lower(a, local);
	if (!path_print_quoted(&b, local)) {
		buf_fini(&b);
		return SLICE_NONE;
	}
	buf_putc(&b, '@');
	buf_slice(&b, domain);
	s = arena_slice(a, slice_buf(&b));
	buf_fini(&b);
	return s;
}

static size_t
slot_of(const struct slice *met, size_t cap, struct slice key)
{
	size_t i = slice_ihash(key) & (cap - 1);

	while (met[i].p != NULL && !slice_eq(met[i], key))
		i = (i + 1) & (cap - 1);
	return i;
}

/* True: it is new. */
static bool
meet(struct walk *w, char kind, struct slice name)
{
	char *key = arena_alloc(w->a, name.n + 1);
	struct slice k = slice_of(key, name.n + 1);
	size_t at;

	key[0] = kind;
	if (name.n > 0)
		memcpy(key + 1, name.p, name.n);
	if ((w->nmet + 1) * 2 > w->met_cap) {
		size_t cap = w->met_cap == 0 ? 64 : w->met_cap * 2;
		struct slice *bigger = xcalloc(cap, sizeof *bigger);

		for (size_t i = 0; i < w->met_cap; i++)
			if (w->met[i].p != NULL)
				bigger[slot_of(bigger, cap, w->met[i])] = w->met[i];
		free(w->met);
		w->met = bigger;
		w->met_cap = cap;
	}
	at = slot_of(w->met, w->met_cap, k);
	if (w->met[at].p != NULL)
		return false;
	w->met[at] = k;
	w->nmet++;
	return true;
}

static void
fail(struct walk *w, enum expand_problem problem)
{
	if (w->out->problem == EXPAND_FINE)
		w->out->problem = problem;
}

static void
result(struct walk *w, struct slice local, struct slice domain)
{
	struct expansion *x = w->out;
	struct slice address = expand_address(w->c, local, domain, w->a);
	struct path valid;

	if (address.p == NULL || path_address(address, PATH_UTF8, &valid) != PATH_OK) {
		fail(w, EXPAND_BAD);
		return;
	}
	if (!meet(w, '=', address))
		return;
	if (x->n == w->c->expansion_max) {
		fail(w, EXPAND_TOO_MANY);
		return;
	}
	if (x->n == w->cap) {
		struct slice *bigger;

		w->cap = w->cap == 0 ? 8 : w->cap * 2;
		bigger = arena_alloc(w->a, w->cap * sizeof *bigger);
		if (x->n > 0)
			memcpy(bigger, x->list, x->n * sizeof *bigger);
		x->list = bigger;
	}
	x->list[x->n++] = address;
}

/* A result that this version cannot carry out: see the header. */
static void
later(struct walk *w, const char *kind, struct slice name, struct slice domain)
{
	struct buf b = { 0 };

	buf_puts(&b, kind);
	buf_slice(&b, name);
	result(w, slice_buf(&b), domain);
	buf_fini(&b);
}

static void
spoke(struct walk *w, const char *rule)
{
	if (!w->out->any)
		w->out->rule = rule;
	w->out->any = true;
}

/* An address as a table has it. `extension`: to be put behind its local part; may be empty. */
static void
follow(struct walk *w, const struct step *from, struct slice text, struct slice extension,
    struct slice otherwise, bool last)
{
	struct step next = { .last = last,
		.depth = from->depth + 1,
		.from_virtual = from->from_virtual,
		.from_alias = from->from_alias };
	struct path to;
	struct buf b = { 0 };

	if (w->out->problem != EXPAND_FINE)
		return;
	if (next.depth > EXPAND_DEPTH_MAX) {
		fail(w, EXPAND_LOOP);
		return;
	}
	if (w->nmet > 4 * w->c->expansion_max + 1000) {
		fail(w, EXPAND_TOO_MANY);
		return;
	}
	if (path_address(text, PATH_UTF8 | PATH_UNQUALIFIED, &to) != PATH_OK) {
		fail(w, EXPAND_BAD);
		return;
	}
	path_print_local_plain(&b, &to);
	buf_slice(&b, extension);
	next.local = arena_slice(w->a, slice_buf(&b));
	next.domain = to.domain.n == 0 ? otherwise : lower(w->a, to.domain);
	buf_fini(&b);
	walk_step(w, &next);
}

/* ---- the virtual table ---- */

static void
virtual_values(struct walk *w, const struct step *s, struct slice value, struct slice key,
    struct slice extension)
{
	struct step from = *s;
	struct slice part;

	from.from_virtual = arena_slice(w->a, key);
	while (slice_next(&value, ',', &part)) {
		struct buf b = { 0 };

		part = slice_trim(part);
		if (part.n == 0)
			continue;
		/* @other.example: the same local part there. */
		if (part.p[0] == '@' && path_print_quoted(&b, s->local)) {
			buf_slice(&b, part);
			part = arena_slice(w->a, slice_buf(&b));
			buf_fini(&b);
			follow(w, &from, part, SLICE_NONE, SLICE_NONE, false);
			continue;
		}
		buf_fini(&b);
		follow(w, &from, part, extension, slice_z(w->c->myorigin), false);
	}
}

/* True: the table has spoken. */
static bool
try_virtual(struct walk *w, const struct step *s, struct slice local, struct slice extension)
{
	struct buf key = { 0 }, value = { 0 };
	enum found found;

	if (local.n > 0 && !path_print_quoted(&key, local)) {
		buf_fini(&key);
		return false;
	}
	buf_putc(&key, '@');
	buf_slice(&key, s->domain);
	for (size_t i = 0; i < key.n; i++)
		key.p[i] = ascii_lower(key.p[i]);
	/* Its own value: here this table's work ends. */
	if (slice_eq(slice_buf(&key), s->from_virtual)) {
		buf_fini(&key);
		return false;
	}
	found = w->dir->virtual(w->dir->ctx, slice_buf(&key), &value);
	if (found == FOUND_YES) {
		struct slice met = expand_address(w->c, s->local, s->domain, w->a);

		spoke(w, "virtual");
		if (meet(w, 'v', met))
			virtual_values(
			    w, s, arena_slice(w->a, slice_buf(&value)), slice_buf(&key), extension);
	} else if (found != FOUND_NO) {
		fail(w, EXPAND_TROUBLE);
	}
	buf_fini(&key);
	buf_fini(&value);
	return found != FOUND_NO;
}

static bool
by_virtual(struct walk *w, const struct step *s)
{
	struct slice base = expand_base(w->c, s->local);
	bool whole = base.n == s->local.n;

	if (w->c->virtual_table == NULL)
		return false;
	return try_virtual(w, s, s->local, SLICE_NONE) ||
	       (!whole && try_virtual(w, s, base, slice_from(s->local, base.n))) ||
	       try_virtual(w, s, SLICE_NONE, SLICE_NONE);
}

/* ---- aliases ---- */

static void
alias_values(struct walk *w, const struct step *s, struct slice rows, struct slice name)
{
	struct step from = *s;
	struct alias_value v;
	int got;

	from.from_alias = name;
	while (w->out->problem == EXPAND_FINE && (got = alias_value_next(&rows, &v)) != 0) {
		if (got < 0) {
			fail(w, EXPAND_TROUBLE);
			return;
		}
		switch (v.kind) {
		case ALIAS_ADDRESS:
		case ALIAS_LAST:
			follow(w, &from, v.text, SLICE_NONE, s->domain, v.kind == ALIAS_LAST);
			break;
		case ALIAS_COMMAND:
			later(w, "|", name, s->domain);
			break;
		case ALIAS_FILE:
			later(w, "/", name, s->domain);
			break;
		case ALIAS_INCLUDE:
			later(w, ":include:", name, s->domain);
			break;
		}
	}
}

/* True: there is such an alias, or it cannot be told. */
static bool
try_alias(struct walk *w, const struct step *s, struct slice local)
{
	struct slice name = lower(w->a, local);
	struct buf rows = { 0 };
	enum found found;

	if (slice_eq(name, s->from_alias))
		return false; /* among its own values: the user of that name */
	found = w->dir->alias(w->dir->ctx, name, &rows);
	if (found == FOUND_YES) {
		spoke(w, "alias");
		if (meet(w, 'a', name))
			alias_values(w, s, arena_slice(w->a, slice_buf(&rows)), name);
	} else if (found != FOUND_NO) {
		fail(w, EXPAND_TROUBLE);
	}
	buf_fini(&rows);
	return found != FOUND_NO;
}

static bool
by_alias(struct walk *w, const struct step *s)
{
	struct slice base = expand_base(w->c, s->local);
	bool whole = base.n == s->local.n;

	if (!conf_in_domains(&w->c->local_domains, s->domain))
		return false;
	if (try_alias(w, s, s->local) || (!whole && try_alias(w, s, base)))
		return true;
	/* RFC 5321 4.5.1: there is always a postmaster. */
	if (slice_iis(base, "postmaster")) {
		spoke(w, "postmaster");
		follow(w, s, SLICE_LIT("root"), SLICE_NONE, s->domain, false);
		return true;
	}
	if (slice_iis(base, "root") && w->c->postmaster != NULL &&
	    !slice_is(s->from_alias, "root")) {
		struct step from = *s;

		from.from_alias = SLICE_LIT("root");
		spoke(w, "postmaster");
		follow(w, &from, slice_z(w->c->postmaster), SLICE_NONE, s->domain, false);
		return true;
	}
	return false;
}

static void
walk_step(struct walk *w, const struct step *s)
{
	if (w->out->problem != EXPAND_FINE)
		return;
	if (!s->last && (by_virtual(w, s) || by_alias(w, s)))
		return;
	result(w, s->local, s->domain);
}

void
expand(const struct conf *c, const struct directory *dir, const struct path *to,
    struct slice domain, struct arena *a, struct expansion *out)
{
	struct walk w = { .c = c, .dir = dir, .a = a, .out = out };
	struct buf local = { 0 };

	*out = (struct expansion){ .rule = "" };
	path_print_local_plain(&local, to);
	walk_step(
	    &w, &(struct step){ .local = arena_slice(a, slice_buf(&local)), .domain = domain });
	buf_fini(&local);
	free(w.met);
	if (out->problem == EXPAND_FINE && out->n == 0)
		out->problem = EXPAND_LOOP;
	if (out->problem != EXPAND_FINE)
		out->any = true;
}
