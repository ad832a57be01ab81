/* SPDX-License-Identifier: ISC */
#include "table/table.h"
#include "table/table_tdb.h"
#include "table/table_text.h"

#include "t/unit/check_main.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/table.XXXXXX", path[64];

static void
begin(const char *name)
{
	strcpy(dir, "/tmp/table.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/%s", dir, name);
}

static void
end(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0); /* nothing is left aside */
}

static const struct {
	const char *text;
	unsigned line; /* of the fault; 0: good */
	const char *key, *value;
} texts[] = {
	{ "", 0, "a", NULL },
	{ "# no\n\na@b.example  c@d.example, e\n", 0, "A@b.EXAMPLE", "c@d.example, e" },
	{ "a b\n c\n\td\nx y", 0, "a", "b c d" },
	{ "a b\n c\n\td\nx y", 0, "x", "y" },
	{ "a\tb\r\nc d\r\n", 0, "a", "b" },
	{ "a\n", 1, NULL, NULL },
	{ "a b\nc\n d\n", 0, "c", "d" },
	{ "a b\n\nA c\n", 3, NULL, NULL },
	{ " a b\n", 1, NULL, NULL },
};

START_TEST(texts_are_read)
{
	unsigned line;
	const char *why;
	struct table_text *t = table_text_parse(slice_z(texts[_i].text), &line, &why);
	struct slice got;

	ck_assert_msg((t != NULL) == (texts[_i].line == 0), "%s", texts[_i].text);
	if (t == NULL) {
		ck_assert_uint_eq(line, texts[_i].line);
		return;
	}
	got = table_text_find(t, slice_z(texts[_i].key));
	ck_assert_int_eq(got.p != NULL, texts[_i].value != NULL);
	ck_assert(got.p == NULL || slice_is(got, texts[_i].value));
	table_text_free(t);
}
END_TEST

static void
make_db(const char *value, unsigned n)
{
	struct table_maker *m;

	ck_assert_int_eq(table_maker_new(path, &m), 0);
	for (unsigned i = 0; i < n; i++) {
		char key[16];

		snprintf(key, sizeof key, "Key%u", i);
		ck_assert_int_eq(table_maker_put(m, slice_z(key), slice_z(value)), 1);
	}
	ck_assert_int_eq(table_maker_put(m, SLICE_LIT("kEY0"), SLICE_LIT("second")), 0);
	ck_assert_int_eq(table_maker_put(m, SLICE_LIT("a\0b"), SLICE_LIT("x")), -EINVAL);
	ck_assert_int_eq(table_maker_commit(m), 0);
}

START_TEST(a_database_is_whole_or_not_there)
{
	struct table_maker *m;
	struct table_tdb *t;
	struct buf value = { 0 };
	struct stat st;

	begin("x.db");
	ck_assert_int_eq(table_maker_new(path, &m), 0);
	ck_assert_int_eq(table_maker_put(m, SLICE_LIT("a"), SLICE_LIT("b")), 1);
	ck_assert_int_eq(table_tdb_open(path, &t), -ENOENT);
	table_maker_drop(m);
	ck_assert_int_eq(table_tdb_open(path, &t), -ENOENT);
	make_db("value", 5000);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0644);
	ck_assert_int_eq(table_tdb_open(path, &t), 0);
	ck_assert_uint_eq(table_tdb_count(t), 5000);
	ck_assert_int_eq(table_tdb_find(t, SLICE_LIT("KEY4999"), &value), 1);
	ck_assert(slice_is(slice_buf(&value), "value"));
	ck_assert_int_eq(table_tdb_find(t, SLICE_LIT("key5000"), &value), 0);
	table_tdb_close(t);
	buf_fini(&value);
	end();
}
END_TEST

START_TEST(other_files_are_no_database)
{
	struct table_tdb *t;
	FILE *f;

	begin("x.db");
	f = fopen(path, "w");
	fputs("no database at all, but long enough to look at: ..............", f);
	fclose(f);
	ck_assert_int_eq(table_tdb_open(path, &t), -EBADMSG);
	end();
}
END_TEST

static void
expect(struct table *t, const char *key, const char *want)
{
	struct buf value = { 0 };

	ck_assert_int_eq(table_find(t, slice_z(key), &value), want != NULL);
	ck_assert(want == NULL || slice_is(slice_buf(&value), want));
	buf_fini(&value);
}

START_TEST(a_swapped_database_is_seen)
{
	struct table *t;
	struct buf value = { 0 };

	begin("x.db");
	t = table_new(path);
	ck_assert(table_refresh(t, 10));
	ck_assert(!table_exists(t));
	ck_assert_int_eq(table_find(t, SLICE_LIT("key0"), &value), -ENOENT);
	make_db("one", 1);
	ck_assert(!table_refresh(t, 900));
	ck_assert(table_refresh(t, 1010));
	ck_assert_ptr_null(table_why(t));
	expect(t, "key0", "one");
	make_db("two", 1);
	expect(t, "key0", "one");
	ck_assert(table_refresh(t, 2010));
	expect(t, "key0", "two");
	ck_assert(!table_refresh(t, 3010));
	table_free(t);
	buf_fini(&value);
	end();
}
END_TEST

static void
put(const char *text)
{
	char aside[80];
	FILE *f;

	snprintf(aside, sizeof aside, "%s.new", path);
	f = fopen(aside, "w");
	fputs(text, f);
	fclose(f);
	ck_assert_int_eq(rename(aside, path), 0);
}

START_TEST(a_bad_text_leaves_the_old_one)
{
	struct table *t;
	struct buf value = { 0 };

	begin("x");
	put("a b\n");
	t = table_new(path);
	ck_assert(table_refresh(t, 0));
	expect(t, "a", "b");
	put("a\n");
	ck_assert(table_refresh(t, 1000));
	ck_assert_ptr_nonnull(strstr(table_why(t), "x:1: "));
	expect(t, "a", "b");
	put("a c\n");
	ck_assert(table_refresh(t, 2000));
	ck_assert_ptr_null(table_why(t));
	expect(t, "a", "c");
	unlink(path);
	ck_assert(table_refresh(t, 3000));
	ck_assert_int_eq(table_find(t, SLICE_LIT("a"), &value), -ENOENT);
	table_free(t);
	buf_fini(&value);
	rmdir(dir);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, texts_are_read, 0, sizeof texts / sizeof *texts);
	tcase_add_test(tc, a_database_is_whole_or_not_there);
	tcase_add_test(tc, other_files_are_no_database);
	tcase_add_test(tc, a_swapped_database_is_seen);
	tcase_add_test(tc, a_bad_text_leaves_the_old_one);
}
CHECK_MAIN("table", cases)
