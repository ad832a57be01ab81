/* SPDX-License-Identifier: ISC */
#include "logd/maillog.h"

#include "base/id.h"
#include "base/json.h"

#include <assert.h>
#include <string.h>

/* The values of an event by their keys. */
struct values {
	uint64_t has; /* bit: key */
	struct log_value at[LOGK_END];
};
static_assert(LOGK_END <= 64, "keys are bits of a word");

static void
read_values(struct values *v, const struct log_record *r)
{
	struct slice f = r->fields;
	struct log_value one;

	v->has = 0;
	while (log_value_next(&f, &one))
		if ((unsigned)one.key < LOGK_END) {
			v->at[one.key] = one;
			v->has |= 1ULL << one.key;
		}
}

static bool
has(const struct values *v, enum log_key k)
{
	return (v->has >> k & 1) != 0;
}

static uint64_t
number(const struct values *v, enum log_key k)
{
	return has(v, k) ? v->at[k].u : 0;
}

static struct slice
text(const struct values *v, enum log_key k)
{
	return has(v, k) && v->at[k].s.p != NULL ? v->at[k].s : SLICE_LIT("");
}

/* ---- pieces of lines ---- */

/* Bytes that stand as they are in every line: ASCII but its control characters. */
static bool
is_plain(unsigned char c)
{
	return c >= ' ' && c < 127;
}

/* Control characters of ASCII and bytes that are no UTF-8 become a question mark; so do those of
 * `never`. */
static void
put_safe(struct buf *b, struct slice s, const char *never)
{
	const unsigned char *p = (const unsigned char *)s.p;
	uint64_t refused[2] = { 0 };
	size_t from = 0, i = 0;

	for (; *never != '\0'; never++)
		refused[*never >> 6 & 1] |= 1ULL << (*never & 63);
	while (i < s.n) {
		size_t n;
		bool bad;

		if (is_plain(p[i])) {
			bad = (refused[p[i] >> 6] >> (p[i] & 63) & 1) != 0;
			n = 1;
		} else {
			n = json_utf8_len(p + i, s.n - i);
			bad = n <= 1 || (p[i] == 0xc2 && p[i + 1] < 0xa0);
		}
		if (bad) {
			buf_put(b, p + from, i - from);
			buf_putc(b, '?');
		}
		i += n == 0 ? 1 : n;
		from = bad ? i : from;
	}
	buf_put(b, p + from, s.n - from);
}

static void
put_text(struct buf *b, struct slice s)
{
	put_safe(b, s, "");
}

static void
put_path(struct buf *b, const char *word, struct slice address)
{
	buf_puts(b, word);
	buf_puts(b, "=<");
	put_safe(b, address, "<>");
	buf_putc(b, '>');
}

static void
begin(struct maillog *m, const struct values *v)
{
	char id[ID_TEXT + 1];

	buf_reset(&m->text);
	if (!has(v, LOGK_ID))
		return;
	id_text(number(v, LOGK_ID), id);
	buf_put(&m->text, id, ID_TEXT);
	buf_puts(&m->text, ": ");
}

static void
put_addr(struct buf *b, const struct values *v, enum log_key k)
{
	buf_putc(b, '[');
	log_addr_text(b, v->at[k].addr);
	buf_putc(b, ']');
}

static void
put_number(struct buf *b, const char *before, uint64_t n)
{
	buf_puts(b, before);
	buf_u64(b, n);
}

/* "unknown[192.0.2.7]": nobody has asked for its name. */
static void
put_client(struct buf *b, const struct values *v)
{
	buf_puts(b, "unknown");
	if (has(v, LOGK_CLIENT) && v->at[LOGK_CLIENT].kind == 2)
		put_addr(b, v, LOGK_CLIENT);
	else
		buf_puts(b, has(v, LOGK_UID) ? "[127.0.0.1]" : "[unknown]");
}

static void
end_at(struct maillog *m, const char *program, uint32_t pid, const struct log_record *r)
{
	size_t n = m->text.n < MAILLOG_TEXT_MAX ? m->text.n : MAILLOG_TEXT_MAX;

	m->out(m->arg, &(const struct mailline){ .program = program,
			   .pid = pid,
			   .level = log_event_level(r->event),
			   .wall_us = r->wall_us,
			   .text = slice_of(m->text.p, n) });
}

static void
end(struct maillog *m, const char *program, const struct log_record *r)
{
	end_at(m, program, r->pid, r);
}

/* ---- a session ---- */

static bool
is_user(const struct values *v)
{
	return has(v, LOGK_UID);
}

static void
on_connect(struct maillog *m, const struct values *v, const struct log_record *r)
{
	if (is_user(v))
		return;
	begin(m, v);
	buf_puts(&m->text, "connect from ");
	put_client(&m->text, v);
	end(m, "smtpd", r);
}

