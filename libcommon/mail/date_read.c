/* SPDX-License-Identifier: ISC */
#include "mail/date.h"

#include "mail/header.h"

/*
 * The body is first made tokens, a few: comments and commas are gone then, and what is left is put
 * into its places in order.
 */
enum { TOKENS_MAX = 12 }; /* day-name day - month - year, time with fraction, zone: no more count */

enum token_kind { NUMBER, WORD, SIGN, COLON, OTHER };

struct token {
	enum token_kind kind;
	struct slice text;
	unsigned value; /* of a NUMBER; a large one where it has more than 6 digits */
};

struct tokens {
	struct token at[TOKENS_MAX + 1]; /* the last is OTHER and empty, as all that is not there */
	size_t n, next;
};

static void
add(struct tokens *t, enum token_kind kind, struct slice text)
{
	struct token *to;
	uint64_t value = 0;

	if (t->n == TOKENS_MAX)
		return;
	to = &t->at[t->n++];
	*to = (struct token){ .kind = kind, .text = text, .value = 9999999 };
	if (kind == NUMBER && text.n <= 6 && slice_u64(text, &value))
		to->value = (unsigned)value;
}

/* A number, or a word that may hold digits behind its first letter ("EST5EDT"). */
static size_t
run_length(struct slice s)
{
	size_t n = 1;
	bool word = ascii_alpha(s.p[0]);

	while (n < s.n && (ascii_digit(s.p[n]) || (word && ascii_alpha(s.p[n]))))
		n++;
	return n;
}

/* False: a comment does not end. */
static bool
make_tokens(struct slice in, struct tokens *t)
{
	in = header_body(in);
	while (in.n > 0 && t->n < TOKENS_MAX) {
		size_t n = 1;
		char c = in.p[0];

		if (c == '(') {
			n = header_comment(in);
			if (n == 0)
				return false;
		} else if (ascii_digit(c) || ascii_alpha(c)) {
			n = run_length(in);
			add(t, ascii_digit(c) ? NUMBER : WORD, slice_head(in, n));
		} else if (c == '+' || c == '-') {
			add(t, SIGN, slice_head(in, 1));
		} else if (c == ':') {
			add(t, COLON, slice_head(in, 1));
		} else if (c == '.') {
			add(t, OTHER, slice_head(in, 1));
		}
		in = slice_from(in, n);
	}
	return true;
}

static const struct token *
peek(const struct tokens *t)
{
	return &t->at[t->next];
}

static bool
take_number(struct tokens *t, unsigned max, unsigned *out)
{
	if (peek(t)->kind != NUMBER || peek(t)->value > max)
		return false;
	*out = t->at[t->next++].value;
	return true;
}

static void
skip(struct tokens *t, enum token_kind kind)
{
	if (peek(t)->kind == kind && t->next < t->n)
		t->next++;
}

/* 1 to 12, 0: none. English, three letters or all of them. */
static unsigned
month_of(struct slice word)
{
	static const char *const names[] = { "january", "february", "march", "april", "may", "june",
		"july", "august", "september", "october", "november", "december" };

	for (unsigned i = 0; i < 12; i++)
		if (word.n >= 3 && word.n <= strlen(names[i]) &&
		    slice_ieq(word, slice_head(slice_z(names[i]), word.n)))
			return i + 1;
	return 0;
}

static bool
take_month(struct tokens *t, unsigned *out)
{
	if (peek(t)->kind == NUMBER)
		return take_number(t, 12, out) && *out > 0;
	*out = peek(t)->kind == WORD ? month_of(peek(t)->text) : 0;
	t->next += *out != 0;
	return *out != 0;
}

/* RFC 5322 section 4.3: two digits are of 1950 to 2049, three count from 1900. */
static bool
take_year(struct tokens *t, unsigned *out)
{
	size_t digits = peek(t)->text.n;

	if (digits < 2 || !take_number(t, 9999, out))
		return false;
	if (digits == 2)
		*out += *out < 50 ? 2000 : 1900;
	else if (digits == 3)
		*out += 1900;
	return *out >= 1900;
}

