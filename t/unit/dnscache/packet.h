/* SPDX-License-Identifier: ISC */
#ifndef UNIT_DNSCACHE_PACKET_H
#define UNIT_DNSCACHE_PACKET_H

/* Answers for tests, written as lines of text; see packet_of(). */
#include "base/addr.h"
#include "base/buf.h"
#include "dns/dns.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static void
packet_u16(struct buf *b, unsigned v)
{
	buf_putc(b, (char)(v >> 8));
	buf_putc(b, (char)v);
}

/* "a.example"; "." the root. "\0" to "\7" stand for the bytes of those numbers. */
static void
packet_name(struct buf *b, const char *name)
{
	struct slice rest = slice_z(name), label;

	if (strcmp(name, ".") != 0)
		while (rest.n > 0 && slice_next(&rest, '.', &label)) {
			size_t at = b->n;

			buf_putc(b, 0);
			for (size_t i = 0; i < label.n; i++)
				if (label.p[i] == '\\' && i + 1 < label.n)
					buf_putc(b, (char)(label.p[++i] - '0'));
				else
					buf_putc(b, label.p[i]);
			b->p[at] = (char)(b->n - at - 1);
		}
	buf_putc(b, 0);
}

static void
packet_data(struct buf *b, const char *type, char *w[])
{
	uint8_t ip[16];

	if (strcmp(type, "A") == 0 && addr_host_parse(slice_z(w[0]), ip))
		buf_put(b, ip + 12, 4);
	else if (strcmp(type, "AAAA") == 0 && addr_host_parse(slice_z(w[0]), ip))
		buf_put(b, ip, 16);
	else if (strcmp(type, "MX") == 0) {
		packet_u16(b, (unsigned)atoi(w[0]));
		packet_name(b, w[1]);
	} else if (strcmp(type, "TXT") == 0) {
		for (int i = 0; w[i] != NULL; i++) {
			buf_putc(b, (char)strlen(w[i]));
			buf_puts(b, w[i]);
		}
	} else if (strcmp(type, "SOA") == 0) { /* minimum */
		packet_name(b, "ns");
		packet_name(b, "root");
		for (int i = 0; i < 9; i++)
			packet_u16(b, 0);
		packet_u16(b, (unsigned)atoi(w[0]));
	} else if (strcmp(type, "RAW") == 0) {
		for (const char *p = w[0] == NULL ? "" : w[0]; p[0] != '\0' && p[1] != '\0';
		     p += 2) {
			unsigned v = 0;

			sscanf(p, "%2x", &v);
			buf_putc(b, (char)v);
		}
	} else
		packet_name(b, w[0]);
}

/* "owner ttl TYPE data"; RAW:N is type N with data in hex. */
static void
packet_record(struct buf *b, const char *line)
{
	static const struct {
		const char *word;
		unsigned type;
	} types[] = { { "A", 1 }, { "NS", 2 }, { "CNAME", 5 }, { "SOA", 6 }, { "PTR", 12 },
		{ "MX", 15 }, { "TXT", 16 }, { "AAAA", 28 } };
	char copy[2048], *w[64] = { NULL }, *save;
	unsigned type = 0;
	int n = 0;
	size_t at;

	snprintf(copy, sizeof copy, "%s", line);
	assert(line[0] != '\0');
	for (char *p = strtok_r(copy, " ", &save); p != NULL && n < 63;
	     p = strtok_r(NULL, " ", &save))
		w[n++] = p;
	assert(n > 2);
	if (strncmp(w[2], "RAW:", 4) == 0) {
		type = (unsigned)atoi(w[2] + 4);
		w[2][3] = '\0';
	}
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (strcmp(types[i].word, w[2]) == 0)
			type = types[i].type;
	packet_name(b, w[0]);
	packet_u16(b, type);
	packet_u16(b, 1);
	packet_u16(b, (unsigned)(strtoul(w[1], NULL, 10) >> 16));
	packet_u16(b, (unsigned)strtoul(w[1], NULL, 10) & 0xffff);
	at = b->n;
	packet_u16(b, 0);
	packet_data(b, w[2], w + 3);
	b->p[at] = (char)((b->n - at - 2) >> 8);
	b->p[at + 1] = (char)(b->n - at - 2);
}

/*
 * Flags, the question, and lines: answers as they are, authority with "!" in front (behind all
 * answers).
 */
static inline void
packet_of(
    struct buf *b, unsigned flags, const char *name, enum dns_type type, const char *const lines[])
{
	unsigned n[2] = { 0 };

	for (int i = 0; lines != NULL && lines[i] != NULL; i++)
		n[lines[i][0] == '!']++;
	packet_u16(b, 4711);
	packet_u16(b, flags);
	packet_u16(b, 1);
	packet_u16(b, n[0]);
	packet_u16(b, n[1]);
	packet_u16(b, 0);
	packet_name(b, name);
	packet_u16(b, type);
	packet_u16(b, 1);
	for (int i = 0; lines != NULL && lines[i] != NULL; i++)
		packet_record(b, lines[i] + (lines[i][0] == '!'));
}

#endif
