/* SPDX-License-Identifier: ISC */
#include "conf/value.h"

#include "base/log.h"
#include "conf/scope.h"

enum { NAME_MAX_BYTES = 255, LABEL_MAX_BYTES = 63, PATH_MAX_BYTES = 4000, QUOTED_MAX = 80 };

struct unit {
	const char *word;
	uint64_t factor;
};

/* The largest first: numbers are shown in the largest that divides them. */
static const struct unit duration_units[] = {
	{ "w", 604800000 },
	{ "d", 86400000 },
	{ "h", 3600000 },
	{ "m", 60000 },
	{ "s", 1000 },
	{ "ms", 1 },
	{ NULL, 0 },
};
static const struct unit size_units[] = {
	{ "G", 1073741824 },
	{ "M", 1048576 },
	{ "K", 1024 },
	{ NULL, 0 },
};

bool
value_is_name(struct slice s)
{
	size_t label = 0;
	bool digits = true; /* of the last label: "127.0.0.256" is a mistyped address */

	if (s.n == 0 || s.n > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
			digits = true;
			continue;
		}
		if (!ascii_alpha(c) && !ascii_digit(c) && c != '-' && c != '_')
			return false;
		digits = digits && ascii_digit(c);
		if (++label > LABEL_MAX_BYTES)
			return false;
	}
	return label > 0 && !digits;
}

bool
value_is_title(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && strchr("-_.", s.p[i]) == NULL)
			return false;
	return s.n > 0 && s.n <= VALUE_TITLE_MAX && s.p[0] != '.';
}

bool
value_is_domain(struct slice s)
{
	uint8_t host[16];

	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		return addr_host_parse(slice_of(s.p + 1, s.n - 2), host);
	return value_is_name(s.n > 1 && s.p[0] == '.' ? slice_from(s, 1) : s);
}

void
value_quote(struct buf *out, struct slice text)
{
	buf_putc(out, '"');
	for (size_t i = 0; i < text.n && i < QUOTED_MAX; i++)
		buf_putc(
		    out, (unsigned char)text.p[i] < ' ' || text.p[i] == 0x7f ? '?' : text.p[i]);
	buf_puts(out, text.n > QUOTED_MAX ? "...\"" : "\"");
}

void
value_number_put(struct buf *out, enum value_type type, uint64_t v)
{
	const struct unit *u = type == VALUE_DURATION ? duration_units : size_units;

	if (type == VALUE_LEVEL) {
		buf_puts(out, log_level_word((enum log_level)v));
		return;
	}
	if (v == 0 || (type != VALUE_DURATION && type != VALUE_SIZE)) {
		buf_printf(out, "%llu", (unsigned long long)v);
		return;
	}
	while (u->word != NULL && v % u->factor != 0)
		u++;
	buf_printf(out, "%llu%s", (unsigned long long)(u->word == NULL ? v : v / u->factor),
	    u->word == NULL ? "" : u->word);
}

void
conf_rate_put(struct buf *out, const struct gcra_rate *r)
{
	if (r->count == 0) {
		buf_puts(out, "none");
		return;
	}
	buf_printf(out, "%u/", r->count);
	value_number_put(out, VALUE_DURATION, r->period_ms);
	if (r->burst != 0)
		buf_printf(out, " burst %u", r->burst);
}

/* A number and the word behind it, off the front. */
static bool
counted(struct slice *s, uint64_t *number, struct slice *word)
{
	size_t digits = 0, end;

	while (digits < s->n && ascii_digit(s->p[digits]))
		digits++;
	for (end = digits; end < s->n && !ascii_digit(s->p[end]);)
		end++;
	*word = slice_of(s->p + digits, end - digits);
	if (!slice_u64(slice_head(*s, digits), number))
		return false;
	*s = slice_from(*s, end);
	return true;
}

static const struct unit *
unit_of(const struct unit *units, struct slice word)
{
	for (; units->word != NULL; units++)
		if (slice_iis(word, units->word))
			return units;
	return NULL;
}

