/* SPDX-License-Identifier: ISC */
/*
 * Between a corpus of header fields and our readers: a line a case on standard input, kind, tab and
 * the body of the field with the escapes \t \n \r \\, and a line of JSON an answer. The kinds:
 * received, date, address, id, content_type, unstructured. Nothing is the answer to others.
 */
#include "base/json.h"
#include "mail/address_list.h"
#include "mail/content_type.h"
#include "mail/encoded.h"
#include "mail/header.h"
#include "mail/msgid.h"
#include "mail/received.h"
#include "smtp/path.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* In place; returns the new length. An unknown escape stands for itself. */
static size_t
unescape(char *line, size_t n)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++) {
		char c = line[i], next = i + 1 < n ? line[i + 1] : '\0';

		if (c == '\\' && (next == 't' || next == 'n' || next == 'r' || next == '\\')) {
			c = next == 't' ? '\t' : next == 'n' ? '\n' : next == 'r' ? '\r' : '\\';
			i++;
		}
		line[to++] = c;
	}
	return to;
}

static void
put_null(struct buf *b)
{
	if (b->n > 0 && b->p[b->n - 1] != ':' && b->p[b->n - 1] != '[')
		buf_putc(b, ',');
	buf_puts(b, "null");
}

/* The other side has no word for an unknown zone, and counts one by name as west of Greenwich. */
static void
put_date(struct buf *b, const struct date *d)
{
	int zone = d->zone_min < 0 ? -d->zone_min : d->zone_min;

	json_open(b, '{');
	json_ku64(b, "year", d->year);
	json_ku64(b, "month", d->month);
	json_ku64(b, "day", d->day);
	json_ku64(b, "hour", d->hour);
	json_ku64(b, "minute", d->minute);
	json_ku64(b, "second", d->second);
	json_kbool(b, "tz_before_gmt", d->zone_min < 0 || d->zone == DATE_ZONE_NAME);
	json_ku64(b, "tz_hour", (uint64_t)zone / 60);
	json_ku64(b, "tz_minute", (uint64_t)zone % 60);
	json_close(b, '}');
}

static void
answer_date(struct buf *b, struct slice text)
{
	struct date d;

	if (date_read(text, &d))
		put_date(b, &d);
	else
		put_null(b);
}

/* As the other side writes it: an IPv4 address in the form of IPv6 stays one. */
static void
put_addr(struct buf *b, const struct received_host *h)
{
	char text[INET6_ADDRSTRLEN];
	bool six = slice_find(h->text, ':') >= 0;

	inet_ntop(six ? AF_INET6 : AF_INET, six ? h->addr : h->addr + 12, text, sizeof text);
	json_str(b, slice_z(text));
}

static void
put_host(struct buf *b, const char *key, const struct received_host *h)
{
	if (h->text.n == 0)
		return;
	json_key(b, key);
	json_open(b, '{');
	json_key(b, h->is_addr ? "IpAddr" : "Name");
	if (h->is_addr)
		put_addr(b, h);
	else
		json_str(b, h->text);
	json_close(b, '}');
}

static void
put_word(struct buf *b, const char *key, struct slice text)
{
	if (text.n > 0)
		json_kstr(b, key, text);
}

static void
answer_received(struct buf *b, struct slice text)
{
	struct received_trace r;
	char word[16];

	received_read(text, &r);
	json_open(b, '{');
	put_host(b, "from", &r.from);
	if (r.peer.text.n > 0) {
		json_key(b, "from_ip");
		put_addr(b, &r.peer);
	}
	put_word(b, "from_iprev", r.peer_name);
	put_host(b, "by", &r.by);
	put_word(b, "for_", r.for_);
	put_word(
	    b, "with", slice_z(r.with != NULL && strcmp(r.with, "local") == 0 ? "Local" : r.with));
	if (r.tls != NULL) {
		snprintf(word, sizeof word, "%s", r.tls);
		for (char *p = word; *p != '\0'; p++)
			*p = *p == '.' ? '_' : *p;
		json_kz(b, "tls_version", word);
	}
	put_word(b, "tls_cipher", r.cipher);
	put_word(b, "id", r.id);
	put_word(b, "ident", r.ident);
	put_host(b, "helo", &r.helo);
	if (r.greeting != NULL) {
		snprintf(word, sizeof word, "%s", r.greeting);
		for (char *p = word + 1; *p != '\0'; p++)
			*p = ascii_lower(*p);
		json_kz(b, "helo_cmd", word);
	}
	put_word(b, "via", r.via);
	json_key(b, "date");
	if (r.dated)
		put_date(b, &r.date);
	else
		put_null(b);
	json_close(b, '}');
}

/* Mailboxes outside of groups are one without a name, as soon as there is another. */
struct groups {
	struct buf *b;
	bool any, open;
};

static void
put_decoded(struct buf *b, const char *key, struct slice text)
{
	struct buf plain = { 0 };

	json_key(b, key);
	encoded_decode(&plain, text);
	if (plain.n > 0)
		json_str(b, slice_buf(&plain));
	else
		put_null(b);
	buf_fini(&plain);
}

