/* SPDX-License-Identifier: ISC */
#include "smtpd/session.h"

#include "base/clock.h"
#include "base/die.h"
#include "smtp/ext.h"
#include "smtp/path.h"

#include <stdlib.h>

/*
 * The verbs (RFC 5321 section 4.1). When each may come is data; what it does is a function. What
 * has to wait goes on in session.c: after RCPT session_answered(), after the dot letter_done().
 */
#define IN(state) (1U << (state))
#define ANY (IN(TX_NONE) | IN(TX_READY) | IN(TX_MAIL) | IN(TX_RCPT) | IN(TX_CHUNK))
#define IN_MAIL (IN(TX_MAIL) | IN(TX_RCPT))

enum arg { ARG_NONE, ARG_MAY, ARG_MUST };

struct rule {
	unsigned in;	 /* may come in these states */
	bool ends_group; /* nothing may stand behind it before its reply (RFC 2920 section 3.1) */
	enum arg arg;
	bool is_junk; /* moves no mail: counted */
	enum reply else_reply;
	enum step (*run)(struct session *s, const struct command *cmd); /* NULL: not offered */
};

/* Its mail goes wherever it likes, as router will say, and before that of others (RFC 6710 section 8). */
static bool
is_ours(const struct session *s)
{
	switch ((enum origin_class)s->world->class) {
	case CLASS_MX:
		return conf_in_nets(&s->conf->relay_networks, s->client.host);
	case CLASS_SUBMISSION:
		return conf_in_nets(&s->conf->submission_networks, s->client.host);
	case CLASS_LOCAL:
		return true;
	case CLASS_BOUNCED:
		break;
	}
	return false;
}

unsigned
session_offers(const struct session *s)
{
	unsigned ext =
	    EXT_PIPELINING | EXT_SIZE | EXT_8BITMIME | EXT_DSN | EXT_ENHANCED | EXT_CHUNKING;

	if (s->ours)
		ext |= EXT_MT_PRIORITY;
	return s->world->class == CLASS_LOCAL ? ext | EXT_XANGARIUM : ext;
}

static bool
is_local(const struct session *s)
{
	return s->world->class == CLASS_LOCAL;
}

/*
 * Greetings
 */

static bool
greeted(struct session *s, const struct command *cmd)
{
	if (!path_helo_valid(cmd->arg))
		return false;
	session_reset(s); /* as RSET does: RFC 5321 section 4.1.4 */
	free(s->helo);
	s->helo = slice_dup(cmd->arg);
	s->ours = is_ours(s);
	s->tx.state = TX_READY;
	return true;
}

static enum step
cmd_helo(struct session *s, const struct command *cmd)
{
	if (!greeted(s, cmd))
		return session_refuse(s, REPLY_BAD_HELO, SLICE_NONE);
	s->esmtp = false;
	return session_reply(s, REPLY_HELO_OK, SLICE_NONE);
}

static enum step
cmd_ehlo(struct session *s, const struct command *cmd)
{
	struct buf *out;

	if (!greeted(s, cmd))
		return session_refuse(s, REPLY_BAD_HELO, SLICE_NONE);
	s->esmtp = true;
	out = s->ops->out(s->io);
	buf_printf(out, "250-%s\r\n", s->conf->hostname);
	if (is_local(s))
		buf_printf(out, "250-%s origin=%s\r\n", ext_word(EXT_XANGARIUM), s->conf->myorigin);
	if (s->ours)
		buf_printf(out, "250-%s\r\n", ext_word(EXT_MT_PRIORITY));
	buf_printf(out,
	    "250-PIPELINING\r\n250-SIZE %llu\r\n250-8BITMIME\r\n250-DSN\r\n"
	    "250-ENHANCEDSTATUSCODES\r\n250 CHUNKING\r\n",
	    (unsigned long long)s->conf->message_size_limit);
	return STEP_AGAIN;
}

/*
 * MAIL
 */

static enum step
refuse_path(struct session *s, enum path_result r, enum path_kind kind)
{
	static const uint8_t enh[2][3] = {
		[PATH_REVERSE] = { 5, 1, 8 }, [PATH_FORWARD] = { 5, 1, 2 }
	};
	bool sender = kind == PATH_REVERSE;

	switch (r) {
	case PATH_OK:
	case PATH_BAD:
	case PATH_TOO_LONG:
		break;
	case PATH_NEEDS_UTF8:
		return session_refuse(
		    s, sender ? REPLY_SENDER_NEEDS_UTF8 : REPLY_RECIPIENT_NEEDS_UTF8, SLICE_NONE);
	case PATH_UNKNOWN_LITERAL:
		return session_refuse_text(
		    s, 553, enh[kind], SLICE_LIT("Address literal of an unknown kind"));
	}
	return session_refuse(s, sender ? REPLY_BAD_SENDER : REPLY_BAD_RECIPIENT, SLICE_NONE);
}

