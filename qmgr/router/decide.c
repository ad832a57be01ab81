/* SPDX-License-Identifier: ISC */
#include "qmgr/router/decide.h"

#include "base/service.h"
#include "conf/scope.h"
#include "qmgr/router/route_table.h"

struct deciding {
	const struct conf *c;
	const struct directory *dir;
	const struct question *q;
	struct arena *a;
	struct decision *out;
	struct path to;
	struct slice local, domain; /* plain; lower case */
	const char *rule;	    /* that lets this mail pass */
};

static struct slice
lower(struct arena *a, struct slice s)
{
	char *z = arena_z(a, s);

	for (size_t i = 0; i < s.n; i++)
		z[i] = ascii_lower(z[i]);
	return slice_of(z, s.n);
}

/* ---- may the asker send there? ---- */

/* The rule that lets this mail pass, or NULL with the refusal in *d. */
static const char *
granted_by(const struct conf *c, const struct question *q, const struct path *to,
    struct slice domain, struct decision *d)
{
	if (q->again != QUESTION_RCPT)
		return "again";
	if (q->class == CLASS_LOCAL || q->class == CLASS_BOUNCED)
		return "local";
	if (q->class == CLASS_SUBMISSION) {
		if (q->has_client && conf_in_nets(&c->submission_networks, q->client))
			return "submission";
		decision_say(d, ROUTE_REFUSE, 550, "5.7.1",
		    "Submission is not allowed from this address", "submission-denied");
		return NULL;
	}
	if (conf_in_domains(&c->local_domains, domain))
		return "local-domains";
	if (conf_in_domains(&c->virtual_domains, domain))
		return "virtual-domains";
	if (q->has_client && conf_in_nets(&c->relay_networks, q->client))
		return "relay-networks";
	if (conf_in_domains(&c->relay_domains, domain))
		return "relay-domains";
	if (path_is_postmaster(to) &&
	    (slice_iis(domain, c->myorigin) || slice_iis(domain, c->hostname)))
		return "postmaster";
	decision_say(d, ROUTE_REFUSE, 554, "5.7.1", "Relay access denied", "relay-denied");
	return NULL;
}

/* ---- tables ---- */

static void
expand_problem(enum expand_problem problem, struct decision *d)
{
	switch (problem) {
	case EXPAND_FINE:
		break;
	case EXPAND_LOOP:
		decision_say(d, ROUTE_REFUSE, 550, "5.4.6", "The names of this address form a loop",
		    "alias-loop");
		break;
	case EXPAND_TROUBLE:
		decision_say(
		    d, ROUTE_TEMP, 451, "4.3.5", "The aliases cannot be read now", "alias-trouble");
		break;
	case EXPAND_TOO_MANY:
		decision_say(d, ROUTE_TEMP, 451, "4.3.5",
		    "This address expands to more addresses than are allowed", "alias-trouble");
		break;
	case EXPAND_BAD:
		decision_say(d, ROUTE_TEMP, 451, "4.3.5",
		    "This address expands to something that is no address", "alias-trouble");
		break;
	}
}

/* True: the tables have decided. */
static bool
by_tables(struct deciding *s)
{
	struct expansion x;

	if (s->q->again == QUESTION_RESULT)
		return false;
	expand(s->c, s->dir, &s->to, s->domain, s->a, &x);
	if (!x.any)
		return false;
	if (x.problem != EXPAND_FINE) {
		expand_problem(x.problem, s->out);
		return true;
	}
	/* Itself and nothing else: nothing is to be expanded. */
	if (x.n == 1 && slice_eq(x.list[0], expand_address(s->c, s->local, s->domain, s->a)))
		return false;
	decision_say(s->out, ROUTE_EXPAND, 0, "0.0.0", "", x.rule);
	s->out->list = x.list;
	s->out->nlist = x.n;
	return true;
}

/* What an expansion left that this version cannot carry out (expand.h). True: it is such. */
static bool
is_alias_kind(struct deciding *s)
{
	const char *what = NULL;
	struct buf text = { 0 };
	struct slice name = s->local;

	if (s->q->again != QUESTION_RESULT || name.n < 2)
		return false;
	if (name.p[0] == '|')
		what = "a command";
	else if (name.p[0] == '/')
		what = "a file";
	else if (slice_istarts(name, ":include:"))
		what = "a list in a file";
	if (what == NULL)
		return false;
	name = slice_from(name, name.p[0] == ':' ? 9 : 1);
	buf_printf(
	    &text, "Alias %.*s: delivery to %s is not done by this version", SLICE_ARG(name), what);
	decision_say(
	    s->out, ROUTE_TEMP, 451, "4.3.5", arena_z(s->a, slice_buf(&text)), "alias-kind");
	buf_fini(&text);
	return true;
}

/* ---- users ---- */

static void
unknown(struct deciding *s, const char *text)
{
	if (s->q->again == QUESTION_RCPT && s->q->class == CLASS_LOCAL)
		decision_say(s->out, ROUTE_EXPAND, 0, "0.0.0", text, "unknown-user");
	else
		decision_say(s->out, ROUTE_REFUSE, 550, "5.1.1", text, "unknown-user");
}

