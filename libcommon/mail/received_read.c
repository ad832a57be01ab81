/* SPDX-License-Identifier: ISC */
#include "mail/received.h"

#include "base/addr.h"
#include "mail/header.h"
#include "smtp/chars.h"

/*
 * A word after the other, each read by the clause it stands in:
 *
 *	from NAME (COMMENT) by NAME (COMMENT) via X with X id X for X; DATE
 *
 * Within comments there are no clauses, but where the field begins with one, as qmail's do:
 * "(from user@host)". The comments of `from` hold what the server saw of its client.
 */
enum clause { NOWHERE, FROM, BY, VIA, WITH, ID, FOR, TLS, OTHER };

struct word {
	struct slice text;
	unsigned depth;		/* of comments around it */
	bool bracketed, angled; /* within [], within <> */
	bool first;		/* of its comment */
};

struct reading {
	struct received_trace *out;
	struct slice in;
	unsigned depth;
	bool bracketed, opened, no_angle; /* a comment has just begun; no ">" is left */
	enum clause clause;
	unsigned clause_depth;
	bool fresh; /* the clause has no word yet */
	bool from_seen, peer_bracketed;
	const char *greeting;  /* the last word was this verb */
	bool cipher, tls_near; /* the last word was "cipher"; this comment has named a version */
};

/* ---- words ---- */

static bool
ends_word(char c)
{
	return strchr(" \t\r\n()<>[];,\"", c) != NULL;
}

/* One special character or blank. False: ";" outside of comments. */
static bool
take_special(struct reading *r)
{
	char c = r->in.p[0];

	r->in = slice_from(r->in, 1);
	if (c == ';' && r->depth == 0)
		return false;
	if (c == '(') {
		r->depth++;
		r->opened = true;
	} else if (c == ')' && r->depth > 0) {
		r->depth--;
		r->tls_near = r->cipher = false;
	} else if (c == '[' || c == ']') {
		r->bracketed = c == '[';
	}
	return true;
}

static bool
take_angle(struct reading *r, struct word *w)
{
	ptrdiff_t end = r->no_angle ? -1 : slice_find(r->in, '>');

	r->no_angle = end < 0;
	if (end < 0)
		return false;
	w->text = slice_of(r->in.p + 1, (size_t)end - 1);
	w->angled = true;
	r->in = slice_from(r->in, (size_t)end + 1);
	return true;
}

/* False: the field has ended, or its date follows. */
static bool
next_word(struct reading *r, struct word *w)
{
	size_t n = 0;

	*w = (struct word){ .text = SLICE_NONE };
	while (!w->angled && r->in.n > 0 && ends_word(r->in.p[0]))
		if (!(r->in.p[0] == '<' && take_angle(r, w)) && !take_special(r))
			return false;
	if (!w->angled) {
		while (n < r->in.n && !ends_word(r->in.p[n]))
			n++;
		w->text = slice_head(r->in, n);
		r->in = slice_from(r->in, n);
	}
	w->depth = r->depth;
	w->bracketed = r->bracketed;
	w->first = r->opened;
	r->opened = false;
	return w->angled || n > 0;
}

/* ---- what a word is ---- */

/* An address, with a port or a zone behind it that are cut off. */
static bool
read_addr(struct slice s, struct received_host *out)
{
	ptrdiff_t colon = slice_find(s, ':'), zone = slice_find(s, '%');

	if (slice_istarts(s, "ipv6:"))
		s = slice_from(s, 5);
	else if (colon > 0 && slice_find(slice_from(s, (size_t)colon + 1), ':') < 0)
		s = slice_head(s, (size_t)colon);
	else if (zone > 0)
		s = slice_head(s, (size_t)zone);
	*out = (struct received_host){ .text = s, .is_addr = true };
	return addr_host_parse(s, out->addr);
}

static struct received_host
host_of(struct slice s)
{
	struct received_host h;

	return read_addr(s, &h) ? h : (struct received_host){ .text = s };
}

/* A name of the DNS of two labels or more, whose last is no number. */
static bool
is_full_name(struct slice s)
{
	size_t last = 0, letters = 0;

	if (s.n > 0 && s.p[s.n - 1] == '.')
		s.n--;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '.') {
			last = i + 1;
			letters = 0;
		} else if (!chars_is(s.p[i], CHARS_LDH) && s.p[i] != '_') {
			return false;
		}
		letters += ascii_alpha(s.p[i]);
	}
	return last > 1 && letters > 0;
}

