/* SPDX-License-Identifier: ISC */
#ifndef ROUTER_EXPAND_H
#define ROUTER_EXPAND_H

#include "base/arena.h"
#include "conf/conf.h"
#include "qmgr/router/directory.h"
#include "smtp/path.h"

/*
 * What an address becomes by the virtual table and the aliases: all the way, so that none of the
 * results is to be looked up again. Names that were met already are not followed; a result stands
 * in the list once.
 *
 * A command, a file or a list in a file stands for all of its kind under its alias: its result is
 * an address with the local part "|alias", "/alias" or ":include:alias", quoted. No client can be
 * refused over it or misuse it: it is nobody's name unless an expansion gave it.
 */
enum { EXPAND_DEPTH_MAX = 20 };

enum expand_problem {
	EXPAND_FINE,
	EXPAND_TROUBLE,	 /* a table cannot be read */
	EXPAND_LOOP,	 /* too deep, or circles only */
	EXPAND_TOO_MANY, /* more than expansion_max */
	EXPAND_BAD,	 /* a value is no address */
};

struct expansion {
	bool any; /* some table had something to say */
	enum expand_problem problem;
	const char *rule;   /* "virtual" or "alias": the first that spoke */
	struct slice *list; /* normal forms, in the arena */
	size_t n;
};

/* `domain`: in lower case, not empty. */
void expand(const struct conf *c, const struct directory *dir, const struct path *to,
    struct slice domain, struct arena *a, struct expansion *out);

/* The local part, plain, without what a delimiter begins (whole where there is none, or first). */
struct slice expand_base(const struct conf *c, struct slice local);
/* local@domain in normal form; letters of the local part small where the domain is local. */
struct slice expand_address(
    const struct conf *c, struct slice local, struct slice domain, struct arena *a);

#endif