static void
on_disconnect(struct maillog *m, const struct values *v, const struct log_record *r)
{
	if (is_user(v) || !has(v, LOGK_CLIENT))
		return;
	if (has(v, LOGK_REASON)) {
		begin(m, v);
		put_text(&m->text, text(v, LOGK_REASON));
		buf_puts(&m->text, " after ");
		put_safe(&m->text, text(v, LOGK_VERB), " ");
		buf_puts(&m->text, " from ");
		put_client(&m->text, v);
		end(m, "smtpd", r);
	}
	begin(m, v);
	buf_puts(&m->text, "disconnect from ");
	put_client(&m->text, v);
	buf_putc(&m->text, ' ');
	put_text(&m->text, text(v, LOGK_DETAIL));
	end(m, "smtpd", r);
}

/* "550 5.7.1 Relaying denied" gets "<rcpt>: " before its words, where Postfix has what it is about. */
static void
put_reply(struct buf *b, const struct values *v)
{
	struct slice reply = text(v, LOGK_TEXT), words = reply;
	ptrdiff_t blank;

	if (reply.n > 4 && reply.p[3] == ' ') {
		words = slice_from(reply, 4);
		blank = slice_find(words, ' ');
		if (blank > 0 && words.p[0] >= '2' && words.p[0] <= '5' && words.p[1] == '.')
			words = slice_from(words, (size_t)blank + 1);
	}
	put_text(b, slice_head(reply, reply.n - words.n));
	if (has(v, LOGK_TO) && words.n < reply.n) {
		buf_putc(b, '<');
		put_safe(b, text(v, LOGK_TO), "<>");
		buf_puts(b, ">: ");
	}
	if (slice_istarts(words, "User unknown"))
		buf_puts(b, "Recipient address rejected: ");
	put_text(b, words);
}

/* What ends a session is told when it ends; then pflogsumm counts no refusal of mail. */
static bool
told_at_end(const struct values *v)
{
	return number(v, LOGK_CODE) == 421 && !slice_is(text(v, LOGK_VERB), "CONNECT");
}

static void
on_reject(struct maillog *m, const struct values *v, const struct log_record *r)
{
	struct buf *b = &m->text;

	if (told_at_end(v))
		return;
	begin(m, v);
	buf_puts(b, "NOQUEUE: reject: ");
	if (has(v, LOGK_VERB))
		put_safe(b, text(v, LOGK_VERB), " ");
	else
		buf_puts(b, "UNKNOWN");
	buf_puts(b, " from ");
	put_client(b, v);
	buf_puts(b, ": ");
	put_reply(b, v);
	buf_putc(b, ';');
	if (has(v, LOGK_FROM)) {
		buf_putc(b, ' ');
		put_path(b, "from", text(v, LOGK_FROM));
	}
	if (has(v, LOGK_TO)) {
		buf_putc(b, ' ');
		put_path(b, "to", text(v, LOGK_TO));
	}
	buf_puts(b, " proto=");
	if (has(v, LOGK_PROTO))
		put_safe(b, text(v, LOGK_PROTO), " ");
	else
		buf_puts(b, "SMTP");
	if (has(v, LOGK_HELO)) {
		buf_putc(b, ' ');
		put_path(b, "helo", text(v, LOGK_HELO));
	}
	end(m, "smtpd", r);
}

/* ---- a message ---- */

static void
put_entered(struct maillog *m, const struct values *v, const struct log_record *r,
    struct slice from, uint64_t nrcpt)
{
	struct slice msgid = text(v, LOGK_MSGID);

	begin(m, v);
	buf_puts(&m->text, "message-id=");
	if (msgid.n > 0)
		put_text(&m->text, msgid);
	else
		buf_puts(&m->text, "<>");
	end(m, "cleanup", r);
	begin(m, v);
	put_path(&m->text, "from", from);
	put_number(&m->text, ", size=", number(v, LOGK_SIZE));
	put_number(&m->text, ", nrcpt=", nrcpt);
	buf_puts(&m->text, " (queue active)");
	end_at(m, "qmgr", m->qmgr_pid != 0 ? m->qmgr_pid : r->pid, r);
}

static void
on_received(struct maillog *m, const struct values *v, const struct log_record *r)
{
	begin(m, v);
	if (is_user(v)) {
		put_number(&m->text, "uid=", number(v, LOGK_UID));
		buf_putc(&m->text, ' ');
		put_path(&m->text, "from", text(v, LOGK_FROM));
		end(m, "pickup", r);
	} else {
		buf_puts(&m->text, "client=");
		put_client(&m->text, v);
		if (has(v, LOGK_LOGIN)) {
			buf_puts(&m->text, ", sasl_method=PLAIN, sasl_username=");
			put_safe(&m->text, text(v, LOGK_LOGIN), " ,");
		}
		end(m, "smtpd", r);
	}
	put_entered(m, v, r, text(v, LOGK_FROM), number(v, LOGK_NRCPT));
}

