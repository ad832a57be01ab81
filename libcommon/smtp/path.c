/* SPDX-License-Identifier: ISC */
#include "smtp/path.h"

#include "smtp/chars.h"
#include "smtp/path_literal.h"

/*
 * RFC 5321 section 4.1.2, with RFC 6531 section 3.3 in brackets:
 *
 *	Path       = "<" [ A-d-l ":" ] Mailbox ">"
 *	A-d-l      = At-domain *( "," At-domain )     At-domain = "@" Domain
 *	Mailbox    = Local-part "@" ( Domain / address-literal )
 *	Local-part = Dot-string / Quoted-string
 *	Dot-string = Atom *("." Atom)                 Atom = 1*atext [ / UTF8-non-ascii ]
 *	Quoted-string = DQUOTE *( qtextSMTP / "\" %d32-126 [ / UTF8-non-ascii ] ) DQUOTE
 *	Domain     = sub-domain *("." sub-domain)     sub-domain = Let-dig [Ldh-str] [ / U-label ]
 *
 * Non-ASCII is always read, and refused at the end where it is not wanted: the answer can say so.
 */
struct scan {
	const char *p, *end;
	bool utf8;     /* some was seen */
	bool too_long; /* a label was */
	bool general;  /* an address literal that is none of IPv4 and IPv6 */
};

/* A non-ASCII character at s->p: its length, or 0. */
static size_t
utf8_at(struct scan *s, uint32_t *code)
{
	size_t len = s->p < s->end ? chars_utf8(s->p, (size_t)(s->end - s->p), code) : 0;

	s->utf8 |= len > 0;
	return len;
}

static bool
scan_atom(struct scan *s)
{
	const char *from = s->p;
	uint32_t code;

	for (;;) {
		while (s->p < s->end && chars_is(*s->p, CHARS_ATEXT))
			s->p++;
		size_t len = utf8_at(s, &code);
		if (len == 0)
			return s->p > from;
		s->p += len;
	}
}

static bool
scan_dot_string(struct scan *s)
{
	while (scan_atom(s)) {
		if (s->p == s->end || *s->p != '.')
			return true;
		s->p++;
	}
	return false;
}

static bool
scan_quoted(struct scan *s)
{
	uint32_t code;
	size_t len;

	for (s->p++; s->p < s->end; s->p += len) {
		len = 1;
		if (*s->p == '"') {
			s->p++;
			return true;
		}
		if (*s->p == '\\') {
			if (++s->p == s->end || !chars_is(*s->p, CHARS_VISIBLE))
				return false;
		} else if (!chars_is(*s->p, CHARS_QTEXT) && (len = utf8_at(s, &code)) == 0) {
			return false;
		}
	}
	return false;
}

/* Control characters, blanks and what IDNA maps to a dot are no part of any U-label (RFC 5892). */
static bool
label_code(uint32_t c)
{
	return c > 0xa0 && c != 0x3002 && c != 0xff0e && c != 0xff61 && c != 0x2028 &&
	       c != 0x2029 && c != 0x3000 && c != 0xfeff && !(c >= 0x2000 && c <= 0x200b);
}

/* One label. Its limit is 63 octets in ASCII; that of a U-label is counted in characters. */
static bool
scan_label(struct scan *s)
{
	const char *from = s->p;
	uint32_t code;
	size_t chars = 0, len;

	for (;;) {
		while (s->p < s->end && chars_is(*s->p, CHARS_LDH))
			s->p++, chars++;
		len = utf8_at(s, &code);
		if (len == 0)
			break;
		if (!label_code(code))
			return false;
		s->p += len;
		chars++;
	}
	s->too_long |= chars > PATH_LABEL_MAX;
	return s->p > from && *from != '-' && s->p[-1] != '-';
}

static bool
scan_domain(struct scan *s)
{
	while (scan_label(s)) {
		if (s->p == s->end || *s->p != '.')
			return true;
		s->p++;
	}
	return false;
}

