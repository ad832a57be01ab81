/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_LIMITS_H
#define SMTPD_LIMITS_H

#include "base/addr.h"

/*
 * How many sessions there are, in all and of each client, over all workers: a table in memory that
 * the parent and its workers share. Each worker writes its own column only and reads those of the
 * others, which it believes no more than as numbers: a fallen worker can make the others refuse
 * sessions, nothing else. The parent clears the column of a worker that died.
 */
struct limits;

struct limits *limits_new(
    unsigned workers); /* the parent, before it forks; worker numbers from 1 */
void limits_free(struct limits *l);
void limits_clear(struct limits *l, unsigned worker);

/* A client's key: an IPv4 address, the first 64 bits of an IPv6 address, a local user. Never 0. */
uint64_t limits_client(const uint8_t host[16]);
uint64_t limits_uid(uint32_t uid);

struct limits_count {
	uint64_t all, of_client;
};
/*
 * Counts one session more in worker's column; *now: how many there are with it. Returns what
 * limits_leave() wants back. Where a worker has more clients in one place of the table than it can
 * count, one is not.
 */
unsigned limits_enter(struct limits *l, unsigned worker, uint64_t client, struct limits_count *now);
void limits_leave(struct limits *l, unsigned worker, unsigned place);

/* For `angctl status`: a worker says what it has counted, the parent sums it up, of dead workers
 * too. */
struct limits_tally {
	uint64_t sessions, accepted, refused;
};
void limits_tell(struct limits *l, unsigned worker, uint64_t accepted, uint64_t refused);
void limits_sum(struct limits *l, struct limits_tally *out);

#endif
