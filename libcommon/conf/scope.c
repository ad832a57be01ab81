/* SPDX-License-Identifier: ISC */
#include "conf/scope.h"

#include "base/die.h"
#include "conf/value.h"
#include "conf/whole.h"

#include <assert.h>
#include <stdlib.h>

enum {
	MATCH_MAX = 129,	       /* a name of 255 bytes has no more labels; itself */
	CHAIN_MAX = 4 * MATCH_MAX + 4, /* four kinds of scope with a domain, four without */
	MEMO_MIN = 16,
};

/* The scopes that speak for a place, most specific first; the global one is always the last. */
struct chain {
	size_t n;
	const struct scope *at[CHAIN_MAX];
};

struct scope_memo {
	struct scope_memo *next;
	uint64_t hash;
	struct scope_values v;
	size_t n;
	const struct scope *at[];
};

static uint64_t
mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15U;
	return h ^ h >> 29;
}

static struct scope **
slot_of(const struct scope_set *set, uint32_t group, uint32_t binding, uint32_t domain)
{
	size_t i = mix(mix(mix(0, group), binding), domain) & (set->cap - 1);

	for (; set->slot[i] != NULL; i = (i + 1) & (set->cap - 1)) {
		const struct scope *s = set->slot[i];

		if (s->group == group && s->binding == binding && s->domain == domain)
			break;
	}
	return &set->slot[i];
}

static void
grow(struct scope_set *set)
{
	struct scope_set bigger = *set;

	bigger.cap = set->cap == 0 ? 16 : set->cap * 2;
	bigger.slot = xcalloc(bigger.cap, sizeof(struct scope *));
	for (size_t i = 0; i < set->cap; i++) {
		struct scope *s = set->slot[i];

		if (s != NULL)
			*slot_of(&bigger, s->group, s->binding, s->domain) = s;
	}
	free(set->slot);
	*set = bigger;
}

static void
describe(struct buf *b, const char *what, struct slice name)
{
	if (name.n == 0)
		return;
	buf_printf(b, "%s%s ", b->n > 0 ? " " : "", what);
	buf_slice(b, name);
}

struct scope *
scope_add(struct conf_whole *w, struct slice group, struct slice binding, struct slice domain)
{
	struct scope_set *set = &w->scopes;
	struct buf text = { 0 };
	struct scope **slot, *s;
	uint32_t g = titles_find(&set->groups, group), b = titles_find(&set->bindings, binding);
	uint32_t d = domain.n == 0 ? 0 : titles_add(&set->domains, domain, &w->arena);

	assert((g != 0) == (group.n != 0) && (b != 0) == (binding.n != 0));
	if (set->n + 1 > set->cap / 2)
		grow(set);
	slot = slot_of(set, g, b, d);
	if (*slot != NULL)
		return NULL;
	s = arena_alloc(&w->arena, sizeof *s);
	*s = (struct scope){ .group = g, .binding = b, .domain = d };
	describe(&text, "group", group);
	describe(&text, "binding", binding);
	describe(&text, "domain", domain);
	s->text = text.n == 0 ? "global" : arena_z(&w->arena, slice_buf(&text));
	buf_fini(&text);
	*slot = s;
	set->n++;
	set->parents |= domain.n > 0 && domain.p[0] == '.';
	if (g == 0 && b == 0 && d == 0)
		set->global = s;
	return s;
}

void
scope_complete(struct conf_whole *w)
{
	struct scope_set *set = &w->scopes;

	assert(set->global != NULL);
	for (set->nmemo = MEMO_MIN; set->nmemo < set->n; set->nmemo *= 2)
		;
	set->memo = xcalloc(set->nmemo, sizeof(struct scope_memo *));
}

void
scope_fini(struct scope_set *set)
{
	titles_fini(&set->groups);
	titles_fini(&set->bindings);
	titles_fini(&set->domains);
	free(set->slot);
	free(set->memo);
}

/* Numbers of the names that stand for the domain: its own, then ".parent" from the nearest on. */
static size_t
matches(const struct scope_set *set, struct slice domain, uint32_t id[MATCH_MAX])
{
	size_t n = 0;

	if (domain.n > 1 && domain.p[domain.n - 1] == '.')
		domain.n--;
	id[n] = titles_find(&set->domains, domain);
	n += id[n] != 0;
	if (!set->parents || domain.n == 0 || domain.p[0] == '[')
		return n;
	for (size_t i = 1; i + 1 < domain.n && n < MATCH_MAX; i++) {
		if (domain.p[i] != '.')
			continue;
		id[n] = titles_find(&set->domains, slice_from(domain, i));
		n += id[n] != 0;
	}
	return n;
}

static void
link_one(struct chain *chain, const struct scope_set *set, uint32_t g, uint32_t b, uint32_t d)
{
	const struct scope *s = *slot_of(set, g, b, d);

	if (s != NULL)
		chain->at[chain->n++] = s;
}

static void
link_domains(struct chain *chain, const struct scope_set *set, uint32_t g, uint32_t b,
    const uint32_t *d, size_t nd)
{
	for (size_t i = 0; i < nd; i++)
		link_one(chain, set, g, b, d[i]);
}

