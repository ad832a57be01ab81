/* SPDX-License-Identifier: ISC */
#ifndef TABLE_TEXT_H
#define TABLE_TEXT_H

#include "base/buf.h"

/*
 * A table as a text: a key, blanks, a value to the end of the line. A line that begins with a blank
 * goes on with the one before; blank lines and lines that begin with # are skipped. Keys are told
 * apart without regard to case and stand there once.
 */
enum { TABLE_KEY_MAX = 1000, TABLE_VALUE_MAX = 1 << 20, TABLE_TEXT_MAX = 256 << 20 };

struct table_text;

/* NULL: *line and *why say what is wrong. */
struct table_text *table_text_parse(struct slice text, unsigned *line, const char **why);
void table_text_free(struct table_text *t);
size_t table_text_count(const struct table_text *t);
/* The value, without blanks at its ends; p == NULL: no such key. Lives as long as the table. */
struct slice table_text_find(const struct table_text *t, struct slice key);

#endif
