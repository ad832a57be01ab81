/* SPDX-License-Identifier: ISC */
#ifndef ROUTER_DIRECTORY_H
#define ROUTER_DIRECTORY_H

#include "base/buf.h"

/*
 * What decide() and expand() look up. They see this only, so that the rules can be tried over
 * made-up tables; tables.h is the real one.
 */
enum found {
	FOUND_NO,
	FOUND_YES,
	FOUND_LATER, /* a thread is asked: decide again when it has answered */
	FOUND_ERROR, /* nobody can tell: TEMP */
};

struct directory {
	/* Keys in any case. What is found is appended: rows of table/alias.h; the text of a value. */
	enum found (*alias)(void *ctx, struct slice name, struct buf *rows);
	enum found (*virtual)(void *ctx, struct slice key, struct buf *value);
	enum found (*route)(void *ctx, struct slice key, struct buf *value);
	enum found (*user)(void *ctx, struct slice name, uint32_t *uid);
	void *ctx;
};

#endif
