/* SPDX-License-Identifier: ISC */
#include "qmgr/router/tables.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/place.h"
#include "table/table.h"
#include "table/users.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

struct tables {
	const struct conf *c;
	struct table *alias, *virtual, *route; /* NULL: none configured */
	struct users_file *users;	       /* NULL: NSS */
	struct accounts *accounts;
	struct directory directory;
	bool users_bad, alias_missing;
};

static enum found
find(struct table *t, struct slice key, struct buf *value)
{
	int rc = t == NULL ? 0 : table_find(t, key, value);

	return rc > 0 ? FOUND_YES : rc == 0 ? FOUND_NO : FOUND_ERROR;
}

static enum found
find_alias(void *ctx, struct slice name, struct buf *rows)
{
	const struct tables *t = ctx;

	/* Neither a database nor a text to make one of: there are no aliases. */
	if (t->alias != NULL && !table_exists(t->alias))
		return t->alias_missing ? FOUND_ERROR : FOUND_NO;
	return find(t->alias, name, rows);
}

static enum found
find_virtual(void *ctx, struct slice key, struct buf *value)
{
	return find(((const struct tables *)ctx)->virtual, key, value);
}

static enum found
find_route(void *ctx, struct slice key, struct buf *value)
{
	return find(((const struct tables *)ctx)->route, key, value);
}

static enum found
find_user(void *ctx, struct slice name, uint32_t *uid)
{
	struct tables *t = ctx;
	const struct users_row *row;
	const struct users *users;
	struct buf why = { 0 };
	int rc;

	if (t->users == NULL)
		return accounts_find(t->accounts, name, uid);
	rc = users_file_get(t->users, clock_mono_ms(), &users, &why);
	if ((rc != 0) != t->users_bad) {
		t->users_bad = rc != 0;
		if (rc != 0)
			log_trouble(0, "%.*s", SLICE_ARG(slice_buf(&why)));
		else
			log_note("%s is good again", t->c->local_users);
	}
	buf_fini(&why);
	if (rc != 0)
		return FOUND_ERROR;
	row = users_find(users, name);
	if (row != NULL)
		*uid = row->uid;
	return row != NULL ? FOUND_YES : FOUND_NO;
}

struct tables *
tables_new(const struct conf *c, struct accounts *accounts)
{
	struct tables *t = xcalloc(1, sizeof *t);

	t->c = c;
	t->accounts = accounts;
	if (c->alias_file != NULL)
		t->alias = table_new(c->alias_database);
	if (c->virtual_table != NULL)
		t->virtual = table_new(c->virtual_table);
	if (c->route_table != NULL)
		t->route = table_new(c->route_table);
	if (c->local_users != NULL)
		t->users = users_file_new(c->local_users, 0);
	t->directory = (struct directory){ find_alias, find_virtual, find_route, find_user, t };
	tables_refresh(t);
	return t;
}

void
tables_free(struct tables *t)
{
	if (t == NULL)
		return;
	table_free(t->alias);
	table_free(t->virtual);
	table_free(t->route);
	users_file_free(t->users);
	free(t);
}

static void
refresh(struct table *t)
{
	if (t == NULL || !table_refresh(t, clock_mono_ms()))
		return;
	if (table_why(t) != NULL)
		log_trouble(0, "%s", table_why(t));
	else
		log_note("%s is in use", table_path(t));
}

void
tables_refresh(struct tables *t)
{
	char name[PLACE_PATH_MAX];
	struct stat st;
	bool missing;

	refresh(t->virtual);
	refresh(t->route);
	if (t->alias == NULL)
		return;
	if (table_refresh(t->alias, clock_mono_ms()) && table_exists(t->alias)) {
		if (table_why(t->alias) != NULL)
			log_trouble(0, "%s", table_why(t->alias));
		else
			log_note("%s is in use", table_path(t->alias));
	}
	missing = !table_exists(t->alias) && (stat(place_name(t->c->alias_file, name), &st) == 0 ||
						 (errno != ENOENT && errno != ENOTDIR));
	if (missing && !t->alias_missing)
		log_trouble(0,
		    "%s has no database %s: run newaliases; until then mail for local domains "
		    "waits",
		    t->c->alias_file, table_path(t->alias));
	t->alias_missing = missing;
}

const struct directory *
tables_directory(struct tables *t)
{
	return &t->directory;
}
