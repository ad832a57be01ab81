/* SPDX-License-Identifier: ISC */
#include "ctl/submit_message.h"

#include "base/die.h"
#include "ctl/submit_phrase.h"
#include "mail/address_list.h"
#include "mail/date.h"
#include "mail/header.h"
#include "mail/msgid.h"
#include "smtp/body.h"
#include "smtp/path.h"

#include <assert.h>
#include <stdlib.h>

enum {
	TO_BITS = HEADER_TO | HEADER_CC | HEADER_BCC,
	RESENT_TO_BITS = HEADER_RESENT_TO | HEADER_RESENT_CC | HEADER_RESENT_BCC,
	RESENT_BITS = RESENT_TO_BITS | HEADER_RESENT_FROM | HEADER_RESENT_SENDER |
		      HEADER_RESENT_DATE | HEADER_RESENT_MESSAGE_ID,
	/* Blind recipients stay blind with and without -t; the others are for the final delivery to
	   say. */
	DROPPED_BITS = HEADER_BCC | HEADER_RESENT_BCC | HEADER_RETURN_PATH | HEADER_CONTENT_LENGTH,
};

/* A growing list in the making, each address once. */
struct gather {
	const struct submit_rules *rules;
	struct submit_message *out;
	struct buf rcpts, bads; /* of struct slice */
	uint32_t *seen;		/* hash table of numbers in rcpts, counted from 1 */
	size_t seen_size;	/* a power of 2, or 0 */
};

static const struct slice *
gathered(const struct buf *list, size_t *n)
{
	*n = list->n / sizeof(struct slice);
	return (const struct slice *)(const void *)list->p;
}

/* Local parts differ by case, domains do not. */
static bool
same_mailbox(struct slice a, struct slice b)
{
	size_t at;

	if (a.n != b.n)
		return false;
	for (at = a.n; at > 0 && a.p[at - 1] != '@'; at--)
		;
	return slice_eq(slice_head(a, at), slice_head(b, at)) &&
	       slice_ieq(slice_from(a, at), slice_from(b, at));
}

static void
seen_insert(struct gather *g, struct slice addr, uint32_t number)
{
	size_t at = (size_t)slice_ihash(addr) & (g->seen_size - 1);

	while (g->seen[at] != 0)
		at = (at + 1) & (g->seen_size - 1);
	g->seen[at] = number;
}

/* Room for one more at a load of at most one half. */
static void
seen_grow(struct gather *g)
{
	size_t n;
	const struct slice *list = gathered(&g->rcpts, &n);

	if (2 * (n + 1) <= g->seen_size)
		return;
	free(g->seen);
	g->seen_size = g->seen_size == 0 ? 64 : g->seen_size * 2;
	g->seen = xcalloc(g->seen_size, sizeof *g->seen);
	for (size_t i = 0; i < n; i++)
		seen_insert(g, list[i], (uint32_t)i + 1);
}

static bool
seen_has(const struct gather *g, struct slice addr)
{
	size_t n, at;
	const struct slice *list = gathered(&g->rcpts, &n);

	if (g->seen_size == 0)
		return false;
	at = (size_t)slice_ihash(addr) & (g->seen_size - 1);
	for (; g->seen[at] != 0; at = (at + 1) & (g->seen_size - 1))
		if (same_mailbox(list[g->seen[at] - 1], addr))
			return true;
	return false;
}

static void
add_bad(struct gather *g, struct slice text)
{
	struct slice kept = arena_slice(&g->out->arena, text);

	buf_put(&g->bads, &kept, sizeof kept);
}

/* The address with "@origin" where it has no domain, in the arena; empty if that is too long. */
static struct slice
completed(struct gather *g, struct slice addr, bool bare, bool sure)
{
	struct buf full = { 0 };
	struct slice kept;

	buf_slice(&full, addr);
	if (bare && sure) {
		buf_putc(&full, '@');
		buf_slice(&full, g->rules->origin);
	}
	kept = arena_slice(&g->out->arena, slice_buf(&full));
	buf_fini(&full);
	return path_address_valid(kept, PATH_UTF8 | PATH_UNQUALIFIED) ? kept : SLICE_NONE;
}

static void
add_recipient(void *arg, const struct address *a)
{
	struct gather *g = arg;
	struct slice addr = SLICE_NONE;

	if (a->ok && !a->null)
		addr = completed(g, a->addr, a->domain.n == 0, g->rules->origin_sure);
	if (addr.n == 0) {
		add_bad(g, a->text);
		return;
	}
	if (seen_has(g, addr))
		return;
	seen_grow(g);
	buf_put(&g->rcpts, &addr, sizeof addr);
	seen_insert(g, addr, (uint32_t)(g->rcpts.n / sizeof addr));
	g->out->utf8 |= a->utf8;
}

