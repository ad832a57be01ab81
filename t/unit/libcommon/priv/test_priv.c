/* SPDX-License-Identifier: ISC */
#include "base/die.h"
#include "priv/ids.h"

#include "../../check_main.h"
#include "jail.h"

#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* Dropping privileges: each step fails once, and each lies once. */

static const struct {
	const char *name;
	int nr;
	long arg; /* -1: whatever the first argument */
	const char *step;
} steps[] = {
	{ "chroot", SYS_chroot, -1, "chroot" },
	{ "setgroups", SYS_setgroups, -1, "setgroups" },
	{ "bounding", SYS_prctl, PR_CAPBSET_DROP, "drop the bounding set" },
	{ "setresgid", SYS_setresgid, -1, "setresgid" },
	{ "setresuid", SYS_setresuid, -1, "setresuid" },
	{ "ambient", SYS_prctl, PR_CAP_AMBIENT, "drop capabilities" },
	{ "capset", SYS_capset, -1, "drop capabilities" },
};

struct
try {
	int nr, err;
	long arg;
	const char *step;
};

static void
inject(const struct try *t)
{
	if (t->arg < 0)
		jail_inject(t->nr, t->err);
	else
		jail_inject_arg(t->nr, (unsigned long)t->arg, t->err);
}

static void
drop_fails(void *arg)
{
	const struct try *t = arg;
	const char *step = "";

	inject(t);
	JAIL_CHECK(priv_try_drop(JAIL_UID, JAIL_UID, true, &step) == -t->err);
	JAIL_CHECK(strcmp(step, t->step) == 0);
}

static void
drop_ends(void *arg)
{
	jail_quiet();
	inject(arg);
	priv_drop(JAIL_UID, JAIL_UID, true); /* must not return */
}

START_TEST(each_failing_step_ends_the_process)
{
	static const int errs[] = { EPERM, EAGAIN };
	unsigned n = sizeof steps / sizeof *steps;
	struct try t = { steps[(unsigned)_i % n].nr, errs[(unsigned)_i / n],
		steps[(unsigned)_i % n].arg, steps[(unsigned)_i % n].step };
	int status;

	ck_assert_msg(jail_child(drop_fails, &t) == 0, "%s", t.step);
	status = jail_child(drop_ends, &t);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_TEMP, "%s: status %x",
	    steps[(unsigned)_i % n].name, (unsigned)status);
}
END_TEST

static void
drop_lies(void *arg)
{
	const struct try *t = arg;
	const char *step = "";
	gid_t group = 5;

	JAIL_CHECK(setgroups(1, &group) == 0);
	inject(t);
	JAIL_CHECK(priv_try_drop(JAIL_UID, JAIL_UID, false, &step) == -EPERM);
	JAIL_CHECK(strcmp(step, "be that user and nobody else") == 0);
}

START_TEST(a_step_that_lies_is_seen)
{
	static const int nrs[] = { SYS_setgroups, SYS_setresgid, SYS_setresuid };
	struct try t = { nrs[_i], 0, -1, "" };

	ck_assert_int_eq(jail_child(drop_lies, &t), 0);
}
END_TEST

static void
drop_works(void *arg)
{
	uid_t r, e, s;

	(void)arg;
	priv_drop(JAIL_UID, JAIL_UID + 1, true);
	JAIL_CHECK(getresuid(&r, &e, &s) == 0 && r == JAIL_UID && e == JAIL_UID && s == JAIL_UID);
	JAIL_CHECK(
	    getgid() == JAIL_UID + 1 && getegid() == JAIL_UID + 1 && getgroups(0, NULL) == 0);
	JAIL_CHECK(setuid(0) != 0 && setgid(0) != 0);
	JAIL_CHECK(access("/etc/passwd", F_OK) != 0 && errno == ENOENT);
	JAIL_CHECK(access("../../../../etc/passwd", F_OK) != 0 && errno == ENOENT);
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		JAIL_CHECK(prctl(PR_CAPBSET_READ, cap, 0, 0, 0) <= 0);
}

START_TEST(drop_gives_all_away)
{
	char folder[64];

	jail_folder(folder);
	ck_assert_int_eq(jail_child(drop_works, NULL), 0);
	jail_folder_remove(folder);
}
END_TEST

