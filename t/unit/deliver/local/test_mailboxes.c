/* SPDX-License-Identifier: ISC */
#include "base/clock.h"
#include "deliver/local/maildir.h"
#include "deliver/local/mbox.h"
#include "deliver/local/user.h"

#include "../../check_main.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Writers of mailboxes: what stands there afterwards, above all after a failure. */

static char folder[64];
static int dir;

static void
setup(void)
{
	snprintf(folder, sizeof folder, "/tmp/ang-mailbox-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dir, 0);
}

static void
teardown(void)
{
	char cmd[96];

	close(dir);
	snprintf(cmd, sizeof cmd, "rm -rf %s", folder);
	ck_assert_int_eq(system(cmd), 0);
}

static char text[1 << 17];

static const char *
slurp(const char *name)
{
	int fd = openat(dir, name, O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);

	ck_assert_msg(fd >= 0 && n >= 0, "%s: %s", name, strerror(errno));
	close(fd);
	text[n] = '\0';
	return text;
}

static void
spew(const char *name, const char *what)
{
	int fd = openat(dir, name, O_CREAT | O_WRONLY | O_TRUNC, 0600);

	ck_assert(write(fd, what, strlen(what)) == (ssize_t)strlen(what));
	close(fd);
}

struct made {
	struct content content;
	struct iovec iov[8];
	struct letter letter;
};

/* Pieces cut the message at any byte. */
static struct letter *
letter_of(struct made *m, const char *head, const char *body, size_t cut)
{
	static char bytes[4096];
	size_t n = strlen(body);

	snprintf(bytes, sizeof bytes, "%s%s", head, body);
	if (cut > n)
		cut = n;
	*m = (struct made){ .letter = { .sender = SLICE_LIT("from@a.example"),
				.recipient = SLICE_LIT("to+x@b.example"),
				.body_fd = -1 } };
	m->iov[0] = (struct iovec){ bytes, strlen(head) };
	m->iov[1] = (struct iovec){ bytes + strlen(head), cut };
	m->iov[2] = (struct iovec){ bytes + strlen(head) + cut, n - cut };
	m->content = (struct content){ .iov = m->iov, .niov = 3, .nhead = 1 };
	m->letter.content = &m->content;
	return &m->letter;
}

#define FIELDS "Return-Path: <from@a.example>\nDelivered-To: to+x@b.example\n"

static const struct {
	const char *body, *maildir, *mbox;
} bodies[] = {
	{ "\r\nx\r\n", "\nx\n", "\nx\n\n" },
	{ "\r\nno end", "\nno end\n", "\nno end\n\n" },
	{ "\r\nFrom me\r\n", "\nFrom me\n", "\n>From me\n\n" },
	{ "\r\n>From me\r\n>>>From you\r\n", "\n>From me\n>>>From you\n",
	    "\n>>From me\n>>>>From you\n\n" },
	{ "\r\nFrom\r\nFro m\r\n>\r\n>>\r\n>Fr", "\nFrom\nFro m\n>\n>>\n>Fr\n",
	    "\nFrom\nFro m\n>\n>>\n>Fr\n\n" },
	{ "\r\nfrom me\r\n From me\r\nx From me\r\n", "\nfrom me\n From me\nx From me\n",
	    "\nfrom me\n From me\nx From me\n\n" },
	{ "\r\na\rb\r\r\n\rc\r\n\r\nFrom ", "\na\rb\r\n\rc\n\nFrom \n",
	    "\na\rb\r\n\rc\n\n>From \n\n" },
	{ "\r\nbare\nFrom \n>From x", "\nbare\nFrom \n>From x\n", "\nbare\n>From \n>>From x\n\n" },
	{ "\r\nend\r", "\nend\r\n", "\nend\r\n\n" },
	{ "", "", "\n" },
};

START_TEST(lines_end_and_are_quoted)
{
	const char *body = bodies[_i].body;

	for (size_t cut = 0; cut <= strlen(body); cut++)
		for (int form = 0; form < 2; form++) {
			struct made m;
			char want[512];
			const char *got;
			int fd = openat(dir, "x", O_CREAT | O_WRONLY | O_TRUNC, 0600);

			ck_assert_int_eq(letter_write(letter_of(&m, "Subject: s\r\n", body, cut),
					     fd, (enum letter_form)form, 0),
			    0);
			close(fd);
			got = slurp("x");
			if (form == LETTER_MBOX) {
				ck_assert_msg(
				    strncmp(got, "From from@a.example  ", 21) == 0, "%s", got);
				got = strchr(got, '\n') + 1;
			}
			snprintf(want, sizeof want, FIELDS "Subject: s\n%s",
			    form == LETTER_MBOX ? bodies[_i].mbox : bodies[_i].maildir);
			ck_assert_msg(strcmp(got, want) == 0, "cut %zu form %d: [%s] not [%s]", cut,
			    form, got, want);
		}
}
END_TEST

START_TEST(body_comes_from_a_file_too)
{
	struct made m;
	struct letter *l = letter_of(&m, "Subject: s\r\n", "\r\n", 0);
	int fd;

	spew("body", "ignored\r\nFrom a\r\nend\r\nignored");
	l->body_fd = openat(dir, "body", O_RDONLY);
	l->body_at = 9;
	l->body_bytes = 13;
	fd = openat(dir, "x", O_CREAT | O_WRONLY, 0600);
	ck_assert_int_eq(letter_write(l, fd, LETTER_MAILDIR, 0), 0);
	ck_assert_str_eq(slurp("x"), FIELDS "Subject: s\n\nFrom a\nend\n");
	l->body_bytes = 1000;
	ck_assert_int_eq(letter_write(l, fd, LETTER_MAILDIR, 0), -ENODATA);
	close(fd);
	close(l->body_fd);
}
END_TEST

START_TEST(fields_of_delivery)
{
	struct made m;
	struct letter *l = letter_of(&m, "Subject: s\r\n", "\r\n", 0);
	int fd = openat(dir, "x", O_CREAT | O_WRONLY, 0600);

	l->sender = SLICE_NONE;
	l->original = SLICE_LIT("alias@b.example");
	ck_assert_int_eq(letter_write(l, fd, LETTER_MBOX, 0), 0);
	close(fd);
	ck_assert(strncmp(slurp("x"), "From MAILER-DAEMON  ", 20) == 0);
	ck_assert_ptr_nonnull(strstr(text, "\nReturn-Path: <>\nX-Original-To: alias@b.example\n"
					   "Delivered-To: to+x@b.example\nSubject: s\n\n\n"));
}
END_TEST

START_TEST(addresses_stay_in_their_lines)
{
	struct made m;
	struct letter *l = letter_of(&m, "Subject: s\r\n", "\r\n", 0);
	int fd = openat(dir, "x", O_CREAT | O_WRONLY, 0600);

	l->sender = SLICE_LIT("a b\n\nFrom c@d\r\t\177e");
	l->original = SLICE_LIT("alias\nX: y");
	l->recipient = SLICE_LIT("to\n\nbody");
	ck_assert_int_eq(letter_write(l, fd, LETTER_MBOX, 0), 0);
	close(fd);
	ck_assert(strncmp(slurp("x"), "From a-b\?\?From-c@d\?\?\?e  ", 24) == 0);
	ck_assert_ptr_nonnull(
	    strstr(text, "\nReturn-Path: <a b\?\?From c@d\?\?\?e>\nX-Original-To: alias?X: y\n"
			 "Delivered-To: to\?\?body\nSubject: s\n\n\n"));
}
END_TEST

static const struct {
	const char *head;
	bool loops;
} heads[] = {
	{ "Subject: s\r\n", false },
	{ "Delivered-To: other@b.example\r\n", false },
	{ "Received: x\r\nDelivered-To: to+x@b.example\r\nSubject: s\r\n", true },
	{ "delivered-to:TO+X@b.example\r\n", true },
	{ "Delivered-To:\r\n  to+x@b.example \r\n", true },
	{ "Delivered-To: to@b.example\r\n", false },
	{ "X-Delivered-To: to+x@b.example\r\n", false },
};

START_TEST(loops_are_seen)
{
	struct made m;

	ck_assert(letter_loops(letter_of(&m, heads[_i].head, "\r\nDelivered-To: to+x@b.example\r\n",
		      0)) == heads[_i].loops);
}
END_TEST

/* The one name in a folder; fails where there are more. */
static unsigned
names_in(const char *name, char first[300])
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY);
	DIR *d = fdopendir(fd);
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.') {
			n++;
			snprintf(first, 300, "%s/%s", name, e->d_name);
		}
	closedir(d);
	return n;
}

