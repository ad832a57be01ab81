/* SPDX-License-Identifier: ISC */
/* A header value as an address list, a trace and a date; each address found must stand in an envelope
 * as it is. */
#include "mail/address_list.h"
#include "mail/content_type.h"
#include "mail/encoded.h"
#include "mail/header.h"
#include "mail/msgid.h"
#include "mail/received.h"
#include "smtp/path.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
demand(bool ok)
{
	if (!ok)
		abort();
}

struct seen {
	struct slice in;
	size_t ok;
};

static bool
within(struct slice part, struct slice whole)
{
	return part.p >= whole.p && part.p + part.n <= whole.p + whole.n;
}

static void
check(void *arg, const struct address *a)
{
	struct seen *seen = arg;
	struct path path;
	struct buf printed = { 0 };

	demand(within(a->text, seen->in));
	seen->ok += a->ok;
	if (!a->ok || a->null)
		return;
	demand(within(a->raw, seen->in) && a->raw.n > 0);
	demand(path_address(a->addr, PATH_UTF8 | PATH_UNQUALIFIED, &path) == PATH_OK);
	demand(slice_eq(path.domain, a->domain) && slice_eq(path.local, a->local));
	path_print(&printed, &path);
	demand(slice_eq(slice_buf(&printed), a->addr)); /* the normal form already */
	buf_fini(&printed);
}

/* Field by field the section is taken apart without loss. */
static void
check_header(struct slice in)
{
	struct slice rest = in;
	struct header_field field;
	struct header_summary all;
	struct buf value = { 0 };
	unsigned fields = 0;

	header_scan(in, 0, &all);
	while (header_next(&rest, &field)) {
		demand(field.whole.n > 0 && within(field.name, field.whole) &&
		       within(field.value, field.whole));
		demand(field.whole.p + field.whole.n == rest.p);
		buf_reset(&value);
		header_unfold(&value, field.value);
		demand(value.n == 0 || memchr(value.p, '\n', value.n) == NULL);
		fields++;
	}
	demand(all.fields == fields && all.bytes == in.n - rest.n && all.body <= in.n);
	buf_fini(&value);
}

/* A date that is read is one: printed, it is read as the same. */
static void
check_date(const struct date *d)
{
	char text[DATE_TEXT];
	struct date again;
	int64_t s = date_utc_s(d);

	demand(d->month >= 1 && d->month <= 12 && d->day >= 1 && d->day <= 31);
	if (s < 0 || d->second == 60 || d->zone_min <= -24 * 60 || d->zone_min >= 24 * 60)
		return;
	date_text((uint64_t)s * 1000, d->zone_min, text);
	demand(date_read(slice_z(text), &again));
	if (d->year <= 9998 && s > 24 * 3600)
		demand(date_utc_s(&again) == s && again.zone_min == d->zone_min &&
		       again.hour == d->hour && again.day == d->day && again.year == d->year);
}

struct names {
	struct seen seen; /* first: check() takes it */
	int depth;
};

static void
group(void *arg, struct slice name)
{
	struct names *n = arg;

	n->depth += name.p != NULL ? 1 : -1;
	demand(n->depth == 0 || n->depth == 1);
}

static void
check_param(void *arg, const struct content_param *p)
{
	unsigned *n = arg;

	demand(p->name.n > 0 && ++*n <= CONTENT_PARAMS_MAX);
	demand(slice_find(p->name, '=') < 0 && slice_find(p->name, ';') < 0);
}

static void
check_words(struct slice in)
{
	struct content_type type;
	unsigned nparams = 0;
	struct names n = { .seen = { .in = in } };
	struct slice rest = in, id;
	struct buf out = { 0 };

	demand(address_list_groups(in, PATH_UTF8, check, group, &n) == n.seen.ok);
	demand(n.depth == 0);
	while (msgid_next(&rest, &id))
		demand(within(id, in));
	if (content_type_read(in, &type))
		content_type_params(type.params, check_param, &nparams);
	encoded_decode(&out, in);
	demand(out.n <= 2 * in.n); /* bytes of ISO-8859-1 become two */
	buf_fini(&out);
}

static void
check_trace(struct slice in)
{
	struct received_trace r;
	struct date d;

	received_read(in, &r);
	demand(within(r.from.text, in) || r.from.text.n == 0);
	demand(within(r.peer.text, in) || r.peer.text.n == 0);
	demand(within(r.peer_name, in) || r.peer_name.n == 0);
	demand(within(r.helo.text, in) || r.helo.text.n == 0);
	demand(within(r.by.text, in) || r.by.text.n == 0);
	demand(within(r.ident, in) || r.ident.n == 0);
	demand(within(r.id, in) || r.id.n == 0);
	demand(within(r.for_, in) || r.for_.n == 0);
	demand(within(r.via, in) || r.via.n == 0);
	demand(within(r.cipher, in) || r.cipher.n == 0);
	demand((r.greeting == NULL) == (r.helo.text.n == 0));
	if (r.dated)
		check_date(&r.date);
	if (date_read(in, &d))
		check_date(&d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen seen = { .in = slice_of(data, size) };
	struct slice in = seen.in;
	struct path path;

	demand(address_list_each(in, PATH_UTF8, check, &seen) == seen.ok);
	seen.ok = 0;
	demand(address_list_each(in, 0, check, &seen) == seen.ok);
	path_address(in, PATH_UTF8, &path);
	path_parse(&in, PATH_FORWARD, PATH_BLANK, &path);
	check_header(seen.in);
	check_trace(seen.in);
	check_words(seen.in);
	return 0;
}
