/* SPDX-License-Identifier: ISC */
#include "ctl/sendmail_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct parse {
	struct sendmail_options *o;
	char *why;
	size_t why_size;
};

/*
 * How a letter takes its value: not at all, glued or as the next word, glued only. Those without a
 * function are taken and do nothing here: Sendmail's and Postfix's callers may go on using them.
 */
enum takes { NO_VALUE, VALUE, GLUED };

struct letter {
	char c;
	enum takes takes;
	int (*set)(struct parse *p, const char *value);
};

static int
wrong(struct parse *p, const char *what, const char *value)
{
	snprintf(p->why, p->why_size, "%s: %.200s", what, value);
	for (char *c = p->why; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return -1;
}

static int
set_error_mode(struct parse *p, const char *value)
{
	switch (value[0]) {
	case 'p':
		p->o->errors = SENDMAIL_ERRORS_PRINT;
		return 0;
	case 'q':
		p->o->errors = SENDMAIL_ERRORS_QUIET;
		return 0;
	case 'm':
	case 'w':
		p->o->errors = SENDMAIL_ERRORS_MAIL;
		return 0;
	case 'e':
		p->o->errors = SENDMAIL_ERRORS_EXIT0;
		return 0;
	}
	return wrong(p, "unknown error mode", value);
}

static int
set_mode(struct parse *p, const char *value)
{
	static const struct {
		char c;
		enum sendmail_mode mode;
	} modes[] = {
		{ 'm', SENDMAIL_SUBMIT },
		{ 's', SENDMAIL_SMTP },
		{ 'v', SENDMAIL_VERIFY },
		{ 'p', SENDMAIL_QUEUE },
		{ 'i', SENDMAIL_ALIASES },
		{ 'd', SENDMAIL_DAEMON },
		{ 'D', SENDMAIL_DAEMON },
		{ 'l', SENDMAIL_DAEMON },
		{ 'h', SENDMAIL_HOST_STATUS },
		{ 'H', SENDMAIL_HOST_STATUS },
	};

	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		/* "-bdf" is the daemon in the foreground; no other mode has a second letter. */
		if (value[0] == modes[i].c && (value[1] == '\0' || strcmp(value, "df") == 0)) {
			p->o->mode = modes[i].mode;
			return 0;
		}
	return wrong(p, "unknown mode -b", value);
}

static int
set_body(struct parse *p, const char *value)
{
	p->o->seven_bit = strcasecmp(value, "7BIT") == 0;
	p->o->eight_bit = strcasecmp(value, "8BITMIME") == 0;
	return p->o->seven_bit || p->o->eight_bit ? 0 : wrong(p, "unknown body type -B", value);
}

static int
set_sender(struct parse *p, const char *value)
{
	p->o->sender_given = true;
	p->o->sender = value;
	return 0;
}

static int
set_name(struct parse *p, const char *value)
{
	p->o->name = value;
	return 0;
}

static int
set_gateway(struct parse *p, const char *value)
{
	(void)value;
	p->o->gateway = true;
	return 0;
}

static int
set_dots(struct parse *p, const char *value)
{
	(void)value;
	p->o->dots_literal = true;
	return 0;
}

static int
set_aliases(struct parse *p, const char *value)
{
	(void)value;
	p->o->mode = SENDMAIL_ALIASES;
	return 0;
}

static int
set_extract(struct parse *p, const char *value)
{
	(void)value;
	p->o->extract = true;
	return 0;
}

static int
set_verbose(struct parse *p, const char *value)
{
	(void)value;
	p->o->verbose = true;
	return 0;
}

/* RFC 3461 section 4.1: NEVER alone, or a list of the others. */
static int
set_notify(struct parse *p, const char *value)
{
	struct slice rest = slice_z(value), word;

	p->o->notify = value;
	if (strcasecmp(value, "never") == 0)
		return 0;
	while (slice_next(&rest, ',', &word))
		if (!slice_iis(word, "success") && !slice_iis(word, "failure") &&
		    !slice_iis(word, "delay"))
			return wrong(p, "unknown condition -N", value);
	return 0;
}

static int
set_ret(struct parse *p, const char *value)
{
	p->o->ret = strcasecmp(value, "full") == 0   ? "FULL"
		    : strcasecmp(value, "hdrs") == 0 ? "HDRS"
						     : NULL;
	return p->o->ret != NULL ? 0 : wrong(p, "-R takes full or hdrs, not", value);
}

/* RFC 3461 section 4.4: at most 100 printable characters before encoding. */
static int
set_envid(struct parse *p, const char *value)
{
	size_t n = strlen(value);

	for (size_t i = 0; i < n; i++)
		if (value[i] < ' ' || value[i] > '~')
			return wrong(p, "not printable", "-V");
	if (n > 100)
		return wrong(p, "longer than 100 characters", "-V");
	p->o->envid = n > 0 ? value : NULL;
	return 0;
}

/* -q: now. -q30m, -qp: a runner we do not need. -qf: as -q, which is in the foreground anyway. */
static int
set_flush(struct parse *p, const char *value)
{
	if (p->o->mode == SENDMAIL_DAEMON)
		return 0; /* -bd -q30m */
	p->o->flush = "";
	p->o->mode = SENDMAIL_FLUSH;
	if (value[0] == 'I' || value[0] == 'R' || value[0] == 'S')
		p->o->flush = value;
	else if (value[0] == '!' || value[0] == 'Q' || value[0] == 'L')
		return wrong(p, "selection not supported -q", value);
	else if (value[0] != '\0' && strcmp(value, "f") != 0)
		p->o->mode = SENDMAIL_NOTHING;
	return 0;
}

static int
set_debug(struct parse *p, const char *value)
{
	if (strcmp(value, "0") == 0 || strncmp(value, "0.", 2) == 0)
		p->o->mode = SENDMAIL_VERSION;
	return 0;
}

/* Sendmail's booleans: nothing, "t", "y", "1" and more are true. */
static bool
is_true(const char *value)
{
	return strchr("fFnN0", value[0]) == NULL || value[0] == '\0';
}

/* -o and one letter, the value behind it. All letters are taken. */
static int
set_short(struct parse *p, const char *value)
{
	switch (value[0]) {
	case 'i':
		p->o->dots_literal = is_true(value + 1);
		return 0;
	case 'e':
		return value[1] == '\0' ? 0 : set_error_mode(p, value + 1);
	case 'v':
		p->o->verbose = is_true(value + 1);
		return 0;
	case 'A':
		p->o->aliases = value[1] != '\0' ? value + 1 : NULL;
		return 0;
	}
	return 0;
}

/* -O Name=value, by the names of Sendmail. */
static int
set_long(struct parse *p, const char *value)
{
	const char *eq = strchr(value, '=');
	struct slice name = slice_of(value, eq != NULL ? (size_t)(eq - value) : strlen(value));
	const char *v = eq != NULL ? eq + 1 : "";

	if (slice_iis(name, "IgnoreDots"))
		p->o->dots_literal = is_true(v);
	else if (slice_iis(name, "ErrorMode"))
		return set_error_mode(p, v);
	else if (slice_iis(name, "Verbose"))
		p->o->verbose = is_true(v) && v[0] != '\0';
	return 0;
}

static const struct letter letters[] = {
	{ 'A', VALUE, NULL },
	{ 'B', VALUE, set_body },
	{ 'C', VALUE, NULL },
	{ 'D', VALUE, NULL },
	{ 'E', NO_VALUE, NULL },
	{ 'F', VALUE, set_name },
	{ 'G', NO_VALUE, set_gateway },
	{ 'I', NO_VALUE, set_aliases },
	{ 'J', NO_VALUE, NULL },
	{ 'L', VALUE, NULL },
	{ 'N', VALUE, set_notify },
	{ 'O', VALUE, set_long },
	{ 'R', VALUE, set_ret },
	{ 'U', NO_VALUE, NULL },
	{ 'V', VALUE, set_envid },
	{ 'X', VALUE, NULL },
	{ 'b', VALUE, set_mode },
	{ 'c', NO_VALUE, NULL },
	{ 'd', GLUED, set_debug },
	{ 'e', VALUE, set_error_mode },
	{ 'f', VALUE, set_sender },
	{ 'h', VALUE, NULL },
	{ 'i', NO_VALUE, set_dots },
	{ 'm', NO_VALUE, NULL },
	{ 'n', NO_VALUE, NULL },
	{ 'o', VALUE, set_short },
	{ 'p', VALUE, NULL },
	{ 'q', GLUED, set_flush },
	{ 'r', VALUE, set_sender },
	{ 's', NO_VALUE, NULL },
	{ 't', NO_VALUE, set_extract },
	{ 'v', NO_VALUE, set_verbose },
	{ 'x', NO_VALUE, NULL },
};

static const struct letter *
letter_of(char c)
{
	for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
		if (letters[i].c == c)
			return &letters[i];
	return NULL;
}

/* One word that begins with "-": a cluster whose last letter may take the rest, or the next word.
 */
static int
read_word(struct parse *p, const char *word, const char *next, bool *used_next)
{
	*used_next = false;
	for (word++; *word != '\0'; word++) {
		const struct letter *l = letter_of(*word);
		const char *value = "";

		if (l == NULL)
			return wrong(p, "unknown option", (char[]){ '-', *word, '\0' });
		if (l->takes != NO_VALUE)
			value = word + 1;
		if (l->takes == VALUE && *value == '\0') {
			if (next == NULL)
				return wrong(p, "value missing", (char[]){ '-', *word, '\0' });
			value = next;
			*used_next = true;
		}
		if (l->set != NULL && l->set(p, value) < 0)
			return -1;
		if (l->takes != NO_VALUE)
			break;
	}
	return 0;
}

static void
set_by_name(struct sendmail_options *o, const char *argv0)
{
	static const struct {
		const char *name;
		enum sendmail_mode mode;
	} names[] = {
		{ "mailq", SENDMAIL_QUEUE },
		{ "newaliases", SENDMAIL_ALIASES },
		{ "hoststat", SENDMAIL_HOST_STATUS },
		{ "purgestat", SENDMAIL_HOST_STATUS },
		{ "runq", SENDMAIL_FLUSH },
	};
	const char *slash = strrchr(argv0, '/');
	const char *name = slash != NULL ? slash + 1 : argv0;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i].name) == 0)
			o->mode = names[i].mode;
	if (strcmp(name, "rmail") == 0) {
		o->rmail = o->gateway = o->dots_literal = true;
		o->errors = SENDMAIL_ERRORS_EXIT0;
	}
}

int
sendmail_options_parse(
    int argc, char **argv, struct sendmail_options *out, char *why, size_t why_size)
{
	struct parse p = { .o = out, .why = why, .why_size = why_size };
	int at = 1;

	*out = (struct sendmail_options){ .flush = "" };
	if (argc < 1 || argv[0] == NULL)
		return wrong(&p, "called without a name", "sendmail");
	set_by_name(out, argv[0]);
	while (at < argc && argv[at][0] == '-' && argv[at][1] != '\0') {
		bool used_next;

		if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		}
		if (read_word(&p, argv[at], argv[at + 1], &used_next) < 0)
			return -1;
		at += used_next ? 2 : 1;
	}
	out->words = argv + at;
	out->n_words = argc - at;
	return 0;
}
