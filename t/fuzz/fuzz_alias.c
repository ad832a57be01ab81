/* SPDX-License-Identifier: ISC */
/*
 * Tables as administrators write them: the texts of aliases, virtual addresses and routes, zero
 * bytes between. Each is read; rows written out as text come back as they were; then every name is
 * asked about as router is, and what it answers keeps within its bounds.
 */
#include "base/die.h"
#include "base/service.h"
#include "qmgr/router/decide.h"
#include "table/alias.h"
#include "table/table_text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BOUND = 40, NAMES = 6 };

static const char config[] =
    "hostname = mx.example\nlocal_domains = { l.example }\nvirtual_domains = { v.example }\n"
    "virtual_table = /none\nroute_table = /none\nalias_file = \"\"\npostmaster = boss@o.example\n"
    "expansion_max = 40\nrecipient_delimiter = \"+-\"\nrelay_host = 127.0.0.1\n";

struct rows {
	struct slice name, rows;
};

static struct tables {
	struct rows *alias;
	size_t n, wrong;
	struct table_text *virtual, *route;
} tables;

static void
demand(bool ok)
{
	if (!ok)
		abort();
}

static enum found
find_alias(void *ctx, struct slice name, struct buf *rows)
{
	const struct tables *t = ctx;

	for (size_t i = 0; i < t->n; i++)
		if (slice_ieq(name, t->alias[i].name)) {
			buf_slice(rows, t->alias[i].rows);
			return FOUND_YES;
		}
	return FOUND_NO;
}

static enum found
find_text(const struct table_text *t, struct slice key, struct buf *value)
{
	struct slice v = t == NULL ? SLICE_NONE : table_text_find(t, key);

	buf_slice(value, v);
	return v.p != NULL ? FOUND_YES : FOUND_NO;
}

static enum found
find_virtual(void *ctx, struct slice key, struct buf *value)
{
	return find_text(((const struct tables *)ctx)->virtual, key, value);
}

static enum found
find_route(void *ctx, struct slice key, struct buf *value)
{
	return find_text(((const struct tables *)ctx)->route, key, value);
}

static enum found
find_user(void *ctx, struct slice name, uint32_t *uid)
{
	(void)ctx;
	*uid = slice_iis(name, "root") ? 0 : 1000;
	return name.n % 3 == 0 ? FOUND_NO : FOUND_YES;
}

static const struct directory directory = { find_alias, find_virtual, find_route, find_user,
	&tables };

/* ---- the text of aliases ---- */

static void
on_put(void *ctx, unsigned line, struct slice name, struct slice rows)
{
	struct tables *t = ctx;
	struct slice rest = rows;
	struct alias_value v;
	size_t values = 0;
	int rc;

	demand(line > 0 && name.n > 0 && name.n <= ALIAS_NAME_MAX && rows.n <= ALIAS_ROW_MAX);
	for (size_t i = 0; i < name.n; i++)
		demand(name.p[i] == ascii_lower(name.p[i]) && (unsigned char)name.p[i] > ' ' &&
		       name.p[i] != '@');
	while ((rc = alias_value_next(&rest, &v)) == 1) {
		demand(v.text.n > 0 && v.text.n <= ALIAS_VALUE_MAX);
		values++;
	}
	demand(rc == 0 && values > 0);
	t->alias = xrealloc(t->alias, (t->n + 1) * sizeof *t->alias);
	t->alias[t->n++] =
	    (struct rows){ slice_of(slice_dup(name), name.n), slice_of(slice_dup(rows), rows.n) };
}

static void
on_wrong(void *ctx, unsigned line, const char *why)
{
	struct tables *t = ctx;

	demand(line > 0 && why != NULL);
	t->wrong++;
}

static void
read_aliases(struct tables *t, struct slice text)
{
	const struct alias_reader to = { on_put, NULL, on_wrong, t };
	unsigned wrong = alias_read(text, &to);

	demand(wrong == t->wrong);
}

static void
quote(struct buf *out, const char *kind, struct slice s)
{
	buf_putc(out, '"');
	buf_puts(out, kind);
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_putc(out, '\\');
		buf_putc(out, s.p[i]);
	}
	buf_putc(out, '"');
}

static void
put_value(struct buf *out, const struct alias_value *v)
{
	switch (v->kind) {
	case ALIAS_ADDRESS:
	case ALIAS_FILE:
		quote(out, "", v->text);
		break;
	case ALIAS_LAST:
		quote(out, "\\\\", v->text);
		break;
	case ALIAS_COMMAND:
		quote(out, "|", v->text);
		break;
	case ALIAS_INCLUDE:
		quote(out, ":include:", v->text);
		break;
	}
}

static void
tables_free(struct tables *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free((void *)(uintptr_t)t->alias[i].name.p);
		free((void *)(uintptr_t)t->alias[i].rows.p);
	}
	free(t->alias);
	table_text_free(t->virtual);
	table_text_free(t->route);
	*t = (struct tables){ 0 };
}

