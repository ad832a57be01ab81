/* SPDX-License-Identifier: ISC */
#ifndef CONF_SCOPE_H
#define CONF_SCOPE_H

#include "conf/conf.h"

/*
 * Values that depend on where mail goes and by what. The most specific scope that sets a key wins,
 * and each key is looked for on its own:
 *
 *	(group, binding, domain)  (binding, domain)  (group, domain)
 *	(group, binding)  binding  domain  group  global  default
 *
 * But "buckets" of all of them add up. Within a scope of domains the exact name wins, then the nearest ".parent". All names are compared
 * without regard to case.
 */
struct scope_values {
#define K(type, field, ...) CONF_C_##type field;
	CONF_SCOPED_KEYS(K)
	CONF_DOMAIN_KEYS(K)
#undef K
	/* What gave the route: "domain example.org", "binding b domain .org", "relay_host"; or "".
	 */
	const char *route_rule;
};

enum scope_key {
#define K(type, field, ...) SCOPE_##field,
	CONF_SCOPED_KEYS(K) CONF_DOMAIN_KEYS(K)
#undef K
	    SCOPE_KEY_COUNT
};

/*
 * The compiled values for a place; empty slices where there is no group, binding or domain (unknown
 * names count as none). `route` has fallen back to relay_host already. The result is shared by all
 * places for which the same scopes speak, lives as long as `c`, and is meant to be kept by the
 * caller: a queue holds the pointer and a reference to the configuration. On the loop's thread
 * only.
 */
const struct scope_values *scope_values(
    const struct conf *c, struct slice group, struct slice binding, struct slice domain);

/* One number alone; `key` must be one of a numeric type. */
uint64_t scope_u64(const struct conf *c, enum scope_key key, struct slice group,
    struct slice binding, struct slice domain);

#endif