/* "user@host" without brackets, as old programs send it. *arg then stands behind it. */
static enum path_result
bare_path(struct slice *arg, unsigned flags, struct path *out)
{
	struct slice rest = slice_trim(*arg), word;
	enum path_result r;

	if (rest.n == 0 || !slice_next(&rest, ' ', &word))
		return PATH_BAD;
	r = path_address(word, flags, out);
	if (r == PATH_OK)
		*arg = slice_from(*arg, (size_t)(word.p + word.n - arg->p));
	return r;
}

static enum path_result
parse_path(const struct session *s, struct slice *arg, enum path_kind kind, struct path *out)
{
	unsigned flags = PATH_BLANK | (is_local(s) ? PATH_UNQUALIFIED : 0);
	struct slice trimmed = slice_trim(*arg);

	if (trimmed.n > 0 && trimmed.p[0] != '<')
		return bare_path(arg, flags & ~(unsigned)PATH_BLANK, out);
	return path_parse(arg, kind, flags, out);
}

/* The normal form, in the arena; from a user of this host without a domain: with ours. */
static struct slice
keep_address(struct session *s, const struct path *path, bool complete)
{
	static struct buf text;

	buf_reset(&text);
	path_print(&text, path);
	if (complete && !path->null && path->domain.n == 0)
		buf_printf(&text, "@%s", s->conf->myorigin);
	return arena_slice(&s->tx.arena, slice_buf(&text));
}

static struct slice
keep(struct session *s, struct slice text)
{
	return text.p == NULL ? SLICE_NONE : arena_slice(&s->tx.arena, text);
}

static enum step
begin_mail(struct session *s, const struct path *from, const struct mail_params *params)
{
	switch (s->world->room(s->world->arg, params->size_bytes, s->conf->disk_floor)) {
	case WRITER_ROOM:
		break;
	case WRITER_NO_LEASE:
		return session_refuse(s, REPLY_SENDER_TROUBLE, SLICE_NONE);
	case WRITER_NO_SPACE:
		return session_refuse(s, REPLY_NO_SPACE, SLICE_NONE);
	}
	if (s->world->rate != NULL && !s->world->rate(s->world->arg, s, RATE_MESSAGE))
		return session_refuse(s, REPLY_TOO_FAST_MAIL, SLICE_NONE);
	s->tx.state = TX_MAIL;
	s->tx.sender = keep_address(s, from, is_local(s));
	s->tx.params = *params;
	s->tx.params.envid = keep(s, params->envid);
	s->tx.params.auth = keep(s, params->auth);
	if (!params->has_priority)
		s->tx.params.priority = s->priority;
	return session_reply(s, REPLY_MAIL_OK, SLICE_NONE);
}

static enum step
cmd_mail(struct session *s, const struct command *cmd)
{
	struct slice arg = cmd->arg;
	struct mail_params params;
	enum path_result r;
	struct path from;

	if (clock_mono_ms() - s->began_ms >= s->conf->session_time_ms)
		return session_hang_up(s, REPLY_TIMEOUT);
	if (!command_take(&arg, "FROM:"))
		return session_refuse(s, REPLY_NEED_FROM, SLICE_NONE);
	r = parse_path(s, &arg, PATH_REVERSE, &from);
	if (r != PATH_OK)
		return refuse_path(s, r, PATH_REVERSE);
	switch (param_parse_mail(arg, session_offers(s), &params)) {
	case PARAM_OK:
		break;
	case PARAM_SYNTAX:
		return session_refuse(s, REPLY_BAD_PARAMETER, SLICE_NONE);
	case PARAM_UNKNOWN:
	case PARAM_DUPLICATE:
		return session_refuse(s, REPLY_UNKNOWN_PARAMETER, SLICE_NONE);
	}
	if (params.size_bytes > s->conf->message_size_limit)
		return session_refuse(s, REPLY_TOO_BIG, SLICE_NONE);
	return begin_mail(s, &from, &params);
}

/*
 * RCPT
 */

static uint64_t
rcpt_max(const struct session *s)
{
	uint64_t max = is_local(s) ? s->conf->recipients_max_local : s->conf->recipients_max;

	return max < RECORD_RCPT_MAX ? max : RECORD_RCPT_MAX;
}

