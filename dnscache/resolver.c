/* SPDX-License-Identifier: ISC */
#include "dnscache/resolver.h"

#include "base/clock.h"
#include "base/die.h"
#include "dnscache/answer.h"

#include <assert.h>
#include <bsd/stdlib.h>
#include <bsd/sys/queue.h>
#include <stdlib.h>
#include <xxhash.h>

enum {
	BUCKETS = 4096,
	WAITING_MAX = 4096, /* of one service */
	WAIT_MS = 10000,
	FOLLOW_MAX = 8, /* CNAMEs that had to be asked for one by one */
	KNOWN_TTL_S = 3600,
};

#define SERVICES_ASKING (SERVICE_CTL + 1U)

struct wish {
	TAILQ_ENTRY(wish) link;
	struct question *question;
	resolver_fn *fn;
	void *arg;
};

/* The name servers of a configuration: one is in use, others end with their last question. */
struct source {
	LIST_ENTRY(source) link;
	struct upstream *upstream;
	unsigned users;
};

struct question {
	TAILQ_ENTRY(question) link; /* while it waits */
	struct question *next;	    /* in its bucket */
	struct resolver *r;
	struct source *source; /* of the request that is out; NULL: none is */
	TAILQ_HEAD(, wish) wishes;
	enum service asker; /* the first who did: counts against its share */
	enum dns_type type;
	uint64_t since_ms;
	unsigned server, tries, told, steps;
	uint8_t asked[UPSTREAM_MAX];
	bool not_ad, has_ttl;
	uint32_t ttl_s;
	const char *why;				   /* the last failure */
	char name[DNS_NAME_MAX + 1], at[DNS_NAME_MAX + 1]; /* asked for; asked now */
};
TAILQ_HEAD(question_list, question);

struct share {
	struct question_list waiting;
	unsigned nwaiting, running;
};

struct resolver {
	struct loop *loop;
	struct cache *cache;
	struct known *known;
	struct addr fallback[UPSTREAM_MAX], servers[UPSTREAM_MAX];
	unsigned nfallback, nservers;
	uint64_t questions_max, tries_max, try_timeout_ms;
	LIST_HEAD(, source) sources; /* the first is in use */
	struct question *buckets[BUCKETS];
	uint64_t seed;
	struct share shares[SERVICES_ASKING];
	unsigned last; /* service whose turn it was */
	bool in_turn;  /* run_waiting() is at work: what ends meanwhile leaves it the rest */
	struct timer *sweep;
	struct answer answer;
	struct buf scratch;
	struct resolver_stats stats;
};

static void run_waiting(struct resolver *r);

static struct question **
bucket_of(struct resolver *r, const char *name, enum dns_type type)
{
	return &r->buckets[(XXH3_64bits_withSeed(name, strlen(name), r->seed) + type) % BUCKETS];
}

/* Name servers as the configuration has them now; the old ones stay while they are used. */
static void
set_servers(struct resolver *r, const struct conf *conf)
{
	unsigned n =
	    conf->name_servers.n < UPSTREAM_MAX ? (unsigned)conf->name_servers.n : UPSTREAM_MAX;
	const struct addr *at = conf->name_servers.at;
	struct source *s;

	if (n == 0) {
		n = r->nfallback;
		at = r->fallback;
	}
	if (!LIST_EMPTY(&r->sources) && r->nservers == n &&
	    r->try_timeout_ms == conf->dns_try_timeout_ms &&
	    memcmp(r->servers, at, n * sizeof *at) == 0)
		return;
	memset(r->servers, 0, sizeof r->servers);
	memcpy(r->servers, at, n * sizeof *at);
	r->nservers = n;
	r->try_timeout_ms = conf->dns_try_timeout_ms;
	s = xcalloc(1, sizeof *s);
	s->upstream = upstream_new(r->loop, at, n, conf->dns_try_timeout_ms);
	LIST_INSERT_HEAD(&r->sources, s, link);
	timer_set(r->sweep, 0);
}

static void
sweep(void *arg)
{
	struct resolver *r = arg;
	struct source *s = LIST_FIRST(&r->sources), *next;

	for (s = LIST_NEXT(s, link); s != NULL; s = next) {
		next = LIST_NEXT(s, link);
		if (s->users > 0)
			continue;
		LIST_REMOVE(s, link);
		upstream_free(s->upstream);
		free(s);
	}
}

