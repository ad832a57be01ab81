/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_RATES_H
#define SMTPD_RATES_H

#include "base/gcra.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * How often each client may connect, begin a message, name a recipient, over all workers: a table in
 * memory that the parent and its workers share, of a size that never changes. A client has one of
 * sixteen places; where all are taken it gets that of the one that will be at rest first, so a
 * client is forgotten before its time only while very many come at once.
 *
 * What stands there is believed no more than as a number: a fallen worker can make the others refuse
 * a client for the time of one burst, again and again, or let one pass, nothing else.
 */
struct rates;
struct conf;

enum rate_kind { RATE_CONNECTION, RATE_MESSAGE, RATE_RECIPIENT, RATE_KINDS };

enum { RATES_PLACES = 65536 };

struct rates *rates_new(void); /* the parent, before it forks */
void rates_free(struct rates *r);
/* The rates of this process from now on. Clients keep what they have used of those that are the same. */
void rates_config(struct rates *r, const struct conf *c);

/* client: as limits.h makes it. True: it may, and this one counts. now_ms: mono. */
bool rates_take(struct rates *r, enum rate_kind kind, uint64_t client, uint64_t now_ms);

#endif
