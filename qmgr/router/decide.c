/* SPDX-License-Identifier: ISC */
#include "qmgr/router/decide.h"

#include "base/service.h"
#include "conf/scope.h"
#include "qmgr/router/names.h"
#include "smtp/path.h"

static void
say(struct decision *d, enum route_action action, uint16_t code, const char *enh, const char *text,
    const char *rule)
{
	*d = (struct decision){ .action = action, .code = code, .text = text, .rule = rule };
	for (int i = 0; i < 3; i++)
		d->enh[i] = (uint8_t)(enh[i * 2] - '0');
}

static struct slice
lower(struct arena *a, struct slice s)
{
	char *z = arena_z(a, s);

	for (size_t i = 0; i < s.n; i++)
		z[i] = ascii_lower(z[i]);
	return slice_of(z, s.n);
}

static void
add_hop(struct route *r, struct slice host, uint16_t port)
{
	if (r->nhops < ROUTE_HOPS_MAX)
		r->hops[r->nhops++] = (struct route_hop){ .host = host, .port = port };
}

/* False: there are hops, but none whose address is known. */
static bool
add_hops(const struct names *names, const struct conf_hops *hops, struct route *r)
{
	for (size_t i = 0; i < hops->n; i++) {
		struct slice addrs[NAMES_ADDRS_MAX];
		unsigned n;

		if (hops->at[i].literal) {
			add_hop(r, slice_z(hops->at[i].host), hops->at[i].port);
			continue;
		}
		n = names_get(names, hops->at[i].host, addrs);
		for (unsigned k = 0; k < n; k++)
			add_hop(r, addrs[k], hops->at[i].port);
	}
	return r->nhops > 0;
}

static void
to_next_hops(const struct conf *c, const struct names *names, struct slice domain, const char *rule,
    struct decision *d)
{
	const struct scope_values *v = scope_values(c, SLICE_NONE, SLICE_NONE, domain);

	say(d, ROUTE_DELIVER, 0, "0.0.0", "", rule);
	d->route = (struct route){ .transport = SLICE_LIT("smtp"), .domain = domain };
	if (v->route.n == 0 && v->route_rule[0] != '\0')
		say(d, ROUTE_REFUSE, 550, "5.1.2", "Mail for this domain is not sent from here",
		    "no-route");
	else if (v->route.n == 0)
		say(d, ROUTE_TEMP, 451, "4.4.4", "No route to this domain is configured",
		    "no-route");
	else if (!add_hops(names, &v->route, &d->route))
		say(d, ROUTE_TEMP, 451, "4.4.3", "The next hop has no known address", "no-address");
}

/* The rule that lets this mail pass, or NULL with the refusal in *d. */
static const char *
granted_by(const struct conf *c, const struct question *q, const struct path *to,
    struct slice domain, struct decision *d)
{
	if (q->again)
		return "again";
	if (q->class == CLASS_LOCAL || q->class == CLASS_BOUNCED)
		return "local";
	if (q->class == CLASS_SUBMISSION) {
		if (q->has_client && conf_in_nets(&c->submission_networks, q->client))
			return "submission";
		say(d, ROUTE_REFUSE, 550, "5.7.1", "Submission is not allowed from this address",
		    "submission-denied");
		return NULL;
	}
	if (q->has_client && conf_in_nets(&c->relay_networks, q->client))
		return "relay-networks";
	if (conf_in_domains(&c->relay_domains, domain))
		return "relay-domains";
	if (path_is_postmaster(to) &&
	    (slice_iis(domain, c->myorigin) || slice_iis(domain, c->hostname)))
		return "postmaster";
	say(d, ROUTE_REFUSE, 554, "5.7.1", "Relay access denied", "relay-denied");
	return NULL;
}

void
decide(const struct conf *c, const struct names *names, const struct question *q, struct arena *a,
    struct decision *out)
{
	struct path to;
	struct slice domain;
	const char *rule;

	if (path_address(q->rcpt, PATH_UTF8 | PATH_UNQUALIFIED, &to) != PATH_OK ||
	    (to.domain.n == 0 && !path_is_postmaster(&to))) {
		say(out, ROUTE_REFUSE, 501, "5.1.3", "Not an address", "bad-address");
		return;
	}
	domain = to.domain.n == 0 ? slice_z(c->myorigin) : to.domain;
	domain = lower(a, domain);
	rule = granted_by(c, q, &to, domain, out);
	if (rule != NULL)
		to_next_hops(c, names, domain, rule, out);
}
