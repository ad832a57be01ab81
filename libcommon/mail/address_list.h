/* SPDX-License-Identifier: ISC */
#ifndef MAIL_ADDRESS_LIST_H
#define MAIL_ADDRESS_LIST_H

#include "base/buf.h"

/*
 * Address lists of header fields (RFC 5322 section 3.4) and of a command line: mailboxes with and
 * without names, groups, comments, quoted strings, source routes, and the obsolete forms of
 * section 4.4 (empty elements, comments anywhere, blanks around dots). A semicolon parts addresses
 * as well outside of a group. One pass, no recursion.
 */
struct address {
	struct slice addr; /* normal form (smtp/path.h): local@domain, or local; for the call */
	struct slice local, domain; /* its parts; domain empty: unqualified */
	struct slice raw;  /* where the address itself stands in the value, without name, comments
			    * and brackets: "@origin" goes behind it to complete it */
	struct slice text; /* the whole element, trimmed: for messages */
	struct slice name; /* its display name as plain text (not decoded, see encoded.h), else its
			    * last comment; for the call */
	bool ok;	   /* false: no address can be made of it; only text is set */
	bool null;	   /* "<>": ok, addr is empty */
	bool utf8;
};

typedef void address_list_fn(void *arg, const struct address *address);

/*
 * Calls `each` for each mailbox in order, the unreadable ones with ok false: the list goes on after
 * the next comma. Returns how many were ok. Flags: PATH_UTF8 of smtp/path.h lets non-ASCII through.
 */
size_t address_list_each(struct slice value, unsigned flags, address_list_fn *each, void *arg);

/* The same, and `group` for the name of each group before its mailboxes (plain text, for the call),
 * with p NULL behind them. */
typedef void address_group_fn(void *arg, struct slice name);
size_t address_list_groups(
    struct slice value, unsigned flags, address_list_fn *each, address_group_fn *group, void *arg);

#endif