static bool
scan_literal(struct scan *s)
{
	const char *close = memchr(s->p, ']', (size_t)(s->end - s->p));
	enum literal kind;

	if (close == NULL)
		return false;
	kind = path_literal_parse(slice_of(s->p + 1, (size_t)(close - s->p - 1)), NULL);
	s->general = kind == LITERAL_GENERAL;
	s->p = close + 1;
	return kind != LITERAL_NONE;
}

/* "@" domain { "," "@" domain } ":" */
static bool
scan_route(struct scan *s)
{
	while (s->p < s->end && *s->p == '@') {
		s->p++;
		if (!scan_domain(s) || s->p == s->end)
			return false;
		if (*s->p++ == ':')
			return true;
		if (s->p[-1] != ',')
			return false;
	}
	return false;
}

static bool
scan_mailbox(struct scan *s, struct path *out)
{
	const char *from = s->p;

	out->quoted = s->p < s->end && *s->p == '"';
	if (!(out->quoted ? scan_quoted(s) : scan_dot_string(s)))
		return false;
	out->local = slice_of(from, (size_t)(s->p - from));
	out->domain = slice_of(s->p, 0);
	out->literal = false;
	if (s->p < s->end && *s->p == '@') {
		s->p++;
		out->domain.p = s->p;
		out->literal = s->p < s->end && *s->p == '[';
		if (!(out->literal ? scan_literal(s) : scan_domain(s)))
			return false;
		out->domain.n = (size_t)(s->p - out->domain.p);
	}
	out->address = slice_of(from, (size_t)(s->p - from));
	out->null = false;
	return true;
}

/* What the grammar let through: is it within the limits, and wanted? */
static enum path_result
check(const struct scan *s, unsigned flags, struct path *out)
{
	out->utf8 = s->utf8;
	if (s->too_long || out->local.n > PATH_LOCAL_MAX || out->domain.n > PATH_DOMAIN_MAX ||
	    out->address.n > PATH_ADDRESS_MAX)
		return PATH_TOO_LONG;
	if (s->general)
		return PATH_UNKNOWN_LITERAL;
	return s->utf8 && !(flags & PATH_UTF8) ? PATH_NEEDS_UTF8 : PATH_OK;
}

enum path_result
path_parse(struct slice *in, enum path_kind kind, unsigned flags, struct path *out)
{
	struct scan s = { .p = in->p, .end = in->p + in->n };
	enum path_result result;

	if ((flags & PATH_BLANK) && s.p < s.end && *s.p == ' ')
		s.p++;
	if (s.end - s.p < 2 || *s.p++ != '<')
		return PATH_BAD;
	if (*s.p == '>') {
		if (kind != PATH_REVERSE)
			return PATH_BAD;
		*out = (struct path){ .address = { s.p, 0 },
			.local = { s.p, 0 },
			.domain = { s.p, 0 },
			.null = true };
		result = PATH_OK;
	} else {
		if (*s.p == '@' && !scan_route(&s))
			return PATH_BAD;
		s.utf8 = s.too_long = false; /* the route is dropped */
		if (!scan_mailbox(&s, out) || s.p == s.end || *s.p != '>')
			return PATH_BAD;
		if (out->domain.n == 0 && !(flags & PATH_UNQUALIFIED) &&
		    !(kind == PATH_FORWARD && path_is_postmaster(out)))
			return PATH_BAD;
		result = check(&s, flags, out);
	}
	if (result == PATH_OK)
		*in = slice_of(s.p + 1, (size_t)(s.end - s.p - 1));
	return result;
}

enum path_result
path_address(struct slice addr, unsigned flags, struct path *out)
{
	struct scan s = { .p = addr.p, .end = addr.p + addr.n };

	if (addr.n == 0 || !scan_mailbox(&s, out) || s.p != s.end)
		return PATH_BAD;
	if (out->domain.n == 0 && !(flags & PATH_UNQUALIFIED))
		return PATH_BAD;
	return check(&s, flags, out);
}

