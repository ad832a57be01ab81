/* SPDX-License-Identifier: ISC */
#include "dns/mx.h"

#include "base/die.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { V4, V6, FAMILIES };

struct exchanger {
	char name[DNS_NAME_MAX + 1];
	uint16_t preference;
	bool self;
	struct lookup {
		bool asked, answered, cut;
		enum dns_status status;
		unsigned n;
		uint8_t ip[MX_ADDRS_MAX][16];
	} of[FAMILIES];
};

struct mx {
	char name[DNS_NAME_MAX + 1];
	uint16_t port;
	unsigned flags;
	char hostname[DNS_NAME_MAX + 1];
	struct addr *self;
	size_t nself;
	bool bad_name, asked, answered, null, cut;
	enum dns_status status; /* of the MX question */
	bool implicit;		/* no MX: the name is its own exchanger */
	uint32_t ttl_s;
	char trouble[MX_TEXT_MAX / 2]; /* the first reason why something is not known */
	unsigned n;
	struct exchanger *at; /* by preference */
};

static const enum dns_type types[FAMILIES] = { DNS_A, DNS_AAAA };

static void
add(struct mx *m, struct slice name, uint16_t preference)
{
	m->at = xrealloc(m->at, (m->n + 1) * sizeof *m->at);
	m->at[m->n] = (struct exchanger){ .preference = preference };
	slice_copy(name, m->at[m->n].name, sizeof m->at[m->n].name);
	m->n++;
}

struct mx *
mx_new(struct slice name, uint16_t port, unsigned flags, const struct mx_self *self)
{
	struct mx *m = xcalloc(1, sizeof *m);

	m->port = port;
	m->flags = flags;
	m->ttl_s = UINT32_MAX;
	if (!dns_name_clean(name, m->name)) {
		m->bad_name = true;
		return m;
	}
	if (!(flags & MX_LOOK)) {
		m->asked = m->answered = m->implicit = true;
		add(m, slice_z(m->name), 0);
		return m;
	}
	if (self != NULL && self->hostname != NULL &&
	    !dns_name_clean(slice_z(self->hostname), m->hostname))
		m->hostname[0] = '\0';
	if (self != NULL && self->n > 0) {
		m->nself = self->n;
		m->self = xmalloc(self->n * sizeof *m->self);
		memcpy(m->self, self->at, self->n * sizeof *m->self);
	}
	return m;
}

void
mx_free(struct mx *m)
{
	if (m == NULL)
		return;
	free(m->self);
	free(m->at);
	free(m);
}

/* Question 0 is for the exchangers, 1 and up for their addresses. */
bool
mx_ask(struct mx *m, struct mx_question *out)
{
	if (m->bad_name)
		return false;
	if (!m->asked) {
		m->asked = true;
		*out = (struct mx_question){ .number = 0, .type = DNS_MX, .name = m->name };
		return true;
	}
	for (unsigned i = 0; m->answered && i < m->n * FAMILIES; i++) {
		struct exchanger *x = &m->at[i / FAMILIES];

		if (x->of[i % FAMILIES].asked)
			continue;
		x->of[i % FAMILIES].asked = true;
		*out = (struct mx_question){
			.number = 1 + i, .type = types[i % FAMILIES], .name = x->name
		};
		return true;
	}
	return false;
}

bool
mx_done(const struct mx *m)
{
	if (m->bad_name)
		return true;
	for (unsigned i = 0; i < m->n * FAMILIES; i++)
		if (!m->at[i / FAMILIES].of[i % FAMILIES].answered)
			return false;
	return m->answered;
}

/* ---- answers ---- */

/* An exchanger that is an address as text is none (RFC 5321 5.1: a name stands there). */
static bool
is_exchanger(struct slice name, char clean[static DNS_NAME_MAX + 1])
{
	uint8_t ip[16];

	return !addr_host_parse(name, ip) && dns_name_clean(name, clean);
}

static int
by_preference(const void *a, const void *b)
{
	const struct exchanger *x = a, *y = b;
	int names = strcmp(x->name, y->name);

	return x->preference != y->preference ? (x->preference < y->preference ? -1 : 1) : names;
}

