/* SPDX-License-Identifier: ISC */
#include "dnscache/known.h"

#include "base/die.h"

#include <stdlib.h>

enum { HOSTS_MAX = 10000, PORT_DNS = 53 };

struct host {
	char *name;
	uint8_t ip[16];
	bool first; /* of its line: the name that the address leads back to */
};

struct known {
	struct host *hosts;
	size_t n;
};

/* The next word of a line, up to a comment. */
static bool
next_word(struct slice *line, struct slice *word)
{
	size_t n = 0;

	while (line->n > 0 && (line->p[0] == ' ' || line->p[0] == '\t' || line->p[0] == '\r'))
		*line = slice_from(*line, 1);
	while (n < line->n && strchr(" \t\r#;", line->p[n]) == NULL)
		n++;
	*word = slice_head(*line, n);
	*line = slice_from(*line, n);
	return n > 0;
}

unsigned
known_servers(struct slice text, struct addr *out, unsigned max)
{
	struct slice line, word;
	unsigned n = 0;

	while (n < max && slice_next(&text, '\n', &line))
		if (next_word(&line, &word) && slice_is(word, "nameserver") &&
		    next_word(&line, &word) && addr_host_parse(word, out[n].host))
			out[n++].port = PORT_DNS;
	return n;
}

static void
add(struct known *k, struct slice name, const uint8_t ip[16], bool first)
{
	char clean[DNS_NAME_MAX + 1];

	if (k->n == HOSTS_MAX || !dns_name_clean(name, clean))
		return;
	k->hosts = xrealloc(k->hosts, (k->n + 1) * sizeof *k->hosts);
	k->hosts[k->n] = (struct host){ .name = xstrdup(clean), .first = first };
	memcpy(k->hosts[k->n++].ip, ip, 16);
}

struct known *
known_new(struct slice text)
{
	struct known *k = xcalloc(1, sizeof *k);
	struct slice line, word;
	uint8_t ip[16];

	while (slice_next(&text, '\n', &line)) {
		bool first = true;

		if (!next_word(&line, &word) || !addr_host_parse(word, ip))
			continue;
		for (; next_word(&line, &word); first = false)
			add(k, word, ip, first);
	}
	return k;
}

void
known_free(struct known *k)
{
	if (k == NULL)
		return;
	for (size_t i = 0; i < k->n; i++)
		free(k->hosts[i].name);
	free(k->hosts);
	free(k);
}

static void
put_address(struct buf *out, enum dns_type type, const uint8_t ip[16])
{
	if (type == DNS_A && addr_is_v4(ip))
		dns_record_put(out, type, &(struct dns_record){ .data = slice_of(ip + 12, 4) });
	else if (type == DNS_AAAA && !addr_is_v4(ip))
		dns_record_put(out, type, &(struct dns_record){ .data = slice_of(ip, 16) });
}

static void
put_name(struct buf *out, const char *name)
{
	dns_record_put(out, DNS_PTR, &(struct dns_record){ .data = slice_z(name) });
}

static bool
find_localhost(const char *name, enum dns_type type, struct buf *out)
{
	static const uint8_t loops[2][16] = { { [10] = 0xff, 0xff, 127, 0, 0, 1 }, { [15] = 1 } };
	char reverse[DNS_NAME_MAX + 1];

	if (strcmp(name, "localhost") == 0 || slice_iends(slice_z(name), SLICE_LIT(".localhost"))) {
		for (unsigned i = 0; i < 2; i++)
			put_address(out, type, loops[i]);
		return true;
	}
	for (unsigned i = 0; i < 2; i++) {
		dns_reverse_name(loops[i], reverse);
		if (strcmp(name, reverse) != 0)
			continue;
		if (type == DNS_PTR)
			put_name(out, "localhost");
		return true;
	}
	return false;
}

/* Addresses of a name, or the name of an address: only what is there is an answer. */
static void
find_host(const struct known *k, const char *name, enum dns_type type, struct buf *out)
{
	char reverse[DNS_NAME_MAX + 1];

	for (size_t i = 0; i < k->n; i++) {
		const struct host *h = &k->hosts[i];

		if (type != DNS_PTR) {
			if (strcmp(h->name, name) == 0)
				put_address(out, type, h->ip);
			continue;
		}
		dns_reverse_name(h->ip, reverse);
		if (h->first && strcmp(reverse, name) == 0)
			put_name(out, h->name);
	}
}

bool
known_find(const struct known *k, const char *name, enum dns_type type, enum dns_status *status,
    struct buf *out)
{
	size_t before = out->n;
	bool found;

	find_host(k, name, type, out);
	found = out->n > before || find_localhost(name, type, out);
	*status = out->n > before ? DNS_OK : DNS_NODATA;
	return found;
}