/* What came before the first group. */
static void
wrap(struct buf *b)
{
	struct buf before = *b;

	*b = (struct buf){ 0 };
	if (before.n > 0)
		buf_printf(
		    b, "{\"name\":null,\"addresses\":[%.*s]}", SLICE_ARG(slice_buf(&before)));
	buf_fini(&before);
}

static void
open_group(void *arg, struct slice name)
{
	struct groups *g = arg;

	if (g->open) {
		json_close(g->b, ']');
		json_close(g->b, '}');
	}
	g->open = name.p != NULL;
	if (!g->open)
		return;
	if (!g->any)
		wrap(g->b);
	g->any = true;
	json_open(g->b, '{');
	put_decoded(g->b, "name", name);
	json_key(g->b, "addresses");
	json_open(g->b, '[');
}

/* What is no address stands as it is: what its brackets hold, or all of it. */
static struct slice
address_text(const struct address *a)
{
	ptrdiff_t open = slice_find(a->text, '<'), shut;
	struct slice inside = slice_from(a->text, (size_t)(open + 1));

	if (a->ok)
		return a->addr;
	shut = slice_find(inside, '>');
	return shut < 0 ? inside : slice_head(inside, (size_t)shut);
}

static void
put_mailbox(void *arg, const struct address *a)
{
	struct groups *g = arg;

	if (g->any && !g->open)
		open_group(g, SLICE_LIT(""));
	json_open(g->b, '{');
	put_decoded(g->b, "name", a->name);
	json_key(g->b, "address");
	json_str(g->b, address_text(a));
	json_close(g->b, '}');
}

static void
answer_address(struct buf *b, struct slice text)
{
	struct buf list = { 0 };
	struct groups g = { .b = &list };

	address_list_groups(header_body(text), PATH_UTF8, put_mailbox, open_group, &g);
	open_group(&g, SLICE_NONE);
	json_open(b, '{');
	json_key(b, g.any ? "Group" : "List");
	json_open(b, '[');
	buf_slice(b, slice_buf(&list));
	json_close(b, ']');
	json_close(b, '}');
	buf_fini(&list);
}

static void
answer_id(struct buf *b, struct slice text)
{
	struct slice rest = header_body(text), id;
	unsigned n = 0;

	json_open(b, '[');
	for (; msgid_next(&rest, &id); n++)
		json_str(b, id);
	if (n == 0)
		json_str(b, slice_trim(rest));
	json_close(b, ']');
}

static void
answer_unstructured(struct buf *b, struct slice text)
{
	struct buf line = { 0 }, plain = { 0 };

	header_unfold(&line, header_body(text));
	encoded_decode(&plain, slice_buf(&line));
	json_str(b, slice_buf(&plain));
	buf_fini(&line);
	buf_fini(&plain);
}

static void
put_param(void *arg, const struct content_param *p)
{
	struct buf *b = arg;

	if (p->language.n > 0) {
		json_open(b, '[');
		json_quote(b, p->name);
		b->n--; /* its last quote */
		buf_puts(b, "-language\"");
		json_str(b, p->language);
		json_close(b, ']');
	}
	json_open(b, '[');
	json_str(b, p->name);
	json_str(b, p->value);
	json_close(b, ']');
}

static void
answer_content_type(struct buf *b, struct slice text)
{
	struct content_type t;
	struct buf params = { 0 };

	if (!content_type_read(text, &t)) {
		put_null(b);
		return;
	}
	content_type_params(t.params, put_param, &params);
	json_open(b, '{');
	json_kstr(b, "c_type", t.type);
	json_key(b, "c_subtype");
	if (t.subtype.n > 0)
		json_str(b, t.subtype);
	else
		put_null(b);
	json_key(b, "attributes");
	if (params.n > 0)
		buf_printf(b, "[%.*s]", SLICE_ARG(slice_buf(&params)));
	else
		put_null(b);
	json_close(b, '}');
	buf_fini(&params);
}

int
main(void)
{
	static const struct {
		const char *kind;
		void (*answer)(struct buf *b, struct slice text);
	} kinds[] = { { "received", answer_received }, { "date", answer_date },
		{ "address", answer_address }, { "id", answer_id },
		{ "content_type", answer_content_type }, { "unstructured", answer_unstructured } };
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	struct buf out = { 0 };

	while ((n = getline(&line, &room, stdin)) > 0) {
		struct slice text, kind;

		if (line[n - 1] == '\n')
			n--;
		text = slice_of(line, (size_t)n);
		slice_next(&text, '\t', &kind);
		buf_reset(&out);
		if (text.p != NULL)
			text.n = unescape(line + kind.n + 1, text.n);
		for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
			if (slice_is(kind, kinds[i].kind))
				kinds[i].answer(&out, text);
		printf("%.*s\n", (int)out.n, out.n > 0 ? out.p : "");
	}
	free(line);
	buf_fini(&out);
	return fflush(stdout) == 0 ? 0 : 1;
}
