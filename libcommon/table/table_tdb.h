/* SPDX-License-Identifier: ISC */
#ifndef TABLE_TDB_H
#define TABLE_TDB_H

#include "base/buf.h"

/*
 * A table as a database (tdb): keys in lower case. It is made aside and renamed when it is whole
 * and on the disk, so a reader needs no lock and sees one whole table or the other. Databases made
 * otherwise are refused: one key of ours says how many rows there are.
 */
struct table_tdb;

/* Read only, without locks, not mapped. 0 or -errno (-EBADMSG: not such a database). */
int table_tdb_open(const char *path, struct table_tdb **out);
void table_tdb_close(struct table_tdb *t);
uint64_t table_tdb_count(const struct table_tdb *t);
/* 1: appended to *value; 0: no such key; -EIO. The key in any case. */
int table_tdb_find(struct table_tdb *t, struct slice key, struct buf *value);

/* Making one at `path`. Nothing is there under this name before table_tdb_commit(). 0 or -errno. */
struct table_maker;
int table_maker_new(const char *path, struct table_maker **out);
/* 1: put; 0: the key is there already, and the first one stays; -errno. */
int table_maker_put(struct table_maker *m, struct slice key, struct slice value);
/* Syncs, renames, syncs the folder; frees the maker, also where it fails. */
int table_maker_commit(struct table_maker *m);
void table_maker_drop(struct table_maker *m); /* as if nothing had been */

#endif
