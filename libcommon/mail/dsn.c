/* SPDX-License-Identifier: ISC */
#include "mail/dsn.h"

#include "mail/date.h"

enum { FOLD_AT = 76, LINE_MAX_BYTES = 998, WORD_MAX_BYTES = 900, TEXT_AT = 72 };

/* ---- text that strangers brought ---- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Bytes of a well-formed UTF-8 sequence at the front, 0: there is none. */
static size_t
utf8_len(struct slice s)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0x80		   ? 1
		   : c >= 0xc2 && c < 0xe0 ? 2
		   : c >= 0xe0 && c < 0xf0 ? 3
		   : c >= 0xf0 && c < 0xf5 ? 4
					   : 0;

	if (n == 0 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if (((unsigned char)s.p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* One character that may stand in a line: as it is, or "?" for each byte that may not. */
static void
put_clean(struct buf *out, struct slice *s, bool utf8)
{
	unsigned char c = (unsigned char)s->p[0];
	size_t n = c < 0x80 ? 1 : utf8 ? utf8_len(*s) : 0;

	if (n == 0 || (n == 1 && (c < ' ' || c == 0x7f))) {
		buf_putc(out, c == '\t' ? ' ' : '?');
		n = 1;
	} else {
		buf_put(out, s->p, n);
	}
	*s = slice_from(*s, n);
}

static void
put_text(struct buf *out, struct slice s, bool utf8)
{
	while (s.n > 0)
		put_clean(out, &s, utf8);
}

/* Words of s behind what the line holds already (`col` bytes), folded by `fold`. */
static void
put_folded(struct buf *out, struct slice s, size_t col, const char *fold, bool utf8)
{
	size_t line = out->n - col;

	s = slice_trim(s);
	while (s.n > 0) {
		size_t n = 0;
		struct slice word;

		while (n < s.n && !is_blank(s.p[n]) && n < WORD_MAX_BYTES)
			n++;
		word = slice_head(s, n);
		if (out->n - line + n + 1 > FOLD_AT && out->n - line > col) {
			line = out->n + 2;
			buf_puts(out, fold);
			col = out->n - line;
		} else if (out->n - line > col) {
			buf_putc(out, ' ');
		}
		put_text(out, word, utf8);
		s = slice_trim(slice_from(s, n));
	}
}

static void
field(struct buf *out, const char *name, const char *type, struct slice value, bool utf8)
{
	size_t from = out->n;

	buf_printf(out, "%s: %s", name, type);
	put_folded(out, value, out->n - from, "\r\n    ", utf8);
	buf_puts(out, "\r\n");
}

/* ---- addresses: RFC 3464 section 2.3, RFC 6533 section 3 ---- */

/* utf-8-addr-xtext: characters that may not stand as they are become \x{HEX}. */
static void
put_addr_xtext(struct buf *out, struct slice s)
{
	while (s.n > 0) {
		size_t n = utf8_len(s);
		uint32_t v = (unsigned char)s.p[0];

		if (n <= 1 && v > ' ' && v < 0x7f && v != '\\' && v != '+' && v != '=') {
			buf_putc(out, s.p[0]);
			s = slice_from(s, 1);
			continue;
		}
		if (n > 1)
			v &= 0x7fU >> n;
		for (size_t i = 1; i < n; i++)
			v = v << 6 | ((unsigned char)s.p[i] & 0x3fU);
		buf_printf(out, "\\x{%02X}", v);
		s = slice_from(s, n == 0 ? 1 : n);
	}
}

static void
address_field(struct buf *out, const char *name, struct slice type, struct slice address, bool utf8)
{
	buf_printf(out, "%s: ", name);
	if (!slice_is_ascii(address)) {
		buf_puts(out, "utf-8;");
		if (utf8)
			put_text(out, slice_head(address, WORD_MAX_BYTES), true);
		else
			put_addr_xtext(out, slice_head(address, WORD_MAX_BYTES / 6));
	} else {
		put_text(out, type, false);
		buf_putc(out, ';');
		put_text(out, slice_head(address, WORD_MAX_BYTES), false);
	}
	buf_puts(out, "\r\n");
}

/* ---- the report's own header ---- */

static const char *const subjects[] = {
	[DSN_FAILED] = "Undelivered Mail Returned to Sender",
	[DSN_DELAYED] = "Delayed Mail (still being retried)",
	[DSN_DELIVERED] = "Successful Mail Delivery Report",
};

static bool
is_global(const struct dsn_facts *f)
{
	return f->utf8;
}

static void
print_header(struct buf *out, const struct dsn_facts *f)
{
	field(out, "Date", "", f->date, false);
	buf_puts(out, "From: Mail Delivery System <MAILER-DAEMON@");
	put_text(out, f->host, false);
	buf_puts(out, ">\r\nTo: <");
	put_text(out, slice_head(f->to, WORD_MAX_BYTES), f->utf8);
	buf_puts(out, ">\r\n");
	buf_printf(out, "Subject: %s%s\r\n", f->to_postmaster ? "Postmaster Copy: " : "",
	    subjects[f->kind]);
	field(out, "Message-ID", "", f->message_id, false);
	if (f->references.n > 0 && f->references.n < WORD_MAX_BYTES) {
		field(out, "References", "", f->references, false);
		field(out, "In-Reply-To", "", f->references, false);
	}
	buf_printf(out, "Auto-Submitted: auto-%s\r\n", f->to_postmaster ? "generated" : "replied");
	buf_puts(out, "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=");
	buf_puts(out, is_global(f) ? "global-delivery-status" : "delivery-status");
	buf_printf(out, ";\r\n\tboundary=\"%.*s\"\r\n", SLICE_ARG(f->boundary));
}

/* ---- first part: for people ---- */

static void
print_people_rcpt(struct buf *out, const struct dsn_rcpt *r)
{
	size_t from = out->n;

	buf_putc(out, '<');
	put_text(out, slice_head(r->final, WORD_MAX_BYTES), true);
	buf_puts(out, ">:");
	if (out->n - from > TEXT_AT / 2) {
		buf_puts(out, "\r\n    ");
		from = out->n - 4;
	} else {
		buf_putc(out, ' ');
	}
	if (r->remote_mta.n > 0) {
		struct buf said = { 0 };

		buf_printf(&said, "host %.*s said: %.*s", SLICE_ARG(r->remote_mta),
		    SLICE_ARG(r->diagnostic));
		put_folded(out, slice_buf(&said), out->n - from, "\r\n    ", true);
		buf_fini(&said);
	} else {
		put_folded(out, r->diagnostic.n > 0 ? r->diagnostic : r->action, out->n - from,
		    "\r\n    ", true);
	}
	buf_puts(out, "\r\n");
}

static void
print_people(struct buf *out, const struct dsn_facts *f)
{
	buf_puts(out, "This is the mail system at host ");
	put_text(out, f->host, false);
	buf_puts(out, ".\r\n\r\n");
	switch (f->kind) {
	case DSN_FAILED:
		buf_puts(out, f->to_postmaster ? "A message without a sender could not be "
						 "delivered, so nobody else is told.\r\n"
					       : "Your message could not be delivered to one or "
						 "more recipients, and it\r\n"
						 "will not be tried again.\r\n");
		buf_puts(out,
		    "What was said is listed below; the message, or its header, is attached.\r\n");
		break;
	case DSN_DELAYED:
		buf_puts(out,
		    "Your message has not been delivered yet. Nothing needs to be done:\r\n"
		    "delivery will go on being tried. You will hear of it if it fails.\r\n");
		break;
	case DSN_DELIVERED:
		buf_puts(out,
		    "As you asked to be told: your message reached the following recipients,\r\n"
		    "or a mail system that does not tell more.\r\n");
		break;
	}
	buf_puts(out, "\r\n");
	for (size_t i = 0; i < f->nrcpt; i++)
		print_people_rcpt(out, &f->rcpts[i]);
}

/* ---- second part: for programs ---- */

static void
date_field(struct buf *out, const char *name, uint64_t wall_ms, int zone_min)
{
	char text[DATE_TEXT];

	if (wall_ms == 0)
		return;
	date_text(wall_ms, zone_min, text);
	buf_printf(out, "%s: %s\r\n", name, text);
}

static void
print_status_rcpt(struct buf *out, const struct dsn_facts *f, const struct dsn_rcpt *r)
{
	bool utf8 = is_global(f);

	buf_puts(out, "\r\n");
	if (r->original.n > 0)
		address_field(out, "Original-Recipient", r->original_type, r->original, utf8);
	address_field(out, "Final-Recipient", r->final_type, r->final, utf8);
	field(out, "Action", "", r->action, false);
	field(out, "Status", "", r->status, false);
	if (r->remote_mta.n > 0)
		field(out, "Remote-MTA", "dns; ", r->remote_mta, false);
	if (r->diagnostic.n > 0)
		field(out, "Diagnostic-Code", r->remote_mta.n > 0 ? "smtp; " : "x-angarium; ",
		    r->diagnostic, utf8);
	date_field(out, "Last-Attempt-Date", r->attempt_ms, f->zone_min);
	date_field(out, "Will-Retry-Until", r->retry_until_ms, f->zone_min);
	if (r->class.n > 0)
		field(out, "X-Angarium-Class", "", r->class, false);
}

static void
print_status(struct buf *out, const struct dsn_facts *f)
{
	bool utf8 = is_global(f);

	field(out, "Reporting-MTA", "dns; ", f->host, false);
	if (f->envid.n > 0)
		field(out, "Original-Envelope-Id", "", f->envid, utf8);
	if (f->received_from.n > 0)
		field(out, "Received-From-MTA", "dns; ", f->received_from, utf8);
	date_field(out, "Arrival-Date", f->arrival_ms, f->zone_min);
	field(out, "X-Angarium-Queue-ID", "", f->id, false);
	address_field(out, "X-Angarium-Sender", SLICE_LIT("rfc822"), f->sender, utf8);
	for (size_t i = 0; i < f->nrcpt; i++)
		print_status_rcpt(out, f, &f->rcpts[i]);
}

/* ---- third part: what is returned ---- */

/* A body that may stand in a report as it is. */
static bool
body_is_clean(struct slice s)
{
	size_t line = 0;

	for (size_t i = 0; i < s.n; i++, line++) {
		if (s.p[i] == '\0' || s.p[i] == '\n' || line > LINE_MAX_BYTES)
			return false;
		if (s.p[i] != '\r')
			continue;
		if (i + 1 == s.n || s.p[i + 1] != '\n')
			return false;
		i++;
		line = SIZE_MAX; /* 0 after the loop's step */
	}
	return s.n == 0 || s.p[s.n - 1] == '\n';
}

/* Header lines as they stand; longer ones are broken where a fold does no harm, odd bytes are "?". */
static void
print_head(struct buf *out, struct slice head)
{
	struct slice line;

	while (slice_next(&head, '\n', &line)) {
		size_t at = 0;

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n == 0)
			continue; /* an empty line would end it */
		for (size_t i = 0; i < line.n; i++, at++) {
			char c = line.p[i];

			if (at >= WORD_MAX_BYTES && (is_blank(c) || at == LINE_MAX_BYTES)) {
				buf_puts(out, "\r\n ");
				at = 1;
			}
			buf_putc(out, (c < ' ' && c >= 0 && c != '\t') || c == 0x7f ? '?' : c);
		}
		buf_puts(out, "\r\n");
	}
}

static bool
has_eight_bit(struct slice s)
{
	return !slice_is_ascii(s);
}

static bool
is_utf8(struct slice s)
{
	size_t n = 1;

	while (s.n > 0 && (n = utf8_len(s)) > 0)
		s = slice_from(s, n);
	return n > 0;
}

static void
begin_part(
    struct buf *out, const struct dsn_facts *f, const char *what, const char *type, bool eight_bit)
{
	buf_printf(out, "\r\n--%.*s\r\nContent-Description: %s\r\nContent-Type: %s\r\n",
	    SLICE_ARG(f->boundary), what, type);
	if (eight_bit)
		buf_puts(out, "Content-Transfer-Encoding: 8bit\r\n");
	buf_puts(out, "\r\n");
}

static bool
print_returned(struct buf *out, const struct dsn_facts *f)
{
	bool whole = f->body.n > 0 && !f->cut && body_is_clean(f->body);
	bool eight = has_eight_bit(f->head) || (whole && has_eight_bit(f->body));
	bool global = is_global(f) && has_eight_bit(f->head) && is_utf8(f->head);

	if (whole)
		begin_part(out, f, "Undelivered Message",
		    global ? "message/global" : "message/rfc822", eight);
	else
		begin_part(out, f, "Undelivered Message Headers",
		    global ? "message/global-headers" : "text/rfc822-headers", eight);
	print_head(out, f->head);
	if (whole) {
		if (f->body.p[0] != '\r')
			buf_puts(out, "\r\n"); /* the message went on with what is no field */
		buf_slice(out, f->body);
	}
	return eight;
}

void
dsn_print(struct buf *out, const struct dsn_facts *f, struct dsn_made *made)
{
	struct buf people = { 0 }, status = { 0 };
	bool eight_people, eight_status;

	*made = (struct dsn_made){ 0 };
	print_people(&people, f);
	print_status(&status, f);
	eight_people = has_eight_bit(slice_buf(&people));
	eight_status = has_eight_bit(slice_buf(&status));
	made->head_bytes = out->n;
	print_header(out, f);
	made->eight_bit = has_eight_bit(slice_from(slice_buf(out), made->head_bytes));
	/* Parts that hold 8-bit bytes make the whole so (RFC 2045 section 6.4). */
	made->eight_bit |=
	    eight_people || eight_status || has_eight_bit(f->head) || has_eight_bit(f->body);
	if (made->eight_bit)
		buf_puts(out, "Content-Transfer-Encoding: 8bit\r\n");
	made->head_bytes = out->n - made->head_bytes;
	buf_puts(out, "\r\nThis is a MIME-encapsulated message.\r\n");
	begin_part(out, f, "Notification", "text/plain; charset=utf-8", eight_people);
	buf_slice(out, slice_buf(&people));
	begin_part(out, f, "Delivery report",
	    is_global(f) ? "message/global-delivery-status" : "message/delivery-status",
	    eight_status);
	buf_slice(out, slice_buf(&status));
	print_returned(out, f);
	buf_printf(out, "\r\n--%.*s--\r\n", SLICE_ARG(f->boundary));
	buf_fini(&people);
	buf_fini(&status);
}
