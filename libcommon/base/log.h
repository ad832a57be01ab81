/* SPDX-License-Identifier: ISC */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/buf.h"
#include "base/log_events.h"
#include "base/service.h"

/*
 * Events, said from the loop's thread only (never from a helper thread):
 *
 *	log_begin(LOG_RECEIVED);
 *	log_id(id);
 *	log_u64(LOGK_SIZE, size);
 *	log_str(LOGK_FROM, from);
 *	log_end();
 *
 * They gather in one buffer; the loop gives it to logd once a turn (ipc/loglink.h). While no logd
 * is there, events of level WARNING and above go to stderr as text and all are counted as lost
 * beyond LOG_BUFFER_MAX. Mail never waits for the log.
 *
 * Layout of one event, all little-endian (logd reads it, fuzzed):
 *	u32 length of all that follows; u16 event; u16 reserved 0; u64 wall clock in us;
 *	u32 configuration generation; u32 pid; then fields:
 *	u8 key, u8 kind, value: 0 u64 | 1 text: u16 length and bytes (longer text is cut to
 *	LOG_TEXT_MAX) | 2 address: 16 bytes and u16 port.
 */
enum { LOG_BUFFER_MAX = 1024 * 1024, LOG_TEXT_MAX = 2048, LOG_HEAD = 4 + 2 + 2 + 8 + 4 + 4 };

/* Each process, forked ones too; begins with nothing pending and nothing counted (metrics.h). */
void log_open(enum service self);
void log_set_generation(uint32_t generation);
void log_begin(enum log_event event);
void log_id(uint64_t id); /* key id */
void log_u64(enum log_key key, uint64_t v);
void log_str(enum log_key key, struct slice s);
void log_z(enum log_key key, const char *z);
void log_addr(enum log_key key, const uint8_t addr[16], uint16_t port);
void log_enh(const uint8_t enh[3]); /* key dsn */
void log_end(void);

/* Shorthands: events with a text and an errno (0: none). */
void log_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_trouble(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* For the link to logd: what has gathered, how many were lost; then say that it went. */
struct slice log_pending(uint64_t *lost);
void log_sent(size_t bytes, uint64_t lost);
/* Without a logd: warnings and errors that wait are written to stderr, the buffer is kept. */
void log_to_stderr(void);

/* Reading (logd, angctl, tests). */
struct log_value {
	enum log_key key;
	uint8_t kind;
	uint64_t u;
	struct slice s;
	uint8_t addr[16];
	uint16_t port;
};
struct log_record {
	enum log_event event;
	uint64_t wall_us;
	uint32_t generation, pid;
	struct slice fields;
};
/* Takes one event off the front; false when the bytes are no events (or used up: in->n == 0). */
bool log_record_next(struct slice *in, struct log_record *out);
/* false: end or malformed (fields->n tells) */
bool log_value_next(struct slice *fields, struct log_value *out);
bool log_record_valid(const struct log_record *r); /* all its fields can be read */
const char *log_event_word(enum log_event e);	   /* NULL: unknown */
const char *log_key_word(enum log_key k);	   /* NULL: unknown */
enum log_level log_event_level(enum log_event e);
const char *log_level_word(enum log_level l);
/* {"time":"2026-...Z","service":"qmgr","pid":1,"event":"done","generation":1,...}\n */
void log_format_json(struct buf *out, const struct log_record *r, enum service from);
/* event key=value ..., without a newline; text is quoted, bytes below space and quotes escaped */
void log_format_text(struct buf *out, const struct log_record *r);

/* Milliseconds as the seconds of Postfix's lines: two digits that count, hundredths at most, no zeros
 * at the end: 0, 0.03, 0.5, 1.2, 86. */
void log_seconds(struct buf *out, uint64_t ms);

/* "192.0.2.1" or "2001:db8::1" into out[46]: v4-mapped addresses are shown as IPv4. */
void addr_text(const uint8_t addr[16], char out[46]);
/* The same, for lines of which there are many. */
void log_addr_text(struct buf *out, const uint8_t addr[16]);

#endif
