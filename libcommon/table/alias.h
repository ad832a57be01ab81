/* SPDX-License-Identifier: ISC */
#ifndef TABLE_ALIAS_H
#define TABLE_ALIAS_H

#include "base/buf.h"

/*
 * The text of aliases(5), and what a database of it holds under each name: rows of one byte that
 * says of what kind a value is, the value, a zero byte.
 *
 *	line  = name ":" value *( "," value )
 *
 * A line that begins with a blank goes on with the one before. Blank lines and lines that begin
 * with # are skipped. Names and values may be quoted, with \ before " and \ within. A name that
 * stands there twice counts as it stood first.
 */
enum alias_kind {
	ALIAS_ADDRESS = '@',
	ALIAS_LAST = '\\', /* an address that is not looked up further */
	ALIAS_COMMAND = '|',
	ALIAS_FILE = '/',
	ALIAS_INCLUDE = ':', /* the path behind ":include:" */
};

enum { ALIAS_NAME_MAX = 255, ALIAS_VALUE_MAX = 1000, ALIAS_ROW_MAX = 4 << 20 };

struct alias_value {
	enum alias_kind kind;
	struct slice text;
};

/*
 * Goes through the text. For each name calls put(ctx, line, name in lower case, rows) as they shall
 * be stored; for each value before that check(ctx, value), which gives NULL or what is wrong with
 * it. Calls wrong(ctx, line, why) for each line that cannot be read, and goes on behind it. Returns
 * how many lines were wrong. check may be NULL.
 */
struct alias_reader {
	void (*put)(void *ctx, unsigned line, struct slice name, struct slice rows);
	const char *(*check)(void *ctx, const struct alias_value *v);
	void (*wrong)(void *ctx, unsigned line, const char *why);
	void *ctx;
};
unsigned alias_read(struct slice text, const struct alias_reader *to);

/* Takes a row off the front: 1; 0 at the end; -EBADMSG. */
int alias_value_next(struct slice *rows, struct alias_value *out);

#endif