void
resolver_reload(struct resolver *r, const struct conf *conf)
{
	r->questions_max = conf->dns_questions_max;
	r->tries_max = conf->dns_tries;
	set_servers(r, conf);
	run_waiting(r);
}

struct resolver *
resolver_new(struct loop *l, const struct conf *conf, struct cache *cache, struct known *known,
    const struct addr *servers, unsigned nservers)
{
	struct resolver *r = xcalloc(1, sizeof *r);

	assert(nservers > 0 && nservers <= UPSTREAM_MAX);
	r->loop = l;
	r->cache = cache;
	r->known = known;
	r->nfallback = nservers;
	memcpy(r->fallback, servers, nservers * sizeof *servers);
	arc4random_buf(&r->seed, sizeof r->seed);
	for (unsigned i = 0; i < SERVICES_ASKING; i++)
		TAILQ_INIT(&r->shares[i].waiting);
	LIST_INIT(&r->sources);
	r->sweep = timer_new(l, sweep, r);
	resolver_reload(r, conf);
	return r;
}

static void
drop(struct question *q)
{
	assert(TAILQ_EMPTY(&q->wishes));
	free(q);
}

void
resolver_free(struct resolver *r)
{
	struct source *s;

	if (r == NULL)
		return;
	while ((s = LIST_FIRST(&r->sources)) != NULL) {
		LIST_REMOVE(s, link);
		upstream_free(s->upstream);
		free(s);
	}
	for (unsigned i = 0; i < BUCKETS; i++)
		while (r->buckets[i] != NULL) {
			struct question *q = r->buckets[i];

			r->buckets[i] = q->next;
			drop(q);
		}
	timer_free(r->sweep);
	known_free(r->known);
	answer_fini(&r->answer);
	buf_fini(&r->scratch);
	free(r);
}

static uint32_t
seconds(uint64_t ms)
{
	return (uint32_t)((ms + 999) / 1000 < UINT32_MAX ? (ms + 999) / 1000 : UINT32_MAX);
}

static bool
cached(struct resolver *r, const char *name, enum dns_type type, struct reply *out)
{
	uint64_t now = clock_mono_ms();
	struct cache_entry e;

	if (!cache_find(r->cache, name, type, now, &e))
		return false;
	*out = (struct reply){ .status = e.status,
		.ttl_s = seconds(e.expires_ms - now),
		.flags = e.flags | DNS_CACHED,
		.cname = e.cname,
		.records = e.records,
		.text = "" };
	return true;
}

bool
resolver_knows(struct resolver *r, const char *name, enum dns_type type, struct reply *out)
{
	enum dns_status status;

	r->stats.asked++;
	buf_reset(&r->scratch);
	if (known_find(r->known, name, type, &status, &r->scratch)) {
		r->stats.known++;
		*out = (struct reply){ .status = status,
			.ttl_s = KNOWN_TTL_S,
			.flags = DNS_CACHED,
			.records = slice_buf(&r->scratch),
			.text = "" };
		return true;
	}
	return cached(r, name, type, out);
}

/* The question ends: all who wait for it hear, and the next ones may run. */
static void
conclude(struct question *q, const struct reply *reply)
{
	struct resolver *r = q->r;
	struct question **at = bucket_of(r, q->name, q->type);
	struct wish *w;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	r->stats.running--;
	r->shares[q->asker].running--;
	r->stats.ended[reply->status]++;
	while ((w = TAILQ_FIRST(&q->wishes)) != NULL) {
		TAILQ_REMOVE(&q->wishes, w, link);
		w->fn(w->arg, reply);
		free(w);
	}
	drop(q);
	run_waiting(r);
}

static void
fail(struct question *q, const char *why)
{
	conclude(q, &(struct reply){ .status = DNS_TEMP, .text = why });
}

static void
lower_ttl(struct question *q, bool has, uint32_t ttl_s)
{
	if (!has)
		ttl_s = 0;
	if (!q->has_ttl || ttl_s < q->ttl_s)
		q->ttl_s = ttl_s;
	q->has_ttl = true;
}

