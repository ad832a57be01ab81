/* SPDX-License-Identifier: ISC */
#include "base/service.h"

#include <string.h>

static const struct {
	const char *word, *user;
} table[] = {
#define S(NAME, word, user, index) [index] = { word, user },
	SERVICES(S)
#undef S
};

const char *
service_word(enum service s)
{
	if (s == SERVICE_CTL)
		return "angctl";
	return (unsigned)s < SERVICE_COUNT ? table[s].word : "?";
}

const char *
service_user(enum service s)
{
	return (unsigned)s < SERVICE_COUNT ? table[s].user : "?";
}

enum service
service_of(const char *word)
{
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		if (strcmp(table[i].word, word) == 0)
			return (enum service)i;
	return SERVICE_NONE;
}

const char *
class_word(uint8_t c)
{
	static const char *const words[] = { "?", "mx", "submission", "local", "bounced" };

	return c < sizeof words / sizeof *words ? words[c] : "?";
}