static void
drop_keeps_one(void *arg)
{
	const gid_t *keep = arg;
	gid_t groups[3] = { 4, 5, 6 };
	const char *step;

	JAIL_CHECK(setgroups(3, groups) == 0);
	priv_keep_group(*keep);
	JAIL_CHECK(priv_try_drop(JAIL_UID, JAIL_UID, false, &step) == (*keep == 0 ? -EPERM : 0));
	JAIL_CHECK(*keep == 0 || (getgroups(3, groups) == 1 && groups[0] == *keep));
}

START_TEST(one_named_group_may_stay)
{
	gid_t keep[] = { JAIL_UID + 5, 0 };

	ck_assert_int_eq(jail_child(drop_keeps_one, &keep[_i]), 0);
}
END_TEST

static void
drop_to(void *arg)
{
	const uid_t *id = arg;
	const char *step;

	JAIL_CHECK(priv_try_drop(id[0], id[1], false, &step) == -EPERM);
	JAIL_CHECK(geteuid() == 0); /* refused before anything was done */
}

START_TEST(root_and_nobody_are_no_targets)
{
	static uid_t ids[][2] = { { 0, JAIL_UID }, { JAIL_UID, 0 }, { -1U, JAIL_UID },
		{ JAIL_UID, -1U } };

	ck_assert_int_eq(jail_child(drop_to, ids[_i]), 0);
}
END_TEST

/* As local's worker is, and its child becomes. */

static void
keep_what_it_takes(void)
{
	priv_keep_caps(1U << CAP_SETUID | 1U << CAP_SETGID);
	priv_drop(JAIL_UID, JAIL_UID, false);
}

static void
becomes(void *arg)
{
	static const gid_t groups[] = { JAIL_UID + 9, 0, JAIL_UID + 8 };
	const char *step;
	gid_t has[8];
	uid_t r, e, s;

	(void)arg;
	keep_what_it_takes();
	JAIL_CHECK(priv_become(JAIL_UID + 1, JAIL_UID + 2, groups, 3, &step) == 0);
	JAIL_CHECK(getresuid(&r, &e, &s) == 0 && r == JAIL_UID + 1 && e == r && s == r);
	JAIL_CHECK(getgid() == JAIL_UID + 2 && getegid() == JAIL_UID + 2);
	JAIL_CHECK(getgroups(8, has) == 2 && has[0] == JAIL_UID + 8 && has[1] == JAIL_UID + 9);
	/* Nobody comes back: neither root, nor who it was. */
	JAIL_CHECK(setresuid(-1U, 0, -1U) != 0 && setresuid(-1U, JAIL_UID, -1U) != 0);
	JAIL_CHECK(setresgid(-1U, 0, -1U) != 0 && setresgid(-1U, JAIL_UID, -1U) != 0);
	JAIL_CHECK(setgroups(0, NULL) != 0);
}

START_TEST(the_recipient_is_become_for_good)
{
	ck_assert_int_eq(jail_child(becomes, NULL), 0);
}
END_TEST

static void
become_lies(void *arg)
{
	static const gid_t group = JAIL_UID + 9;
	const struct try *t = arg;
	const char *step = "";

	keep_what_it_takes();
	inject(t);
	JAIL_CHECK(priv_become(JAIL_UID + 1, JAIL_UID + 1, &group, 1, &step) == -EPERM);
	JAIL_CHECK(strcmp(step, "be that user and nobody else") == 0);
}

START_TEST(becoming_that_lies_is_seen)
{
	static const int nrs[] = { SYS_setgroups, SYS_setresgid, SYS_setresuid, SYS_capset };
	struct try t = { nrs[_i], 0, -1, "" };

	ck_assert_int_eq(jail_child(become_lies, &t), 0);
}
END_TEST

static void
become_root(void *arg)
{
	const uid_t *id = arg;
	const char *step;

	keep_what_it_takes();
	JAIL_CHECK(priv_become(id[0], id[1], NULL, 0, &step) == -EPERM);
	JAIL_CHECK(getuid() == JAIL_UID);
}

START_TEST(root_and_nobody_are_not_become)
{
	static uid_t ids[][2] = { { 0, JAIL_UID }, { JAIL_UID, 0 }, { -1U, JAIL_UID },
		{ JAIL_UID, -1U } };

	ck_assert_int_eq(jail_child(become_root, ids[_i]), 0);
}
END_TEST

static void
drop_unprivileged(void *arg)
{
	(void)arg;
	jail_quiet();
	JAIL_CHECK(setresgid(JAIL_UID, JAIL_UID, JAIL_UID) == 0 &&
		   setresuid(JAIL_UID, JAIL_UID, JAIL_UID) == 0);
	priv_drop(JAIL_UID + 1, JAIL_UID + 1, false);
}