/* What it came to goes into the cache under the name that was asked for. */
static void
end(struct question *q, enum dns_status status, struct slice cname, struct slice records)
{
	struct cache_entry e = { .name = q->name,
		.type = q->type,
		.status = status,
		.flags = q->not_ad ? 0 : DNS_AD,
		.cname = cname,
		.records = records };
	struct reply reply = {
		.status = status, .flags = e.flags, .cname = cname, .records = records, .text = ""
	};

	reply.ttl_s = seconds(cache_put(q->r->cache, &e, q->ttl_s, clock_mono_ms()));
	conclude(q, &reply);
}

static void
end_from_cache(struct question *q, const struct reply *known)
{
	struct buf records = { 0 };
	char cname[DNS_NAME_MAX + 1];

	lower_ttl(q, true, known->ttl_s);
	q->not_ad |= (known->flags & DNS_AD) == 0;
	/* What is there moves when the cache is changed. */
	buf_slice(&records, known->records);
	slice_copy(known->cname.n > 0 ? known->cname : slice_z(q->at), cname, sizeof cname);
	end(q, known->status, slice_z(cname), slice_buf(&records));
	buf_fini(&records);
}

static void came(void *arg, enum upstream_end how, struct slice packet);

/* To the next name server. */
static void
send_next(struct question *q)
{
	struct resolver *r = q->r;
	struct buf query = { 0 };
	int server;

	q->source = NULL;
	if (q->tries == r->tries_max) {
		fail(q, q->why);
		return;
	}
	server = upstream_pick(LIST_FIRST(&r->sources)->upstream, q->told, q->asked);
	if (server < 0) {
		fail(q, q->why);
		return;
	}
	if (!answer_question_put(&query, (uint16_t)arc4random(), q->at, q->type)) {
		buf_fini(&query);
		fail(q, "no name for the wire");
		return;
	}
	q->tries++;
	q->asked[server]++;
	q->server = (unsigned)server;
	q->source = LIST_FIRST(&r->sources);
	q->source->users++;
	r->stats.sent++;
	upstream_ask(q->source->upstream, (unsigned)server, slice_buf(&query), came, q);
	buf_fini(&query);
}

static void
follow(struct question *q, const char *to)
{
	struct reply known;

	if (++q->steps > FOLLOW_MAX) {
		fail(q, "the chain of CNAMEs is too long, or a loop");
		return;
	}
	q->r->stats.followed++;
	slice_copy(slice_z(to), q->at, sizeof q->at);
	if (cached(q->r, q->at, q->type, &known)) {
		end_from_cache(q, &known);
		return;
	}
	q->tries = q->told = 0;
	memset(q->asked, 0, sizeof q->asked);
	send_next(q);
}

/* The names of a chain that was followed by asking end here as well. */
static struct slice
chain_end(const struct question *q, const struct answer *a)
{
	if (a->cname[0] != '\0')
		return slice_z(a->cname);
	return q->steps > 0 ? slice_z(q->at) : SLICE_NONE;
}

static void
answered(struct question *q, struct answer *a)
{
	struct slice cname = chain_end(q, a);

	lower_ttl(q, a->has_ttl, a->ttl_s);
	q->not_ad |= !a->ad;
	switch (a->kind) {
	case ANSWER_OK:
		end(q, DNS_OK, cname, slice_buf(&a->records));
		return;
	case ANSWER_NODATA:
		end(q, DNS_NODATA, cname, SLICE_NONE);
		return;
	case ANSWER_NXDOMAIN:
		end(q, DNS_NXDOMAIN, cname, SLICE_NONE);
		return;
	case ANSWER_FOLLOW:
		follow(q, a->cname);
		return;
	case ANSWER_UNUSABLE:
	case ANSWER_SERVFAIL:
	case ANSWER_REFUSED:
	case ANSWER_BAD:
		break; /* not called for these */
	}
	assert(false);
}

