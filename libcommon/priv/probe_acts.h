/* SPDX-License-Identifier: ISC */
#ifndef PRIV_PROBE_ACTS_H
#define PRIV_PROBE_ACTS_H

#include "priv/probe.h"

#include <stddef.h>

/* What an act is tried on, from the probe's environment. */
enum act_on { ON_NOTHING, ON_SEGMENT, ON_VICTIM, ON_ABSTRACT, ON_OUTSIDER };

struct act {
	const char *name;
	enum act_on on;
	unsigned permitted;			/* rows with one of these call groups may do it */
	int also;				/* an errno that is a refusal too */
	int needs_abi;				/* of Landlock, where nothing else can refuse it */
	int (*fn)(const struct probe_env *env); /* 0 or the errno; NULL: a bare call */
	long nr;
	long args[5];
};

const struct act *acts_table(size_t *n);
int act_raw(const struct act *a);

#endif
