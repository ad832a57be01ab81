/* SPDX-License-Identifier: ISC */
#include "../check_main.h"

#include "bounced/classify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static struct rules *
parsed(const char *text)
{
	struct rules *r = NULL;
	struct buf err = { 0 };

	if (rules_parse(slice_z(text), "test", &r, &err) != 0)
		ck_abort_msg("%.*s", SLICE_ARG(slice_buf(&err)));
	buf_fini(&err);
	return r;
}

static const struct {
	const char *text, *why;
} wrong[] = {
	{ "11 /x/\n", "test:1: no class has this number: \"11\"" },
	{ "\n# x\n10\n", "test:3: a rule without conditions: \"10\"" },
	{ "ten /x/\n", "test:1: not a number of a class, nor the word class: \"ten\"" },
	{ "10 /x\n", "test:1: a pattern ends with a slash: \"/x\"" },
	{ "10 //\n", "test:1: the pattern is empty: \"\"" },
	{ "10 /x/q\n", "test:1: behind a pattern nothing or c may stand: \"q\"" },
	{ "10 /(/\n", "test:1: the pattern is wrong at its byte 2: missing closing parenthesis" },
	{ "10 code=55\n", "test:1: not a list of reply codes: \"55\"" },
	{ "10 code=1,2,3,4,5,6,7,8,9\n",
	    "test:1: not a list of reply codes: \"1,2,3,4,5,6,7,8,9\"" },
	{ "10 status=5.1\n", "test:1: not a list of status codes: \"5.1\"" },
	{ "10 status=5.1.1.1\n", "test:1: not a list of status codes: \"5.1.1.1\"" },
	{ "10 colour=red\n", "test:1: no such condition, or given twice: \"colour=red\"" },
	{ "10 host=a host=b\n", "test:1: given twice, or empty: \"host=b\"" },
	{ "10 what\n",
	    "test:1: not a condition: code=, status=, host=, domain= or /pattern/: \"what\"" },
	{ "class 10 mine hard\n", "test:1: this class is there already: \"10\"" },
	{ "class 0 mine hard\n", "test:1: not the number of a class, 1 to 99999: \"0\"" },
	{ "class 200 m*ne hard\n", "test:1: not a name: letters, digits and hyphens: \"m*ne\"" },
	{ "class 200 mine wild\n", "test:1: not hard, soft, block, admin or unknown: \"wild\"" },
	{ "class 200 mine hard x\n", "test:1: more than class NUMBER NAME GROUP: \"x\"" },
};

START_TEST(wrong_is_refused_by_line)
{
	struct rules *r = NULL;
	struct buf err = { 0 };

	ck_assert_int_eq(rules_parse(slice_z(wrong[_i].text), "test", &r, &err), -EINVAL);
	ck_assert_ptr_null(r);
	ck_assert_msg(
	    slice_eq(slice_buf(&err), slice_z(wrong[_i].why)), "%.*s", SLICE_ARG(slice_buf(&err)));
	buf_fini(&err);
}
END_TEST

static const char table[] = "class 200 ours soft\n"
			    "200 host=partner.example domain=x.example\n"
			    "22 status=?.2.2\n"
			    "51 code=5??,421 /block ?list/\n"
			    "70 /Later/c\n"
			    "10 code=550\n";

static const struct {
	const char *text, *host, *domain;
	uint32_t number;
	unsigned line;
} asked[] = {
	{ "550 no such user", "", "", 10, 6 },
	{ "550-no such user", "", "", 10, 6 },
	{ "450 4.2.2 full", "", "", 22, 3 },
	{ "550 5.2.2", "", "", 22, 3 },
	{ "550 #5.2.2 full", "", "", 22, 3 },
	{ "5.2.2 full", "", "", 22, 3 },
	{ "5.2.2.2 full", "", "", 1, 0 }, /* no status */
	{ "550 5.999.999 x", "", "", 10, 6 },
	{ "550 5.1000.1 x", "", "", 10, 6 },
	{ "421 on a BLOCKLIST", "", "", 51, 4 },
	{ "450 on a blocklist", "", "", 1, 0 },
	{ "450 come Later", "", "", 70, 5 },
	{ "450 come later", "", "", 1, 0 },
	{ "550 x", "mx.Partner.example.", "x.example", 200, 2 },
	{ "550 x", "partner.example", "y.x.example", 200, 2 },
	{ "550 x", "notpartner.example", "x.example", 10, 6 },
	{ "550 x", "partner.example", "", 10, 6 },
	{ "", "", "", 1, 0 },
};