static void
came(void *arg, enum upstream_end how, struct slice packet)
{
	struct question *q = arg;
	struct answer *a = &q->r->answer;
	bool same = q->source == LIST_FIRST(&q->r->sources);

	if (--q->source->users == 0 && !same)
		timer_set(q->r->sweep, 0);
	if (how != UPSTREAM_ANSWER) {
		q->why = how == UPSTREAM_TIMEOUT ? "no name server answers"
						 : "no name server can be reached";
		send_next(q);
		return;
	}
	answer_read(packet, q->at, q->type, a);
	upstream_judge(
	    q->source->upstream, q->server, a->kind != ANSWER_BAD && a->kind != ANSWER_REFUSED);
	switch (a->kind) {
	case ANSWER_OK:
	case ANSWER_NODATA:
	case ANSWER_NXDOMAIN:
	case ANSWER_FOLLOW:
		answered(q, a);
		return;
	case ANSWER_UNUSABLE:
		fail(q, a->why);
		return;
	case ANSWER_SERVFAIL:
	case ANSWER_REFUSED:
		if (same)
			q->told |= 1U << q->server;
		break;
	case ANSWER_BAD:
		break;
	}
	q->why = a->why;
	send_next(q);
}

static void
start(struct question *q)
{
	q->r->stats.running++;
	q->r->shares[q->asker].running++;
	send_next(q);
}

static bool
may_run(const struct resolver *r, enum service asker)
{
	return r->stats.running < r->questions_max &&
	       r->shares[asker].running < r->questions_max / 2;
}

/* One of each service in turn, as long as there is room. */
static void
run_waiting(struct resolver *r)
{
	if (r->in_turn)
		return;
	r->in_turn = true;
	for (unsigned idle = 0; idle < SERVICES_ASKING && r->stats.waiting > 0;) {
		struct share *s;
		struct question *q;

		r->last = (r->last + 1) % SERVICES_ASKING;
		s = &r->shares[r->last];
		q = TAILQ_FIRST(&s->waiting);
		if (q == NULL || !may_run(r, (enum service)r->last)) {
			idle++;
			continue;
		}
		idle = 0;
		TAILQ_REMOVE(&s->waiting, q, link);
		s->nwaiting--;
		r->stats.waiting--;
		if (!TAILQ_EMPTY(&q->wishes) && clock_mono_ms() - q->since_ms < WAIT_MS) {
			start(q);
			continue;
		}
		r->stats.running++;
		s->running++;
		fail(q, "too many DNS questions are open");
	}
	r->in_turn = false;
}

static struct question *
question_new(struct resolver *r, const char *name, enum dns_type type, enum service asker)
{
	struct question *q = xcalloc(1, sizeof *q), **bucket = bucket_of(r, name, type);

	*q = (struct question){ .r = r,
		.asker = asker,
		.type = type,
		.next = *bucket,
		.since_ms = clock_mono_ms(),
		.why = "no name server answers" };
	TAILQ_INIT(&q->wishes);
	slice_copy(slice_z(name), q->name, sizeof q->name);
	slice_copy(slice_z(name), q->at, sizeof q->at);
	*bucket = q;
	return q;
}

struct wish *
resolver_ask(struct resolver *r, const char *name, enum dns_type type, enum service asker,
    resolver_fn *fn, void *arg)
{
	struct question *q = *bucket_of(r, name, type);
	struct wish *w;

	assert((unsigned)asker < SERVICES_ASKING);
	while (q != NULL && (q->type != type || strcmp(q->name, name) != 0))
		q = q->next;
	if (q == NULL && !may_run(r, asker) && r->shares[asker].nwaiting >= WAITING_MAX) {
		r->stats.refused++;
		return NULL;
	}
	w = xcalloc(1, sizeof *w);
	*w = (struct wish){ .fn = fn, .arg = arg };
	if (q != NULL) {
		r->stats.joined++;
		w->question = q;
		TAILQ_INSERT_TAIL(&q->wishes, w, link);
		return w;
	}
	w->question = q = question_new(r, name, type, asker);
	TAILQ_INSERT_TAIL(&q->wishes, w, link);
	if (may_run(r, asker)) {
		start(q);
		return w;
	}
	TAILQ_INSERT_TAIL(&r->shares[asker].waiting, q, link);
	r->shares[asker].nwaiting++;
	r->stats.waiting++;
	return w;
}

void
resolver_forget(struct wish *w)
{
	if (w == NULL)
		return;
	TAILQ_REMOVE(&w->question->wishes, w, link);
	free(w);
}

void
resolver_stats(const struct resolver *r, struct resolver_stats *out)
{
	*out = r->stats;
}

const struct upstream *
resolver_upstream(const struct resolver *r)
{
	return LIST_FIRST(&r->sources)->upstream;
}
