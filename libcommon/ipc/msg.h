/* SPDX-License-Identifier: ISC */
#ifndef IPC_MSG_H
#define IPC_MSG_H

#include "base/buf.h"
#include "ipc/messages.h"

/*
 * The codec of messages.h: pure, no descriptor. A packet holds frames one after the other:
 *	u16 type; u16 zero; u32 length of the payload; payload: the fields in the table's order,
 *	numbers little-endian, str as u32 length and bytes.
 * A reader gives fields that were not sent as zero or empty, and ignores bytes after the last field
 * it knows (a newer peer's).
 */
enum {
	IPC_FRAME_HEAD = 8,
	IPC_PACKET_MAX = 64 * 1024,
	IPC_PAYLOAD_MAX = IPC_PACKET_MAX - IPC_FRAME_HEAD
};

enum msg_type {
#define M(NAME, name, number, from, to, fd) MSG_##NAME = number,
	IPC_MESSAGES(M)
#undef M
};

#define IPC_C_u8 uint8_t
#define IPC_C_u16 uint16_t
#define IPC_C_u32 uint32_t
#define IPC_C_u64 uint64_t
#define IPC_C_str struct slice

/* struct msg_doorbell { uint32_t segment; uint64_t durable; }; ... str fields point into the
 * packet. */
#define F(kind, name, help) IPC_C_##kind name;
#define M(NAME, name, number, from, to, fd) \
	struct msg_##name {                 \
		FIELDS_##NAME(F)            \
	};
IPC_MESSAGES(M)
#undef M
#undef F

/* msg_doorbell_put(): one frame behind what `out` holds. Payload beyond the limit is a bug
 * (assert). msg_doorbell_get(): false when the payload is cut or malformed. */
#define M(NAME, name, number, from, to, fd)                                 \
	void msg_##name##_put(struct buf *out, const struct msg_##name *m); \
	bool msg_##name##_get(struct slice payload, struct msg_##name *m);
IPC_MESSAGES(M)
#undef M

struct msg_frame {
	uint16_t type;
	struct slice payload;
};
/* Takes a frame off the front. False: used up (packet->n == 0) or malformed. */
bool msg_frame_next(struct slice *packet, struct msg_frame *out);

struct msg_row {
	const char *name;
	uint32_t from, to; /* IPC_* bits */
	bool fd;
};
const struct msg_row *msg_row(uint16_t type); /* NULL: unknown */

#endif
