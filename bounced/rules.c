/* SPDX-License-Identifier: ISC */
#include "bounced/rules.h"

#include "base/die.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Enough for any honest pattern over a reply; a hostile one costs some milliseconds. */
enum {
	MATCH_STEPS = 50000,
	MATCH_DEPTH = 2000,
	MATCH_HEAP_KIB = 1024,
	PATTERN_DEPTH = 50,
	GLOBS_MAX = 8,
	NAME_BYTES = 40
};

struct class
{
	uint32_t number;
	char name[NAME_BYTES], group[8];
};

/* Bulk senders know these numbers, whatever file is read. */
static const struct class builtin[] = {
	{ 1, "undetermined", "unknown" },
	{ 10, "invalid-recipient", "hard" },
	{ 20, "soft-bounce", "soft" },
	{ 21, "dns-failure", "soft" },
	{ 22, "mailbox-full", "soft" },
	{ 23, "too-large", "soft" },
	{ 24, "timeout", "soft" },
	{ 25, "admin-failure", "admin" },
	{ 30, "no-rcpt", "hard" },
	{ 40, "generic-bounce", "soft" },
	{ 50, "mail-block", "block" },
	{ 51, "spam-block", "block" },
	{ 52, "spam-content", "block" },
	{ 53, "prohibited-attachment", "block" },
	{ 54, "relaying-denied", "block" },
	{ 60, "auto-reply", "soft" },
	{ 70, "transient-failure", "soft" },
	{ 80, "subscribe", "admin" },
	{ 90, "unsubscribe", "hard" },
	{ 100, "challenge-response", "soft" },
};
static const char *const groups[] = { "hard", "soft", "block", "admin", "unknown" };

enum { ANY = 1000 }; /* in a glob: whatever stands there */

struct glob {
	uint16_t part[3];
};

struct rule {
	unsigned line;
	uint32_t class; /* index */
	unsigned ncodes, nstatuses;
	struct glob code[GLOBS_MAX], status[GLOBS_MAX];
	char *host, *domain; /* NULL: any */
	pcre2_code *pattern; /* NULL: any */
};

struct rules {
	struct class *class;
	uint32_t nclass;
	struct rule *rule;
	unsigned nrule;
	pcre2_match_context *bounds;
	pcre2_match_data *match;
};

/* ---- reading ---- */

struct reader {
	struct rules *r;
	pcre2_compile_context *how;
	char why[300];
};

static bool
bad(struct reader *rd, const char *what, struct slice word)
{
	snprintf(rd->why, sizeof rd->why, "%s: \"%.*s\"", what, (int)(word.n < 80 ? word.n : 80),
	    word.n > 0 ? word.p : "");
	return false;
}

static struct class *
class_find(const struct rules *r, uint64_t number)
{
	for (uint32_t i = 0; i < r->nclass; i++)
		if (r->class[i].number == number)
			return &r->class[i];
	return NULL;
}

static bool
next_word(struct slice *line, struct slice *word)
{
	size_t n = 0;

	*line = slice_trim(*line);
	while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t')
		n++;
	*word = slice_head(*line, n);
	*line = slice_trim(slice_from(*line, n));
	return n > 0;
}

static bool
is_name(struct slice s)
{
	if (s.n == 0 || s.n >= NAME_BYTES)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '-')
			return false;
	return true;
}

/* class NUMBER NAME GROUP */
static bool
read_class(struct reader *rd, struct slice line)
{
	struct rules *r = rd->r;
	struct slice number, name, group;
	struct class c = { 0 };
	uint64_t n;

	if (!next_word(&line, &number) || !slice_u64(number, &n) || n == 0 || n > 99999)
		return bad(rd, "not the number of a class, 1 to 99999", number);
	if (class_find(r, n) != NULL)
		return bad(rd, "this class is there already", number);
	if (!next_word(&line, &name) || !is_name(name))
		return bad(rd, "not a name: letters, digits and hyphens", name);
	next_word(&line, &group);
	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
		if (slice_is(group, groups[i]))
			slice_copy(group, c.group, sizeof c.group);
	if (c.group[0] == '\0')
		return bad(rd, "not hard, soft, block, admin or unknown", group);
	if (line.n > 0)
		return bad(rd, "more than class NUMBER NAME GROUP", line);
	if (r->nclass == RULES_CLASSES_MAX)
		return bad(rd, "too many classes", number);
	c.number = (uint32_t)n;
	slice_copy(name, c.name, sizeof c.name);
	r->class = xrealloc(r->class, (r->nclass + 1) * sizeof c);
	r->class[r->nclass++] = c;
	return true;
}

/* Three digits, each may be "?". */
static bool
code_glob(struct slice s, struct glob *g)
{
	if (s.n != 3)
		return false;
	for (int i = 0; i < 3; i++) {
		if (!ascii_digit(s.p[i]) && s.p[i] != '?')
			return false;
		g->part[i] = s.p[i] == '?' ? ANY : (uint16_t)(s.p[i] - '0');
	}
	return true;
}