struct one_address {
	struct gather *g;
	unsigned count;
	bool ok;
};

static void
take_sender(void *arg, const struct address *a)
{
	struct one_address *one = arg;
	struct gather *g = one->g;

	one->ok = a->ok && ++one->count == 1;
	if (!one->ok || a->null)
		return;
	g->out->sender = completed(g, a->addr, a->domain.n == 0, g->rules->origin_sure);
	g->out->utf8 |= a->utf8;
	g->out->sender_bare = a->domain.n == 0 && !g->rules->origin_sure;
	one->ok = g->out->sender.n > 0;
}

/* -f "" and -f "<>" are the null sender; without -f it is the caller. */
static bool
set_sender(struct gather *g)
{
	struct one_address one = { .g = g };
	struct slice given = slice_trim(g->rules->sender);
	struct buf quoted = { 0 };
	bool ok;

	if (g->rules->sender_given) {
		if (given.n == 0)
			return true;
		address_list_each(given, PATH_UTF8, take_sender, &one);
		return one.ok;
	}
	ok = path_print_quoted(&quoted, g->rules->login);
	if (ok)
		g->out->sender = completed(g, slice_buf(&quoted), true, g->rules->origin_sure);
	buf_fini(&quoted);
	g->out->sender_bare = !g->rules->origin_sure;
	return ok && g->out->sender.n > 0;
}

