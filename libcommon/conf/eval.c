/* SPDX-License-Identifier: ISC */
#include "conf/conf.h"

#include "conf/value.h"
#include "conf/whole.h"

#include <errno.h>

static size_t
row_of(const struct value_row *rows, const char *key)
{
	size_t i = 0;

	while (rows[i].key != NULL && strcmp(rows[i].key, key) != 0)
		i++;
	return i;
}

static void
answer(struct conf_eval *out, const struct setting *set, const char *otherwise, const char *scope)
{
	bool is_set = set != NULL && set->text != NULL;

	buf_puts(&out->value, is_set ? set->text : otherwise);
	out->line = is_set ? set->line : 0;
	buf_puts(&out->scope, is_set ? scope : "default");
}

/* Of a key that adds up: the line is that of the most specific scope, the others' stand beside them. */
static void
add_setter(void *arg, const struct scope *s)
{
	struct conf_eval *out = arg;
	bool first = out->line == 0;

	if (first)
		out->line = s->set[SCOPE_buckets].line;
	buf_printf(&out->scope, "%s%s", first ? "" : ", ", s->text);
	if (!first)
		buf_printf(&out->scope, " (line %u)", s->set[SCOPE_buckets].line);
}

static void
eval_buckets(const struct conf *c, struct slice group, struct slice binding, struct slice domain,
    struct conf_eval *out)
{
	const struct conf_buckets *names = &scope_values(c, group, binding, domain)->buckets;

	scope_each_setter(c, SCOPE_buckets, group, binding, domain, add_setter, out);
	if (out->line == 0)
		buf_puts(&out->scope, "default");
	for (size_t i = 0; i < names->n; i++)
		buf_printf(&out->value, "%s%s", i > 0 ? ", " : "", names->at[i]);
}

static void
eval_scoped(const struct conf *c, enum scope_key key, struct slice group, struct slice binding,
    struct slice domain, struct conf_eval *out)
{
	const struct scope *s = scope_winner(c, key, group, binding, domain);

	if (s == NULL && key == SCOPE_route)
		answer(out, &c->whole->set[WHOLE_relay_host], "", "relay_host");
	else
		answer(out, s == NULL ? NULL : &s->set[key], value_scope_rows[key].def,
		    s == NULL ? "" : s->text);
}

/* Of a binding wherever it stands: the source is the binding's, not a group's. */
static void
eval_source(const struct conf *c, struct slice binding, struct conf_eval *out)
{
	const struct conf_binding *b = conf_binding(c, binding);

	answer(out, b == NULL ? NULL : &c->whole->source[b - c->binding], "", "binding ");
	if (b != NULL && out->line != 0)
		buf_puts(&out->scope, b->name);
}

int
conf_eval(const struct conf *c, const char *key, struct slice group, struct slice binding,
    struct slice domain, struct conf_eval *out)
{
	size_t i = row_of(value_conf_rows, key);
	const char *otherwise = value_conf_rows[i].def;

	out->file = c->file;
	if (value_conf_rows[i].key != NULL) {
		if (i == WHOLE_hostname)
			otherwise = c->hostname;
		else if (i == WHOLE_myorigin)
			otherwise = c->myorigin;
		else if (i == WHOLE_local_domains)
			otherwise = c->whole->local_domains;
		else if (i == WHOLE_alias_database)
			otherwise = c->alias_database;
		answer(out, &c->whole->set[i], otherwise != NULL ? otherwise : "", "global");
		return 0;
	}
	i = row_of(value_scope_rows, key);
	if (i == SCOPE_buckets) {
		eval_buckets(c, group, binding, domain, out);
		return 0;
	}
	if (value_scope_rows[i].key != NULL) {
		eval_scoped(c, (enum scope_key)i, group, binding, domain, out);
		return 0;
	}
	if (strcmp(key, value_binding_rows[0].key) == 0) {
		eval_source(c, binding, out);
		return 0;
	}
	return -ENOENT;
}

void
conf_eval_fini(struct conf_eval *e)
{
	buf_fini(&e->value);
	buf_fini(&e->scope);
	*e = (struct conf_eval){ 0 };
}

void
conf_each_key(void (*call)(void *arg, const char *key), void *arg)
{
	static const struct value_row *const tables[] = { value_conf_rows, value_scope_rows,
		value_binding_rows };

	for (unsigned i = 0; i < sizeof tables / sizeof *tables; i++)
		for (const struct value_row *r = tables[i]; r->key != NULL; r++)
			call(arg, r->key);
}
