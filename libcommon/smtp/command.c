/* SPDX-License-Identifier: ISC */
#include "smtp/command.h"

#include "smtp/chars.h"

static const struct slice verbs[VERB_COUNT] = { [VERB_UNKNOWN] = { "?", 1 },
#define V(name) [VERB_##name] = { #name, sizeof #name - 1 },
	COMMAND_VERBS(V)
#undef V
};

static enum verb
verb_of(struct slice word)
{
	for (unsigned v = VERB_UNKNOWN + 1; v < VERB_COUNT; v++)
		if (verbs[v].n == word.n && ascii_lower(*verbs[v].p) == ascii_lower(*word.p) &&
		    slice_ieq(verbs[v], word))
			return (enum verb)v;
	return VERB_UNKNOWN;
}

bool
command_parse(struct slice line, struct command *out)
{
	size_t n = 0;

	while (n < line.n && line.p[n] != ' ' && line.p[n] != '\t')
		n++;
	out->word = slice_head(line, n);
	out->arg = n == line.n ? slice_of(line.p + n, 0) : slice_trim(slice_from(line, n));
	out->verb = n == 0 ? VERB_UNKNOWN : verb_of(out->word);
	return out->verb != VERB_UNKNOWN;
}

bool
command_take(struct slice *arg, const char *word)
{
	if (!slice_istarts(*arg, word))
		return false;
	*arg = slice_from(*arg, strlen(word));
	return true;
}

bool
command_string_valid(struct slice arg)
{
	if (arg.n == 0)
		return false;
	if (arg.p[0] != '"')
		return chars_all(arg, CHARS_ATEXT);
	for (size_t i = 1; i < arg.n; i++) {
		if (arg.p[i] == '"')
			return i > 1 && i + 1 == arg.n;
		if (arg.p[i] == '\\' && ++i == arg.n)
			return false;
		if (!chars_is(arg.p[i], CHARS_VISIBLE))
			return false;
	}
	return false;
}

const char *
command_verb_word(enum verb verb)
{
	return (unsigned)verb < VERB_COUNT ? verbs[verb].p : "?";
}
