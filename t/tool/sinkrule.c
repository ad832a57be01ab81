/* SPDX-License-Identifier: ISC */
#include "t/tool/sinkrule.h"

#include <errno.h>
#include <stdlib.h>

enum { RULES_MAX = 64 };

struct rule {
	enum sink_phase phase;
	double p;
	uint64_t after, times, seen, struck;
	const char *match;
	struct sink_answer answer;
};

static const char *const phase_words[SINK_PHASES] = {
	[SINK_CONNECT] = "connect",
	[SINK_EHLO] = "ehlo",
	[SINK_HELO] = "helo",
	[SINK_MAIL] = "mail",
	[SINK_RCPT] = "rcpt",
	[SINK_DATA] = "data",
	[SINK_BODY] = "body",
	[SINK_DOT] = "dot",
	[SINK_RSET] = "rset",
	[SINK_NOOP] = "noop",
	[SINK_QUIT] = "quit",
};

static struct rule rules[RULES_MAX];
static size_t nrules;
static uint64_t random_state = 1;

void
sinkrule_seed(uint64_t seed)
{
	random_state = seed * 2 + 1;
}

/* xorshift64*: the same seed gives the same run. */
static double
random_unit(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (double)(random_state * 0x2545f4914f6cdd1dULL >> 11) / 9007199254740992.0;
}

static bool
set_word(struct rule *r, const char *key, const char *value)
{
	uint64_t n = 0;
	bool number = slice_u64(slice_z(value), &n);

	if (strcmp(key, "p") == 0)
		return (r->p = strtod(value, NULL)) >= 0 && r->p <= 1;
	if (strcmp(key, "match") == 0)
		return (r->match = value) != NULL;
	if (strcmp(key, "after") == 0)
		r->after = n;
	else if (strcmp(key, "times") == 0)
		r->times = n;
	else if (strcmp(key, "delay") == 0)
		r->answer.delay_ms = (unsigned)n;
	else
		return false;
	return number;
}

static void
set_reply(struct rule *r, char *reply)
{
	char *out = reply;

	r->answer.drop = strcmp(reply, "drop") == 0 || reply[0] == '!';
	r->answer.stall = strcmp(reply, "stall") == 0;
	r->answer.reply = r->answer.stall || strcmp(reply, "drop") == 0 ? ""
			  : reply[0] == '!'				? reply + 1
									: reply;
	for (const char *in = reply; *in != '\0'; in++)
		if (in[0] == '\\' && in[1] == 'n') {
			*out++ = '\n';
			in++;
		} else {
			*out++ = *in;
		}
	*out = '\0';
}

int
sinkrule_add(char *text)
{
	struct rule *r = &rules[nrules];
	size_t n = strcspn(text, ",=");
	char sep = text[n];

	if (nrules == RULES_MAX || sep == '\0')
		return -EINVAL;
	*r = (struct rule){ .phase = SINK_PHASES, .p = 1, .times = UINT64_MAX };
	text[n] = '\0';
	for (enum sink_phase p = 0; p < SINK_PHASES; p++)
		if (strcmp(text, phase_words[p]) == 0)
			r->phase = p;
	text += n + 1;
	while (sep == ',') {
		char *key = text, *value = strchr(text, '=');

		if (value == NULL)
			return -EINVAL;
		*value++ = '\0';
		n = strcspn(value, ",=");
		sep = value[n];
		if (sep == '\0')
			return -EINVAL;
		value[n] = '\0';
		text = value + n + 1;
		if (!set_word(r, key, value))
			return -EINVAL;
	}
	if (r->phase == SINK_PHASES)
		return -EINVAL;
	set_reply(r, text);
	nrules++;
	return 0;
}

bool
sinkrule_strikes(enum sink_phase phase, struct slice arg, struct sink_answer *a)
{
	for (struct rule *r = rules; r < rules + nrules; r++) {
		if (r->phase != phase)
			continue;
		if (r->match != NULL &&
		    (arg.n == 0 || memmem(arg.p, arg.n, r->match, strlen(r->match)) == NULL))
			continue;
		if (r->seen++ < r->after || r->struck >= r->times ||
		    (r->p < 1 && random_unit() >= r->p))
			continue;
		r->struck++;
		*a = r->answer;
		return true;
	}
	return false;
}
