/* SPDX-License-Identifier: ISC */
#include "dnscache/control.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/json.h"
#include "base/log.h"

#include <stdlib.h>
#include <unistd.h>

static void
put_server(struct buf *b, const struct upstream *u, unsigned i)
{
	struct upstream_stats s;
	char text[46];

	upstream_stats(u, i, &s);
	addr_text(s.addr.host, text);
	json_open(b, '{');
	json_kz(b, "address", text);
	json_ku64(b, "port", s.addr.port);
	json_ku64(b, "asked", s.asked);
	json_ku64(b, "answered", s.answered);
	json_ku64(b, "timeouts", s.timeouts);
	json_ku64(b, "unreachable", s.unreachable);
	json_ku64(b, "bad", s.bad);
	json_ku64(b, "over_tcp", s.over_tcp);
	json_ku64(b, "failures", s.failures);
	json_kbool(b, "resting", s.resting);
	json_close(b, '}');
}

static void
put_resolver(struct buf *b, const struct control *c)
{
	const struct upstream *u = resolver_upstream(c->resolver);
	struct resolver_stats r;

	resolver_stats(c->resolver, &r);
	json_ku64(b, "asked", r.asked);
	json_ku64(b, "known", r.known);
	json_ku64(b, "joined", r.joined);
	json_ku64(b, "sent", r.sent);
	json_ku64(b, "followed", r.followed);
	for (unsigned i = 0; i <= DNS_TEMP; i++)
		json_ku64(b, dns_status_word((uint8_t)i), r.ended[i]);
	json_ku64(b, "running", r.running);
	json_ku64(b, "waiting", r.waiting);
	json_ku64(b, "refused", r.refused + c->askers->refused);
	json_key(b, "servers");
	json_open(b, '[');
	for (unsigned i = 0; i < upstream_count(u); i++)
		put_server(b, u, i);
	json_close(b, ']');
}

static void
put_cache(struct buf *b, const struct control *c)
{
	struct cache_stats s;
	struct warm_stats w;

	cache_stats(c->cache, &s);
	warm_stats(c->warm, &w);
	json_ku64(b, "entries", s.entries);
	json_ku64(b, "bytes", s.bytes);
	json_ku64(b, "hits", s.hits);
	json_ku64(b, "misses", s.misses);
	json_ku64(b, "evicted", s.evicted);
	json_ku64(b, "loaded", w.loaded);
	json_ku64(b, "saved", w.saved);
	json_ku64(b, "save_failed", w.failed);
	json_kbool(b, "file_damaged", w.damaged);
}

static void
verb_status(struct ctl_call *call, struct slice args)
{
	struct control *c = ctl_arg(call);
	struct buf *b = ctl_out(call);
	struct cache_stats s;
	struct resolver_stats r;

	(void)args;
	cache_stats(c->cache, &s);
	resolver_stats(c->resolver, &r);
	json_open(b, '{');
	json_kz(b, "service", "dnscache");
	json_ku64(b, "pid", (uint64_t)getpid());
	json_ku64(b, "generation", c->generation);
	json_ku64(b, "uptime_ms", clock_mono_ms() - c->started_ms);
	json_ku64(b, "links", c->askers->links);
	json_ku64(b, "asked", r.asked);
	json_ku64(b, "running", r.running);
	json_ku64(b, "waiting", r.waiting);
	json_ku64(b, "temp", r.ended[DNS_TEMP]);
	json_ku64(b, "entries", s.entries);
	json_close(b, '}');
	buf_putc(b, '\n');
	ctl_end(call, 0, NULL);
}

static void
verb_stats(struct ctl_call *call, struct slice args)
{
	struct control *c = ctl_arg(call);
	struct buf *b = ctl_out(call);

	(void)args;
	json_open(b, '{');
	put_cache(b, c);
	put_resolver(b, c);
	json_close(b, '}');
	buf_putc(b, '\n');
	ctl_end(call, 0, NULL);
}

/* A record as a line of a zone would have it. */
static void
put_text(struct buf *b, enum dns_type type, const struct dns_record *r)
{
	uint8_t ip[16] = { [10] = 0xff, 0xff };
	char text[46];

	switch (type) {
	case DNS_A:
	case DNS_AAAA:
		memcpy(ip + 16 - r->data.n, r->data.p, r->data.n);
		addr_text(ip, text);
		buf_puts(b, text);
		return;
	case DNS_MX:
		buf_printf(b, "%u ", r->preference);
		break;
	case DNS_TXT:
		buf_slice(b, r->data);
		return;
	case DNS_CNAME:
	case DNS_PTR:
		break;
	}
	buf_slice(b, r->data.n > 0 ? r->data : SLICE_LIT("."));
}

static void
put_records(struct buf *b, enum dns_type type, struct slice rest)
{
	struct dns_record r;
	struct buf text = { 0 };

	json_key(b, "records");
	json_open(b, '[');
	while (dns_record_next(&rest, type, &r) == 1) {
		buf_reset(&text);
		put_text(&text, type, &r);
		json_str(b, slice_buf(&text));
	}
	json_close(b, ']');
	buf_fini(&text);
}

