/* SPDX-License-Identifier: ISC */
#ifndef SMTP_PATH_H
#define SMTP_PATH_H

#include "base/buf.h"

/*
 * Reverse-path and Forward-path of RFC 5321 section 4.1.2, with the limits of section 4.5.3.1 and,
 * where allowed, the UTF-8 of RFC 6531 section 3.3.
 */
enum path_kind { PATH_REVERSE, PATH_FORWARD };

enum path_flag {
	PATH_UTF8 = 1,	      /* non-ASCII characters are allowed (SMTPUTF8) */
	PATH_BLANK = 2,	      /* one blank before the "<": "MAIL FROM: <a@b>" */
	PATH_UNQUALIFIED = 4, /* a local part alone: local submission completes it */
};

enum path_result {
	PATH_OK,
	PATH_BAD,	      /* 501 (5.1.7 sender, 5.1.3 recipient): not the grammar */
	PATH_TOO_LONG,	      /* 501: grammatical, beyond the limits below */
	PATH_NEEDS_UTF8,      /* 553 5.6.7: would be right with SMTPUTF8 */
	PATH_UNKNOWN_LITERAL, /* 553 (5.1.8, 5.1.2): "[tag:...]", a tag that is not registered */
};

enum {
	PATH_LOCAL_MAX = 64,
	PATH_DOMAIN_MAX = 255,
	PATH_LABEL_MAX = 63,
	PATH_ADDRESS_MAX = 254, /* a path is 256 with its brackets */
};

/* The slices point into what was parsed. */
struct path {
	struct slice address; /* local@domain as it was sent, without its route; empty: null */
	struct slice local;   /* as it was sent, with its quotes where it has some */
	struct slice domain;  /* as it was sent, literals with brackets; empty: Postmaster, null */
	bool null;
	bool quoted;  /* local is a quoted string: path_print() may give another address */
	bool literal; /* domain is an address literal */
	bool utf8;    /* there are non-ASCII characters */
};

/*
 * Reads "<...>" off the front of *in, which then stands behind the ">" (what follows must be the
 * end or a blank: param.h looks). On any result but PATH_OK *in stays and *out is undefined.
 * "<>" only in a reverse-path; "<Postmaster>" only in a forward-path; source routes are read and
 * dropped (RFC 5321 section 3.6.1).
 */
enum path_result path_parse(
    struct slice *in, enum path_kind kind, unsigned flags, struct path *out);

/* The same for all of a slice, an address without brackets. Flags: UTF8, UNQUALIFIED. */
enum path_result path_address(struct slice addr, unsigned flags, struct path *out);
bool path_address_valid(struct slice addr, unsigned flags);

/* A domain or an address literal with its brackets; at most PATH_DOMAIN_MAX. Flags: UTF8. */
bool path_domain_valid(struct slice domain, unsigned flags);

/*
 * The argument of HELO and EHLO: anything that looks like a host name (underscores and a last dot
 * are borne with) or an address literal, whatever its tag, as well a bare one. No control byte,
 * blank or non-ASCII byte.
 */
bool path_helo_valid(struct slice helo);

/* "[192.0.2.1]" or "[IPv6:...]" to 16 bytes (v4-mapped); false: another literal, or none. */
bool path_literal_addr(struct slice domain, uint8_t addr[16]);

/* The local part is "postmaster", in whatever case, quoted or not (RFC 5321 section 4.5.1). */
bool path_is_postmaster(const struct path *path);

/*
 * The normal form, without brackets: quotes and backslashes only where they are needed. Equal
 * mailboxes print alike but for the case of letters. Never longer than path->address; a null path
 * prints nothing.
 */
void path_print(struct buf *out, const struct path *path);
/* The local part without any quoting: for table lookups. */
void path_print_local_plain(struct buf *out, const struct path *path);
/* Appends `local`, plain text, quoted if need be. False: it has bytes that none may have. */
bool path_print_quoted(struct buf *out, struct slice local);

#endif