/* Three numbers, each may be "?". */
static bool
status_glob(struct slice s, struct glob *g)
{
	for (int i = 0; i < 3; i++) {
		struct slice part;
		uint64_t v = ANY;

		if (!slice_next(&s, '.', &part) ||
		    (!slice_is(part, "?") && (!slice_u64(part, &v) || v > 999)))
			return false;
		g->part[i] = (uint16_t)v;
	}
	return s.p == NULL;
}

static bool
read_globs(
    struct slice list, bool (*one)(struct slice, struct glob *), struct glob *out, unsigned *n)
{
	struct slice part;

	while (slice_next(&list, ',', &part))
		if (*n == GLOBS_MAX || !one(part, &out[(*n)++]))
			return false;
	return true;
}

static bool
read_pattern(struct reader *rd, struct slice line, struct rule *rule)
{
	uint32_t options =
	    PCRE2_CASELESS | PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP;
	const char *last = memrchr(line.p, '/', line.n);
	struct slice flags;
	PCRE2_UCHAR text[160];
	PCRE2_SIZE at;
	int error;

	if (last == line.p)
		return bad(rd, "a pattern ends with a slash", line);
	flags = slice_trim(slice_from(line, (size_t)(last - line.p) + 1));
	if (flags.n > 0 && !slice_is(flags, "c"))
		return bad(rd, "behind a pattern nothing or c may stand", flags);
	if (flags.n > 0)
		options &= ~(uint32_t)PCRE2_CASELESS;
	line = slice_of(line.p + 1, (size_t)(last - line.p) - 1);
	if (line.n == 0)
		return bad(rd, "the pattern is empty", line);
	rule->pattern = pcre2_compile((PCRE2_SPTR)line.p, line.n, options, &error, &at, rd->how);
	if (rule->pattern != NULL)
		return true;
	pcre2_get_error_message(error, text, sizeof text);
	snprintf(rd->why, sizeof rd->why, "the pattern is wrong at its byte %zu: %s",
	    (size_t)at + 1, (char *)text);
	return false;
}

static bool
read_condition(struct reader *rd, struct slice word, struct rule *rule)
{
	ptrdiff_t equals = slice_find(word, '=');
	struct slice key = slice_head(word, equals < 0 ? 0 : (size_t)equals),
		     value = slice_from(word, (size_t)equals + 1);
	char **name = slice_is(key, "host")	? &rule->host
		      : slice_is(key, "domain") ? &rule->domain
						: NULL;

	if (equals < 0)
		return bad(
		    rd, "not a condition: code=, status=, host=, domain= or /pattern/", word);
	if (slice_is(key, "code") && rule->ncodes == 0)
		return read_globs(value, code_glob, rule->code, &rule->ncodes) ||
		       bad(rd, "not a list of reply codes", value);
	if (slice_is(key, "status") && rule->nstatuses == 0)
		return read_globs(value, status_glob, rule->status, &rule->nstatuses) ||
		       bad(rd, "not a list of status codes", value);
	if (name == NULL || *name != NULL || value.n == 0)
		return bad(rd,
		    name == NULL ? "no such condition, or given twice" : "given twice, or empty",
		    word);
	*name = slice_dup(value);
	return true;
}

static void
rule_fini(struct rule *rule)
{
	free(rule->host);
	free(rule->domain);
	pcre2_code_free(rule->pattern);
}

/* NUMBER CONDITION... [/PATTERN/] */
static bool
read_rule(struct reader *rd, struct slice number, struct slice line, struct rule *rule)
{
	struct slice word, rest = line;
	const struct class *c;
	uint64_t n;

	if (!slice_u64(number, &n))
		return bad(rd, "not a number of a class, nor the word class", number);
	c = class_find(rd->r, n);
	if (c == NULL)
		return bad(rd, "no class has this number", number);
	rule->class = (uint32_t)(c - rd->r->class);
	if (rest.n == 0)
		return bad(rd, "a rule without conditions", number);
	while (rest.n > 0) {
		if (rest.p[0] == '/')
			return read_pattern(rd, rest, rule);
		next_word(&rest, &word);
		if (!read_condition(rd, word, rule))
			return false;
	}
	return true;
}

static bool
read_line(struct reader *rd, struct slice line, unsigned number)
{
	struct rules *r = rd->r;
	struct rule rule = { .line = number };
	struct slice word;

	if (line.n > RULES_LINE_MAX)
		return bad(rd, "the line is too long", slice_head(line, 40));
	if (memchr(line.p, '\0', line.n) != NULL)
		return bad(rd, "a zero byte", SLICE_NONE);
	if (!next_word(&line, &word) || word.p[0] == '#')
		return true;
	if (slice_is(word, "class"))
		return read_class(rd, line);
	if (r->nrule == RULES_MAX)
		return bad(rd, "too many rules", word);
	if (!read_rule(rd, word, line, &rule)) {
		rule_fini(&rule);
		return false;
	}
	r->rule = xrealloc(r->rule, (r->nrule + 1) * sizeof rule);
	r->rule[r->nrule++] = rule;
	return true;
}

