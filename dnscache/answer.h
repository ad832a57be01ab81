/* SPDX-License-Identifier: ISC */
#ifndef DNSCACHE_ANSWER_H
#define DNSCACHE_ANSWER_H

#include "dns/dns.h"

/*
 * What name servers are asked and what they say, as bytes (RFC 1035 4). Pure: no descriptor, no
 * clock; the reader believes nothing of what it reads.
 */
enum {
	ANSWER_CHAIN_MAX = 10,		  /* CNAMEs on the way from a name to its records */
	ANSWER_RECORDS_BYTES = 48 * 1024, /* of one answer, so that it goes into a packet */
};

/*
 * How an answer ends. BAD, SERVFAIL and REFUSED are TEMP for who asked, if no other name server
 * knows better.
 */
enum answer_kind {
	ANSWER_OK,	 /* records, at least one */
	ANSWER_NODATA,	 /* the name is there, such a record is not */
	ANSWER_NXDOMAIN, /* the name is not there */
	ANSWER_FOLLOW, /* a chain of CNAMEs ends at `cname`, of which nothing is said: ask for that
			*/
	ANSWER_UNUSABLE, /* well-formed; what is there cannot be used: loops, names no host has */
	ANSWER_SERVFAIL,
	ANSWER_REFUSED, /* or an error that says as much, or a referral */
	ANSWER_BAD,	/* malformed, or no answer to this question */
};

struct answer {
	enum answer_kind kind;
	bool ad;
	bool has_ttl;		      /* false: nothing said how long (negative without SOA) */
	uint32_t ttl_s;		      /* the shortest of all that was used; negative: RFC 2308 5 */
	char cname[DNS_NAME_MAX + 1]; /* end of the chain; "": none */
	struct buf records;	      /* as dns/dns.h encodes them */
	const char *why;	      /* of the last four kinds */
};

/* A question with RD, and AD (RFC 6840 5.7: "tell me whether you validated"). No EDNS, so what is
 * long comes over TCP; nothing else is as sure to be understood. False: no name for the wire. */
bool answer_question_put(struct buf *out, uint16_t id, const char *name, enum dns_type type);

/* The answer to that question; *out is fresh or was used before, answer_fini() at the end. */
void answer_read(struct slice packet, const char *name, enum dns_type type, struct answer *out);
void answer_fini(struct answer *a);

#endif