START_TEST(a_maildir_is_made_and_filled)
{
	struct made m;
	const char *step;
	char name[300];
	struct stat st;

	for (unsigned i = 1; i <= 3; i++) {
		ck_assert_int_eq(
		    maildir_deliver(
			dir, letter_of(&m, "Subject: s\r\n", "\r\nx\r\n", 0), "a/host:x", &step),
		    0);
		ck_assert_uint_eq(names_in("new", name), i);
	}
	ck_assert_str_eq(slurp(name), FIELDS "Subject: s\n\nx\n");
	ck_assert_ptr_nonnull(strstr(name, ".a_host_x,S="));
	ck_assert_uint_eq(names_in("tmp", name), 0);
	ck_assert_uint_eq(names_in("cur", name), 0);
	ck_assert(fstatat(dir, "new", &st, 0) == 0 && (st.st_mode & 07777) == 0700);
}
END_TEST

/* Nothing is left of a message that could not be written whole. */
START_TEST(a_maildir_that_fails_is_clean)
{
	const struct rlimit small = { 30, RLIM_INFINITY };
	struct made m;
	const char *step;
	char name[300];

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	ck_assert_int_eq(
	    maildir_deliver(dir, letter_of(&m, "Subject: s\r\n", "\r\nx\r\n", 0), "h", &step),
	    -EFBIG);
	ck_assert_str_eq(step, "write");
	ck_assert_uint_eq(names_in("new", name), 0);
	ck_assert_uint_eq(names_in("tmp", name), 0);
}
END_TEST

