/* SPDX-License-Identifier: ISC */
#ifndef CONF_WHOLE_H
#define CONF_WHOLE_H

#include "conf/titles.h"
#include "conf/scope.h"

/* What stands behind a struct conf. For this library only. */

enum whole_key {
#define K(type, field, ...) WHOLE_##field,
	CONF_KEYS(K)
#undef K
	    WHOLE_KEY_COUNT
};

/* A key that the file sets. */
struct setting {
	const char *text; /* as written; NULL: not set */
	unsigned line;	  /* 0: computed, or a default */
};

struct scope {
	uint32_t group, binding, domain; /* their numbers; 0: for all */
	const char *text;		 /* "global", "binding b domain x" */
	struct scope_values v; /* only what is set; in the global scope also the defaults */
	struct setting set[SCOPE_KEY_COUNT];
};

struct scope_set {
	struct titles groups, bindings, domains;
	bool parents; /* some domain begins with a dot */
	struct scope *global;
	struct scope **slot; /* hashed by the three numbers */
	size_t cap, n;
	struct scope_memo **memo; /* compiled values, hashed by the scopes that speak */
	size_t nmemo;		  /* buckets, a power of two; 0 until the set is complete */
};

struct conf_whole {
	struct conf c;
	unsigned refs;
	struct arena arena;
	struct setting set[WHOLE_KEY_COUNT];
	struct setting *source;	   /* of c.binding */
	const char *local_domains; /* as text, where they are not set */
	struct scope_set scopes;
};

/*
 * Adds an empty scope for the numbers given, or returns NULL when it is there already. text is
 * built from the names, which must have been added.
 */
struct scope *scope_add(
    struct conf_whole *w, struct slice group, struct slice binding, struct slice domain);
void scope_complete(struct conf_whole *w);
void scope_fini(struct scope_set *set);
/* Who sets a key for a place, most specific first: NULL when nobody does. */
const struct scope *scope_winner(const struct conf *c, enum scope_key key, struct slice group,
    struct slice binding, struct slice domain);
/* All who set it, most specific first. */
void scope_each_setter(const struct conf *c, enum scope_key key, struct slice group,
    struct slice binding, struct slice domain, void (*call)(void *arg, const struct scope *s),
    void *arg);

#endif
