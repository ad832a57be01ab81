/* SPDX-License-Identifier: ISC */
#ifndef DNSCACHE_RESOLVER_H
#define DNSCACHE_RESOLVER_H

#include "base/service.h"
#include "conf/conf.h"
#include "dnscache/cache.h"
#include "dnscache/known.h"
#include "dnscache/upstream.h"
#include "io/loop.h"

/*
 * From a question to its answer: what is known, the cache, else the name servers, one after the
 * other. Identical questions are joined. Of those that need a name server dns_questions_max run at
 * once, half of them for any one service; some thousands more wait their turn for some seconds, and
 * what is beyond is TEMP at once.
 */
struct resolver;

struct reply {
	enum dns_status status;
	uint32_t ttl_s;
	unsigned flags; /* enum dns_flag */
	struct slice cname, records;
	const char *text; /* why, of TEMP; else "" */
};
/* Called from the loop; what it is given lives until it returns. */
typedef void resolver_fn(void *arg, const struct reply *reply);

/* servers: asked where the configuration names none. The cache is the caller's; known is taken. */
struct resolver *resolver_new(struct loop *l, const struct conf *conf, struct cache *cache,
    struct known *known, const struct addr *servers, unsigned nservers);
void resolver_free(struct resolver *r); /* no question may be open, but for those of nobody */
void resolver_reload(struct resolver *r, const struct conf *conf);

/* An answer that needs no name server. name: as dns_name_clean() leaves it. The reply lives until
 * the next call of any function here. */
bool resolver_knows(struct resolver *r, const char *name, enum dns_type type, struct reply *out);

struct wish;
/* After resolver_knows() said no. fn is called once, later; NULL: too many wait already. */
struct wish *resolver_ask(struct resolver *r, const char *name, enum dns_type type,
    enum service asker, resolver_fn *fn, void *arg);
void resolver_forget(struct wish *w); /* fn will not be called; the question goes on */

struct resolver_stats {
	uint64_t asked, known, joined, sent, followed, refused;
	uint64_t ended[DNS_TEMP + 1]; /* by enum dns_status, of those that went to a name server */
	unsigned running, waiting;
};
void resolver_stats(const struct resolver *r, struct resolver_stats *out);
const struct upstream *resolver_upstream(const struct resolver *r); /* the one in use */

#endif
