/* SPDX-License-Identifier: ISC */
/*
 * Between a corpus of header fields and our readers: a line a case on standard input, kind, tab and
 * the body of the field with the escapes \t \n \r \\, and a line of JSON an answer. The kinds:
 * received, date, address, id.
 */
#include "base/json.h"
#include "mail/address_list.h"
#include "mail/header.h"
#include "mail/received.h"

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

int
main(void)
{
	static const struct {
		const char *kind;
		void (*answer)(struct buf *b, struct slice text);
	} kinds[] = { { "received", answer_received }, { "date", answer_date } };
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
		text = slice_of(
		    line + kind.n + 1, unescape(line + kind.n + 1, (size_t)n - kind.n - 1));
		for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
			if (slice_is(kind, kinds[i].kind))
				kinds[i].answer(&out, text);
		printf("%.*s\n", (int)out.n, out.n > 0 ? out.p : "");
	}
	free(line);
	buf_fini(&out);
	return fflush(stdout) == 0 ? 0 : 1;
}
