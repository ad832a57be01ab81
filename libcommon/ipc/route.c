/* SPDX-License-Identifier: ISC */
#include "ipc/route.h"

#include "base/die.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>

enum { ROUTE_VERSION = 1, HOP_MX = 1 };

static void
put_text(struct buf *b, struct slice s)
{
	assert(s.n <= ROUTE_TEXT_MAX);
	buf_putc(b, (char)s.n);
	buf_slice(b, s);
}

static bool
get_text(struct slice *in, struct slice *s)
{
	size_t n;

	if (in->n < 1)
		return false;
	n = (uint8_t)in->p[0];
	if (in->n < 1 + n)
		return false;
	*s = slice_of(in->p + 1, n);
	*in = slice_from(*in, 1 + n);
	return true;
}

void
route_put(struct buf *out, const struct route *r)
{
	assert(r->nhops <= ROUTE_HOPS_MAX);
	buf_putc(out, ROUTE_VERSION);
	put_text(out, r->transport);
	put_text(out, r->pool);
	put_text(out, r->tenant);
	put_text(out, r->domain);
	buf_putc(out, (char)r->nhops);
	for (unsigned i = 0; i < r->nhops; i++) {
		buf_putc(out, r->hops[i].mx ? HOP_MX : 0);
		buf_put(out, &r->hops[i].port, 2);
		put_text(out, r->hops[i].host);
	}
}

bool
route_get(struct slice in, struct route *r)
{
	*r = (struct route){ 0 };
	if (in.n < 1 || in.n > ROUTE_MAX || in.p[0] != ROUTE_VERSION)
		return false;
	in = slice_from(in, 1);
	if (!get_text(&in, &r->transport) || !get_text(&in, &r->pool) ||
	    !get_text(&in, &r->tenant) || !get_text(&in, &r->domain))
		return false;
	if (in.n < 1 || (uint8_t)in.p[0] > ROUTE_HOPS_MAX)
		return false;
	r->nhops = (uint8_t)in.p[0];
	in = slice_from(in, 1);
	for (unsigned i = 0; i < r->nhops; i++) {
		struct route_hop *h = &r->hops[i];

		if (in.n < 3)
			return false;
		h->mx = (in.p[0] & HOP_MX) != 0;
		memcpy(&h->port, in.p + 1, 2);
		in = slice_from(in, 3);
		if (!get_text(&in, &h->host))
			return false;
	}
	return in.n == 0;
}

struct route_sealer {
	EVP_MAC_CTX *mac;
};

struct route_sealer *
route_sealer_new(const uint8_t key[static ROUTE_KEY])
{
	struct route_sealer *s = xcalloc(1, sizeof *s);
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	char digest[] = "SHA256";
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string("digest", digest, 0),
		OSSL_PARAM_construct_end() };

	s->mac = hmac == NULL ? NULL : EVP_MAC_CTX_new(hmac);
	EVP_MAC_free(hmac);
	if (s->mac == NULL || EVP_MAC_init(s->mac, key, ROUTE_KEY, params) != 1)
		die(EXIT_TEMP, "HMAC-SHA-256 cannot be set up");
	return s;
}

void
route_sealer_free(struct route_sealer *s)
{
	if (s == NULL)
		return;
	EVP_MAC_CTX_free(s->mac);
	free(s);
}

void
route_seal(struct route_sealer *s, uint32_t generation, uint8_t action, struct slice route,
    struct slice rcpt, uint8_t seal[static ROUTE_SEAL])
{
	uint8_t full[32], head[16] = { action };
	uint32_t lengths[2] = { (uint32_t)route.n, (uint32_t)rcpt.n };
	size_t n = 0;

	memcpy(head + 4, &generation, 4);
	memcpy(head + 8, lengths, 8);
	if (EVP_MAC_init(s->mac, NULL, 0, NULL) != 1 ||
	    EVP_MAC_update(s->mac, head, sizeof head) != 1 ||
	    EVP_MAC_update(s->mac, (const unsigned char *)route.p, route.n) != 1 ||
	    EVP_MAC_update(s->mac, (const unsigned char *)rcpt.p, rcpt.n) != 1 ||
	    EVP_MAC_final(s->mac, full, &n, sizeof full) != 1)
		die(EXIT_TEMP, "HMAC-SHA-256 failed");
	memcpy(seal, full, ROUTE_SEAL);
}

bool
route_seal_ok(struct route_sealer *s, uint32_t generation, uint8_t action, struct slice route,
    struct slice rcpt, struct slice seal)
{
	uint8_t want[ROUTE_SEAL];

	if (seal.n != ROUTE_SEAL)
		return false;
	route_seal(s, generation, action, route, rcpt, want);
	return CRYPTO_memcmp(want, seal.p, ROUTE_SEAL) == 0;
}

const char *
phase_word(uint8_t phase)
{
	static const char *const words[] = {
#define P(NAME, word) word,
		DELIVERY_PHASES(P)
#undef P
	};

	return phase < PHASE_COUNT ? words[phase] : "?";
}
