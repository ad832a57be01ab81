/* SPDX-License-Identifier: ISC */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include "base/arena.h"
#include "conf/conf.h"

/* Values as they are written, one element at a time, by the types of keys.h. For this library only.
 */
enum value_type {
	VALUE_NAME,
	VALUE_PATH,
	VALUE_BOOL,
	VALUE_INT,
	VALUE_SIZE,
	VALUE_DURATION,
	VALUE_LEVEL,
	VALUE_SERVICES,
	VALUE_DOMAINS,
	VALUE_NETS,
	VALUE_ADDR,
	VALUE_LISTENS,
	VALUE_HOP,
	VALUE_HOPS,
	VALUE_CLASS,
	VALUE_FILE,
	VALUE_USERS,
	VALUE_MAILBOX,
	VALUE_CHARS,
	VALUE_LOCALLY,
	VALUE_BELOW,
	VALUE_SERVERS,
	VALUE_RATE,
	VALUE_BUCKETS,
	VALUE_POOL,
	VALUE_PRIORITY,
};

/* A row of keys.h, as the parser sees it. */
struct value_row {
	const char *key, *def;
	enum value_type type;
	bool list;     /* written { a, b } */
	size_t offset; /* of the field in the struct that the table's keys fill */
	size_t size;   /* of the field */
	uint64_t min, max;
};

/* Ends with a row whose key is NULL. */
extern const struct value_row value_conf_rows[]; /* fill struct conf */
extern const struct value_row
    value_scope_rows[]; /* fill struct scope_values: numbers of enum scope_key */
extern const struct value_row value_binding_rows[]; /* fill struct conf_binding */
extern const struct value_row value_listen_rows[];  /* fill struct conf_listen */
extern const struct value_row value_bucket_rows[];  /* fill struct conf_bucket */
/* Looks in all five, in this order. NULL: no such key. */
const struct value_row *value_row(const char *key);

struct value {
	unsigned line;
	bool none; /* the empty text: no element */
	const char *text;
	union {
		uint64_t u;
		int64_t i;
		const char *z;
		struct conf_net net;
		struct conf_addr addr;
		struct addr listen;
		struct conf_hop hop;
		struct conf_locally locally;
		struct gcra_rate rate;
	};
};

/*
 * One element. Text and strings go to the arena. False: refused, with the reason (which names the
 * key) in why.
 */
bool value_parse(const struct value_row *row, struct slice text, struct arena *a, struct value *out,
    struct buf *why);
/* All elements of a default. It must be right: a unit test goes through the tables. */
size_t value_default(
    const struct value_row *row, struct arena *a, struct value **out, struct buf *why);
/* Puts n elements into the field of `base`; scalars take the last one. */
void value_store(
    const struct value_row *row, void *base, const struct value *v, size_t n, struct arena *a);
/* The elements as text, ", " between them. */
const char *value_text(const struct value *v, size_t n, struct arena *a);

/* A number as the file would have it: "10M", "5d", "1h30m", "info". */
void value_number_put(struct buf *out, enum value_type type, uint64_t v);
/* Text in quotes for a message: cut where it is long, without control characters. */
void value_quote(struct buf *out, struct slice text);
/* Words of the types in manuals: "size", "list of networks". */
const char *value_type_word(enum value_type type);

/* "mx.example.org", letters, digits, '-', '_' and '.', no empty label, 255 bytes at most. */
bool value_is_name(struct slice s);
/* Of a section: 1 to VALUE_TITLE_MAX letters, digits, '-', '_' and '.', no dot first. */
enum { VALUE_TITLE_MAX = 63 };
bool value_is_title(struct slice s);
/* A name, ".name", or an address literal in brackets. */
bool value_is_domain(struct slice s);

#endif
