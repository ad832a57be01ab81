/* SPDX-License-Identifier: ISC */
#include "ipc/msg.h"

#include <assert.h>

static void
put_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, 1);
}

static void
put_u16(struct buf *b, uint16_t v)
{
	buf_put(b, &v, 2);
}

static void
put_u32(struct buf *b, uint32_t v)
{
	buf_put(b, &v, 4);
}

static void
put_u64(struct buf *b, uint64_t v)
{
	buf_put(b, &v, 8);
}

static void
put_str(struct buf *b, struct slice v)
{
	assert(v.n <= IPC_PAYLOAD_MAX);
	put_u32(b, (uint32_t)v.n);
	buf_slice(b, v);
}

/* Each: absent at a field's border is fine (the zero is there already), cut within is not. */
static bool
get_fixed(struct slice *in, void *v, size_t n)
{
	if (in->n == 0)
		return true;
	if (in->n < n)
		return false;
	memcpy(v, in->p, n);
	*in = slice_from(*in, n);
	return true;
}

static bool
get_u8(struct slice *in, uint8_t *v)
{
	return get_fixed(in, v, 1);
}

static bool
get_u16(struct slice *in, uint16_t *v)
{
	return get_fixed(in, v, 2);
}

static bool
get_u32(struct slice *in, uint32_t *v)
{
	return get_fixed(in, v, 4);
}

static bool
get_u64(struct slice *in, uint64_t *v)
{
	return get_fixed(in, v, 8);
}

static bool
get_str(struct slice *in, struct slice *v)
{
	uint32_t n = 0;

	if (!get_u32(in, &n) || n > in->n)
		return false;
	*v = slice_head(*in, n);
	*in = slice_from(*in, n);
	return true;
}

static size_t
frame_open(struct buf *out, uint16_t type)
{
	size_t at = out->n;

	put_u16(out, type);
	put_u16(out, 0);
	put_u32(out, 0);
	return at;
}

static void
frame_close(struct buf *out, size_t at)
{
	size_t payload = out->n - at - IPC_FRAME_HEAD;
	uint32_t n = (uint32_t)payload;

	assert(payload <= IPC_PAYLOAD_MAX);
	memcpy(out->p + at + 4, &n, 4);
}

#define F(kind, name, help) put_##kind(out, m->name);
#define M(NAME, name, number, from, to, fd)                                \
	void msg_##name##_put(struct buf *out, const struct msg_##name *m) \
	{                                                                  \
		size_t at = frame_open(out, number);                       \
                                                                           \
		FIELDS_##NAME(F) frame_close(out, at);                     \
	}
IPC_MESSAGES(M)
#undef M
#undef F

#define F(kind, name, help) &&get_##kind(&in, &m->name)
#define M(NAME, name, number, from, to, fd)                          \
	bool msg_##name##_get(struct slice in, struct msg_##name *m) \
	{                                                            \
		*m = (struct msg_##name){ 0 };                       \
		return true FIELDS_##NAME(F);                        \
	}
IPC_MESSAGES(M)
#undef M
#undef F

bool
msg_frame_next(struct slice *packet, struct msg_frame *out)
{
	uint32_t n;

	if (packet->n < IPC_FRAME_HEAD)
		return false;
	memcpy(&out->type, packet->p, 2);
	memcpy(&n, packet->p + 4, 4);
	if (n > packet->n - IPC_FRAME_HEAD)
		return false;
	out->payload = slice_of(packet->p + IPC_FRAME_HEAD, n);
	*packet = slice_from(*packet, IPC_FRAME_HEAD + n);
	return true;
}

const struct msg_row * /* NOLINTNEXTLINE(readability-function-size) */
msg_row(uint16_t type)
{
#define M(NAME, name, number, from, to, fd)                                \
	case number: {                                                     \
		static const struct msg_row row = { #NAME, from, to, fd }; \
                                                                           \
		return &row;                                               \
	}
	switch (type) {
		IPC_MESSAGES(M)
	}
#undef M
	return NULL;
}
