/* SPDX-License-Identifier: ISC */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"

/*
 * JSON text written front to back into a buffer: for hot paths, where a tree of values (jansson)
 * would cost more than the line it makes. Commas are put by looking at the byte before. Bytes that
 * are no UTF-8 come out as U+FFFD, so the text is always valid (RFC 8259).
 *
 *	json_open(b, '{'); json_key(b, "id"); json_str(b, id); json_close(b, '}');
 */
void json_open(struct buf *b, char brace);  /* '{' or '[' */
void json_close(struct buf *b, char brace); /* '}' or ']' */
void json_key(struct buf *b, const char *key);
void json_str(struct buf *b, struct slice s);
void json_quote(struct buf *b, struct slice s); /* the quoted text alone, no comma */
void json_u64(struct buf *b, uint64_t v);
void json_i64(struct buf *b, int64_t v);
void json_bool(struct buf *b, bool v);

/* Bytes of the UTF-8 sequence (RFC 3629) that p begins with; 0: there is none. n > 0. */
size_t json_utf8_len(const unsigned char *p, size_t n);

/* The pairs in one call. */
void json_kstr(struct buf *b, const char *key, struct slice s);
void json_kz(struct buf *b, const char *key, const char *z);
void json_ku64(struct buf *b, const char *key, uint64_t v);
void json_kbool(struct buf *b, const char *key, bool v);

#endif
