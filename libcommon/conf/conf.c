/* SPDX-License-Identifier: ISC */
#include "conf/conf.h"

#include "conf/whole.h"

#include <assert.h>
#include <stdlib.h>

const struct conf *
conf_ref(const struct conf *c)
{
	assert(c->whole->refs > 0);
	c->whole->refs++;
	return c;
}

void
conf_unref(const struct conf *c)
{
	struct conf_whole *w;

	if (c == NULL)
		return;
	w = c->whole;
	assert(w->refs > 0);
	if (--w->refs > 0)
		return;
	scope_fini(&w->scopes);
	arena_fini(&w->arena);
	free(w);
}

bool
conf_in_nets(const struct conf_nets *nets, const uint8_t host[16])
{
	for (size_t i = 0; i < nets->n; i++)
		if (addr_in(host, nets->at[i].host, nets->at[i].bits))
			return true;
	return false;
}

bool
conf_in_domains(const struct conf_domains *domains, struct slice domain)
{
	if (domain.n > 1 && domain.p[domain.n - 1] == '.')
		domain.n--;
	for (size_t i = 0; i < domains->n; i++) {
		struct slice d = slice_z(domains->at[i]);

		if (d.p[0] == '.' ? domain.n > d.n && slice_iends(domain, d) : slice_ieq(domain, d))
			return true;
	}
	return false;
}

const struct conf_binding *
conf_binding(const struct conf *c, struct slice name)
{
	uint32_t id = titles_find(&c->whole->scopes.bindings, name);

	return id == 0 ? NULL : &c->binding[id - 1];
}

const struct conf_group *
conf_group(const struct conf *c, struct slice name)
{
	uint32_t id = titles_find(&c->whole->scopes.groups, name);

	return id == 0 ? NULL : &c->group[id - 1];
}

const struct conf_bucket *
conf_bucket(const struct conf *c, struct slice name)
{
	for (size_t i = 0; i < c->nbucket; i++)
		if (slice_is(name, c->bucket[i].name))
			return &c->bucket[i];
	return NULL;
}

void
conf_each_route(
    const struct conf *c, void (*call)(void *arg, const struct conf_hops *route), void *arg)
{
	const struct scope_set *set = &c->whole->scopes;

	for (size_t i = 0; i < set->cap; i++)
		if (set->slot[i] != NULL && set->slot[i]->set[SCOPE_route].text != NULL)
			call(arg, &set->slot[i]->v.route);
}
