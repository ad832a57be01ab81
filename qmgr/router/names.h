/* SPDX-License-Identifier: ISC */
#ifndef ROUTER_NAMES_H
#define ROUTER_NAMES_H

#include "conf/conf.h"

/*
 * Addresses of the next hops that the configuration names by host name. They are looked up with
 * getaddrinfo(3) once, at the start, while the process may still read what NSS needs; a name that
 * comes with a later generation is not known until the router starts anew (router.8 says so).
 */
struct names;

enum { NAMES_ADDRS_MAX = 4 };

struct names *names_new(void);
void names_free(struct names *n);
void names_look_up(struct names *n, const struct conf *c); /* blocks */
/* Texts of the addresses, IPv6 and IPv4 in the order of the system; 0: not known. */
unsigned names_get(
    const struct names *n, const char *host, struct slice out[static NAMES_ADDRS_MAX]);
/* For tests. */
void names_add(struct names *n, const char *host, const char *addr);

#endif