START_TEST(a_maildir_does_not_follow_links)
{
	struct made m;
	const char *step;
	char name[300];

	ck_assert(mkdirat(dir, "elsewhere", 0700) == 0 && symlinkat("elsewhere", dir, "new") == 0);
	ck_assert_int_lt(
	    maildir_deliver(dir, letter_of(&m, "Subject: s\r\n", "\r\nx\r\n", 0), "h", &step), 0);
	ck_assert_str_eq(step, "open new");
	ck_assert_uint_eq(names_in("elsewhere", name), 0);
}
END_TEST

static const char *why, *lock_mark;

static int
append(const char *name, uint64_t lock_ms)
{
	struct made m;
	const struct mbox_how how = { .owner = geteuid(), .lock_ms = lock_ms, .mark = lock_mark };

	return mbox_deliver(dir, name, &how, letter_of(&m, "Subject: s\r\n", "\r\nx\r\n", 0), &why);
}

static unsigned
count(const char *in, const char *what)
{
	unsigned n = 0;

	for (; (in = strstr(in, what)) != NULL; in++)
		n++;
	return n;
}

START_TEST(an_mbox_is_made_and_grows)
{
	struct stat st;

	for (unsigned i = 1; i <= 3; i++) {
		ck_assert_int_eq(append("box", 0), 0);
		ck_assert_uint_eq(count(slurp("box"), "From from@a.example  "), i);
	}
	ck_assert_uint_eq(count(text, "\n\nFrom "), 2);
	ck_assert(fstatat(dir, "box", &st, 0) == 0 && (st.st_mode & 07777) == 0600);
	ck_assert(faccessat(dir, "box.lock", F_OK, 0) != 0);
	/* What another program left without an end is told apart. */
	spew("cut", "From x\n\nno end");
	ck_assert_int_eq(append("cut", 0), 0);
	ck_assert(strncmp(slurp("cut"), "From x\n\nno end\n\nFrom from", 25) == 0);
	spew("cut", "From x\n\nno empty line\n");
	ck_assert_int_eq(append("cut", 0), 0);
	ck_assert(strncmp(slurp("cut"), "From x\n\nno empty line\n\nFrom from", 32) == 0);
}
END_TEST

