/* SPDX-License-Identifier: ISC */
#ifndef BOUNCED_LETTER_H
#define BOUNCED_LETTER_H

#include "bounced/classify.h"
#include "bounce/notice.h"
#include "commit/intake.h"
#include "spool/envelope.h"

/*
 * A notice becomes a letter: the report of mail/dsn.h and its envelope, with the null sender and
 * what it settles. id, wall_ms, zone_min, unique: of this moment. *first: class of the first
 * recipient. False: the envelope would be too large.
 */
struct letter_now {
	uint64_t id, wall_ms, unique;
	int zone_min;
	uint32_t generation;
};
bool letter_make(struct letter *l, const struct notice *n, struct classifier *rules,
    const struct letter_now *now, struct verdict *first);

/* The class of one recipient's reply. */
void letter_classify(struct classifier *rules, const struct notice_rcpt *r, struct verdict *out);

/* The event "bounce" for one reply. */
void letter_tell(uint64_t id, const struct notice_rcpt *r, const struct verdict *v);

#endif
