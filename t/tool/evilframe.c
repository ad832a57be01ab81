/* SPDX-License-Identifier: ISC */
#include "t/tool/evilframe.h"

#include "base/clock.h"
#include "base/log.h"
#include "spool/envelope.h"
#include "spool/record.h"

#include <stdio.h>
#include <stdlib.h>

enum { KNOWN = 64, TEXT_SHORT = 40, TEXT_LONG = 60000 };

enum kind { KIND_end, KIND_u8, KIND_u16, KIND_u32, KIND_u64, KIND_str };

#define F(kind, name, help) KIND_##kind,
#define M(NAME, name, number, from, to, fd) \
	static const uint8_t kinds_##name[] = { FIELDS_##NAME(F) KIND_end };
IPC_MESSAGES(M)
#undef M
#undef F

static const struct row {
	uint16_t type;
	const uint8_t *kinds;
} rows[] = {
#define M(NAME, name, number, from, to, fd) { number, kinds_##name },
	IPC_MESSAGES(M)
#undef M
};
enum { ROWS = sizeof rows / sizeof *rows };

static uint64_t state;
static uint64_t known[KNOWN];
static unsigned nknown;

void
evil_seed(uint64_t seed)
{
	state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	nknown = 0;
}

/* xorshift64*: any will do that gives the same again. */
uint64_t
evil_u64(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(0x2545f4914f6cdd1d);
}

uint32_t
evil_below(uint32_t n)
{
	return (uint32_t)((evil_u64() >> 32) * n >> 32);
}

void
evil_learn(uint64_t v)
{
	known[nknown++ % KNOWN] = v;
}

void
evil_learn_packet(struct slice packet)
{
	struct msg_frame f;

	while (packet.n > 0 && msg_frame_next(&packet, &f))
		for (size_t at = 0; at + 4 <= f.payload.n && at < 48; at += 4) {
			uint64_t v = 0;

			memcpy(
			    &v, f.payload.p + at, at + 8 <= f.payload.n && evil_chance(60) ? 8 : 4);
			evil_learn(v);
		}
}

static uint64_t
number(void)
{
	static const uint64_t odd[] = { 0, 1, 2, 3, 7, 8, 63, 64, 127, 128, 255, 256, 4095, 4096,
		65535, 65536, 0x7fffffff, 0x80000000, UINT32_MAX, INT64_MAX, UINT64_C(1) << 63,
		UINT64_MAX - 7, UINT64_MAX };

	switch (evil_below(4)) {
	case 0:
		return odd[evil_below(sizeof odd / sizeof *odd)];
	case 1:
		return evil_below(8);
	case 2:
		return nknown == 0 ? evil_below(100)
				   : known[evil_below(nknown < KNOWN ? nknown : KNOWN)];
	}
	return evil_u64() >> evil_below(64);
}

/* An event as base/log.h lays them out, its keys and kinds drawn. */
static void
event(struct buf *b)
{
	size_t at = b->n;
	uint32_t n;

	buf_put(b, &(uint32_t){ 0 }, 4);
	buf_put(b, &(uint16_t){ (uint16_t)evil_below(60) }, 2);
	buf_put(b, &(uint16_t){ 0 }, 2);
	buf_put(b, &(uint64_t){ number() }, 8);
	buf_put(b, &(uint64_t){ number() }, 8);
	for (unsigned i = evil_below(6); i > 0; i--) {
		uint8_t kind = (uint8_t)evil_below(evil_chance(10) ? 256 : 3);
		uint16_t len = (uint16_t)evil_below(TEXT_SHORT);

		buf_putc(b, (char)evil_below(48));
		buf_putc(b, (char)kind);
		if (kind == 1) {
			buf_put(b, &len, 2);
			while (len-- > 0)
				buf_putc(b, (char)evil_below(256));
		} else {
			for (int k = kind == 0 ? 8 : 18; k > 0; k--)
				buf_putc(b, (char)evil_below(256));
		}
	}
	n = (uint32_t)(b->n - at - 4);
	if (evil_chance(10))
		n = (uint32_t)number();
	memcpy(b->p + at, &n, 4);
}

static void
text(struct buf *b, size_t n)
{
	static const struct slice words[] = { SLICE_LIT("user@example.com"),
		SLICE_LIT("postmaster"), SLICE_LIT("a@[127.0.0.1]"), SLICE_LIT("@"),
		SLICE_LIT("<>"), SLICE_LIT("status"), SLICE_LIT("route"), SLICE_LIT(".."),
		SLICE_LIT("\xff\xfe"), SLICE_LIT("x@xn--"), SLICE_LIT("a@b.example"),
		SLICE_LIT("\0zero"), SLICE_LIT("\"q\"@d.example"), SLICE_LIT("user@\x80.example") };

	switch (evil_below(7)) {
	case 0:
		buf_slice(b, words[evil_below(sizeof words / sizeof *words)]);
		return;
	case 1: /* keys, seals, addresses */
		n = evil_chance(50) ? 16 : 32;
		break;
	case 2: /* rows of numbers */
		for (unsigned i = evil_below(6); i > 0; i--)
			buf_put(b, &(uint64_t){ number() }, 8);
		return;
	case 3: /* pairs: recipient, attempt */
		for (unsigned i = evil_below(6); i > 0; i--)
			buf_put(b, (uint32_t[2]){ evil_below(3), evil_below(3) }, 8);
		return;
	case 4:
		for (unsigned i = evil_below(5); i > 0; i--)
			event(b);
		return;
	case 5:
		return;
	}
	while (n-- > 0)
		buf_putc(b, (char)evil_below(256));
}