/* hour ":" minute [":" second ["." fraction]] */
static bool
take_time(struct tokens *t, struct date *d)
{
	unsigned fraction;

	if (!take_number(t, 23, &d->hour) || peek(t)->kind != COLON)
		return false;
	t->next++;
	if (!take_number(t, 59, &d->minute))
		return false;
	if (peek(t)->kind != COLON)
		return true;
	t->next++;
	if (!take_number(t, 60, &d->second))
		return false;
	if (peek(t)->kind == OTHER && peek(t)->text.n > 0) {
		t->next++;
		take_number(t, UINT32_MAX, &fraction);
	}
	return true;
}

static void
take_named_zone(struct slice word, struct date *d)
{
	static const struct {
		char name[4];
		int hours;
	} zones[] = { { "UT", 0 }, { "UTC", 0 }, { "GMT", 0 }, { "EST", -5 }, { "EDT", -4 },
		{ "CST", -6 }, { "CDT", -5 }, { "MST", -7 }, { "MDT", -6 }, { "PST", -8 },
		{ "PDT", -7 } };

	/* "EST5EDT": the name that TZ begins with. */
	if (word.n > 4 && ascii_digit(word.p[3]))
		word.n = 3;
	for (size_t i = 0; i < sizeof zones / sizeof *zones; i++)
		if (slice_iis(word, zones[i].name)) {
			d->zone = DATE_ZONE_NAME;
			d->zone_min = zones[i].hours * 60;
		}
}

static void
take_zone(struct tokens *t, struct date *d)
{
	const struct token *sign = peek(t), *n;

	d->zone = DATE_ZONE_UNKNOWN;
	if (sign->kind == WORD)
		take_named_zone(sign->text, d);
	if (sign->kind != SIGN)
		return;
	n = &t->at[++t->next];
	if (n->kind != NUMBER || n->text.n != 4 || n->value % 100 > 59)
		return;
	t->next++;
	d->zone_min = (int)(n->value / 100 * 60 + n->value % 100);
	if (sign->text.p[0] == '+')
		d->zone = DATE_ZONE_NUMBER;
	else if (d->zone_min != 0) {
		d->zone = DATE_ZONE_NUMBER;
		d->zone_min = -d->zone_min;
	}
}

static bool
is_day(const struct date *d)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = d->year % 4 == 0 && (d->year % 100 != 0 || d->year % 400 == 0);

	return d->day >= 1 && d->day <= days[d->month - 1] + (d->month == 2 && leap ? 1U : 0U);
}

bool
date_read(struct slice value, struct date *out)
{
	struct tokens t = { .at = { [TOKENS_MAX] = { .kind = OTHER } } };
	bool ok;

	for (size_t i = 0; i < TOKENS_MAX; i++)
		t.at[i].kind = OTHER;
	*out = (struct date){ 0 };
	if (!make_tokens(value, &t))
		return false;
	if (peek(&t)->kind == WORD && month_of(peek(&t)->text) == 0)
		t.next++;	      /* the name of the day, or what takes its place */
	if (peek(&t)->kind == WORD) { /* asctime: month day time [zone] year */
		ok = take_month(&t, &out->month) && take_number(&t, 31, &out->day) &&
		     take_time(&t, out);
		take_zone(&t, out);
		skip(&t, WORD);
		return ok && take_year(&t, &out->year) && is_day(out);
	}
	ok = take_number(&t, 31, &out->day);
	skip(&t, SIGN); /* 13-Feb-2020 */
	ok = ok && take_month(&t, &out->month);
	skip(&t, SIGN);
	ok = ok && take_year(&t, &out->year) && take_time(&t, out) && is_day(out);
	take_zone(&t, out);
	return ok;
}

int64_t
date_utc_s(const struct date *d)
{
	/* Years from March on, so that the leap day is the last of its year. */
	int64_t year = (int64_t)d->year - (d->month <= 2), era = year / 400, of_era = year % 400;
	int64_t of_year = (153 * ((d->month + 9) % 12) + 2) / 5 + d->day - 1;
	int64_t days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;

	return days * 86400 + (int64_t)d->hour * 3600 + (int64_t)d->minute * 60 + d->second -
	       (int64_t)d->zone_min * 60;
}