START_TEST(a_failed_append_is_cut_back)
{
	const struct rlimit small = { 60, RLIM_INFINITY };
	static const char before[] = "From x\n\nwhat stood there\n\n";

	signal(SIGXFSZ, SIG_IGN);
	spew("box", before);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	ck_assert_int_eq(append("box", 0), -EFBIG);
	ck_assert_str_eq(slurp("box"), before);
	ck_assert(faccessat(dir, "box.lock", F_OK, 0) != 0);
}
END_TEST

START_TEST(a_dot_lock_is_respected_until_it_is_stale)
{
	struct timespec old[2];
	uint64_t begun = clock_mono_ms();

	spew("box.lock", "1");
	ck_assert_int_eq(append("box", 50), -EAGAIN);
	ck_assert_uint_ge(clock_mono_ms() - begun, 50);
	ck_assert_ptr_nonnull(strstr(why, ".lock"));
	ck_assert_str_eq(slurp("box"), "");
	ck_assert_str_eq(slurp("box.lock"), "1");
	old[0] = old[1] = (struct timespec){ .tv_sec = time(NULL) - MBOX_STALE_S - 10 };
	ck_assert_int_eq(utimensat(dir, "box.lock", old, 0), 0);
	ck_assert_int_eq(append("box", 5000), 0);
	ck_assert_uint_eq(count(slurp("box"), "From from@a.example  "), 1);
}
END_TEST

/* A lock of ours without the fcntl lock is that of a process that was killed. */
START_TEST(a_dot_lock_of_the_dead_is_taken_away)
{
	static const char *const others[] = { "", "0 angarium this", "0 angarium this\nx",
		"0 angarium other\n" };

	lock_mark = "0 angarium this\n";
	for (unsigned i = 0; i < sizeof others / sizeof *others; i++) {
		spew("box.lock", others[i]);
		ck_assert_int_eq(append("box", 30), -EAGAIN);
		ck_assert_str_eq(slurp("box.lock"), others[i]);
	}
	spew("box.lock", lock_mark);
	ck_assert_int_eq(append("box", 5000), 0);
	ck_assert(faccessat(dir, "box.lock", F_OK, 0) != 0);
	if (geteuid() == 0) {
		spew("box.lock", lock_mark);
		ck_assert_int_eq(fchownat(dir, "box.lock", 61999, 61999, 0), 0);
		ck_assert_int_eq(append("box", 30), -EAGAIN);
	}
	lock_mark = NULL;
	spew("box.lock", "");
	ck_assert_int_eq(append("box", 30), -EAGAIN);
}
END_TEST

