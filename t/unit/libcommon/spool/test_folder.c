/* SPDX-License-Identifier: ISC */
#include "spool/spool.h"

#include "t/unit/libcommon/spool/spool_test.h"

#include <dirent.h>
#include <dlfcn.h>

static char path[64];
static int spool_fd, reads_left;

/* In place of libc's: a folder that fails when so many names were read. */
struct dirent *
readdir(DIR *dir)
{
	static struct dirent *(*real)(DIR *);

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "readdir64");
	if (reads_left-- != 0)
		return real(dir);
	errno = EIO;
	return NULL;
}

static void
setup(void)
{
	reads_left = -1;
	snprintf(path, sizeof path, "/tmp/foldertest.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	spool_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(spool_fd, 0);
}

static void
teardown(void)
{
	char line[128];

	close(spool_fd);
	snprintf(line, sizeof line, "rm -rf %s", path);
	ck_assert_int_eq(system(line), 0);
}

static const struct {
	const char *folder;
	bool (*number_of)(const char *name, uint32_t *number);
	void (*name)(uint32_t number, char out[static SPOOL_NAME]);
} folders[] = {
	{ SPOOL_DATA, spool_segment_number, spool_segment_name },
	{ SPOOL_STATE, spool_journal_number, spool_journal_name },
	{ SPOOL_LARGE, spool_large_number, spool_large_name },
};

static void
fill(int i)
{
	static const uint32_t made[] = { 9, 4294967295U, 2, 5 };
	char name[SPOOL_NAME];

	ck_assert_int_eq(mkdirat(spool_fd, folders[i].folder, 0700), 0);
	for (unsigned k = 0; k < sizeof made / sizeof *made; k++) {
		int fd;

		folders[i].name(made[k], name);
		fd = openat(spool_fd, name, O_CREAT | O_EXCL | O_WRONLY, 0600);
		ck_assert_int_ge(fd, 0);
		close(fd);
	}
	snprintf(name, sizeof name, "%s/other", folders[i].folder);
	ck_assert_int_eq(mkdirat(spool_fd, name, 0700), 0);
}

START_TEST(numbers_rise_and_other_names_are_passed_over)
{
	uint32_t *n;
	size_t count;

	fill(_i);
	ck_assert_int_eq(
	    spool_folder_list(spool_fd, folders[_i].folder, folders[_i].number_of, &n, &count), 0);
	ck_assert_uint_eq(count, 4);
	ck_assert(n[0] == 2 && n[1] == 5 && n[2] == 9 && n[3] == 4294967295U);
	free(n);
	ck_assert_int_eq(spool_folder_sync(spool_fd, folders[_i].folder), 0);
}
END_TEST

/* What is not in the list is taken for gone. */
START_TEST(half_a_list_is_none)
{
	uint32_t *n;
	size_t count;

	fill(0);
	reads_left = _i;
	ck_assert_int_eq(
	    spool_folder_list(spool_fd, SPOOL_DATA, spool_segment_number, &n, &count), -EIO);
	ck_assert_ptr_null(n);
	ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(no_folder)
{
	uint32_t *n;
	size_t count;

	ck_assert_int_eq(
	    spool_folder_list(spool_fd, SPOOL_LARGE, spool_large_number, &n, &count), -ENOENT);
	ck_assert_uint_eq(count, 0);
	ck_assert_int_eq(spool_folder_sync(spool_fd, SPOOL_LARGE), -ENOENT);
	ck_assert_int_eq(mkdirat(spool_fd, SPOOL_LARGE, 0700), 0);
	ck_assert_int_eq(
	    spool_folder_list(spool_fd, SPOOL_LARGE, spool_large_number, &n, &count), 0);
	ck_assert_uint_eq(count, 0);
	free(n);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, numbers_rise_and_other_names_are_passed_over, 0, 3);
	tcase_add_loop_test(tc, half_a_list_is_none, 0, 7);
	tcase_add_test(tc, no_folder);
}
CHECK_MAIN("folder", cases)
