/* SPDX-License-Identifier: ISC */
#ifndef ROUTER_TABLES_H
#define ROUTER_TABLES_H

#include "conf/conf.h"
#include "qmgr/router/accounts.h"

/* The tables that a configuration names, each read again when its file is another. */
struct tables;

/* accounts: not owned; where the users come from unless the configuration names a file. */
struct tables *tables_new(const struct conf *c, struct accounts *accounts);
void tables_free(struct tables *t);
/* Once a second and before the first question: looks at the files, says in the log what changed. */
void tables_refresh(struct tables *t);
const struct directory *tables_directory(struct tables *t);

#endif
