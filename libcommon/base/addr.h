/* SPDX-License-Identifier: ISC */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include "base/slice.h"

#include <sys/socket.h>

/* A host's address, IPv4 as v4-mapped IPv6 (RFC 4291, 2.5.5.2), and a port in host order. */
struct addr {
	uint8_t host[16];
	uint16_t port;
};

/* "192.0.2.1", "2001:db8::1", with or without "IPv6:" in front as in address literals. */
bool addr_host_parse(struct slice s, uint8_t host[16]);
/* "127.0.0.1:25", "[::1]:25"; a port from 1 to 65535 must stand there. */
bool addr_parse(struct slice s, struct addr *out);
bool addr_is_v4(const uint8_t host[16]);
bool addr_is_loopback(const uint8_t host[16]);
/* For the system calls; returns the length. v4-mapped addresses become AF_INET. */
socklen_t addr_sockaddr(const struct addr *a, struct sockaddr_storage *out);
bool addr_of(const struct sockaddr_storage *ss, struct addr *out);
/* The first `bits` of 128 equal? (an IPv4 prefix of n bits is 96 + n) */
bool addr_in(const uint8_t host[16], const uint8_t net[16], unsigned bits);

#endif
