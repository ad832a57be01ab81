/* SPDX-License-Identifier: ISC */
#include "smtpd/tx.h"

#include "smtp/path.h"

#include <assert.h>
#include <bsd/stdlib.h>
#include <xxhash.h>

enum {
	INDEX_FIRST = 64
}; /* up to half of it filled: below that many recipients a walk is as fast */

void
tx_reset(struct tx *tx)
{
	enum tx_state state = tx->state == TX_NONE ? TX_NONE : TX_READY;

	letter_free(tx->letter);
	arena_reset(&tx->arena);
	*tx = (struct tx){ .state = state, .refusal = REPLY_COUNT };
}

/* Local parts are told apart by case, domains are not (RFC 5321 section 2.4). */
static bool
same_address(struct slice a, struct slice b)
{
	size_t at = 0;

	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (a.p[i] == '@')
			at = i;
	return memcmp(a.p, b.p, at) == 0 && slice_ieq(slice_from(a, at), slice_from(b, at));
}

/* Strangers choose the addresses: keyed, so that nobody can choose them to collide. */
static uint32_t
hash(struct slice address)
{
	static uint64_t key;
	char low[PATH_ADDRESS_MAX];
	size_t n = address.n < sizeof low ? address.n : sizeof low;

	if (key == 0)
		arc4random_buf(&key, sizeof key);
	for (size_t i = 0; i < n; i++)
		low[i] = ascii_lower(address.p[i]);
	return (uint32_t)XXH3_64bits_withSeed(low, n, key);
}

static bool
index_has(const struct tx *tx, struct slice address)
{
	uint32_t mask = tx->nindex - 1;

	for (uint32_t i = hash(address) & mask; tx->index[i] != 0; i = (i + 1) & mask)
		if (same_address(tx->by_number[tx->index[i] - 1]->address, address))
			return true;
	return false;
}

bool
tx_has(const struct tx *tx, struct slice address)
{
	if (tx->nindex > 0)
		return index_has(tx, address);
	for (const struct rcpt *r = tx->rcpts; r != NULL; r = r->next)
		if (same_address(r->address, address))
			return true;
	return false;
}

static void
index_put(struct tx *tx, struct rcpt *r, uint32_t number)
{
	uint32_t mask = tx->nindex - 1, i;

	for (i = hash(r->address) & mask; tx->index[i] != 0; i = (i + 1) & mask)
		;
	tx->index[i] = number + 1;
	tx->by_number[number] = r;
}

/* Tables are left behind in the arena as they double: less than what the last one takes. */
static void
grow(struct tx *tx)
{
	/* Twice INDEX_FIRST would be half full already: there must be room for one more. */
	uint32_t n = tx->nindex == 0 ? INDEX_FIRST * 4 : tx->nindex * 2, number = 0;

	tx->nindex = n;
	tx->index = arena_alloc(&tx->arena, n * sizeof *tx->index);
	memset(tx->index, 0, n * sizeof *tx->index);
	tx->by_number = arena_alloc(&tx->arena, n / 2 * sizeof *tx->by_number);
	for (struct rcpt *r = tx->rcpts; r != NULL; r = r->next)
		index_put(tx, r, number++);
}

void
tx_accept(struct tx *tx, struct rcpt *r)
{
	assert(tx->state == TX_MAIL || tx->state == TX_RCPT);
	if (tx->nrcpt + 1 > (tx->nindex == 0 ? INDEX_FIRST : tx->nindex / 2))
		grow(tx);
	if (tx->nindex > 0) {
		assert(tx->nrcpt < tx->nindex / 2);
		index_put(tx, r, tx->nrcpt);
	}
	if (tx->rcpts == NULL)
		tx->rcpts_end = &tx->rcpts;
	r->next = NULL;
	*tx->rcpts_end = r;
	tx->rcpts_end = &r->next;
	tx->nrcpt++;
	tx->state = TX_RCPT;
}
