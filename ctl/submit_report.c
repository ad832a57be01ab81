/* SPDX-License-Identifier: ISC */
#include "ctl/submit_report.h"

#include "mail/date.h"
#include "mail/msgid.h"
#include "smtp/body.h"

#include <inttypes.h>
#include <stdio.h>

enum { ORIGINAL_MAX = 64 * 1024, TEXT_MAX = 500 };

/* One line of printable ASCII, whatever the text was. */
static void
put_clean(struct buf *out, struct slice text)
{
	text = slice_head(text, TEXT_MAX);
	for (size_t i = 0; i < text.n; i++)
		buf_putc(out, text.p[i] >= ' ' && text.p[i] <= '~' ? text.p[i] : '?');
}

static void
put_line(struct buf *out, const char *key, struct slice value)
{
	buf_puts(out, key);
	put_clean(out, value);
	buf_put(out, "\r\n", 2);
}

static void
put_header(const struct submit_report *r, const char *boundary, struct buf *out)
{
	char date[DATE_TEXT];

	date_text(r->wall_us / 1000, r->zone_min, date);
	buf_printf(out, "Date: %s\r\n", date);
	buf_puts(out, "From: Mail Delivery System <MAILER-DAEMON@");
	buf_slice(out, r->origin);
	buf_puts(out, ">\r\nTo: <");
	buf_slice(out, r->sender);
	buf_puts(out, ">\r\nSubject: Undelivered Mail Returned to Sender\r\nMessage-ID: ");
	msgid_print(out, r->wall_us, r->unique, r->origin);
	buf_printf(out,
	    "\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"%s\"\r\n\r\n",
	    boundary);
}

static void
put_words(const struct submit_report *r, struct buf *out)
{
	buf_puts(out, "Your message was not accepted for these recipients:\r\n\r\n");
	for (size_t i = 0; i < r->n_items; i++) {
		buf_puts(out, "    ");
		put_clean(out, r->items[i].rcpt);
		put_line(out, "\r\n        ", r->items[i].text);
	}
	buf_puts(
	    out, "\r\nIts header stands below. Recipients not named here are not concerned.\r\n");
}

static void
put_status(const struct submit_report *r, struct buf *out)
{
	put_line(out, "Reporting-MTA: dns; ", r->origin);
	if (r->envid.n > 0)
		put_line(out, "Original-Envelope-Id: ", r->envid);
	for (size_t i = 0; i < r->n_items; i++) {
		const struct submit_refusal *f = &r->items[i];
		const uint8_t *e = f->enh;

		put_line(out, "\r\nFinal-Recipient: rfc822; ", f->rcpt);
		buf_puts(out, "Action: failed\r\n");
		if (e[0] == 5)
			buf_printf(out, "Status: %u.%u.%u\r\n", e[0], e[1], e[2]);
		else
			buf_puts(out, "Status: 5.0.0\r\n");
		if (f->code != 0) {
			buf_printf(out, "Diagnostic-Code: smtp; %u ", f->code);
			put_line(out, "", f->text);
		}
	}
}

/* The fields alone, cut at a line's end where they are many. */
static struct slice
fields_of(struct slice original)
{
	if (original.n >= 2 && memcmp(original.p + original.n - 2, "\r\n", 2) == 0 &&
	    (original.n == 2 || (original.n >= 4 && original.p[original.n - 3] == '\n')))
		original.n -= 2;
	if (original.n > ORIGINAL_MAX) {
		original.n = ORIGINAL_MAX;
		while (original.n > 0 && original.p[original.n - 1] != '\n')
			original.n--;
	}
	return original;
}

void
submit_report_print(const struct submit_report *r, struct buf *header, struct buf *body)
{
	struct slice fields = fields_of(r->original);
	char boundary[64];

	snprintf(boundary, sizeof boundary, "=_%016" PRIx64 "%016" PRIx64, r->unique, r->wall_us);
	put_header(r, boundary, header);
	buf_printf(body,
	    "This is a message in MIME format.\r\n\r\n--%s\r\n"
	    "Content-Type: text/plain; charset=us-ascii\r\n\r\n",
	    boundary);
	put_words(r, body);
	buf_printf(body, "\r\n--%s\r\nContent-Type: message/delivery-status\r\n\r\n", boundary);
	put_status(r, body);
	buf_printf(body, "\r\n--%s\r\nContent-Type: text/rfc822-headers\r\n%s\r\n", boundary,
	    body_look(fields) & BODY_EIGHT_BIT ? "Content-Transfer-Encoding: 8bit\r\n" : "");
	buf_slice(body, fields);
	buf_printf(body, "\r\n--%s--\r\n", boundary);
}