void
evil_frame(struct buf *out, uint16_t type)
{
	size_t at = out->n;
	const struct row *r = rows;
	uint32_t len;

	while (r < rows + ROWS - 1 && r->type != type)
		r++;
	buf_put(out, &type, 2);
	buf_put(out, "\0\0\0\0\0", 6);
	for (const uint8_t *k = r->kinds; *k != KIND_end; k++) {
		uint64_t v = number();
		size_t before = out->n;

		switch ((enum kind) * k) {
		case KIND_end:
			break;
		case KIND_u8:
			buf_put(out, &v, 1);
			break;
		case KIND_u16:
			buf_put(out, &v, 2);
			break;
		case KIND_u32:
			buf_put(out, &v, 4);
			break;
		case KIND_u64:
			buf_put(out, &v, 8);
			break;
		case KIND_str:
			buf_put(out, "\0\0\0", 4);
			text(out, evil_below(evil_chance(2) && at == 0 ? TEXT_LONG : TEXT_SHORT));
			len = (uint32_t)(out->n - before - 4);
			memcpy(out->p + before, &len, 4);
			break;
		}
	}
	len = (uint32_t)(out->n - at - IPC_FRAME_HEAD);
	memcpy(out->p + at + 4, &len, 4);
}

uint16_t
evil_row(uint32_t from, uint32_t to)
{
	const struct msg_row *r;
	uint16_t type;

	do {
		type = evil_any_row();
		r = msg_row(type);
	} while (r == NULL || type == MSG_HELLO || !(r->from & from) || !(r->to & to));
	return type;
}

uint16_t
evil_any_row(void)
{
	return rows[evil_below(ROWS)].type;
}

void
evil_break(struct buf *out, size_t at)
{
	uint32_t n = (uint32_t)(out->n - at), v;

	switch (evil_below(6)) {
	case 0:
	case 1:
		for (unsigned i = 1 + evil_below(4); i > 0; i--)
			out->p[at + evil_below(n)] ^= (char)(1 << evil_below(8));
		return;
	case 2: /* the end is missing */
		out->n = at + 1 + evil_below(n);
		return;
	case 3: /* and said to be so: fields are missing, or cut in their middle */
		if (n > IPC_FRAME_HEAD) {
			v = evil_below(n - IPC_FRAME_HEAD);
			out->n = at + IPC_FRAME_HEAD + v;
			memcpy(out->p + at + 4, &v, 4);
		}
		return;
	case 4: /* a length that is not so */
		v = (uint32_t)number();
		memcpy(
		    out->p + at + (n >= 12 && evil_chance(50) ? 4 + 4 * evil_below(n / 4 - 1) : 4),
		    &v, n >= 8 ? 4 : 0);
		return;
	case 5:
		memcpy(out->p + at, &(uint16_t){ (uint16_t)number() }, 2);
		return;
	}
}

void
evil_record(struct buf *out, const struct msg_lease *lease, uint64_t offset)
{
	struct buf env = { 0 };
	size_t at = out->n;
	uint64_t now = clock_wall_ms();
	struct record_parts p = { .nrcpt = 1 + evil_below(3),
		.arrival_ms = now,
		.id = now << 22 | (uint64_t)(lease->segment & 4095) << 10 | evil_below(1024),
		.head = SLICE_LIT("X-Test-Id: evil\r\n"),
		.body = SLICE_LIT("\r\nevil\r\n") };

	if (evil_chance(20))
		p.id = evil_u64() | 1;
	envelope_put_text(&env, ENVELOPE_SENDER, slice_z(evil_chance(90) ? "evil@b.example" : ""));
	if (evil_chance(20))
		envelope_put_u32(&env, ENVELOPE_UID, 0);
	if (evil_chance(20))
		envelope_put_text(&env, ENVELOPE_LOGIN, SLICE_LIT("root"));
	if (evil_chance(20))
		envelope_put_u64(&env, ENVELOPE_NOTICE_OF, number());
	if (evil_chance(20))
		envelope_put_edit(
		    &env, 1 + evil_below(3), (uint32_t)number() | 1, SLICE_LIT("X-Evil: 1\r\n"));
	for (unsigned i = 0; i < p.nrcpt; i++) {
		char rcpt[48];
		int n = snprintf(rcpt, sizeof rcpt, "evil%u@d.example", evil_below(1000));
		struct envelope_route route = { .generation = number(),
			.bytes = SLICE_LIT("\1nonsense") };

		envelope_put_text(
		    &env, ENVELOPE_RECIPIENT, slice_of(rcpt, evil_chance(5) ? 0 : (size_t)n));
		if (evil_chance(30))
			envelope_put_route(&env, &route);
	}
	if (evil_chance(30))
		env.p[evil_below((uint32_t)env.n)] ^= (char)(1 << evil_below(8));
	if (evil_chance(10))
		p.nrcpt = 1 + evil_below(RECORD_RCPT_MAX);
	p.envelope = slice_buf(&env);
	if (record_build(out, &p, lease->seed) == 0) {
		if (evil_chance(20)) /* lengths, counts, flags that are not so, under a seal that is
					right */
			out->p[at + evil_below(RECORD_HEADER)] ^= (char)(1 << evil_below(8));
		record_seal(out->p + at, lease->segment, offset, lease->seed);
		if (evil_chance(30))
			out->p[at + evil_below((uint32_t)(out->n - at))] ^=
			    (char)(1 << evil_below(8));
	}
	buf_fini(&env);
}