static enum step
ask(struct session *s, const struct path *to, const struct rcpt_params *params)
{
	struct rcpt *r = arena_alloc(&s->tx.arena, sizeof *r);

	*r = (struct rcpt){
		.session = s, .notify = params->notify, .orcpt = keep(s, params->orcpt)
	};
	r->address = keep_address(s, to, is_local(s));
	if (!slice_eq(r->address, to->address))
		r->original = keep(s, to->address);
	if (tx_has(&s->tx, r->address))
		return session_reply(s, REPLY_RCPT_OK, SLICE_NONE); /* stored once */
	if (!s->world->ask(s->world->arg, s, r))
		return session_refuse(s, REPLY_RCPT_TROUBLE, SLICE_NONE);
	r->asked = true;
	session_hold(s, r);
	return STEP_AGAIN; /* session_answered(), in session.c, goes on */
}

static enum step
cmd_rcpt(struct session *s, const struct command *cmd)
{
	struct slice arg = cmd->arg;
	struct rcpt_params params;
	enum path_result r;
	struct path to;

	s->tx.tried++;
	if (s->world->rate != NULL && !s->world->rate(s->world->arg, s, RATE_RECIPIENT))
		return session_refuse(s, REPLY_TOO_FAST_RCPT, SLICE_NONE);
	if (!command_take(&arg, "TO:"))
		return session_refuse(s, REPLY_NEED_TO, SLICE_NONE);
	r = parse_path(s, &arg, PATH_FORWARD, &to);
	if (r != PATH_OK)
		return refuse_path(s, r, PATH_FORWARD);
	switch (param_parse_rcpt(arg, session_offers(s), &params)) {
	case PARAM_OK:
		break;
	case PARAM_SYNTAX:
		return session_refuse(s, REPLY_BAD_PARAMETER, SLICE_NONE);
	case PARAM_UNKNOWN:
	case PARAM_DUPLICATE:
		return session_refuse(s, REPLY_UNKNOWN_PARAMETER, SLICE_NONE);
	}
	if ((uint64_t)s->tx.nrcpt + s->nheld >= rcpt_max(s))
		return session_refuse(s, REPLY_TOO_MANY_RCPT, SLICE_NONE);
	return ask(s, &to, &params);
}

/*
 * The others
 */

static void
begin_body(struct session *s)
{
	s->tx.letter = letter_new(s->world->intake);
	s->tx.body = (struct body_decoder){ 0 };
	s->phase = SESSION_BODY;
}

static enum step
cmd_data(struct session *s, const struct command *cmd)
{
	(void)cmd;
	begin_body(s);
	return session_reply(s, REPLY_GO_AHEAD, SLICE_NONE);
}

static enum reply wrong_state(const struct session *s, enum verb verb);

/*
 * RFC 3030: so many bytes follow at once, whatever we think of them. Where their number cannot be read nobody
 * knows where the next command begins, so the session ends.
 */
static enum step
cmd_bdat(struct session *s, const struct command *cmd)
{
	struct slice rest = cmd->arg, word = SLICE_NONE;
	bool last;
	uint64_t n;

	if (!slice_next(&rest, ' ', &word) || !slice_u64(word, &n))
		return session_hang_up(s, REPLY_BAD_CHUNK);
	last = slice_iis(rest, "LAST");
	if (rest.n > 0 && !last)
		return session_hang_up(s, REPLY_BAD_CHUNK);
	if (s->tx.state != TX_RCPT && s->tx.state != TX_CHUNK) {
		s->discard_left = n;
		s->discard_reply = wrong_state(s, VERB_BDAT);
		s->phase = SESSION_DISCARD;
		return STEP_AGAIN;
	}
	if (s->tx.state == TX_CHUNK)
		s->phase = SESSION_BODY;
	else
		begin_body(s);
	s->tx.state = TX_CHUNK;
	s->tx.chunk_left = n;
	s->tx.last_chunk = last;
	return STEP_AGAIN;
}

static enum step
cmd_rset(struct session *s, const struct command *cmd)
{
	(void)cmd;
	session_reset(s);
	return session_reply(s, REPLY_OK, SLICE_NONE);
}

static enum step
cmd_noop(struct session *s, const struct command *cmd)
{
	(void)cmd;
	return session_reply(s, REPLY_OK, SLICE_NONE);
}

static enum step
cmd_vrfy(struct session *s, const struct command *cmd)
{
	struct slice arg = cmd->arg;
	struct path path;

	if (command_string_valid(arg) || path_address(arg, 0, &path) == PATH_OK ||
	    (path_parse(&arg, PATH_FORWARD, 0, &path) == PATH_OK && arg.n == 0))
		return session_reply(s, REPLY_VRFY, SLICE_NONE);
	return session_refuse(s, REPLY_BAD_ARGUMENT, SLICE_NONE);
}