static const char *
kind_of_notice(const struct values *v)
{
	struct slice kind = text(v, LOGK_KIND);

	if (slice_is(kind, "delayed"))
		return "sender delay notification";
	return slice_is(kind, "delivered") ? "sender delivery status notification"
					   : "sender non-delivery notification";
}

static void
on_notice(struct maillog *m, const struct values *v, const struct log_record *r)
{
	char id[ID_TEXT + 1], of[ID_TEXT + 1];

	put_entered(m, v, r, SLICE_LIT(""), 1);
	id_text(number(v, LOGK_ID), id);
	id_text(number(v, LOGK_OF), of);
	buf_reset(&m->text);
	buf_printf(&m->text, "%s: %s: %s", of, kind_of_notice(v), id);
	end(m, "bounce", r);
}

/* ---- a delivery ---- */

static const char *
agent_of(const struct values *v)
{
	static const char *const agents[] = { "smtp", "lmtp", "local", "virtual", "pipe", "error" };
	struct slice transport = text(v, LOGK_TRANSPORT);

	if (slice_is(text(v, LOGK_STATUS), "dropped"))
		return "discard";
	for (size_t i = 0; i < sizeof agents / sizeof *agents; i++)
		if (slice_is(transport, agents[i]))
			return agents[i];
	return transport.n == 0 && !has(v, LOGK_RELAY) ? "error" : "smtp";
}

static void
put_relay(struct buf *b, const struct values *v)
{
	static const char not_in_names[] = " ,[]()";

	if (!has(v, LOGK_RELAY) || text(v, LOGK_RELAY).n == 0) {
		buf_puts(b, slice_is(text(v, LOGK_TRANSPORT), "local") ? "local" : "none");
		return;
	}
	put_safe(b, text(v, LOGK_RELAY), not_in_names);
	if (!has(v, LOGK_ADDR) || v->at[LOGK_ADDR].kind != 2)
		return;
	put_addr(b, v, LOGK_ADDR);
	put_number(b, ":", v->at[LOGK_ADDR].port);
}

static void
put_times(struct buf *b, const struct values *v)
{
	buf_puts(b, ", delay=");
	log_seconds(b, number(v, LOGK_DELAY));
	buf_puts(b, ", delays=");
	if (has(v, LOGK_DELAYS))
		put_safe(b, text(v, LOGK_DELAYS), " ,");
	else {
		buf_puts(b, "0/");
		log_seconds(b, number(v, LOGK_DELAY));
		buf_puts(b, "/0/0");
	}
}

