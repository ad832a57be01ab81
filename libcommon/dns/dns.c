/* SPDX-License-Identifier: ISC */
#include "dns/dns.h"

#include "base/addr.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

enum { LABEL_MAX = 63, MX_HEAD = 2 };

static const struct {
	enum dns_type type;
	const char *word;
} types[] = {
	{ DNS_A, "A" },
	{ DNS_CNAME, "CNAME" },
	{ DNS_PTR, "PTR" },
	{ DNS_MX, "MX" },
	{ DNS_TXT, "TXT" },
	{ DNS_AAAA, "AAAA" },
};

const char *
dns_type_word(uint16_t type)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (types[i].type == type)
			return types[i].word;
	return NULL;
}

bool
dns_type_of(struct slice word, enum dns_type *out)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (slice_iis(word, types[i].word)) {
			*out = types[i].type;
			return true;
		}
	return false;
}

const char *
dns_status_word(uint8_t status)
{
	static const char *const words[] = {
		[DNS_OK] = "ok",
		[DNS_NODATA] = "nodata",
		[DNS_NXDOMAIN] = "nxdomain",
		[DNS_TEMP] = "temp",
	};

	return status < sizeof words / sizeof *words ? words[status] : "?";
}

void
dns_record_put(struct buf *out, enum dns_type type, const struct dns_record *r)
{
	size_t n = r->data.n + (type == DNS_MX ? MX_HEAD : 0);
	uint16_t head = (uint16_t)n;

	assert(n <= UINT16_MAX);
	buf_put(out, &head, sizeof head);
	if (type == DNS_MX)
		buf_put(out, &r->preference, sizeof r->preference);
	buf_slice(out, r->data);
}

bool
dns_name_is(struct slice s)
{
	size_t label = 0;

	if (s.n > DNS_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~' || (s.p[i] >= 'A' && s.p[i] <= 'Z'))
			return false;
		if (s.p[i] != '.')
			label++;
		else if (label == 0)
			return false;
		else
			label = 0;
		if (label > LABEL_MAX)
			return false;
	}
	return s.n == 0 || label > 0;
}

static bool
record_makes_sense(enum dns_type type, const struct dns_record *r)
{
	switch (type) {
	case DNS_A:
		return r->data.n == 4;
	case DNS_AAAA:
		return r->data.n == 16;
	case DNS_CNAME:
	case DNS_PTR:
	case DNS_MX:
		return dns_name_is(r->data);
	case DNS_TXT:
		return r->data.n <= DNS_TEXT_MAX;
	}
	return false;
}

int
dns_record_next(struct slice *rest, enum dns_type type, struct dns_record *out)
{
	uint16_t n;

	if (rest->n == 0)
		return 0;
	if (rest->n < sizeof n)
		return -EBADMSG;
	memcpy(&n, rest->p, sizeof n);
	if (rest->n - sizeof n < n || (type == DNS_MX && n < MX_HEAD))
		return -EBADMSG;
	*out = (struct dns_record){ .data = slice_of(rest->p + sizeof n, n) };
	if (type == DNS_MX) {
		memcpy(&out->preference, out->data.p, MX_HEAD);
		out->data = slice_from(out->data, MX_HEAD);
	}
	if (!record_makes_sense(type, out))
		return -EBADMSG;
	*rest = slice_from(*rest, sizeof n + n);
	return 1;
}

static bool
is_ldh(char c)
{
	return ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '_';
}

bool
dns_name_clean(struct slice name, char out[static DNS_NAME_MAX + 1])
{
	size_t label = 0;

	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	if (name.n == 0 || name.n > DNS_NAME_MAX) {
		out[0] = '\0';
		return false;
	}
	for (size_t i = 0; i < name.n; i++) {
		out[i] = ascii_lower(name.p[i]);
		if (name.p[i] == '.' && label > 0) {
			label = 0;
			continue;
		}
		if (!is_ldh(name.p[i]) || ++label > LABEL_MAX) {
			out[0] = '\0';
			return false;
		}
	}
	out[name.n] = '\0';
	return label > 0;
}

void
dns_reverse_name(const uint8_t ip[static 16], char out[static DNS_NAME_MAX + 1])
{
	static const char hex[] = "0123456789abcdef";
	char *p = out;

	if (addr_is_v4(ip)) {
		snprintf(out, DNS_NAME_MAX + 1, "%u.%u.%u.%u.in-addr.arpa", ip[15], ip[14], ip[13],
		    ip[12]);
		return;
	}
	for (int i = 15; i >= 0; i--) {
		*p++ = hex[ip[i] & 15];
		*p++ = '.';
		*p++ = hex[ip[i] >> 4];
		*p++ = '.';
	}
	memcpy(p, "ip6.arpa", sizeof "ip6.arpa");
}
