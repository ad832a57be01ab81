/* SPDX-License-Identifier: ISC */
#ifndef DNS_DNS_H
#define DNS_DNS_H

#include "base/buf.h"

/* What DNS_ASK and DNS_ANSWER (ipc/messages.h) speak of, for dnscache and for those that ask it. */

/* RFC 1035 3.2.2, RFC 3596 */
enum dns_type {
	DNS_A = 1,
	DNS_CNAME = 5,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
};

/*
 * TEMP: no name server could say (SERVFAIL, REFUSED, no answer, malformed answer, too much at once,
 * dnscache away): never a reason to give mail up. NODATA: the name is there, such a record is not.
 * NXDOMAIN: the name is not there (RFC 2308).
 */
enum dns_status { DNS_OK, DNS_NODATA, DNS_NXDOMAIN, DNS_TEMP };

enum dns_flag {
	DNS_AD = 1 << 0,     /* the name server says that it validated (RFC 4035 3.2.3) */
	DNS_CACHED = 1 << 1, /* answered without asking a name server */
};

enum {
	DNS_NAME_MAX = 253,   /* as text, without the final dot */
	DNS_RECORDS_MAX = 64, /* of one answer; what is beyond is left out */
	DNS_TEXT_MAX = 4096,  /* bytes of a TXT record, its strings joined (RFC 7208 3.3) */
};

/*
 * The records of an answer, one after the other: u16 length, then
 *	A, AAAA		4 or 16 bytes
 *	MX		u16 preference, the exchanger's name as text ("" is the root: RFC 7505)
 *	PTR, CNAME	the name as text
 *	TXT		its strings joined
 * Names are lower case, without final dot, in printable ASCII; others do not leave dnscache.
 */
struct dns_record {
	struct slice data;   /* A, AAAA, PTR, CNAME, TXT: as above; MX: the exchanger */
	uint16_t preference; /* MX */
};
void dns_record_put(struct buf *out, enum dns_type type, const struct dns_record *r);
/* Takes the first off *rest: 1; 0 at the end; -EBADMSG. Slices point into it. */
int dns_record_next(struct slice *rest, enum dns_type type, struct dns_record *out);

const char *dns_type_word(uint16_t type);    /* "MX"; NULL: none of ours */
const char *dns_status_word(uint8_t status); /* "ok", "nodata", "nxdomain", "temp" */
/* "mx", "MX" */
bool dns_type_of(struct slice word, enum dns_type *out);
/* Lower case into out, final dot cut: LDH labels and underscores. False: no domain name. */
bool dns_name_clean(struct slice name, char out[static DNS_NAME_MAX + 1]);
/* A name as it leaves dnscache: labels of printable ASCII in lower case; "" is the root. */
bool dns_name_is(struct slice name);
/* "4.3.2.1.in-addr.arpa", nibbles under ip6.arpa; an IPv4 mapped address as IPv4. */
void dns_reverse_name(const uint8_t ip[static 16], char out[static DNS_NAME_MAX + 1]);

#endif
