/* SPDX-License-Identifier: ISC */
#include "conf/generation.h"

#include "../../check_main.h"
#include "base/buf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>

#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/test_generation.XXXXXX", file[64];
static int run = -1;

static void
write_file(const char *text)
{
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

static void
setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(file, sizeof file, "%s/x.conf", folder);
	run = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(run, 0);
	umask(077); /* as services have it */
}

static void
teardown(void)
{
	char cmd[96];

	close(run);
	snprintf(cmd, sizeof cmd, "rm -rf %s", folder);
	ck_assert_int_eq(system(cmd), 0);
}

static uint32_t
publish(const char *text)
{
	struct buf err = { 0 };
	uint32_t n = 0;

	write_file(text);
	if (conf_publish(run, file, &err, &n) != 0)
		ck_abort_msg("%.*s", SLICE_ARG(slice_buf(&err)));
	return n;
}

static unsigned
names_in_conf(void)
{
	char path[64];
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof path, "%s/conf", folder);
	dir = opendir(path);
	if (dir == NULL)
		return 0;
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(dir);
	return n;
}

static struct conf *
newest(void)
{
	struct buf err = { 0 };
	struct conf *c = NULL;

	if (conf_load_newest(run, &c, &err) != 0)
		ck_abort_msg("%.*s", SLICE_ARG(slice_buf(&err)));
	return c;
}

START_TEST(none_at_first)
{
	struct buf err = { 0 };
	struct conf *c = NULL;
	uint32_t n;

	ck_assert_int_eq(conf_newest(run, &n), -ENOENT);
	ck_assert_int_eq(conf_load_newest(run, &c, &err), -ENOENT);
	ck_assert_uint_gt(err.n, 0);
	ck_assert_ptr_null(c);
	buf_fini(&err);
}
END_TEST

START_TEST(each_text_is_a_generation)
{
	struct conf *c;

	ck_assert_uint_eq(publish("recipients_max = 101\n"), 1);
	ck_assert_uint_eq(publish("recipients_max = 102\n"), 2);
	ck_assert_uint_eq(publish("recipients_max = 102\n"), 2); /* nothing new */
	ck_assert_uint_eq(publish("recipients_max = 101\n"), 3); /* back is a change */
	c = newest();
	ck_assert_uint_eq(c->generation, 3);
	ck_assert_uint_eq(c->recipients_max, 101);
	ck_assert_str_eq(c->file, file);
	ck_assert_uint_eq(names_in_conf(), 3);
	conf_unref(c);
}
END_TEST

START_TEST(text_and_line_numbers_stay)
{
	struct conf_eval e = { 0 };
	struct stat st;
	struct conf *c;
	char text[512];
	uint32_t n;
	int fd;

	publish("# first\n\nrecipients_max = 101"); /* no newline at its end */
	fd = conf_newest(run, &n);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0444);
	ck_assert_uint_eq(st.st_nlink, 1);
	ck_assert_int_gt(read(fd, text, sizeof text), 40);
	ck_assert_int_eq(strncmp(text, "# first\n\nrecipients_max = 101\n#@ file ", 38), 0);
	close(fd);
	ck_assert_int_eq(fstatat(run, "conf", &st, 0), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0755); /* whatever the umask */
	c = newest();
	ck_assert_int_eq(conf_eval(c, "recipients_max", SLICE_NONE, SLICE_NONE, SLICE_NONE, &e), 0);
	ck_assert_uint_eq(e.line, 3);
	ck_assert_str_eq(e.file, file);
	conf_eval_fini(&e);
	conf_unref(c);
}
END_TEST

START_TEST(bad_file_is_refused_and_the_old_one_stays)
{
	struct buf err = { 0 };
	struct conf *c;
	uint32_t n = 77;
	char want[128];

	publish("recipients_max = 101\n");
	write_file("recipients_max = 102\nnonsense = 1\n");
	ck_assert_int_eq(conf_publish(run, file, &err, &n), -EINVAL);
	snprintf(want, sizeof want, "%s:2: no such option 'nonsense'", file);
	ck_assert_msg(slice_is(slice_buf(&err), want), "%.*s", SLICE_ARG(slice_buf(&err)));
	c = newest();
	ck_assert_uint_eq(c->generation, 1);
	ck_assert_uint_eq(c->recipients_max, 101);
	ck_assert_uint_eq(names_in_conf(), 1);
	conf_unref(c);
	buf_fini(&err);
}
END_TEST

START_TEST(file_that_cannot_be_read)
{
	struct buf err = { 0 };
	struct conf *c = NULL;
	uint32_t n;

	ck_assert_int_eq(conf_publish(run, file, &err, &n), -ENOENT);
	ck_assert_int_eq(conf_check(folder, &c, &err), -EISDIR);
	ck_assert_int_eq(conf_check("/dev/null", &c, &err), -EINVAL);
	ck_assert_ptr_null(c);
	ck_assert_uint_eq(names_in_conf(), 0);
	buf_fini(&err);
}
END_TEST

