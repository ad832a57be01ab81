/* SPDX-License-Identifier: ISC */
#include "base/log.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/die.h"
#include "base/json.h"
#include "base/id.h"
#include "base/metrics.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { KIND_U64 = 0, KIND_TEXT = 1, KIND_ADDR = 2 };
/* The last second of the year 9999: a stamp has room for four digits, and who forges an event may
 * claim any time. */
#define LAST_US (253402300799ULL * 1000000 + 999999)
enum how { HOW_U64, HOW_ID, HOW_HEX, HOW_STR, HOW_ADDR, HOW_ENH };

static const struct {
	const char *word;
	enum how how;
	struct slice member; /* as it stands in a line of JSON, behind another */
} keys[LOGK_END] = {
#define MEMBER(word) ",\"" word "\":"
#define K(NAME, number, word, how) \
	[number] = { word, HOW_##how, { MEMBER(word), sizeof MEMBER(word) - 1 } },
	LOG_KEYS(K)
#undef K
};

static const struct {
	const char *word;
	enum log_level level;
} events[LOG_END] = {
#define E(NAME, number, word, level, when) [number] = { word, LEVEL_##level },
	LOG_EVENTS(E)
#undef E
};

/* One logger a process: it is the one thing every file of a daemon may reach without being handed
 * it. */
static struct {
	enum service self;
	uint32_t generation, pid;
	struct buf pending;
	size_t start; /* where the event under way begins */
	size_t told;  /* up to here stderr has been told */
	uint64_t lost;
} logger;

void
log_open(enum service self)
{
	/* A fork's child has a copy of what its parent has not sent yet: that is the parent's to
	 * send. */
	logger.pending.n = logger.told = 0;
	logger.lost = 0;
	logger.self = self;
	logger.pid = (uint32_t)getpid();
	metrics_open();
}

void
log_set_generation(uint32_t generation)
{
	logger.generation = generation;
}

static void
put(const void *p, size_t n)
{
	buf_put(&logger.pending, p, n);
}

void
log_begin(enum log_event event)
{
	uint32_t length = 0, pid = logger.pid;
	uint16_t number = (uint16_t)event, reserved = 0;
	uint64_t now = clock_wall_us();

	logger.start = logger.pending.n;
	put(&length, 4);
	put(&number, 2);
	put(&reserved, 2);
	put(&now, 8);
	put(&logger.generation, 4);
	put(&pid, 4);
}

static void
put_key(enum log_key key, uint8_t kind)
{
	uint8_t head[2] = { (uint8_t)key, kind };

	put(head, 2);
}

void
log_u64(enum log_key key, uint64_t v)
{
	put_key(key, KIND_U64);
	put(&v, 8);
}

void
log_id(uint64_t id)
{
	log_u64(LOGK_ID, id);
}

void
log_str(enum log_key key, struct slice s)
{
	uint16_t n = (uint16_t)(s.n < LOG_TEXT_MAX ? s.n : LOG_TEXT_MAX);

	put_key(key, KIND_TEXT);
	put(&n, 2);
	put(s.p, n);
}

void
log_z(enum log_key key, const char *z)
{
	log_str(key, slice_z(z));
}

void
log_addr(enum log_key key, const uint8_t addr[16], uint16_t port)
{
	put_key(key, KIND_ADDR);
	put(addr, 16);
	put(&port, 2);
}

void
log_enh(const uint8_t enh[3])
{
	log_u64(LOGK_ENH, (uint64_t)enh[0] << 16 | (uint64_t)enh[1] << 8 | enh[2]);
}

void
log_end(void)
{
	uint32_t length = (uint32_t)(logger.pending.n - logger.start - 4);

	if (logger.pending.n > LOG_BUFFER_MAX) {
		logger.pending.n = logger.start;
		logger.lost++;
		return;
	}
	memcpy(logger.pending.p + logger.start, &length, 4);
}

void
log_note(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	log_begin(LOG_NOTE);
	log_z(LOGK_TEXT, text);
	log_end();
}

void
log_trouble(int err, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	log_begin(LOG_TROUBLE);
	log_z(LOGK_TEXT, text);
	if (err != 0)
		log_z(LOGK_ERROR, strerrorname_np(err) != NULL ? strerrorname_np(err) : "?");
	log_end();
}

struct slice
log_pending(uint64_t *lost)
{
	*lost = logger.lost;
	return slice_buf(&logger.pending);
}

void
log_sent(size_t bytes, uint64_t lost)
{
	assert(lost <= logger.lost && bytes <= logger.pending.n);
	logger.lost -= lost;
	buf_drop(&logger.pending, bytes);
	logger.told = logger.told > bytes ? logger.told - bytes : 0;
}

void
log_to_stderr(void)
{
	struct slice in = slice_from(slice_buf(&logger.pending), logger.told);
	struct log_record r;
	struct buf line = { 0 };

	while (in.n > 0 && log_record_next(&in, &r)) {
		if (log_event_level(r.event) < LEVEL_WARNING)
			continue;
		buf_reset(&line);
		log_format_text(&line, &r);
		complain("%.*s", (int)line.n, line.p);
	}
	logger.told = logger.pending.n;
	buf_fini(&line);
}

bool
log_record_next(struct slice *in, struct log_record *out)
{
	uint32_t length;
	uint16_t event;

	if (in->n < LOG_HEAD)
		return false;
	memcpy(&length, in->p, 4);
	if (length < LOG_HEAD - 4 || length > in->n - 4)
		return false;
	memcpy(&event, in->p + 4, 2);
	memcpy(&out->wall_us, in->p + 8, 8);
	memcpy(&out->generation, in->p + 16, 4);
	memcpy(&out->pid, in->p + 20, 4);
	out->event = (enum log_event)event;
	out->fields = slice_of(in->p + LOG_HEAD, length - (LOG_HEAD - 4));
	*in = slice_from(*in, length + 4);
	return true;
}

bool
log_value_next(struct slice *f, struct log_value *out)
{
	uint16_t n;

	if (f->n < 2)
		return false;
	*out =
	    (struct log_value){ .key = (enum log_key)(uint8_t)f->p[0], .kind = (uint8_t)f->p[1] };
	switch (out->kind) {
	case KIND_U64:
		if (f->n < 10)
			return false;
		memcpy(&out->u, f->p + 2, 8);
		*f = slice_from(*f, 10);
		return true;
	case KIND_TEXT:
		if (f->n < 4)
			return false;
		memcpy(&n, f->p + 2, 2);
		if (f->n < 4U + n)
			return false;
		out->s = slice_of(f->p + 4, n);
		*f = slice_from(*f, 4U + n);
		return true;
	case KIND_ADDR:
		if (f->n < 20)
			return false;
		memcpy(out->addr, f->p + 2, 16);
		memcpy(&out->port, f->p + 18, 2);
		*f = slice_from(*f, 20);
		return true;
	}
	return false;
}

bool
log_record_valid(const struct log_record *r)
{
	struct slice f = r->fields;
	struct log_value v;

	if (log_event_word(r->event) == NULL)
		return false;
	while (log_value_next(&f, &v))
		if (log_key_word(v.key) == NULL)
			return false;
	return f.n == 0;
}

const char *
log_event_word(enum log_event e)
{
	return (unsigned)e < LOG_END ? events[e].word : NULL;
}

const char *
log_key_word(enum log_key k)
{
	return (unsigned)k < LOGK_END ? keys[k].word : NULL;
}

enum log_level
log_event_level(enum log_event e)
{
	return log_event_word(e) != NULL ? events[e].level : LEVEL_ERROR;
}

const char *
log_level_word(enum log_level l)
{
	static const char *const words[] = { "debug", "info", "notice", "warning", "error" };

	return words[l];
}

/* inet_ntop() prints with snprintf, and each line of a session has an address. */
static void
put_v4(struct buf *out, const uint8_t ip[4])
{
	for (int i = 0; i < 4; i++) {
		if (i > 0)
			buf_putc(out, '.');
		buf_u64(out, ip[i]);
	}
}

static void
put_addr(struct buf *out, const uint8_t addr[16], bool brackets)
{
	char text[INET6_ADDRSTRLEN];

	if (addr_is_v4(addr)) {
		put_v4(out, addr + 12);
		return;
	}
	inet_ntop(AF_INET6, addr, text, sizeof text);
	buf_puts(out, brackets ? "[" : "");
	buf_puts(out, text);
	buf_puts(out, brackets ? "]" : "");
}

void
log_addr_text(struct buf *out, const uint8_t addr[16])
{
	put_addr(out, addr, false);
}

void
addr_text(const uint8_t addr[16], char out[46])
{
	if (addr_is_v4(addr))
		inet_ntop(AF_INET, addr + 12, out, 46);
	else
		inet_ntop(AF_INET6, addr, out, 46);
}

void
log_seconds(struct buf *out, uint64_t ms)
{
	/* In steps of a hundredth, a tenth, a second: what two digits can tell. */
	uint64_t step = ms < 995 ? 10 : ms < 9950 ? 100 : 1000;
	uint64_t n = ms / step + (ms % step * 2 >= step),
		 hundredths = n % (1000 / step) * step / 10;

	buf_u64(out, n / (1000 / step));
	if (hundredths == 0)
		return;
	buf_putc(out, '.');
	if (hundredths % 10 != 0)
		buf_2digits(out, (int)hundredths);
	else
		buf_u64(out, hundredths / 10);
}

static void
put_hex(struct buf *out, uint64_t v)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		buf_putc(out, "0123456789abcdef"[v >> shift & 15]);
}