struct rules *
rules_none(void)
{
	struct rules *r = xcalloc(1, sizeof *r);

	r->class = xmalloc(sizeof builtin);
	memcpy(r->class, builtin, sizeof builtin);
	r->nclass = sizeof builtin / sizeof *builtin;
	r->bounds = pcre2_match_context_create(NULL);
	r->match = pcre2_match_data_create(1, NULL);
	if (r->bounds == NULL || r->match == NULL)
		die(EXIT_TEMP, "out of memory");
	pcre2_set_match_limit(r->bounds, MATCH_STEPS);
	pcre2_set_depth_limit(r->bounds, MATCH_DEPTH);
	pcre2_set_heap_limit(r->bounds, MATCH_HEAP_KIB);
	return r;
}

int
rules_parse(struct slice text, const char *name, struct rules **out, struct buf *err)
{
	struct reader rd = { .r = rules_none(), .how = pcre2_compile_context_create(NULL) };
	struct slice line;
	unsigned number = 0;
	bool ok = text.n <= RULES_FILE_MAX;

	if (rd.how == NULL)
		die(EXIT_TEMP, "out of memory");
	pcre2_set_parens_nest_limit(rd.how, PATTERN_DEPTH);
	if (!ok)
		snprintf(rd.why, sizeof rd.why, "the file is too large");
	while (ok && slice_next(&text, '\n', &line)) {
		number++;
		ok = read_line(&rd, line, number);
	}
	pcre2_compile_context_free(rd.how);
	if (ok) {
		*out = rd.r;
		return 0;
	}
	buf_printf(err, "%s:%u: ", name, number);
	for (const char *p = rd.why; *p != '\0'; p++)
		buf_putc(err, (unsigned char)*p < ' ' || *p == 0x7f ? '?' : *p);
	rules_free(rd.r);
	return -EINVAL;
}

void
rules_free(struct rules *r)
{
	if (r == NULL)
		return;
	for (unsigned i = 0; i < r->nrule; i++)
		rule_fini(&r->rule[i]);
	free(r->rule);
	free(r->class);
	pcre2_match_data_free(r->match);
	pcre2_match_context_free(r->bounds);
	free(r);
}

unsigned
rules_count(const struct rules *r)
{
	return r->nrule;
}

/* ---- asking ---- */

static bool
glob_holds(const struct glob *g, const uint16_t part[3])
{
	for (int i = 0; i < 3; i++)
		if (g->part[i] != ANY && g->part[i] != part[i])
			return false;
	return true;
}

static bool
any_holds(const struct glob *g, unsigned n, const uint16_t part[3])
{
	bool any = n == 0;

	for (unsigned i = 0; i < n && !any; i++)
		any = glob_holds(&g[i], part);
	return any;
}

/* The name itself or one below it. */
static bool
name_holds(const char *want, struct slice name)
{
	size_t n = strlen(want);

	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	return slice_iends(name, slice_of(want, n)) &&
	       (name.n == n || name.p[name.n - n - 1] == '.');
}

static bool
pattern_holds(const struct rules *r, const struct rule *rule, struct slice text, bool *stalled)
{
	int got;

	if (rule->pattern == NULL)
		return true;
	got = pcre2_match(rule->pattern, (PCRE2_SPTR)(text.p == NULL ? "" : text.p), text.n, 0, 0,
	    r->match, r->bounds);
	if (got < 0 && got != PCRE2_ERROR_NOMATCH)
		*stalled = true;
	return got >= 0;
}

static bool
rule_holds(const struct rules *r, const struct rule *rule, const struct reply *reply, bool *stalled)
{
	const uint16_t code[3] = { reply->code / 100, reply->code / 10 % 10, reply->code % 10 };

	if (rule->ncodes > 0 && (reply->code == 0 || !any_holds(rule->code, rule->ncodes, code)))
		return false;
	if (rule->nstatuses > 0 &&
	    (reply->enh[0] == 0 || !any_holds(rule->status, rule->nstatuses, reply->enh)))
		return false;
	if (rule->host != NULL && !name_holds(rule->host, reply->host))
		return false;
	if (rule->domain != NULL && !name_holds(rule->domain, reply->domain))
		return false;
	return pattern_holds(r, rule, slice_head(reply->text, RULES_TEXT_MAX), stalled);
}

void
rules_classify(const struct rules *r, const struct reply *reply, struct verdict *out)
{
	const struct class *c = &r->class[0];

	assert(c->number == RULES_CLASS_UNDETERMINED);
	*out = (struct verdict){ 0 };
	for (unsigned i = 0; i < r->nrule; i++) {
		if (!rule_holds(r, &r->rule[i], reply, &out->stalled))
			continue;
		c = &r->class[r->rule[i].class];
		out->line = r->rule[i].line;
		break;
	}
	out->number = c->number;
	out->name = c->name;
	out->group = c->group;
}