START_TEST(the_first_that_holds)
{
	struct rules *r = parsed(table);
	struct reply reply = { .text = slice_z(asked[_i].text),
		.host = slice_z(asked[_i].host),
		.domain = slice_z(asked[_i].domain) };
	struct verdict v;

	reply_complete(&reply);
	rules_classify(r, &reply, &v);
	ck_assert_msg(v.number == asked[_i].number && v.line == asked[_i].line, "%s: %u by line %u",
	    asked[_i].text, v.number, v.line);
	ck_assert(!v.stalled);
	rules_free(r);
}
END_TEST

START_TEST(folds_are_one_blank)
{
	struct classifier c;
	struct verdict v;

	classifier_init(&c, -1, "none");
	rules_free(c.rules);
	c.rules = parsed("10 /user unknown/\n");
	classifier_ask(&c, &(const struct reply){ .text = SLICE_LIT("550 User \t  unknown") }, &v);
	ck_assert_uint_eq(v.number, 10);
	classifier_fini(&c);
}
END_TEST

/* Patterns that take for ever on such texts end, match nothing, and the next rule is asked. */
START_TEST(hostile_texts_cannot_stall)
{
	static const char *const slow[] = { "10 /^(a+)+$/\n22 /aaaa/\n",
		"10 /(x+x+)+y/\n22 /xxxx|aaaa/\n", "10 /^(?:a?){50}(?:a*)*b$/\n22 /aaaa/\n",
		"10 /(?:(?:a|aa)+)+b/\n22 /aaaa/\n" };
	struct rules *r = parsed(slow[_i]);
	char text[RULES_TEXT_MAX];
	struct verdict v;

	memset(text, _i == 1 ? 'x' : 'a', sizeof text);
	text[sizeof text - 1] = '!';
	rules_classify(r, &(const struct reply){ .text = slice_of(text, sizeof text) }, &v);
	ck_assert_uint_eq(v.number, 22);
	rules_free(r);
}
END_TEST

/* A bad file is refused, the old rules stay. */
START_TEST(reloading)
{
	char dir[] = "/tmp/rulestest.XXXXXX", path[64];
	struct classifier c;
	struct verdict v;
	int dirfd, fd;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/r", dir);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	classifier_init(&c, dirfd, path);
	ck_assert(!classifier_load(&c, path) && c.error.n > 0);
	classifier_ask(&c, &(const struct reply){ .text = SLICE_LIT("550 x") }, &v);
	ck_assert_uint_eq(v.number, 1);
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	ck_assert_int_eq(write(fd, "22 /x/\n", 7), 7);
	ck_assert(classifier_load(&c, path) && c.error.n == 0);
	ck_assert_int_eq(write(fd, "wrong\n", 6), 6);
	ck_assert(!classifier_load(&c, path));
	ck_assert(memmem(c.error.p, c.error.n, "r:2: ", 5) != NULL);
	classifier_ask(&c, &(const struct reply){ .text = SLICE_LIT("550 x") }, &v);
	ck_assert_uint_eq(v.number, 22);
	close(fd);
	unlink(path);
	rmdir(dir);
	classifier_fini(&c);
	close(dirfd);
}
END_TEST

/* The file that is installed, against words of large receivers. */
START_TEST(the_rules_that_are_installed)
{
	struct classifier c;
	struct verdict v;
	int dirfd = open("etc", O_RDONLY | O_DIRECTORY);
	FILE *f = fopen("t/data/bounce-replies.tsv", "r");
	unsigned n = 0, number;
	char line[1000];

	ck_assert_msg(dirfd >= 0 && f != NULL, "not run from the top of the tree");
	classifier_init(&c, dirfd, "etc/bounce.rules");
	ck_assert_msg(
	    classifier_load(&c, "etc/bounce.rules"), "%.*s", SLICE_ARG(slice_buf(&c.error)));
	while (fgets(line, sizeof line, f) != NULL) {
		char *text = strchr(line, '\t');

		if (line[0] == '#')
			continue;
		ck_assert(text != NULL && sscanf(line, "%u", &number) == 1);
		classifier_ask(&c, &(const struct reply){ .text = slice_trim(slice_z(text)) }, &v);
		ck_assert_msg(v.number == number, "%s: %u by line %u", line, v.number, v.line);
		n++;
	}
	ck_assert_uint_gt(n, 70);
	fclose(f);
	ck_assert_uint_eq(c.stalled, 0);
	classifier_fini(&c);
	close(dirfd);
}
END_TEST

static void
cases(TCase *tc)
{
	tcase_add_loop_test(tc, wrong_is_refused_by_line, 0, sizeof wrong / sizeof *wrong);
	tcase_add_loop_test(tc, the_first_that_holds, 0, sizeof asked / sizeof *asked);
	tcase_add_loop_test(tc, hostile_texts_cannot_stall, 0, 4);
	tcase_add_test(tc, folds_are_one_blank);
	tcase_add_test(tc, reloading);
	tcase_add_test(tc, the_rules_that_are_installed);
}
CHECK_MAIN("rules", cases)
