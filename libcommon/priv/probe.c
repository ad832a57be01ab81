/* SPDX-License-Identifier: ISC */
#include "priv/probe.h"

#include "priv/probe_acts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void
say(const struct probe_env *env, const char *verdict, const char *name, int err)
{
	char line[128];
	const char *word = err != 0 ? strerrorname_np(err) : "";
	int n = snprintf(line, sizeof line, "%s %s%s%s\n", verdict, name, err != 0 ? " " : "",
	    word != NULL ? word : "?");

	if (write(env->out, line, (size_t)n) < 0)
		return; /* the exit status still tells */
}

/* Does env hold what the act is tried on? */
static bool
can_try(const struct probe_env *env, const struct act *a)
{
	switch (a->on) {
	case ON_NOTHING:
		return true;
	case ON_SEGMENT:
		return env->segment >= 0;
	case ON_VICTIM:
		return env->victim != NULL;
	case ON_ABSTRACT:
		return env->abstract != NULL;
	case ON_OUTSIDER:
		return env->outsider > 0;
	}
	return false;
}

/*
 * Only what says "you may not" is a refusal; any other error means that the call was let through.
 */
static bool
is_refusal(const struct act *a, int err)
{
	return err == EPERM || err == EACCES || (err != 0 && err == a->also);
}

static bool
try(const struct probe_env *env, const struct act *a)
{
	int err;

	if (env->landlock_abi < a->needs_abi) {
		say(env, "absent", a->name, ENOSYS);
		return true;
	}
	err = a->fn != NULL ? a->fn(env) : act_raw(a);
	if (is_refusal(a, err))
		say(env, "refused", a->name, err);
	else if ((profile_row(env->profile)->calls & a->permitted) != 0)
		say(env, "permitted", a->name, err);
	else if (err == ENOSYS || err == EAFNOSUPPORT)
		say(env, "absent", a->name, err);
	else {
		say(env, "ALLOWED", a->name, err);
		return false;
	}
	return true;
}

bool
probe_run(const struct probe_env *env)
{
	size_t n;
	const struct act *acts = acts_table(&n);
	bool good = true;

	for (size_t i = 0; i < n; i++)
		if (can_try(env, &acts[i]))
			good &= try(env, &acts[i]);
	return good;
}
