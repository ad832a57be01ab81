/* SPDX-License-Identifier: ISC */
#include "ctl/sendmail_options.h"

#include "t/unit/check_main.h"

#include <stdio.h>

/* Flags of a row, printed: mode number, error mode, and a letter for each that is set. */
static void
show(const struct sendmail_options *o, char *out, size_t size)
{
	snprintf(out, size, "%d%d%s%s%s%s%s%s%s", o->mode, o->errors, o->extract ? "t" : "",
	    o->dots_literal ? "i" : "", o->verbose ? "v" : "", o->gateway ? "G" : "",
	    o->eight_bit ? "8" : "", o->seven_bit ? "7" : "", o->rmail ? "r" : "");
}

static const struct {
	const char *argv[8];
	const char *flags, *sender,
	    *words; /* flags NULL: refused; sender NULL: none; words joined */
} rows[] = {
	{ { "sendmail", "a", "b" }, "00", NULL, "a b" },
	{ { "/usr/lib/sendmail", "-t", "-i" }, "00ti", NULL, "" },
	{ { "sendmail", "-ti" }, "00ti", NULL, "" },
	{ { "sendmail", "-it", "--", "-x" }, "00ti", NULL, "-x" },
	{ { "sendmail", "-oi", "a" }, "00i", NULL, "a" },
	{ { "sendmail", "-oitrue", "a" }, "00i", NULL, "a" },
	{ { "sendmail", "-oifalse", "a" }, "00", NULL, "a" },
	{ { "sendmail", "-OIgnoreDots", "a" }, "00i", NULL, "a" },
	{ { "sendmail", "-O", "IgnoreDots=true", "a" }, "00i", NULL, "a" },
	{ { "sendmail", "-O", "ErrorMode=q", "a" }, "01", NULL, "a" },
	{ { "sendmail", "-OMaxHopCount=3", "a" }, "00", NULL, "a" },
	{ { "sendmail", "-f", "s", "a" }, "00", "s", "a" },
	{ { "sendmail", "-fs", "a" }, "00", "s", "a" },
	{ { "sendmail", "-f", "", "a" }, "00", "", "a" },
	{ { "sendmail", "-f", "<>", "a" }, "00", "<>", "a" },
	{ { "sendmail", "-r", "s", "a" }, "00", "s", "a" },
	{ { "sendmail", "-tfs" }, "00t", "s", "" },
	{ { "sendmail", "a", "-i" }, "00", NULL, "a -i" },
	{ { "sendmail", "-" }, "00", NULL, "-" },
	{ { "sendmail", "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root" }, "02i8", NULL,
	    "root" },
	{ { "sendmail", "-B", "7bit", "a" }, "007", NULL, "a" },
	{ { "sendmail", "-BFOO", "a" }, NULL, NULL, NULL },
	{ { "sendmail", "-oee", "a" }, "03", NULL, "a" },
	{ { "sendmail", "-oew", "a" }, "02", NULL, "a" },
	{ { "sendmail", "-oeq", "a" }, "01", NULL, "a" },
	{ { "sendmail", "-oem", "-oep", "a" }, "00", NULL, "a" },
	{ { "sendmail", "-oex", "a" }, NULL, NULL, NULL },
	{ { "sendmail", "-odb", "-odq", "-om", "-o7", "a" }, "00", NULL, "a" },
	{ { "sendmail", "-N", "failure,delay", "a" }, "00", NULL, "a" },
	{ { "sendmail", "-N", "never,delay", "a" }, NULL, NULL, NULL },
	{ { "sendmail", "-N", "", "a" }, NULL, NULL, NULL },
	{ { "sendmail", "-R", "full", "-V", "x y", "a" }, "00", NULL, "a" },
	{ { "sendmail", "-Rsome", "a" }, NULL, NULL, NULL },
	{ { "sendmail", "-V", "a\nb", "a" }, NULL, NULL, NULL },
	{ { "sendmail", "-bm", "a" }, "00", NULL, "a" },
	{ { "sendmail", "-bs", "-odb", "-oem" }, "12", NULL, "" },
	{ { "sendmail", "-bv", "a" }, "20", NULL, "a" },
	{ { "sendmail", "-bp" }, "30", NULL, "" },
	{ { "sendmail", "-q" }, "40", NULL, "" },
	{ { "sendmail", "-qf" }, "40", NULL, "" },
	{ { "sendmail", "-qIX" }, "40", NULL, "" },
	{ { "sendmail", "-q!Rx" }, NULL, NULL, NULL },
	{ { "sendmail", "-bi" }, "50", NULL, "" },
	{ { "sendmail", "-I" }, "50", NULL, "" },
	{ { "sendmail", "-bd", "-q30m" }, "60", NULL, "" },
	{ { "sendmail", "-bdf" }, "60", NULL, "" },
	{ { "sendmail", "-bl" }, "60", NULL, "" },
	{ { "sendmail", "-bh" }, "70", NULL, "" },
	{ { "sendmail", "-q30m" }, "80", NULL, "" },
	{ { "sendmail", "-qp" }, "80", NULL, "" },
	{ { "sendmail", "-d0.1" }, "90", NULL, "" },
	{ { "sendmail", "-d21.3", "a" }, "00", NULL, "a" },
	{ { "sendmail", "-be" }, NULL, NULL, NULL },
	{ { "sendmail", "-bP" }, NULL, NULL, NULL },
	{ { "sendmail", "-bt" }, NULL, NULL, NULL },
	{ { "sendmail", "-Mvl" }, NULL, NULL, NULL },
	{ { "sendmail", "-Qreason" }, NULL, NULL, NULL },
	{ { "sendmail", "-Z" }, NULL, NULL, NULL },
	{ { "sendmail", "-B8\nBIT" }, NULL, NULL, NULL },
	{ { "sendmail", "-f" }, NULL, NULL, NULL },
	{ { "sendmail", "-h", "3", "-Ltag", "-Ac", "-m", "-x", "a" }, "00", NULL, "a" },
	{ { "sendmail", "-s", "-n", "-U", "-em", "-E", "-J", "a" }, "02", NULL, "a" },
	{ { "sendmail", "-C", "/x", "-X", "/y", "a" }, "00", NULL, "a" },
	{ { "sendmail", "-XV+=", "-v", "-G", "-pUUCP:h", "a" }, "00vG", NULL, "a" },
	{ { "/usr/bin/mailq", "-Ac" }, "30", NULL, "" },
	{ { "newaliases" }, "50", NULL, "" },
	{ { "hoststat" }, "70", NULL, "" },
	{ { "purgestat" }, "70", NULL, "" },
	{ { "runq" }, "40", NULL, "" },
	{ { "send-mail", "a" }, "00", NULL, "a" },
	{ { "rmail", "a" }, "03iGr", NULL, "a" },
};