/* Sorted, each name once with its best preference. */
static void
put_in_order(struct mx *m)
{
	unsigned n = 0;

	if (m->n > 0)
		qsort(m->at, m->n, sizeof *m->at, by_preference);
	for (unsigned i = 0; i < m->n; i++) {
		unsigned k = 0;

		while (k < n && strcmp(m->at[k].name, m->at[i].name) != 0)
			k++;
		if (k == n && n++ != i)
			m->at[k] = m->at[i];
	}
	m->cut = n > MX_EXCHANGERS_MAX;
	m->n = m->cut ? MX_EXCHANGERS_MAX : n;
}

/* From our own preference on nobody is asked about. */
static void
cut_at_own_name(struct mx *m)
{
	for (unsigned i = 0; i < m->n; i++) {
		struct exchanger *x = &m->at[i];

		if (m->hostname[0] == '\0' || strcmp(x->name, m->hostname) != 0)
			continue;
		x->self = true;
		for (unsigned k = 0; k < m->n; k++)
			for (unsigned f = 0; m->at[k].preference >= x->preference && f < FAMILIES;
			     f++)
				m->at[k].of[f] = (struct lookup){
					.asked = true, .answered = true, .status = DNS_NODATA
				};
		return;
	}
}

static void
take_exchangers(struct mx *m, const struct mx_answer *a)
{
	struct slice rest = a->records;
	char clean[DNS_NAME_MAX + 1];
	struct dns_record r;
	unsigned seen = 0;
	int more;

	while ((more = dns_record_next(&rest, DNS_MX, &r)) == 1) {
		seen++;
		m->null = r.data.n == 0 && seen == 1;
		if (is_exchanger(r.data, clean))
			add(m, slice_z(clean), r.preference);
	}
	m->null &= seen == 1;
	if (more < 0)
		m->status = DNS_TEMP;
	put_in_order(m);
	cut_at_own_name(m);
}

/* What no host can have: unspecified, multicast, broadcast. To connect to 0.0.0.0 is to connect to
 * oneself. */
static bool
is_host(const uint8_t ip[16])
{
	static const uint8_t any[16];

	if (addr_is_v4(ip))
		return ip[12] != 0 && ip[12] < 224;
	return memcmp(ip, any, 16) != 0 && ip[0] != 0xff;
}

static bool
is_self(const struct mx *m, const uint8_t ip[16])
{
	for (size_t i = 0; i < m->nself; i++)
		if (m->self[i].port == m->port && memcmp(m->self[i].host, ip, 16) == 0)
			return true;
	return false;
}

static void
take_addresses(struct mx *m, struct exchanger *x, unsigned family, const struct mx_answer *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct lookup *l = &x->of[family];
	struct slice rest = a->records;
	struct dns_record r;
	int more;

	if (m->hostname[0] != '\0' && slice_iis(a->cname, m->hostname))
		x->self = true;
	while ((more = dns_record_next(&rest, types[family], &r)) == 1) {
		uint8_t ip[16];

		if (r.data.n != (family == V4 ? 4 : 16))
			continue;
		memcpy(ip, mapped, sizeof mapped);
		memcpy(ip + 16 - r.data.n, r.data.p, r.data.n);
		if (!is_host(ip))
			continue;
		x->self |= is_self(m, ip);
		if (l->n == MX_ADDRS_MAX)
			l->cut = true;
		else
			memcpy(l->ip[l->n++], ip, 16);
	}
	if (more < 0)
		l->status = DNS_TEMP;
}

static void
note_trouble(struct mx *m, const char *name, enum dns_type type, struct slice text)
{
	if (text.n == 0)
		text = SLICE_LIT("no answer");
	if (m->trouble[0] == '\0')
		snprintf(m->trouble, sizeof m->trouble, "%s of %.64s: %.*s",
		    dns_type_word((uint16_t)type), name, SLICE_ARG(text));
}