static void
put_enh(struct buf *out, uint64_t v)
{
	buf_u64(out, v >> 16 & 255);
	buf_putc(out, '.');
	buf_u64(out, v >> 8 & 255);
	buf_putc(out, '.');
	buf_u64(out, v & 255);
}

/* A value that is no text, and needs no escape. */
static void
put_value(struct buf *out, const struct log_value *v)
{
	char id[ID_TEXT + 1];

	if (v->kind == KIND_ADDR) {
		put_addr(out, v->addr, true);
		buf_putc(out, ':');
		buf_u64(out, v->port);
		return;
	}
	switch (keys[v->key].how) {
	case HOW_ID:
		id_text(v->u, id);
		buf_put(out, id, ID_TEXT);
		break;
	case HOW_HEX:
		put_hex(out, v->u);
		break;
	case HOW_ENH:
		put_enh(out, v->u);
		break;
	case HOW_U64:
	case HOW_STR:
	case HOW_ADDR:
		buf_u64(out, v->u);
		break;
	}
}

/* gmtime_r once a second: it and strftime are half the cost of a line otherwise. */
static void
put_time(struct buf *out, uint64_t us)
{
	static time_t last = -1;
	static char stamp[32];
	time_t s;
	struct tm tm;
	char frac[8] = ".000000";

	us = us < LAST_US ? us : LAST_US;
	s = (time_t)(us / 1000000);
	if (s != last) {
		gmtime_r(&s, &tm);
		strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
		last = s;
	}
	us %= 1000000;
	for (int i = 6; i > 0; i--, us /= 10)
		frac[i] = (char)('0' + us % 10);
	buf_puts(out, "\"");
	buf_puts(out, stamp);
	buf_put(out, frac, 7);
	buf_puts(out, "Z\"");
}