START_TEST(without_privilege_it_ends)
{
	int status = jail_child(drop_unprivileged, NULL);

	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), EXIT_TEMP);
}
END_TEST

static void
be_peer(void *arg)
{
	gid_t group = JAIL_UID + 7;
	int sv[2];
	uid_t uid = 0;

	(void)arg;
	JAIL_CHECK(setgroups(1, &group) == 0);
	JAIL_CHECK(setresgid(JAIL_UID, JAIL_UID, JAIL_UID) == 0 &&
		   setresuid(JAIL_UID, JAIL_UID, JAIL_UID) == 0);
	JAIL_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) == 0);
	JAIL_CHECK(priv_peer_uid(sv[0], &uid) == 0 && uid == JAIL_UID);
	JAIL_CHECK(priv_peer_in_group(sv[0], JAIL_UID));
	JAIL_CHECK(priv_peer_in_group(sv[0], JAIL_UID + 7));
	JAIL_CHECK(!priv_peer_in_group(sv[0], JAIL_UID + 8));
	JAIL_CHECK(!priv_peer_in_group(sv[0], 0));
	JAIL_CHECK(!priv_peer_in_group(sv[0], IDS_NONE));
}

START_TEST(peers_are_told_by_the_kernel)
{
	uid_t uid = 77;
	int fd;

	ck_assert_int_eq(jail_child(be_peer, NULL), 0);
	/* Whatever is no connected Unix socket has no peer, never uid 0. */
	ck_assert_int_lt(priv_peer_uid(0, &uid), 0);
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	ck_assert_int_lt(priv_peer_uid(fd, &uid), 0);
	ck_assert(!priv_peer_in_group(fd, 0));
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_lt(priv_peer_uid(fd, &uid), 0);
	close(fd);
	ck_assert_uint_eq(uid, 77);
}
END_TEST

START_TEST(ids_from_a_base)
{
	struct ids ids;

	ck_assert_int_eq(ids_load(&ids, 61000), 0);
	ck_assert_uint_eq(ids.uid[SERVICE_SMTPD], 61000);
	ck_assert_uint_eq(ids.uid[SERVICE_LOGD], 61009);
	ck_assert_uint_eq(ids.gid[SERVICE_QMGR], 61003);
	ck_assert_uint_eq(ids.gid[GROUP_ADM], 61010);
	ck_assert_uint_eq(ids.gid[GROUP_DROP], 61011);
	ck_assert_int_eq(ids_service_of(&ids, 61003), SERVICE_QMGR);
	ck_assert_int_eq(ids_service_of(&ids, 61010), SERVICE_NONE);
	ck_assert_int_eq(ids_service_of(&ids, 0), SERVICE_NONE);
	ck_assert_int_eq(ids_load(&ids, IDS_NONE - 3), -EINVAL);
}
END_TEST

/*
 * The suite's users are not on the machine that runs this: each is "nobody", and nobody is no
 * service.
 */
START_TEST(ids_by_name)
{
	struct ids ids;

	ck_assert_int_eq(ids_load(&ids, 0), 0);
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		ck_assert_uint_ne(ids.uid[i], 0);
	ck_assert_int_eq(ids_service_of(&ids, IDS_NONE), SERVICE_NONE);
	ck_assert_int_eq(ids_service_of(&ids, 0), SERVICE_NONE);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_test(tc, ids_from_a_base);
	tcase_add_test(tc, ids_by_name);
	if (!jail_possible("priv"))
		return;
	tcase_add_loop_test(
	    tc, each_failing_step_ends_the_process, 0, 2 * (int)(sizeof steps / sizeof *steps));
	tcase_add_loop_test(tc, a_step_that_lies_is_seen, 0, 3);
	tcase_add_test(tc, drop_gives_all_away);
	tcase_add_loop_test(tc, one_named_group_may_stay, 0, 2);
	tcase_add_loop_test(tc, root_and_nobody_are_no_targets, 0, 4);
	tcase_add_test(tc, the_recipient_is_become_for_good);
	tcase_add_loop_test(tc, becoming_that_lies_is_seen, 0, 4);
	tcase_add_loop_test(tc, root_and_nobody_are_not_become, 0, 4);
	tcase_add_test(tc, without_privilege_it_ends);
	tcase_add_test(tc, peers_are_told_by_the_kernel);
}

CHECK_MAIN("priv", cases)