void
mx_answer(struct mx *m, unsigned number, const struct mx_answer *a)
{
	struct exchanger *x = NULL;
	struct lookup *l = NULL;

	if (number > 0) {
		assert(number - 1 < m->n * FAMILIES);
		x = &m->at[(number - 1) / FAMILIES];
		l = &x->of[(number - 1) % FAMILIES];
		assert(!l->answered);
		l->answered = true;
		l->status = a->status;
	} else {
		assert(!m->answered);
		m->answered = true;
		m->status = a->status;
	}
	if (a->status == DNS_TEMP)
		note_trouble(m, x == NULL ? m->name : x->name,
		    x == NULL ? DNS_MX : types[(number - 1) % FAMILIES], a->text);
	else if (a->ttl_s < m->ttl_s)
		m->ttl_s = a->ttl_s;
	if (x != NULL && a->status == DNS_OK)
		take_addresses(m, x, (number - 1) % FAMILIES, a);
	else if (x == NULL && a->status == DNS_OK)
		take_exchangers(m, a);
	else if (x == NULL && a->status == DNS_NODATA) {
		m->implicit = true;
		add(m, slice_z(m->name), 0);
		cut_at_own_name(m);
	}
}

/* ---- the conclusion ---- */

#define ENH(a, b, c) ((const uint8_t[]){ a, b, c })

__attribute__((format(printf, 6, 7))) static void
say(const struct mx *m, struct mx_result *out, enum outcome_kind kind, uint16_t code,
    const uint8_t enh[3], const char *fmt, ...)
{
	va_list ap;
	static const uint8_t not_there[3] = { 4, 4, 4 };

	out->kind = kind;
	out->code = code;
	/* A configured next hop that is not there is our trouble, not the recipient's. */
	if (kind == OUTCOME_PERM && !(m->flags & MX_OWN)) {
		out->kind = OUTCOME_TEMP;
		out->code = 0;
		enh = not_there;
	}
	memcpy(out->enh, enh, sizeof out->enh);
	va_start(ap, fmt);
	vsnprintf(out->text, sizeof out->text, fmt, ap);
	va_end(ap);
}

static const char *
trouble(const struct mx *m)
{
	return m->trouble[0] != '\0' ? m->trouble : "an answer cannot be read";
}

/* The first preference that is ours; UINT32_MAX: none is. */
static uint32_t
own_preference(const struct mx *m)
{
	for (unsigned i = 0; i < m->n; i++)
		if (m->at[i].self)
			return m->at[i].preference;
	return UINT32_MAX;
}

static bool
is_there(const struct mx_result *r, const struct mx_host *h)
{
	for (unsigned i = 0; i < r->nhosts; i++)
		if (r->host[i].port == h->port && memcmp(r->host[i].ip, h->ip, 16) == 0)
			return true;
	return false;
}

static void
put_hosts(const struct mx *m, unsigned at, uint8_t rank, struct mx_result *out)
{
	const struct exchanger *x = &m->at[at];

	for (unsigned k = 0; k < FAMILIES; k++) {
		unsigned f = m->flags & MX_IPV6_FIRST ? V6 - k : k;

		if (!(m->flags & (f == V4 ? MX_IPV4 : MX_IPV6)))
			continue;
		out->partial |= x->of[f].cut;
		for (unsigned i = 0; i < x->of[f].n; i++) {
			struct mx_host h = { .name = x->name,
				.port = m->port,
				.rank = rank,
				.exchanger = (uint8_t)at,
				.family = (uint8_t)k };

			memcpy(h.ip, x->of[f].ip[i], 16);
			if (is_there(out, &h))
				continue;
			if (out->nhosts == MX_HOSTS_MAX)
				out->partial = true;
			else
				out->host[out->nhosts++] = h;
		}
	}
}

/* Something about it is not known. A name that is not there has no address of any kind (RFC 8020).
 */
static bool
is_doubtful(const struct exchanger *x)
{
	if (x->of[V4].status == DNS_NXDOMAIN || x->of[V6].status == DNS_NXDOMAIN)
		return false;
	return x->of[V4].status == DNS_TEMP || x->of[V6].status == DNS_TEMP;
}

/* It has addresses, of a family that is switched off: others reach it, so it is no bounce. */
static bool
is_out_of_reach(const struct mx *m, const struct exchanger *x)
{
	return (x->of[V4].n > 0 && !(m->flags & MX_IPV4)) ||
	       (x->of[V6].n > 0 && !(m->flags & MX_IPV6));
}