static void
chain_build(struct chain *chain, const struct scope_set *set, struct slice group,
    struct slice binding, struct slice domain)
{
	uint32_t g = titles_find(&set->groups, group), b = titles_find(&set->bindings, binding);
	uint32_t d[MATCH_MAX];
	size_t nd = matches(set, domain, d);

	chain->n = 0;
	if (g != 0 && b != 0)
		link_domains(chain, set, g, b, d, nd);
	if (b != 0)
		link_domains(chain, set, 0, b, d, nd);
	if (g != 0)
		link_domains(chain, set, g, 0, d, nd);
	if (g != 0 && b != 0)
		link_one(chain, set, g, b, 0);
	if (b != 0)
		link_one(chain, set, 0, b, 0);
	link_domains(chain, set, 0, 0, d, nd);
	if (g != 0)
		link_one(chain, set, g, 0, 0);
	chain->at[chain->n++] = set->global;
}

static const struct scope *
winner(const struct chain *chain, enum scope_key key)
{
	for (size_t i = 0; i < chain->n; i++)
		if (chain->at[i]->set[key].text != NULL)
			return chain->at[i];
	return NULL;
}

/* All that some scope of the chain names, once each. */
static struct conf_buckets
add_up(struct conf_whole *w, const struct chain *chain)
{
	struct conf_buckets sum = { 0 };
	const char **at;
	size_t most = 0;

	for (size_t i = 0; i < chain->n; i++)
		most += chain->at[i]->v.buckets.n;
	if (most == 0)
		return sum;
	at = arena_alloc(&w->arena, most * sizeof *at);
	for (size_t i = 0; i < chain->n; i++)
		for (size_t k = 0; k < chain->at[i]->v.buckets.n; k++) {
			const char *name = chain->at[i]->v.buckets.at[k];
			size_t had = 0;

			while (had < sum.n && strcmp(at[had], name) != 0)
				had++;
			if (had == sum.n)
				at[sum.n++] = name;
		}
	sum.at = at;
	return sum;
}

static void
compile(const struct conf *c, const struct chain *chain, struct scope_values *v)
{
	const struct scope *route = winner(chain, SCOPE_route);

	for (unsigned key = 0; key < SCOPE_KEY_COUNT; key++) {
		const struct value_row *row = &value_scope_rows[key];
		const struct scope *s = winner(chain, (enum scope_key)key);

		if (s == NULL)
			s = c->whole->scopes.global; /* holds the defaults */
		memcpy((char *)v + row->offset, (const char *)&s->v + row->offset, row->size);
	}
	v->buckets = add_up(c->whole, chain);
	v->route_rule = route != NULL ? route->text : "";
	if (route == NULL && c->relay_host.n > 0) {
		v->route = c->relay_host;
		v->route_rule = "relay_host";
	}
}

const struct scope_values *
scope_values(const struct conf *c, struct slice group, struct slice binding, struct slice domain)
{
	struct conf_whole *w = c->whole;
	struct scope_memo *m, **bucket;
	struct chain chain;
	uint64_t hash = 0;

	chain_build(&chain, &w->scopes, group, binding, domain);
	for (size_t i = 0; i < chain.n; i++)
		hash = mix(hash, (uintptr_t)chain.at[i]);
	bucket = &w->scopes.memo[hash & (w->scopes.nmemo - 1)];
	for (m = *bucket; m != NULL; m = m->next)
		if (m->hash == hash && m->n == chain.n &&
		    memcmp(m->at, chain.at, chain.n * sizeof *m->at) == 0)
			return &m->v;
	m = arena_alloc(&w->arena, sizeof *m + chain.n * sizeof *m->at);
	*m = (struct scope_memo){ .next = *bucket, .hash = hash, .n = chain.n };
	memcpy(m->at, chain.at, chain.n * sizeof *m->at);
	compile(c, &chain, &m->v);
	*bucket = m;
	return &m->v;
}

const struct scope *
scope_winner(const struct conf *c, enum scope_key key, struct slice group, struct slice binding,
    struct slice domain)
{
	struct chain chain;

	chain_build(&chain, &c->whole->scopes, group, binding, domain);
	return winner(&chain, key);
}

void
scope_each_setter(const struct conf *c, enum scope_key key, struct slice group,
    struct slice binding, struct slice domain, void (*call)(void *arg, const struct scope *s),
    void *arg)
{
	struct chain chain;

	chain_build(&chain, &c->whole->scopes, group, binding, domain);
	for (size_t i = 0; i < chain.n; i++)
		if (chain.at[i]->set[key].text != NULL)
			call(arg, chain.at[i]);
}

uint64_t
scope_u64(const struct conf *c, enum scope_key key, struct slice group, struct slice binding,
    struct slice domain)
{
	const struct value_row *row = &value_scope_rows[key];
	const struct scope *s = scope_winner(c, key, group, binding, domain);
	uint64_t v;

	assert(row->type == VALUE_INT || row->type == VALUE_DURATION || row->type == VALUE_SIZE);
	memcpy(&v, (const char *)&(s != NULL ? s : c->whole->scopes.global)->v + row->offset,
	    sizeof v);
	return v;
}
