/* SPDX-License-Identifier: ISC */
/* An answer of a name server; the first byte chooses the type that was asked for. What is taken
 * must be what the other services will believe. */
#include "dnscache/answer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
demand(bool ok)
{
	if (!ok)
		abort();
}

static void
check(const struct answer *a, enum dns_type type)
{
	struct slice rest = slice_buf(&a->records);
	struct dns_record r;
	unsigned n = 0;
	int rc;

	while ((rc = dns_record_next(&rest, type, &r)) == 1)
		n++;
	demand(rc == 0);
	demand((n > 0) == (a->kind == ANSWER_OK));
	demand(n <= DNS_RECORDS_MAX && a->records.n <= ANSWER_RECORDS_BYTES);
	demand((a->why != NULL) == (a->kind >= ANSWER_UNUSABLE));
	if (a->kind <= ANSWER_FOLLOW)
		demand(dns_name_is(slice_z(a->cname)));
	if (a->kind == ANSWER_FOLLOW)
		demand(a->cname[0] != '\0' && strcmp(a->cname, "a.example") != 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = { DNS_A, DNS_AAAA, DNS_MX, DNS_PTR, DNS_TXT,
		DNS_CNAME };
	enum dns_type type;
	struct answer a = { .kind = ANSWER_BAD };
	char *exact;

	if (size < 1)
		return 0;
	type = types[data[0] % 6];
	exact = malloc(size); /* so that a byte beyond is seen */
	if (size > 1)
		memcpy(exact, data + 1, size - 1);
	for (int twice = 0; twice < 2; twice++) {
		answer_read(slice_of(exact, size - 1), "a.example", type, &a);
		check(&a, type);
	}
	free(exact);
	answer_fini(&a);
	return 0;
}
