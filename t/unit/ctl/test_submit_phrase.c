/* SPDX-License-Identifier: ISC */
#include "ctl/submit_phrase.h"

#include "t/unit/check_main.h"

static const struct {
	const char *name, *phrase; /* NULL: no phrase */
} names[] = {
	{ "", NULL },
	{ "  ", NULL },
	{ "Alice Doe", "Alice Doe" },
	{ "CronDaemon", "CronDaemon" },
	{ "J. Doe", "\"J. Doe\"" },
	{ "a \"b\" \\c", "\"a \\\"b\\\" \\\\c\"" },
	{ "x <root@evil>", "\"x <root@evil>\"" },
	{ "two\r\nBcc: all", "\"two  Bcc: all\"" },
	{ "Zo\xc3\xab =?", "=?utf-8?q?Zo=C3=AB_=3D=3F?=" },
	{ "bad \xff", NULL },
	{ "cut \xc3", NULL },
	{ "surrogate \xed\xa0\x80", NULL },
};

START_TEST(phrases)
{
	struct buf out = { 0 };
	bool ok = submit_phrase_print(&out, slice_z(names[_i].name));

	ck_assert(ok == (names[_i].phrase != NULL));
	ck_assert_msg(ok ? slice_is(slice_buf(&out), names[_i].phrase) : out.n == 0, "%.*s",
	    SLICE_ARG(slice_buf(&out)));
	buf_fini(&out);
}
END_TEST

/* RFC 2047 section 2: an encoded word has at most 75 bytes, a line 76. */
START_TEST(long_names_are_folded)
{
	struct buf name = { 0 }, out = { 0 };
	struct slice rest, line;

	for (int i = 0; i < 400; i++)
		buf_puts(&name, "\xe2\x82\xac");
	ck_assert(submit_phrase_print(&out, slice_buf(&name)));
	rest = slice_buf(&out);
	while (slice_next(&rest, '\n', &line))
		ck_assert_uint_le(line.n, 77);
	ck_assert(out.n > 1000);
	buf_fini(&name);
	buf_fini(&out);
}
END_TEST

static const struct {
	const char *gecos, *login, *name;
} entries[] = {
	{ "", "joe", "" },
	{ "Joe Doe", "joe", "Joe Doe" },
	{ "Joe Doe,Room 1,555", "joe", "Joe Doe" },
	{ "& Doe", "joe", "Joe Doe" },
	{ "&", "0x", "0x" },
	{ "&&", "a", "AA" },
	{ ",,,", "a", "" },
	{ "&", "", "" },
};

START_TEST(gecos)
{
	struct buf out = { 0 };

	submit_phrase_gecos(&out, slice_z(entries[_i].gecos), slice_z(entries[_i].login));
	ck_assert(slice_is(slice_buf(&out), entries[_i].name));
	buf_fini(&out);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, phrases, 0, sizeof names / sizeof *names);
	tcase_add_test(tc, long_names_are_folded);
	tcase_add_loop_test(tc, gecos, 0, sizeof entries / sizeof *entries);
}
CHECK_MAIN("submit_phrase", cases)
