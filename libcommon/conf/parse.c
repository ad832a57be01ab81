/* SPDX-License-Identifier: ISC */
#include "conf/conf.h"

#include "base/die.h"
#include "base/service.h"
#include "conf/origin.h"
#include "conf/strip.h"
#include "conf/value.h"
#include "conf/whole.h"

#include <confuse.h>

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

/*
 * libconfuse owns the grammar and knows the line of a value only while it reads it: on_value()
 * turns each into a struct value that carries its line. When all is read, the sections are walked
 * and struct conf is built. Errors inside values are hence found in the order of the file; those of
 * a section as a whole come after them and name the line where it ends.
 */
enum {
#define K(...) +1
	LISTEN_KEY_COUNT = CONF_LISTEN_KEYS(K),
	BUCKET_KEY_COUNT = CONF_BUCKET_KEYS(K),
#undef K
};

struct reader {
	struct conf_whole *w;
	const char *file;
	struct buf *err;
	bool failed;
};

/* libconfuse hands no pointer through to its callbacks, and its scanner is one a process as well.
 */
static struct reader *reading;

static void vfail(struct reader *r, int line, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

static void
vfail(struct reader *r, int line, const char *fmt, va_list ap)
{
	char text[512];

	if (r->failed) /* the first one counts, the rest are its echo */
		return;
	r->failed = true;
	vsnprintf(text, sizeof text, fmt, ap);
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	buf_printf(r->err, "%s:%d: %s", r->file, line, text);
}

static bool fail(struct reader *r, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static bool
fail(struct reader *r, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfail(r, line, fmt, ap);
	va_end(ap);
	return false;
}

static void on_error(cfg_t *cfg, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

static void
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	vfail(reading, cfg->line, fmt, ap);
}

static void
on_free(void *value)
{
	free(value);
}

/*
 * One value or element of a list. Each section has its own copy of its cfg_opt_t, whose default
 * number, without a use for pointers, remembers that the key has been set.
 */
static int
on_value(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	const struct value_row *row = value_row(opt->name);
	struct value *v = xcalloc(1, sizeof *v);
	struct buf why = { 0 };

	if (opt->nvalues <= 1 && opt->def.number != 0)
		buf_printf(&why, "%s was set in line %ld already", opt->name, opt->def.number);
	else if (row->list && opt->nvalues > (row->max != 0 ? row->max : CONF_LIST_MAX))
		buf_printf(&why, "%s: more than %llu elements", opt->name,
		    (unsigned long long)(row->max != 0 ? row->max : CONF_LIST_MAX));
	else
		value_parse(row, slice_z(text), &reading->w->arena, v, &why);
	if (why.n > 0) {
		fail(reading, cfg->line, "%.*s", SLICE_ARG(slice_buf(&why)));
		buf_fini(&why);
		free(v);
		return -1;
	}
	if (opt->def.number == 0)
		opt->def.number = cfg->line;
	v->line = (unsigned)cfg->line;
	*(void **)result = v;
	return 0;
}

#define ONE(key) CFG_PTR_CB(key, NULL, CFGF_NODEFAULT, on_value, on_free)
#define SEVERAL(key) CFG_PTR_LIST_CB(key, NULL, CFGF_NODEFAULT, on_value, on_free)
#define SECTION(name, opts) \
	CFG_SEC(name, opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES | CFGF_NODEFAULT)
#define OPT_NAME ONE
#define OPT_PATH ONE
#define OPT_BOOL ONE
#define OPT_INT ONE
#define OPT_SIZE ONE
#define OPT_DURATION ONE
#define OPT_LEVEL ONE
#define OPT_CLASS ONE
#define OPT_ADDR ONE
#define OPT_HOP ONE
#define OPT_FILE ONE
#define OPT_USERS ONE
#define OPT_MAILBOX ONE
#define OPT_CHARS ONE
#define OPT_LOCALLY ONE
#define OPT_BELOW ONE
#define OPT_RATE ONE
#define OPT_BUCKETS SEVERAL
#define OPT_POOL ONE
#define OPT_PRIORITY ONE
#define OPT_SERVICES SEVERAL
#define OPT_DOMAINS SEVERAL
#define OPT_NETS SEVERAL
#define OPT_LISTENS SEVERAL
#define OPT_SERVERS SEVERAL
#define OPT_HOPS SEVERAL
#define K(type, field, key, ...) OPT_##type(key),

static cfg_opt_t listen_opts[] = { CONF_LISTEN_KEYS(K) CFG_END() };
static cfg_opt_t bucket_opts[] = { CONF_BUCKET_KEYS(K) CFG_END() };
static cfg_opt_t domain_opts[] = { CONF_SCOPED_KEYS(K) CONF_DOMAIN_KEYS(K) CFG_END() };
static cfg_opt_t binding_opts[] = {
	CONF_SCOPED_KEYS(K) CONF_BINDING_KEYS(K) SECTION("domain", domain_opts), CFG_END()
};
static cfg_opt_t group_opts[] = { CONF_SCOPED_KEYS(K) SECTION("domain", domain_opts),
	SECTION("binding", binding_opts), CFG_END() };
static cfg_opt_t file_opts[] = { CONF_KEYS(K) CONF_SCOPED_KEYS(K) SECTION("listen", listen_opts),
	SECTION("domain", domain_opts), SECTION("binding", binding_opts),
	SECTION("group", group_opts), SECTION("bucket", bucket_opts), CFG_END() };
#undef K

static cfg_opt_t *
option(cfg_t *sec, const char *name)
{
	for (cfg_opt_t *o = sec->opts; o->name != NULL; o++)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

static void
defaults(struct reader *r, const struct value_row *rows, void *base)
{
	for (const struct value_row *row = rows; row->key != NULL; row++) {
		struct value *v;
		struct buf why = { 0 };
		size_t n = value_default(row, &r->w->arena, &v, &why);

		if (why.n > 0)
			fail(r, 0, "default of %.*s", SLICE_ARG(slice_buf(&why)));
		buf_fini(&why);
		value_store(row, base, v, n, &r->w->arena);
	}
}

/* Puts what the section sets into the fields of base and the settings beside them. */
static void
fields(struct reader *r, cfg_t *sec, const struct value_row *rows, void *base, struct setting *set)
{
	struct arena *a = &r->w->arena;

	for (size_t i = 0; rows[i].key != NULL; i++) {
		cfg_opt_t *opt = option(sec, rows[i].key);
		size_t n = opt == NULL ? 0 : opt->nvalues;
		struct value *v;

		if (n == 0)
			continue;
		v = arena_alloc(a, n * sizeof *v);
		for (size_t k = 0; k < n; k++)
			v[k] = *(const struct value *)opt->values[k]->ptr;
		value_store(&rows[i], base, v, n, a);
		set[i] = (struct setting){ value_text(v, n, a), v[0].line };
	}
}

static size_t
count(cfg_t *sec, const char *name)
{
	const cfg_opt_t *opt = option(sec, name);

	return opt == NULL ? 0 : opt->nvalues;
}

static cfg_t *
nth(cfg_t *sec, const char *name, size_t i)
{
	return option(sec, name)->values[i]->section;
}

/* Names of listeners, bindings, groups and buckets: they stand in logs, routes and names of files. */
static bool
check_title(struct reader *r, const cfg_t *sec)
{
	if (!value_is_title(slice_z(sec->title)))
		return fail(r, sec->line,
		    "%s \"%.80s\": a name is 1 to %d letters, digits, '-', '_' and '.'", sec->name,
		    sec->title, VALUE_TITLE_MAX);
	return true;
}

static bool
read_buckets(struct reader *r, cfg_t *root)
{
	size_t n = count(root, "bucket");
	struct conf_bucket *table = arena_alloc(&r->w->arena, (n + 1) * sizeof *table);

	r->w->c.bucket = table;
	r->w->c.nbucket = n;
	for (size_t i = 0; i < n; i++) {
		cfg_t *sec = nth(root, "bucket", i);
		struct setting set[BUCKET_KEY_COUNT] = { 0 };
		unsigned limits = 0;

		if (!check_title(r, sec))
			return false;
		table[i] =
		    (struct conf_bucket){ .name = arena_z(&r->w->arena, slice_z(sec->title)) };
		defaults(r, value_bucket_rows, &table[i]);
		fields(r, sec, value_bucket_rows, &table[i], set);
		for (unsigned k = 0; k < BUCKET_KEY_COUNT; k++)
			limits += set[k].text != NULL;
		if (limits == 0)
			return fail(r, sec->line, "bucket \"%s\" limits nothing", sec->title);
	}
	return true;
}

/* What a scope sets, with the checks that look beyond one value. */
static bool
read_scope(struct reader *r, cfg_t *sec, struct scope *s)
{
	const struct conf_buckets *names = &s->v.buckets;

	fields(r, sec, value_scope_rows, &s->v, s->set);
	for (size_t i = 0; s->set[SCOPE_buckets].text != NULL && i < names->n; i++) {
		if (conf_bucket(&r->w->c, slice_z(names->at[i])) == NULL)
			return fail(r, (int)s->set[SCOPE_buckets].line,
			    "buckets: there is no bucket \"%s\"", names->at[i]);
		for (size_t k = 0; k < i; k++)
			if (strcmp(names->at[i], names->at[k]) == 0)
				return fail(r, (int)s->set[SCOPE_buckets].line,
				    "buckets: \"%s\" stands here twice", names->at[i]);
	}
	return true;
}

static bool
read_domains(struct reader *r, cfg_t *in, struct slice group, struct slice binding)
{
	for (size_t i = 0; i < count(in, "domain"); i++) {
		cfg_t *sec = nth(in, "domain", i);
		struct slice name = slice_z(sec->title);
		struct scope *s;

		if (!value_is_domain(name))
			return fail(
			    r, sec->line, "domain \"%.80s\": this is not a domain", sec->title);
		s = scope_add(r->w, group, binding, name);
		if (s == NULL)
			return fail(r, sec->line, "domain \"%s\" stands here twice", sec->title);
		if (!read_scope(r, sec, s))
			return false;
	}
	return true;
}

/* A binding at the top level (no group) or as a member of a group. Its source may stand in one
 * place. */
static bool
read_binding(struct reader *r, cfg_t *sec, struct slice group, struct conf_binding *table)
{
	struct slice name = slice_z(sec->title);
	uint32_t id = titles_find(&r->w->scopes.bindings, name);
	struct setting *source = &r->w->source[id - 1];
	unsigned before = source->line;
	struct scope *s = scope_add(r->w, group, name, SLICE_NONE);

	if (s == NULL)
		return fail(r, sec->line, "binding \"%s\" stands here twice", sec->title);
	if (!read_scope(r, sec, s))
		return false;
	fields(r, sec, value_binding_rows, &table[id - 1], source);
	if (before != 0 && count(sec, "source") > 0)
		return fail(r, (int)source->line,
		    "source of binding \"%s\" was set in line %u already", sec->title, before);
	return read_domains(r, sec, group, name);
}

static bool
collect_bindings(struct reader *r, cfg_t *in)
{
	for (size_t i = 0; i < count(in, "binding"); i++) {
		cfg_t *sec = nth(in, "binding", i);

		if (!check_title(r, sec))
			return false;
		titles_add(&r->w->scopes.bindings, slice_z(sec->title), &r->w->arena);
	}
	return true;
}

/* First the names of all bindings and groups, wherever they stand: their numbers index the tables.
 */
static bool
collect(struct reader *r, cfg_t *root, struct conf_binding **table)
{
	struct conf_whole *w = r->w;
	const struct titles *titles = &w->scopes.bindings;

	if (!collect_bindings(r, root))
		return false;
	for (size_t i = 0; i < count(root, "group"); i++) {
		cfg_t *sec = nth(root, "group", i);

		if (!check_title(r, sec) || !collect_bindings(r, sec))
			return false;
		if (titles_add(&w->scopes.groups, slice_z(sec->title), &w->arena) != i + 1)
			return fail(r, sec->line, "group \"%s\" stands here twice", sec->title);
	}
	*table = arena_alloc(&w->arena, (titles->n + 1) * sizeof **table);
	w->source = arena_alloc(&w->arena, (titles->n + 1) * sizeof *w->source);
	for (size_t i = 0; i < titles->cap; i++) {
		if (titles->slot[i].id == 0)
			continue;
		(*table)[titles->slot[i].id - 1] =
		    (struct conf_binding){ .name = titles->slot[i].z };
		w->source[titles->slot[i].id - 1] = (struct setting){ 0 };
	}
	w->c.binding = *table;
	w->c.nbinding = titles->n;
	return true;
}

static bool
read_group(struct reader *r, cfg_t *sec, struct conf_group *out, struct conf_binding *table)
{
	struct slice name = slice_z(sec->title);
	size_t n = count(sec, "binding");
	const struct conf_binding **member = arena_alloc(&r->w->arena, (n + 1) * sizeof *member);
	struct scope *s = scope_add(r->w, name, SLICE_NONE, SLICE_NONE);

	assert(s != NULL); /* collect() has seen to it */
	if (!read_scope(r, sec, s) || !read_domains(r, sec, name, SLICE_NONE))
		return false;
	for (size_t i = 0; i < n; i++) {
		cfg_t *binding = nth(sec, "binding", i);

		if (!read_binding(r, binding, name, table))
			return false;
		member[i] =
		    &table[titles_find(&r->w->scopes.bindings, slice_z(binding->title)) - 1];
	}
	*out = (struct conf_group){ arena_z(&r->w->arena, name), member, n };
	return true;
}

static bool
check_listen(struct reader *r, const cfg_t *sec, const struct conf_listen *l, size_t before)
{
	const struct conf_listen *all = r->w->c.listen;

	if (l->at.n == 0)
		return fail(r, sec->line, "listen \"%s\" has no address", sec->title);
	for (size_t i = 0; i < l->at.n; i++) {
		if (l->origin == CLASS_LOCAL && !addr_is_loopback(l->at.at[i].host))
			return fail(r, sec->line,
			    "listen \"%s\": class local is for loopback addresses only",
			    sec->title);
		for (size_t k = 0; k < before; k++)
			for (size_t j = 0; j < all[k].at.n; j++)
				if (all[k].at.at[j].port == l->at.at[i].port &&
				    memcmp(all[k].at.at[j].host, l->at.at[i].host, 16) == 0)
					return fail(r, sec->line,
					    "listen \"%s\": \"%s\" has this address too",
					    sec->title, all[k].name);
	}
	return true;
}

static bool
read_listens(struct reader *r, cfg_t *root)
{
	size_t n = count(root, "listen");
	struct conf_listen *table = arena_alloc(&r->w->arena, (n + 1) * sizeof *table);

	r->w->c.listen = table;
	r->w->c.nlisten = n;
	for (size_t i = 0; i < n; i++) {
		cfg_t *sec = nth(root, "listen", i);
		struct setting set[LISTEN_KEY_COUNT];

		if (!check_title(r, sec))
			return false;
		table[i] =
		    (struct conf_listen){ .name = arena_z(&r->w->arena, slice_z(sec->title)) };
		defaults(r, value_listen_rows, &table[i]);
		fields(r, sec, value_listen_rows, &table[i], set);
		if (!check_listen(r, sec, &table[i], i))
			return false;
	}
	return true;
}

/* A pool is named anywhere, so it is looked for when all names are known. The first line that is wrong is told. */
static bool
check_pools(struct reader *r)
{
	const struct scope_set *set = &r->w->scopes;
	const struct scope *worst = NULL;

	for (size_t i = 0; i < set->cap; i++) {
		const struct scope *s = set->slot[i];
		struct slice name = slice_z(s == NULL ? NULL : s->v.pool);

		if (name.n == 0 || titles_find(&set->bindings, name) != 0 ||
		    titles_find(&set->groups, name) != 0)
			continue;
		if (worst == NULL || s->set[SCOPE_pool].line < worst->set[SCOPE_pool].line)
			worst = s;
	}
	return worst == NULL || fail(r, (int)worst->set[SCOPE_pool].line,
				    "pool: there is no binding or group \"%s\"", worst->v.pool);
}

/* What is not set and follows from what is: see keys.h. */
static void
complete(struct conf_whole *w)
{
	struct conf *c = &w->c;
	const char **at = arena_alloc(&w->arena, 3 * sizeof *at);
	struct buf text = { 0 };
	size_t n = 0;

	if (w->set[WHOLE_local_domains].text == NULL) {
		at[n++] = c->hostname;
		if (!slice_iis(slice_z(c->myorigin), c->hostname))
			at[n++] = c->myorigin;
		at[n++] = "localhost";
		c->local_domains = (struct conf_domains){ at, n };
		for (size_t i = 0; i < n; i++)
			buf_printf(&text, "%s%s", i > 0 ? ", " : "", at[i]);
		w->local_domains = arena_z(&w->arena, slice_buf(&text));
	}
	if (c->alias_database == NULL && c->alias_file != NULL) {
		buf_reset(&text);
		buf_printf(&text, "%s.db", c->alias_file);
		c->alias_database = arena_z(&w->arena, slice_buf(&text));
	}
	buf_fini(&text);
}

/* What is not set and hangs on the machine: see keys.h. */
static void
name_ourselves(struct conf *c, struct arena *a, struct origin o)
{
	struct utsname node;

	if (c->hostname == NULL && o.node.p == NULL && uname(&node) == 0)
		o.node = slice_z(node.nodename);
	if (c->hostname == NULL)
		c->hostname = value_is_name(o.node) ? arena_z(a, o.node) : "localhost";
	if (c->myorigin == NULL)
		c->myorigin = value_is_name(o.mailname) ? arena_z(a, o.mailname) : c->hostname;
}

static bool
build(struct reader *r, cfg_t *root, const struct origin *o)
{
	struct conf_whole *w = r->w;
	struct conf_binding *bindings = NULL;
	struct conf_group *groups;
	struct scope *global = scope_add(w, SLICE_NONE, SLICE_NONE, SLICE_NONE);
	size_t n = count(root, "group");

	defaults(r, value_conf_rows, &w->c);
	fields(r, root, value_conf_rows, &w->c, w->set);
	name_ourselves(&w->c, &w->arena, *o);
	complete(w);
	defaults(r, value_scope_rows, &global->v);
	if (!read_buckets(r, root) || !read_scope(r, root, global))
		return false;
	if (!read_listens(r, root) || !collect(r, root, &bindings))
		return false;
	if (!read_domains(r, root, SLICE_NONE, SLICE_NONE))
		return false;
	for (size_t i = 0; i < count(root, "binding"); i++)
		if (!read_binding(r, nth(root, "binding", i), SLICE_NONE, bindings))
			return false;
	groups = arena_alloc(&w->arena, (n + 1) * sizeof *groups);
	w->c.group = groups;
	w->c.ngroup = n;
	for (size_t i = 0; i < n; i++)
		if (!read_group(r, nth(root, "group", i), &groups[i], bindings))
			return false;
	if (!check_pools(r))
		return false;
	scope_complete(w);
	return !r->failed;
}

static bool
read_text(struct reader *r, struct slice text, const struct origin *o)
{
	struct buf stripped = { 0 };
	const char *why;
	unsigned line;
	cfg_t *root = NULL;
	bool ok = strip_text(text, &stripped, &line, &why);

	if (!ok) {
		fail(r, (int)line, "%s", why);
		goto out;
	}
	root = cfg_init(file_opts, CFGF_NONE);
	if (root == NULL)
		die(EXIT_TEMP, "out of memory");
	cfg_set_error_function(root, on_error);
	reading = r;
	if (cfg_parse_buf(root, stripped.p) != CFG_SUCCESS)
		ok = fail(r, root->line, "this cannot be read");
	else
		ok = build(r, root, o);
	reading = NULL;
out:
	if (root != NULL)
		cfg_free(root);
	buf_fini(&stripped);
	return ok;
}

int
conf_parse(struct slice text, const char *name, struct conf **out, struct buf *err)
{
	struct origin o = origin_take(&text);
	struct conf_whole *w = xcalloc(1, sizeof *w);
	struct reader r = { .w = w, .err = err };

	w->refs = 1;
	w->c.whole = w;
	w->c.file = arena_z(&w->arena, o.file.p != NULL ? o.file : slice_z(name));
	r.file = w->c.file;
	if (!read_text(&r, text, &o)) {
		conf_unref(&w->c);
		return -EINVAL;
	}
	*out = &w->c;
	return 0;
}
