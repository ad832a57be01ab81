/* SPDX-License-Identifier: ISC */
#ifndef TOOL_EVILFRAME_H
#define TOOL_EVILFRAME_H

#include "base/buf.h"
#include "ipc/msg.h"

/*
 * Messages as a fallen process could send them: rows of ipc/messages.h with fields drawn at random,
 * from what the other side has said, or from what makes sense; some of them broken afterwards. The
 * same seed gives the same draws.
 */
void evil_seed(uint64_t seed);
uint32_t evil_below(uint32_t n); /* 0 .. n - 1; n > 0 */
uint64_t evil_u64(void);
static inline bool
evil_chance(unsigned percent)
{
	return evil_below(100) < percent;
}

/* A number the other side said: it comes again in later fields. */
void evil_learn(uint64_t v);
void evil_learn_packet(struct slice packet);

/* One frame of this row, or of any that `from` may send to `to`, with fields drawn. */
void evil_frame(struct buf *out, uint16_t type);
uint16_t evil_row(uint32_t from, uint32_t to);
uint16_t evil_any_row(void);
/* Breaks the frame that begins at `at`: bits, lengths, type, end. */
void evil_break(struct buf *out, size_t at);

/* A record as a writer would append it to this lease, now and then a little wrong. */
void evil_record(struct buf *out, const struct msg_lease *lease, uint64_t offset);

#endif
