/* SPDX-License-Identifier: ISC */
#include "smtp/command.h"

#include "t/unit/check_main.h"

static const struct {
	const char *line;
	enum verb verb;
	const char *arg;
} lines[] = {
	{ "MAIL FROM:<a@b>", VERB_MAIL, "FROM:<a@b>" },
	{ "mAiL  \tFROM:<a@b> SIZE=1 \t ", VERB_MAIL, "FROM:<a@b> SIZE=1" },
	{ "quit", VERB_QUIT, "" },
	{ "QUIT ", VERB_QUIT, "" },
	{ "STARTTLS", VERB_STARTTLS, "" },
	{ "XCLIENT ADDR=1.2.3.4", VERB_XCLIENT, "ADDR=1.2.3.4" },
	{ "bdat 10 LAST", VERB_BDAT, "10 LAST" },
	{ "", VERB_UNKNOWN, "" },
	{ " MAIL FROM:<a@b>", VERB_UNKNOWN, "MAIL FROM:<a@b>" },
	{ "?", VERB_UNKNOWN, "" },
	{ "MAIL\r", VERB_UNKNOWN, "" },
	{ "MAILFROM:<a@b>", VERB_UNKNOWN, "" },
	{ "HEL", VERB_UNKNOWN, "" },
	{ "GET / HTTP/1.1", VERB_UNKNOWN, "/ HTTP/1.1" },
};

START_TEST(lines_are_split)
{
	struct command cmd;
	bool known = command_parse(slice_z(lines[_i].line), &cmd);

	ck_assert(known == (lines[_i].verb != VERB_UNKNOWN));
	ck_assert_int_eq(cmd.verb, lines[_i].verb);
	ck_assert_msg(slice_is(cmd.arg, lines[_i].arg), "%s", lines[_i].line);
}
END_TEST

START_TEST(every_verb_is_known_by_its_word)
{
	struct command cmd;

	for (unsigned v = VERB_UNKNOWN + 1; v < VERB_COUNT; v++) {
		ck_assert(command_parse(slice_z(command_verb_word((enum verb)v)), &cmd));
		ck_assert_uint_eq(cmd.verb, v);
	}
	ck_assert_str_eq(command_verb_word(VERB_UNKNOWN), "?");
}
END_TEST

START_TEST(a_nul_does_not_end_a_line)
{
	struct command cmd;

	ck_assert(!command_parse(SLICE_LIT("QUIT\0"), &cmd));
	ck_assert(command_parse(SLICE_LIT("QUIT \0"), &cmd));
	ck_assert_uint_eq(cmd.arg.n, 1);
}
END_TEST

START_TEST(words_are_taken_off)
{
	struct slice arg = SLICE_LIT("from:<a>");

	ck_assert(!command_take(&arg, "TO:"));
	ck_assert(command_take(&arg, "FROM:"));
	ck_assert(slice_is(arg, "<a>"));
	arg = SLICE_LIT("FRO");
	ck_assert(!command_take(&arg, "FROM:"));
}
END_TEST

static const struct {
	const char *in;
	bool ok;
} strings[] = {
	{ "Hello", true },
	{ "\"Hello\\\" Wo\\\\rld\"", true },
	{ "\"a b\"", true },
	{ "", false },
	{ "\"\"", false },
	{ "a b", false },
	{ "\"a", false },
	{ "\"a\\\"", false },
	{ "\"a\"b", false },
	{ "\"", false },
	{ "a\"b\"", false },
	{ "\"a\tb\"", false },
};

START_TEST(strings_are_atoms_or_quoted)
{
	ck_assert_msg(
	    command_string_valid(slice_z(strings[_i].in)) == strings[_i].ok, "%s", strings[_i].in);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, lines_are_split, 0, sizeof lines / sizeof *lines);
	tcase_add_test(tc, every_verb_is_known_by_its_word);
	tcase_add_test(tc, a_nul_does_not_end_a_line);
	tcase_add_test(tc, words_are_taken_off);
	tcase_add_loop_test(tc, strings_are_atoms_or_quoted, 0, sizeof strings / sizeof *strings);
}
CHECK_MAIN("command", cases)