/* Which command a phase speaks of, in Postfix's words; NULL: none was said. */
static const char *
command_of(struct slice phase)
{
	static const struct {
		const char *phase, *words;
	} rows[] = {
		{ "ehlo", "EHLO command" },
		{ "mail", "MAIL FROM command" },
		{ "rcpt", "RCPT TO command" },
		{ "data", "DATA command" },
		{ "body", "DATA command" },
		{ "dot", "end of DATA command" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (slice_is(phase, rows[i].phase))
			return rows[i].words;
	return NULL;
}

static void
put_said(struct buf *b, const struct values *v)
{
	uint64_t code = number(v, LOGK_CODE);
	const char *command = command_of(text(v, LOGK_PHASE));
	bool host = code >= 400 && has(v, LOGK_RELAY) && has(v, LOGK_ADDR);

	if (has(v, LOGK_PEER)) {
		buf_puts(b, "failed by ");
		put_text(b, text(v, LOGK_PEER));
		buf_puts(b, has(v, LOGK_REASON) ? ": " : "");
		put_text(b, text(v, LOGK_REASON));
		return;
	}
	if (host && v->at[LOGK_ADDR].kind == 2) {
		buf_puts(b, "host ");
		put_safe(b, text(v, LOGK_RELAY), " []()");
		put_addr(b, v, LOGK_ADDR);
		buf_puts(b, slice_is(text(v, LOGK_PHASE), "banner") ? " refused to talk to me: "
								    : " said: ");
	}
	if (code != 0) {
		buf_u64(b, code);
		buf_putc(b, ' ');
	}
	put_text(b, text(v, LOGK_TEXT));
	if (host && command != NULL)
		buf_printf(b, " (in reply to %s)", command);
}

static void
put_delivery(struct maillog *m, const struct values *v, const struct log_record *r,
    const char *agent, const char *status)
{
	struct buf *b = &m->text;

	begin(m, v);
	put_path(b, "to", text(v, LOGK_TO));
	if (has(v, LOGK_ORIG_TO) && !slice_eq(text(v, LOGK_ORIG_TO), text(v, LOGK_TO))) {
		buf_puts(b, ", ");
		put_path(b, "orig_to", text(v, LOGK_ORIG_TO));
	}
	buf_puts(b, ", relay=");
	put_relay(b, v);
	if (has(v, LOGK_CONN_USE))
		put_number(b, ", conn_use=", number(v, LOGK_CONN_USE));
	put_times(b, v);
	if (has(v, LOGK_ENH)) {
		uint64_t enh = number(v, LOGK_ENH);

		put_number(b, ", dsn=", enh >> 16 & 255);
		put_number(b, ".", enh >> 8 & 255);
		put_number(b, ".", enh & 255);
	} else
		buf_printf(b, ", dsn=%c.0.0",
		    status[0] == 's'   ? '2'
		    : status[0] == 'd' ? '4'
				       : '5');
	buf_puts(b, ", status=");
	buf_puts(b, status);
	buf_puts(b, " (");
	put_said(b, v);
	if (b->n >= MAILLOG_TEXT_MAX)
		b->n = MAILLOG_TEXT_MAX - 1;
	buf_putc(b, ')');
	end(m, agent, r);
}

static void
on_attempt(struct maillog *m, const struct values *v, const struct log_record *r)
{
	static const char *const statuses[] = { "sent", "deferred", "bounced", "expired" };
	struct slice status = text(v, LOGK_STATUS);

	if (slice_is(status, "dropped"))
		put_delivery(m, v, r, agent_of(v), "sent"); /* as Postfix's discard says it */
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
		if (slice_is(status, statuses[i]))
			put_delivery(m, v, r, agent_of(v), statuses[i]);
}

static void
on_expired(struct maillog *m, const struct values *v, const struct log_record *r)
{
	if (number(v, LOGK_ID) != m->expired_id) {
		m->expired_id = number(v, LOGK_ID);
		begin(m, v);
		put_path(&m->text, "from", text(v, LOGK_FROM));
		buf_puts(&m->text, ", status=expired, returned to sender");
		end(m, "qmgr", r);
	}
	put_delivery(m, v, r, "error", "expired");
}

static void
on_done(struct maillog *m, const struct values *v, const struct log_record *r)
{
	begin(m, v);
	buf_puts(&m->text, "removed");
	end(m, "qmgr", r);
}

/* What an operator did, or a rule: in Postfix's words only, which readers know; why is in the event. */
static void
say(struct maillog *m, const struct values *v, const struct log_record *r, const char *words)
{
	begin(m, v);
	buf_puts(&m->text, words);
	end(m, "postsuper", r);
}

static void
on_failed(struct maillog *m, const struct values *v, const struct log_record *r)
{
	if (has(v, LOGK_PEER)) /* else its attempt has told it */
		put_delivery(m, v, r, "error", "bounced");
}

static void
on_held(struct maillog *m, const struct values *v, const struct log_record *r)
{
	say(m, v, r, "placed on hold");
}

static void
on_released(struct maillog *m, const struct values *v, const struct log_record *r)
{
	say(m, v, r, "released from hold");
}

static void
on_deleted(struct maillog *m, const struct values *v, const struct log_record *r)
{
	say(m, v, r, "removed");
}

/* What Postfix has no line for, and an operator should see: by name, with its keys. */
static void
warn(struct maillog *m, enum service from, const struct log_record *r)
{
	struct buf words = { 0 };
	enum log_level level = log_event_level(r->event);

	if (level < LEVEL_WARNING)
		return;
	log_format_text(&words, r);
	buf_reset(&m->text);
	buf_puts(&m->text, level == LEVEL_ERROR ? "error: " : "warning: ");
	put_text(&m->text, slice_buf(&words));
	end(m, service_word(from), r);
	buf_fini(&words);
}

typedef void lines_fn(struct maillog *m, const struct values *v, const struct log_record *r);
static lines_fn *const lines[] = {
	[LOG_CONNECT] = on_connect,
	[LOG_DISCONNECT] = on_disconnect,
	[LOG_REJECT] = on_reject,
	[LOG_RECEIVED] = on_received,
	[LOG_NOTICE] = on_notice,
	[LOG_ATTEMPT] = on_attempt,
	[LOG_EXPIRED] = on_expired,
	[LOG_FAILED] = on_failed,
	[LOG_HELD] = on_held,
	[LOG_RELEASED] = on_released,
	[LOG_DELETED] = on_deleted,
	[LOG_DONE] = on_done,
};

void
maillog_event(struct maillog *m, enum service from, const struct log_record *r)
{
	static struct values v;
	size_t n = sizeof lines / sizeof *lines;

	if (from == SERVICE_QMGR)
		m->qmgr_pid = r->pid;
	if (r->event < n && lines[r->event] != NULL) {
		read_values(&v, r);
		lines[r->event](m, &v, r);
	} else
		warn(m, from, r);
}

void
maillog_fini(struct maillog *m)
{
	buf_fini(&m->text);
}
