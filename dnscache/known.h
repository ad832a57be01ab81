/* SPDX-License-Identifier: ISC */
#ifndef DNSCACHE_KNOWN_H
#define DNSCACHE_KNOWN_H

#include "base/addr.h"
#include "dns/dns.h"

/* What is known without asking: files of the system, read as text; pure. */

/* The name servers of resolv.conf(5), in their order, at most max; scoped addresses are left out,
 * and so are all other lines: no search, no options. */
unsigned known_servers(struct slice text, struct addr *out, unsigned max);

/* hosts(5); a table of its own where the text is empty: it knows localhost. */
struct known;
struct known *known_new(struct slice hosts_text);
void known_free(struct known *k);
/*
 * localhost and all below it (RFC 6761 6.3), the names and addresses of hosts(5). False: ask. Else
 * *status is DNS_OK, with records behind what out holds, or DNS_NODATA.
 */
bool known_find(const struct known *k, const char *name, enum dns_type type,
    enum dns_status *status, struct buf *out);

#endif
