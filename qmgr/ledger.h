/* SPDX-License-Identifier: ISC */
#ifndef QMGR_LEDGER_H
#define QMGR_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The ledger (QUEUE.md rule 28), in recipients:
 *	accepted + notices + expanded_out - expanded_in = delivered + bounced + expired + dropped + damaged + queued
 * The sums are part of the state that the journal restores; `queued` is counted apart, one
 * recipient at a time, so that the equation can fail.
 */
#define LEDGER_TERMS(T) \
	T(accepted)     \
	T(notices)      \
	T(expanded_out) T(expanded_in) T(delivered) T(bounced) T(expired) T(dropped) T(damaged)

struct ledger {
#define T(name) uint64_t name;
	LEDGER_TERMS(T)
#undef T
};

static inline bool
ledger_balances(const struct ledger *l, uint64_t queued)
{
	return l->accepted + l->notices + l->expanded_out - l->expanded_in ==
	       l->delivered + l->bounced + l->expired + l->dropped + l->damaged + queued;
}

#endif