static bool
duration(struct slice s, uint64_t *out)
{
	uint64_t sum = 0;

	if (slice_is(s, "0")) {
		*out = 0;
		return true;
	}
	do {
		const struct unit *unit;
		struct slice word;
		uint64_t v;

		if (!counted(&s, &v, &word) || (unit = unit_of(duration_units, word)) == NULL)
			return false;
		if (__builtin_mul_overflow(v, unit->factor, &v) ||
		    __builtin_add_overflow(sum, v, &sum))
			return false;
	} while (s.n > 0);
	*out = sum;
	return true;
}

static bool
size(struct slice s, uint64_t *out)
{
	const struct unit *unit;
	struct slice word;

	if (!counted(&s, out, &word) || s.n > 0)
		return false;
	if (word.n == 0)
		return true;
	unit = unit_of(size_units, word);
	return unit != NULL && !__builtin_mul_overflow(*out, unit->factor, out);
}

static bool
boolean(struct slice s, uint64_t *out)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on" };

	for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
		if (slice_iis(s, words[i])) {
			*out = i % 2;
			return true;
		}
	}
	return false;
}

static bool
level(struct slice s, uint64_t *out)
{
	for (*out = LEVEL_DEBUG; *out <= LEVEL_ERROR; ++*out)
		if (slice_iis(s, log_level_word((enum log_level) * out)))
			return true;
	return false;
}

static bool class(struct slice s, uint64_t *out)
{
	for (*out = CLASS_MX; *out <= CLASS_LOCAL; ++*out)
		if (slice_is(s, class_word((uint8_t)*out)))
			return true;
	return false;
}

static bool
service_bit(struct slice s, uint64_t *out)
{
	for (unsigned i = 0; i < SERVICE_COUNT; i++) {
		if (slice_is(s, service_word((enum service)i))) {
			*out = (uint64_t)1 << i;
			return true;
		}
	}
	return false;
}