/* The mailbox a word is, without what cannot belong to its domain; empty: it is none. */
static struct slice
mailbox_of(struct slice s)
{
	ptrdiff_t at = slice_find(s, '@');
	size_t n;

	if (at <= 0)
		return SLICE_NONE;
	for (n = (size_t)at + 1; n < s.n && (chars_is(s.p[n], CHARS_LDH) || s.p[n] == '.' ||
						s.p[n] == '_' || (unsigned char)s.p[n] >= 0x80);)
		n++;
	return slice_head(s, n == (size_t)at + 1 ? (size_t)at : n);
}

/* The value of "key=value" or "key:value"; false: it is not that key. */
static bool
value_of(struct slice s, const char *key, struct slice *value)
{
	size_t n = strlen(key);

	if (!slice_istarts(s, key) || s.n == n || (s.p[n] != '=' && s.p[n] != ':'))
		return false;
	*value = slice_from(s, n + 1);
	return true;
}

/* ---- TLS, wherever it is told ---- */

/* "TLSv1.2", "TLS1_2", "TLS-1.0", "TLSv1", "SSLv3" */
static const char *
tls_of(struct slice s)
{
	static const char *const versions[] = { "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3" };
	unsigned minor = 0;

	if (slice_iis(s, "SSLv3") || slice_iis(s, "SSLv2"))
		return s.p[4] == '3' ? "SSLv3" : "SSLv2";
	if (!slice_istarts(s, "tls"))
		return NULL;
	s = slice_from(s, 3);
	if (s.n > 0 && strchr("vV-_", s.p[0]) != NULL)
		s = slice_from(s, 1);
	if (s.n == 0 || s.p[0] != '1')
		return NULL;
	if (s.n == 3 && strchr("._", s.p[1]) != NULL && ascii_digit(s.p[2]))
		minor = (unsigned)(s.p[2] - '0');
	else if (s.n != 1)
		return NULL;
	return minor < 4 ? versions[minor] : NULL;
}

/* Two parts or more of capitals and digits: "DES-CBC3-SHA" */
static bool
is_cipher(struct slice s)
{
	size_t parts = 1;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '-' || s.p[i] == '_')
			parts++;
		else if (!ascii_digit(s.p[i]) && (s.p[i] < 'A' || s.p[i] > 'Z'))
			return false;
	}
	return parts > 1 && ascii_alpha(s.p[0]);
}

static void
read_tls(struct reading *r, struct slice word)
{
	while (word.n > 0) {
		const char *version;
		struct slice part;
		size_t n = 0;

		while (n < word.n && strchr(":=/", word.p[n]) == NULL)
			n++;
		part = slice_head(word, n);
		word = slice_from(word, n + 1);
		version = tls_of(part);
		if (version != NULL) {
			r->tls_near = true;
			if (r->out->tls == NULL)
				r->out->tls = version;
		} else if (part.n > 0 && r->out->cipher.n == 0 &&
			   (r->cipher || (r->tls_near && r->depth > 0 && is_cipher(part)))) {
			r->out->cipher = part;
		}
		r->cipher = slice_iis(part, "cipher");
	}
}

/* ---- clauses ---- */

/* "SMTP" also in "SMTPSVC" and "bsmtp", and the last of "local-esmtps". */
static const char *
protocol_of(struct slice word)
{
	static const struct {
		char name[12];
		bool within; /* may be a part of a longer word, at its begin or end */
	} names[] = { { "UTF8SMTPSA", 0 }, { "UTF8SMTPA", 0 }, { "UTF8SMTPS", 0 },
		{ "UTF8SMTP", 0 }, { "UTF8LMTPSA", 0 }, { "UTF8LMTPA", 0 }, { "UTF8LMTPS", 0 },
		{ "UTF8LMTP", 0 }, { "ESMTPSA", 0 }, { "ESMTPA", 0 }, { "ESMTPS", 0 },
		{ "ESMTP", 1 }, { "SMTP", 1 }, { "LMTPSA", 0 }, { "LMTPA", 0 }, { "LMTPS", 0 },
		{ "LMTP", 1 }, { "HTTPS", 0 }, { "HTTP", 1 }, { "IMAP", 0 }, { "POP3", 0 },
		{ "MMS", 0 }, { "local", 0 } };
	const char *found = NULL;
	struct slice part;

	while (slice_next(&word, '-', &part))
		for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
			const char *name = names[i].name;

			if (slice_iis(part, name) ||
			    (names[i].within &&
				(slice_istarts(part, name) || slice_iends(part, slice_z(name))))) {
				found = name;
				break;
			}
		}
	return found;
}