/* What was read, written with quotes round everything, reads the same. */
static void
read_again(const struct tables *t)
{
	struct tables again = { 0 };
	struct buf text = { 0 };
	bool fits = true;

	for (size_t i = 0; i < t->n; i++) {
		struct slice rest = t->alias[i].rows;
		struct alias_value v;
		const char *between = ": ";

		quote(&text, "", t->alias[i].name);
		while (alias_value_next(&rest, &v) == 1) {
			buf_puts(&text, between);
			put_value(&text, &v);
			between = i % 2 ? ",\n\t" : ",";
			fits = fits && v.text.n + 9 <= ALIAS_VALUE_MAX;
		}
		buf_putc(&text, '\n');
	}
	read_aliases(&again, slice_buf(&text));
	demand(!fits || (again.n == t->n && again.wrong == 0));
	for (size_t i = 0; fits && i < t->n; i++)
		demand(slice_eq(t->alias[i].name, again.alias[i].name) &&
		       slice_eq(t->alias[i].rows, again.alias[i].rows));
	buf_fini(&text);
	tables_free(&again);
}

/* ---- router's answers ---- */

static void
ask(const struct conf *c, struct slice rcpt, uint8_t again, struct arena *a, struct decision *d)
{
	const struct question q = { .class = CLASS_SUBMISSION, .again = again, .rcpt = rcpt };

	decide(c, &directory, &q, a, d);
	demand(!d->later && d->rule != NULL && d->rule[0] != '\0' && d->text != NULL);
	demand(d->action >= ROUTE_DELIVER && d->action <= ROUTE_TEMP);
	demand(d->action != ROUTE_DELIVER || d->route.nhops <= ROUTE_HOPS_MAX);
	demand(d->action != ROUTE_REFUSE || (d->code / 100 == 5 && d->enh[0] == 5));
	demand(d->action != ROUTE_TEMP || (d->code / 100 == 4 && d->enh[0] == 4));
}

static void
look_up(const struct conf *c, struct slice local, const char *domain)
{
	struct arena a = { 0 };
	struct buf rcpt = { 0 };
	struct decision d, twice, of;

	if (local.n > 0 && local.n <= 64 && path_print_quoted(&rcpt, local)) {
		buf_puts(&rcpt, domain);
		ask(c, slice_buf(&rcpt), QUESTION_AGAIN, &a, &d);
		ask(c, slice_buf(&rcpt), QUESTION_AGAIN, &a, &twice);
		demand(d.action == twice.action && d.nlist == twice.nlist);
		demand(d.nlist <= BOUND && (d.action != ROUTE_EXPAND || d.nlist > 0));
		for (size_t i = 0; i < d.nlist; i++) {
			struct path p;

			demand(slice_eq(d.list[i], twice.list[i]));
			demand(path_address(d.list[i], PATH_UTF8, &p) == PATH_OK);
			for (size_t k = 0; k < i; k++)
				demand(!slice_eq(d.list[i], d.list[k]));
			if (i >= 4)
				continue;
			/* What an expansion came to is not expanded. */
			ask(c, d.list[i], QUESTION_RESULT, &a, &of);
			demand(of.action != ROUTE_EXPAND);
		}
	}
	buf_fini(&rcpt);
	arena_fini(&a);
}

static struct table_text *
text_table(struct slice text)
{
	unsigned line;
	const char *why;
	struct table_text *t = table_text_parse(text, &line, &why);

	demand(t != NULL || (line > 0 && why != NULL));
	return t;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct conf *c;
	struct buf err = { 0 };
	char *exact = xmalloc(size > 0 ? size : 1); /* so that a byte beyond is seen */
	struct slice all, part, rest, rows;
	struct alias_value v;

	if (c == NULL && conf_parse(SLICE_LIT(config), "fuzz", &c, &err) != 0)
		abort();
	memcpy(exact, data, size);
	all = rest = rows = slice_of(exact, size);
	while (alias_value_next(&rows, &v) == 1) /* as if a damaged database held this */
		demand(v.text.n > 0);
	alias_read(all, &(const struct alias_reader){ on_put, NULL, on_wrong, &tables });
	tables_free(&tables);

	if (slice_next(&rest, '\0', &part))
		read_aliases(&tables, part);
	read_again(&tables);
	if (slice_next(&rest, '\0', &part))
		tables.virtual = text_table(part);
	if (slice_next(&rest, '\0', &part))
		tables.route = text_table(part);
	for (size_t i = 0; i < tables.n && i < NAMES; i++) {
		static const char *const domains[] = { "@l.example", "@v.example", "@o.example" };

		look_up(c, tables.alias[i].name, domains[i < 4 ? 0 : i % 3]);
	}
	look_up(c, SLICE_LIT("u"), "@v.example");
	look_up(c, SLICE_LIT("postmaster"), "@l.example");
	look_up(c, SLICE_LIT("root+x"), "@l.example");
	tables_free(&tables);
	free(exact);
	return 0;
}
