/* SPDX-License-Identifier: ISC */
#include "qmgr/router/route_table.h"

#include "conf/scope.h"

void
decision_say(struct decision *d, enum route_action action, uint16_t code, const char *enh,
    const char *text, const char *rule)
{
	*d = (struct decision){ .action = action, .code = code, .text = text, .rule = rule };
	for (int i = 0; i < 3; i++)
		d->enh[i] = (uint8_t)(enh[i * 2] - '0');
}

void
decision_hop(struct decision *d, struct slice host, uint16_t port, bool mx)
{
	struct route *r = &d->route;

	if (r->nhops < ROUTE_HOPS_MAX)
		r->hops[r->nhops++] = (struct route_hop){ .host = host, .port = port, .mx = mx };
}

static enum found
ask(const struct directory *dir, struct slice local, const char *at, struct slice domain,
    struct buf *key, struct buf *value)
{
	buf_reset(key);
	buf_slice(key, local);
	buf_puts(key, at);
	buf_slice(key, domain);
	return dir->route(dir->ctx, slice_buf(key), value);
}

static enum found
look(const struct conf *c, const struct directory *dir, struct slice local, struct slice domain,
    struct buf *value)
{
	struct buf key = { 0 };
	struct slice base = expand_base(c, local);
	enum found f = ask(dir, local, "@", domain, &key, value);

	if (f == FOUND_NO && base.n < local.n)
		f = ask(dir, base, "@", domain, &key, value);
	if (f == FOUND_NO)
		f = ask(dir, SLICE_NONE, "", domain, &key, value);
	for (size_t i = 1; f == FOUND_NO && i < domain.n && domain.p[0] != '['; i++)
		if (domain.p[i] == '.')
			f = ask(dir, SLICE_NONE, "", slice_from(domain, i), &key, value);
	if (f == FOUND_NO)
		f = ask(dir, SLICE_NONE, "", SLICE_LIT("*"), &key, value);
	buf_fini(&key);
	return f;
}

/* "host:port", "[host]:port"; bracketed and addresses: the host itself. */
static bool
next_hop(struct slice s, uint16_t port, bool may_mx, struct decision *d)
{
	struct slice host = s, rest = SLICE_NONE;
	uint8_t addr[16];
	uint64_t number = port;
	bool mx = may_mx;
	ptrdiff_t end;

	if (s.n > 0 && s.p[0] == '[') {
		end = slice_find(s, ']');
		if (end < 0)
			return false;
		host = slice_of(s.p + 1, (size_t)end - 1);
		if (slice_istarts(host, "IPv6:"))
			host = slice_from(host, 5);
		rest = slice_from(s, (size_t)end + 1);
		mx = false;
	} else {
		end = slice_find(s, ':');
		if (end >= 0) {
			host = slice_head(s, (size_t)end);
			rest = slice_from(s, (size_t)end);
		}
	}
	if (rest.n > 0 && (rest.p[0] != ':' || !slice_u64(slice_from(rest, 1), &number) ||
			      number == 0 || number > 65535))
		return false;
	if (addr_host_parse(host, addr))
		mx = false;
	else if (!path_domain_valid(host, 0))
		return false;
	decision_hop(d, host, (uint16_t)number, mx);
	return true;
}

static bool
is(struct slice *value, const char *word)
{
	if (!slice_istarts(*value, word))
		return false;
	*value = slice_from(*value, strlen(word));
	return true;
}

/* "5.1.10 text": the code is taken off the front. */
static void
own_status(struct slice *text, uint8_t enh[3])
{
	struct slice rest = *text, code, part;
	uint64_t number[3];

	if (!slice_next(&rest, ' ', &code))
		return;
	for (int i = 0; i < 3; i++)
		if (!slice_next(&code, '.', &part) || !slice_u64(part, &number[i]) ||
		    number[i] > 255)
			return;
	if (number[0] != 5 || code.n > 0)
		return;
	for (int i = 0; i < 3; i++)
		enh[i] = (uint8_t)number[i];
	*text = slice_trim(rest);
}

static void
error(struct slice text, struct arena *a, struct decision *d)
{
	decision_say(d, ROUTE_REFUSE, 550, "5.1.2", "", "route-table");
	own_status(&text, d->enh);
	d->text = text.n > 0 ? arena_z(a, text) : "Mail for this address is not taken";
}

static enum route_found
lmtp(struct slice to, struct slice domain, struct decision *d)
{
	decision_say(d, ROUTE_DELIVER, 0, "0.0.0", "", "route-table");
	d->route = (struct route){ .transport = SLICE_LIT("lmtp"), .domain = domain };
	if (slice_istarts(to, "unix:/") && to.n <= ROUTE_TEXT_MAX)
		decision_hop(d, to, 0, false);
	else if (!next_hop(to, CONF_PORT_LMTP, false, d))
		decision_say(d, ROUTE_TEMP, 451, "4.3.5",
		    "The table of routes has a value that "
		    "cannot be read",
		    "route-table");
	return ROUTES_DECIDED;
}

static enum route_found
read_value(const struct conf *c, struct slice value, struct slice domain, struct arena *a,
    struct decision *d)
{
	uint16_t port = (uint16_t)scope_values(c, SLICE_NONE, SLICE_NONE, domain)->smtp_port;

	if (is(&value, "local:"))
		return ROUTES_LOCAL;
	if (is(&value, "lmtp:"))
		return lmtp(value, domain, d);
	if (is(&value, "error:")) {
		error(value, a, d);
		return ROUTES_DECIDED;
	}
	if (is(&value, "retry:")) {
		decision_say(d, ROUTE_TEMP, 451, "4.3.0",
		    value.n > 0 ? arena_z(a, value) : "Not now", "route-table");
		return ROUTES_DECIDED;
	}
	if (is(&value, "hold:")) {
		decision_say(d, ROUTE_HOLD, 0, "0.0.0", arena_z(a, value), "route-table");
		return ROUTES_DECIDED;
	}
	if (is(&value, "discard:")) {
		decision_say(d, ROUTE_DROP, 0, "0.0.0", arena_z(a, value), "route-table");
		return ROUTES_DECIDED;
	}
	if (is(&value, "smtp:") || is(&value, "relay:")) {
		if (value.n == 0)
			return ROUTES_NONE;
		decision_say(d, ROUTE_DELIVER, 0, "0.0.0", "", "route-table");
		d->route = (struct route){ .transport = SLICE_LIT("smtp"), .domain = domain };
		if (next_hop(value, port, true, d))
			return ROUTES_DECIDED;
	}
	decision_say(d, ROUTE_TEMP, 451, "4.3.5",
	    "The table of routes has a value that cannot be "
	    "read",
	    "route-table");
	return ROUTES_DECIDED;
}

enum route_found
route_table_look(const struct conf *c, const struct directory *dir, struct slice local,
    struct slice domain, struct arena *a, struct decision *d)
{
	struct buf value = { 0 };
	enum route_found found = ROUTES_NONE;

	if (c->route_table == NULL)
		return ROUTES_NONE;
	switch (look(c, dir, local, domain, &value)) {
	case FOUND_NO:
		break;
	case FOUND_YES:
		found = read_value(c, arena_slice(a, slice_buf(&value)), domain, a, d);
		break;
	case FOUND_LATER:
	case FOUND_ERROR:
		decision_say(d, ROUTE_TEMP, 451, "4.3.5", "The table of routes cannot be read now",
		    "route-table");
		found = ROUTES_DECIDED;
		break;
	}
	buf_fini(&value);
	return found;
}
