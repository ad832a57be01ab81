/* SPDX-License-Identifier: ISC */
#include "priv/profiles.h"

#include <assert.h>

#define TCP_OF_NO TCP_NO
#define TCP_OF_CONNECT TCP_CONNECT

static const struct profile_row rows[PROFILE_COUNT] = {
#define P(NAME, word, service, parent, calls, conf, spool, drop, log, tcp, nofile, fsize, as, ...) \
	[PROFILE_##NAME] = { word, SERVICE_##service, PROFILE_##parent, calls,                     \
		{ BENEATH_##conf, BENEATH_##spool, BENEATH_##drop, BENEATH_##log }, TCP_OF_##tcp,  \
		nofile, fsize, as, __VA_ARGS__ },
	PROFILES(P)
#undef P
};

const struct profile_row *
profile_row(enum profile p)
{
	assert((unsigned)p < PROFILE_COUNT);
	return &rows[p];
}

enum profile
profile_of_service(enum service s)
{
	for (unsigned i = 0; i < PROFILE_COUNT; i++)
		if (rows[i].service == s && rows[i].parent == (enum profile)i)
			return (enum profile)i;
	return PROFILE_COUNT;
}