static void
put_answer(struct buf *b, const char *name, enum dns_type type, const struct reply *reply)
{
	json_open(b, '{');
	json_kz(b, "name", name);
	json_kz(b, "type", dns_type_word((uint16_t)type));
	json_kz(b, "status", dns_status_word((uint8_t)reply->status));
	json_ku64(b, "ttl_s", reply->ttl_s);
	json_kbool(b, "ad", (reply->flags & DNS_AD) != 0);
	json_kbool(b, "cached", (reply->flags & DNS_CACHED) != 0);
	json_kstr(b, "cname", reply->cname);
	put_records(b, type, reply->records);
	if (reply->status == DNS_TEMP)
		json_kz(b, "text", reply->text);
	json_close(b, '}');
	buf_putc(b, '\n');
}

struct lookup {
	struct control *c;
	uint64_t call;
	enum dns_type type;
	char name[DNS_NAME_MAX + 1];
};

/* 0 also where the name is not there: that is an answer. TEMP is none. */
static void
tell_lookup(struct ctl_call *call, const char *name, enum dns_type type, const struct reply *reply)
{
	put_answer(ctl_out(call), name, type, reply);
	ctl_end(call, reply->status == DNS_TEMP ? EXIT_TEMP : 0, reply->text);
}

static void
looked_up(void *arg, const struct reply *reply)
{
	struct lookup *l = arg;
	struct ctl_call *call = ctl_by_token(l->c->server, l->call);

	if (call != NULL)
		tell_lookup(call, l->name, l->type, reply);
	free(l);
}

/* NAME, or ADDRESS: then the name that its PTR has. */
static bool
take_name(struct slice word, char *name, bool *is_address)
{
	uint8_t ip[16];

	*is_address = addr_host_parse(word, ip);
	if (*is_address)
		dns_reverse_name(ip, name);
	return *is_address || dns_name_clean(word, name);
}

/* NAME or ADDRESS, and TYPE: A is meant where none is given, PTR of an address. */
static bool
lookup_words(struct slice args, char *name, enum dns_type *type)
{
	struct slice word;
	bool is_address;

	if (!ctl_word(&args, &word) || !take_name(word, name, &is_address))
		return false;
	*type = is_address ? DNS_PTR : DNS_A;
	return !ctl_word(&args, &word) || dns_type_of(word, type);
}

static void
verb_lookup(struct ctl_call *call, struct slice args)
{
	struct control *c = ctl_arg(call);
	struct lookup *l = xcalloc(1, sizeof *l);
	struct reply reply;

	if (!lookup_words(args, l->name, &l->type)) {
		ctl_end(call, EXIT_USAGE, "lookup NAME|ADDRESS [A|AAAA|MX|PTR|TXT|CNAME]");
		free(l);
		return;
	}
	l->c = c;
	l->call = ctl_token(call);
	if (resolver_knows(c->resolver, l->name, l->type, &reply)) {
		tell_lookup(call, l->name, l->type, &reply);
		free(l);
		return;
	}
	if (resolver_ask(c->resolver, l->name, l->type, SERVICE_CTL, looked_up, l) == NULL) {
		ctl_end(call, EXIT_TEMP, "too many DNS questions are open");
		free(l);
	}
}

struct dump {
	struct control *c;
	struct buf *out;
	uint64_t cursor, now_ms;
};

static bool
dump_entry(void *arg, const struct cache_entry *e)
{
	struct dump *d = arg;
	struct reply reply = { .status = e->status,
		.ttl_s = (uint32_t)((e->expires_ms - d->now_ms) / 1000),
		.flags = e->flags | DNS_CACHED,
		.cname = e->cname,
		.records = e->records };

	put_answer(d->out, e->name, e->type, &reply);
	return d->out->n < 32 * 1024;
}

static void
dump_some(struct ctl_call *call, void *state)
{
	struct dump *d = state;

	d->out = ctl_out(call);
	d->now_ms = clock_mono_ms();
	if (cache_walk(d->c->cache, &d->cursor, d->now_ms, dump_entry, d))
		ctl_more(call, dump_some, d, NULL);
	else
		ctl_end(call, 0, NULL);
}

static void
verb_dump(struct ctl_call *call, struct slice args)
{
	struct dump *d = xcalloc(1, sizeof *d);

	(void)args;
	d->c = ctl_arg(call);
	ctl_more(call, dump_some, d, free);
}

static void
verb_flush(struct ctl_call *call, struct slice args)
{
	struct control *c = ctl_arg(call);
	char name[DNS_NAME_MAX + 1];
	struct slice word;
	bool one = ctl_word(&args, &word), is_address;
	struct buf *b;

	if (one && !take_name(word, name, &is_address)) {
		ctl_end(call, EXIT_USAGE, "flush [NAME|ADDRESS]");
		return;
	}
	b = ctl_out(call);
	json_open(b, '{');
	json_ku64(b, "flushed", cache_flush(c->cache, one ? name : NULL));
	json_close(b, '}');
	buf_putc(b, '\n');
	ctl_end(call, 0, NULL);
}

const struct ctl_verb control_verbs[] = {
	{ "status", CTL_ANYONE, true, verb_status, "how the service is" },
	{ "stats", CTL_ANYONE, true, verb_stats, "the cache, the questions, the name servers" },
	{ "lookup", CTL_ANYONE, true, verb_lookup,
	    "NAME|ADDRESS [TYPE]: asks as the services of the house do" },
	{ "dump", CTL_ADMIN, true, verb_dump, "all that is in the cache" },
	{ "flush", CTL_ADMIN, false, verb_flush, "[NAME|ADDRESS]: forgets all, or all of a name" },
	{ NULL, CTL_ADMIN, false, NULL, NULL },
};