static void
greeted(struct reading *r, const char *verb, struct slice name)
{
	if (r->out->greeting != NULL || name.n == 0)
		return;
	r->out->helo = host_of(name);
	r->out->greeting = verb;
}

/* "HELO name", "helo=name", "helo=" with an address in brackets behind it. */
static bool
read_greeting(struct reading *r, struct slice word)
{
	static const char *const verbs[] = { "HELO", "EHLO", "LHLO" };
	struct slice name = SLICE_NONE;

	if (r->greeting != NULL) {
		greeted(r, r->greeting, word);
		r->greeting = NULL;
		return true;
	}
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (value_of(word, verbs[i], &name))
			greeted(r, verbs[i], name);
		else if (!slice_iis(word, verbs[i]))
			continue;
		if (name.n == 0)
			r->greeting = verbs[i];
		return true;
	}
	return false;
}

/* What the server saw of its client. */
static void
read_client(struct reading *r, const struct word *w)
{
	struct received_trace *out = r->out;
	struct received_host host;
	struct slice value, who = mailbox_of(w->text);

	if (read_greeting(r, w->text))
		return;
	if (value_of(w->text, "ident", &value)) {
		who = mailbox_of(value);
		out->ident = who.n > 0 ? who : value;
	} else if (who.n > 0) {
		out->ident = who;
	} else if (read_addr(w->text, &host)) {
		if (out->peer.text.n > 0 && (!w->bracketed || r->peer_bracketed))
			return;
		out->peer = host;
		r->peer_bracketed = w->bracketed;
	} else if (w->first && w->depth == 1 && !w->bracketed && out->peer_name.n == 0 &&
		   tls_of(w->text) == NULL && is_full_name(w->text)) {
		out->peer_name = slice_head(w->text, w->text.n - (w->text.p[w->text.n - 1] == '.'));
	}
}

static bool
begins_clause(struct reading *r, const struct word *w)
{
	static const struct {
		char name[8];
		enum clause clause;
	} names[] = { { "from", FROM }, { "by", BY }, { "via", VIA }, { "with", WITH },
		{ "id", ID }, { "for", FOR }, { "tls", TLS } };

	if (w->bracketed || w->angled || (w->depth > 0 && r->clause != NOWHERE))
		return false;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		enum clause c = names[i].clause;

		if (!slice_iis(w->text, names[i].name) || (w->depth > 0 && c != FROM))
			continue;
		/* A second `from` is of something else. */
		r->clause = c == FROM && r->from_seen ? OTHER : c;
		r->from_seen |= c == FROM;
		r->clause_depth = w->depth;
		r->fresh = true;
		return true;
	}
	return false;
}

static void
read_word(struct reading *r, const struct word *w)
{
	struct received_trace *out = r->out;
	bool own = w->depth == r->clause_depth, first = own && r->fresh;

	r->fresh = r->fresh && !own;
	switch (r->clause) {
	case FROM:
		if (first)
			out->from = host_of(w->text);
		else
			read_client(r, w);
		break;
	case BY:
		if (first && out->by.text.n == 0)
			out->by = host_of(w->text);
		break;
	case VIA:
		if (first && out->via.n == 0)
			out->via = w->text;
		break;
	case WITH:
		if (own && out->with == NULL)
			out->with = protocol_of(w->text);
		break;
	case ID:
		if (first && out->id.n == 0)
			out->id = w->text;
		break;
	case FOR:
		if (out->for_.n == 0 && own && slice_find(w->text, '@') > 0)
			out->for_ = w->text;
		break;
	case TLS:
		if (first && out->cipher.n == 0)
			out->cipher = w->text;
		break;
	case NOWHERE:
	case OTHER:
		break;
	}
}

void
received_read(struct slice value, struct received_trace *out)
{
	struct reading r = { .out = out, .in = header_body(value) };
	struct slice all = r.in;
	struct word w;

	*out = (struct received_trace){ .greeting = NULL };
	while (next_word(&r, &w)) {
		read_tls(&r, w.text);
		if (!begins_clause(&r, &w))
			read_word(&r, &w);
	}
	/* A comment that does not end swallows the ";". */
	for (size_t i = all.n; r.depth > 0 && i > 0 && all.p[i - 1] != ';';)
		r.in = slice_from(all, --i);
	out->dated = date_read(r.in, &out->date);
}
