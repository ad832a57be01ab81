/* SPDX-License-Identifier: ISC */
#include "smtp/path_literal.h"

#include "smtp/chars.h"

/* Snum 3("." Snum), where Snum is one to three digits, 0 to 255. */
bool
path_literal_ip4(struct slice s, uint8_t addr[4])
{
	size_t at = 0;

	for (unsigned part = 0; part < 4; part++) {
		unsigned v = 0, digits = 0;

		if (part > 0 && (at == s.n || s.p[at++] != '.'))
			return false;
		while (at < s.n && ascii_digit(s.p[at]) && digits < 3) {
			v = v * 10 + (unsigned)(s.p[at++] - '0');
			digits++;
		}
		if (digits == 0 || v > 255)
			return false;
		addr[part] = (uint8_t)v;
	}
	return at == s.n;
}

struct ip6 {
	uint8_t bytes[16];
	unsigned n;  /* bytes so far */
	int gap;     /* bytes before "::", -1: none */
	bool dotted; /* ends in IPv4 form */
};

/* The groups, left to right, each with the colons behind it. */
static bool
read_groups(struct slice s, struct ip6 *ip)
{
	size_t at = 0;

	if (s.n >= 2 && s.p[0] == ':' && s.p[1] == ':') {
		ip->gap = 0;
		at = 2;
	}
	while (at < s.n) {
		size_t from = at;
		unsigned v = 0;

		while (at < s.n && at - from < 4 && ascii_hex(s.p[at]) >= 0)
			v = v << 4 | (unsigned)ascii_hex(s.p[at++]);
		if (at == from)
			return false;
		if (at < s.n && s.p[at] == '.') {
			ip->dotted = true;
			ip->n += 4;
			return ip->n <= 16 &&
			       path_literal_ip4(slice_from(s, from), ip->bytes + ip->n - 4);
		}
		if (ip->n > 14)
			return false;
		ip->bytes[ip->n++] = (uint8_t)(v >> 8);
		ip->bytes[ip->n++] = (uint8_t)v;
		if (at == s.n)
			return true;
		if (s.p[at++] != ':' || at == s.n)
			return false;
		if (s.p[at] == ':') {
			if (ip->gap >= 0)
				return false;
			ip->gap = (int)ip->n;
			at++;
		}
	}
	return ip->gap >= 0;
}

bool
path_literal_ip6(struct slice s, uint8_t addr[16])
{
	struct ip6 ip = { .gap = -1 };
	size_t tail;

	if (!read_groups(s, &ip))
		return false;
	/* Whole, or "::" for two groups or more: the IPv6-comp and IPv6v4-comp rules. */
	if (ip.gap < 0 ? ip.n != 16 : ip.n > 12)
		return false;
	if (addr != NULL) {
		tail = ip.gap < 0 ? 0 : ip.n - (size_t)ip.gap;
		memset(addr, 0, 16);
		memcpy(addr, ip.bytes, ip.n - tail);
		memcpy(addr + 16 - tail, ip.bytes + ip.n - tail, tail);
	}
	return true;
}

/* Standardized-tag ":" 1*dcontent, the tag as Ldh-str. */
static bool
is_general(struct slice s)
{
	ptrdiff_t colon = slice_find(s, ':');

	return colon > 0 && (size_t)colon + 1 < s.n && s.p[colon - 1] != '-' &&
	       chars_all(slice_head(s, (size_t)colon), CHARS_LDH) &&
	       chars_all(slice_from(s, (size_t)colon + 1), CHARS_DTEXT);
}

enum literal
path_literal_parse(struct slice inside, uint8_t addr[16])
{
	uint8_t ip4[4];

	if (slice_istarts(inside, "IPv6:"))
		return path_literal_ip6(slice_from(inside, 5), addr) ? LITERAL_IP6 : LITERAL_NONE;
	if (path_literal_ip4(inside, ip4)) {
		if (addr != NULL) {
			memset(addr, 0, 10);
			memset(addr + 10, 0xff, 2);
			memcpy(addr + 12, ip4, 4);
		}
		return LITERAL_IP4;
	}
	return is_general(inside) ? LITERAL_GENERAL : LITERAL_NONE;
}