/* Fields whose bare addresses are completed. */
static bool
holds_addresses(struct slice name)
{
	static const char *const names[] = { "From", "Sender", "Reply-To", "To", "Cc",
		"Resent-From", "Resent-Sender", "Resent-Reply-To", "Resent-To", "Resent-Cc",
		"Errors-To", "Return-Receipt-To", "Disposition-Notification-To", "Mail-Followup-To",
		"Mail-Reply-To" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (slice_iis(name, names[i]))
			return true;
	return false;
}

struct rewriting {
	struct buf *out;
	struct slice rest; /* of the field, not written yet */
	struct slice origin;
};

/* Copies up to the address's end and puts the origin there: names, comments and folding stay. */
static void
complete_address(void *arg, const struct address *a)
{
	struct rewriting *w = arg;
	size_t upto;

	if (!a->ok || a->null || a->domain.n > 0 || a->raw.p < w->rest.p)
		return;
	upto = (size_t)(a->raw.p + a->raw.n - w->rest.p);
	assert(upto <= w->rest.n);
	buf_put(w->out, w->rest.p, upto);
	buf_putc(w->out, '@');
	buf_slice(w->out, w->origin);
	w->rest = slice_from(w->rest, upto);
}

static void
put_field(struct submit_message *m, const struct submit_rules *rules, const struct header_field *f)
{
	struct rewriting w = { .out = &m->header, .rest = f->whole, .origin = rules->origin };

	if (header_of(f->name) & DROPPED_BITS)
		return;
	if (rules->complete && holds_addresses(f->name))
		address_list_each(f->value, PATH_UTF8, complete_address, &w);
	buf_slice(&m->header, w.rest);
}

static void
put_date(struct submit_message *m, const struct submit_rules *rules, const char *prefix)
{
	char date[DATE_TEXT];

	date_text(rules->wall_us / 1000, rules->zone_min, date);
	buf_printf(&m->header, "%sDate: %s\r\n", prefix, date);
}

static void
put_message_id(struct submit_message *m, const struct submit_rules *rules, const char *prefix)
{
	buf_printf(&m->header, "%sMessage-ID: ", prefix);
	msgid_print(&m->header, rules->wall_us, rules->unique, rules->origin);
	buf_put(&m->header, "\r\n", 2);
}

static void
put_from(struct submit_message *m, const struct submit_rules *rules, const char *prefix)
{
	bool null = m->sender.n == 0;

	buf_printf(&m->header, "%sFrom: ", prefix);
	if (submit_phrase_print(&m->header, null ? SLICE_LIT("Mail Delivery System") : rules->name))
		buf_putc(&m->header, ' ');
	buf_putc(&m->header, '<');
	buf_slice(&m->header, null ? SLICE_LIT("MAILER-DAEMON") : m->sender);
	if (null || m->sender_bare) {
		buf_putc(&m->header, '@');
		buf_slice(&m->header, rules->origin);
	}
	buf_puts(&m->header, ">\r\n");
}

/* A resent message gets what its newest block lacks, on top; any other at the header's end. */
static void
put_missing(struct submit_message *m, const struct submit_rules *rules, unsigned has, bool resent)
{
	const char *prefix = resent ? "Resent-" : "";

	if (!(has & (resent ? HEADER_RESENT_DATE : HEADER_DATE)))
		put_date(m, rules, prefix);
	if (!(has & (resent ? HEADER_RESENT_FROM : HEADER_FROM)))
		put_from(m, rules, prefix);
	if (!(has & (resent ? HEADER_RESENT_MESSAGE_ID : HEADER_MESSAGE_ID)))
		put_message_id(m, rules, prefix);
}

static void
put_header(
    struct submit_message *m, const struct submit_rules *rules, struct slice text, unsigned has)
{
	bool resent = (has & RESENT_BITS) != 0;
	struct header_field f;

	if (rules->complete && resent)
		put_missing(m, rules, has, true);
	while (header_next(&text, &f))
		put_field(m, rules, &f);
	if (rules->complete && !resent)
		put_missing(m, rules, has, false);
	buf_put(&m->header, "\r\n", 2);
	/* What ended the section belongs to the body, an empty line to nobody. */
	m->body = text.n >= 2 && memcmp(text.p, "\r\n", 2) == 0 ? slice_from(text, 2) : text;
}

/* Which fields there are; with a mask, the recipients of those fields are taken. */
static unsigned
look(struct gather *g, struct slice text, unsigned mask)
{
	struct header_field f;
	unsigned has = 0;

	while (header_next(&text, &f)) {
		unsigned bit = header_of(f.name);

		has |= bit;
		if (bit & mask)
			address_list_each(f.value, PATH_UTF8, add_recipient, g);
	}
	return has;
}

static void
add_words(struct gather *g)
{
	for (size_t i = 0; i < g->rules->n_words; i++)
		address_list_each(g->rules->words[i], PATH_UTF8, add_recipient, g);
}

static const struct slice *
settled(struct arena *a, struct buf *list, size_t *n)
{
	const struct slice *from = gathered(list, n);
	struct slice *to = arena_alloc(a, (*n + 1) * sizeof *to);

	for (size_t i = 0; i < *n; i++)
		to[i] = from[i];
	buf_fini(list);
	return to;
}

/* Moves the lists into the arena. */
static void
settle(struct gather *g)
{
	struct submit_message *m = g->out;

	m->rcpt = settled(&m->arena, &g->rcpts, &m->n_rcpt);
	m->bad = settled(&m->arena, &g->bads, &m->n_bad);
	free(g->seen);
}

bool
submit_message_names_caller(struct slice text, const struct submit_rules *rules)
{
	struct gather g = { .rules = rules };
	unsigned has;

	if (!rules->sender_given)
		return true;
	if (!rules->complete)
		return false;
	has = look(&g, text.n == 0 ? SLICE_LIT("") : text, 0);
	return !(has & (has & RESENT_BITS ? HEADER_RESENT_FROM : HEADER_FROM));
}

enum submit_verdict
submit_message_build(
    struct slice text, const struct submit_rules *rules, struct submit_message *out)
{
	struct gather g = { .rules = rules, .out = out };
	unsigned has;
	bool sender_ok;

	*out = (struct submit_message){ 0 };
	if (text.n == 0)
		text = SLICE_LIT(""); /* never NULL: parts of it are told apart by their place */
	sender_ok = set_sender(&g);
	has = look(&g, text, 0);
	if (rules->extract)
		look(&g, text, has & RESENT_TO_BITS ? RESENT_TO_BITS : TO_BITS);
	add_words(&g);
	settle(&g);
	if (!sender_ok)
		return SUBMIT_BAD_SENDER;
	if (out->n_rcpt + out->n_bad == 0)
		return SUBMIT_NO_RECIPIENT;
	put_header(out, rules, text, has);
	out->eight_bit =
	    ((body_look(slice_buf(&out->header)) | body_look(out->body)) & BODY_EIGHT_BIT) != 0;
	return out->n_rcpt > 0 ? SUBMIT_OK : SUBMIT_ALL_BAD;
}

void
submit_message_operands(const struct submit_rules *rules, struct submit_message *out)
{
	struct gather g = { .rules = rules, .out = out };

	*out = (struct submit_message){ 0 };
	set_sender(&g);
	add_words(&g);
	settle(&g);
}

void
submit_message_fini(struct submit_message *m)
{
	buf_fini(&m->header);
	arena_fini(&m->arena);
}
