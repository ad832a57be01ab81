/* SPDX-License-Identifier: ISC */
#ifndef BASE_ID_H
#define BASE_ID_H

#include "base/slice.h"

/*
 * Queue ids need no daemon (QUEUE.md rule 12): wall milliseconds (42 bits), lease number mod 4096
 * (12 bits; no two live leases share it), counter (10 bits), as 13 characters of digits and
 * upper-case consonants ("0123456789BCDFGHJKLMNPQRSTVWXYZ", base 31, most significant first).
 */
enum { ID_TEXT = 13 };

void id_text(uint64_t id, char out[static ID_TEXT + 1]);
bool id_parse(struct slice s, uint64_t *id); /* either case of letter; false: no id */
static inline uint64_t
id_ms(uint64_t id)
{
	return id >> 22;
}

/* One writer's source of ids. Never below floor_ms, never the same twice, whatever the clock does.
 */
struct id_source {
	uint64_t last_ms;
	uint32_t lease, counter;
};
void id_source_init(struct id_source *s, uint32_t lease, uint64_t floor_ms);
uint64_t id_next(struct id_source *s, uint64_t now_ms);

#endif
