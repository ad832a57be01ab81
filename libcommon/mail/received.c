/* SPDX-License-Identifier: ISC */
#include "mail/received.h"

#include "base/log.h"
#include "smtp/chars.h"

#include <string.h>

/* Bytes outside `set` and those in `but` come out as "?"; non-ASCII ones if not eight_bit. */
static void
put_clean(struct buf *out, struct slice s, unsigned set, const char *but, bool eight_bit)
{
	char *to = buf_room(out, s.n);

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool ok = chars_is(c, set) ? strchr(but, c) == NULL
					   : eight_bit && (unsigned char)c >= 0x80;

		to[i] = ok ? c : '?';
	}
	out->n += s.n;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" */
static void
put_literal(struct buf *out, const uint8_t addr[16])
{
	char text[46];

	addr_text(addr, text);
	buf_puts(out, strchr(text, ':') != NULL ? "[IPv6:" : "[");
	buf_puts(out, text);
	buf_putc(out, ']');
}

static void
put_origin(struct buf *out, const struct received *r)
{
	if (r->addr == NULL) {
		buf_puts(out, "Received: by ");
		buf_slice(out, r->host);
		buf_printf(out, " (Angarium, from userid %u)\r\n\t", r->uid);
		return;
	}
	buf_puts(out, "Received: from ");
	if (r->helo.n > 0)
		put_clean(out, r->helo, CHARS_VALUE | CHARS_DTEXT, "()<>;,\\\"", false);
	else
		put_literal(out, r->addr);
	buf_puts(out, " (");
	put_literal(out, r->addr);
	buf_puts(out, ")\r\n\tby ");
	buf_slice(out, r->host);
	if (r->proto != NULL) {
		buf_puts(out, " with ");
		buf_puts(out, r->proto);
	}
	buf_putc(out, ' ');
}

void
received_print(struct buf *out, const struct received *r)
{
	put_origin(out, r);
	buf_puts(out, "id ");
	buf_slice(out, r->id);
	if (r->for_.n > 0) {
		buf_puts(out, "\r\n\tfor <");
		put_clean(out, r->for_, CHARS_VISIBLE, "<>", true);
		buf_putc(out, '>');
	}
	if (r->has_priority)
		buf_printf(out, "%sPRIORITY %d", r->for_.n > 0 ? " " : "\r\n\t", r->priority);
	buf_puts(out, "; ");
	buf_slice(out, r->date);
	buf_puts(out, "\r\n");
}