/* One of our own words, which needs no escape. */
static void
put_word(struct buf *out, const char *before, const char *word)
{
	buf_puts(out, before);
	buf_puts(out, word);
	buf_putc(out, '"');
}

void
log_format_json(struct buf *out, const struct log_record *r, enum service from)
{
	const char *event = log_event_word(r->event);
	struct slice f = r->fields;
	struct log_value v;
	bool quoted;

	buf_puts(out, "{\"time\":");
	put_time(out, r->wall_us);
	put_word(out, ",\"service\":\"", service_word(from));
	buf_puts(out, ",\"pid\":");
	buf_u64(out, r->pid);
	put_word(out, ",\"event\":\"", event != NULL ? event : "?");
	put_word(out, ",\"level\":\"", log_level_word(log_event_level(r->event)));
	buf_puts(out, ",\"generation\":");
	buf_u64(out, r->generation);
	while (log_value_next(&f, &v)) {
		if (log_key_word(v.key) == NULL)
			continue;
		buf_slice(out, keys[v.key].member);
		if (v.kind == KIND_TEXT) {
			json_quote(out, v.s);
			continue;
		}
		quoted = v.kind != KIND_U64 || keys[v.key].how != HOW_U64;
		buf_puts(out, quoted ? "\"" : "");
		put_value(out, &v);
		buf_puts(out, quoted ? "\"" : "");
	}
	buf_puts(out, "}\n");
}

void
log_format_text(struct buf *out, const struct log_record *r)
{
	struct slice f = r->fields;
	struct log_value v;

	buf_puts(out, log_event_word(r->event) != NULL ? log_event_word(r->event) : "?");
	while (log_value_next(&f, &v)) {
		const char *word = log_key_word(v.key);

		if (word == NULL)
			continue;
		buf_putc(out, ' ');
		buf_puts(out, word);
		buf_putc(out, '=');
		if (v.kind == KIND_TEXT)
			json_quote(out, v.s);
		else
			put_value(out, &v);
	}
}