START_TEST(old_ones_go)
{
	enum { ROUNDS = CONF_GENERATIONS_KEPT + 5 };
	char text[64];
	uint32_t n;
	int fd = -1;

	for (unsigned i = 1; i <= ROUNDS; i++) {
		snprintf(text, sizeof text, "recipients_max = %u\n", 100 + i);
		ck_assert_uint_eq(publish(text), i);
		if (i == 1)
			fd = conf_newest(run, &n);
	}
	ck_assert_uint_eq(names_in_conf(), CONF_GENERATIONS_KEPT);
	ck_assert_int_eq(faccessat(run, "conf/5", F_OK, 0), -1);
	ck_assert_int_eq(faccessat(run, "conf/6", F_OK, 0), 0);
	/* Who holds an old one open can still load it, again and again. */
	for (unsigned i = 0; i < 2; i++) {
		struct buf err = { 0 };
		struct conf *c = NULL;

		ck_assert_int_eq(conf_load(fd, 1, &c, &err), 0);
		ck_assert_uint_eq(c->recipients_max, 101);
		ck_assert_uint_eq(c->generation, 1);
		conf_unref(c);
	}
	close(fd);
}
END_TEST

/* Other names in the folder are no generations, numbers count as numbers. */
START_TEST(newest_is_the_highest_number)
{
	static const char *const others[] = { "conf/9x", "conf/007", "conf/-5", "conf/99999999999",
		"conf/0" };
	uint32_t n;
	int fd;

	publish("");
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		close(openat(run, others[i], O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(renameat(run, "conf/1", run, "conf/9"), 0);
	ck_assert_uint_eq(publish("recipients_max = 101\n"), 10);
	fd = conf_newest(run, &n);
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(n, 10);
	close(fd);
}
END_TEST

/* In a child: waits for the start, does what it is told, exits 0 on success. */
static pid_t
racer(int gate[2], bool starts, unsigned i)
{
	pid_t pid = fork();
	struct buf err = { 0 };
	struct conf *c = NULL;
	uint32_t n;
	char own[80], byte;
	FILE *f;

	ck_assert_int_ge(pid, 0);
	if (pid != 0)
		return pid;
	close(gate[1]);
	if (read(gate[0], &byte, 1) != 0) /* the end comes when the parent lets go */
		_exit(3);
	snprintf(own, sizeof own, "%s/%u.conf", folder, i);
	if (starts) /* some from a file of their own: one wins for all */
		_exit(conf_start(run, i % 2 == 0 ? file : own, &c, &err) == 0 && c->generation == 1
			  ? 0
			  : 1);
	for (unsigned round = 0; round < 20; round++) {
		f = fopen(own, "w");
		fprintf(f, "recipients_max = %u\n", 1000 + i * 100 + round);
		fclose(f);
		if (conf_publish(run, own, &err, &n) != 0)
			_exit(2);
	}
	_exit(0);
}

static void
race(bool starts, unsigned racers)
{
	pid_t pid[8];
	int gate[2];

	ck_assert_int_eq(pipe(gate), 0);
	for (unsigned i = 0; i < racers; i++) {
		char own[80];

		snprintf(own, sizeof own, "%s/%u.conf", folder, i);
		close(open(own, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
		pid[i] = racer(gate, starts, i);
	}
	close(gate[1]);
	for (unsigned i = 0; i < racers; i++) {
		int status;

		ck_assert_int_eq(waitpid(pid[i], &status, 0), pid[i]);
		ck_assert_msg(
		    WIFEXITED(status) && WEXITSTATUS(status) == 0, "racer %u: %x", i, status);
	}
	close(gate[0]);
}

START_TEST(services_that_start_together_get_one)
{
	struct conf *c;

	write_file("recipients_max = 101\n");
	race(true, 8);
	c = newest();
	ck_assert_uint_eq(c->generation, 1);
	ck_assert_uint_eq(names_in_conf(), 1);
	conf_unref(c);
}
END_TEST

START_TEST(publishers_that_race_get_a_number_each)
{
	uint32_t n;

	race(false, 4);
	close(conf_newest(run, &n));
	ck_assert_uint_eq(n, 80); /* none lost, none twice */
	ck_assert_uint_eq(publish("recipients_max = 101\n"), 81);
	ck_assert_uint_eq(names_in_conf(), CONF_GENERATIONS_KEPT);
}
END_TEST

/* Does it wait for a lock? */
static bool
waits(pid_t pid)
{
	FILE *f = fopen("/proc/locks", "r");
	char line[256];
	bool found = false;
	int who;

	ck_assert_ptr_nonnull(f);
	while (!found && fgets(line, sizeof line, f) != NULL)
		found = sscanf(line, "%*d: -> FLOCK ADVISORY WRITE %d", &who) == 1 && who == pid;
	fclose(f);
	return found;
}

static pid_t other; /* publishes while we are about to; -1: to be started */

static void
publish_beside(int held)
{
	other = fork();
	ck_assert_int_ge(other, 0);
	if (other == 0) {
		close(held); /* else the lock would be ours too */
		for (unsigned i = 0; i <= CONF_GENERATIONS_KEPT; i++) {
			char text[40];

			snprintf(text, sizeof text, "recipients_max = %u\n", 200 + i);
			publish(text);
		}
		_exit(0);
	}
	while (!waits(other) && waitpid(other, NULL, WNOHANG) == 0)
		sched_yield();
}

int
linkat(int fromfd, const char *from, int tofd, const char *to, int flags)
{
	if (other < 0)
		publish_beside(tofd);
	return (int)syscall(SYS_linkat, fromfd, from, tofd, to, flags);
}

/* So many that the number it has chosen would be free again. */
START_TEST(a_publisher_that_slept_is_not_passed_over)
{
	uint32_t n;

	other = -1;
	ck_assert_uint_eq(publish("recipients_max = 101\n"), 1);
	while (waitpid(other, NULL, 0) == other)
		;
	close(conf_newest(run, &n));
	ck_assert_uint_eq(n, CONF_GENERATIONS_KEPT + 2);
}
END_TEST

START_TEST(start_goes_by_the_generation_not_by_the_file)
{
	struct buf err = { 0 };
	struct conf *c = NULL;

	publish("recipients_max = 101\n");
	write_file("recipients_max = 102\n");
	ck_assert_int_eq(conf_start(run, file, &c, &err), 0);
	ck_assert_uint_eq(c->recipients_max, 101);
	conf_unref(c);
	write_file("half written {");
	ck_assert_int_eq(conf_start(run, file, &c, &err), 0);
	conf_unref(c);
	ck_assert_int_eq(unlink(file), 0);
	ck_assert_int_eq(conf_start(run, file, &c, &err), 0);
	ck_assert_uint_eq(c->generation, 1);
	conf_unref(c);
	ck_assert_uint_eq(err.n, 0);
}
END_TEST

START_TEST(start_with_a_bad_file_and_nothing_else)
{
	struct buf err = { 0 };
	struct conf *c = NULL;

	write_file("nonsense = 1\n");
	ck_assert_int_eq(conf_start(run, file, &c, &err), -EINVAL);
	ck_assert_ptr_null(c);
	ck_assert(slice_iends(slice_buf(&err), SLICE_LIT(":1: no such option 'nonsense'")));
	ck_assert(slice_istarts(slice_buf(&err), folder)); /* one reason, not two */
	buf_fini(&err);
}
END_TEST

static const struct {
	const char *text, *run_dir; /* text NULL: no file */
} run_dirs[] = {
	{ NULL, "/run/angarium" },
	{ "", "/run/angarium" },
	{ "run_dir = /a\n", "/a" },
	{ "run_dir = /a\nnonsense = 1\n", "/a" },
	{ "nonsense = 1\n  run_dir=\"/a b\" # x\n", "/a b" },
	{ "nonsense = 1\nrun_dir = '/a'\n", "/a" },
	{ "nonsense = 1\nrun_dir = /a # x\n", "/a" },
	{ "nonsense = 1\n#run_dir = /a\n", "/run/angarium" },
	{ "nonsense = 1\nrun_dir = \"/a\n", "/run/angarium" },
	{ "nonsense = 1\nrun_dir = relative\n", "/run/angarium" },
	{ "nonsense = 1\nrun_dir =", "/run/angarium" },
};

START_TEST(run_folder_is_found_in_any_file)
{
	struct buf out = { 0 };

	if (run_dirs[_i].text != NULL)
		write_file(run_dirs[_i].text);
	conf_run_dir(file, &out);
	ck_assert_msg(
	    slice_is(slice_buf(&out), run_dirs[_i].run_dir), "%.*s", SLICE_ARG(slice_buf(&out)));
	buf_fini(&out);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, none_at_first);
	tcase_add_test(tc, each_text_is_a_generation);
	tcase_add_test(tc, text_and_line_numbers_stay);
	tcase_add_test(tc, bad_file_is_refused_and_the_old_one_stays);
	tcase_add_test(tc, file_that_cannot_be_read);
	tcase_add_test(tc, old_ones_go);
	tcase_add_test(tc, newest_is_the_highest_number);
	tcase_add_test(tc, services_that_start_together_get_one);
	tcase_add_test(tc, publishers_that_race_get_a_number_each);
	tcase_add_test(tc, a_publisher_that_slept_is_not_passed_over);
	tcase_add_test(tc, start_goes_by_the_generation_not_by_the_file);
	tcase_add_test(tc, start_with_a_bad_file_and_nothing_else);
	tcase_add_loop_test(
	    tc, run_folder_is_found_in_any_file, 0, sizeof run_dirs / sizeof *run_dirs);
}

CHECK_MAIN("generation", cases)
