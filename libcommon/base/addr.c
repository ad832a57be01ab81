/* SPDX-License-Identifier: ISC */
#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

bool
addr_host_parse(struct slice s, uint8_t host[16])
{
	char z[INET6_ADDRSTRLEN];
	struct in_addr v4;

	bool tagged = slice_istarts(s, "IPv6:");

	if (tagged)
		s = slice_from(s, 5);
	if (s.n == 0 || memchr(s.p, '\0', s.n) != NULL || !slice_copy(s, z, sizeof z))
		return false;
	if (!tagged && inet_pton(AF_INET, z, &v4) == 1) {
		memcpy(host, mapped, 12);
		memcpy(host + 12, &v4, 4);
		return true;
	}
	return inet_pton(AF_INET6, z, host) == 1;
}

bool
addr_parse(struct slice s, struct addr *out)
{
	struct slice host;
	uint64_t port;
	size_t at;

	if (s.n > 0 && s.p[0] == '[') {
		ptrdiff_t end = slice_find(s, ']');

		if (end < 0 || (size_t)end + 1 >= s.n || s.p[end + 1] != ':')
			return false;
		host = slice_head(slice_from(s, 1), (size_t)end - 1);
		at = (size_t)end + 1;
	} else {
		ptrdiff_t colon = slice_find(s, ':');

		if (colon < 0)
			return false;
		at = (size_t)colon;
		host = slice_head(s, at);
	}
	if (!slice_u64(slice_from(s, at + 1), &port) || port == 0 || port > 65535)
		return false;
	out->port = (uint16_t)port;
	return addr_host_parse(host, out->host);
}

bool
addr_is_v4(const uint8_t host[16])
{
	return memcmp(host, mapped, 12) == 0;
}

bool
addr_is_loopback(const uint8_t host[16])
{
	static const uint8_t one[16] = { [15] = 1 };

	return addr_is_v4(host) ? host[12] == 127 : memcmp(host, one, 16) == 0;
}

socklen_t
addr_sockaddr(const struct addr *a, struct sockaddr_storage *out)
{
	*out = (struct sockaddr_storage){ 0 };
	if (addr_is_v4(a->host)) {
		struct sockaddr_in *in = (void *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->host + 12, 4);
		return sizeof *in;
	}
	struct sockaddr_in6 *in6 = (void *)out;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(a->port);
	memcpy(&in6->sin6_addr, a->host, 16);
	return sizeof *in6;
}

bool
addr_of(const struct sockaddr_storage *ss, struct addr *out)
{
	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)ss;

		memcpy(out->host, mapped, 12);
		memcpy(out->host + 12, &in->sin_addr, 4);
		out->port = ntohs(in->sin_port);
		return true;
	}
	if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)ss;

		memcpy(out->host, &in6->sin6_addr, 16);
		out->port = ntohs(in6->sin6_port);
		return true;
	}
	return false;
}

bool
addr_in(const uint8_t host[16], const uint8_t net[16], unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (bits > 128 || memcmp(host, net, whole) != 0)
		return false;
	return rest == 0 || ((host[whole] ^ net[whole]) >> (8 - rest)) == 0;
}
