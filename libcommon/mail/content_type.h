/* SPDX-License-Identifier: ISC */
#ifndef MAIL_CONTENT_TYPE_H
#define MAIL_CONTENT_TYPE_H

#include "base/buf.h"

/*
 * Content-Type (RFC 2045 section 5.1) and Content-Disposition (RFC 2183), their parameters also in
 * the pieces and charsets of RFC 2231. Comments may stand anywhere; a missing semicolon is borne
 * with.
 */
struct content_type {
	struct slice type, subtype; /* as they stand there; of a disposition: no subtype */
	struct slice params;	    /* what follows */
};

/* Slices point into value. False: it has no type. */
bool content_type_read(struct slice value, struct content_type *out);

enum { CONTENT_PARAMS_MAX = 64 }; /* pieces; what is beyond is not looked at */

struct content_param {
	struct slice name;     /* in lower case */
	struct slice value;    /* unquoted, joined, made UTF-8 where it can be */
	struct slice language; /* RFC 2231 section 4; empty: not told */
};
/* Each parameter once, in order; for the call. */
typedef void content_param_fn(void *arg, const struct content_param *param);
void content_type_params(struct slice params, content_param_fn *each, void *arg);

/* Appends the value of one parameter, its name in lower case. False: there is none. */
bool content_type_param(struct slice params, const char *name, struct buf *out);

#endif
