/* SPDX-License-Identifier: ISC */
/* Packets as a bad peer may send them: frames, every row's reader, and what rows carry within. */
#include "ipc/msg.h"
#include "ipc/job.h"
#include "ipc/route.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read is written and read again: the bytes must be the same (a canonical form). */
#define M(NAME, name, number, from, to, fd)                                               \
	static void try_##name(struct slice payload)                                      \
	{                                                                                 \
		struct msg_##name m, again;                                               \
		struct buf one = { 0 }, two = { 0 };                                      \
		struct slice packet;                                                      \
		struct msg_frame f;                                                       \
                                                                                          \
		if (!msg_##name##_get(payload, &m))                                       \
			return;                                                           \
		msg_##name##_put(&one, &m);                                               \
		packet = slice_buf(&one);                                                 \
		assert(msg_frame_next(&packet, &f) && f.type == number && packet.n == 0); \
		assert(msg_##name##_get(f.payload, &again));                              \
		msg_##name##_put(&two, &again);                                           \
		assert(slice_eq(slice_buf(&one), slice_buf(&two)));                       \
		buf_fini(&one);                                                           \
		buf_fini(&two);                                                           \
	}
IPC_MESSAGES(M)
#undef M

static void
try_within(struct slice bytes)
{
	struct job_limits limits;
	struct route route;
	struct buf back = { 0 };

	if (route_get(bytes, &route)) {
		route_put(&back, &route);
		assert(route_get(slice_buf(&back), &route));
	}
	job_limits_get(bytes, &limits);
	buf_fini(&back);
}

static void
try_frame(const struct msg_frame *f)
{
	switch (f->type) {
#define M(NAME, name, number, from, to, fd) \
	case number:                        \
		try_##name(f->payload);     \
		break;
		IPC_MESSAGES(M)
#undef M
	}
	(void)msg_row(f->type);
	try_within(f->payload);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice packet = slice_of(data, size);
	struct msg_frame f;

	/* A payload of this size cannot be written back: no packet holds it. */
	if (size > IPC_PACKET_MAX / 2)
		return 0;
	try_within(packet);
	while (msg_frame_next(&packet, &f))
		try_frame(&f);
	return 0;
}