static bool
path(struct slice s)
{
	if (s.n == 0 || s.n > PATH_MAX_BYTES || s.p[0] != '/')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

/* A relative path; no part of it is "..". */
static bool
below(struct slice s)
{
	struct slice rest = s, part;

	if (s.n == 0 || s.n > PATH_MAX_BYTES || s.p[0] == '/')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	while (slice_next(&rest, '/', &part))
		if (slice_is(part, ".."))
			return false;
	return true;
}

/* An address with or without brackets. */
static bool
host_address(struct slice s, uint8_t host[16])
{
	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		s = slice_of(s.p + 1, s.n - 2);
	return addr_host_parse(s, host);
}

static bool
net(struct slice s, struct conf_net *out)
{
	ptrdiff_t slash = slice_find(s, '/');
	uint64_t bits;
	uint64_t whole;

	if (!host_address(slash < 0 ? s : slice_head(s, (size_t)slash), out->host))
		return false;
	whole = addr_is_v4(out->host) ? 32 : 128;
	bits = whole;
	if (slash >= 0 && (!slice_u64(slice_from(s, (size_t)slash + 1), &bits) || bits > whole))
		return false;
	out->bits = (uint8_t)(128 - whole + bits);
	for (unsigned i = out->bits; i < 128; i++)
		if (out->host[i / 8] & (0x80 >> i % 8))
			return false;
	return true;
}

/* "host", "host:port", "[address]", "[address]:port"; an IPv4 address needs no brackets. */
static bool
hop(struct slice s, uint16_t otherwise, struct arena *a, struct conf_hop *out)
{
	struct slice host, port;
	uint64_t number = otherwise;
	uint8_t address[16];

	if (s.n > 0 && s.p[0] == '[') {
		ptrdiff_t end = slice_find(s, ']');

		if (end < 0)
			return false;
		host = slice_of(s.p + 1, (size_t)end - 1);
		if (slice_istarts(host, "IPv6:"))
			host = slice_from(host, 5);
		port = slice_from(s, (size_t)end + 1);
		if (port.n > 0 && port.p[0] != ':')
			return false;
		out->literal = addr_host_parse(host, address);
		if (!out->literal)
			return false;
	} else {
		ptrdiff_t colon = slice_find(s, ':');

		host = colon < 0 ? s : slice_head(s, (size_t)colon);
		port = colon < 0 ? SLICE_NONE : slice_from(s, (size_t)colon);
		out->literal = addr_host_parse(host, address);
		if (!out->literal && !value_is_name(host))
			return false;
	}
	if (port.n > 0 &&
	    (!slice_u64(slice_from(port, 1), &number) || number == 0 || number > 65535))
		return false;
	out->port = (uint16_t)number;
	out->host = arena_z(a, host);
	return true;
}

/* "192.0.2.1", "192.0.2.1:53", "2001:db8::1", "[2001:db8::1]:53" */
static bool
server(struct slice s, struct addr *out)
{
	out->port = CONF_PORT_DNS;
	return host_address(s, out->host) || addr_parse(s, out);
}

/* What a table of addresses may be asked for: its grammar is router's business. */
static bool
mailbox(struct slice s)
{
	ptrdiff_t at = slice_find(s, '@');

	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return at > 0 && s.n <= PATH_MAX_BYTES && value_is_domain(slice_from(s, (size_t)at + 1));
}

static bool
chars(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (strchr("+-_=.#%&!~", s.p[i]) == NULL)
			return false;
	return s.n <= 8;
}

static bool
locally(struct slice s, struct arena *a, struct conf_locally *out)
{
	*out = (struct conf_locally){ 0 };
	if (slice_is(s, "local"))
		return true;
	out->lmtp = true;
	if (slice_istarts(s, "lmtp:unix:")) {
		s = slice_from(s, 10);
		out->path = arena_z(a, s);
		/* struct sockaddr_un and a route have no room for more */
		return path(s) && s.n <= 107;
	}
	return slice_istarts(s, "lmtp:") && hop(slice_from(s, 5), CONF_PORT_LMTP, a, &out->hop);
}

/* "100/1h", "100/1h burst 20"; count and burst 0 are no rates, "none" is no limit. */
static bool
rate(struct slice s, struct gcra_rate *out)
{
	ptrdiff_t slash = slice_find(s, '/');
	struct slice rest, word;
	uint64_t count, burst = 0;

	*out = (struct gcra_rate){ 0 };
	if (slice_is(s, "none"))
		return true;
	if (slash < 0 || !slice_u64(slice_head(s, (size_t)slash), &count) || count == 0 ||
	    count > GCRA_COUNT_MAX)
		return false;
	rest = slice_from(s, (size_t)slash + 1);
	slice_next(&rest, ' ', &word);
	if (!duration(word, &out->period_ms) || out->period_ms == 0 ||
	    out->period_ms > GCRA_PERIOD_MAX_MS)
		return false;
	rest = slice_trim(rest);
	if (rest.n > 0 && (!slice_istarts(rest, "burst ") ||
			      !slice_u64(slice_trim(slice_from(rest, 6)), &burst) || burst == 0 ||
			      burst > GCRA_COUNT_MAX))
		return false;
	out->count = (uint32_t)count;
	out->burst = (uint32_t)burst;
	return true;
}

/* RFC 6710 section 3: "0", or a digit that is not, with or without "-". */
static bool
priority(struct slice s, int64_t *out)
{
	bool minus = s.n > 0 && s.p[0] == '-';

	s = slice_from(s, minus);
	if (s.n != 1 || !ascii_digit(s.p[0]) || (minus && s.p[0] == '0'))
		return false;
	*out = minus ? '0' - s.p[0] : s.p[0] - '0';
	return true;
}

static const struct {
	const char *word, *such; /* for manuals, for refusals */
} types[] = {
	[VALUE_NAME] = { "host name", "a host name" },
	[VALUE_PATH] = { "path", "an absolute path" },
	[VALUE_BOOL] = { "yes or no", "yes or no" },
	[VALUE_INT] = { "number", "a number" },
	[VALUE_SIZE] = { "size", "a size (such as 64K, 10M, 1G)" },
	[VALUE_DURATION] = { "duration", "a duration (such as 5ms, 30s, 20m, 1h30m, 5d)" },
	[VALUE_LEVEL] = { "level", "a level (debug, info, notice, warning, error)" },
	[VALUE_SERVICES] = { "list of services", "a service" },
	[VALUE_DOMAINS] = { "list of domains", "a domain" },
	[VALUE_NETS] = { "list of networks", "a network (such as 192.0.2.0/24, [2001:db8::]/32)" },
	[VALUE_ADDR] = { "address", "an address" },
	[VALUE_LISTENS] = { "list of addresses",
	    "an address with a port (such as 127.0.0.1:25, [::1]:25)" },
	[VALUE_HOP] = { "next hop",
	    "a next hop (such as host, host:25, 192.0.2.1:25, [2001:db8::1]:25)" },
	[VALUE_HOPS] = { "list of next hops",
	    "a next hop (such as host, host:25, 192.0.2.1:25, [2001:db8::1]:25)" },
	[VALUE_CLASS] = { "class", "a class (mx, submission, local)" },
	[VALUE_FILE] = { "path", "an absolute path" },
	[VALUE_USERS] = { "path or nss", "nss or an absolute path" },
	[VALUE_MAILBOX] = { "mail address", "a mail address" },
	[VALUE_CHARS] = { "few characters", "at most eight of + - _ = . # % & ! ~" },
	[VALUE_SERVERS] = { "list of addresses",
	    "an address with or without a port (such as 192.0.2.1, [2001:db8::1]:53)" },
	[VALUE_LOCALLY] = { "local transport", "local, lmtp:unix:/path or lmtp:host:port" },
	[VALUE_BELOW] = { "path below home", "a path below home, without .." },
	[VALUE_RATE] = { "rate", "a rate (such as 100/1m, \"5000/1h burst 50\", none)" },
	[VALUE_BUCKETS] = { "list of buckets", "a bucket's name" },
	[VALUE_POOL] = { "binding or group", "the name of a binding or group" },
	[VALUE_PRIORITY] = { "priority", "a priority from -9 to 9" },
};

const char *
value_type_word(enum value_type type)
{
	return types[type].word;
}

static bool
parse(enum value_type type, struct slice s, struct arena *a, struct value *out)
{
	out->u = 0;
	switch (type) {
	case VALUE_NAME:
		out->z = arena_z(a, s);
		return value_is_name(s);
	case VALUE_DOMAINS:
		out->z = arena_z(a, s);
		return value_is_domain(s);
	case VALUE_PATH:
		out->z = arena_z(a, s);
		return path(s);
	case VALUE_BOOL:
		return boolean(s, &out->u);
	case VALUE_INT:
		return slice_u64(s, &out->u);
	case VALUE_SIZE:
		return size(s, &out->u);
	case VALUE_DURATION:
		return duration(s, &out->u);
	case VALUE_LEVEL:
		return level(s, &out->u);
	case VALUE_SERVICES:
		return service_bit(s, &out->u);
	case VALUE_CLASS:
		return class(s, &out->u);
	case VALUE_NETS:
		return net(s, &out->net);
	case VALUE_ADDR:
		out->addr.set = true;
		return host_address(s, out->addr.host);
	case VALUE_LISTENS:
		return addr_parse(s, &out->listen);
	case VALUE_HOP:
	case VALUE_HOPS:
		return hop(s, CONF_PORT_SMTP, a, &out->hop);
	case VALUE_FILE:
		out->z = arena_z(a, s);
		return path(s);
	case VALUE_USERS:
		out->z = slice_is(s, "nss") ? NULL : arena_z(a, s);
		return out->z == NULL || path(s);
	case VALUE_MAILBOX:
		out->z = arena_z(a, s);
		return mailbox(s);
	case VALUE_CHARS:
		out->z = arena_z(a, s);
		return chars(s);
	case VALUE_SERVERS:
		return server(s, &out->listen);
	case VALUE_LOCALLY:
		return locally(s, a, &out->locally);
	case VALUE_BELOW:
		out->z = arena_z(a, s);
		return below(s);
	case VALUE_RATE:
		return rate(s, &out->rate);
	case VALUE_BUCKETS:
		out->z = arena_z(a, s);
		return value_is_title(s);
	case VALUE_POOL: /* whether there is such a one is known at the end of the file */
		out->z = arena_z(a, s);
		return value_is_title(s);
	case VALUE_PRIORITY:
		return priority(s, &out->i);
	}
	return false;
}

static bool
is_number(enum value_type type)
{
	return type == VALUE_INT || type == VALUE_SIZE || type == VALUE_DURATION;
}

static bool
may_be_none(enum value_type type)
{
	return type == VALUE_HOP || type == VALUE_FILE || type == VALUE_MAILBOX ||
	       type == VALUE_CHARS || type == VALUE_BELOW || type == VALUE_POOL;
}

bool
value_parse(const struct value_row *row, struct slice text, struct arena *a, struct value *out,
    struct buf *why)
{
	out->text = arena_z(a, text);
	out->none = text.n == 0 && (row->list || may_be_none(row->type));
	if (out->none)
		return true;
	if (!parse(row->type, text, a, out)) {
		buf_printf(why, "%s: ", row->key);
		value_quote(why, text);
		buf_printf(why, " is not %s", types[row->type].such);
		return false;
	}
	if (is_number(row->type) && (out->u < row->min || out->u > row->max)) {
		buf_printf(why, "%s: ", row->key);
		value_quote(why, text);
		buf_puts(why, " is not between ");
		value_number_put(why, row->type, row->min);
		buf_puts(why, " and ");
		value_number_put(why, row->type, row->max);
		return false;
	}
	return true;
}

size_t
value_default(const struct value_row *row, struct arena *a, struct value **out, struct buf *why)
{
	struct slice left = slice_z(row->def), part;
	size_t n = 0;

	*out = arena_alloc(a, (left.n + 1) * sizeof **out);
	if (left.n == 0)
		return 0;
	while (slice_next(&left, row->list ? ',' : '\n', &part)) {
		struct value *v = *out + n++;

		*v = (struct value){ 0 };
		if (!value_parse(row, slice_trim(part), a, v, why))
			return 0;
	}
	return n;
}

const char *
value_text(const struct value *v, size_t n, struct arena *a)
{
	struct buf b = { 0 };
	const char *z;

	for (size_t i = 0; i < n; i++)
		if (!v[i].none)
			buf_printf(&b, "%s%s", b.n > 0 ? ", " : "", v[i].text);
	z = arena_z(a, slice_buf(&b));
	buf_fini(&b);
	return z;
}

/* Copies member `from` of each value that is one into an array in the arena. */
#define GATHER(list, element, from)                                 \
	do {                                                        \
		element *to = arena_alloc(a, (n + 1) * sizeof *to); \
                                                                    \
		(list)->n = 0;                                      \
		for (size_t i = 0; i < n; i++)                      \
			if (!v[i].none)                             \
				to[(list)->n++] = v[i].from;        \
		(list)->at = to;                                    \
	} while (0)

void
value_store(
    const struct value_row *row, void *base, const struct value *v, size_t n, struct arena *a)
{
	void *field = (char *)base + row->offset;
	const struct value *last = n > 0 ? &v[n - 1] : &(struct value){ 0 };

	switch (row->type) {
	case VALUE_NAME:
	case VALUE_PATH:
	case VALUE_FILE:
	case VALUE_USERS:
	case VALUE_MAILBOX:
	case VALUE_CHARS:
	case VALUE_BELOW:
	case VALUE_POOL:
		*(const char **)field = last->z;
		break;
	case VALUE_PRIORITY:
		*(int64_t *)field = last->i;
		break;
	case VALUE_BOOL:
		*(bool *)field = last->u != 0;
		break;
	case VALUE_INT:
	case VALUE_SIZE:
	case VALUE_DURATION:
	case VALUE_LEVEL:
	case VALUE_CLASS:
		*(uint64_t *)field = last->u;
		break;
	case VALUE_SERVICES:
		*(uint64_t *)field = 0;
		for (size_t i = 0; i < n; i++)
			*(uint64_t *)field |= v[i].none ? 0 : v[i].u;
		break;
	case VALUE_LOCALLY:
		*(struct conf_locally *)field = last->locally;
		break;
	case VALUE_ADDR:
		*(struct conf_addr *)field = last->addr;
		break;
	case VALUE_DOMAINS:
		GATHER((struct conf_domains *)field, const char *, z);
		break;
	case VALUE_RATE:
		*(struct gcra_rate *)field = n > 0 ? last->rate : (struct gcra_rate){ 0 };
		break;
	case VALUE_BUCKETS:
		GATHER((struct conf_buckets *)field, const char *, z);
		break;
	case VALUE_NETS:
		GATHER((struct conf_nets *)field, struct conf_net, net);
		break;
	case VALUE_LISTENS:
	case VALUE_SERVERS:
		GATHER((struct conf_listens *)field, struct addr, listen);
		break;
	case VALUE_HOP:
	case VALUE_HOPS:
		GATHER((struct conf_hops *)field, struct conf_hop, hop);
		break;
	}
}

#define IS_LIST(type)                                                                     \
	((type) == VALUE_SERVICES || (type) == VALUE_DOMAINS || (type) == VALUE_NETS ||   \
	    (type) == VALUE_LISTENS || (type) == VALUE_HOPS || (type) == VALUE_SERVERS || \
	    (type) == VALUE_BUCKETS)
#define ROW(record, type, field, key, def, min, max)                                    \
	{                                                                               \
		key, def, VALUE_##type, IS_LIST(VALUE_##type), offsetof(record, field), \
		    sizeof(((record *)NULL)->field), min, max                           \
	}
#define END                                               \
	{                                                 \
		NULL, NULL, VALUE_NAME, false, 0, 0, 0, 0 \
	}

const struct value_row value_conf_rows[] = {
#define K(type, field, key, def, min, max, help) ROW(struct conf, type, field, key, def, min, max),
	CONF_KEYS(K)
#undef K
	    END,
};

const struct value_row value_scope_rows[] = {
#define K(type, field, key, def, min, max, help) \
	ROW(struct scope_values, type, field, key, def, min, max),
	CONF_SCOPED_KEYS(K) CONF_DOMAIN_KEYS(K)
#undef K
	    END,
};

const struct value_row value_binding_rows[] = {
#define K(type, field, key, def, min, max, help) \
	ROW(struct conf_binding, type, field, key, def, min, max),
	CONF_BINDING_KEYS(K)
#undef K
	    END,
};

const struct value_row value_listen_rows[] = {
#define K(type, field, key, def, min, max, help) \
	ROW(struct conf_listen, type, field, key, def, min, max),
	CONF_LISTEN_KEYS(K)
#undef K
	    END,
};

const struct value_row value_bucket_rows[] = {
#define K(type, field, key, def, min, max, help) \
	ROW(struct conf_bucket, type, field, key, def, min, max),
	CONF_BUCKET_KEYS(K)
#undef K
	    END,
};

const struct value_row *
value_row(const char *key)
{
	static const struct value_row *const tables[] = { value_conf_rows, value_scope_rows,
		value_binding_rows, value_listen_rows, value_bucket_rows };

	for (unsigned i = 0; i < sizeof tables / sizeof *tables; i++)
		for (const struct value_row *r = tables[i]; r->key != NULL; r++)
			if (strcmp(r->key, key) == 0)
				return r;
	return NULL;
}
