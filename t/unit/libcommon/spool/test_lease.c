/* SPDX-License-Identifier: ISC */
#include "spool/lease.h"
#include "spool/scan.h"

#include "t/unit/libcommon/spool/spool_test.h"
#include <sys/wait.h>

static char path[64];
static int spool_fd;

static void
setup(void)
{
	struct spool_identity id;

	spool_fd = test_folder(path);
	ck_assert_int_eq(spool_make(spool_fd, &id), 0);
}

static void
teardown(void)
{
	close(spool_fd);
	test_folder_remove(path);
}

START_TEST(rule_2_two_descriptions_of_a_new_file)
{
	struct segment seg = test_segment(5), got;
	const char *why;
	struct lease l;
	struct stat st;
	char c;

	ck_assert_int_eq(lease_make(spool_fd, &seg, &l), 0);
	ck_assert_int_eq(fcntl(l.writer, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
	ck_assert_int_eq(fcntl(l.reader, F_GETFL) & O_ACCMODE, O_RDONLY);
	ck_assert_int_eq(fcntl(l.writer, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(l.reader, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(read(l.writer, &c, 1), -1);
	ck_assert_int_eq(write(l.reader, "x", 1), -1);
	ck_assert_int_eq(fstat(l.reader, &st), 0);
	ck_assert_int_eq(st.st_size, SEGMENT_HEADER); /* blocks are reserved, the size is not */
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(scan_segment(l.reader, &got, &why), 0);
	ck_assert_uint_eq(got.number, 5);
	ck_assert_uint_eq(got.seed, seg.seed);
	ck_assert_int_eq(lseek(l.writer, 0, SEEK_SET), 0); /* append means append */
	ck_assert_int_eq(write(l.writer, "abc", 3), 3);
	ck_assert_int_eq(pread(l.reader, &c, 1, SEGMENT_HEADER + 2), 1);
	ck_assert_int_eq(c, 'c');
	close(l.reader);
	close(l.writer);
}
END_TEST

START_TEST(rule_2_a_number_is_used_once)
{
	struct segment seg = test_segment(5);
	struct lease l, again;

	ck_assert_int_eq(lease_make(spool_fd, &seg, &l), 0);
	ck_assert_int_eq(lease_make(spool_fd, &seg, &again), -EEXIST);
	close(l.reader);
	close(l.writer);
}
END_TEST

START_TEST(no_folder_no_lease)
{
	struct segment seg = test_segment(5);
	struct lease l;

	ck_assert_int_eq(unlinkat(spool_fd, SPOOL_DATA, AT_REMOVEDIR), 0);
	ck_assert_int_eq(lease_make(spool_fd, &seg, &l), -ENOENT);
}
END_TEST

START_TEST(rule_6_a_writer_lives_while_a_descriptor_does)
{
	struct segment seg = test_segment(5);
	int hold[2], status, again;
	struct lease l;
	char name[SPOOL_NAME], c;
	pid_t pid;

	ck_assert_int_eq(lease_make(spool_fd, &seg, &l), 0);
	ck_assert_int_eq(pipe(hold), 0);
	pid = fork();
	if (pid == 0) {
		close(hold[1]);
		_exit(read(hold[0], &c, 1) == 0 ? 0 : 1); /* until the parent lets go */
	}
	ck_assert_int_gt(pid, 0);
	close(l.writer);
	ck_assert_int_eq(lease_writer_gone(l.reader), 0);
	close(hold[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(lease_writer_gone(l.reader), 1);
	/* Nothing is left of the question: opening for writing neither blocks nor signals. */
	spool_segment_name(5, name);
	again = openat(spool_fd, name, O_WRONLY | O_NONBLOCK);
	ck_assert_int_ge(again, 0);
	ck_assert_int_eq(lease_writer_gone(l.reader), 0);
	close(again);
	ck_assert_int_eq(lease_writer_gone(l.reader), 1);
	close(hold[0]);
	close(l.reader);
}
END_TEST

START_TEST(not_a_file)
{
	ck_assert_int_lt(lease_writer_gone(-1), 0);
	ck_assert_int_lt(lease_writer_gone(spool_fd), 0);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, rule_2_two_descriptions_of_a_new_file);
	tcase_add_test(tc, rule_2_a_number_is_used_once);
	tcase_add_test(tc, no_folder_no_lease);
	tcase_add_test(tc, rule_6_a_writer_lives_while_a_descriptor_does);
	tcase_add_test(tc, not_a_file);
}
CHECK_MAIN("lease", cases)