bool
path_address_valid(struct slice addr, unsigned flags)
{
	struct path path;

	return path_address(addr, flags, &path) == PATH_OK;
}

bool
path_domain_valid(struct slice domain, unsigned flags)
{
	struct scan s = { .p = domain.p, .end = domain.p + domain.n };

	if (domain.n == 0 || domain.n > PATH_DOMAIN_MAX)
		return false;
	if (!(*s.p == '[' ? scan_literal(&s) : scan_domain(&s)) || s.p != s.end)
		return false;
	return !s.too_long && !s.general && (!s.utf8 || (flags & PATH_UTF8));
}

bool
path_helo_valid(struct slice helo)
{
	struct scan s = { .p = helo.p, .end = helo.p + helo.n };
	char before = '.';

	if (helo.n == 0 || helo.n > PATH_DOMAIN_MAX)
		return false;
	if (helo.p[0] == '[')
		return scan_literal(&s) && s.p == s.end;
	if (path_literal_ip6(helo, NULL))
		return true;
	for (size_t i = 0; i < helo.n; i++) {
		if (!chars_is(helo.p[i], CHARS_LDH) && helo.p[i] != '_' && helo.p[i] != '.')
			return false;
		if (helo.p[i] == '.' && before == '.')
			return false;
		before = helo.p[i];
	}
	return true;
}

bool
path_literal_addr(struct slice domain, uint8_t addr[16])
{
	enum literal kind;

	if (domain.n < 2 || domain.p[0] != '[' || domain.p[domain.n - 1] != ']')
		return false;
	kind = path_literal_parse(slice_of(domain.p + 1, domain.n - 2), addr);
	return kind == LITERAL_IP4 || kind == LITERAL_IP6;
}

/* The local part without quotes and backslashes; it has been parsed, so is well-formed. */
static struct slice
plain_local(const struct path *path, char out[static PATH_LOCAL_MAX])
{
	size_t n = 0;

	if (!path->quoted)
		return path->local;
	for (size_t i = 1; i + 1 < path->local.n && n < PATH_LOCAL_MAX; i++) {
		if (path->local.p[i] == '\\')
			i++;
		out[n++] = path->local.p[i];
	}
	return slice_of(out, n);
}

bool
path_is_postmaster(const struct path *path)
{
	char plain[PATH_LOCAL_MAX];

	return slice_iis(plain_local(path, plain), "postmaster");
}

void
path_print(struct buf *out, const struct path *path)
{
	char plain[PATH_LOCAL_MAX];

	if (!path->quoted) {
		buf_slice(out, path->address);
		return;
	}
	if (!path_print_quoted(out, plain_local(path, plain)))
		buf_slice(out, path->local); /* cannot be: it was parsed */
	if (path->domain.n > 0) {
		buf_putc(out, '@');
		buf_slice(out, path->domain);
	}
}

void
path_print_local_plain(struct buf *out, const struct path *path)
{
	char plain[PATH_LOCAL_MAX];

	buf_slice(out, plain_local(path, plain));
}

/* Every byte may stand in a quoted string, with a backslash if need be. */
static bool
quotable(struct slice local)
{
	uint32_t code;
	size_t len;

	for (size_t i = 0; i < local.n; i += len) {
		len = 1;
		if (!chars_is(local.p[i], CHARS_VISIBLE) &&
		    (len = chars_utf8(local.p + i, local.n - i, &code)) == 0)
			return false;
	}
	return true;
}

bool
path_print_quoted(struct buf *out, struct slice local)
{
	struct scan s = { .p = local.p, .end = local.p + local.n };

	if (local.n > 0 && scan_dot_string(&s) && s.p == s.end) {
		buf_slice(out, local);
		return true;
	}
	if (!quotable(local))
		return false;
	buf_putc(out, '"');
	for (size_t i = 0; i < local.n; i++) {
		if (local.p[i] == '"' || local.p[i] == '\\')
			buf_putc(out, '\\');
		buf_putc(out, local.p[i]);
	}
	buf_putc(out, '"');
	return true;
}