/* Those of MX: what stands fast without any address. True: it is the conclusion. */
static bool
conclude_name(const struct mx *m, struct mx_result *out)
{
	if (m->bad_name)
		say(m, out, OUTCOME_PERM, 0, ENH(5, 1, 2), "the domain is not a domain name");
	else if (m->status == DNS_TEMP)
		say(m, out, OUTCOME_TEMP, 0, ENH(4, 4, 3), "the DNS does not tell now: %s",
		    trouble(m));
	else if (m->status == DNS_NXDOMAIN)
		say(m, out, OUTCOME_PERM, 0, ENH(5, 1, 2), "the domain %s does not exist", m->name);
	else if (m->null)
		say(m, out, OUTCOME_PERM, 556, ENH(5, 1, 10),
		    "the domain %s takes no mail (null MX)", m->name);
	else
		return false;
	return true;
}

static void
conclude_none(const struct mx *m, struct mx_result *out, bool doubt, bool unreachable, bool self)
{
	if (doubt)
		say(m, out, OUTCOME_TEMP, 0, ENH(4, 4, 3), "the DNS does not tell now: %s",
		    trouble(m));
	else if (unreachable)
		say(m, out, OUTCOME_TEMP, 0, ENH(4, 4, 4),
		    "%s has only addresses of a family that is switched off here", m->name);
	else if (self)
		say(m, out, OUTCOME_PERM, 0, ENH(5, 4, 6), "mail for %s loops back to this host",
		    m->name);
	else if (m->cut)
		say(m, out, OUTCOME_TEMP, 0, ENH(4, 4, 4),
		    "the first %d mail exchangers of %s have no address", MX_EXCHANGERS_MAX,
		    m->name);
	else if (m->implicit && (m->flags & MX_LOOK))
		say(m, out, OUTCOME_PERM, 0, ENH(5, 4, 4),
		    "%s has no mail exchanger and no address", m->name);
	else if (m->implicit)
		say(m, out, OUTCOME_PERM, 0, ENH(5, 4, 4), "%s has no address", m->name);
	else
		say(m, out, OUTCOME_PERM, 0, ENH(5, 4, 4), "no mail exchanger of %s has an address",
		    m->name);
}

void
mx_conclude(struct mx *m, struct mx_result *out)
{
	uint32_t own = own_preference(m);
	bool doubt = false, unreachable = false;
	uint8_t rank = 0;

	assert(mx_done(m));
	*out = (struct mx_result){ .kind = OUTCOME_OK,
		.ttl_s = m->ttl_s == UINT32_MAX ? 0 : m->ttl_s,
		.partial = m->cut };
	if (conclude_name(m, out))
		return;
	for (unsigned i = 0; i < m->n && m->at[i].preference < own; i++) {
		if (i > 0 && m->at[i].preference != m->at[i - 1].preference)
			rank++;
		doubt |= is_doubtful(&m->at[i]);
		unreachable |= is_out_of_reach(m, &m->at[i]);
		put_hosts(m, i, rank, out);
	}
	out->partial |= doubt || unreachable;
	if (out->nhosts == 0)
		conclude_none(m, out, doubt, unreachable, own != UINT32_MAX);
}

/* ---- order ---- */

struct dealt {
	struct mx_host host;
	uint64_t exchanger, own; /* random */
};

static int
by_deal(const void *a, const void *b)
{
	const struct dealt *x = a, *y = b;

	if (x->host.rank != y->host.rank)
		return x->host.rank < y->host.rank ? -1 : 1;
	if (x->exchanger != y->exchanger)
		return x->exchanger < y->exchanger ? -1 : 1;
	if (x->host.family != y->host.family)
		return x->host.family < y->host.family ? -1 : 1;
	return x->own < y->own ? -1 : x->own > y->own;
}

void
mx_shuffle(struct mx_host *host, unsigned n, uint64_t (*random)(void *arg), void *arg)
{
	struct dealt all[MX_HOSTS_MAX];

	assert(n <= MX_HOSTS_MAX);
	for (unsigned i = 0; i < n; i++) {
		unsigned k = 0;

		while (k < i && host[k].exchanger != host[i].exchanger)
			k++;
		all[i] = (struct dealt){ .host = host[i],
			.exchanger = k < i ? all[k].exchanger : random(arg),
			.own = random(arg) };
	}
	if (n > 1)
		qsort(all, n, sizeof *all, by_deal);
	for (unsigned i = 0; i < n; i++)
		host[i] = all[i].host;
}
