/* SPDX-License-Identifier: ISC */
#include "deliver/local/mailbox.h"

#include "../../check_main.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where a mailbox is, and the way there: links in what belongs to the user are not followed. */

static const struct {
	const char *of_user, *configured;
	const char *base, *below, *name; /* base NULL: refused */
	bool maildir;
} rows[] = {
	{ "", NULL, "/var/mail", "", "alice", false },
	{ "", "Maildir/", "/h/alice", "Maildir", "", true },
	{ "mbox", "Maildir/", "/h/alice", "", "mbox", false },
	{ "mail/in//", NULL, "/h/alice", "mail/in", "", true },
	{ "mail/in", NULL, "/h/alice", "mail/", "in", false },
	{ "/srv/mail/alice/", NULL, "/srv/mail/", "alice", "", true },
	{ "/srv/mail/alice", "Maildir/", "/srv/mail/", "", "alice", false },
	{ "/alice", NULL, "/", "", "alice", false },
	{ "/", NULL, NULL, NULL, NULL, false },
	{ "//", NULL, NULL, NULL, NULL, false },
};

START_TEST(where_a_mailbox_is)
{
	struct user u = { .name = "alice", .home = "/h/alice" };
	struct mailbox m;
	const char *why = NULL;

	slice_copy(slice_z(rows[_i].of_user), u.mailbox, sizeof u.mailbox);
	if (rows[_i].base == NULL) {
		ck_assert_int_eq(
		    mailbox_find(&m, &u, rows[_i].configured, "/var/mail", &why), -EBADF);
		ck_assert_ptr_nonnull(why);
		return;
	}
	ck_assert_int_eq(mailbox_find(&m, &u, rows[_i].configured, "/var/mail", &why), 0);
	ck_assert_str_eq(m.base, rows[_i].base);
	ck_assert_str_eq(m.below, rows[_i].below);
	ck_assert_str_eq(m.name, rows[_i].name);
	ck_assert(m.maildir == rows[_i].maildir);
	ck_assert(m.in_mail_dir == (rows[_i].configured == NULL && rows[_i].of_user[0] == '\0'));
}
END_TEST

START_TEST(a_name_too_long_is_refused)
{
	struct user u = { .name = "alice", .home = "/h/alice" };
	struct mailbox m;
	const char *why = NULL;

	memset(u.mailbox, 'x', MBOX_NAME_MAX + 1);
	ck_assert_int_eq(mailbox_find(&m, &u, NULL, "/var/mail", &why), -EBADF);
	ck_assert_str_eq(why, "the path of the mailbox is too long");
}
END_TEST

static char home[64];

static void
setup(void)
{
	snprintf(home, sizeof home, "/tmp/ang-home-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(home));
}

static void
teardown(void)
{
	char cmd[96];

	snprintf(cmd, sizeof cmd, "rm -rf %s", home);
	ck_assert_int_eq(system(cmd), 0);
}

static int
opened(const char *base, const char *box, uid_t owner, const char **why)
{
	struct user u = { .name = "alice" };
	struct mailbox m;
	int fd;

	slice_copy(slice_z(base), u.home, sizeof u.home);
	ck_assert_int_eq(mailbox_find(&m, &u, box, "/var/mail", why), 0);
	fd = mailbox_open(&m, owner, why);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static const char *
in_home(const char *name)
{
	static char path[2][128];
	static unsigned i;

	i = !i;
	snprintf(path[i], sizeof path[i], "%s/%s", home, name);
	return path[i];
}

START_TEST(a_maildir_alone_is_made)
{
	const char *why;
	struct stat st;
	uid_t me = geteuid();

	ck_assert_int_eq(opened(home, "Maildir/", me, &why), 0);
	ck_assert(stat(in_home("Maildir"), &st) == 0 && (st.st_mode & 07777) == 0700);
	ck_assert_int_eq(opened(home, "Maildir/", me, &why), 0);
	ck_assert_int_eq(opened(home, "./Maildir/.sub/", me, &why), 0);
	/* Neither a home nor what lies between. */
	ck_assert_int_eq(opened(in_home("none"), "Maildir/", me, &why), -ENOENT);
	ck_assert_str_eq(why, "open the home folder");
	ck_assert_int_eq(opened(home, "mail/in/", me, &why), -ENOENT);
	ck_assert_int_eq(opened(home, "mail/in", me, &why), -ENOENT);
	ck_assert(stat(in_home("none"), &st) != 0 && stat(in_home("mail"), &st) != 0);
	ck_assert_int_eq(opened(home, "mbox", me, &why), 0);
	ck_assert_int_eq(opened(home, "Maildir/", me + 1, &why), -EBADF);
	ck_assert_str_eq(why, "the Maildir belongs to another user");
}
END_TEST

START_TEST(links_beneath_are_not_followed)
{
	static const char *const boxes[] = { "link/", "link/in/", "link/mbox", "real/link/",
		"dangling/", "file/", "file/x/" };
	const char *why;
	struct stat st;
	int fd;

	ck_assert_int_eq(mkdir(in_home("real"), 0700), 0);
	ck_assert_int_eq(symlink("real", in_home("link")), 0);
	ck_assert_int_eq(symlink(home, in_home("real/link")), 0);
	ck_assert_int_eq(symlink("none", in_home("dangling")), 0);
	fd = open(in_home("file"), O_CREAT | O_WRONLY, 0600);
	close(fd);
	for (unsigned i = 0; i < sizeof boxes / sizeof *boxes; i++) {
		int err = opened(home, boxes[i], geteuid(), &why);

		if (boxes[i][0] == 'f') {
			ck_assert_msg(err == -ENOTDIR, "%s: %d", boxes[i], err);
			continue;
		}
		ck_assert_msg(err == -EBADF, "%s: %d", boxes[i], err);
		ck_assert_str_eq(why, "a part of the mailbox's path is a symbolic link");
	}
	ck_assert(stat(in_home("none"), &st) != 0);
	/* On the way to home root may have some. */
	ck_assert_int_eq(opened(in_home("link"), "Maildir/", geteuid(), &why), 0);
	ck_assert(stat(in_home("real/Maildir"), &st) == 0);
}
END_TEST

START_TEST(nothing_leads_upwards)
{
	struct mailbox m = { .below = "../x", .maildir = true };
	const char *why;

	slice_copy(slice_z(home), m.base, sizeof m.base);
	ck_assert_int_eq(mailbox_open(&m, geteuid(), &why), -EBADF);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, where_a_mailbox_is, 0, sizeof rows / sizeof *rows);
	tcase_add_test(tc, a_name_too_long_is_refused);
	tcase_add_test(tc, a_maildir_alone_is_made);
	tcase_add_test(tc, links_beneath_are_not_followed);
	tcase_add_test(tc, nothing_leads_upwards);
}

CHECK_MAIN("mailbox", cases)