START_TEST(command_lines)
{
	struct sendmail_options o;
	char *argv[9] = { NULL }, why[200] = "", flags[32], words[64] = "";
	int argc = 0;
	bool ok;

	for (; argc < 8 && rows[_i].argv[argc] != NULL; argc++)
		argv[argc] = slice_dup(slice_z(rows[_i].argv[argc]));
	ok = sendmail_options_parse(argc, argv, &o, why, sizeof why) == 0;
	ck_assert_msg(ok == (rows[_i].flags != NULL), "row %d: %s", _i, why);
	ck_assert(ok || (why[0] != '\0' && strchr(why, '\n') == NULL));
	if (ok) {
		show(&o, flags, sizeof flags);
		for (int i = 0; i < o.n_words; i++)
			snprintf(words + strlen(words), sizeof words - strlen(words), "%s%s",
			    i > 0 ? " " : "", o.words[i]);
		ck_assert_str_eq(flags, rows[_i].flags);
		ck_assert_str_eq(words, rows[_i].words);
		ck_assert(o.sender_given == (rows[_i].sender != NULL));
		ck_assert_pstr_eq(o.sender, rows[_i].sender);
	}
	for (int i = 0; i < argc; i++)
		free(argv[i]);
}
END_TEST

START_TEST(values)
{
	char a0[] = "sendmail", a1[] = "-Nsuccess", a2[] = "-RHDRS", a3[] = "-Vx y", a4[] = "-F",
	     a5[] = "Full Name", a6[] = "-qR@x.org";
	char *argv[] = { a0, a1, a2, a3, a4, a5, a6, NULL }, why[200];
	struct sendmail_options o;

	ck_assert_int_eq(sendmail_options_parse(7, argv, &o, why, sizeof why), 0);
	ck_assert_str_eq(o.notify, "success");
	ck_assert_str_eq(o.ret, "HDRS");
	ck_assert_str_eq(o.envid, "x y");
	ck_assert_str_eq(o.name, "Full Name");
	ck_assert_str_eq(o.flush, "R@x.org");
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, command_lines, 0, sizeof rows / sizeof *rows);
	tcase_add_test(tc, values);
}
CHECK_MAIN("sendmail_options", cases)
