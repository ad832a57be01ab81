/* SPDX-License-Identifier: ISC */
#include "base/place.h"

#include "../../check_main.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[64], tables[96];

static void
spew(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
}

/* top/closed/tables/users; `closed` opens for its owner only. */
static void
setup(void)
{
	char path[128];

	snprintf(top, sizeof top, "/tmp/ang-place-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chmod(top, 0755), 0);
	snprintf(path, sizeof path, "%s/closed", top);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	snprintf(tables, sizeof tables, "%s/closed/tables", top);
	ck_assert_int_eq(mkdir(tables, 0755), 0);
	snprintf(path, sizeof path, "%s/users", tables);
	spew(path);
	ck_assert_int_eq(chmod(path, 0644), 0);
}

static void
teardown(void)
{
	char cmd[96];

	snprintf(cmd, sizeof cmd, "rm -rf %s", top);
	ck_assert_int_eq(system(cmd), 0);
}

START_TEST(names_serve_as_they_are)
{
	char out[PLACE_PATH_MAX], path[128], other[128];

	snprintf(path, sizeof path, "%s/users", tables);
	snprintf(other, sizeof other, "%sx/users", tables);
	ck_assert_ptr_eq(place_name(path, out), path);
	place_hold(tables, open(tables, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	ck_assert_ptr_eq(place_name(path, out), path);
	ck_assert_ptr_eq(place_name(other, out), other);
	ck_assert_ptr_eq(place_name("/", out), "/");
}
END_TEST

START_TEST(a_closed_folder_is_gone_around)
{
	char out[PLACE_PATH_MAX], path[128], beside[128], closed[128];
	const char *name;
	struct stat st;

	if (geteuid() != 0)
		return;
	snprintf(path, sizeof path, "%s/users", tables);
	snprintf(beside, sizeof beside, "%sx/users", tables);
	snprintf(closed, sizeof closed, "%s/closed", top);
	place_hold(tables, open(tables, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	ck_assert_int_eq(chmod(closed, 0700), 0);
	ck_assert_int_eq(seteuid(65111), 0);
	ck_assert(stat(path, &st) != 0 && errno == EACCES);
	name = place_name(path, out);
	ck_assert_ptr_eq(name, out);
	ck_assert_msg(stat(name, &st) == 0 && st.st_size == 1, "%s: %s", name, strerror(errno));
	ck_assert_ptr_eq(place_name(beside, out), beside);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(chmod(closed, 0755), 0);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, names_serve_as_they_are);
	tcase_add_test(tc, a_closed_folder_is_gone_around);
}
CHECK_MAIN("place", cases)
