/* SPDX-License-Identifier: ISC */
#include "mail/header.h"

/* Length of the line at the front with its end, if it has one. */
static size_t
line_len(struct slice in)
{
	ptrdiff_t lf = slice_find(in, '\n');

	return lf < 0 ? in.n : (size_t)lf + 1;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct slice
without_end(struct slice line)
{
	if (line.n > 0 && line.p[line.n - 1] == '\n')
		line.n--;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

/*
 * field = 1*%d33-57,%d59-126 *WSP ":" ... (RFC 5322 sections 2.2 and 4.5). Length of the name, and
 * where the value begins; 0: this is no field.
 */
static size_t
name_len(struct slice line, size_t *value)
{
	size_t n = 0, at;

	while (n < line.n && line.p[n] > ' ' && line.p[n] < 0x7f && line.p[n] != ':')
		n++;
	for (at = n; at < line.n && is_blank(line.p[at]); at++)
		;
	if (at == line.n || line.p[at] != ':')
		return 0;
	*value = at + 1;
	return n;
}

bool
header_next(struct slice *in, struct header_field *out)
{
	size_t len = line_len(*in), value = 0, name;

	name = name_len(slice_head(*in, len), &value);
	if (name == 0)
		return false;
	while (len < in->n && is_blank(in->p[len]))
		len += line_len(slice_from(*in, len));
	out->name = slice_head(*in, name);
	out->whole = slice_head(*in, len);
	out->value = without_end(slice_from(out->whole, value));
	*in = slice_from(*in, len);
	return true;
}

static const struct {
	struct slice name;
	unsigned bit;
} names[] = {
/* clang-format off */
#define N(text, bit) { { text, sizeof text - 1 }, bit }
	N("From", HEADER_FROM),
	N("Sender", HEADER_SENDER),
	N("To", HEADER_TO),
	N("Cc", HEADER_CC),
	N("Bcc", HEADER_BCC),
	N("Date", HEADER_DATE),
	N("Message-ID", HEADER_MESSAGE_ID),
	N("Resent-From", HEADER_RESENT_FROM),
	N("Resent-Sender", HEADER_RESENT_SENDER),
	N("Resent-To", HEADER_RESENT_TO),
	N("Resent-Cc", HEADER_RESENT_CC),
	N("Resent-Bcc", HEADER_RESENT_BCC),
	N("Resent-Date", HEADER_RESENT_DATE),
	N("Resent-Message-ID", HEADER_RESENT_MESSAGE_ID),
	N("Received", HEADER_RECEIVED),
	N("Return-Path", HEADER_RETURN_PATH),
	N("Subject", HEADER_SUBJECT),
	N("Delivered-To", HEADER_DELIVERED_TO),
	N("Content-Length", HEADER_CONTENT_LENGTH),
#undef N
	/* clang-format on */
};

unsigned
header_of(struct slice name)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].name.n == name.n && slice_ieq(names[i].name, name))
			return names[i].bit;
	return 0;
}

/* Without blanks and line ends at both ends. */
static struct slice
trim(struct slice s)
{
	while (s.n > 0 && (is_blank(s.p[0]) || s.p[0] == '\r' || s.p[0] == '\n'))
		s = slice_from(s, 1);
	while (s.n > 0 && (is_blank(s.p[s.n - 1]) || s.p[s.n - 1] == '\r' || s.p[s.n - 1] == '\n'))
		s.n--;
	return s;
}

void
header_scan(struct slice message, size_t max_bytes, struct header_summary *out)
{
	struct slice in = max_bytes > 0 ? slice_head(message, max_bytes) : message;
	struct header_field field;
	unsigned bit;

	*out = (struct header_summary){ 0 };
	while (header_next(&in, &field)) {
		bit = header_of(field.name);
		if (bit == HEADER_MESSAGE_ID && !(out->has & bit))
			out->message_id = trim(field.value);
		out->received += bit == HEADER_RECEIVED;
		out->has |= bit;
		out->fields++;
	}
	out->bytes = out->body = (size_t)(in.p - message.p);
	out->ended =
	    in.n > 0 && (in.p[0] == '\n' || (in.n > 1 && in.p[0] == '\r' && in.p[1] == '\n'));
	if (out->ended)
		out->body += in.p[0] == '\n' ? 1 : 2;
}

void
header_unfold(struct buf *out, struct slice value)
{
	size_t len;

	value = trim(value);
	while (value.n > 0) {
		len = line_len(value);
		buf_slice(out, without_end(slice_head(value, len)));
		value = slice_from(value, len);
	}
}

struct slice
header_body(struct slice value)
{
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] == '\n' && (i + 1 == value.n || !is_blank(value.p[i + 1])))
			return without_end(slice_head(value, i + 1));
	return value;
}

size_t
header_comment(struct slice s)
{
	unsigned depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '(')
			depth++;
		else if (s.p[i] == ')' && --depth == 0)
			return i + 1;
	}
	return 0;
}