/* True: there is one who may have mail. Else *s->out says what. */
static bool
is_user(struct deciding *s)
{
	struct slice base = expand_base(s->c, s->local);
	uint32_t uid = 0;
	enum found whole = s->dir->user(s->dir->ctx, s->local, &uid), found = whole;

	if (whole == FOUND_NO && base.n < s->local.n)
		found = s->dir->user(s->dir->ctx, base, &uid);
	switch (found) {
	case FOUND_LATER:
		s->out->later = true;
		return false;
	case FOUND_ERROR:
		decision_say(
		    s->out, ROUTE_TEMP, 451, "4.3.5", "The users cannot be looked up now", "users");
		return false;
	case FOUND_NO:
		unknown(s, "User unknown");
		return false;
	case FOUND_YES:
		break;
	}
	if (uid >= s->c->local_uid_min)
		return true;
	if (s->q->again == QUESTION_RCPT)
		decision_say(s->out, ROUTE_EXPAND, 0, "0.0.0", "", "no-mailbox");
	else
		decision_say(s->out, ROUTE_TEMP, 451, "4.3.5",
		    "This user has no mailbox (local_uid_min): an alias is missing", "no-mailbox");
	return false;
}

/* ---- where to ---- */

static void
to_local(struct deciding *s, const char *rule)
{
	const struct conf_locally *l = &s->c->local_transport;
	struct buf host = { 0 };

	decision_say(s->out, ROUTE_DELIVER, 0, "0.0.0", "", rule);
	s->out->route =
	    (struct route){ .transport = l->lmtp ? SLICE_LIT("lmtp") : SLICE_LIT("local"),
		    .domain = s->domain };
	if (l->path != NULL) {
		buf_printf(&host, "unix:%s", l->path);
		decision_hop(s->out, arena_slice(s->a, slice_buf(&host)), 0, false);
		buf_fini(&host);
	} else if (l->lmtp) {
		decision_hop(s->out, slice_z(l->hop.host), l->hop.port, false);
	}
}

/* What the configuration says about mail for the domain, by its pool where it has one. */
static const struct scope_values *
values_of(struct deciding *s, struct slice *pool)
{
	const struct scope_values *v = scope_values(s->c, SLICE_NONE, SLICE_NONE, s->domain);
	const struct conf_group *group;
	const struct conf_binding *binding;

	*pool = SLICE_NONE;
	if (v->pool == NULL)
		return v;
	group = conf_group(s->c, slice_z(v->pool));
	binding = conf_binding(s->c, slice_z(v->pool));
	if (group != NULL) {
		*pool = slice_z(group->name);
		return scope_values(s->c, *pool, SLICE_NONE, s->domain);
	}
	*pool = slice_z(binding->name);
	return scope_values(s->c, SLICE_NONE, *pool, s->domain);
}

static void
to_next_hops(struct deciding *s)
{
	struct slice host = s->domain, pool;
	const struct scope_values *v = values_of(s, &pool);

	decision_say(s->out, ROUTE_DELIVER, 0, "0.0.0", "", s->rule);
	s->out->route =
	    (struct route){ .transport = SLICE_LIT("smtp"), .pool = pool, .domain = s->domain };
	for (size_t i = 0; i < v->route.n; i++)
		decision_hop(s->out, slice_z(v->route.at[i].host), v->route.at[i].port, false);
	if (v->route.n > 0)
		return;
	if (v->route_rule[0] != '\0') {
		decision_say(s->out, ROUTE_REFUSE, 550, "5.1.2",
		    "Mail for this domain is not sent from here", "no-route");
		return;
	}
	/* user@[192.0.2.1]: that host, RFC 5321 4.1.3 and 5.1. */
	if (s->to.literal) {
		host = slice_of(host.p + 1, host.n - 2);
		if (slice_istarts(host, "IPv6:"))
			host = slice_from(host, 5);
	}
	decision_hop(s->out, host, (uint16_t)v->smtp_port, !s->to.literal);
}

static void
where_to(struct deciding *s)
{
	bool is_local = conf_in_domains(&s->c->local_domains, s->domain);
	enum route_found found;

	if (is_alias_kind(s) || by_tables(s))
		return;
	if (is_local && !is_user(s))
		return;
	if (!is_local && conf_in_domains(&s->c->virtual_domains, s->domain)) {
		unknown(s, "User unknown in virtual domain");
		return;
	}
	found = route_table_look(s->c, s->dir, lower(s->a, s->local), s->domain, s->a, s->out);
	if (found == ROUTES_LOCAL)
		to_local(s, "route-table");
	else if (found == ROUTES_NONE && is_local)
		to_local(s, s->rule);
	else if (found == ROUTES_NONE)
		to_next_hops(s);
	else if (s->out->action == ROUTE_DELIVER && slice_is(s->out->route.transport, "smtp"))
		values_of(s, &s->out->route.pool);
}

void
decide(const struct conf *c, const struct directory *dir, const struct question *q, struct arena *a,
    struct decision *out)
{
	struct deciding s = { .c = c, .dir = dir, .q = q, .a = a, .out = out };
	struct buf local = { 0 };

	*out = (struct decision){ .rule = "", .text = "" };
	if (path_address(q->rcpt, PATH_UTF8 | PATH_UNQUALIFIED, &s.to) != PATH_OK ||
	    (s.to.domain.n == 0 && !path_is_postmaster(&s.to))) {
		decision_say(out, ROUTE_REFUSE, 501, "5.1.3", "Not an address", "bad-address");
		return;
	}
	s.domain = lower(a, s.to.domain.n == 0 ? slice_z(c->myorigin) : s.to.domain);
	s.rule = granted_by(c, q, &s.to, s.domain, out);
	if (s.rule == NULL)
		return;
	path_print_local_plain(&local, &s.to);
	s.local = arena_slice(a, slice_buf(&local));
	buf_fini(&local);
	where_to(&s);
}
