/* SPDX-License-Identifier: ISC */
#ifndef TABLE_TABLE_H
#define TABLE_TABLE_H

#include "base/buf.h"

/*
 * A table in a file, whatever its form: a database where the name ends in ".tdb" or ".db", else a
 * text (table_text.h). When the file is replaced or changed it is read again, whole. One that
 * cannot be read is an error and never an empty table; where there had been a good one before, that
 * one stays (and table_why() says so) until the file is good again.
 */
struct table;

struct table *table_new(const char *path);
void table_free(struct table *t);
const char *table_path(const struct table *t);

/*
 * Looks whether the file is another, at most once a second (now_ms: any clock that does not go
 * back). True: something changed, for the better or worse; then table_why().
 */
bool table_refresh(struct table *t, uint64_t now_ms);
/* What is wrong with the file, one line; NULL: nothing. */
const char *table_why(const struct table *t);
/* False: the file is not there. */
bool table_exists(const struct table *t);

/* 1: the value is appended; 0: no such key; -errno: nobody can tell. The key in any case. */
int table_find(struct table *t, struct slice key, struct buf *value);

#endif
