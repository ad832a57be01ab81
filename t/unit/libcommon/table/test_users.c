/* SPDX-License-Identifier: ISC */
#include "table/users.h"

#include "t/unit/check_main.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	const char *text;
	unsigned line; /* of the fault; 0: good */
	size_t n;
} tables[] = {
	{ "", 0, 0 },
	{ "# nobody\n\n \t\n", 0, 0 },
	{ "alice:1001:1001:/home/alice\nbob:1002:100:/home/bob:Maildir/\n", 0, 2 },
	{ "alice:1001:1001:/home/alice", 0, 1 },
	{ "alice:1001:1001:/home/alice:\n", 0, 1 },
	{ "a:1:1:/h\nA:2:2:/h\n", 2, 0 },
	{ "a:1:1:/h\n\nb:1:1\n", 3, 0 },
	{ "a:1:1:/h:m:x\n", 1, 0 },
	{ "a:-1:1:/h\n", 1, 0 },
	{ "a:4294967295:1:/h\n", 1, 0 },
	{ "a:1:99999999999999999999:/h\n", 1, 0 },
	{ "a:1::/h\n", 1, 0 },
	{ "a:1:1:h\n", 1, 0 },
	{ "a:1:1:/h/../root\n", 1, 0 },
	{ "a:1:1:/h:../x\n", 1, 0 },
	{ ":1:1:/h\n", 1, 0 },
	{ "a/b:1:1:/h\n", 1, 0 },
	{ "..:1:1:/h\n", 1, 0 },
	{ " a:1:1:/h\n", 1, 0 },
	{ "a:1:1:/h\r\n", 1, 0 },
};

START_TEST(tables_are_read_or_refused_by_line)
{
	unsigned line = 77;
	const char *why = NULL;
	struct users *u = users_parse(slice_z(tables[_i].text), &line, &why);

	ck_assert_msg((u != NULL) == (tables[_i].line == 0), "%s", tables[_i].text);
	if (u == NULL)
		ck_assert_uint_eq(line, tables[_i].line);
	else
		ck_assert_uint_eq(users_count(u), tables[_i].n);
	ck_assert((u == NULL) == (why != NULL));
	users_free(u);
}
END_TEST

START_TEST(zero_bytes_are_refused)
{
	unsigned line;
	const char *why;

	ck_assert_ptr_null(users_parse(slice_of("a:1:1:/h\0x\n", 11), &line, &why));
}
END_TEST

START_TEST(users_are_found_whatever_their_case)
{
	struct buf text = { 0 };
	const struct users_row *row;
	struct users *u;
	unsigned line;
	const char *why;

	for (unsigned i = 0; i < 1000; i++)
		buf_printf(&text, "User%u:%u:100:/home/%u:box%u/\n", i, 1000 + i, i, i);
	u = users_parse(slice_buf(&text), &line, &why);
	ck_assert_ptr_nonnull(u);
	for (unsigned i = 0; i < 1000; i++) {
		char name[16];

		snprintf(name, sizeof name, i % 2 ? "USER%u" : "user%u", i);
		row = users_find(u, slice_z(name));
		ck_assert_ptr_nonnull(row);
		ck_assert_uint_eq(row->uid, 1000 + i);
		ck_assert_uint_eq(row->gid, 100);
	}
	row = users_find(u, SLICE_LIT("user7"));
	ck_assert_str_eq(row->name, "User7");
	ck_assert_str_eq(row->home, "/home/7");
	ck_assert_str_eq(row->mailbox, "box7/");
	ck_assert_ptr_null(users_find(u, SLICE_LIT("user1000")));
	ck_assert_ptr_null(users_find(u, SLICE_LIT("")));
	users_free(u);
	buf_fini(&text);
}
END_TEST

static void
put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

START_TEST(a_changed_file_is_read_again)
{
	char dir[] = "/tmp/users.XXXXXX", path[64], aside[64];
	const struct users *u;
	struct users_file *f;
	struct buf err = { 0 };

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/users", dir);
	snprintf(aside, sizeof aside, "%s/users.new", dir);
	f = users_file_new(path, getuid());
	ck_assert_int_eq(users_file_get(f, 5000, &u, &err), -ENOENT);
	ck_assert_ptr_null(u);
	ck_assert_uint_gt(err.n, 0);
	put(path, "alice:1:1:/a\n");
	ck_assert_int_eq(users_file_get(f, 6000, &u, &err), 0);
	ck_assert_ptr_nonnull(users_find(u, SLICE_LIT("alice")));
	put(aside, "bob:1:1:/b\n");
	ck_assert_int_eq(rename(aside, path), 0);
	ck_assert_int_eq(users_file_get(f, 6999, &u, &err), 0);
	ck_assert_ptr_null(users_find(u, SLICE_LIT("bob")));
	ck_assert_int_eq(users_file_get(f, 7000, &u, &err), 0);
	ck_assert_ptr_nonnull(users_find(u, SLICE_LIT("bob")));
	ck_assert_ptr_null(users_find(u, SLICE_LIT("alice")));
	put(path, "bob\n");
	buf_reset(&err);
	ck_assert_int_eq(users_file_get(f, 8000, &u, &err), -EBADMSG);
	ck_assert_ptr_nonnull(memmem(err.p, err.n, "users:1: ", 9));
	put(path, "bob:2:2:/b\n");
	ck_assert_int_eq(chmod(path, 0666), 0);
	ck_assert_int_eq(users_file_get(f, 9000, &u, &err), -EPERM);
	ck_assert_ptr_null(u);
	ck_assert_int_eq(chmod(path, 0644), 0);
	ck_assert_int_eq(users_file_get(f, 10000, &u, &err), 0);
	unlink(path);
	ck_assert_int_eq(users_file_get(f, 11000, &u, &err), -ENOENT);
	users_file_free(f);
	buf_fini(&err);
	rmdir(dir);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(
	    tc, tables_are_read_or_refused_by_line, 0, sizeof tables / sizeof *tables);
	tcase_add_test(tc, zero_bytes_are_refused);
	tcase_add_test(tc, users_are_found_whatever_their_case);
	tcase_add_test(tc, a_changed_file_is_read_again);
}
CHECK_MAIN("users", cases)
