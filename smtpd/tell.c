/* SPDX-License-Identifier: ISC */
#include "smtpd/tell.h"

#include "base/log.h"
#include "base/metrics.h"
#include "smtpd/session.h"

static unsigned
row_of(enum verb verb)
{
	return (unsigned)verb < TELL_VERBS ? (unsigned)verb : VERB_UNKNOWN;
}

void
tell_said(struct tell *t, enum verb verb)
{
	unsigned i = row_of(verb);

	t->any = true;
	t->dot = false;
	t->verb = (uint8_t)i;
	if (t->said[i] < UINT16_MAX)
		t->said[i]++;
}

void
tell_failed(struct tell *t, enum verb verb)
{
	unsigned i = row_of(verb);

	if (t->failed[i] < t->said[i])
		t->failed[i]++;
}

const char *
tell_where(const struct tell *t)
{
	if (!t->any)
		return "CONNECT";
	if ((t->verb == VERB_DATA || t->verb == VERB_BDAT) && t->dot)
		return "END-OF-MESSAGE";
	return t->verb == VERB_UNKNOWN ? "UNKNOWN" : command_verb_word((enum verb)t->verb);
}

void
tell_counts(const struct tell *t, struct buf *out)
{
	/* In the order in which readers of logs know them. */
	static const struct {
		uint8_t verb;
		const char *word;
	} rows[] = { { VERB_HELO, "helo" }, { VERB_EHLO, "ehlo" }, { VERB_STARTTLS, "starttls" },
		{ VERB_AUTH, "auth" }, { VERB_MAIL, "mail" }, { VERB_BDAT, "bdat" },
		{ VERB_RCPT, "rcpt" }, { VERB_DATA, "data" }, { VERB_RSET, "rset" },
		{ VERB_NOOP, "noop" }, { VERB_VRFY, "vrfy" }, { VERB_HELP, "help" },
		{ VERB_QUIT, "quit" }, { VERB_UNKNOWN, "unknown" } };
	unsigned said = 0, failed = 0;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unsigned all = t->said[rows[i].verb], bad = t->failed[rows[i].verb];

		said += all;
		failed += bad;
		if (all > 0 && bad == 0)
			buf_printf(out, "%s=%u ", rows[i].word, all);
		else if (all > 0)
			buf_printf(out, "%s=%u/%u ", rows[i].word, all - bad, all);
	}
	buf_printf(out, failed == 0 ? "commands=%u" : "commands=%u/%u", said - failed, said);
}

static void
put_client(const struct session *s)
{
	if (s->by_user)
		log_u64(LOGK_UID, s->uid);
	else
		log_addr(LOGK_CLIENT, s->client.host, s->client.port);
}

static void
begin_reject(const struct session *s)
{
	log_begin(LOG_REJECT);
	log_u64(LOGK_SESSION, s->id);
	put_client(s);
	if (s->helo != NULL) {
		log_z(LOGK_HELO, s->helo);
		log_z(LOGK_PROTO, s->esmtp ? "ESMTP" : "SMTP");
	}
	if (s->tx.state > TX_READY)
		log_str(LOGK_FROM, s->tx.sender);
}

void
tell_reject(struct session *s, enum reply reply, struct slice to)
{
	static struct buf text;
	struct slice line;

	buf_reset(&text);
	session_put_reply(s, &text, reply);
	line = slice_trim(slice_head(slice_buf(&text), text.n - 2));
	begin_reject(s);
	if (to.n > 0)
		log_str(LOGK_TO, to);
	log_z(LOGK_VERB, tell_where(&s->tell));
	log_u64(LOGK_CODE, reply_code(reply));
	log_z(LOGK_REASON, reply_enh(reply));
	log_str(LOGK_TEXT, line);
	log_end();
	s->world->refused++;
}

void
tell_refused(struct session *s, struct slice to, struct slice text, struct slice rule)
{
	begin_reject(s);
	log_str(LOGK_TO, to);
	log_z(LOGK_VERB, command_verb_word(VERB_RCPT));
	log_str(LOGK_TEXT, slice_trim(slice_head(text, text.n - 2)));
	if (rule.n > 0)
		log_str(LOGK_RULE, rule);
	log_end();
	s->world->refused++;
}

void
tell_connect(const struct session *s)
{
	metric_add(METRIC_SMTPD_SESSIONS_TOTAL, 1);
	log_begin(LOG_CONNECT);
	log_u64(LOGK_SESSION, s->id);
	put_client(s);
	log_z(LOGK_CLASS, class_word(s->world->class));
	log_end();
}

void
tell_disconnect(const struct session *s)
{
	static struct buf counts;

	buf_reset(&counts);
	tell_counts(&s->tell, &counts);
	log_begin(LOG_DISCONNECT);
	log_u64(LOGK_SESSION, s->id);
	put_client(s);
	log_u64(LOGK_COUNT, s->messages);
	log_u64(LOGK_CODE, s->refused);
	if (s->tell.end != NULL) {
		log_z(LOGK_REASON, s->tell.end);
		log_z(LOGK_VERB, tell_where(&s->tell));
	}
	log_str(LOGK_DETAIL, slice_buf(&counts));
	log_end();
}
