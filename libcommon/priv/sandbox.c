/* SPDX-License-Identifier: ISC */
#include "priv/sandbox.h"

#include "base/die.h"
#include "priv/calls.h"
#include "priv/landlock.h"
#include "priv/sanitizer.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static int
limit(int resource, uint64_t value, bool soft)
{
	struct rlimit r;

	if (getrlimit((__rlimit_resource_t)resource, &r) != 0)
		return -errno;
	/* The hard limit may be below what the row says: then it holds. */
	r.rlim_cur = value < r.rlim_max ? value : r.rlim_max;
	if (!soft)
		r.rlim_max = r.rlim_cur;
	return setrlimit((__rlimit_resource_t)resource, &r) != 0 ? -errno : 0;
}

static unsigned
limit_of_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return 0;
	return r.rlim_cur < UINT_MAX ? (unsigned)r.rlim_cur : UINT_MAX;
}

/* As the sandbox was entered: within it there is no call that tells. */
static unsigned descriptors;

unsigned
sandbox_descriptors(void)
{
	return descriptors != 0 ? descriptors : limit_of_descriptors();
}

static int
set_limits(const struct profile_row *row)
{
	bool soft = (row->calls & CALLS_FORK) != 0;
	int err = limit(RLIMIT_CORE, 0, false);

	if (err == 0)
		err = limit(RLIMIT_NOFILE, row->nofile, soft);
	descriptors = limit_of_descriptors();
	if (err == 0 && row->fsize_mib != 0)
		err = limit(RLIMIT_FSIZE, (uint64_t)row->fsize_mib << 20, soft);
#ifndef ANG_SAN /* shadow memory takes terabytes of addresses */
	if (err == 0 && row->as_mib != 0)
		err = limit(RLIMIT_AS, (uint64_t)row->as_mib << 20, soft);
#endif
	return err;
}

static bool
row_has(const struct profile_row *row, const struct call *c)
{
	return c->nr >= 0 && ((row->calls | CALLS_SANITIZER) & c->group) != 0;
}

static int
add_calls(scmp_filter_ctx ctx, const struct profile_row *row)
{
	size_t n;
	const struct call *c = calls_table(&n);
	int err = 0;

	for (size_t i = 0; i < n && err == 0; i++)
		if (row_has(row, &c[i]))
			err = seccomp_rule_add_array(
			    ctx, SCMP_ACT_ALLOW, c[i].nr, c[i].nargs, c[i].args);
	/* So that glibc takes clone, whose flags can be looked at. */
	if (err == 0)
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return err;
}

static int
filter_calls(const struct profile_row *row, bool kill)
{
	scmp_filter_ctx ctx = seccomp_init(kill ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM));
	int err;

	if (ctx == NULL)
		return -ENOMEM;
	err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (err == 0)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
	if (err == 0)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	/* The kernel's own errno, not libseccomp's word for it. */
	if (err == 0)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_API_SYSRAWRC, 1);
	if (err == 0)
		err = add_calls(ctx, row);
	if (err == 0)
		err = seccomp_load(ctx);
	seccomp_release(ctx);
	return err;
}

/* The kernel looks at the low 32 bits of an id, a comparison at all: what has more is refused as well. */
static int
refuse_below(scmp_filter_ctx ctx, int call, unsigned arg, uint32_t min)
{
	int err = seccomp_rule_add(
	    ctx, SCMP_ACT_ERRNO(EPERM), call, 1, SCMP_CMP(arg, SCMP_CMP_LT, min, 0));

	if (err == 0)
		err = seccomp_rule_add(
		    ctx, SCMP_ACT_ERRNO(EPERM), call, 1, SCMP_CMP(arg, SCMP_CMP_GT, UINT32_MAX, 0));
	return err;
}

/*
 * Beside the list, for who may become others: no user below uid_min, and no group 0. A list of what
 * is allowed cannot say "not these numbers", a second filter that allows all else can. -1 stays
 * allowed: it changes nothing.
 */
static int
filter_ids(const struct profile_row *row, uint32_t uid_min)
{
	scmp_filter_ctx ctx;
	int err = 0;

	if ((row->calls & CALLS_BECOME) == 0)
		return 0;
	ctx = seccomp_init(SCMP_ACT_ALLOW);
	if (ctx == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < 3 && err == 0; i++) {
		err = refuse_below(ctx, SCMP_SYS(setresuid), i, uid_min > 0 ? uid_min : 1);
		if (err == 0)
			err = refuse_below(ctx, SCMP_SYS(setresgid), i, 1);
	}
	if (err == 0)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_API_SYSRAWRC, 1);
	if (err == 0)
		err = seccomp_load(ctx);
	seccomp_release(ctx);
	return err;
}

int
sandbox_try(enum profile p, const struct sandbox *s, const char **step)
{
	const struct profile_row *row = profile_row(p);
	int err;

	sanitizer_no_leak_check();
	*step = "be another user than root";
	if (geteuid() == 0)
		return -EPERM;
	*step = "have one thread";
	if (unshare(CLONE_THREAD) != 0)
		return -errno;
	*step = "setrlimit";
	err = set_limits(row);
	if (err != 0)
		return err;
	*step = "no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -errno;
	*step = "not dumpable";
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return -errno;
	*step = "landlock";
	err = landlock_enter(row, s->dir, s->more, s->nmore, landlock_abi());
	if (err != 0)
		return err;
	*step = "seccomp";
	err = filter_ids(row, s->uid_min);
	return err != 0 ? err : filter_calls(row, s->kill);
}

void
sandbox_enter(enum profile p, const struct sandbox *s)
{
	const char *step;
	int err = sandbox_try(p, s, &step);

	if (err != 0)
		die(EXIT_TEMP, "cannot enter the sandbox of %s: %s: %s", profile_row(p)->word, step,
		    strerror(-err));
}

int
sandbox_landlock_abi(void)
{
	return landlock_abi();
}

/* Rows of one call stand for one. */
static bool
listed_before(const struct profile_row *row, const struct call *c, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (c[k].nr == c[i].nr && row_has(row, &c[k]))
			return true;
	return false;
}

unsigned
sandbox_list_length(enum profile p)
{
	size_t n;
	const struct call *c = calls_table(&n);
	unsigned count = 0;

	for (size_t i = 0; i < n; i++)
		count += row_has(profile_row(p), &c[i]) && !listed_before(profile_row(p), c, i);
	return count;
}

bool
sandbox_lists(enum profile p, int nr)
{
	size_t n;
	const struct call *c = calls_table(&n);

	for (size_t i = 0; i < n; i++)
		if (c[i].nr == nr && row_has(profile_row(p), &c[i]))
			return true;
	return false;
}