static enum step
cmd_help(struct session *s, const struct command *cmd)
{
	(void)cmd;
	return session_reply(s, REPLY_HELP, SLICE_NONE);
}

static enum step
cmd_quit(struct session *s, const struct command *cmd)
{
	(void)cmd;
	session_reset(s);
	session_reply(s, REPLY_BYE, SLICE_NONE);
	return STEP_CLOSE;
}

/* What comes before the greeting is answered NEED_HELO, whatever else_reply says. */
static const struct rule rules[VERB_COUNT] = {
	[VERB_HELO] = { ANY, true, ARG_MUST, false, REPLY_OK, cmd_helo },
	[VERB_EHLO] = { ANY, true, ARG_MUST, false, REPLY_OK, cmd_ehlo },
	[VERB_MAIL] = { IN(TX_READY), false, ARG_MUST, false, REPLY_NESTED_MAIL, cmd_mail },
	[VERB_RCPT] = { IN_MAIL, false, ARG_MUST, false, REPLY_NEED_MAIL, cmd_rcpt },
	[VERB_DATA] = { IN(TX_RCPT), true, ARG_NONE, false, REPLY_NEED_RCPT, cmd_data },
	[VERB_BDAT] = { ANY, false, ARG_MAY, false, REPLY_OK, cmd_bdat },
	[VERB_RSET] = { ANY, false, ARG_NONE, true, REPLY_OK, cmd_rset },
	[VERB_NOOP] = { ANY, false, ARG_MAY, true, REPLY_OK, cmd_noop },
	[VERB_VRFY] = { ANY, false, ARG_MUST, true, REPLY_OK, cmd_vrfy },
	[VERB_HELP] = { ANY, false, ARG_MAY, true, REPLY_OK, cmd_help },
	[VERB_QUIT] = { ANY, false, ARG_NONE, false, REPLY_OK, cmd_quit },
};

/* Browsers and scanners; also the header lines of a request made across protocols. */
static bool
is_http(const struct command *cmd)
{
	static const char *const words[] = { "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT",
		"HOST:", "USER-AGENT:", "CONTENT-LENGTH:", "CONTENT-TYPE:" };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (slice_iis(cmd->word, words[i]))
			return true;
	return false;
}

static enum reply
wrong_state(const struct session *s, enum verb verb)
{
	if (s->tx.state == TX_NONE)
		return REPLY_NEED_HELO;
	if (s->tx.state == TX_CHUNK)
		return REPLY_NEED_BDAT;
	if (verb != VERB_DATA && verb != VERB_BDAT)
		return rules[verb].else_reply;
	if (s->tx.state == TX_READY)
		return REPLY_NEED_MAIL;
	return s->tx.tried > 0 ? REPLY_NO_VALID_RCPT : REPLY_NEED_RCPT;
}

enum step
verbs_run(struct session *s, struct slice line, bool more)
{
	const struct rule *rule;
	struct command cmd;
	bool known = command_parse(line, &cmd);

	tell_said(&s->tell, cmd.verb);
	if (!known)
		return is_http(&cmd) ? session_hang_up(s, REPLY_HTTP)
				     : session_refuse(s, REPLY_UNKNOWN_VERB, SLICE_NONE);
	rule = &rules[cmd.verb];
	if (rule->run == NULL)
		return session_refuse(s, REPLY_NOT_OFFERED, SLICE_NONE);
	if (rule->is_junk && ++s->junk > SESSION_JUNK && ++s->errors >= s->conf->errors_max)
		return session_hang_up(s, REPLY_TOO_MANY_ERRORS);
	if (rule->arg == ARG_NONE && cmd.arg.n > 0)
		return session_refuse(s, REPLY_NO_ARGUMENTS, slice_z(command_verb_word(cmd.verb)));
	if (rule->arg == ARG_MUST && cmd.arg.n == 0)
		return session_refuse(s, REPLY_NEED_ARGUMENT, slice_z(command_verb_word(cmd.verb)));
	if (!(rule->in & IN(s->tx.state)))
		return session_refuse(s, wrong_state(s, cmd.verb), SLICE_NONE);
	/* `printf ... | sendmail -bs` waits for nothing, and is as good as its user. */
	if (rule->ends_group && more && !is_local(s))
		return session_hang_up(s, REPLY_PIPELINED);
	return rule->run(s, &cmd);
}

bool
verbs_is_rcpt(struct slice line)
{
	struct command cmd;

	return command_parse(line, &cmd) && cmd.verb == VERB_RCPT;
}