START_TEST(a_lock_has_its_mark)
{
	const uint64_t until = clock_mono_ms() + 10000;
	char mark[32] = "";
	int fd, status;
	pid_t pid;

	lock_mark = "0 angarium this\n";
	pid = fork();
	if (pid == 0)
		for (;;)
			if (append("box", 5000) != 0)
				_exit(1);
	while (strcmp(mark, lock_mark) != 0 && clock_mono_ms() < until) {
		memset(mark, 0, sizeof mark);
		fd = openat(dir, "box.lock", O_RDONLY);
		if (fd >= 0 && read(fd, mark, sizeof mark - 1) < 0)
			mark[0] = '\0';
		if (fd >= 0)
			close(fd);
	}
	kill(pid, SIGKILL);
	ck_assert(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	ck_assert_str_eq(mark, lock_mark);
	ck_assert_int_eq(append("box", 5000), 0);
	lock_mark = NULL;
}
END_TEST

START_TEST(an_fcntl_lock_is_respected)
{
	int go[2], held[2], status;
	char c;
	pid_t pid;

	ck_assert(pipe(go) == 0 && pipe(held) == 0);
	spew("box", "");
	pid = fork();
	if (pid == 0) {
		struct flock f = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
		int fd = openat(dir, "box", O_RDWR);

		_exit(fcntl(fd, F_SETLK, &f) != 0 || write(held[1], "x", 1) != 1 ||
		      read(go[0], &c, 1) != 1);
	}
	ck_assert_int_eq(read(held[0], &c, 1), 1);
	ck_assert_int_eq(append("box", 30), -EAGAIN);
	ck_assert_ptr_nonnull(strstr(why, "fcntl"));
	ck_assert_int_eq(write(go[1], "x", 1), 1);
	ck_assert_int_eq(append("box", 20000), 0);
	ck_assert(waitpid(pid, &status, 0) == pid && status == 0);
}
END_TEST

/* Several at a time: each whole, none within another. */
START_TEST(parallel_deliveries_do_not_mix)
{
	enum { EACH = 20, ALL = 4 };
	const char *p;
	unsigned n = 0;
	int status;

	for (int i = 0; i < ALL; i++)
		if (fork() == 0) {
			for (int k = 0; k < EACH; k++)
				if (append("box", 60000) != 0)
					_exit(1);
			_exit(0);
		}
	for (int i = 0; i < ALL; i++)
		ck_assert(wait(&status) > 0 && status == 0);
	for (p = slurp("box"); *p != '\0'; n++) {
		static const char rest[] = "\n" FIELDS "Subject: s\n\nx\n\n";

		ck_assert(strncmp(p, "From from@a.example  ", 21) == 0);
		p = strchr(p, '\n');
		ck_assert(strncmp(p, rest, sizeof rest - 1) == 0);
		p += sizeof rest - 1;
	}
	ck_assert_uint_eq(n, EACH * ALL);
}
END_TEST

START_TEST(odd_files_are_left_alone)
{
	struct stat st;

	spew("victim", "");
	ck_assert_int_eq(symlinkat("victim", dir, "link"), 0);
	ck_assert_int_eq(symlinkat("nobody", dir, "dangling"), 0);
	ck_assert_int_eq(linkat(dir, "victim", dir, "second", 0), 0);
	ck_assert_int_eq(mkfifoat(dir, "fifo", 0600), 0);
	ck_assert_int_eq(mkdirat(dir, "dir", 0700), 0);
	ck_assert_int_eq(append("link", 0), -EBADF);
	ck_assert_str_eq(why, "the mailbox is a symbolic link");
	ck_assert_int_eq(append("dangling", 0), -EBADF);
	ck_assert(faccessat(dir, "nobody", F_OK, 0) != 0);
	ck_assert_int_eq(append("second", 0), -EBADF);
	ck_assert_str_eq(why, "the mailbox has several names");
	ck_assert_int_eq(append("fifo", 0), -EBADF);
	ck_assert_int_eq(append("dir", 0), -EBADF);
	ck_assert_int_eq(append("../x", 0), -EINVAL);
	ck_assert(fstatat(dir, "victim", &st, 0) == 0 && st.st_size == 0);
	if (geteuid() == 0) {
		spew("alien", "");
		ck_assert_int_eq(fchownat(dir, "alien", 61999, 61999, 0), 0);
		ck_assert_int_eq(append("alien", 0), -EBADF);
		ck_assert_str_eq(why, "the mailbox belongs to another user");
	}
}
END_TEST

static const struct {
	const char *address, *name; /* NULL: nobody's */
	const char *home;	    /* NULL: not found, or not written for */
	enum outcome_kind kind;
} users[] = {
	{ "alice@b.example", "alice", "/h/alice", OUTCOME_OK },
	{ "ALICE@b.example", "alice", "/h/alice", OUTCOME_OK },
	{ "alice+list+x@b.example", "alice+list+x", "/h/alice", OUTCOME_OK },
	{ "bob+own@b.example", "bob+own", "/h/own", OUTCOME_OK },
	{ "\"alice\"@b.example", "alice", "/h/alice", OUTCOME_OK },
	{ "\"al\\ice+x\"@b.example", "alice+x", "/h/alice", OUTCOME_OK },
	{ "nobody@b.example", "nobody", NULL, OUTCOME_PERM },
	{ "+alice@b.example", "+alice", NULL, OUTCOME_PERM },
	{ "root@b.example", "root", NULL, OUTCOME_TEMP },
	{ "daemon@b.example", "daemon", NULL, OUTCOME_TEMP },
	{ "group@b.example", "group", NULL, OUTCOME_TEMP },
	{ "../alice@b.example", NULL, NULL, OUTCOME_PERM },
	{ "\"a b\"@b.example", NULL, NULL, OUTCOME_PERM },
	{ "..@b.example", NULL, NULL, OUTCOME_PERM },
	{ "@b.example", NULL, NULL, OUTCOME_PERM },
	{ "", NULL, NULL, OUTCOME_PERM },
};

START_TEST(whose_mailbox)
{
	static const char rows[] = "alice:5000:5000:/h/alice\nbob+own:5001:5001:/h/own:Maildir/\n"
				   "root:0:0:/root\ndaemon:999:5000:/h\ngroup:5002:0:/h\n";
	const char *syntax, *address = users[_i].address;
	unsigned line;
	struct users *table = users_parse(SLICE_LIT(rows), &line, &syntax);
	const struct user_how how = { .table = table, .delimiters = "+", .uid_min = 1000 };
	char name[USERS_NAME_MAX + 1];
	struct user u;
	struct buf said = { 0 };
	uint8_t enh[3];

	ck_assert_ptr_nonnull(table);
	ck_assert(user_local_part(slice_z(address), name) == (users[_i].name != NULL));
	if (users[_i].name != NULL) {
		ck_assert_str_eq(name, users[_i].name);
		ck_assert_int_eq(user_find(name, &how, &u, enh, &said), users[_i].kind);
		if (users[_i].home != NULL)
			ck_assert_str_eq(u.home, users[_i].home);
		else
			ck_assert_uint_gt(said.n, 0);
	}
	buf_fini(&said);
	users_free(table);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, lines_end_and_are_quoted, 0, sizeof bodies / sizeof *bodies);
	tcase_add_test(tc, body_comes_from_a_file_too);
	tcase_add_test(tc, fields_of_delivery);
	tcase_add_test(tc, addresses_stay_in_their_lines);
	tcase_add_loop_test(tc, loops_are_seen, 0, sizeof heads / sizeof *heads);
	tcase_add_test(tc, a_maildir_is_made_and_filled);
	tcase_add_test(tc, a_maildir_that_fails_is_clean);
	tcase_add_test(tc, a_maildir_does_not_follow_links);
	tcase_add_test(tc, an_mbox_is_made_and_grows);
	tcase_add_test(tc, a_failed_append_is_cut_back);
	tcase_add_test(tc, a_dot_lock_is_respected_until_it_is_stale);
	tcase_add_test(tc, a_dot_lock_of_the_dead_is_taken_away);
	tcase_add_test(tc, a_lock_has_its_mark);
	tcase_add_test(tc, an_fcntl_lock_is_respected);
	tcase_add_test(tc, parallel_deliveries_do_not_mix);
	tcase_add_test(tc, odd_files_are_left_alone);
	tcase_add_loop_test(tc, whose_mailbox, 0, sizeof users / sizeof *users);
}

CHECK_MAIN("mailboxes", cases)
